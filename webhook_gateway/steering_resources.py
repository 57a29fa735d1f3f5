"""What the interface takes and shows of bulk actions, pauses and the audit log: shapes, and how rows become them."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from shared.lifecycle import Step
from shared.operations_models import AuditEntry, Pause
from shared.selection import Selection
from shared.setting_values import PARTNER_CODE
from shared.steering import MOST, Action, Done, Forecast
from webhook_gateway import paging
from webhook_gateway.listing import FOUND_BY, CallerName, KeyText, ProblemSlug, StatusName, StepName
from webhook_gateway.resolving import Note
from webhook_gateway.resources import Shown, Time, time

MOST_IDS = 1_000
_WHICH = ("status", "next_step", "problem", "partner", "caller", "batch_id", "search", "ids")


def _whole(value: object) -> object:
    """Take 57.0 for 57, as JSON does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _given(*names: str) -> list[JsonValue]:
    """Return a schema for each name: that it is given, and not null."""
    return [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]


_Id = Annotated[UUID, Field(strict=False)]
_Action = Annotated[Action, Field(strict=False)]
_Step = Annotated[Step, Field(strict=False)]
_Partner = Annotated[str, Field(pattern=PARTNER_CODE)]


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class BulkBody(_Taken):
    """What to do to which cancellations: at least one filter, and a dry run unless it says otherwise."""

    model_config = ConfigDict(json_schema_extra={"anyOf": _given(*_WHICH)})

    action: Annotated[
        _Action,
        Field(
            description="retry: take those that need review up again; skip_wait: try those now that wait for their "
            "next try; abort: take back those before their point of no return"
        ),
    ]
    status: StatusName | None = None
    next_step: StepName | None = None
    problem: ProblemSlug | None = None
    partner: _Partner | None = None
    caller: CallerName | None = None
    batch_id: _Id | None = None
    search: Annotated[KeyText | None, Field(description=FOUND_BY)] = None
    ids: Annotated[list[_Id], Field(min_length=1, max_length=MOST_IDS)] | None = None
    dry_run: Annotated[bool, Field(description="true: only tell what would happen")] = True
    at_most: Annotated[
        int,
        Field(ge=0, le=MOST, description="`touched` of the dry run: nothing is done where it would be more by now"),
        BeforeValidator(_whole),
    ] = 0
    note: Note | None = None

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if all(getattr(self, name) is None for name in _WHICH):
            raise ValueError(f"give at least one filter: {', '.join(_WHICH)}")
        return self

    def selection(self) -> Selection:
        """Return what is meant."""
        meant = {name: getattr(self, name) for name in _WHICH if name != "ids"}
        return Selection(**meant, ids=None if self.ids is None else tuple(self.ids))


class PauseBody(_Taken):
    """What is not begun for the time being, or is again: everything, a partner's, a step, or a step of a partner's."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                *_given("partner", "step"),
                {"required": ["everything"], "properties": {"everything": {"const": True}}},
            ]
        }
    )

    everything: Annotated[bool, Field(description="true: neither partner nor step is named")] = False
    partner: _Partner | None = None
    step: _Step | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.everything == (self.partner is not None or self.step is not None):
            raise ValueError("name a partner, a step or both, or say everything: true, and not both")
        return self


class Reason(Shown):
    """How many were left alone, and why."""

    reason: str
    count: int


class Bulk(Shown):
    """What a press would do, or did."""

    action: str
    dry_run: bool
    touched: Annotated[int, Field(description="How many it would change; send it back as `at_most`")]
    is_capped: Annotated[bool, Field(description=f"There are more: one press changes the oldest {MOST} at most")]
    done: int
    left: Annotated[int, Field(description="Were to be changed, and are not yet: press again")]
    by_status: dict[str, int]
    by_step: dict[str, int]
    by_problem: dict[str, int]
    refused: list[Reason]
    first_ids: list[str]


class PauseShown(Shown):
    """One pause."""

    partner: Annotated[str | None, Field(description="Null: of every partner")]
    step: Annotated[str | None, Field(description="Null: every step")]
    paused_at: Time
    paused_by: str
    note: str | None


class Pauses(Shown):
    """Every pause in force, the oldest first."""

    items: list[PauseShown]


class AuditEntryShown(Shown):
    """One press of a person."""

    id: str
    at: Time
    actor: str
    action: str
    cancellation_id: str | None
    note: str | None
    details: dict[str, Any]


class AuditLog(Shown):
    """A page of presses, newest first."""

    items: list[AuditEntryShown]
    next_cursor: Annotated[str | None, Field(description="Opaque; null on the last page")]


class AuditQuery(BaseModel):
    """The audit log's query parameters; none is required."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cancellation_id: Annotated[UUID | None, Field(description="About this cancellation only")] = None
    limit: paging.Limit = 50
    cursor: paging.Cursor = None


def told(seen: Forecast) -> Bulk:
    """Return a forecast as the interface shows it."""
    return _bulk(seen, dry_run=True, refused=seen.refused, done=0, left=seen.touched)


def done(what: Done) -> Bulk:
    """Return a deed as the interface shows it."""
    return _bulk(what.seen, dry_run=False, refused=what.refused, done=what.done, left=what.left)


def _bulk(seen: Forecast, *, dry_run: bool, refused: Any, done: int, left: int) -> Bulk:
    return Bulk(
        action=seen.action.value, dry_run=dry_run, touched=seen.touched, is_capped=seen.is_capped, done=done, left=left,
        by_status=dict(seen.by_status), by_step=dict(seen.by_step), by_problem=dict(seen.by_problem),
        refused=[Reason(reason=reason, count=count) for reason, count in sorted(refused.items())],
        first_ids=[str(row_id) for row_id in seen.first_ids],
    )  # fmt: skip


def pause_shown(pause: Pause) -> PauseShown:
    """Return a pause as the interface shows it."""
    return PauseShown(
        partner=pause.partner or None, step=pause.step or None, paused_at=time(pause.paused_at),
        paused_by=pause.paused_by, note=pause.note,
    )  # fmt: skip


def entry_shown(entry: AuditEntry) -> AuditEntryShown:
    """Return an entry as the interface shows it."""
    about = None if entry.cancellation_id is None else str(entry.cancellation_id)
    return AuditEntryShown(
        id=str(entry.id), at=time(entry.at), actor=entry.actor, action=entry.action, cancellation_id=about,
        note=entry.note, details=entry.details,
    )  # fmt: skip
