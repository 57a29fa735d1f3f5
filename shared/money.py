"""Amounts of money: exact decimals with their currency. Never a float, never arithmetic on formatted text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal

from iso4217 import Currency

MAX_DIGITS = 30  # a premium has fewer than ten; beyond this the text is an attack or a mistake, not an amount
_EXACT = Context(prec=2 * MAX_DIGITS)  # the default of 28 digits would round the longest amounts we accept


class MoneyError(ValueError):
    """What was given cannot be read as money.

    MoneyError
    ├── UnknownCurrency   the code is not one that ISO 4217 gives minor units to
    ├── NotAnAmount       not a finite, non-negative, reasonably short decimal number
    └── ExcessDigits      finer than the currency's smallest coin
    """


class UnknownCurrency(MoneyError):
    """Not an ISO 4217 code with minor units (metals such as XAU, and the test code XTS, have none)."""


class NotAnAmount(MoneyError):
    """Not a finite, non-negative decimal number of at most `MAX_DIGITS` digits."""


class ExcessDigits(MoneyError):
    """More decimals that carry value than the currency has minor units."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Money:
    """An amount in a currency. Equal when the currency and the number of minor units are.

    Raises the errors of `parse_amount` for anything that is not an amount of this currency.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", _payable(self.amount, self.currency))

    @property
    def text(self) -> str:
        """Exactly the currency's digits: 22.4 EUR is "22.40", 100 JPY is "100"."""
        return f"{self.amount:.{minor_units(self.currency)}f}"

    @property
    def minor(self) -> int:
        """The amount in the currency's smallest unit: 22.40 EUR is 2240."""
        return int(self.amount.scaleb(minor_units(self.currency), _EXACT))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return (self.currency, self.minor) == (other.currency, other.minor)

    def __hash__(self) -> int:
        return hash((self.currency, self.minor))

    def __str__(self) -> str:
        return f"{self.text} {self.currency}"


def minor_units(currency: str) -> int:
    """How many decimals the currency has by ISO 4217: EUR 2, JPY 0, KWD 3. Raises `UnknownCurrency`."""
    try:
        exponent = Currency(currency).exponent
    except ValueError as error:
        raise UnknownCurrency(f"{currency!r:.20} is not an ISO 4217 currency code") from error
    if exponent is None:
        raise UnknownCurrency(f"{currency!r} has no minor units in ISO 4217, so nothing can be paid in it")
    return exponent


def parse_amount(given: str | Decimal, currency: str) -> Money:
    """Read an amount. "22.4", "22.40" and "22.400" EUR are one amount: trailing zeros carry no value.

    Text is plain digits with at most one point: no sign, no exponent, no spaces, no grouping. A `Decimal` may
    carry a small exponent. Raises `UnknownCurrency`, `NotAnAmount` or `ExcessDigits`.
    """
    return Money(amount=parse_decimal(given) if isinstance(given, str) else given, currency=currency)


def parse_decimal(text: str) -> Decimal:
    """Read plain digits with at most one point, such as "1000.000000000000000000". Raises `NotAnAmount`."""
    whole, point, part = text.partition(".")
    if not (text.isascii() and whole.isdigit() and (part.isdigit() or not point)):
        raise NotAnAmount(f"{text[:50]!r} is not a plain decimal number")
    return _short(Decimal(text))


def _payable(amount: Decimal, currency: str) -> Decimal:
    digits = minor_units(currency)
    _short(amount)
    if amount < 0:
        raise NotAnAmount(f"{amount} is negative, and an amount is not")
    rounded = amount.copy_abs().quantize(Decimal(1).scaleb(-digits), context=_EXACT)
    if rounded != amount:
        raise ExcessDigits(f"{amount} has more decimals than {currency}, which has {digits}")
    return rounded


def _short(number: Decimal) -> Decimal:
    """Refuse what would need more than `MAX_DIGITS` digits when written out without an exponent."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise NotAnAmount(f"{number} is not a finite number")
    if max(number.adjusted() + 1, 1) + max(-exponent, 0) > MAX_DIGITS:
        raise NotAnAmount(f"{str(number)[:50]} has more than {MAX_DIGITS} digits")
    return number
