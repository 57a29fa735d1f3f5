"""A caller's idempotency key: bare or quoted, one key either way."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.idempotency import InvalidKey, read_key

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)


def quoted(key: str) -> str:
    """Write a key as a structured-field string."""
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("order-1", "order-1"),
        ('"order-1"', "order-1"),
        ("  order-1\t", "order-1"),
        (' "order-1" ', "order-1"),
        (r'"a\"b"', 'a"b'),
        (r'"a\\b"', r"a\b"),
        (r"a\b", r"a\b"),
        ('a"b', 'a"b'),
        ("a,b;c=d", "a,b;c=d"),
        ("!", "!"),
        ("~", "~"),
        ("k" * 255, "k" * 255),
        ('"' + "k" * 255 + '"', "k" * 255),
        ('"' + r"\"" * 255 + '"', '"' * 255),
    ],
)
def test_a_key_is_the_same_bare_and_quoted(sent: str, key: str) -> None:
    assert read_key(sent) == key


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "   ",
        '""',
        "a b",
        '"a b"',
        "a\tb",
        "a\nb",
        "a\n",
        '"a"\n',
        "a\x00b",
        "a\x7fb",
        "é",
        '"é"',
        "😀",
        "\ud800",
        "\u00a0a",
        "k" * 256,
        '"' + "k" * 256 + '"',
        '"' + r"\\" * 256 + '"',
    ],
)
def test_anything_but_1_to_255_visible_characters_is_no_key(sent: str | None) -> None:
    with pytest.raises(InvalidKey) as refused:
        read_key(sent)

    assert "1 to 255 visible" in str(refused.value)


def test_what_is_wrong_with_a_key_never_shows_the_key() -> None:
    with pytest.raises(InvalidKey) as refused:
        read_key("someone@example.test s3cret")

    assert "s3cret" not in str(refused.value)


@given(VISIBLE)
@example('"a"')
@example("\\")
def test_every_key_can_be_sent_quoted(key: str) -> None:
    assert read_key(quoted(key)) == key


@given(VISIBLE.filter(lambda key: not key.startswith('"')))
def test_every_key_that_does_not_begin_with_a_quote_can_be_sent_bare(key: str) -> None:
    assert read_key(key) == key


@given(st.text(st.characters()))
def test_whatever_is_sent_it_is_a_key_of_visible_characters_or_refused(sent: str) -> None:
    try:
        key = read_key(sent)
    except InvalidKey:
        return
    assert re.fullmatch(r"[!-~]{1,255}", key)
