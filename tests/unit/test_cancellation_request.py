"""What a caller may ask for: defaults, limits, and hostile bodies."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cancellation_request import MAX_ERRORS, MAX_FREE_FORM_BYTES, CancellationRequest, fingerprint, parse
from shared.config import AcceptingSettings
from shared.lifecycle import ClaimWhen, Journey
from shared.nesting import MAX_DEPTH, is_nested_deeper
from shared.problems import Problem

BOOKING = "8WD8Y-LTEKE-INS"
CLAIM_TYPE = "cfar-type"


def settings(**changes: Any) -> AcceptingSettings:
    """Return a deployment's settings."""
    return AcceptingSettings(**{"xcover_partner_code": "ABCDE", "xclaim_claim_type_id": CLAIM_TYPE, **changes})


def accepted(body: dict[str, Any] | None = None, *, deployment: AcceptingSettings | None = None) -> CancellationRequest:
    """Parse a body that needs no more than a booking."""
    return parse({"booking_id": BOOKING, **(body or {})}, settings=deployment or settings())


def refused(body: Any, *, deployment: AcceptingSettings | None = None) -> Problem:
    """Return the problem with a body."""
    with pytest.raises(Problem) as no:
        parse(body, settings=deployment or settings())
    return no.value


def wrong_fields(body: Any) -> list[str]:
    """Return the fields that a refusal names."""
    problem = refused(body)
    assert (problem.slug, problem.status) == ("invalid-request", 422)
    return [error["field"] for error in problem.document["errors"]]


def test_only_the_booking_is_required() -> None:
    request = accepted()

    assert request.booking_id == BOOKING
    assert (request.journey, request.quotes, request.claim) == (Journey.CANCEL, None, None)
    assert (request.refund.mode, request.refund_required, request.metadata) == ("wait", None, {})


@pytest.mark.parametrize(
    ("body", "journey"),
    [
        ({}, Journey.CANCEL),
        ({"journey": "cancel"}, Journey.CANCEL),
        ({"claim": {}}, Journey.CANCEL_AND_CLAIM),
        ({"journey": "cancel_and_claim"}, Journey.CANCEL_AND_CLAIM),
        ({"journey": None, "claim": {}}, Journey.CANCEL_AND_CLAIM),
        ({"claim": None}, Journey.CANCEL),
    ],
)
def test_the_journey_follows_from_the_claim(body: dict[str, Any], journey: Journey) -> None:
    request = accepted(body)

    assert request.journey is journey
    assert (request.claim is not None) == (journey is Journey.CANCEL_AND_CLAIM)


def test_a_claim_is_filled_with_the_deployments_defaults() -> None:
    claim = accepted({"claim": {}}, deployment=settings(claim_when="after_confirm")).claim

    assert claim is not None
    assert (claim.claim_type_id, claim.when, claim.language) == (CLAIM_TYPE, ClaimWhen.AFTER_CONFIRM, "en")
    assert (claim.quote_id, claim.section_fields) == (None, [])


def test_what_a_request_names_wins_over_the_deployments_defaults() -> None:
    deployment = settings(claim_when="after_confirm", refund_mode="skip")
    body = {"refund": {"mode": "wait"}, "claim": {"claim_type_id": "other", "when": "before_confirm"}}

    request = accepted(body, deployment=deployment)

    assert request.refund.mode == "wait"
    assert request.claim is not None
    assert (request.claim.claim_type_id, request.claim.when) == ("other", ClaimWhen.BEFORE_CONFIRM)


@pytest.mark.parametrize("body", [{}, {"refund": {}}, {"refund": {"mode": None}}])
def test_the_refund_mode_defaults_to_the_deployments(body: dict[str, Any]) -> None:
    assert accepted(body, deployment=settings(refund_mode="skip")).refund.mode == "skip"


@pytest.mark.parametrize("required", [True, False, None])
def test_refund_required_is_kept_as_given(required: bool | None) -> None:
    assert accepted({"refund_required": required}).refund_required is required


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"bookingid": "x"}, "bookingid"),
        ({"idempotency_key": "k"}, "idempotency_key"),
        ({"quotes": [{"id": "q", "reason": "x"}]}, "quotes.0.reason"),
        ({"refund": {"mode": "wait", "amount": "1"}}, "refund.amount"),
        ({"claim": {"claimtype": "x"}}, "claim.claimtype"),
    ],
)
def test_an_unknown_field_is_refused_by_its_path(body: dict[str, Any], field: str) -> None:
    assert wrong_fields({"booking_id": BOOKING, **body}) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"booking_id": 5}, "booking_id"),
        ({"booking_id": None}, "booking_id"),
        ({"booking_id": ["x"]}, "booking_id"),
        ({"quotes": {}}, "quotes"),
        ({"quotes": "q"}, "quotes"),
        ({"quotes": ["q"]}, "quotes.0"),
        ({"quotes": [{"id": 1}]}, "quotes.0.id"),
        ({"quotes": [{"id": "q", "reason_for_cancellation": 5}]}, "quotes.0.reason_for_cancellation"),
        ({"refund": None}, "refund"),
        ({"refund": "skip"}, "refund"),
        ({"refund": {"mode": True}}, "refund.mode"),
        ({"refund_required": "true"}, "refund_required"),
        ({"refund_required": 1}, "refund_required"),
        ({"claim": True}, "claim"),
        ({"claim": {"section_fields": {}}}, "claim.section_fields"),
        ({"claim": {"when": 1}}, "claim.when"),
        ({"journey": 1}, "journey"),
        ({"metadata": []}, "metadata"),
        ({"metadata": None}, "metadata"),
    ],
)
def test_nothing_is_converted_from_another_type(body: dict[str, Any], field: str) -> None:
    assert wrong_fields({"booking_id": BOOKING, **body}) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"booking_id": ""}, "booking_id"),
        ({"booking_id": "x" * 65}, "booking_id"),
        ({"booking_id": "../other"}, "booking_id"),
        ({"booking_id": "a b"}, "booking_id"),
        ({"booking_id": "a\n"}, "booking_id"),
        ({"booking_id": "ä"}, "booking_id"),
        ({"booking_id": "-a"}, "booking_id"),
        ({"quotes": []}, "quotes"),
        ({"quotes": [{"id": f"q-{number}"} for number in range(201)]}, "quotes"),
        ({"quotes": [{"id": "q/1"}]}, "quotes.0.id"),
        ({"quotes": [{}]}, "quotes.0.id"),
        ({"quotes": [{"id": "q", "reason_for_cancellation": ""}]}, "quotes.0.reason_for_cancellation"),
        ({"quotes": [{"id": "q", "reason_for_cancellation": "x" * 1001}]}, "quotes.0.reason_for_cancellation"),
        ({"claim": {"quote_id": "q?1"}}, "claim.quote_id"),
        ({"claim": {"claim_type_id": ""}}, "claim.claim_type_id"),
        ({"claim": {"language": "english please"}}, "claim.language"),
        ({"claim": {"when": "now"}}, "claim.when"),
        ({"claim": {"section_fields": ["x" * MAX_FREE_FORM_BYTES]}}, "claim.section_fields"),
        ({"metadata": {"x": "x" * MAX_FREE_FORM_BYTES}}, "metadata"),
        ({"metadata": {"x": "ä" * (MAX_FREE_FORM_BYTES // 2)}}, "metadata"),
        ({"journey": "cancel_everything"}, "journey"),
        ({"refund": {"mode": "later"}}, "refund.mode"),
    ],
)
def test_a_value_beyond_its_limits_is_refused(body: dict[str, Any], field: str) -> None:
    assert wrong_fields({"booking_id": BOOKING, **body}) == [field]


@pytest.mark.parametrize(
    "body",
    [
        {"booking_id": "x" * 64},
        {"quotes": [{"id": f"q-{number}"} for number in range(200)]},
        {"quotes": [{"id": "q", "reason_for_cancellation": "ä" * 1000}]},
        {"quotes": [{"id": "q", "reason_for_cancellation": None}]},
        {"metadata": {"x": "x" * (MAX_FREE_FORM_BYTES - len('{"x": ""}'))}},
        {"metadata": {"nested": {"list": [1, 2.5, True, None, "ä😀"]}}},
        {"claim": {"language": "pt-BR"}},
        {"claim": {"section_fields": [{"name": "x", "value": "y"}]}},
    ],
)
def test_a_value_at_its_limits_is_accepted(body: dict[str, Any]) -> None:
    accepted(body)


def deep(depth: int) -> list[Any]:
    """Return lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE_VALUES = [
    pytest.param("a\x00b", id="NUL"),
    pytest.param("\ud800", id="high surrogate"),
    pytest.param("a\udfffb", id="low surrogate"),
    pytest.param(float("nan"), id="NaN"),
    pytest.param(float("inf"), id="Infinity"),
    pytest.param(deep(100_000), id="deep nesting"),
    pytest.param(deep(MAX_DEPTH), id="just too deep"),
    pytest.param(Decimal(1), id="decimal"),
    pytest.param(UUID(int=0), id="UUID"),
    pytest.param(b"x", id="bytes"),
]


@pytest.mark.parametrize("value", HOSTILE_VALUES)
@pytest.mark.parametrize("place", ["value", "nested", "in a list"])
def test_free_form_values_that_cannot_be_stored_are_refused(value: Any, place: str) -> None:
    metadata = {"value": {"x": value}, "nested": {"x": {"y": value}}, "in a list": {"x": [1, value]}}[place]

    assert wrong_fields({"booking_id": BOOKING, "metadata": metadata}) == ["metadata"]
    body = {"booking_id": BOOKING, "claim": {"section_fields": [metadata]}}
    assert wrong_fields(body) == ["claim.section_fields"]


def test_free_form_values_may_nest_as_deep_as_a_body_may() -> None:
    for body, field in (
        (lambda value: {"metadata": {"x": value}}, "metadata"),
        (lambda value: {"claim": {"section_fields": [value]}}, "claim.section_fields"),
    ):
        deepest = next(depth for depth in range(MAX_DEPTH) if is_nested_deeper(body(deep(depth))))
        accepted(body(deep(deepest - 2)))  # the body itself is a level
        assert wrong_fields({"booking_id": BOOKING, **body(deep(deepest))}) == [field]


@pytest.mark.parametrize("name", ["a\x00b", "\ud800"])
def test_free_form_names_that_cannot_be_stored_are_refused(name: str) -> None:
    assert wrong_fields({"booking_id": BOOKING, "metadata": {name: 1}}) == ["metadata"]


@pytest.mark.parametrize("text", [r"a\u0000b", r"C:\u0000", "\\\\u0000"])
def test_text_that_merely_looks_like_an_escape_is_accepted(text: str) -> None:
    assert accepted({"metadata": {"x": text}}).metadata == {"x": text}


@pytest.mark.parametrize("value", ["a\x00b", "a\nb", "a\x7fb", "a\x1bb", "\ud800", "a\udfffb"])
@pytest.mark.parametrize("field", ["booking_id", "reason", "language"])
def test_text_that_cannot_be_stored_or_shown_is_refused(value: str, field: str) -> None:
    body = {
        "booking_id": {"booking_id": value},
        "reason": {"quotes": [{"id": "q", "reason_for_cancellation": value}]},
        "language": {"claim": {"language": value}},
    }[field]

    refused({"booking_id": BOOKING, **body})


@pytest.mark.parametrize("body", [None, [], "x", 5, True, [{"booking_id": BOOKING}]])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    assert refused(body).slug == "invalid-request"


def test_every_wrong_field_is_named_at_once() -> None:
    body = {"booking_id": 1, "quotes": [{"id": "q"}, {"id": ""}], "refund": {"mode": "x"}, "extra": 1}

    assert sorted(wrong_fields(body)) == ["booking_id", "extra", "quotes.1.id", "refund.mode"]


def test_of_very_many_wrong_fields_the_first_are_named_and_the_others_counted() -> None:
    problem = refused({"booking_id": BOOKING, **{f"f{number}": 1 for number in range(MAX_ERRORS + 7)}})

    assert (len(problem.document["errors"]), problem.document["more_errors"]) == (MAX_ERRORS, 7)
    assert str(problem).endswith("and 7 more.")


def test_a_field_with_an_endless_name_is_named_by_its_start() -> None:
    assert len(str(refused({"booking_id": BOOKING, "x" * 100_000: 1}))) < 200


def test_a_refusal_never_repeats_what_was_sent() -> None:
    problem = refused({"booking_id": "someone@example.test", "metadata": {"x": "y" * 20_000}})

    assert "someone" not in json.dumps(problem.document)
    assert "yyy" not in json.dumps(problem.document)


def test_not_even_the_cause_of_a_refusal_repeats_what_was_sent() -> None:
    """Whoever logs the refusal with its cause must not log a customer."""
    problem = refused({"booking_id": "someone@example.test"})

    assert "someone" not in str(problem.__cause__)


def test_a_policy_named_twice_is_refused() -> None:
    assert "twice" in json.dumps(refused({"booking_id": BOOKING, "quotes": [{"id": "q"}, {"id": "q"}]}).document)


def test_a_claim_in_a_journey_without_one_is_refused() -> None:
    refused({"booking_id": BOOKING, "journey": "cancel", "claim": {}})


@pytest.mark.parametrize("body", [{"claim": {}}, {"journey": "cancel_and_claim"}])
def test_where_claims_are_switched_off_a_request_with_a_claim_is_refused(body: dict[str, Any]) -> None:
    problem = refused({"booking_id": BOOKING, **body}, deployment=settings(claims_enabled=False))

    assert (problem.slug, problem.status) == ("claims-disabled", 422)


def test_where_claims_are_switched_off_a_request_without_one_is_accepted() -> None:
    assert accepted(deployment=settings(claims_enabled=False)).journey is Journey.CANCEL


def test_a_claim_without_a_type_is_refused_where_none_is_set() -> None:
    problem = refused({"booking_id": BOOKING, "claim": {}}, deployment=settings(xclaim_claim_type_id=None))

    assert problem.slug == "invalid-request"
    assert [error["field"] for error in problem.document["errors"]] == ["claim.claim_type_id"]


def test_a_request_survives_being_stored() -> None:
    request = accepted(
        {"quotes": [{"id": "q", "reason_for_cancellation": "Ill"}], "claim": {"quote_id": "c"}, "metadata": {"a": 1}}
    )

    assert CancellationRequest.model_validate(json.loads(request.model_dump_json())) == request


@pytest.mark.parametrize(
    "same",
    [
        '{"booking_id":"B","metadata":{"a":1,"b":[1,2]}}',
        '{"metadata":{"b":[1,2],"a":1},"booking_id":"B"}',
        '{ "metadata" : {\n"b": [1,\t2], "a": 1}, "booking_id": "\\u0042" }',
    ],
)
def test_a_fingerprint_ignores_key_order_and_white_space(same: str) -> None:
    body = {"booking_id": "B", "metadata": {"a": 1, "b": [1, 2]}}

    assert fingerprint(json.loads(same)) == fingerprint(body)


@pytest.mark.parametrize(
    "other",
    [
        {"booking_id": "b", "metadata": {"a": 1, "b": [1, 2]}},
        {"booking_id": "B ", "metadata": {"a": 1, "b": [1, 2]}},
        {"booking_id": "B", "metadata": {"a": 1, "b": [2, 1]}},
        {"booking_id": "B", "metadata": {"a": "1", "b": [1, 2]}},
        {"booking_id": "B", "metadata": {"a": True, "b": [1, 2]}},
        {"booking_id": "B", "metadata": {"a": 1, "b": [1, 2], "c": None}},
        {"booking_id": "B", "metadata": {"a": 1, "b": [1, 2]}, "journey": "cancel"},
        {"booking_id": "B", "metadata": {"a": 1, "b": [1, 2]}, "claim": None},
        {"booking_id": "B"},
        {},
    ],
)
def test_a_fingerprint_ignores_nothing_else(other: dict[str, Any]) -> None:
    assert fingerprint(other) != fingerprint({"booking_id": "B", "metadata": {"a": 1, "b": [1, 2]}})


texts = st.text(st.characters())  # lone surrogates too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
near_misses = st.fixed_dictionaries(
    {},
    optional={
        "booking_id": st.just(BOOKING) | json_values,
        "journey": st.sampled_from([*Journey]).map(str) | json_values,
        "quotes": st.lists(st.fixed_dictionaries({"id": texts}) | json_values, max_size=3) | json_values,
        "refund": st.fixed_dictionaries({"mode": json_values}) | json_values,
        "refund_required": st.booleans() | json_values,
        "claim": st.fixed_dictionaries({}, optional={"language": texts, "when": json_values}) | json_values,
        "metadata": st.dictionaries(texts, json_values, max_size=3) | json_values,
    },
)


@given(json_values | near_misses)
def test_whatever_is_sent_it_is_understood_or_refused_as_a_problem(body: Any) -> None:
    answer: CancellationRequest | Problem
    try:
        answer = parse(body, settings=settings())
    except Problem as problem:
        answer = problem
    if isinstance(answer, Problem):
        assert answer.status == 422
        json.dumps(answer.document)
    else:
        assert answer.booking_id == body["booking_id"]
        json.dumps(answer.model_dump(mode="json"), allow_nan=False, ensure_ascii=False).encode()


@given(st.dictionaries(texts, json_values))
def test_whatever_is_sent_has_a_fingerprint(body: dict[str, Any]) -> None:
    assert len(fingerprint(body)) == 64
