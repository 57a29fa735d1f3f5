"""What is drawn: bookings with their faults, requests that a caller may send, interruptions, news of a claim."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from shared.lifecycle import TaskName

READING = ("get_booking", "eligibility", "get_claim", "list_claims")
DOING = ("preview", "confirm", "cancel", "create_claim", "refund")
SUFFERED = ("throttle", "locked", "drop_before", "error_before", "act_then_drop", "act_then_error", "garbled")
FAR_AWAY = "2099-01-01T00:00:00Z"
SECOND_REFUND = "17.35"


@dataclass(frozen=True)
class Interruption:
    """Of a request: `how` is dies, away (the database) or sleeps (`meanwhile` happens); `nth` counts the beats."""

    how: str
    nth: int
    meanwhile: tuple[str, ...] = ()


@dataclass(frozen=True)
class Doom(Interruption):
    """Of a task: it lies in wait until a worker reaches the moment, whenever that is; `nth` counts such moments.

    `of` names the task, or is "a deed" (whatever may do something irreversible) or "anything".
    """

    of: str = "anything"
    moment: str = ""


@dataclass(frozen=True)
class Wish:
    """A request by the numbers of its booking and policies, which get their ids from the insurer."""

    journey: str
    booking: int
    quotes: tuple[int, ...]
    mode: str
    claimed: int
    when: str

    def body(self, booking_id: str, quote_ids: list[str], number: int) -> dict[str, Any]:
        """Return the request for this booking."""
        body: dict[str, Any] = {"booking_id": booking_id, "metadata": {"order": number}}
        body |= {"dry_run": True} if self.journey == "dry_run" else {"journey": self.journey}
        claimed = quote_ids[self.claimed % len(quote_ids)]
        if self.journey in {"cancel_and_claim", "claim", "claim_then_cancel"}:
            body["claim"] = {"quote_id": claimed}
        if self.journey == "cancel_and_claim":
            body["claim"]["when"] = self.when
        if self.journey != "claim":
            named = {number % len(quote_ids) for number in self.quotes}
            body["quotes"] = [{"id": quote_ids[number]} for number in sorted(named)]
        if self.journey not in {"claim", "cancel_now", "dry_run"}:
            body["refund"] = {"mode": self.mode}
        return body


def _fault(on: str, do: str, times: int) -> dict[str, Any]:
    return {"on": on, "do": do, "times": times}


faults = st.builds(
    _fault, st.sampled_from(DOING) | st.sampled_from(READING), st.sampled_from(SUFFERED), st.integers(1, 3)
)

prices = st.sampled_from(["22.40", "50", "22.40", "0"])
bookings = st.fixed_dictionaries(
    {
        "policies": (st.lists(prices, min_size=1, max_size=3) | st.lists(prices, min_size=2, max_size=3)).map(
            lambda drawn: [{"price": price, "policy_end": FAR_AWAY} for price in drawn]
        ),
        "faults": st.lists(faults, max_size=3) | st.just([]),
        "refund_answer": st.sampled_from(["paid", "created", "accepted"]),
        "claim_story": st.just([]),  # the machine tells the news itself
    }
)

wishes = st.builds(
    Wish,
    journey=st.sampled_from(["cancel", "cancel_and_claim", "claim", "cancel_now", "claim_then_cancel", "dry_run"]),
    booking=st.integers(0, 1),
    quotes=st.lists(st.integers(0, 2), min_size=1, max_size=2).map(tuple),
    mode=st.sampled_from(["wait", "call", "call", "skip"]),
    claimed=st.integers(0, 2),
    when=st.sampled_from(["auto", "before_confirm"]),
)

insurers = st.fixed_dictionaries(
    {
        "key_mode": st.sampled_from(["honoured", "ignored", "storing_errors"]),
        "duplicates": st.sampled_from(["accept", "accept", "refuse"]),
        "clock_offset_seconds": st.sampled_from([0, 0, 300, -300]),
    }
)

BRIEF = ("lease ends", "a copy", "work", "much work", "abort")
MEANWHILE = (*BRIEF, "report", "letter", "a quarter of an hour")
HOW = ("dies", "away", "sleeps")

in_the_meantime = st.builds(
    lambda first, others: (*first, *others),
    st.sampled_from([(), ("lease ends",), ("lease ends", "much work")]),  # what a worker that wakes up must notice
    st.lists(st.sampled_from(MEANWHILE), min_size=1, max_size=3).map(tuple),
)

interruptions = st.none() | st.builds(
    Interruption,
    how=st.sampled_from(HOW),
    nth=st.sampled_from([1, 1, 2]),  # a request has few beats
    meanwhile=in_the_meantime,
)

INTENDING = ("before intent", "after intent")
SENDING_IT = ("before deed", "after deed")
COMMITTING = ("before begin", "before commit", "after commit", "before publish")
MOMENTS = {
    "dies": (*INTENDING, *SENDING_IT, *SENDING_IT, *COMMITTING, "after publish", "before read", "after read"),
    "away": (*INTENDING, *COMMITTING),
    "sleeps": (
        "after intent",
        "after intent",
        *SENDING_IT,
        *SENDING_IT,
        "after commit",
        "after read",
        "before publish",
    ),
}
dooms = st.one_of(
    [
        st.builds(
            Doom,
            how=st.just(how),
            nth=st.sampled_from([1, 1, 1, 2]),
            meanwhile=in_the_meantime if how == "sleeps" else st.just(()),
            of=st.sampled_from(["a deed", "a deed", "anything", TaskName.REFUND, TaskName.CONFIRM]),
            moment=st.sampled_from(moments),
        )
        for how, moments in MOMENTS.items()
    ]
)

PREMIUM_REFUND = {"event": "claim.status-update", "category": "Payment Processing", "label": "Premium Refund"}
NEWS: dict[str, dict[str, Any]] = {
    "assessed": {"category": "Under Assessment"},
    "premium refund": PREMIUM_REFUND,
    "paid": {"category": "Payment Complete"},
    "declined": {"category": "Declined"},
    "deleted": {"event": "claim.deleted"},
}
ENDING_NEWS = {"paid", "declined", "deleted"}
