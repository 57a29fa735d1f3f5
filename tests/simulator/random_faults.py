"""Faults by chance, the same for the same seed: drawn per booking and operation, so that threads do not matter."""

import random
from collections import Counter
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tests.simulator.faults import ANSWER_FAULTS, ON, WEBHOOK_FAULTS, Fault

BEFORE_ACTING = ("drop_before", "error_before")
AFTER_ACTING = ("slow", "act_then_drop", "act_then_error", "garbled")
POSTPONED = ("throttle", "locked")  # 4xx: to the insurer "later", from the partner "no"
SURVIVED = {
    "webhook": ("twice", "late", "out_of_order", "dropped"),
    "refund": (*BEFORE_ACTING, *AFTER_ACTING),
}
SURVIVED_ELSEWHERE = (*BEFORE_ACTING, *POSTPONED, *AFTER_ACTING)
SECONDS = {"slow": 0.2, "late": 0.5}  # late enough for the story's next event to overtake it
NOT_BY_CHANCE = {"before_answer"}  # it hits the claim's creation, so a booking asks for it


class RandomFaults(BaseModel):
    """`do` None is what a correct service survives in the end; otherwise those of `do` that fit the operation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int
    rate: float = Field(ge=0, le=1)
    on: tuple[ON, ...] = get_args(ON)
    do: tuple[str, ...] | None = None
    slow: float = Field(default=SECONDS["slow"], ge=0)  # seconds of a slow answer
    limit: int = Field(default=3, ge=0)  # for each booking and operation, so that every journey can end

    @field_validator("do")
    @classmethod
    def _are_known(cls, do: tuple[str, ...] | None) -> tuple[str, ...] | None:
        known = (ANSWER_FAULTS | WEBHOOK_FAULTS) - NOT_BY_CHANCE
        for name in do or ():
            if name not in known:
                raise ValueError(f"no fault {name!r} by chance; there are {sorted(known)}")
        return do

    def choices(self, on: str) -> list[str]:
        if on not in self.on:
            return []
        if self.do is None:
            return list(SURVIVED.get(on, SURVIVED_ELSEWHERE))
        fitting = WEBHOOK_FAULTS if on == "webhook" else ANSWER_FAULTS
        return [name for name in self.do if name in fitting]


class Dice:
    """Remembers how many requests came and how many were hit. Callers hold the state's lock."""

    def __init__(self) -> None:
        self._came: Counter[tuple[str, str]] = Counter()
        self._hit: Counter[tuple[str, str]] = Counter()
        self.thrown: Counter[tuple[str, str]] = Counter()
        """How often chance did what to which operation, whatever the booking."""

    def count(self, booking_id: str, on: str) -> int:
        """Return which of its kind this request is for the booking, from 1; counted while chance is off too."""
        self._came[booking_id, on] += 1
        return self._came[booking_id, on]

    def counts(self) -> dict[str, int]:
        """Return how many requests of each kind came, over all bookings."""
        counted: Counter[str] = Counter()
        for (_, on), times in self._came.items():
            counted[on] += times
        return dict(counted)

    def throw(self, wanted: RandomFaults | None, booking_id: str, on: str, nth: int) -> Fault | None:
        choices = wanted.choices(on) if wanted else []
        if wanted is None or not choices or self._hit[booking_id, on] >= wanted.limit:
            return None
        chance = random.Random(f"{wanted.seed}:{booking_id}:{on}:{nth}")
        if chance.random() >= wanted.rate:
            return None
        self._hit[booking_id, on] += 1
        do = chance.choice(choices)
        self.thrown[on, do] += 1
        return Fault.model_validate(
            {"on": on, "do": do, "seconds": wanted.slow if do == "slow" else SECONDS.get(do, 0)}
        )
