"""Rounds that alternate between two subjects, so that a machine that slows down slows both; figures of all of them."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load import Sent

Play = Callable[[], Sent]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One round: ours and the peer's, one right after the other."""

    ours: Sent
    peer: Sent

    @property
    def ratio(self) -> float:
        """Our rate by the peer's."""
        return self.ours.rate / self.peer.rate


def alternate(ours: Play, peer: Play, *, rounds: int, told: Callable[[Pair], object]) -> list[Pair]:
    """Play both once unrecorded, then in pairs; who begins changes from pair to pair."""
    ours(), peer()
    pairs = []
    for number in range(rounds):
        first, second = (ours(), peer()) if number % 2 == 0 else (peer(), ours())
        pair = Pair(ours=first, peer=second) if number % 2 == 0 else Pair(ours=second, peer=first)
        told(pair)
        pairs.append(pair)
    return pairs


def figures(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the medians and the spread over the rounds; latencies in milliseconds."""
    return {
        "rounds": len(pairs),
        "requests_a_round": len(pairs[0].ours.latencies),
        "ratio": _spread([pair.ratio for pair in pairs], digits=3),
        "ours": _of([pair.ours for pair in pairs]),
        "peer": _of([pair.peer for pair in pairs]),
    }


def _of(runs: Sequence[Sent]) -> dict[str, Any]:
    return {
        "rate": _spread([run.rate for run in runs], digits=0),
        "p50_ms": _spread([_percentile(run.latencies, 50) * 1e3 for run in runs], digits=2),
        "p99_ms": _spread([_percentile(run.latencies, 99) * 1e3 for run in runs], digits=2),
        "statuses": dict(sum((run.statuses for run in runs[1:]), runs[0].statuses)),
    }


def _spread(values: Sequence[float], *, digits: int) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
