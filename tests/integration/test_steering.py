"""One press for many cancellations: told first, done by the rules of a single one, and pressed again after a crash."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update

from shared import audit, steering
from shared.db import now_plus
from shared.models import Cancellation
from shared.problems import Problem
from shared.selection import Selection
from shared.steering import Action, Done, Forecast
from tests.gateway import Gateway
from tests.recording import RecordingDatabase

ANNA = "operator:anna"


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


def told(gateway: Gateway, action: Action, **wanted: object) -> Forecast:
    with gateway.database.reading() as session:
        return steering.forecast(session, Selection(**wanted), action)  # type: ignore[arg-type]


def press(gateway: Gateway, action: Action, *, at_most: int = 100, patience: float = 60.0, **wanted: object) -> Done:
    return steering.carry_out(
        gateway.database, Selection(**wanted), action, actor=ANNA, note="repaired", at_most=at_most,  # type: ignore[arg-type]
        patience=patience,
    )  # fmt: skip


def postponed(gateway: Gateway, key: str) -> str:
    found = gateway.accept(key=key)
    waits = update(Cancellation).where(Cancellation.id == UUID(found)).values(next_attempt_at=now_plus(300), tries=7)
    with gateway.database.transaction() as tx:
        tx.session.execute(waits)
    return found


def statuses(gateway: Gateway, ids: list[str]) -> list[str]:
    return [gateway.row(row_id).status for row_id in ids]


def test_a_retry_is_told_and_then_done_to_exactly_those(gateway: Gateway) -> None:
    meant = [gateway.parked_at_refund(key=f"r-{number}") for number in range(3)]
    other = gateway.parked_at_confirm(key="c")
    seen = told(gateway, Action.RETRY, problem="refund-not-reported")
    assert (seen.touched, dict(seen.by_status), dict(seen.by_step), dict(seen.by_problem), dict(seen.refused)) == (
        3, {"needs_review": 3}, {"refund": 3}, {"refund-not-reported": 3}, {}
    )  # fmt: skip
    assert [str(row_id) for row_id in seen.first_ids] == meant
    assert statuses(gateway, [*meant, other]) == ["needs_review"] * 4

    done = press(gateway, Action.RETRY, at_most=3, problem="refund-not-reported")
    assert (done.done, done.left, dict(done.refused)) == (3, 0, {})
    assert statuses(gateway, [*meant, other]) == ["in_progress"] * 3 + ["needs_review"]
    events = gateway.get(f"/{meant[0]}/events").get_json()["items"]
    assert (events[-1]["event"], events[-1]["actor"], events[-1]["reason"]) == (
        "retried", ANNA, "taken up again by an operator: repaired"
    )  # fmt: skip


def test_a_press_is_one_entry_of_the_audit_log(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "CHUNK", 2)
    for number in range(3):
        gateway.parked_at_refund(key=f"r-{number}")
    press(gateway, Action.RETRY, problem="refund-not-reported")
    press(gateway, Action.RETRY, problem="refund-not-reported")  # nothing is left
    with gateway.database.reading() as session:
        (entry,) = audit.entries(session, limit=10)
    assert (entry.action, entry.actor, entry.note, entry.cancellation_id) == ("bulk_retry", ANNA, "repaired", None)
    assert entry.details == {"meant": {"problem": "refund-not-reported"}, "touched": 3}


def test_more_than_was_shown_is_not_touched(gateway: Gateway) -> None:
    ids = [gateway.parked_at_refund(key=f"r-{number}") for number in range(2)]
    seen = told(gateway, Action.RETRY, status="needs_review")
    ids.append(gateway.parked_at_refund(key="late"))
    with pytest.raises(Problem) as refused:
        press(gateway, Action.RETRY, at_most=seen.touched, status="needs_review")
    assert (refused.value.slug, refused.value.document["touched"]) == ("more-than-shown", 3)
    assert statuses(gateway, ids) == ["needs_review"] * 3


def test_fewer_than_were_shown_are_done(gateway: Gateway) -> None:
    ids = [gateway.parked_at_refund(key=f"r-{number}") for number in range(2)]
    press(gateway, Action.RETRY, ids=(UUID(ids[0]),))
    assert press(gateway, Action.RETRY, at_most=2, status="needs_review").done == 1


def test_skipping_the_wait_takes_only_those_that_wait(gateway: Gateway) -> None:
    waiting, due = postponed(gateway, "w"), gateway.accept(key="d")
    assert [str(row_id) for row_id in told(gateway, Action.SKIP_WAIT).ids] == [waiting]
    assert press(gateway, Action.SKIP_WAIT).done == 1
    row = gateway.row(waiting)
    assert (row.tries, row.next_attempt_at <= row.updated_at + timedelta(seconds=1)) == (0, True)  # type: ignore[operator]
    assert gateway.row(due).lease == 0


def test_an_abort_leaves_what_is_past_its_point_of_no_return(gateway: Gateway) -> None:
    early, late = gateway.accept(key="e"), gateway.parked_at_confirm(key="l")
    ended = gateway.accept(key="x")
    gateway.post(f"/{ended}/abort")
    seen = told(gateway, Action.ABORT)
    past = "The cancellation is needs_review and past its point of no return: money or policies may have moved."
    assert ([str(row_id) for row_id in seen.ids], dict(seen.refused)) == ([early], {past: 1})
    assert press(gateway, Action.ABORT).done == 1
    assert statuses(gateway, [early, late]) == ["aborted", "needs_review"]


WRONG: dict[str, tuple[Action, Callable[[Gateway], str], str]] = {
    "retry of one in progress": (
        Action.RETRY, lambda gateway: postponed(gateway, "k"),
        "The cancellation is in_progress: it goes on by itself, and its wait may be skipped.",
    ),
    "retry of one that waits for its refund": (
        Action.RETRY, lambda gateway: gateway.accept_previewed(),
        "The cancellation is awaiting_refund: it waits for a report, not for a try. Report it, or close it.",
    ),
    "skipping no wait": (
        Action.SKIP_WAIT, lambda gateway: gateway.accept(),
        "The cancellation is due already: it does not wait for time.",
    ),
    "skipping the wait for a person": (
        Action.SKIP_WAIT, lambda gateway: gateway.parked_at_refund(),
        "The cancellation is needs_review: it waits for a retry, not for time.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("action", "make", "why"), WRONG.values(), ids=WRONG)
def test_one_that_is_named_and_does_not_fit_is_refused_with_its_reason(
    gateway: Gateway, action: Action, make: Callable[[Gateway], str], why: str
) -> None:
    row_id = make(gateway)
    before = gateway.row(row_id).updated_at
    assert dict(told(gateway, action, ids=(UUID(row_id),)).refused) == {why: 1}
    done = press(gateway, action, ids=(UUID(row_id),))
    assert (done.done, done.left) == (0, 0)
    assert gateway.row(row_id).updated_at == before


def test_what_takes_too_long_is_left_for_another_press(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "CHUNK", 2)
    for number in range(5):
        gateway.parked_at_refund(key=f"r-{number}")
    presses = [press(gateway, Action.RETRY, patience=0.0) for _ in range(3)]
    assert [(done.done, done.left) for done in presses] == [(2, 3), (2, 1), (1, 0)]


def test_a_press_that_is_cut_short_is_pressed_again(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "CHUNK", 2)
    ids = [gateway.parked_at_refund(key=f"r-{number}") for number in range(5)]
    change = steering._change
    chunks = iter([False, True])

    def dies(*given: object, **named: object) -> object:
        done = change(*given, **named)  # type: ignore[arg-type]
        if next(chunks):
            raise SystemExit("killed before its commit")
        return done

    monkeypatch.setattr(steering, "_change", dies)
    with pytest.raises(SystemExit):
        press(gateway, Action.RETRY)
    assert sorted(statuses(gateway, ids)) == ["in_progress"] * 2 + ["needs_review"] * 3

    monkeypatch.setattr(steering, "_change", change)
    assert press(gateway, Action.RETRY).done == 3
    retried = [e for row_id in ids for e in gateway.get(f"/{row_id}/events").get_json()["items"]]
    assert sum(event.get("event") == "retried" for event in retried) == 5


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_that_somebody_works_on_is_left(gateway: Gateway) -> None:
    ids = [gateway.parked_at_refund(key=f"r-{number}") for number in range(2)]
    with gateway.database.transaction() as tx:
        held = update(Cancellation).where(Cancellation.id == UUID(ids[0])).values(rings=1)
        tx.session.execute(held)
        done = press(gateway, Action.RETRY)
    assert (done.done, done.left) == (1, 1)
    assert press(gateway, Action.RETRY).done == 1


def test_what_is_beyond_one_press_is_told(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "MOST", 2)
    ids = [gateway.parked_at_refund(key=f"r-{number}") for number in range(3)]
    seen = told(gateway, Action.RETRY)
    assert (seen.touched, seen.is_capped, [str(row_id) for row_id in seen.ids]) == (2, True, ids[:2])


def test_those_found_by_a_search_are_meant(gateway: Gateway) -> None:
    meant = gateway.parked_at_refund(key="found-me", booking_id="FOUND-ME-INS")
    gateway.parked_at_refund(key="other", booking_id="OTHER-ONE-INS")
    assert [str(row_id) for row_id in told(gateway, Action.RETRY, search="found-me-ins").ids] == [meant]
    assert told(gateway, Action.RETRY, search="nothing-such").touched == 0
