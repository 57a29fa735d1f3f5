"""What each journey may be asked for with: what fits, what contradicts, and what this deployment does not do."""

from typing import Any

import pytest

from shared.cancellation_request import parse
from shared.config import AcceptingSettings
from shared.lifecycle import ClaimWhen
from shared.problems import Problem

BOOKING = "8WD8Y-LTEKE-INS"


def settings(**changes: Any) -> AcceptingSettings:
    """Return a deployment's settings."""
    values = {"xcover_partner_code": "ABCDE", "xclaim_claim_type_id": "cfar-type", "refund_url": "https://p.test/r"}
    return AcceptingSettings(**{**values, **changes})


def refused(deployment: AcceptingSettings | None = None, **body: Any) -> Problem:
    """Return the problem with a body."""
    with pytest.raises(Problem) as no:
        parse({"booking_id": BOOKING, **body}, settings=deployment or settings())
    return no.value


@pytest.mark.parametrize(
    ("body", "mode", "claims"),
    [
        ({"journey": "cancel"}, "wait", False),
        ({"journey": "cancel", "refund": {"mode": "call"}}, "call", False),
        ({"journey": "cancel_and_claim"}, "wait", True),
        ({"journey": "claim"}, "skip", True),
        ({"journey": "claim", "claim": {"quote_id": "a"}}, "skip", True),
        ({"journey": "claim", "refund": {"mode": "skip"}}, "skip", True),
        ({"journey": "cancel_now"}, "skip", False),
        ({"journey": "cancel_now", "quotes": [{"id": "a"}], "refund_required": False}, "skip", False),
        ({"journey": "claim_then_cancel", "refund": {"mode": "wait"}}, "wait", True),
        ({"journey": "claim_then_cancel", "refund": {"mode": "skip"}}, "skip", True),
        ({"journey": "claim_then_cancel", "refund": {"mode": "call"}}, "call", True),
        (
            {"journey": "claim_then_cancel", "refund": {"mode": "skip"}, "claim": {"when": "before_confirm"}},
            "skip",
            True,
        ),
    ],
)
def test_a_journey_is_taken_with_what_fits_it(body: dict[str, Any], mode: str, claims: bool) -> None:
    request = parse({"booking_id": BOOKING, **body}, settings=settings())

    assert (request.journey, request.refund.mode, request.claim is not None) == (body["journey"], mode, claims)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"journey": "cancel", "claim": {}}, "claim"),
        ({"journey": "cancel_now", "claim": {}}, "claim"),
        ({"journey": "cancel_now", "refund": {"mode": "wait"}}, "refund.mode"),
        ({"journey": "cancel_now", "refund": {"mode": "call"}}, "refund.mode"),
        ({"journey": "claim", "refund": {"mode": "wait"}}, "refund.mode"),
        ({"journey": "claim", "quotes": [{"id": "a"}]}, "quotes"),
        ({"journey": "claim", "refund_required": True}, "refund_required"),
        ({"journey": "claim", "claim": {"when": "after_confirm"}}, "claim.when"),
        ({"journey": "claim", "claim": {"when": "before_confirm"}}, "claim.when"),
        ({"journey": "claim_then_cancel"}, "refund.mode"),
        ({"journey": "claim_then_cancel", "refund": {}}, "refund.mode"),
        (
            {"journey": "claim_then_cancel", "refund": {"mode": "skip"}, "claim": {"when": "after_confirm"}},
            "claim.when",
        ),
    ],
)
def test_what_a_journey_would_have_to_ignore_or_lacks_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    problem = refused(**body)

    assert (problem.slug, problem.status) == ("invalid-request", 422)
    assert any(error["problem"].startswith(f"{named}:") for error in problem.document["errors"])


def test_every_contradiction_is_told_at_once() -> None:
    problem = refused(journey="claim", quotes=[{"id": "a"}], refund={"mode": "wait"}, refund_required=True)

    said = problem.document["errors"][0]["problem"]
    assert all(name in said for name in ("quotes:", "refund.mode:", "refund_required:"))


def test_nobody_is_asked_for_refunds_where_there_is_no_address() -> None:
    problem = refused(settings(refund_url=None), refund={"mode": "call"})

    assert (problem.slug, problem.status) == ("refund-call-disabled", 422)


def test_the_deployments_refund_mode_holds_for_journeys_with_a_refund_only() -> None:
    deployment = settings(refund_mode="call")

    modes = {
        journey: parse({"booking_id": BOOKING, "journey": journey}, settings=deployment).refund.mode
        for journey in ("cancel", "cancel_and_claim", "claim", "cancel_now")
    }

    assert modes == {"cancel": "call", "cancel_and_claim": "call", "claim": "skip", "cancel_now": "skip"}


@pytest.mark.parametrize("journey", ["claim", "claim_then_cancel"])
def test_a_claim_is_refused_where_claims_are_switched_off(journey: str) -> None:
    mode = {"refund": {"mode": "skip"}}

    assert refused(settings(claims_enabled=False), journey=journey, **mode).slug == "claims-disabled"


def test_the_deployments_order_of_claiming_does_not_contradict_a_journey_with_its_own() -> None:
    deployment = settings(claim_when=ClaimWhen.AFTER_CONFIRM)
    body = {"booking_id": BOOKING, "journey": "claim_then_cancel", "refund": {"mode": "skip"}}

    assert parse(body, settings=deployment).journey == "claim_then_cancel"
