"""What the insurer remembers of `x-idempotency-key`. Nothing else of a request is remembered here.

honoured         a processed request (2xx) is answered again, as 409 with its body
storing_errors   so is a failed one: 409 with the error body
ignored          the header means nothing
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.simulator.answers import Answer

KEPT_FOR = timedelta(hours=48)
LOCKED = Answer(423, {"type": "api_error", "message": "The original request is still being processed"})
OTHER_BODY = Answer(
    422,
    {
        "type": "validation_error",
        "message": "An API error occurred.",
        "errors": ["The idempotency key was used with another request"],
    },
)


@dataclass(kw_only=True)
class _Entry:
    fingerprint: bytes
    begun_at: datetime
    answer: Answer | None = None


class Keys:
    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def begin(self, key: str, fingerprint: bytes) -> Answer | None:
        """Take the key for this request; an answer means that it is not to be carried out."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.answer and self._now() - entry.begun_at > KEPT_FOR:
                entry = None
            if entry is None:
                self._entries[key] = _Entry(fingerprint=fingerprint, begun_at=self._now())
                return None
            if entry.fingerprint != fingerprint:
                return OTHER_BODY
            if entry.answer is None:
                return LOCKED
            return Answer(409, entry.answer.body, entry.answer.headers)

    def finish(self, key: str, answer: Answer | None) -> None:
        """Remember the answer, or with None forget that the request ever came."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return
            if answer is None:
                del self._entries[key]
            else:
                entry.answer = answer

    def forget(self, share: float, chance: random.Random) -> int:
        """Let more time pass for a share of the answered keys than they are kept; return for how many."""
        with self._lock:
            answered = [entry for entry in self._entries.values() if entry.answer]
            chosen = chance.sample(answered, round(len(answered) * share))
            for entry in chosen:
                entry.begun_at -= KEPT_FOR + timedelta(seconds=1)
            return len(chosen)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
