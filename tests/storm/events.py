"""What happens to a claim and in which order it is told, from a seed. Pure: nothing is sent here."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.storm.plan import EARLY, REORDERED, REPEATED, SENT_PER_CLAIM

PREMIUM_REFUND, CLAIM_PAID, CLAIM_CLOSED_UNPAID = "premium_refund", "claim_paid", "claim_closed_unpaid"


@dataclass(frozen=True, kw_only=True)
class State:
    """Where XClaim says that a claim stands, and the milestone that this is for us."""

    category: str
    name: str | None = None
    """The workflow's own name of it, which a category's update does not tell."""
    label: str | None = None
    milestone: str | None = None
    weight: int = 6

    @property
    def event(self) -> str:
        """The event that tells of it."""
        return "claim.status-category-update" if self.name is None else "claim.status-update"


UNKNOWN = "Sent To Loss Adjuster"
"""A category that XClaim's documentation does not list."""

STATES = (
    State(category="Submitted"),
    State(category="Under Assessment"),
    State(category="Action Required"),
    State(category="Processing"),
    State(category="Under Review"),
    State(category="Payment Processing"),
    State(category="Under Review", name="second_look", label="Second Look"),
    State(category=UNKNOWN, weight=1),
    State(category="Payment Processing", name="premium_refund", label="Premium Refund", milestone=PREMIUM_REFUND,
          weight=3),
    State(category="Payment Complete", milestone=CLAIM_PAID, weight=1),
    State(category="Settled", milestone=CLAIM_PAID, weight=1),
    State(category="Declined", milestone=CLAIM_CLOSED_UNPAID, weight=1),
    State(category="Withdrawn", milestone=CLAIM_CLOSED_UNPAID, weight=1),
    State(category="Closed", milestone=CLAIM_CLOSED_UNPAID, weight=1),
    State(category="Duplicate Claim", milestone=CLAIM_CLOSED_UNPAID, weight=1),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Happen:
    """XClaim's claim comes to its next state, and nobody is told."""

    state: State


@dataclass(frozen=True, kw_only=True)
class Tell:
    """A webhook tells of a state: of the present one or of an earlier one."""

    state: State
    on_own_address: bool
    is_repeat: bool
    is_overtaken: bool
    """It tells of what happened before what was told last."""


@dataclass(frozen=True, kw_only=True)
class Open:
    """Our row for the claim is written."""


Action = Happen | Tell | Open


def story(chance: random.Random, *, is_late: bool) -> list[Action]:
    """Return what happens to a claim and what is told of it, in order; `is_late` opens its row half-way."""
    repeats = chance.choice((7, 8)) if REPEATED * SENT_PER_CLAIM % 1 else round(REPEATED * SENT_PER_CLAIM)
    actions = _told(chance, walk(chance, SENT_PER_CLAIM - repeats))
    for _ in range(repeats):
        _repeat(chance, actions)
    if is_late:
        tells = [number for number, action in enumerate(actions) if isinstance(action, Tell)]
        actions.insert(tells[len(tells) // 2], Open())
    return actions


def is_late(chance: random.Random) -> bool:
    """Draw whether a claim's row is opened half-way: then half of its events are early."""
    return chance.random() < EARLY * 2


def walk(chance: random.Random, length: int) -> list[State]:
    """Return so many states, each another than the one before, with at least one A, B, A."""
    states: list[State] = []
    for _ in range(length):
        others = [state for state in STATES if not states or state != states[-1]]
        states.append(chance.choices(others, [state.weight for state in others])[0])
    back = chance.randrange(length - 2)
    states[back + 2] = states[back]
    return states


def body(state: State, *, claim_id: str, reference: str, booking_id: str) -> bytes:
    """Return a webhook's bytes as XClaim writes them, slashes escaped."""
    status = {"category": state.category}
    if state.name is not None:
        status |= {"name": state.name, "label": state.label or state.name}
    payload = {
        "id": claim_id,
        "claimReference": reference,
        "bookingReference": booking_id,
        "status": status,
        "claimDetails": [{"title": "Documents", "url": f"https://staging.xclaim.example/claims/{reference}"}],
    }
    text = json.dumps({"event": state.event, "payload": payload}, separators=(",", ":"))
    return text.replace("/", "\\/").encode()


def _told(chance: random.Random, states: Sequence[State]) -> list[Action]:
    """Let each state happen and be told; of some pairs the later one is told first."""
    actions: list[Action] = []
    overtaken = REORDERED / (1 - REPEATED)  # of what happens, which is less than what is sent
    number, pairs = 0, overtaken / (1 - overtaken) * 1.1  # a pair takes two places, and the last state has no next
    while number < len(states):
        pair = states[number : number + 2 if chance.random() < pairs else number + 1]
        actions += [Happen(state=state) for state in pair]
        actions += [_tell(chance, state, is_overtaken=state is not pair[-1]) for state in reversed(pair)]
        number += len(pair)
    return actions


def _repeat(chance: random.Random, actions: list[Action]) -> None:
    """Tell once more, at once or at any time later."""
    told = [number for number, action in enumerate(actions) if isinstance(action, Tell) and not action.is_repeat]
    number = chance.choice(told)
    first = actions[number]
    assert isinstance(first, Tell)
    again = _tell(chance, first.state, is_repeat=True)
    actions.insert(number + 1 if chance.random() < 0.5 else chance.randrange(number, len(actions)) + 1, again)


def _tell(chance: random.Random, state: State, *, is_repeat: bool = False, is_overtaken: bool = False) -> Tell:
    on_own_address = chance.random() < 0.5
    return Tell(state=state, on_own_address=on_own_address, is_repeat=is_repeat, is_overtaken=is_overtaken)
