"""`cfar webhooks`: what came in, what became of it, and having it handled again. For operators."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import click

from webhook_gateway import display, display_webhooks
from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api

_ROOT = "/v1/webhooks"
_Command = TypeVar("_Command", bound=Callable[..., None])

webhook_id = click.argument("webhook_id", metavar="ID", type=click.UUID)


def filters(command: _Command) -> _Command:
    """Add the options that say which webhooks are meant; every one that is given must fit."""
    options = (
        click.option("--source", type=click.Choice(["xclaim", "xcover"]), help="Who sent it."),
        click.option(
            "--outcome",
            type=click.Choice(["waiting", "applied", "unchanged", "ignored", "kept"]),
            help="What became of it; waiting: not handled yet, kept: given up for now.",
        ),
        click.option("--booking", "booking_id", metavar="ID", help="About this booking, or a claim of it."),
        click.option("--claim", metavar="NAME", help="About the claim with this reference or id."),
        click.option("--cancellation", "cancellation_id", metavar="ID", type=click.UUID, help="About its claims."),
        click.option("--key-id", metavar="ID", help="Verified by this key; see `cfar webhooks keys`."),
        click.option("--since", metavar="TIME", help="Received then or later: 2026-01-31T00:00:00Z."),
        click.option("--until", metavar="TIME", help="Received before."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("webhooks")
def webhooks() -> None:
    """See and replay webhooks (operators)."""


@webhooks.command("list")
@filters
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@as_json
@with_api
def list_them(api: Api, *, limit: int, cursor: str | None, as_json: bool, **meant: Any) -> None:
    """List webhooks, newest first."""
    page = api.get(_ROOT, limit=limit, cursor=cursor, **_given(meant))
    if as_json:
        print_json(page)
    else:
        display_webhooks.show_list(display.terminal(), page)


@webhooks.command()
@webhook_id
@as_json
@with_api
def show(api: Api, *, webhook_id: UUID, as_json: bool) -> None:
    """Show one with its body, without personal data."""
    item = api.get(f"{_ROOT}/{webhook_id}")
    if as_json:
        print_json(item)
    else:
        display_webhooks.show_one(display.terminal(), item)


@webhooks.command()
@click.argument("webhook_id", metavar="[ID]", type=click.UUID, required=False)
@filters
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="The newest so many.")
@click.option("--cursor", help="Where the replay before ended.")
@click.option("--dry-run", is_flag=True, help="Only tell what would change: what filters do without --yes.")
@click.option("--yes", is_flag=True, help="With filters: do it.")
@as_json
@with_api
def replay(api: Api, *, webhook_id: UUID | None, dry_run: bool, yes: bool, as_json: bool, **meant: Any) -> None:
    """Have one handled again, or all that some filters mean.

    Always safe: XClaim is asked what is so now. With filters it tells what would change, and does it with --yes.
    """
    body = {"limit": meant.pop("limit"), **_given({"cursor": meant.pop("cursor")})}
    chosen = _given(meant)
    if dry_run and yes:
        raise click.UsageError("--dry-run and --yes contradict each other.")
    if (webhook_id is None) == (not chosen):
        raise click.UsageError("Give the ID of one, or filters: see --help.")
    if webhook_id is not None:
        _show(api.post(f"{_ROOT}/{webhook_id}/replay", {"dry_run": dry_run}), as_json=as_json)
        return
    if not (yes and as_json):  # two answers would be no JSON
        _show(api.post(f"{_ROOT}/replay", {**body, **chosen, "dry_run": True}), as_json=as_json)
    if yes:
        _show(api.post(f"{_ROOT}/replay", {**body, **chosen, "dry_run": False}), as_json=as_json)
    elif not as_json:
        click.echo("Nothing was changed. To do it: --yes")


@webhooks.command()
@as_json
@with_api
def keys(api: Api, *, as_json: bool) -> None:
    """Tell which keys are in use, and which may be removed."""
    found = api.get(f"{_ROOT}/keys")
    if as_json:
        print_json(found)
    else:
        display_webhooks.show_keys(display.terminal(), found)


def _given(meant: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) for name, value in meant.items() if value is not None}


def _show(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        display_webhooks.show_replay(display.terminal(), done)
