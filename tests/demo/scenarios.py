"""What the demo plays: every journey, every ending, and much of what goes wrong on the way."""

from collections.abc import Mapping
from typing import Any

from shared.lifecycle import Journey
from tests.demo.scenario import (
    CLAIM_AFTER,
    CLAIM_ALONE,
    Scenario,
    calls,
    cancels_now,
    claims,
    claims_then_cancels,
    on,
    resolve,
    stopped,
)

TWO: tuple[Mapping[str, Any], ...] = ({}, {"policy_type": "cancel_for_any_reason"})

PLAIN = (
    Scenario(name="cancel, partner refunds", refund="wait"),
    Scenario(name="cancel, nothing to wait for"),
    Scenario(name="refund of zero passes", refund="wait", policies=({"refund": "0"},)),
    Scenario(name="two policies, both refunded", refund="wait", policies=({}, {})),
    Scenario(name="one policy of two", policies=({}, {}), quotes=(0,)),
    Scenario(name="with a reason", quotes=(0,), reason="No longer travelling"),
    Scenario(
        name="yen have no minor units",
        refund="wait",
        booking={"currency": "JPY"},
        policies=({"price": "2240"},),
    ),
    Scenario(name="asked for through Celery", door="celery"),
    Scenario(name="sent twice, one key", is_sent_twice=True),
    Scenario(name="sent twice, partner refunds", is_sent_twice=True, refund="wait"),
    Scenario(
        name="aborted while it waits",
        refund="wait",
        partner="aborts",
        ends="aborted",
        steps=("look_up", "preview"),
        confirms=0,
    ),
    claims("claim first: the only policy"),
    claims("claim first, partner refunds", refund="wait"),
    claims("claim after: another policy", policies=TWO, claimed=1, steps=CLAIM_AFTER),
    claims("claim after, partner refunds", policies=TWO, claimed=1, steps=CLAIM_AFTER, refund="wait"),
    claims("before_confirm asked for", policies=TWO, claimed=1, claim={"when": "before_confirm"}),
    claims(
        "after_confirm asked for",
        claim={"when": "after_confirm"},
        booking={"claim_when_cancelled": True},
        steps=CLAIM_AFTER,
    ),
)

REFUSED = (
    stopped("cannot be cancelled", "policy-cannot-be-cancelled", policies=({"can_be_cancelled": False},)),
    stopped("already cancelled", "policy-already-cancelled", policies=({"status": "CANCELLED"},)),
    stopped("unknown booking", "booking-not-found", is_known=False),
    stopped("claim not eligible", "claim-not-eligible", claim={}, booking={"failed_checks": ["fraud_list"]}),
    stopped("claim which policy?", "claim-policy-ambiguous", claim={}, policies=TWO),
    Scenario(name="has a rival", refund="wait"),
    stopped("second for one policy", "already-in-hand", rival_of="has a rival"),
    claims(
        "claim cannot be processed",
        booking={"claim_fails": "The policy document is missing."},
        ends="needs_review",
        problem="claim-failed",
        steps=("look_up", "preview"),
        confirms=0,
        milestones=frozenset(),
    ),
)

FAULTY = (
    Scenario(name="throttled, told when", faults=on("get_booking", "throttle", retry_after=1), refund="wait"),
    Scenario(name="throttled, not told", faults=on("preview", "throttle")),
    Scenario(name="slow preview", faults=on("preview", "slow", seconds=2.0)),
    Scenario(name="preview fails", faults=on("preview", "error_before")),
    Scenario(name="preview's answer lost", faults=on("preview", "act_then_drop")),
    Scenario(name="confirm fails", faults=on("confirm", "error_before"), refund="wait"),
    Scenario(name="confirm's answer lost", faults=on("confirm", "act_then_drop"), refund="wait"),
    Scenario(name="confirmed, says 502", faults=on("confirm", "act_then_error")),
    Scenario(name="confirm's answer cut off", faults=on("confirm", "garbled")),
    Scenario(name="confirm locked", faults=on("confirm", "locked")),
    claims("claim throttled", faults=on("create_claim", "throttle", retry_after=1)),
    claims("claim's answer lost", faults=on("create_claim", "act_then_drop")),
    claims(
        "claimed, says 502",
        faults=on("create_claim", "act_then_error"),
        policies=TWO,
        claimed=1,
        steps=CLAIM_AFTER,
    ),
    claims("claim takes its time", booking={"claim_pending_polls": 2}),
    claims("webhook twice", faults=on("webhook", "twice", times=3)),
    claims("webhook late", faults=on("webhook", "late", seconds=2.0)),
    claims("webhooks out of order", faults=on("webhook", "out_of_order")),
    claims("webhook before the answer", faults=on("webhook", "before_answer")),
    claims(
        "everything at once",
        refund="wait",
        is_sent_twice=True,
        faults=(
            *on("preview", "act_then_error"),
            *on("create_claim", "act_then_drop"),
            *on("confirm", "throttle", retry_after=1),
            *on("webhook", "twice"),
        ),
    ),
)

OTHER_JOURNEYS = (
    claims("claim alone", journey=Journey.CLAIM, claim=None, steps=CLAIM_ALONE, confirms=0),
    cancels_now("cancel at once"),
    cancels_now("cancel at once, answer lost", faults=on("cancel", "act_then_drop")),
    claims_then_cancels("claim, then cancel"),
    claims_then_cancels("claim, then partner refunds", refund="wait"),
    claims_then_cancels(
        "claim is paid first",
        {"after": 1.0, "category": "Payment Complete"},
        ends="needs_review",
        problem="claim-paid-first",
        steps=CLAIM_ALONE,
        confirms=0,
        milestones=frozenset({"claim_paid"}),
    ),
    claims_then_cancels(
        "claim is declined first",
        {"after": 1.0, "category": "Declined"},
        stops="claim-closed-unpaid",
        operator=resolve("close", "The customer keeps the policy", "--free-policies"),
        ends="closed",
        problem="claim-closed-unpaid",
        steps=CLAIM_ALONE,
        confirms=0,
        milestones=frozenset({"claim_closed_unpaid"}),
    ),
    claims_then_cancels(
        "claim says nothing",
        {"category": "Under Assessment"},
        operator=resolve("close", "The policies are to stay as they are"),
        operator_at="awaiting_premium_refund",
        ends="closed",
        steps=CLAIM_ALONE,
        confirms=0,
        milestones=frozenset(),
    ),
)

REFUND_CALLED = (
    calls("refund called: paid"),
    calls("refund called: created", booking={"refund_answer": "created"}),
    calls("refund called: promised", booking={"refund_answer": "accepted"}, refunds=0, promises=1),
    calls("refund called: answer lost", faults=on("refund", "act_then_drop")),
    calls(
        "refund called: refused",
        faults=on("refund", "refuse", status=402, body={"error": "The account is not covered."}),
        stops="refund-refused",
        operator=("retry", "{id}", "--note", "The account is covered again"),
    ),
)

OPERATED = (
    Scenario(
        name="confirm refused",
        faults=on("confirm", "refuse"),
        stops="insurer-refused",
        operator=resolve("not_done", "XCover says that it took it for a repeat; nothing was cancelled"),
    ),
    claims(
        "claim refused",
        claim={"section_fields": [{"fields": []}]},
        stops="insurer-refused",
        operator=resolve("amend", "The section had no name", "--claim-fields", "{claim_fields}"),
    ),
    Scenario(
        name="event takes place after all",
        refund="wait",
        operator=resolve("close", "The event takes place after all"),
        operator_at="awaiting_refund",
        ends="closed",
        steps=("look_up", "preview"),
        confirms=0,
    ),
)

ALL = (*PLAIN, *OTHER_JOURNEYS, *REFUND_CALLED, *REFUSED, *OPERATED, *FAULTY)

STORY = "claim, then partner refunds"
"""Told in full at the end."""

A_HANDFUL = tuple(
    one
    for one in ALL
    if one.name
    in {
        "cancel, nothing to wait for",
        "claim first, partner refunds",
        "claim after: another policy",
        "confirm's answer lost",
        "webhook twice",
        "unknown booking",
        "claim, then cancel",
        "refund called: paid",
    }
)
