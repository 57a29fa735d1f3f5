import pickle
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.insurer import errors
from shared.insurer.errors import (
    InFlight,
    InsurerError,
    KeyConflict,
    Misdirected,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
    Throttled,
    Unavailable,
    error_for_status,
    flatten_errors,
    problems_in,
)

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=40,
)


@pytest.mark.parametrize(
    ("errors", "pairs"),
    [
        (["Status change not allowed"], (("", "Status change not allowed"),)),
        ({"policy_version": "Unexpected field"}, (("policy_version", "Unexpected field"),)),
        ({"currency": ["Required.", "Unknown."]}, (("currency", "Required."), ("currency", "Unknown."))),
        ({"quotes": {"policy": ["no", "never"]}}, (("quotes.policy", "no"), ("quotes.policy", "never"))),
        ({"0": {"message": "no", "type": "failure"}}, (("0.message", "no"), ("0.type", "failure"))),
        ([{"a": "x"}, ["y"]], (("a", "x"), ("", "y"))),
        ({"sectionFields.0.name": ["required"]}, (("sectionFields.0.name", "required"),)),
        ("a bare text", (("", "a bare text"),)),
        ({"a": 5, "b": True, "c": Decimal("1.50")}, (("a", "5"), ("b", "True"), ("c", "1.50"))),
        (None, ()),
        ([], ()),
        ({"a": None, "b": {}}, ()),
    ],
)
def test_every_shape_of_errors_becomes_pairs(errors: object, pairs: object) -> None:
    assert flatten_errors(errors) == pairs


@pytest.mark.parametrize(
    ("errors", "path"),
    [
        ({"policyholder": {"phone": ["Ann Doe is not a number"]}}, "policyholder.phone"),
        ({"policyholder": {"0": {"message": "Ann Doe"}}}, "policyholder.0.message"),
        ({"first_name": "Ann Doe is too long"}, "first_name"),
        ({"quotes.0.passenger.title": "Ann Doe"}, "quotes.0.passenger.title"),
        ([{"extra_fields": [["Ann Doe"]]}], "extra_fields"),
    ],
)
def test_of_a_persons_field_only_the_path_is_kept(errors: object, path: str) -> None:
    assert flatten_errors(errors) == ((path, "[redacted]"),)


@given(json_like)
def test_anything_at_all_is_flattened_without_raising(errors: object) -> None:
    for path, text in flatten_errors(errors):
        assert len(path) <= 300
        assert len(text) <= 300
        (path + text).encode()


def test_flattening_is_bounded() -> None:
    deep: object = "x"
    for _ in range(3000):
        deep = {"a": deep}
    assert flatten_errors(deep) == (("a.a.a.a.a.a.a.a.a", "…"),)
    assert len(flatten_errors(["x"] * 10_000)) == errors.MAX_PROBLEMS


def test_a_body_without_errors_complains_with_its_message() -> None:
    assert problems_in({"type": "api_error", "message": "Quote package does not exist"}) == (
        ("", "Quote package does not exist"),
    )
    assert problems_in({"message": "An API error occurred.", "errors": {"a": "b"}}) == (("a", "b"),)
    assert problems_in("<html>") == ()


@pytest.mark.parametrize(
    ("status", "deed", "read"),
    [
        (200, OutcomeUnknown, Unavailable),
        (301, Misdirected, Misdirected),
        (400, Refused, Refused),
        (401, NotAllowed, NotAllowed),
        (403, NotAllowed, NotAllowed),
        (404, NotFound, NotFound),
        (408, OutcomeUnknown, Unavailable),
        (409, KeyConflict, Refused),
        (418, Refused, Refused),
        (422, Refused, Refused),
        (423, InFlight, InFlight),
        (429, Throttled, Throttled),
        (500, OutcomeUnknown, Unavailable),
        (502, OutcomeUnknown, Unavailable),
        (503, OutcomeUnknown, Unavailable),
        (599, OutcomeUnknown, Unavailable),
    ],
)
def test_the_status_alone_says_what_to_do_next(status: int, deed: type, read: type) -> None:
    assert error_for_status(status, is_read=False) is deed
    assert error_for_status(status, is_read=True) is read


def test_an_error_says_what_was_attempted_what_came_and_what_happens_next() -> None:
    error = Refused("confirm c-CCL on booking b-INS", status=422, problems=(("quotes", "no"), ("", "at all")))
    assert str(error) == (
        "could not confirm c-CCL on booking b-INS (answered 422): "
        "refused; the same request will be refused again [quotes: no; at all]"
    )


def test_an_error_survives_pickling_whole() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    error = Throttled("x", status=429, problems=(("a", "b"),), insurer_time=moment, retry_after=2.0, evidence={"k": 1})
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is Throttled
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_an_error_hides_what_an_identifier_may_contain() -> None:
    error = InsurerError("read booking someone@example.test")
    assert "someone" not in str(error)
    assert "someone" not in repr(error)
