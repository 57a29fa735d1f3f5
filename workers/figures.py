"""Whether the figures of an insurer's answer agree with each other, and can be paid. Pure."""

from collections.abc import Collection, Sequence
from decimal import Decimal

from shared.money import Money, MoneyError
from shared.xcover.bookings import PolicyRefund


def disagreement(
    total: Decimal, currency: str, refunds: Sequence[PolicyRefund], *, asked_for: Collection[str]
) -> str | None:
    """Return what is wrong with a total refund: finer than the currency's coins, or not the sum of its policies'."""
    try:
        payable = Money(amount=total, currency=currency)
        for policy in refunds:
            if policy.refund is not None:
                Money(amount=policy.refund, currency=currency)
    except MoneyError as error:
        return f"The answer names a refund that cannot be paid: {error}"
    named = {policy.quote_id: policy.refund for policy in refunds}
    missing = [quote_id for quote_id in asked_for if named.get(quote_id) is None]
    if missing:
        return f"The answer names no refund for {', '.join(missing)}."
    summed = sum((refund for refund in named.values() if refund is not None), Decimal(0))
    if summed != payable.amount:
        return f"The total refund is {payable}, but its policies' refunds add up to {summed}."
    return None
