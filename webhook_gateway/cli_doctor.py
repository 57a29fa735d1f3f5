"""`cfar doctor`: what is wrong, why it matters, what to do. Exit code 1 when something is wrong."""

import os
from typing import Any

import click

from webhook_gateway import display, display_doctor, doctor, doctor_local
from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api

_URL = "/v1/doctor"
_ASK_HELP = "First have a worker ask the insurer whether it lets us in (default); a viewer's token may not."
_LOCAL_HELP = "Look from here, by this environment's own settings: for when the gateway does not answer."


@click.command("doctor")
@click.option("--ask/--no-ask", "is_asking", default=True, help=_ASK_HELP)
@click.option("--local", "is_local", is_flag=True, help=_LOCAL_HELP)
@as_json
def examine(*, is_asking: bool, is_local: bool, as_json: bool) -> None:
    """Examine the whole service: what is wrong, why it matters, what to do (operators)."""
    if is_local:
        found = doctor_local.findings(os.environ, is_asking=is_asking)
        _show(doctor.shown(found).model_dump(mode="json"), as_json=as_json)
    else:
        _by_gateway(is_asking=is_asking, as_json=as_json)


@with_api
def _by_gateway(api: Api, *, is_asking: bool, as_json: bool) -> None:
    _show(api.post(_URL) if is_asking else api.get(_URL), as_json=as_json)


def _show(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        display_doctor.show(display.terminal(), shown)
    if shown["state"] == "wrong":
        click.get_current_context().exit(1)
