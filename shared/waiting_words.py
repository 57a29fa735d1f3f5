"""Moments, spans, amounts and names as the sentences of `shared.waiting` say them. Pure."""

from datetime import datetime
from decimal import Decimal

from shared.lifecycle import Step
from shared.money import Money, MoneyError

_UNITS = ((172_800, 86_400, "days"), (7_200, 3_600, "h"), (60, 60, "min"), (0, 1, "s"))
"""From so many seconds on, told in units of so many, called so."""

A_MINUTE = 60.0
XCOVER, XCLAIM = "XCover", "XClaim"
_ASKS_XCLAIM = frozenset({Step.CLAIM, Step.AWAIT_PREMIUM_REFUND})


def moment(time: datetime) -> str:
    """Return a time as people read it: `2026-01-31 09:05:00 UTC`."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def since(time: datetime, now: datetime) -> str:
    """Return a time that has passed, and how long ago that is, which is not told to the second."""
    seconds = (now - time).total_seconds()
    return f"{moment(time)} ({span(seconds) if seconds >= A_MINUTE else 'just now'})"


def span(seconds: float) -> str:
    """Return a length of time in its fitting unit, rounded down: `40 s`, `28 min`, `5 h`, `14 days`."""
    whole = max(int(seconds), 0)
    _, unit, name = next(row for row in _UNITS if whole >= row[0])
    return f"{whole // unit} {name}"


def money(amount: Decimal | None, currency: str | None) -> str:
    """Return an amount, as the insurer said it where it is no money of that currency."""
    if amount is None or currency is None:
        return "an amount that is not known"
    try:
        return str(Money(amount=amount, currency=currency))
    except MoneyError:
        return f"{amount:f} {currency}"


def times(count: int) -> str:
    """Return how often something was done."""
    return "once" if count == 1 else f"{count} times"


def ended(text: str) -> str:
    """Return a text as a sentence: with a full stop, and only one."""
    return f"{text.strip().rstrip('.')}."


def insurer_of(step: str | None) -> str | None:
    """Return whom a step asks: XCover, XClaim, or None for the partner's own refund."""
    if step is None or step == Step.REFUND:
        return None
    return XCLAIM if step in _ASKS_XCLAIM else XCOVER
