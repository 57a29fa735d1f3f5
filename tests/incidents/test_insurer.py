"""Incidents at the insurer's end."""

import pytest
from sqlalchemy import update

from shared.breakers import OPENS_AFTER
from shared.lifecycle import TaskName
from shared.operations_models import ProcessSeen
from tests.incidents.ward import Ward

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

SKIP = {"mode": "skip"}
AN_HOUR = 3_700


def test_expired_credentials(ward: Ward) -> None:
    ward.configure(xcover_api_secret="expired")
    row_id = ward.accept(ward.booking(), refund=SKIP)
    ward.settle()
    ward.work()
    assert "does not let us in" in ward.troubles()["expired-credentials"]
    assert set(ward.troubles()) == {"expired-credentials"}
    assert ward.row(row_id).status == "needs_review"

    ward.configure()
    ward.work()
    assert "retry them" in ward.troubles()["expired-credentials"]
    ward.retry(row_id)
    ward.settle()
    ward.work()
    assert (ward.row(row_id).status, ward.troubles()) == ("completed", {})


def test_xclaims_expired_credentials(ward: Ward) -> None:
    ward.configure(xclaim_password="expired")
    ward.work()
    assert ward.wrong() == {"expired-credentials"}
    assert "xclaim" in ward.troubles()["expired-credentials"]
    ward.configure()
    ward.work()
    assert ward.troubles() == {}


def test_insurer_down(ward: Ward) -> None:
    ward.control.settings(outage=503)
    row_ids = [ward.accept(ward.booking(), refund=SKIP) for _ in range(OPENS_AFTER)]
    ward.drain()
    ward.work()
    assert ward.wrong() == {"insurer-down"}
    assert "breakers: xcover" in ward.troubles()["insurer-down"]

    ward.control.settings(outage=None)
    ward.settle()
    ward.work()
    assert {ward.row(row_id).status for row_id in row_ids} == {"completed"}
    assert ward.troubles() == {}


def test_clock_skew(ward: Ward) -> None:
    ward.control.shift_clock(400)
    ward.work()
    assert "clock-skew" in ward.wrong()
    assert "ahead of" in ward.troubles()["clock-skew"]

    ward.control.shift_clock(-400)
    ward.work()
    assert ward.troubles() == {}


def test_a_workers_clock_that_is_wrong_is_told_from_the_insurers(ward: Ward) -> None:
    with ward.database.transaction() as tx:
        tx.session.execute(update(ProcessSeen).values(details={"clock_lead": -90.0}))
    assert "clock-workers: the clock of" in ward.troubles()["clock-skew"]
    assert "90 s behind the database's" in ward.troubles()["clock-skew"]
    ward.work()
    assert ward.troubles() == {}


def test_partner_over_limit(ward: Ward) -> None:
    ward.control.settings(rate_limit=1)
    row_ids = [ward.accept(ward.booking(), refund=SKIP) for _ in range(4)]
    ward.drain()
    assert set(ward.troubles()) == {"partner-over-limit"}

    ward.control.settings(rate_limit=0)  # the partner was given a higher one; lowering ours takes real time
    ward.settle()
    ward.later(AN_HOUR)
    ward.work()
    assert {ward.row(row_id).status for row_id in row_ids} == {"completed"}
    assert ward.troubles() == {}


def test_insurer_answer_changed(ward: Ward) -> None:
    booking = ward.booking(faults=[{"on": "preview", "do": "garbled", "times": 100}])
    row_id = ward.accept(booking, refund=SKIP)
    ward.drain()
    assert set(ward.troubles()) == {"insurer-answer-changed"}
    ward.settle()
    ward.work()
    assert ward.wrong() == {"insurer-answer-changed"}
    assert ward.row(row_id).status == "needs_review"

    ward.control.patch_booking(booking.id, faults=[])  # the new release can read it
    ward.retry(row_id)
    ward.settle()
    ward.later(AN_HOUR)
    ward.work()
    assert (ward.row(row_id).status, ward.troubles()) == ("completed", {})


def test_a_question_that_is_not_asked_any_more_is_told(ward: Ward) -> None:
    ward.later(AN_HOUR)
    ward.work(TaskName.SWEEP, TaskName.CHECK_INVARIANTS)
    assert set(ward.troubles()) == {"expired-credentials"}
    assert "last asked" in ward.troubles()["expired-credentials"]
