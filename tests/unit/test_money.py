from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import ExcessDigits, Money, NotAnAmount, UnknownCurrency, minor_units, parse_amount


@pytest.mark.parametrize(("currency", "digits"), [("EUR", 2), ("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_minor_units_follow_iso_4217(currency: str, digits: int) -> None:
    assert minor_units(currency) == digits


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "XXY", "XAU", "E\x00R", "€"])
def test_a_currency_that_nothing_can_be_paid_in_is_unknown(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        minor_units(currency)


@pytest.mark.parametrize(
    ("given_text", "currency", "text", "minor"),
    [
        ("22.4", "EUR", "22.40", 2240),
        ("22.400", "EUR", "22.40", 2240),
        ("0", "EUR", "0.00", 0),
        ("100.0", "JPY", "100", 100),
        ("1.5", "KWD", "1.500", 1500),
        ("0022.40", "EUR", "22.40", 2240),
        ("1000.000000000000000000", "USD", "1000.00", 100_000),
        ("9" * 28 + ".99", "EUR", "9" * 28 + ".99", int("9" * 30)),
    ],
)
def test_an_amount_has_exactly_its_currencys_digits(given_text: str, currency: str, text: str, minor: int) -> None:
    money = parse_amount(given_text, currency)
    assert (money.text, money.minor, str(money)) == (text, minor, f"{text} {currency}")


@pytest.mark.parametrize(("text", "currency"), [("22.401", "EUR"), ("0.1", "JPY"), ("1.0001", "KWD")])
def test_digits_that_carry_value_below_the_smallest_coin_are_refused(text: str, currency: str) -> None:
    with pytest.raises(ExcessDigits):
        parse_amount(text, currency)


NOT_PLAIN = [
    "-1",
    "+1",
    "1e3",
    "1E2",
    "NaN",
    "Infinity",
    "-0",
    "1,00",
    "1_000",
    ".",
    "1.",
    ".5",
    "1.2.3",
    "0x10",
]
NOT_DIGITS = ["", " 1", "1 ", "\u0661", "\u00b2", "\ud800", "1\x00"]
TOO_LONG = ["9" * 31, "0." + "0" * 30]


@pytest.mark.parametrize("text", [*NOT_PLAIN, *NOT_DIGITS, *TOO_LONG])
def test_what_is_not_plain_digits_is_not_an_amount(text: str) -> None:
    with pytest.raises(NotAnAmount):
        parse_amount(text, "EUR")


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-1", "1E+30", "1E+999999", "1E-999999", "1e-30"])
def test_a_decimal_that_is_not_a_plausible_amount_is_refused(number: str) -> None:
    with pytest.raises(NotAnAmount):
        parse_amount(Decimal(number), "EUR")


def test_a_negative_zero_is_zero() -> None:
    assert parse_amount(Decimal("-0.00"), "EUR").text == "0.00"


def test_amounts_are_equal_by_minor_units_and_currency() -> None:
    assert Money(amount=Decimal("22.4"), currency="EUR") == parse_amount("22.400", "EUR")
    assert len({parse_amount("22.4", "EUR"), parse_amount("22.40", "EUR")}) == 1
    assert parse_amount("22.4", "EUR") != parse_amount("22.4", "USD")
    assert parse_amount("22.4", "EUR") != "22.40"


def test_a_small_exponent_in_a_decimal_is_a_number_like_any_other() -> None:
    assert parse_amount(Decimal("2E+1"), "EUR").text == "20.00"


@given(st.integers(0, 10**27), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_every_number_of_minor_units_survives_its_text(minor: int, currency: str) -> None:
    money = parse_amount(Decimal(minor).scaleb(-minor_units(currency)), currency)
    assert money.minor == minor
    assert parse_amount(money.text, currency) == money


@given(st.text())
def test_any_text_is_an_amount_or_refused_as_one(text: str) -> None:
    try:
        money = parse_amount(text, "EUR")
    except (NotAnAmount, ExcessDigits):
        return
    assert money.amount >= 0
