"""Replaying over HTTP: what an operator asks for, and the answer. What a replay does is in `shared.webhook_replays`."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from shared import presses, webhook_replays
from shared.webhook_selection import Page, Selection, page
from webhook_gateway import current, paging
from webhook_gateway.bodies import read_as
from webhook_gateway.webhook_listing import before, cursor, items
from webhook_gateway.webhook_resources import HandledCount, Replay, ReplayForecast

MOST = 10_000
SHOWN = 50
_NOTE = (
    "XClaim was not asked: it is, for each claim, when the event is handled again. The milestones are those that the "
    "events themselves tell; what XClaim says then may reach more."
)

_ONE_OF_THEM: list[JsonValue] = [
    {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in Selection.model_fields
]


def _whole(value: object) -> object:
    """Take 57.0 for 57, as JSON does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ReplayBody(Selection):
    """Which webhooks are handled again: at least one filter, and a dry run unless it says otherwise."""

    model_config = ConfigDict(strict=True, json_schema_extra={"anyOf": _ONE_OF_THEM})

    limit: Annotated[
        int, Field(ge=1, le=MOST, description="At most so many, the newest first"), BeforeValidator(_whole)
    ] = 1000
    cursor: paging.Cursor = None
    dry_run: Annotated[bool, Field(description="true: only tell what would change")] = True

    @model_validator(mode="after")
    def _says_which(self) -> "ReplayBody":
        if self.is_everything():
            raise ValueError("give at least one filter, or since or until: everything is never replayed by mistake")
        return self


class ReplayOneBody(BaseModel):
    """Whether one webhook is handled again, or only told of."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    dry_run: bool = False


_Body = TypeVar("_Body", bound=BaseModel)


def parse(body: Any, model: type[_Body]) -> _Body:
    """Read the body; raise Problem naming every field that is wrong."""
    return read_as(body, model, outcome="Nothing was replayed")


def replay_those(asked: ReplayBody, *, by: str) -> Replay:
    """Replay what the filters mean, or tell what that would change."""
    with current.database().reading() as session:
        found = page(
            session, asked, partners=current.settings().partner_codes, limit=asked.limit,
            before=before(asked.cursor),
        )  # fmt: skip
    meant = {name: str(value) for name, value in asked if name in Selection.model_fields and value is not None}
    return _replay(found, meant, is_dry=asked.dry_run, by=by)


def replay_one(webhook_id: UUID, *, is_dry: bool, by: str) -> Replay:
    """Replay one webhook, or tell what that would change; without items there is no such webhook."""
    return _replay(Page(ids=(webhook_id,), before=None), {"webhook_id": str(webhook_id)}, is_dry=is_dry, by=by)


def _replay(found: Page, meant: Mapping[str, str], *, is_dry: bool, by: str) -> Replay:
    database, settings = current.database(), current.settings()
    forecast, replayed = None, 0
    if is_dry:
        with database.reading() as session:
            seen = webhook_replays.forecast(session, found.ids, settings=settings)
        left_alone, forecast = seen.left_alone, _forecast(seen)
    else:
        done = presses.replay_webhooks(database, found.ids, by=by, meant=meant)
        left_alone, replayed = done.left_alone, done.replayed
    with database.reading() as session:
        shown = items(session, found.ids[:SHOWN])
    return Replay(
        dry_run=is_dry,
        matched=len(found.ids),
        replayed=replayed,
        waiting=left_alone.waiting,
        in_hand=left_alone.in_hand,
        forecast=forecast,
        items=shown,
        next_cursor=cursor(found.before),
    )


def _forecast(seen: webhook_replays.Forecast) -> ReplayForecast:
    by_outcome = sorted(seen.handled.items(), key=lambda entry: (entry[0][0], entry[0][1] or ""))
    return ReplayForecast(
        replayed=seen.handled.total(),
        by_outcome=[HandledCount(source=source, outcome=word, count=count) for (source, word), count in by_outcome],
        claims=len(seen.claims),
        cancellations=len(seen.cancellations),
        milestones=dict(sorted(seen.milestones.items())),
        newly_matched=seen.newly_matched,
        note=_NOTE,
    )
