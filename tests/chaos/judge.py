"""What became of everything that was accepted: the service's rows against the insurer's and the partner's ledgers."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.chaos.jobs import Job

DEEDS = {"confirm": "cancelled", "cancel": "cancelled", "claim": "claimed"}
PAYMENTS = ("refund", "refund_promised")
EFFECTS = (*DEEDS, *PAYMENTS)
ENDED = frozenset({"completed", "rejected", "aborted", "needs_review", "closed"})
LOST_TO_RIVAL = frozenset({"already-in-hand", "policy-already-cancelled", "policy-cannot-be-cancelled"})


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cancellation as the database shows it at the end."""

    id: str
    key: str
    status: str
    journey: str
    steps: Sequence[str]
    next_step: str | None
    problem: str | None
    abandoned: int
    quotes: Sequence[str]
    created_at: datetime
    updated_at: datetime


QUERY = (
    "SELECT id, idempotency_key, status, journey, steps, next_step, problem, abandoned, quotes, created_at, updated_at"
    " FROM cancellations"
)


def row_of(found: Sequence[Any]) -> Row:
    """Read what QUERY returns."""
    row_id, key, status, journey, steps, step, problem, abandoned, quotes, created_at, updated_at = found
    slug = str(problem["type"]).removeprefix("/problems/") if problem else None
    return Row(
        id=str(row_id), key=key, status=status, journey=journey, steps=steps, next_step=step, problem=slug,
        abandoned=abandoned, quotes=[quote["id"] for quote in quotes], created_at=created_at, updated_at=updated_at,
    )  # fmt: skip


@dataclass(kw_only=True)
class Verdict:
    """What was found, most of it empty in a good run; each entry names its job."""

    ended: Counter[str] = field(default_factory=Counter)
    reviews: Counter[str] = field(default_factory=Counter)
    """Those that need a person, by problem."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Completed without its effects, confirmed before its refund, ended as nothing here explains."""

    @property
    def findings(self) -> int:
        """How much is not as it should be."""
        return len(self.lost) + len(self.doubled) + len(self.stuck) + len(self.wrong)


@dataclass(kw_only=True)
class Evidence:
    """Everything the judge looks at."""

    jobs: Sequence[Job]
    rows: Mapping[str, Row]
    effects: Sequence[Mapping[str, Any]]
    jumps: Sequence[tuple[float, float]]
    """When the insurer's clock jumped, and to which offset."""
    requests: Callable[[str], Sequence[Mapping[str, Any]]]
    """What the insurer was asked about a booking."""
    unfinished: Collection[str]
    """What had not ended in time, wherever it stands by now."""
    process_faults: Sequence[tuple[float, float]]
    """When processes and servers were down, from and until."""


def judge(evidence: Evidence) -> Verdict:
    """Judge each job that was accepted, and every effect."""
    verdict = Verdict()
    by_booking: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for effect in evidence.effects:
        if effect["kind"] in EFFECTS:
            by_booking[effect["booking"]].append(effect)
    for booking, effects in by_booking.items():
        verdict.doubled += _doubled(booking, effects, evidence.rows)
    for job in evidence.jobs:
        row = evidence.rows.get(job.id or "")
        if job.id is None:
            verdict.wrong.append(f"{_name(job)} was never accepted: {job.refused or 'no answer'}")
        elif row is None or row.key != job.key:
            verdict.lost.append(f"{_name(job)} was accepted as {job.id}, which no row shows")
        else:
            verdict.ended[row.status] += 1
            if row.id in evidence.unfinished or row.status not in ENDED:
                verdict.stuck.append(f"{_name(job)} had not ended in time; now it is {row.status} at {row.next_step}")
            _judge_one(verdict, job, row, by_booking[job.booking_id], evidence)
    return verdict


def _doubled(booking: str, effects: Sequence[Mapping[str, Any]], rows: Mapping[str, Row]) -> list[str]:
    """Count what was done to each policy; a payment is for the policies of its cancellation."""
    done: Counter[tuple[str, str]] = Counter()
    for effect in effects:
        if effect["kind"] in DEEDS:
            done.update((DEEDS[effect["kind"]], quote) for quote in effect["quotes"])
        else:
            row = rows.get(effect["cancellation"])
            done.update(("refunded", quote) for quote in (row.quotes if row else [effect["cancellation"]]))
    return [f"{booking}: policy {quote} was {what} {times} times" for (what, quote), times in done.items() if times > 1]


def _judge_one(verdict: Verdict, job: Job, row: Row, effects: Sequence[Mapping[str, Any]], evidence: Evidence) -> None:
    kinds = Counter(effect["kind"] for effect in effects)
    match row.status:
        case "completed":
            if job.kind.is_aborted or kinds != Counter(job.kind.effects):
                verdict.wrong.append(f"{_name(job)} is completed with {dict(kinds)} instead of {job.kind.effects}")
        case "aborted" | "rejected":
            is_expected = job.kind.is_aborted if row.status == "aborted" else _lost_to_rival(job, row)
            if not is_expected or (kinds and not job.kind.has_rival):
                verdict.wrong.append(f"{_name(job)} is {row.status} ({row.problem}) with {dict(kinds)}")
        case "needs_review":
            verdict.reviews[row.problem or "none"] += 1
            if not _is_explained(job, row, kinds, evidence):
                verdict.wrong.append(f"{_name(job)} needs review: {row.problem} at {row.next_step}, unexplained")
    if _is_confirmed_early(job, effects, evidence.jumps):
        verdict.wrong.append(f"{_name(job)} was confirmed before its refund")


def _lost_to_rival(job: Job, row: Row) -> bool:
    return job.kind.has_rival and row.problem in LOST_TO_RIVAL


def _is_confirmed_early(job: Job, effects: Sequence[Mapping[str, Any]], jumps: Sequence[tuple[float, float]]) -> bool:
    kinds = [effect["kind"] for effect in effects]
    if "confirm" not in kinds or job.kind.body.get("refund", {}).get("mode") not in {"wait", "call"}:
        return False
    confirm = kinds.index("confirm")
    if "refund" in job.kind.effects:
        return "refund" not in kinds[:confirm]
    return job.reported_at is None or true_time(effects[confirm]["at"], jumps) < job.reported_at


def true_time(at: str, jumps: Sequence[tuple[float, float]]) -> float:
    """Return a ledger's time by this machine's clock: each jump moves it further than a run is long."""
    shown = datetime.fromisoformat(at).timestamp()
    offsets = [offset for when, offset in jumps if shown - offset >= when - 1]
    return shown - (offsets[-1] if offsets else 0.0)


def _is_explained(job: Job, row: Row, kinds: Counter[str], evidence: Evidence) -> bool:
    """Tell whether what was done to a job explains that nobody but a person can settle it."""
    begun, ended = row.created_at.timestamp(), row.updated_at.timestamp()
    is_jumped = any(begun <= when <= ended for when, _ in evidence.jumps)
    was_down = any(start <= ended and begun <= end for start, end in evidence.process_faults)
    is_hit = was_down or any(one["fault"] for one in evidence.requests(job.booking_id))
    match row.problem:
        case "refund-unknown":  # it was cancelled, and the answer that told the refund was lost
            return is_hit and kinds["cancel"] == 1
        case "outcome-unsettled" | "answer-unreadable" | "tries-spent":
            return is_hit
        case "worker-crashed":
            return was_down and row.abandoned > 0
        case "claim-duplicated" | "cancelled-by-someone-else":
            return is_jumped  # seen by a clock that has jumped, our own deed looks like another's
    return False


@dataclass(frozen=True, kw_only=True)
class ClaimedAnew:
    """A claim that was asked for again although nobody knew what the request before it had done."""

    booking: str
    seconds: float
    """Since the request before it arrived."""


def claimed_anew(requests: Sequence[Mapping[str, Any]]) -> list[ClaimedAnew]:
    """Find them in what XClaim was asked; a request that was turned away for its rate certainly did nothing."""
    anew: list[ClaimedAnew] = []
    last: dict[str, Mapping[str, Any]] = {}
    for one in requests:
        before = last.get(one["booking"])
        if before is not None and before["status"] != 429:
            apart = datetime.fromisoformat(one["at"]) - datetime.fromisoformat(before["at"])
            anew.append(ClaimedAnew(booking=one["booking"], seconds=round(apart.total_seconds(), 1)))
        last[one["booking"]] = one
    return anew


def hasty(anew: Sequence[ClaimedAnew], *, patience: float) -> list[str]:
    """Return those that were asked for too soon to have been read back: they would be guesses."""
    return [f"{one.booking} was claimed again after {one.seconds} s" for one in anew if one.seconds < patience]


def _name(job: Job) -> str:
    return f"{job.booking_id} ({job.kind.name}, {job.id})"
