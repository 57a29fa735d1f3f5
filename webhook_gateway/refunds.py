"""Reading a partner's refund report. Whether the report is right is not decided here."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.caller_actions import RefundReport
from shared.problems import Problem

AMOUNT = r"^[0-9]{1,18}(\.[0-9]{1,10})?$"


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must contain printable characters only")
    return value


class RefundReportBody(BaseModel):
    """The partner's report that it has refunded its customer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    amount: Annotated[str, Field(pattern=AMOUNT, description="Decimal digits, as text", examples=["22.40"])]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])]
    reference: Annotated[
        str,
        Field(min_length=1, max_length=255, description="The partner's own name for the payment", examples=["re_123"]),
        AfterValidator(_printable),
    ]


def parse(body: Any, *, actor: str) -> RefundReport:
    """Validate a report; raise Problem naming every field that is wrong."""
    if not isinstance(body, dict):
        raise Problem("invalid-request", "The body must be a JSON object.", errors=[])
    try:
        report = RefundReportBody.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise _invalid(
            [(".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")) for item in details]
        ) from error
    return RefundReport(
        amount=Decimal(report.amount), currency=report.currency, reference=report.reference, actor=actor
    )


def _invalid(complaints: list[tuple[str, str]]) -> Problem:
    errors = [{"field": field, "problem": problem} for field, problem in complaints]
    fields = ", ".join(sorted({field for field, _ in complaints}))
    return Problem("invalid-request", f"The report was not taken; wrong or unknown: {fields}.", errors=errors)
