"""Every case of the table, as a real row through the real functions: what follows, and why not where it must not."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select

from shared import caller_actions, webhook_events
from shared.invariant_checks import check_all
from shared.lifecycle import TASK_OF, Step, TaskName
from shared.models import Call, Cancellation, Claim, Reservation, Transition
from shared.money import Money
from shared.problems import Problem
from shared.resolutions import resolve
from shared.rulings import ClaimAmendment, Evidence, Resolution, Ruling
from tests.e2e.test_every_ending_table import CASES, EVENTS
from tests.every_ending import CURRENCY, EARLIER, PREVIEWED, REFERENCE, STATES, State, write
from tests.recording import RecordingDatabase, removable
from tests.simulator import SimulatorServer
from tests.world import World

OPERATOR = "operator:ops"
SAID = {
    "premium_refund": {"category": "Payment Processing", "name": "premium_refund", "label": "Premium Refund"},
    "claim_paid": {"category": "Payment Complete"},
    "claim_closed_unpaid": {"category": "Declined"},
}


@dataclass(frozen=True)
class Answer:
    """What came of an event, as a door would say it."""

    code: int
    slug: str | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A cancellation and all that belongs to it, at one moment."""

    row: Cancellation
    columns: dict[str, Any]
    calls: list[tuple[Any, ...]]
    held: set[str]
    lines: list[Transition]
    claims: list[Claim]


def test_every_event_of_the_table_can_be_fired() -> None:
    assert set(FIRE) == set(EVENTS)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def every_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, simulator_server: SimulatorServer
) -> Iterator[World]:
    """One world for all the cases: each has a booking of its own, so none sees another's rows."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("every_ending") / "cfar.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        database = RecordingDatabase(f"sqlite:///{path}")
    else:
        database = RecordingDatabase(request.getfixturevalue("postgresql_url"))
    made = World(database, simulator_server)
    yield made
    broken = dict(check_all(database))
    assert broken == {}, f"invariants do not hold after some case: {broken}"
    made.close()
    with database.transaction() as tx:
        for table in removable():
            tx.session.execute(delete(table))
    database.close()


@pytest.mark.parametrize(("state", "event"), sorted(CASES))
def test_what_follows(every_world: World, state: str, event: str) -> None:
    row_id = write(every_world, STATES[state])
    code, *wanted = CASES[state, event].split()

    before, answer, after = _fire(every_world, row_id, event)

    assert (answer.code, answer.slug) == (int(code), wanted[0] if len(wanted) == 1 else None)
    if len(wanted) == 1:
        _assert_refused(every_world, answer, before, after, event)
    else:
        _assert_followed(before, after, wanted)
        _assert_particulars(every_world, STATES[state], event, before, after)


def _fire(world: World, row_id: UUID, event: str) -> tuple[Seen, Answer, Seen]:
    if event == "report_again" and world.row(row_id).refund_reported_at is None:
        fire(world, row_id, "report_again")
        world.database.published.clear()
    before = _look(world, row_id)
    answer = fire(world, row_id, event)
    return before, answer, _look(world, row_id)


def _look(world: World, row_id: UUID) -> Seen:
    of_it = Call.cancellation_id == row_id
    held = select(Reservation.quote_id).where(Reservation.cancellation_id == row_id, Reservation.released_at.is_(None))
    with world.database.reading() as session:
        row = session.get_one(Cancellation, row_id)
        calls = session.scalars(select(Call).where(of_it).order_by(Call.step, Call.round)).all()
        lines = session.scalars(
            select(Transition).where(Transition.cancellation_id == row_id).order_by(Transition.id)
        ).all()
        return Seen(
            row=row,
            columns={column.key: getattr(row, column.key) for column in Cancellation.__mapper__.column_attrs},
            calls=[(one.step, one.round, one.key, one.outcome, one.is_doubtful, one.attempts) for one in calls],
            held=set(session.scalars(held)),
            lines=list(lines),
            claims=list(session.scalars(select(Claim).where(Claim.cancellation_id == row_id))),
        )


def _assert_followed(before: Seen, after: Seen, wanted: list[str]) -> None:
    status, step, policies, point = wanted
    same = before.row
    freed = {"held": before.held, "=": before.held, "freed": set(), "part": before.held - {str(same.claim_quote_id)}}
    is_past = {"=": same.irreversible_at is not None, "after": True, "before": False}
    found = (after.row.status, after.row.next_step, after.held, after.row.irreversible_at is not None)

    wanted_step = {"=": same.next_step, "-": None}.get(step, step)
    assert found == (same.status if status == "=" else status, wanted_step, freed[policies], is_past[point])
    if (status, step) == ("=", "="):
        assert (after.row.done_steps, after.calls) == (same.done_steps, before.calls)
    elif status not in {same.status, "="}:
        assert len(after.lines) > len(before.lines)


def _assert_refused(world: World, answer: Answer, before: Seen, after: Seen, event: str) -> None:
    row = before.row
    assert (after.columns, after.calls, after.held) == (before.columns, before.calls, before.held)
    assert world.database.published == []
    notes = after.lines[len(before.lines) :]
    assert all((note.to_status, note.to_step) == (row.status, row.next_step) for note in notes)
    assert len(notes) == 1 if event.startswith("report") else len(notes) == 0
    words = _words(answer.slug, row)
    assert any(word in answer.detail for word in words), f"{answer.detail!r} names none of {words}"


def _words(slug: str | None, row: Cancellation) -> list[str]:
    """Return what a refusal may call the state that stands in its way; one of them it must."""
    status = [row.status, row.status.replace("_", " ")]
    step = [row.next_step, row.next_step.replace("_", " ")] if row.next_step else ["no step", "had ended"]
    match slug:
        case "refund-mismatch":
            return [str(PREVIEWED)]
        case "refund-already-reported":
            return [str(row.refund_amount)]
        case "not-previewed":
            return ["no preview"]
        case "refund-not-awaited":
            return [*status, row.journey]
        case "nothing-to-resolve" | "evidence-missing":
            return [*status, *step, "closed unpaid"]
        case _:
            return status


def _assert_particulars(world: World, state: State, event: str, before: Seen, after: Seen) -> None:
    """What an event does besides: to the stored refund, to the calls, to the round, to the next message."""
    row, was = after.row, before.row
    new_round = event == "not_done" and state.step == "preview"
    assert row.round == was.round + int(new_round)
    if event == "retry" or event in SAID:
        assert after.calls == before.calls
    if event in SAID:
        assert all(event in claim.milestones for claim in after.claims)
    if event == "report_again":
        assert (after.columns, len(after.lines)) == (before.columns, len(before.lines))
    elif event.startswith("report"):
        assert [line.details.get("reference") for line in after.lines[len(before.lines) :]] == ["re_other"]
        assert was.refund_reported_at is not None or row.refund_reference == "re_other"
    elif event == "not_done" and "unknown" in state.facts and state.step in {"claim", "refund"}:
        assert world.database.published == []
        assert row.next_attempt_at is not None
        assert row.next_attempt_at > row.updated_at + timedelta(minutes=9)
    elif row.status == "in_progress" and (event not in SAID or was.status != row.status):
        assert world.database.published == [(TASK_OF[Step(str(row.next_step))], row.id)]
    _assert_ruled(state, event, before, after)


def _assert_ruled(state: State, event: str, before: Seen, after: Seen) -> None:
    """What a ruling writes: the refund or the claim it names, and that a new key is allowed."""
    row = after.row
    match event, state.step:
        case "not_done", "refund":
            assert (row.refund_amount, row.refund_reference, row.refund_reported_at) == (None, None, None)
        case "amend", _:
            assert (row.request["claim"]["language"], row.request["claim"]["quote_id"]) == ("de", "q1")
        case "done", "refund" if before.row.refund_reported_at is None:
            assert (row.refund_amount, row.refund_reference) == (PREVIEWED, "re_hand")
        case "done", "claim":
            assert [claim.reference for claim in after.claims] == [f"CLM-HAND-{row.id}"]
    if event in {"not_done", "amend"} and state.facts & {"unknown", "refused", "failed"}:
        assert [call[3] for call in after.calls if call[0] == state.step] == ["not_done"]


def _report(world: World, row_id: UUID, *, amount: Decimal, reference: str = "re_other") -> Answer:
    verdict = world.report_refund(row_id, str(amount), CURRENCY, reference)
    return Answer(verdict.status) if verdict.problem is None else _refusal(verdict.problem)


def _report_again(world: World, row_id: UUID) -> Answer:
    return _report(world, row_id, amount=world.row(row_id).refund_amount or PREVIEWED, reference=REFERENCE)


def _abort(world: World, row_id: UUID) -> Answer:
    with world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")
    return Answer(200)


def _retry(world: World, row_id: UUID) -> Answer:
    with world.database.transaction() as tx:
        caller_actions.retry(tx, row_id, actor=OPERATOR)
    return Answer(200)


def _resolve(world: World, row_id: UUID, *, resolution: Resolution, **more: Any) -> Answer:
    with world.database.transaction() as tx:
        resolve(tx, row_id, Ruling(resolution=resolution, actor=OPERATOR, note="looked at it", **more))
    return Answer(200)


def _done(world: World, row_id: UUID) -> Answer:
    money = Money(amount=PREVIEWED, currency=CURRENCY)
    evidence = Evidence(money=money, reference="re_hand", claim_reference=f"CLM-HAND-{row_id}")
    return _resolve(world, row_id, resolution=Resolution.DONE, evidence=evidence)


def _webhook(world: World, row_id: UUID, *, milestone: str) -> Answer:
    """Let XClaim's webhook arrive at the claim's own address, or at the bare one where there is no claim."""
    claim = next(iter(world.all(Claim, Claim.cancellation_id == row_id)), None)
    claim_id = f"claim-{row_id}" if claim is None else claim.claim_id or f"claim-{row_id}"
    raw = json.dumps({"event": "claim.status-update", "payload": {"id": claim_id, "status": SAID[milestone]}}).encode()
    token = claim.webhook_token if claim else None
    with world.database.transaction() as tx:
        delivery_id, _ = webhook_events.record(tx, raw, source="xclaim", token=token, key_id="first", headers={})
    world.database.published.clear()
    world.run(TaskName.HANDLE_WEBHOOK, delivery_id)
    return Answer(200)


def _refusal(problem: Problem) -> Answer:
    return Answer(problem.status, problem.slug, str(problem.document["detail"]))


FIRE: dict[str, Callable[[World, UUID], Answer]] = {
    "report": partial(_report, amount=PREVIEWED),
    "report_wrong": partial(_report, amount=Decimal("1.00")),
    "report_earlier": partial(_report, amount=EARLIER),
    "report_again": _report_again,
    "abort": _abort,
    "retry": _retry,
    "done": _done,
    "done_bare": partial(_resolve, resolution=Resolution.DONE),
    "not_done": partial(_resolve, resolution=Resolution.NOT_DONE),
    "amend": partial(_resolve, resolution=Resolution.AMEND, amendment=ClaimAmendment(language="de")),
    "close": partial(_resolve, resolution=Resolution.CLOSE),
    "close_freeing": partial(_resolve, resolution=Resolution.CLOSE, frees_policies=True),
    **{milestone: partial(_webhook, milestone=milestone) for milestone in SAID},
}


def fire(world: World, row_id: UUID, event: str) -> Answer:
    """Let an event happen to a cancellation."""
    try:
        return FIRE[event](world, row_id)
    except Problem as problem:
        return _refusal(problem)
