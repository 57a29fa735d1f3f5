"""`cfar callbacks`: what a cancellation's caller was told, and telling it again."""

from uuid import UUID

import click

from webhook_gateway import display, display_callbacks
from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api

_ROOT = "/v1/cancellations"

cancellation_id = click.argument("cancellation_id", metavar="ID", type=click.UUID)


@click.group("callbacks")
def callbacks() -> None:
    """See what a cancellation's caller was told, and tell it again."""


@callbacks.command("list")
@cancellation_id
@as_json
@with_api
def list_them(api: Api, *, cancellation_id: UUID, as_json: bool) -> None:
    """List a cancellation's callbacks, in the order they are sent."""
    found = api.get(f"{_ROOT}/{cancellation_id}/callbacks")
    if as_json:
        print_json(found)
    else:
        display_callbacks.show_list(display.terminal(), found)


@callbacks.command()
@cancellation_id
@click.option("--callback", metavar="ID", type=click.UUID, help="This one only, also if it was delivered.")
@as_json
@with_api
def replay(api: Api, *, cancellation_id: UUID, callback: UUID | None, as_json: bool) -> None:
    """Send again what was not delivered, or one callback. Enables its endpoint again."""
    body = {} if callback is None else {"id": str(callback)}
    done = api.post(f"{_ROOT}/{cancellation_id}/callbacks/replay", body)
    if as_json:
        print_json(done)
    else:
        display_callbacks.show_replay(display.terminal(), done)
