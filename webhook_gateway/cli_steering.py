"""`cfar bulk`, `pause`, `resume`, `pauses` and `audit`: many at once, and who pressed what. For operators."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import click

from shared.models import STATUSES, STEPS
from webhook_gateway import display, display_steering
from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api

_BULK, _PAUSES, _AUDIT = "/v1/cancellations/bulk", "/v1/pauses", "/v1/audit"
_Command = TypeVar("_Command", bound=Callable[..., None])
_WHY = "Why; stays in the audit log with who."


def filters(command: _Command) -> _Command:
    """Add the options that say which cancellations are meant; every one that is given must fit."""
    options = (
        click.option("--status", type=click.Choice(STATUSES)),
        click.option("--problem", metavar="NAME", help="With this problem, for example credentials-refused."),
        click.option("--next", "next_step", type=click.Choice(STEPS), help="At this step."),
        click.option("--partner", metavar="CODE", help="Of this partner's bookings."),
        click.option("--caller", metavar="NAME", help="Asked for by this caller."),
        click.option("--batch", "batch_id", metavar="ID", type=click.UUID, help="Of this batch."),
        click.option("--search", metavar="TEXT", help="Found by an id, a booking, a key, a policy or a claim."),
        click.option("--id", "ids", metavar="ID", type=click.UUID, multiple=True, help="This one; repeat for more."),
        click.option("--note", help=_WHY),
        click.option("--yes", is_flag=True, help="Do it; without it only told."),
    )
    for option in reversed((*options, as_json)):
        command = option(command)
    return command


def places(command: _Command) -> _Command:
    """Add the options that say what a pause is about."""
    options = (
        click.option("--everything", is_flag=True, help="Every step of every partner."),
        click.option("--partner", metavar="CODE", help="This partner only."),
        click.option("--step", type=click.Choice(STEPS), help="This step only."),
        click.option("--note", help=_WHY),
    )
    for option in reversed((*options, as_json)):
        command = option(command)
    return command


@click.group("bulk")
def bulk() -> None:
    """Retry, hurry or abort many at once: told first, done with --yes (operators)."""


@bulk.command("retry")
@filters
@with_api
def retry(api: Api, **given: Any) -> None:
    """Take up again at their step what needs review."""
    _press(api, "retry", **given)


@bulk.command("skip-wait")
@filters
@with_api
def skip_wait(api: Api, **given: Any) -> None:
    """Try now what waits for its next try."""
    _press(api, "skip_wait", **given)


@bulk.command("abort")
@filters
@with_api
def abort(api: Api, **given: Any) -> None:
    """Take back what is before its point of no return."""
    _press(api, "abort", **given)


@click.command("pause")
@places
@with_api
def pause(api: Api, *, as_json: bool, **given: Any) -> None:
    """Begin nothing more of a partner, of a step, or at all; what is in hand ends first (operators)."""
    _show_pauses(api.post(_PAUSES, _given(given)), as_json=as_json)


@click.command("resume")
@places
@with_api
def resume(api: Api, *, as_json: bool, **given: Any) -> None:
    """Take back exactly the pause that is named (operators)."""
    _show_pauses(api.post(f"{_PAUSES}/resume", _given(given)), as_json=as_json)


@click.command("pauses")
@as_json
@with_api
def pauses(api: Api, *, as_json: bool) -> None:
    """Show what is paused, since when and by whom (operators)."""
    _show_pauses(api.get(_PAUSES), as_json=as_json)


@click.command("audit")
@click.option("--cancellation", metavar="ID", type=click.UUID, help="About this cancellation only.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@as_json
@with_api
def audit(api: Api, *, cancellation: UUID | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """Show who pressed what, newest first (operators)."""
    about = None if cancellation is None else str(cancellation)
    page = api.get(_AUDIT, cancellation_id=about, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
    else:
        display_steering.show_audit(display.terminal(), page)


def _press(api: Api, action: str, *, note: str | None, yes: bool, as_json: bool, **meant: Any) -> None:
    """Tell what would happen; with --yes do that, to no more than were told, until none is left."""
    chosen = _given(meant)
    if not chosen:
        raise click.UsageError("Say which: give at least one filter, see --help.")
    told = api.post(_BULK, {"action": action, **chosen})
    if not yes:
        _show_bulk(told, as_json=as_json)
        if not as_json:
            click.echo("Nothing was changed. To do it: --yes")
        return
    if not as_json:
        _show_bulk(told, as_json=False)
    deed = {"action": action, **chosen, **_given({"note": note}), "dry_run": False}
    done = api.post(_BULK, {**deed, "at_most": told["touched"]})
    while done["left"] and done["done"]:
        if not as_json:
            click.echo(f"{done['done']} done, {done['left']} left.")
        done = api.post(_BULK, {**deed, "at_most": done["left"]})
    _show_bulk(done, as_json=as_json)


def _given(meant: dict[str, Any]) -> dict[str, Any]:
    """Return what was given, as JSON has it."""
    kept = {name: value for name, value in meant.items() if value not in (None, False, ())}
    return {
        name: [str(one) for one in value]
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, UUID)
        else value
        for name, value in kept.items()
    }


def _show_bulk(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        display_steering.show_bulk(display.terminal(), shown)


def _show_pauses(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        display_steering.show_pauses(display.terminal(), found)
