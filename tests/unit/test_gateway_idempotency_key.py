"""What an Idempotency-Key header means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_gateway.idempotency_key import parse

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("order-1", "order-1"),
        ('"order-1"', "order-1"),
        ("  order-1\t", "order-1"),
        (r'"a\"b\\c"', r'a"b\c'),
        (r"a\b", r"a\b"),
        ('a"b', 'a"b'),
        ("a,b", "a,b"),
        ('"a,a"', "a,a"),
        ("k" * 255, "k" * 255),
        ('"' + r"\"" * 255 + '"', '"' * 255),
    ],
)
def test_a_key_is_the_same_bare_and_quoted(header: str, key: str) -> None:
    assert parse(header) == key


@pytest.mark.parametrize(
    "header",
    [
        "",
        '""',
        '"',
        '"a',
        '"a"b"',
        r'"a\b"',
        r'"a\"',
        '"a";p=1',
        '"a b"',
        "a b",
        "a\tb",
        "é",
        "\x7f",
        "k" * 256,
        "a,a",
        "a, a",
        '"a","b"',
    ],
)
def test_everything_else_is_no_key(header: str) -> None:
    assert parse(header) is None


@given(VISIBLE)
def test_every_visible_key_may_be_quoted(key: str) -> None:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')

    assert parse(f'"{escaped}"') == key


@given(st.text(max_size=300))
def test_no_header_breaks_the_reader(header: str) -> None:
    parse(header)
