"""Marked secrets and personal data go through every path, and are found nowhere but where docs/logs.md says.

Searched are all lines of the log, all rows of all tables, /metrics, every answer, the described interface, and what
Flower sees of messages.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from shared import webhook_events
from shared.columns import Base
from shared.db import Database
from shared.models import Claim
from shared.xclaim.signature import derive_key, sign
from tests.console import console, signed_in
from tests.gateway import OPERATOR, WEBHOOK_KEYS, Gateway
from tests.server_log import server_log
from tests.simulator import (
    PARTNER_CODE,
    REFUND_SECRET,
    XCLAIM_API_KEY,
    XCLAIM_PASSWORD,
    XCOVER_API_KEY,
    XCOVER_API_SECRET,
)
from tests.simulator.faults import ANSWER_FAULTS
from tests.simulator.receiver import Receiver
from tests.world import WEBHOOK_KEY, World
from workers import celery_door

pytestmark = [
    pytest.mark.key_mode("honoured"),
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.claims_again,
]

MARK = "qqmark"
"""In each value that a customer or a caller gave."""
WORDS = "qqwords"
"""A name in the midst of a sentence, which nothing can tell from any other word."""
PHONE, EMAIL = "+49 151 23456789", f"{MARK}@example.org"
CALLBACK_SECRET = "whsec_cXFtYXJrX3NlY3JldF9vZl9jYWxsYmFja3NfMTIzNDU2"
DATABASE_PASSWORD = "qqmark-database-password"
FIELD = "qqfield"
"""In what a claim's fields say, which not even its caller is shown again."""
SECRETS = {
    XCOVER_API_KEY, XCOVER_API_SECRET, XCLAIM_API_KEY, XCLAIM_PASSWORD, REFUND_SECRET, CALLBACK_SECRET, WEBHOOK_KEY,
    *WEBHOOK_KEYS, OPERATOR, DATABASE_PASSWORD, FIELD,
}  # fmt: skip
MARKS = {*SECRETS, MARK, WORDS, PHONE, "Benedikta", "benedikta.sikanic@example.com"}
PERSON = {
    "first_name": f"{MARK}first", "last_name": f"{MARK}last", "email": EMAIL, "phone": PHONE,
    "message": f"Dear {WORDS}, call {PHONE} or write to {EMAIL}", "token": f"{MARK}token",
}  # fmt: skip
BODIES_WITH = ("refuse", "error_before")
"""Faults that answer with a body of the test's choosing."""
STEPS = ("get_booking", "preview", "refund", "confirm", "create_claim")

KEPT = {
    ("cancellations", "request"),
    ("cancellations", "metadata"),
    ("cancellations", "quotes"),
    ("cancellations", "callback_url"),
    ("calls", "request"),
    ("webhook_bodies", "raw"),
}
"""Where personal data is stored, as docs/logs.md says; `cfar erase` empties it."""
IN_OWN_WORDS = {
    ("cancellations", "problem"),
    ("calls", "answer"),
    ("transitions", "reason"),
    ("transitions", "details"),
}
"""Where an insurer's own sentences are kept as evidence; what can be recognised in them is hidden."""


@dataclass
class Search:
    """What came out anywhere, by where."""

    found: dict[str, str] = field(default_factory=dict)

    def add(self, where: str, said: object) -> None:
        """Keep what was said; bytes and JSON as text."""
        self.found[where] = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)

    def leaks(self, marks: set[str]) -> dict[str, list[str]]:
        """Return where any of the marks is."""
        hits = {where: sorted(mark for mark in marks if mark in said) for where, said in self.found.items()}
        return {where: marks for where, marks in hits.items() if marks}


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines of the log."""
    with server_log() as lines:
        yield lines


def asked(**more: Any) -> dict[str, Any]:
    """Return a request in which everything a person may have written is marked."""
    return {
        "journey": "cancel_and_claim",
        "refund": {"mode": "call"},
        "claim": {"section_fields": [{"name": f"{MARK}name", "value": f"{FIELD} {PERSON['message']}"}]},
        "metadata": PERSON,
        **more,
    }


def through_steps(world: World, callback_url: str) -> None:
    """Let each fault hit each step that has an answer of its own, with a person in each body."""
    quiet = sorted(ANSWER_FAULTS - {"hold_before", "hold_after", "slow", *BODIES_WITH})
    faults = [{"on": step, "do": do, "body": {"errors": [PERSON], **PERSON}} for step in STEPS for do in BODIES_WITH]
    faults += [{"on": STEPS[number % len(STEPS)], "do": do} for number, do in enumerate(quiet)]
    for fault in [*faults, {"on": "confirm", "do": "refuse", "status": 401, "body": PERSON}]:
        booking = world.booking(
            policies=[{"price": 50}, {"price": 20}],
            faults=[fault],
        )
        quotes = [{"id": booking.quote_ids[0], "reason_for_cancellation": PERSON["message"]}]
        claim = {**asked()["claim"], "quote_id": booking.quote_ids[1]}
        world.accept(booking, callback_url=callback_url, **asked(quotes=quotes, claim=claim))
    world.settle(rounds=400)


def through_celery_door() -> None:
    """Send what can be taken, and what cannot, with people in each place."""
    celery_door.request(booking_id="8WD8Y-LTEKE-INS", idempotency_key="k-1", caller="shop", metadata=PERSON)
    for wrong in ({"passenger": PERSON}, {"quotes": PERSON["message"]}, {"claim": {"section_fields": PERSON}}):
        celery_door.request(booking_id="8WD8Y-LTEKE-INS", idempotency_key="k-2", caller="shop", **wrong)
    celery_door.report_refund(idempotency_key="k-1", caller="shop", amount=PERSON["message"], currency="EUR")
    celery_door.abort(idempotency_key="k-1", caller="shop", reason=PERSON["message"])
    celery_door.request(PERSON["message"], idempotency_key="k-3")


def through_http(gateway: Gateway, search: Search) -> None:
    """Send what can be taken, and what cannot; keep each answer that is a refusal."""
    gateway.accept(key="http-1", metadata=PERSON)
    refused: list[TestResponse] = [
        gateway.post("", {"booking_id": f"{MARK} {PHONE}"}, Idempotency_Key="http-2"),
        gateway.post("", {"booking_id": "B-1-INS", "metadata": f"{MARK}"}, Idempotency_Key="http-3"),
        gateway.post("", {"booking_id": "B-1", "claim": {"section_fields": [PERSON["message"]]}}, Idempotency_Key="4"),
        gateway.client.post("/v1/cancellations", data=f'{{"name": "{MARK}', headers={"Idempotency-Key": "http-5"}),
        gateway.get("", token=f"{MARK}-a-wrong-token"),
        gateway.get(f"?booking_id={MARK}&limit={MARK}"),
        gateway.get(f"?cursor={MARK}"),
    ]
    for number, answer in enumerate(refused):
        said = answer.text
        if answer.status_code >= 400:
            search.add(f"refusal {number}: {answer.status_code}", said)
    for page in ("/openapi.json", "/docs", "/metrics"):
        search.add(page, gateway.client.get(page).text)


def through_webhooks(world: World, gateway: Gateway) -> None:
    """Let signed and unsigned events come, and one for each claim that there is."""
    event = json.dumps({"event": "claim.status-update", "payload": {"id": "1", "claimant": PERSON}}).encode()
    wrong = json.dumps([PERSON]).encode()
    for raw, key in ((event, WEBHOOK_KEYS[0]), (wrong, WEBHOOK_KEYS[0]), (event, f"{MARK}-a-wrong-key")):
        gateway.client.post(
            "/webhooks/xclaim", data=raw, content_type="application/json",
            headers={"XClaim-Signature": sign(raw, key), "User-Agent": "XClaim"},
        )  # fmt: skip
    gateway.client.post(f"/webhooks/xclaim/{MARK}-token", data=event, headers={"XClaim-Signature": f"{MARK}-signature"})
    token = "t" * 43
    signature = sign(event, derive_key(WEBHOOK_KEYS[0], token))
    gateway.client.post(f"/webhooks/xclaim/{token}", data=event, headers={"XClaim-Signature": signature})
    for claim in world.all(Claim):
        raw = json.dumps({"event": "claim.note", "payload": {"id": claim.claim_id, "claimant": PERSON}}).encode()
        with world.database.transaction() as tx:
            webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})
    world.settle(rounds=400)


def through_the_console(world: World) -> Search:
    """Look at every kind of page as an operator, who is shown what callers are, and no more."""
    seen = Search()
    anna = signed_in(console(world.database, xcover_partner_code=PARTNER_CODE))
    parked = [row.id for row in world.rows() if row.status == "needs_review"]
    assert parked
    pages = ["/", "/cancellations", "/webhooks", "/pauses", "/audit", "/bulk"]
    for page in [*pages, *(f"/cancellations/{row_id}" for row_id in parked[:4])]:
        answer = anna.get(page)
        assert answer.status_code == 200, page
        seen.add(page, answer.text)
    return seen


def through_a_database_that_is_away(search: Search) -> None:
    """Ask a gateway whose database's address holds a password."""
    away = Database(f"postgresql+psycopg://nobody:{DATABASE_PASSWORD}@127.0.0.1:1/nothing", publish=lambda _some: None)
    gateway = Gateway(away)
    search.add("503", gateway.post("", {"booking_id": "B-1-INS", "metadata": PERSON}, Idempotency_Key="http-9").text)
    search.add("/readyz", gateway.client.get("/readyz").text)
    away.close()


def rows(database: Database) -> Iterator[tuple[str, str]]:
    """Give each column of each table, with all that it holds."""
    with database.reading() as session:
        for table in Base.metadata.sorted_tables:
            for column in table.columns:
                if (table.name, column.name) not in KEPT:
                    found = session.execute(text(f'SELECT "{column.name}"::text FROM "{table.name}"')).scalars()
                    said = "\n".join(str(one) for one in found)
                    is_evidence = (table.name, column.name) in IN_OWN_WORDS
                    yield f"{table.name}.{column.name}", said.replace(WORDS, "") if is_evidence else said


def test_marked_secrets_are_found_nowhere(world: World, logged: list[str]) -> None:
    search = Search()
    with Receiver(*[500] * 5) as receiver:
        world.configure(
            refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET,
            callback_secrets=f"shop:{CALLBACK_SECRET}", callbacks_allow_loopback=True,
        )  # fmt: skip
        gateway = Gateway(world.database, xcover_partner_code=PARTNER_CODE)
        through_steps(world, f"{receiver.url}?key={MARK}")
        through_celery_door()
        through_webhooks(world, gateway)
        through_http(gateway, search)
        through_a_database_that_is_away(search)
        pages = through_the_console(world)
    gateway.app.extensions["cfar"].tally.write()
    search.add("log", "\n".join(logged))
    for where, said in rows(world.database):
        search.add(where, said)

    assert search.leaks(MARKS) == {}
    assert pages.leaks(SECRETS) == {}
    assert len(logged) > 100
    assert any(MARK in json.dumps(row.metadata_) for row in world.rows())
