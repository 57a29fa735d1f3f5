"""Reading a partner's refund report, as every door takes it. Whether the report is right is not decided here."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.caller_actions import RefundReport
from shared.cancellation_request import invalid
from shared.problems import Problem


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must contain printable characters only")
    return value


AmountText = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,18}(\.[0-9]{1,10})?$", description="Decimal digits, as text", examples=["22.40"]),
]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])]
Reference = Annotated[
    str,
    Field(min_length=1, max_length=255, description="The partner's own name for the payment", examples=["re_123"]),
    AfterValidator(_printable),
]


class RefundReportBody(BaseModel):
    """The partner's report that it has refunded its customer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    amount: AmountText
    currency: CurrencyCode
    reference: Reference


def parse(body: Any, *, actor: str) -> RefundReport:
    """Validate a report; raise Problem naming every field that is wrong."""
    if not isinstance(body, dict):
        raise Problem("invalid-request", "The body must be a JSON object.", errors=[])
    try:
        report = RefundReportBody.model_validate(body)
    except ValidationError as error:
        raise invalid(error, "The report was not taken") from error
    return RefundReport(
        amount=Decimal(report.amount), currency=report.currency, reference=report.reference, actor=actor
    )
