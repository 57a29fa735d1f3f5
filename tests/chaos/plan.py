"""What a run is to do, from the environment: JOBS, MINUTES, SEED. Nothing is started here."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

KEY_MODES = ("honoured", "ignored", "storing_errors")
LONG = 3.0
"""Minutes from which the outages have their full length."""


class WrongSetting(Exception):
    """A variable of the environment does not say what it should."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many, how long, how hard."""

    jobs: int
    seconds: float
    """In which the jobs are sent and the faults happen; the first round of faults is always completed."""
    seed: int
    key_mode: str
    """How the insurer treats our idempotency keys."""
    gap: float
    """Seconds between a fault's end and the next one: from half of it to two and a half times as long."""
    redis_away: float
    redis_hangs: float
    paused: float
    """Seconds a worker is stopped: longer than its lease of 8."""
    read_back_after: int
    """Seconds; ten minutes in earnest. As those are, much longer than a worker sleeps beyond its lease: a request that
    leaves even later is the window that cannot be closed where XClaim has no keys."""
    recovery_wait: float
    """How long the next fault waits for the victims of a killed worker."""
    settle: float
    """Seconds after the last fault in which everything must have ended."""
    quiet_jobs: int
    """Jobs whose messages are wiped in a quiet system."""
    is_long: bool
    """Whether slow recovery fails the run: a short one shares its machine and measures too little."""
    latency: float
    """Seconds before each of the insurer's answers: a kill should find some steps in the middle of a call."""
    gateways: int
    """Processes that answer requests."""
    slots: int
    """Steps that one worker takes at once."""


def read(environment: Mapping[str, str] = os.environ) -> Plan:
    """Read the plan; raise WrongSetting."""
    minutes = number("MINUTES", 0.5, environment)
    seed = int(number("SEED", float(int(time.time()) % 1_000_000), environment))
    return make(jobs=int(number("JOBS", 50, environment)), minutes=minutes, seed=seed)


def make(*, jobs: int, minutes: float, seed: int) -> Plan:
    """Make a plan: outages last as long as they are promised to only where there is time for them."""
    is_long = minutes >= LONG
    return Plan(
        jobs=jobs,
        seconds=minutes * 60,
        seed=seed,
        key_mode=KEY_MODES[seed % len(KEY_MODES)],
        gap=3.0 if is_long else 0.5,
        redis_away=30.0 if is_long else 3.0,
        redis_hangs=8.0 if is_long else 2.0,
        paused=12.0 if is_long else 10.0,
        read_back_after=15 if is_long else 8,
        recovery_wait=30.0 if is_long else 0.0,
        settle=120.0 if is_long else 300.0,  # a short one only bounds a hang: how fast it is, its neighbours decide
        quiet_jobs=40 if is_long else 10,
        is_long=is_long,
        latency=0.2 if is_long else 0.1,
        gateways=2 if is_long else 1,
        slots=6 if is_long else 3,
    )


def number(name: str, default: float, environment: Mapping[str, str] = os.environ) -> float:
    """Read a number above zero (a SEED may be zero); raise WrongSetting."""
    text = environment.get(name, "")
    try:
        found = float(text) if text else default
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf") or (found == 0 and name != "SEED"):
        raise WrongSetting(f"{name} must be a number above zero, not {text!r}.")
    return found
