"""`cfar`: the HTTP interface from a terminal. Exit codes: 0 done, 1 the service said no or is away, 2 wrong usage."""

from typing import Any
from uuid import UUID

import click

from shared.models import STATUSES, STEPS
from shared.rulings import Resolution
from webhook_gateway import (
    cli_batches,
    cli_bodies,
    cli_callbacks,
    cli_cancel,
    cli_doctor,
    cli_erase,
    cli_import,
    cli_steering,
    cli_webhooks,
    display,
)
from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api
from webhook_gateway.cli_completion import completion

_ROOT = "/v1/cancellations"

cancellation_id = click.argument("cancellation_id", metavar="ID", type=click.UUID)


@click.group("cfar", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Cancel bookings and follow what becomes of them.

    Talks to the service at CFAR_URL (default http://127.0.0.1:8000) with the token in CFAR_TOKEN.
    """


for command in (
    cli_cancel.cancel, cli_import.import_file, cli_batches.batches, cli_callbacks.callbacks, cli_webhooks.webhooks,
    cli_steering.bulk, cli_steering.pause, cli_steering.resume, cli_steering.pauses, cli_steering.audit,
    cli_doctor.examine, cli_erase.erase, completion,
):  # fmt: skip
    main.add_command(command)


@main.command()
@cancellation_id
@as_json
@with_api
def show(api: Api, *, cancellation_id: UUID, as_json: bool) -> None:
    """Tell the story of one cancellation."""
    item = api.get(f"{_ROOT}/{cancellation_id}")
    if as_json:
        print_json(item)
    else:
        why = api.get(f"{_ROOT}/{cancellation_id}/why")["why"]
        display.show_one(display.terminal(), item, api.get(f"{_ROOT}/{cancellation_id}/events")["items"], why=why)


@main.command("list")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--booking", metavar="ID", help="Of this booking only.")
@click.option("--key", help="The one with this idempotency key.")
@click.option("--batch", metavar="ID", type=click.UUID, help="Of this batch only.")
@click.option("--partner", metavar="CODE", help="Of this partner's bookings only.")
@click.option("--caller", metavar="NAME", help="Asked for by this caller only.")
@click.option("--next", "next_step", type=click.Choice(STEPS), help="At this step only.")
@click.option("--problem", metavar="NAME", help="With this problem only, for example tries-spent.")
@click.option("--search", metavar="TEXT", help="Found by an id, a booking, a key, a policy or a claim.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@as_json
@with_api
def list_them(
    api: Api,
    *,
    status: str | None,
    booking: str | None,
    key: str | None,
    batch: UUID | None,
    as_json: bool,
    **more: Any,
) -> None:
    """List cancellations, newest first."""
    of_batch = None if batch is None else str(batch)
    page = api.get(_ROOT, status=status, booking_id=booking, idempotency_key=key, batch_id=of_batch, **more)
    if as_json:
        print_json(page)
    else:
        display.show_list(display.terminal(), page)


@main.command()
@cancellation_id
@click.option("--amount", required=True, help="As previewed, for example 22.40.")
@click.option("--currency", required=True, help="ISO 4217, for example EUR.")
@click.option("--reference", required=True, help="Your own name for the payment.")
@as_json
@with_api
def refund(api: Api, *, cancellation_id: UUID, amount: str, currency: str, reference: str, as_json: bool) -> None:
    """Report that the customer has been refunded."""
    body = {"amount": amount, "currency": currency.upper(), "reference": reference}
    _print_one(api.post(f"{_ROOT}/{cancellation_id}/refund", body), as_json=as_json)


@main.command()
@cancellation_id
@as_json
@with_api
def abort(api: Api, *, cancellation_id: UUID, as_json: bool) -> None:
    """Take a cancellation back, before its point of no return."""
    _print_one(api.post(f"{_ROOT}/{cancellation_id}/abort"), as_json=as_json)


@main.command()
@cancellation_id
@click.option("--note", help="Why; stays in the timeline.")
@as_json
@with_api
def retry(api: Api, *, cancellation_id: UUID, note: str | None, as_json: bool) -> None:
    """Try the step of one that needs review again, or skip the wait for a next try (operators)."""
    body = {"note": note} if note is not None else None
    _print_one(api.post(f"{_ROOT}/{cancellation_id}/retry", body), as_json=as_json)


class _ResolutionChoice(click.Choice[str]):
    """Takes not-done too."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value.replace("-", "_"), param, ctx)


@main.command()
@cancellation_id
@click.argument("resolution", type=_ResolutionChoice([resolution.value for resolution in Resolution]))
@click.option("--note", required=True, help="Why; stays in the timeline with who.")
@click.option(
    "--evidence",
    multiple=True,
    metavar="NAME=VALUE",
    help="What shows it (amount, currency, reference, claim_reference, claim_id, text or your own); repeat for more.",
)
@click.option(
    "--claim-fields",
    type=click.File(encoding="utf-8"),
    metavar="FILE|-",
    help="amend: the section fields, a JSON list.",
)
@click.option("--language", help="amend: the claim's language.")
@click.option("--claim-type", metavar="ID", help="amend: the claim type.")
@click.option("--free-policies", is_flag=True, help="close: let others cancel or claim its policies.")
@as_json
@with_api
def resolve(api: Api, *, cancellation_id: UUID, as_json: bool, **decided: Any) -> None:
    """Decide about one that waits for a person (operators).

    done: the step did happen, as the evidence shows. not_done: it did not; a new key is allowed.
    amend: claim again with other fields. close: it ends here.
    """
    _print_one(api.post(f"{_ROOT}/{cancellation_id}/resolve", cli_bodies.resolution(**decided)), as_json=as_json)


@main.command()
@cancellation_id
@as_json
@with_api
def events(api: Api, *, cancellation_id: UUID, as_json: bool) -> None:
    """Show a cancellation's timeline."""
    found = api.get(f"{_ROOT}/{cancellation_id}/events")
    if as_json:
        print_json(found)
    else:
        display.show_events(display.terminal(), found["items"])


def _print_one(item: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(item)
    else:
        display.show_one(display.terminal(), item)
