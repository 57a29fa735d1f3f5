"""Everywhere a release can leave a cancellation: how it comes there, and how another release should bring it to an end.

A situation is reached through the doors and by running steps, never by writing rows: what is left behind is what
that release really writes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.deploys.rollout import Rollout

Move = Callable[[Rollout, str], object]

SKIP, WAIT, CALL = {"mode": "skip"}, {"mode": "wait"}, {"mode": "call"}
CANCEL: dict[str, Any] = {"refund": SKIP}
CLAIM: dict[str, Any] = {"journey": "claim"}
FIRST: dict[str, Any] = {"claim": {}, "refund": WAIT}
THEN: dict[str, Any] = {"journey": "claim_then_cancel", "refund": SKIP}

# Per step: what is asked for, how many steps come before it, the insurer's operation, and its request.
STEPS: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "look_up": (CANCEL, 0, "get_booking", r"^GET .*/bookings/"),
    "preview": (CANCEL, 1, "preview", r"^POST .*/cancel$"),
    "refund": ({"refund": CALL}, 2, "refund", r"^POST .*/refunds$"),
    "confirm": (CANCEL, 3, "confirm", r"^POST .*/confirm_cancellation/"),
    "claim": (CLAIM, 1, "create_claim", r"^POST .*/claims$"),
    "cancel": ({"journey": "cancel_now"}, 1, "cancel", r"^POST .*/cancel$"),
    "await_premium_refund": (THEN, 2, "get_claim", r"^GET .*/claims/"),
}
READS = {"look_up", "await_premium_refund"}
ONCE = {
    "look_up": {"confirms": 1},
    "preview": {"confirms": 1},
    "refund": {"refunds": 1, "confirms": 1},
    "confirm": {"confirms": 1},
    "claim": {"claims": 1},
    "cancel": {"cancels": 1},
    "await_premium_refund": {"claims": 1, "confirms": 1},
}
"""What a journey through each step of the table above does in the end, and once."""
PREMIUM_REFUND = {"event": "claim.status-update", "category": "Payment Processing", "name": "premium_refund"}
DECLINED = {"category": "Declined"}
PAID = {"category": "Payment Complete"}


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One place to be left in."""

    name: str
    asked: dict[str, Any]
    stands: tuple[str, str | None]
    """Status and next step as it is left."""
    reach: tuple[Move, ...] = ()
    then: tuple[Move, ...] = ()
    """What callers, operators and the insurer do when the other release has taken over."""
    ends: str = "completed"
    done: dict[str, int] = field(default_factory=dict)
    """What the insurer and the partner have done in the end."""
    told: list[str] = field(default_factory=list)
    """The claim's milestones in the end."""
    spec: dict[str, Any] = field(default_factory=dict)
    takes_long: bool = False
    """Reached by moving the clocks: before all others, whose leases would run out."""


def steps(number: int) -> Move:
    """Run so many steps."""

    def run(rollout: Rollout, row_id: str) -> None:
        for _ in range(number):
            rollout.run_next(row_id)

    return run


def dies(moment: str, request: str) -> Move:
    """Run the next step until a worker's death before or after a request of it."""

    def run(rollout: Rollout, row_id: str) -> None:
        assert rollout.run_next(row_id, dies=(moment, request)) == "died"

    return run


def goes_on(rollout: Rollout, row_id: str) -> None:
    """Run every step that is due."""
    rollout.run_all_of(row_id)


def dies_until_parked(request: str) -> Move:
    """Let workers die of the step until it is kept from them."""

    def run(rollout: Rollout, row_id: str) -> None:
        task = next(task for task, one in rollout.published if one == row_id)
        while rollout.show(row_id)["status"] != "needs_review":
            rollout.run(task, row_id, dies=("before", request))
            rollout.later(8.1)
        rollout.published = [message for message in rollout.published if message[1] != row_id]

    return run


def wakes(rollout: Rollout, row_id: str) -> None:
    """Let the time of its next try come, which is behind the time in which XCover may still be confirming."""
    rollout.later(601)
    rollout.sweep()
    rollout.run_all_of(row_id)


def reports(rollout: Rollout, row_id: str) -> None:
    """Report the refund as the partner."""
    rollout.request("POST", f"/{row_id}/refund", {"amount": "22.40", "currency": "EUR", "reference": "re_1"})


def aborts(rollout: Rollout, row_id: str) -> None:
    """Take it back as the caller."""
    rollout.request("POST", f"/{row_id}/abort")


def retries(rollout: Rollout, row_id: str) -> None:
    """Take it up again as an operator."""
    rollout.request("POST", f"/{row_id}/retry", {"note": "looked at it"}, who="ops")


def resolves(resolution: str, **more: Any) -> Move:
    """Decide as an operator."""

    def run(rollout: Rollout, row_id: str) -> None:
        body = {"resolution": resolution, "note": "looked at it", **more}
        rollout.request("POST", f"/{row_id}/resolve", body, who="ops")

    return run


def hears(event: dict[str, Any], *, dies_at: str | None = None, is_handled: bool = True) -> Move:
    """Let XClaim tell of the claim; the webhook is stored and answered in any case."""

    def run(rollout: Rollout, row_id: str) -> None:
        rollout.take_webhooks()
        rollout.control.send_event(rollout.show(row_id)["claim"]["reference"], **event)
        assert rollout.setting.receiver.arrived
        deliveries = rollout.take_webhooks()
        for delivery in deliveries if is_handled else []:
            rollout.run_next(delivery, dies=("before", dies_at) if dies_at else None)
            rollout.run_all_of(row_id)

    return run


def _of_step(step: str) -> list[Situation]:
    """The step is due; a worker died in the middle of it, twice; it was put off; its answer was lost."""
    asked, before, operation, request = STEPS[step]
    then: tuple[Move, ...] = (hears(PREMIUM_REFUND),) if step == "await_premium_refund" else ()

    def situation(how: str, *moves: Move, fault: str | None = None, status: str = "in_progress") -> Situation:
        spec = {"faults": [{"on": operation, "do": fault}]} if fault else {}
        return Situation(
            name=f"{step} {how}", asked=asked, stands=(status, step), reach=(steps(before), *moves),
            spec=spec, then=then, done=ONCE[step],
        )  # fmt: skip

    situations = [
        situation("due"),
        situation("begun by a worker that died before its request", dies("before", request)),
        situation("begun by a worker that died after the answer", dies("after", request)),
    ]
    if step == "await_premium_refund":
        situations.append(situation("not told", steps(1), fault="throttle", status="awaiting_premium_refund"))
    elif step == "refund":  # the partner's 429 is a refusal
        situations.append(situation("put off", steps(1), fault="error_before"))
    else:
        situations.append(situation("put off", steps(1), fault="throttle"))
    if step not in READS:
        situations.append(situation("with a lost answer", steps(1), fault="act_then_drop"))
    return situations


def _review(step: str | None, what: str, **more: Any) -> Situation:
    return Situation(name=f"review of {step}: {what}", stands=("needs_review", step), **more)


REVIEWED = [
    _review("look_up", "workers died", asked=CANCEL, reach=(dies_until_parked(STEPS["look_up"][3]),), takes_long=True,
            then=(retries,), done={"confirms": 1}),
    _review("preview", "figures", asked=CANCEL, spec={"policies": [{"price": "22.405"}]}, reach=(goes_on,),
            then=(resolves("close"),), ends="closed"),
    _review("refund", "refused by the partner", asked={"refund": CALL}, reach=(goes_on,), then=(retries,),
            spec={"faults": [{"on": "refund", "do": "refuse"}]}, done={"refunds": 1, "confirms": 1}),
    _review("refund", "claim closed unpaid", asked=FIRST, reach=(goes_on, hears(DECLINED)),
            then=(resolves("close"),), ends="closed", done={"claims": 1}),
    _review("confirm", "refused", asked=CANCEL, spec={"faults": [{"on": "confirm", "do": "refuse"}]},
            reach=(goes_on, wakes), takes_long=True, then=(retries,), done={"confirms": 1}),
    _review("claim", "refused", asked=CLAIM, spec={"faults": [{"on": "create_claim", "do": "refuse"}]},
            reach=(goes_on,), then=(resolves("amend", claim={"language": "de"}),), done={"claims": 1}),
    _review("cancel", "workers died", asked={"journey": "cancel_now"}, takes_long=True,
            reach=(steps(1), dies_until_parked(STEPS["cancel"][3])), then=(retries,), done={"cancels": 1}),
    _review("await_premium_refund", "declined", asked=THEN, reach=(goes_on, hears(DECLINED)),
            then=(resolves("close"),), ends="closed", done={"claims": 1}),
    _review(None, "refunded after an abort", asked={}, reach=(goes_on, aborts, reports),
            then=(resolves("close"),), ends="closed"),
]  # fmt: skip

WAITING = [
    Situation(name="waits for the refund", asked={}, stands=("awaiting_refund", "refund"), reach=(goes_on,),
              then=(reports,), done={"confirms": 1}),
    Situation(name="claimed, waits for the refund", asked=FIRST, stands=("awaiting_refund", "refund"),
              reach=(goes_on,), then=(reports,), done={"claims": 1, "confirms": 1}),
    Situation(name="waits for the refund and is taken back", asked={}, stands=("awaiting_refund", "refund"),
              reach=(goes_on,), then=(aborts,), ends="aborted"),
    Situation(name="refund reported", asked={}, stands=("in_progress", "confirm"), reach=(goes_on, reports),
              done={"confirms": 1}),
    Situation(name="waits for the premium refund", asked=THEN, done={"claims": 1, "confirms": 1},
              stands=("awaiting_premium_refund", "await_premium_refund"), reach=(goes_on,),
              then=(hears(PREMIUM_REFUND),)),
    Situation(name="claim being processed", asked=CLAIM, spec={"claim_pending_polls": 2},
              stands=("in_progress", "claim"), reach=(goes_on,), done={"claims": 1}),
]  # fmt: skip

ENDED = [
    Situation(name="completed", asked=CANCEL, stands=("completed", None), reach=(goes_on,), done={"confirms": 1}),
    Situation(name="rejected", asked=CANCEL, stands=("rejected", None), reach=(goes_on,), ends="rejected",
              spec={"policies": [{"can_be_cancelled": False}]}),
    Situation(name="aborted", asked={}, stands=("aborted", None), reach=(goes_on, aborts), ends="aborted"),
    Situation(name="aborted, then refunded all the same", asked={}, stands=("aborted", None),
              reach=(goes_on, aborts), then=(reports,), ends="needs_review"),
    Situation(name="closed", asked={}, stands=("closed", None), reach=(goes_on, resolves("close")), ends="closed"),
]  # fmt: skip

HEARD = [
    Situation(name=f"paid, {how}", asked=CLAIM, stands=("completed", None), reach=(goes_on, hears(PAID, **more)),
              spec=spec, done={"claims": 1})
    for how, more, spec in [
        ("and nobody has looked at the webhook", {"is_handled": False}, {}),
        ("and whoever looked at the webhook died", {"dies_at": STEPS["await_premium_refund"][3]}, {}),
        ("and the webhook was put off", {}, {"faults": [{"on": "get_claim", "do": "throttle"}]}),
    ]
]  # fmt: skip

SITUATIONS = [*REVIEWED, *(one for step in STEPS for one in _of_step(step)), *WAITING, *ENDED, *HEARD]

_CLAIMED = "0d9c0d52-6b1e-4f0e-8d57-3f3a1c1f5e01"
WHOLE = [
    Situation(name="cancel", asked={}, stands=("awaiting_refund", "refund"), then=(reports,), done={"confirms": 1}),
    Situation(name="cancel, the partner is called", asked={"refund": CALL}, stands=("completed", None),
              done={"refunds": 1, "confirms": 1}),
    Situation(name="cancel_and_claim", asked={"claim": {"quote_id": _CLAIMED}}, stands=("awaiting_refund", "refund"),
              spec={"policies": [{}, {"id": _CLAIMED, "price": "50"}]}, then=(reports,),
              done={"claims": 1, "confirms": 1}),
    Situation(name="cancel_and_claim, claimed first", asked=FIRST, stands=("awaiting_refund", "refund"),
              then=(hears(PAID), reports), done={"claims": 1, "confirms": 1}, told=["claim_paid"]),
    Situation(name="claim", asked=CLAIM, stands=("completed", None), then=(hears(PAID),), done={"claims": 1},
              told=["claim_paid"]),
    Situation(name="cancel_now", asked={"journey": "cancel_now"}, stands=("completed", None), done={"cancels": 1}),
    Situation(name="claim_then_cancel", asked=THEN, stands=("awaiting_premium_refund", "await_premium_refund"),
              then=(hears(PREMIUM_REFUND),), done={"claims": 1, "confirms": 1}, told=["premium_refund"]),
]  # fmt: skip
"""Each journey from its beginning; `stands` is where it waits for someone outside, or its end."""
