"""Reading what an operator decides: a ruling, or the note of a retry. Whether it fits is not decided here."""

import unicodedata
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.cancellation_request import Language, SectionFields, VendorId, invalid, storable
from shared.money import Money
from shared.problems import Problem
from shared.refund_report import AmountText, CurrencyCode, Reference
from shared.rulings import ClaimAmendment, Evidence, Resolution, Ruling


def _readable(value: str) -> str:
    # A no-break space is a space: notes are pasted from mails.
    if not all(char.isprintable() or unicodedata.category(char) == "Zs" for char in value):
        raise ValueError("must contain printable characters only")
    return _told(value)


def _told(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


Note = Annotated[
    str,
    Field(min_length=1, max_length=2000, description="Why; stays in the timeline with who"),
    AfterValidator(_readable),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class EvidenceBody(_Part):
    """What shows that the step did happen: these members where they fit, and any others."""

    model_config = ConfigDict(extra="allow")

    amount: Annotated[AmountText | None, Field(description="What was refunded; with `currency`")] = None
    currency: CurrencyCode | None = None
    reference: Reference | None = None
    claim_id: VendorId | None = None
    claim_reference: VendorId | None = None
    text: Annotated[str, AfterValidator(_told)] | None = None

    @model_validator(mode="after")
    def _whole_money(self) -> "EvidenceBody":
        if (self.amount is None) != (self.currency is None):
            raise ValueError("amount and currency belong together")
        self.money()
        return self

    def money(self) -> Money | None:
        """Return the amount; raise MoneyError when nobody could pay it."""
        if self.amount is None or self.currency is None:
            return None
        return Money(amount=Decimal(self.amount), currency=self.currency)

    def stated(self) -> dict[str, Any]:
        """Return everything that was given, as it was given."""
        return {name: value for name, value in self if value is not None}


class AmendmentBody(_Part):
    """Claim fields that replace refused ones; the others stay as they are."""

    section_fields: SectionFields | None = None
    language: Language | None = None
    claim_type_id: VendorId | None = None


def _as_object(value: Any) -> Any:
    if value is None:
        return None
    stated = {"text": value} if isinstance(value, str) else value
    if not isinstance(stated, dict):
        raise ValueError("must be an object or a text")  # noqa: TRY004 - pydantic lets a TypeError through
    return storable(stated, level=1)


class ResolutionBody(_Part):
    """An operator's decision about a cancellation that waits for a person."""

    resolution: Annotated[Resolution, Field(strict=False)]
    note: Note
    evidence: Annotated[
        EvidenceBody | None,
        BeforeValidator(_as_object, json_schema_input_type=EvidenceBody | str | None),
        Field(description='Required with `done`. A text is short for {"text": …}'),
    ] = None
    claim: Annotated[AmendmentBody | None, Field(description="Required with `amend`, and only there")] = None
    free_policies: Annotated[
        bool, Field(description="Only with `close`: let others cancel or claim its policies, whatever was begun")
    ] = False

    @model_validator(mode="after")
    def _consistent(self) -> "ResolutionBody":
        amends, is_close = self.resolution is Resolution.AMEND, self.resolution is Resolution.CLOSE
        checks = {
            "evidence: 'done' needs some": self.resolution is Resolution.DONE and not self.stated(),
            "claim: 'amend' needs at least one field to replace": amends and not self.amendment().fields(),
            "claim: belongs to 'amend' only": not amends and self.claim is not None,
            "free_policies: belongs to 'close' only": self.free_policies and not is_close,
        }
        wrong = [problem for problem, is_so in checks.items() if is_so]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def stated(self) -> dict[str, Any]:
        """Return the evidence, which may be none."""
        return self.evidence.stated() if self.evidence else {}

    def amendment(self) -> ClaimAmendment:
        """Return the claim fields to replace, which may be none."""
        return ClaimAmendment(**(dict(self.claim) if self.claim else {}))


class RetryBody(_Part):
    """Why it is retried."""

    note: Note | None = None


def parse(body: Any, *, actor: str) -> Ruling:
    """Read a decision; raise Problem naming every field that is wrong."""
    given = _read(ResolutionBody, body)
    stated = given.evidence or EvidenceBody()
    evidence = Evidence(
        stated=given.stated(),
        money=stated.money(),
        reference=stated.reference,
        claim_id=stated.claim_id,
        claim_reference=stated.claim_reference,
    )
    return Ruling(
        resolution=given.resolution,
        actor=actor,
        note=given.note,
        evidence=evidence,
        amendment=given.amendment(),
        frees_policies=given.free_policies,
    )


def parse_note(body: Any) -> str | None:
    """Read the body of a retry, which may be missing; raise Problem naming every field that is wrong."""
    return None if body is None else _read(RetryBody, body).note


_Body = TypeVar("_Body", bound=BaseModel)


def _read(model: type[_Body], body: Any) -> _Body:
    if not isinstance(body, dict):
        raise Problem("invalid-request", "The body must be a JSON object.", errors=[])
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(error, "Nothing was changed") from error
