"""Why each check matters and what to do, in words for three in the morning: a table, read by people and by a test.

`anchor` is the runbook's section.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """What goes with a finding that is not fine."""

    why: str
    todo: str
    anchor: str


_CREDENTIALS = Advice(
    "The insurer does not let us in: whatever reaches a step that asks it waits for a person.",
    "Get valid credentials from Cover Genius, set them for every worker, run `cfar doctor` again, then retry what is "
    "parked.",
    "expired-credentials",
)
_UNANSWERED = Advice(
    "Cancellations wait until it answers again. Nothing is lost, and no tries are burnt.",
    "Wait, and tell Cover Genius. Press nothing: what waits goes on by itself.",
    "insurer-down",
)
_CLOCK = Advice(
    "Requests are signed with their date; the insurer refuses one that is minutes away from its own clock.",
    "Find the clock that is wrong: the one that differs from all the others. Set it by NTP.",
    "clock-skew",
)
_DISK = Advice(
    "Nothing can be accepted and no step can be finished. What is stored is safe, and callers are told to come back.",
    "Make room or take a larger plan. Never delete rows of ours by hand.",
    "database-disk-full",
)
_REDIS_FULL = Advice(
    "Redis throws messages away, or refuses them, when its memory is full. Nothing is lost, but everything is late.",
    "Set maxmemory-policy to noeviction and give it memory enough.",
    "redis-evicting",
)
_REDIS = Advice(
    "No worker is told of anything. Callers and webhooks are still taken, and the sweeper rings for all of it later.",
    "Bring Redis back, or point REDIS_URL at a new, empty one: nothing in it has to be saved.",
    "redis-down",
)
_DATABASE = Advice(
    "The database is the truth: without it nothing is accepted and nothing goes on. Callers are told to come back.",
    "Bring it back. Web and workers connect again by themselves.",
    "database-down",
)
_WORKERS = Advice(
    "Nobody works on anything: no step, no webhook, no callback. All of it is stored and waits.",
    "Start workers, and read the last lines of their log: settings that are wrong are named there.",
    "no-worker",
)
_BEAT = Advice(
    "Whatever waits for a time, a retry or a lost message is not rung for. What goes on without a wait is not held up.",
    "Restart beat. A second one by accident does no harm.",
    "beat-stuck",
)
_ANSWERS = Advice(
    "The insurer answers with something that cannot be read, or with figures that do not agree. We stop rather than "
    "guess.",
    "Pause the step, read the stored answer, and have the reading of it adapted. Then retry what is parked.",
    "insurer-answer-changed",
)
_KEYS = Advice(
    "XClaim's webhooks are refused with 401, so claims are only followed by asking, which is slower.",
    "Put the key back that the open claims use, anywhere but in the first place of XCLAIM_WEBHOOK_KEYS.",
    "wrong-webhook-key",
)
_POISON = Advice(
    "These fail or kill their worker each time. The others pass them by.",
    "Read its timeline, have the cause mended, then retry it, or resolve it by hand.",
    "poison-row",
)
_SETTINGS = Advice(
    "A process with wrong settings does not start, or starts and refuses what it should do.",
    "Correct the variables that are named, and restart the processes that read them.",
    "wrong-settings",
)
_BUILD = Advice(
    "Workers of this release can lose or repeat messages in ways that were tested against.",
    "Deploy the project as it is locked: `pip install -r requirements.txt`, and no settings of Celery from elsewhere.",
    "wrong-build",
)
_LATE = Advice(
    "Cancellations are due and nobody takes them up, or they are taken up late.",
    "See that workers and beat live, that no pause is in force, and that no breaker is open; then add workers.",
    "stuck-cancellations",
)

ADVICE: dict[str, Advice] = {
    "doctor": Advice(
        "What was not looked at may be fine or not.",
        "Look again in a minute; the log says why a check failed.",
        "what-doctor-cannot-tell",
    ),
    "settings": _SETTINGS,
    "public-url": Advice(
        "Each claim tells XClaim this address. Where it leads nowhere, no webhook ever comes.",
        "Set PUBLIC_URL of the workers to the gateway's own https:// address. Open claims keep the one they got.",
        "wrong-settings",
    ),
    "celery": _BUILD,
    "durations": _BUILD,
    "versions": _BUILD,
    "database": _DATABASE,
    "database-version": Advice(
        "A release of PostgreSQL that is no longer mended is a risk of its own.",
        "Plan an upgrade to a supported release.",
        "database-down",
    ),
    "schema": Advice(
        "The code expects tables or columns that are not there.",
        "Run the release command: `alembic upgrade head`.",
        "wrong-settings",
    ),
    "database-writes": _DISK,
    "database-space": _DISK,
    "database-connections": Advice(
        "When none is left, requests are answered 503 and steps fail before they begin.",
        "Lower WEB_CONCURRENCY or WORKER_CONCURRENCY, or take a plan with more; docs/deploying.md counts them.",
        "database-down",
    ),
    "clock-host": _CLOCK,
    "clock-workers": _CLOCK,
    "clock-insurer": _CLOCK,
    "workers": _WORKERS,
    "beat": _BEAT,
    "credentials": _CREDENTIALS,
    "credentials-not-asked": Advice(
        "Whether the insurer lets us in is not known.",
        "See that workers and beat live, then run `cfar doctor` again: it has a worker ask.",
        "expired-credentials",
    ),
    "unanswered": _UNANSWERED,
    "parked-for-credentials": _CREDENTIALS,
    "breakers": _UNANSWERED,
    "rate-limit": Advice(
        "The insurer turns requests away with 429. They are sent again later: nothing is lost, but all is slower.",
        "Lower XCOVER_RATE_LIMIT to what the partner is allowed, less what others send with the same credentials.",
        "partner-over-limit",
    ),
    "answers": _ANSWERS,
    "poison-rows": _POISON,
    "overdue": _LATE,
    "invariants": Advice(
        "Something that must always hold does not: money may have moved twice, or not at all. They are blocked.",
        "Leave them blocked. Read the evidence of each, ask Cover Genius what is true there, then resolve it.",
        "invariant-broken",
    ),
    "pauses": Advice(
        "What is paused waits until somebody resumes it.",
        "Ask whoever paused it; resume it when the reason is gone.",
        "paused",
    ),
    "callback-endpoints": Advice(
        "Callers are told nothing any more at these addresses.",
        "Have the endpoint mended, then replay what was given up: `cfar callbacks replay`.",
        "callback-endpoint-disabled",
    ),
    "webhook-keys": _KEYS,
    "redis": _REDIS,
    "redis-version": Advice(
        "Celery's transport is tested with Redis 6.2 and newer, and with Valkey.",
        "Plan an upgrade.",
        "redis-down",
    ),
    "redis-writes": _REDIS_FULL,
    "redis-eviction": _REDIS_FULL,
    "redis-memory": _REDIS_FULL,
    "redis-persistence": Advice(
        "Redis cannot save its data and may refuse to take more.",
        "Make room on its disk, or switch saving off: nothing in it has to last.",
        "redis-evicting",
    ),
    "redis-clients": Advice(
        "When no connection is left, messages are neither sent nor read.",
        "Take a plan with more connections, or run fewer processes.",
        "redis-down",
    ),
    "queues": Advice(
        "More comes in than is worked off. Nothing is lost; it is late.",
        "Add workers, or see why those that run are slow. Do not empty a queue: it would be filled again.",
        "stuck-cancellations",
    ),
    "unacknowledged": Advice(
        "Messages of workers that died were not handed to others. The sweeper rings again for what is due.",
        "See that workers live and are of one release.",
        "no-worker",
    ),
    "strangers": Advice(
        "Another Celery application shares this Redis. The shortest visibility timeout of all of them then counts.",
        "Give each application a Redis, or a database number, of its own.",
        "wrong-settings",
    ),
    "invariant-checks": Advice(
        "Broken invariants are not noticed while nobody checks.",
        "See that beat, a worker and Redis run; look for `sweep.check` in the workers' log.",
        "beat-stuck",
    ),
}
"""By check, and by cause where one check knows several."""
