"""What callers send for a batch: its lines, read one by one, so that each wrong one can be named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from shared import cancellation_request
from shared.bulk_intake import MOST_LINES, Line
from shared.cancellation_request import CancellationRequest, Text
from shared.config import AcceptingSettings
from shared.idempotency import LONGEST_KEY, is_key
from shared.problems import Problem
from shared.setting_values import PARTNER_CODE
from webhook_gateway.bodies import read_as

MAX_ERRORS = 50
"""Wrong fields named in one refusal."""
MAX_ERRORS_OF_LINE = 5
"""Wrong fields named for one line among others: an answer must not outgrow its request."""
KEY = "idempotency_key"


def _whole(value: object) -> object:
    """Take 57.0 for 57, as JSON does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key(value: str) -> str:
    if not is_key(value):
        raise ValueError(f"must be 1 to {LONGEST_KEY} visible ASCII characters")
    return value


Lines = Annotated[
    list[Any],
    Field(max_length=MOST_LINES, json_schema_extra={"items": {"$ref": "#/components/schemas/BatchLine"}}),
]
Skip = Annotated[
    bool, Field(description="true: store the others when lines are invalid; else nothing of the call is stored")
]


class BatchLine(CancellationRequest):
    """A cancellation of a batch: what would be sent for it alone, and its key."""

    idempotency_key: Annotated[str, AfterValidator(_key), Field(min_length=1, max_length=LONGEST_KEY)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class BatchBody(_Body):
    """A new batch: what it is called, how many cancellations are meant, and the first of them."""

    name: Annotated[Text, Field(max_length=255)]
    partner: Annotated[str | None, Field(pattern=PARTNER_CODE, description="As in each of its cancellations")] = None
    expected: Annotated[
        int | None, Field(ge=0, le=10_000_000, description="How many there will be"), BeforeValidator(_whole)
    ] = None
    cancellations: Lines = []
    skip_invalid: Skip = False


class LinesBody(_Body):
    """More cancellations for a batch."""

    cancellations: Annotated[Lines, Field(min_length=1)]
    skip_invalid: Skip = False


@dataclass(kw_only=True)
class Read:
    """Lines as they were read, by their place in the call."""

    lines: dict[int, Line] = field(default_factory=dict)
    invalid: dict[int, Problem] = field(default_factory=dict)
    keys: dict[int, str | None] = field(default_factory=dict)


_AnyBody = TypeVar("_AnyBody", bound=BaseModel)


def parse(body: Any, model: type[_AnyBody]) -> _AnyBody:
    """Read a body, not yet its lines; raise Problem naming every field that is wrong."""
    return read_as(body, model, outcome="Nothing was accepted")


def read(sent: Sequence[Any], *, settings: AcceptingSettings, caller: str, partner: str) -> Read:
    """Read every line of a partner's batch by itself."""
    found = Read()
    for place, line in enumerate(sent):
        key = line.get(KEY) if isinstance(line, dict) else None
        found.keys[place] = key if isinstance(key, str) and is_key(key) else None
        try:
            found.lines[place] = _line(line, settings, caller, partner)
        except Problem as refusal:
            found.invalid[place] = refusal
    return found


def body_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what would have been the body, had the line been sent alone."""
    return {name: value for name, value in line.items() if name != KEY}


def refusal(wrong: Mapping[int, Problem]) -> Problem:
    """Return the refusal of a call, which names its wrong lines and fields up to a limit."""
    errors = [{"line": place + 1, **error} for place, why in sorted(wrong.items()) for error in _errors(why)]
    detail = f"Nothing was accepted; invalid lines: {len(wrong)}. Correct them, or send skip_invalid."
    more = len(errors) - MAX_ERRORS
    return Problem(
        "invalid-request",
        detail,
        errors=errors[:MAX_ERRORS],
        invalid_lines=len(wrong),
        **({"more_errors": more} if more > 0 else {}),
    )


def shortened(why: Problem) -> dict[str, Any]:
    """Return a line's problem document, fit to stand among many."""
    document = dict(why.document)
    more = len(document.get("errors", [])) - MAX_ERRORS_OF_LINE
    if more > 0:
        more += document.get("more_errors", 0)
        document |= {"errors": document["errors"][:MAX_ERRORS_OF_LINE], "more_errors": more}
    return document


def _line(line: Any, settings: AcceptingSettings, caller: str, partner: str) -> Line:
    if not isinstance(line, dict):
        raise Problem("invalid-request", "A line must be a JSON object.", errors=[])
    key = line.get(KEY)
    if not isinstance(key, str) or not is_key(key):
        said = f"must be 1 to {LONGEST_KEY} visible ASCII characters, unique for each request"
        detail = f"Nothing was accepted; wrong or missing: {KEY}."
        raise Problem("invalid-request", detail, errors=[{"field": KEY, "problem": said}])
    sent = body_of(line)
    request = cancellation_request.parse({"partner": partner, **sent}, settings=settings, caller=caller)
    if request.partner != partner:
        detail = "Nothing was accepted; wrong or unknown: partner."
        raise Problem("invalid-request", detail, errors=[{"field": "partner", "problem": "is not the batch's"}])
    return Line(key=key, sent=sent, request=request)


def _errors(why: Problem) -> Sequence[dict[str, Any]]:
    return why.document.get("errors") or [{"field": "", "problem": why.document["detail"]}]
