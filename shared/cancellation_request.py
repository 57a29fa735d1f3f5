"""What a caller may ask for: the body of a cancellation request, validated once at the door."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared import outbound
from shared.config import AcceptingSettings
from shared.lifecycle import CLAIMING, ClaimWhen, Journey, Step, steps_of
from shared.nesting import MAX_DEPTH, is_nested_deeper
from shared.problems import Problem
from shared.redaction import clean_text
from shared.setting_values import PARTNER_CODE

MAX_FREE_FORM_BYTES = 16_384
"""Limit of `metadata` and of `section_fields`, each."""
MAX_ERRORS = 50
"""Wrong fields named in one refusal: a person reads them, and a refusal must not outgrow its request."""
MAX_FIELD_NAME = 100
"""Characters of a wrong field's path; an unknown field's name is the sender's own."""


def printable(value: str) -> str:
    """Refuse what no database text and no terminal should get."""
    if any(ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF or ord(char) == 127 for char in value):
        raise ValueError("must not contain control characters or lone surrogates")
    return value


def storable(value: Any, *, level: int) -> Any:
    """Refuse what no database text can hold, anywhere inside a free-form value `level` levels into the body."""
    if is_nested_deeper(value, than=MAX_DEPTH - level):
        raise ValueError(f"must not nest the body deeper than {MAX_DEPTH} levels")
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError, UnicodeEncodeError) as error:  # TypeError: kombu revives decimals, UUIDs and bytes
        raise ValueError("must be plain JSON without NaN, Infinity or lone surrogates") from error
    if size > MAX_FREE_FORM_BYTES:
        raise ValueError(f"must not be larger than {MAX_FREE_FORM_BYTES} bytes of JSON")
    if any("\0" in string for string in _strings_in(value)):
        raise ValueError("must not contain NUL characters")
    return value


def _strings_in(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings_in(inner)


VendorId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(printable)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
SectionFields = Annotated[list[Any], AfterValidator(partial(storable, level=2))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


_DRY_RUN = "true: look up and preview only; nothing is cancelled, claimed, reserved or told to a callback_url"
_CALLBACK_URL = "https:// address that is told of each change, signed; without it the one of CALLBACK_URLS, if any"
_PARTNER = "Code of the partner whose booking it is, one of those configured; without it the deployment's own"


class QuoteToCancel(_Part):
    """One policy to cancel."""

    id: VendorId
    reason_for_cancellation: Text | None = None


class RefundTerms(_Part):
    """How the customer is refunded: the partner reports it (`wait`) or is asked to (`call`), or nobody is (`skip`)."""

    mode: Literal["wait", "call", "skip"] | None = None


class ClaimTerms(_Part):
    """What to claim and when."""

    quote_id: VendorId | None = None
    claim_type_id: VendorId | None = None
    language: Language = "en"
    section_fields: SectionFields = []
    when: Annotated[ClaimWhen | None, Field(strict=False)] = None


class CancellationRequest(_Part):
    """A request to cancel; only `booking_id` is required."""

    booking_id: VendorId
    partner: Annotated[str | None, Field(pattern=PARTNER_CODE, description=_PARTNER)] = None
    journey: Annotated[Journey | None, Field(strict=False)] = None
    quotes: Annotated[list[QuoteToCancel], Field(min_length=1, max_length=200)] | None = None
    refund: RefundTerms = RefundTerms()
    refund_required: bool | None = None
    claim: ClaimTerms | None = None
    callback_url: Annotated[str | None, Field(max_length=outbound.MAX_URL, description=_CALLBACK_URL)] = None
    dry_run: Annotated[bool, Field(description=_DRY_RUN)] = False
    metadata: Annotated[dict[str, Any], AfterValidator(partial(storable, level=1))] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "CancellationRequest":
        if self.quotes and len({quote.id for quote in self.quotes}) < len(self.quotes):
            raise ValueError("quotes: names a policy twice")
        contradictions = _contradictions(self, self.journey) if self.journey else []
        if contradictions:
            raise ValueError("; ".join(contradictions))
        return self


def _contradictions(request: CancellationRequest, journey: Journey) -> list[str]:
    """Return what a request names that its journey would have to ignore, or lacks that it must name."""
    mode, when = request.refund.mode, request.claim.when if request.claim else None
    cancels_nothing = journey is Journey.CLAIM
    checks = {
        f"claim: the journey '{journey}' submits no claim": request.claim is not None and journey not in CLAIMING,
        "quotes: the journey 'claim' cancels no policy; name the one to claim in claim.quote_id": (
            cancels_nothing and request.quotes is not None
        ),
        "refund_required: the journey 'claim' cancels no policy": (
            cancels_nothing and request.refund_required is not None
        ),
        f"refund.mode: the journey '{journey}' has no refund step, so only 'skip' fits": (
            Step.REFUND not in steps_of(journey) and mode in {"wait", "call"}
        ),
        "refund.mode: must be named for 'claim_then_cancel', since the claim itself may repay the premium": (
            journey is Journey.CLAIM_THEN_CANCEL and mode is None
        ),
        f"claim.when: the journey '{journey}' has its own order": (
            (journey is Journey.CLAIM and when in {ClaimWhen.AFTER_CONFIRM, ClaimWhen.BEFORE_CONFIRM})
            or (journey is Journey.CLAIM_THEN_CANCEL and when is ClaimWhen.AFTER_CONFIRM)
        ),
    }
    return [problem for problem, is_so in checks.items() if is_so]


class RoundedNumber(float):
    """A number that a float holds only roughly; `written` is how it was sent."""

    written: str

    def __new__(cls, written: str) -> Self:
        """Read the number, and remember it as written."""
        number = super().__new__(cls, written)
        number.written = written
        return number


def parse(body: Any, *, settings: AcceptingSettings, caller: str | None = None) -> CancellationRequest:
    """Validate a request and fill in the defaults of this deployment and of its caller.

    Raises Problem naming every field that is wrong.
    """
    if not isinstance(body, Mapping):
        raise Problem("invalid-request", "The body must be a JSON object.", errors=[])
    try:
        request = CancellationRequest.model_validate(dict(body))
    except ValidationError as error:
        raise invalid(error, "Nothing was accepted") from error
    told_at = _callback_url(request, settings, caller)
    if request.dry_run:
        told_at = None  # nobody must take the end of a dry run for a cancellation
    of_partner = settings_of(request.partner, settings, caller=caller)
    found = {"callback_url": told_at, "partner": of_partner.xcover_partner_code}
    return _with_defaults(request, of_partner).model_copy(update=found)


def settings_of(partner: str | None, settings: AcceptingSettings, *, caller: str | None) -> AcceptingSettings:
    """Return the settings of the partner that a request names, the deployment's own where it names none.

    Raises Problem for one that is not configured, and for one that this caller may not name: they look the same.
    """
    code = partner or settings.xcover_partner_code
    found = settings.of_partner(code) if settings.may_name(caller, code) else None
    if found is None:
        errors = [{"field": "partner", "problem": "no partner of this code is configured for this caller"}]
        raise Problem("invalid-request", "Nothing was accepted; wrong or unknown: partner.", errors=errors)
    return found


def fingerprint(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a body as sent; key order and white space aside, numbers exactly."""
    try:
        canonical = json.dumps(_exact(body), sort_keys=True, separators=(",", ":"), default=str)
    except (RecursionError, TypeError, ValueError):
        canonical = "cannot be written out"  # and cannot be accepted either; only refusals come here
    return hashlib.sha256(canonical.encode(errors="backslashreplace")).hexdigest()


def _exact(value: Any) -> Any:
    """Return a copy in which two numbers that one float stands for differ; no accepted text holds a NUL."""
    if isinstance(value, RoundedNumber):
        return f"\0{value.written}"
    if isinstance(value, dict):
        return {name: _exact(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_exact(inner) for inner in value]
    return value


def _with_defaults(request: CancellationRequest, settings: AcceptingSettings) -> CancellationRequest:
    journey = request.journey or (Journey.CANCEL_AND_CLAIM if request.claim else Journey.CANCEL)
    mode = (request.refund.mode or settings.refund_mode) if Step.REFUND in steps_of(journey) else "skip"
    if mode == "call" and settings.refund_url is None:
        detail = "This deployment asks nobody for refunds (REFUND_URL is not set); nothing was accepted."
        raise Problem("refund-call-disabled", detail)
    claim = _claim_terms(request.claim or ClaimTerms(), settings) if journey in CLAIMING else None
    return request.model_copy(update={"journey": journey, "refund": RefundTerms(mode=mode), "claim": claim})


def _callback_url(request: CancellationRequest, settings: AcceptingSettings, caller: str | None) -> str | None:
    """Return where the caller is told of changes: where the request says, else where the settings do."""
    url = request.callback_url
    if url is None:
        return settings.callback_urls.get(caller or "")
    fault = outbound.fault(url, allows_loopback=settings.callbacks_allow_loopback)
    if fault is not None:
        detail = "Nothing was accepted; wrong or unknown: callback_url."
        raise Problem("invalid-request", detail, errors=[{"field": "callback_url", "problem": fault}])
    if not settings.callback_secrets.get(caller or ""):
        detail = "This caller has no secret in CALLBACK_SECRETS to sign callbacks with; nothing was accepted."
        raise Problem("callbacks-not-configured", detail)
    return url


def _claim_terms(claim: ClaimTerms, settings: AcceptingSettings) -> ClaimTerms:
    if not settings.claims_enabled:
        raise Problem(
            "claims-disabled",
            "This deployment submits no claims (CLAIMS_ENABLED is false); nothing was accepted.",
        )
    claim_type_id = claim.claim_type_id or settings.xclaim_claim_type_id
    if claim_type_id is None:
        detail = "claim.claim_type_id is missing and XCLAIM_CLAIM_TYPE_ID sets no default."
        raise Problem("invalid-request", detail, errors=[{"field": "claim.claim_type_id", "problem": "required"}])
    return claim.model_copy(update={"claim_type_id": claim_type_id, "when": claim.when or settings.claim_when})


def invalid(error: ValidationError, outcome: str) -> Problem:
    """Return a refusal that names every wrong field, up to a limit, and says what became of the body."""
    errors = [
        {
            "field": clean_text(".".join(str(part) for part in item["loc"]), limit=MAX_FIELD_NAME),
            "problem": item["msg"].removeprefix("Value error, "),
        }
        for item in error.errors(include_url=False, include_input=False)[:MAX_ERRORS]
    ]
    more = error.error_count() - len(errors)
    fields = ", ".join(sorted({item["field"] or "the body" for item in errors})) + (f" and {more} more" if more else "")
    detail = f"{outcome}; wrong or unknown: {fields}."
    return Problem("invalid-request", detail, errors=errors, **({"more_errors": more} if more else {}))
