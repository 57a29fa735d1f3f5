"""`cfar cancel`: hands a cancellation over, or with `--dry-run` asks what it would do."""

import time
from typing import Any
from uuid import uuid4

import click

from shared.lifecycle import ClaimWhen, Journey
from webhook_gateway import cli_bodies, display, display_dry_run
from webhook_gateway.api_client import Api, Unreachable
from webhook_gateway.cli_commands import as_json, print_json, with_api

POLL_SECONDS = 1.0
ENDED_BADLY = {"rejected", "needs_review", "aborted", "closed"}
_ROOT = "/v1/cancellations"


@click.command()
@click.argument("booking")
@click.option("--journey", type=click.Choice([journey.value for journey in Journey]), help="What is to be done.")
@click.option(
    "--quote", "quotes", multiple=True, metavar="ID", help="A policy to cancel; repeat for more. Default: all."
)
@click.option("--reason", help="Why; sent with each --quote.")
@click.option(
    "--refund-mode",
    type=click.Choice(["wait", "call", "skip"]),
    help="Wait for a refund report, have the service call REFUND_URL, or go straight on.",
)
@click.option(
    "--refund-required/--no-refund-required", default=None, help="Passed on to XCover. Default: nothing is said."
)
@click.option("--claim", is_flag=True, help="Submit a CFAR claim too.")
@click.option("--claim-quote", metavar="ID", help="The policy to claim (implies --claim).")
@click.option("--claim-type", metavar="ID", help="The claim type (implies --claim).")
@click.option("--when", type=click.Choice([when.value for when in ClaimWhen]), help="When to claim (implies --claim).")
@click.option("--partner", metavar="CODE", help="The partner whose booking it is. Default: the service's own.")
@click.option("--callback-url", metavar="URL", help="Where each change is told, signed. Default: as configured.")
@click.option("--key", help="The idempotency key; give the same one to repeat a request. Default: a new one, printed.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="Kept with the cancellation; repeat for more.")
@click.option(
    "--wait", is_flag=True, help="Wait until it has ended or waits for someone; exit code 1 unless all is well."
)
@click.option(
    "--dry-run", is_flag=True, help="Only tell what would be refunded and done; exit code 1 if it would be rejected."
)
@as_json
@with_api
def cancel(api: Api, *, key: str | None, wait: bool, dry_run: bool, as_json: bool, **asked: Any) -> None:
    """Cancel BOOKING."""
    if dry_run and key:
        raise click.UsageError("--dry-run takes a key of its own: keep --key for the cancellation itself.")
    item = _handed_over(api, {**cli_bodies.request(**asked), **({"dry_run": True} if dry_run else {})}, key=key)
    if wait or dry_run:
        click.echo(f"Accepted: {item['id']}", err=True)
        item = _waited_for(api, item)
    if as_json:
        print_json(item)
    elif dry_run:
        display_dry_run.show(display.terminal(), item)
    else:
        display.show_one(display.terminal(), item)
    if (wait or dry_run) and item["status"] in ENDED_BADLY:
        click.get_current_context().exit(1)


def _handed_over(api: Api, body: dict[str, Any], *, key: str | None) -> dict[str, Any]:
    key = key or f"cfar-{uuid4()}"
    click.echo(f"Idempotency-Key: {key}", err=True)
    try:
        return api.post(_ROOT, body, key=key)
    except Unreachable as error:
        if "dry_run" in body:
            raise
        raise Unreachable(f"{error} It may have been accepted: repeat with --key {key}") from error


def _waited_for(api: Api, item: dict[str, Any]) -> dict[str, Any]:
    while item["status"] == "in_progress":
        time.sleep(POLL_SECONDS)
        item = api.get(f"{_ROOT}/{item['id']}")
    return item
