"""`cfar batches`: how far those that were handed over together are, and steering them together."""

from typing import Any
from uuid import UUID

import click

from webhook_gateway import display, display_batches
from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api

_ROOT = "/v1/batches"

batch_id = click.argument("batch_id", metavar="ID", type=click.UUID)


@click.group("batches")
def batches() -> None:
    """Follow and steer what was imported together."""


@batches.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@as_json
@with_api
def list_them(api: Api, *, limit: int, cursor: str | None, as_json: bool) -> None:
    """List batches, newest first."""
    page = api.get(_ROOT, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
    else:
        display_batches.show_list(display.terminal(), page)


@batches.command()
@batch_id
@as_json
@with_api
def show(api: Api, *, batch_id: UUID, as_json: bool) -> None:
    """Tell how many of a batch's cancellations stand where."""
    _print_one(api.get(f"{_ROOT}/{batch_id}"), as_json=as_json)


@batches.command()
@batch_id
@as_json
@with_api
def pause(api: Api, *, batch_id: UUID, as_json: bool) -> None:
    """Hold what has not begun."""
    _print_one(api.post(f"{_ROOT}/{batch_id}/pause"), as_json=as_json)


@batches.command()
@batch_id
@as_json
@with_api
def resume(api: Api, *, batch_id: UUID, as_json: bool) -> None:
    """Go on with what was held."""
    _print_one(api.post(f"{_ROOT}/{batch_id}/resume"), as_json=as_json)


@batches.command()
@batch_id
@as_json
@with_api
def cancel(api: Api, *, batch_id: UUID, as_json: bool) -> None:
    """Call a batch off: abort what has not begun, for good. What has begun goes on."""
    _print_one(api.post(f"{_ROOT}/{batch_id}/call_off"), as_json=as_json)


def _print_one(batch: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(batch)
    else:
        display_batches.show_one(display.terminal(), batch)
