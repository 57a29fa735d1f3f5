"""An operator's ruling: what is decided, by whom, why, and on what evidence. Knows no tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.money import Money


class Resolution(StrEnum):
    """The ways to resolve."""

    DONE = "done"
    NOT_DONE = "not_done"
    AMEND = "amend"
    CLOSE = "close"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What shows that a step did happen: kept as stated, and read where the step needs it."""

    stated: Mapping[str, Any] = field(default_factory=dict)
    money: Money | None = None
    """What was refunded, or what a cancellation refunds."""
    reference: str | None = None
    """The partner's name for the payment."""
    claim_id: str | None = None
    claim_reference: str | None = None

    def __bool__(self) -> bool:
        """Tell whether anything is shown at all."""
        return any(vars(self).values())


@dataclass(frozen=True, kw_only=True)
class ClaimAmendment:
    """Claim fields that replace refused ones; None keeps what was asked for."""

    section_fields: list[Any] | None = None
    language: str | None = None
    claim_type_id: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return what is replaced."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """An operator's decision, with who and why."""

    resolution: Resolution
    actor: str
    note: str
    evidence: Evidence = Evidence()
    amendment: ClaimAmendment = ClaimAmendment()
    frees_policies: bool = False
    """Let others cancel or claim the policies although something irreversible was begun; only with `close`."""
