"""What every command of `cfar` has in common: its connection, its exit codes, and `--json`."""

import json
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import click

from webhook_gateway.api_client import Api, Misuse, Refused, Unreachable

as_json = click.option("--json", "as_json", is_flag=True, help="Print the service's answer as JSON.")


def with_api(command: Callable[..., None]) -> Callable[..., None]:
    """Hand a command its connection, and turn what goes wrong into a message and an exit code."""

    @click.pass_context
    def run(context: click.Context, /, **given: Any) -> None:
        try:
            with context.obj or Api.from_environment() as api:
                command(api, **given)
        except Refused as refusal:
            if given["as_json"]:
                click.echo(json.dumps(refusal.document, indent=2))
            click.echo(f"Refused: {refusal}", err=True)
            for error in refusal.document.get("errors") or []:
                name = error.get("field") or error.get("parameter") or "the body"
                click.echo(f"  {name}: {error.get('problem')}", err=True)
            context.exit(1)
        except Unreachable as error:
            click.echo(str(error), err=True)
            context.exit(1)
        except Misuse as error:
            raise click.UsageError(str(error)) from error

    return update_wrapper(run, command)


def print_json(document: dict[str, Any]) -> None:
    """Print an answer as it came."""
    click.echo(json.dumps(document, indent=2))
