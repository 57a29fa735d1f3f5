"""What a booking makes of a request: every way to resolve it, and every no before anything irreversible."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.cancellation_request import CancellationRequest
from shared.xcover.wire import Booking, Policy
from workers.plan import CannotGoOn, Plan, check_can_be_cancelled, make_plan

CANCELLED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NORMAL = ["look_up", "preview", "refund", "confirm"]
CLAIM_LAST = [*NORMAL, "claim"]
CLAIM_FIRST = ["look_up", "preview", "claim", "refund", "confirm"]


def policy(policy_id: str, **changes: Any) -> Policy:
    """Return a policy that may be cancelled, unless the changes say otherwise."""
    values: dict[str, Any] = {
        "id": policy_id, "status": "CONFIRMED", "can_be_cancelled": True, "cancelled_at": None,
        "policy_type": None, "starts_at": None, "ends_at": None,
    }  # fmt: skip
    return Policy(**{**values, **changes})


def booking(*policies: Policy | str) -> Booking:
    """Return a booking of these policies; a bare name stands for one that may be cancelled."""
    made = tuple(policy(given) if isinstance(given, str) else given for given in policies)
    return Booking(id="AAAAA-BBBBB-INS", status="CONFIRMED", currency="EUR", policies=made)


def plan_for(*policies: Policy | str, quotes: list[str] | None = None, **body: Any) -> Plan:
    """Resolve a request for these quotes against a booking of these policies."""
    named = {} if quotes is None else {"quotes": [{"id": quote_id} for quote_id in quotes]}
    journey = {"journey": "cancel_and_claim"} if "claim" in body else {}
    request = CancellationRequest.model_validate({"booking_id": "AAAAA-BBBBB-INS", **journey, **named, **body})
    return make_plan(request, booking(*policies))


def refusal_for(*policies: Policy | str, **body: Any) -> CannotGoOn:
    """Return the refusal of such a request."""
    with pytest.raises(CannotGoOn) as refused:
        plan_for(*policies, **body)
    return refused.value


def cancelled(plan: Plan) -> list[str]:
    """Return the policies a plan cancels."""
    return [quote["id"] for quote in plan.quotes]


@pytest.mark.parametrize(
    ("policies", "quotes", "to_cancel"),
    [
        (["a"], None, ["a"]),
        (["a", "b", "c"], None, ["a", "b", "c"]),
        (["a", "b", "c"], ["b"], ["b"]),
        (["a", "b", "c"], ["c", "a"], ["c", "a"]),
    ],
)
def test_without_a_claim_the_named_policies_are_cancelled_or_else_every_one(
    policies: list[str], quotes: list[str] | None, to_cancel: list[str]
) -> None:
    plan = plan_for(*policies, quotes=quotes)

    assert (cancelled(plan), plan.claim_quote_id, list(plan.steps)) == (to_cancel, None, NORMAL)


@pytest.mark.parametrize(
    ("policies", "quotes", "claim", "claimed", "to_cancel", "steps"),
    [
        # one policy is both claimed and cancelled, so it is claimed first
        (["a"], None, {}, "a", ["a"], CLAIM_FIRST),
        (["a"], ["a"], {}, "a", ["a"], CLAIM_FIRST),
        (["a"], None, {"quote_id": "a"}, "a", ["a"], CLAIM_FIRST),
        # the others are cancelled, the named one is claimed
        (["a", "b"], None, {"quote_id": "b"}, "b", ["a"], CLAIM_LAST),
        (["a", "b", "c"], None, {"quote_id": "b"}, "b", ["a", "c"], CLAIM_LAST),
        (["a", "b", "c"], ["a"], {"quote_id": "c"}, "c", ["a"], CLAIM_LAST),
        # the one that is not named for cancelling is claimed
        (["a", "b"], ["a"], {}, "b", ["a"], CLAIM_LAST),
        (["a", "b", "c"], ["a", "c"], {}, "b", ["a", "c"], CLAIM_LAST),
        # claimed although it is named for cancelling too
        (["a", "b"], ["a", "b"], {"quote_id": "b"}, "b", ["a", "b"], CLAIM_FIRST),
        # the caller knows better
        (["a"], None, {"when": "after_confirm"}, "a", ["a"], CLAIM_LAST),
        (["a"], None, {"when": "before_confirm"}, "a", ["a"], CLAIM_FIRST),
        (["a", "b"], None, {"quote_id": "b", "when": "before_confirm"}, "b", ["a"], CLAIM_FIRST),
        (["a", "b"], None, {"quote_id": "b", "when": "auto"}, "b", ["a"], CLAIM_LAST),
    ],
)
def test_a_claim_is_resolved_from_what_the_booking_has(
    policies: list[str],
    quotes: list[str] | None,
    claim: dict[str, str],
    claimed: str,
    to_cancel: list[str],
    steps: list[str],
) -> None:
    plan = plan_for(*policies, quotes=quotes, claim=claim)

    assert (plan.claim_quote_id, cancelled(plan), list(plan.steps)) == (claimed, to_cancel, steps)
    assert plan.policies() == {claimed, *to_cancel}


def test_a_reason_stays_with_its_policy() -> None:
    quotes = [{"id": "b", "reason_for_cancellation": "Ill"}, {"id": "a"}]
    request = CancellationRequest.model_validate({"booking_id": "AAAAA-BBBBB-INS", "quotes": quotes})

    plan = make_plan(request, booking("a", "b"))

    assert list(plan.quotes) == [
        {"id": "b", "reason_for_cancellation": "Ill"},
        {"id": "a", "reason_for_cancellation": None},
    ]


@pytest.mark.parametrize(
    ("policies", "body"),
    [
        (["a", "b"], {"claim": {}}),
        (["a", "b", "c"], {"claim": {}, "quotes": ["a"]}),
        (["a", "b"], {"claim": {}, "quotes": ["a", "b"]}),
        ([], {"claim": {}}),
    ],
)
def test_a_claim_whose_policy_cannot_be_told_is_refused(policies: list[str], body: dict[str, Any]) -> None:
    refusal = refusal_for(*policies, **body)

    assert refusal.slug == "claim-policy-ambiguous"
    assert refusal.evidence["quote_ids"] == policies


@pytest.mark.parametrize(
    "body", [{"quotes": ["x"]}, {"quotes": ["a", "x"]}, {"claim": {"quote_id": "x"}}, {"claim": {}, "quotes": ["x"]}]
)
def test_a_policy_the_booking_does_not_have_is_refused_by_name(body: dict[str, Any]) -> None:
    refusal = refusal_for("a", **body)

    assert refusal.slug == "policy-not-in-booking"
    assert refusal.evidence["quote_id"] == "x"
    assert "x" in str(refusal)


def test_a_booking_without_policies_is_refused() -> None:
    assert refusal_for().slug == "policy-not-in-booking"


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"can_be_cancelled": False}, "policy-cannot-be-cancelled"),
        ({"can_be_cancelled": None}, "policy-cannot-be-cancelled"),
        ({"can_be_cancelled": False, "status": "SOMETHING_NEW"}, "policy-cannot-be-cancelled"),
        ({"status": "CANCELLED"}, "policy-already-cancelled"),
        ({"cancelled_at": CANCELLED_AT}, "policy-already-cancelled"),
        ({"cancelled_at": CANCELLED_AT, "status": "CONFIRMED", "can_be_cancelled": False}, "policy-already-cancelled"),
    ],
)
@pytest.mark.parametrize("body", [{}, {"quotes": ["a", "b"]}, {"claim": {"quote_id": "a"}}])
def test_a_policy_that_cannot_be_cancelled_is_refused_with_its_name_and_status(
    changes: dict[str, Any], slug: str, body: dict[str, Any]
) -> None:
    refusal = refusal_for("a", policy("b", **changes), **body)

    assert refusal.slug == slug
    assert refusal.evidence["quote_id"] == "b"
    assert refusal.evidence["policy_status"] == changes.get("status", "CONFIRMED")
    assert "b" in str(refusal)


def test_a_policy_of_an_unknown_status_that_can_be_cancelled_is_cancelled() -> None:
    assert cancelled(plan_for(policy("a", status="SOMETHING_NEW"))) == ["a"]


def test_a_policy_that_is_not_to_be_cancelled_may_be_in_any_state() -> None:
    other = policy("b", status="CANCELLED", cancelled_at=CANCELLED_AT, can_be_cancelled=False)

    assert cancelled(plan_for("a", other, quotes=["a"])) == ["a"]


@pytest.mark.parametrize("can_be_cancelled", [False, None])
def test_a_policy_that_is_only_claimed_need_not_be_cancellable(can_be_cancelled: bool | None) -> None:
    claimed = policy("b", can_be_cancelled=can_be_cancelled)

    assert plan_for("a", claimed, claim={"quote_id": "b"}).claim_quote_id == "b"


@pytest.mark.parametrize("changes", [{"cancelled_at": CANCELLED_AT}, {"status": "CANCELLED"}])
@pytest.mark.parametrize("when", ["auto", "before_confirm", "after_confirm"])
def test_a_cancelled_policy_is_not_claimed(changes: dict[str, Any], when: str) -> None:
    refusal = refusal_for("a", policy("b", **changes), claim={"quote_id": "b", "when": when})

    assert refusal.slug == "policy-already-cancelled"
    assert refusal.evidence["quote_id"] == "b"


CLAIM_THEN_CANCEL = ["look_up", "claim", "await_premium_refund", "preview", "refund", "confirm"]
NAMED_MODE = {"refund": {"mode": "skip"}}


@pytest.mark.parametrize(
    ("journey", "policies", "quotes", "claim", "claimed", "to_cancel", "steps"),
    [
        ("claim", ["a"], None, {}, "a", [], ["look_up", "claim"]),
        ("claim", ["a", "b"], None, {"quote_id": "b"}, "b", [], ["look_up", "claim"]),
        ("cancel_now", ["a", "b"], None, None, None, ["a", "b"], ["look_up", "cancel"]),
        ("cancel_now", ["a", "b"], ["b"], None, None, ["b"], ["look_up", "cancel"]),
        ("claim_then_cancel", ["a"], None, {}, "a", ["a"], CLAIM_THEN_CANCEL),
        ("claim_then_cancel", ["a", "b"], None, {"quote_id": "b"}, "b", ["a", "b"], CLAIM_THEN_CANCEL),
        ("claim_then_cancel", ["a", "b"], ["a"], {}, "b", ["a"], CLAIM_THEN_CANCEL),
        ("claim_then_cancel", ["a", "b"], ["b"], {"quote_id": "b"}, "b", ["b"], CLAIM_THEN_CANCEL),
    ],
)
def test_each_other_journey_has_its_own_policies_and_steps(
    journey: str,
    policies: list[str],
    quotes: list[str] | None,
    claim: dict[str, Any] | None,
    claimed: str | None,
    to_cancel: list[str],
    steps: list[str],
) -> None:
    body = {"journey": journey, **({} if claim is None else {"claim": claim})}
    mode = NAMED_MODE if journey == "claim_then_cancel" else {}
    plan = plan_for(*policies, quotes=quotes, **body, **mode)

    assert (plan.claim_quote_id, cancelled(plan), list(plan.steps)) == (claimed, to_cancel, steps)
    assert plan.policies() == set(to_cancel) | ({claimed} if claimed else set())


def test_a_claim_alone_does_not_ask_whether_the_policy_can_be_cancelled() -> None:
    plan = plan_for(policy("a", can_be_cancelled=False), journey="claim", claim={})

    assert plan.claim_quote_id == "a"


def test_claiming_then_cancelling_asks_that_only_when_the_time_has_come() -> None:
    uncancellable = policy("a", can_be_cancelled=False)
    plan = plan_for(uncancellable, journey="claim_then_cancel", claim={}, **NAMED_MODE)
    assert cancelled(plan) == ["a"]

    with pytest.raises(CannotGoOn) as no:
        check_can_be_cancelled(booking(uncancellable), ["a"])

    assert (no.value.slug, no.value.evidence["quote_id"]) == ("policy-cannot-be-cancelled", "a")


@pytest.mark.parametrize(
    ("asked", "to_cancel", "claimed"),
    [
        ({}, ["a", "b"], None),
        ({"claim": {"quote_id": "b"}}, ["a"], "b"),
        ({"journey": "claim", "claim": {"quote_id": "b"}}, [], "b"),
        ({"journey": "claim_then_cancel", "claim": {"quote_id": "b"}, **NAMED_MODE}, ["a", "b"], "b"),
    ],
    ids=["cancel", "cancel_and_claim", "claim", "claim_then_cancel"],
)
def test_a_dry_run_chooses_the_policies_of_the_journey_and_none_of_its_deeds(
    asked: dict[str, Any], to_cancel: list[str], claimed: str | None
) -> None:
    plan = plan_for("a", "b", dry_run=True, **asked)

    assert (cancelled(plan), plan.claim_quote_id) == (to_cancel, claimed)
    assert list(plan.steps) == (["look_up", "preview"] if to_cancel else ["look_up"])


def test_a_dry_run_of_claiming_then_cancelling_asks_at_once_whether_it_can_be_cancelled() -> None:
    refusal = refusal_for(
        policy("a", can_be_cancelled=False), journey="claim_then_cancel", claim={}, dry_run=True, **NAMED_MODE
    )

    assert refusal.slug == "policy-cannot-be-cancelled"


@pytest.mark.parametrize("journey", ["claim", "claim_then_cancel", "cancel_now", "cancel"])
def test_a_policy_that_is_already_cancelled_ends_every_journey(journey: str) -> None:
    claim = {"claim": {}} if journey.startswith("claim") else {}

    refusal = refusal_for(policy("a", cancelled_at=CANCELLED_AT), journey=journey, **claim, **_mode(journey))

    assert (refusal.slug, refusal.evidence["quote_id"]) == ("policy-already-cancelled", "a")


def test_a_policy_that_has_left_the_booking_is_named() -> None:
    with pytest.raises(CannotGoOn) as no:
        check_can_be_cancelled(booking("a"), ["b"])

    assert no.value.slug == "policy-not-in-booking"


def _mode(journey: str) -> dict[str, Any]:
    return NAMED_MODE if journey == "claim_then_cancel" else {}
