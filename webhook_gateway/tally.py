"""Counts webhooks in this process and writes the counts down now and then, so that a flood costs no row each.

What a killed process had not written yet is not counted. Nothing that must not be lost belongs here.
"""

import time
from collections import Counter
from collections.abc import Mapping
from threading import Lock, Thread

import structlog

from shared import webhook_tallies
from shared.db import AWAY, Database

WRITE_EVERY = 10.0
"""Seconds."""
SAMPLE_BYTES = 1_000
"""Of a sample's text, all its values together."""

log = structlog.get_logger()

_Kind = tuple[str, str, str]


class Tally:
    """Counts by source, verdict and key; a thread that lives while there is something to write writes it down.

    Nothing is counted before gunicorn forks, so a process starts with neither thread nor held lock. Without
    `write_every` there is no thread: then `write` is the caller's business.
    """

    def __init__(self, database: Database, *, write_every: float | None = None) -> None:
        self._database = database
        self._write_every = write_every
        self._lock = Lock()
        self._counts: Counter[_Kind] = Counter()
        self._samples: dict[_Kind, dict[str, str]] = {}
        self._thread: Thread | None = None

    def count(self, *, source: str, verdict: str, key_id: str = "", sample: Mapping[str, str] | None = None) -> bool:
        """Count one, and return whether it is the first of its kind since the last writing: worth a line in the log.

        Only that one's sample is kept.
        """
        kind = (source, verdict, key_id)
        with self._lock:
            self._counts[kind] += 1
            is_first = self._counts[kind] == 1
            if is_first and sample is not None:
                self._samples[kind] = _bounded(sample)
            if self._thread is None and self._write_every is not None:
                self._thread = self._started(self._write_every)
        return is_first

    def write(self) -> None:
        """Write down what was counted; kept for the next time while the database is away."""
        with self._lock:
            counts, samples = self._counts, self._samples
            self._counts, self._samples = Counter(), {}
        if not counts:
            return
        counted = [
            webhook_tallies.Counted(
                source=kind[0], verdict=kind[1], key_id=kind[2], count=count, sample=samples.get(kind)
            )
            for kind, count in counts.items()
        ]
        try:
            with self._database.transaction() as tx:
                webhook_tallies.add(tx, counted)
        except AWAY as error:
            log.warning("tally_not_written", error=type(error).__name__, next="tried again with the next counts")
            with self._lock:
                self._counts.update(counts)
                self._samples = {**samples, **self._samples}

    def _started(self, write_every: float) -> Thread | None:
        thread = Thread(target=self._run, args=[write_every], name="tally", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # out of threads, or the process is ending
            log.warning("tally_not_started", error=str(error), next="the next count tries again")
            return None
        return thread

    def _run(self, write_every: float) -> None:
        while True:
            time.sleep(write_every)
            try:
                self.write()
            except Exception:  # the edge of this thread: counting goes on
                log.exception("tally_failed", next="these counts are lost")
            with self._lock:
                if not self._counts:
                    self._thread = None
                    return


def _bounded(sample: Mapping[str, str]) -> dict[str, str]:
    room, kept = SAMPLE_BYTES, {}
    for name, value in sample.items():
        kept[name] = value[: max(room, 0)]
        room -= len(kept[name])
    return kept
