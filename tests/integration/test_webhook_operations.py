"""Operators see what came in by webhook, replay it, and learn which keys are needed. No worker runs here."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog.testing
from sqlalchemy import text, update

from shared import claims, webhook_events, webhook_replays, webhook_selection, webhook_tallies
from shared.cancellations import begin_step, finish_step
from shared.db import now_plus
from shared.lifecycle import Step, TaskName
from shared.models import Claim
from shared.webhook_models import WebhookDelivery, WebhookTally
from shared.xclaim.signature import key_id
from shared.xcover.webhooks import key_id as xcover_key_id
from tests.gateway import BOOKING, OPERATOR, SHOP, WEBHOOK_KEYS, Gateway, bearer, web_settings
from tests.recording import RecordingDatabase

URL = "/v1/webhooks"
FIRST, SECOND = (key_id(key) for key in WEBHOOK_KEYS)


class Operations:
    """The app with webhooks stored as its doors store them, asked by an operator."""

    def __init__(self, database: RecordingDatabase, **settings: Any) -> None:
        self.database = database
        self.gateway = Gateway(database, **settings)

    def get(self, path: str = "", *, status: int = 200, **query: Any) -> dict[str, Any]:
        answer = self.gateway.client.get(URL + path, query_string=query, headers=bearer(OPERATOR))
        assert answer.status_code == status, answer.text
        return answer.get_json()  # type: ignore[no-any-return]

    def post(self, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
        answer = self.gateway.client.post(URL + path, json=body, headers=bearer(OPERATOR))
        assert answer.status_code == status, answer.text
        return answer.get_json()  # type: ignore[no-any-return]

    def arrive(
        self, event: str = "claim.updated", *, token: str | None = None, key: str = FIRST, outcome: str | None = None,
        claim: Claim | None = None, booking: str | None = None, **payload: Any,
    ) -> str:  # fmt: skip
        """Store a webhook; with `outcome` it is handled already."""
        raw = json.dumps({"event": event, "payload": payload}).encode()
        source = "xcover" if booking else "xclaim"
        with self.database.transaction() as tx:
            stored, _ = webhook_events.record(
                tx, raw, source=source, token=token, key_id=key, headers={"user-agent": "x/1"}, booking_id=booking
            )
        if outcome is not None:
            handled = {"handled_at": now_plus(0), "next_attempt_at": None, "tries": 1}
            about = claim.id if claim else None
            self.change(stored, **handled, outcome=outcome, verdict=f"was {outcome}", claim_id=about)
        return str(stored)

    def change(self, webhook_id: str | UUID, **values: Any) -> None:
        with self.database.transaction() as tx:
            tx.session.execute(
                update(WebhookDelivery).where(WebhookDelivery.id == UUID(str(webhook_id))).values(**values)
            )

    def claim(self, *, reference: str = "CLM-1", claim_id: str = "c-1", **more: Any) -> Claim:
        """Open a claim of a new cancellation, as XClaim has confirmed it."""
        found = UUID(self.gateway.accept(journey="claim", key=f"key-{uuid4()}", **more))
        with self.database.transaction() as tx:
            held = begin_step(tx, found, Step.LOOK_UP)
            assert held is not None
            finish_step(tx, held, Step.LOOK_UP, "done by a test", claim_quote_id=f"q-{reference}")
        with self.database.transaction() as tx:
            held = begin_step(tx, found, Step.CLAIM)
            assert held is not None
            opened = claims.open_claim(tx, held, claim_type_id="cfar")
            assert opened is not None
            opened.reference, opened.claim_id = reference, claim_id
        return opened

    def row(self, webhook_id: str) -> WebhookDelivery:
        with self.database.reading() as session:
            return session.get_one(WebhookDelivery, UUID(webhook_id))

    def ids(self, **query: Any) -> list[str]:
        return [item["id"] for item in self.get(**query)["items"]]


@pytest.fixture
def operations(database: RecordingDatabase) -> Operations:
    return Operations(database)


# --- seeing --------------------------------------------------------------------------------------------------------


def test_the_list_tells_what_came_of_each_webhook_newest_first(operations: Operations) -> None:
    claim = operations.claim()
    handled = operations.arrive("claim.paid", outcome="applied", claim=claim)
    waiting = operations.arrive("claim.new", token=claim.webhook_token)
    hint = operations.arrive("BOOKING_CANCELLED", booking=BOOKING, id=BOOKING)

    items = operations.get()["items"]

    assert [item["id"] for item in items] == [hint, waiting, handled]
    shown = ("source", "event", "claim", "cancellation_id", "booking_id", "outcome", "verdict", "tries")
    about = ("CLM-1", str(claim.cancellation_id), BOOKING)
    assert [tuple(item[name] for name in shown) for item in items] == [
        ("xcover", "BOOKING_CANCELLED", None, None, BOOKING, "waiting", None, 0),
        ("xclaim", "claim.new", *about, "waiting", None, 0),
        ("xclaim", "claim.paid", *about, "applied", "was applied", 1),
    ]
    assert [(item["handled_at"] is None, item["next_attempt_at"] is None) for item in items] == [
        (True, False), (True, False), (False, True),
    ]  # fmt: skip
    assert {item["key_id"] for item in items} == {FIRST}


def test_pages_are_stable_while_webhooks_arrive(operations: Operations) -> None:
    stored = [operations.arrive(f"event-{number}") for number in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = operations.get(limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [item["id"] for item in page["items"]]
        operations.arrive("in-between")
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == stored[::-1]


def test_every_filter_finds_its_own(operations: Operations) -> None:
    claim, other = operations.claim(), operations.claim(reference="CLM-2", claim_id="c-2", booking_id="BBBBB-CCCCC-INS")
    paid = operations.arrive("claim.paid", outcome="applied", claim=claim)
    declined = operations.arrive("claim.declined", outcome="unchanged", claim=other, key=SECOND)
    waiting = operations.arrive("claim.new", token=claim.webhook_token)
    kept = operations.arrive("claim.lost", outcome="kept")
    ignored = operations.arrive("claim.odd", outcome="ignored", claim=other)
    hint = operations.arrive("BOOKING_UPDATED", booking=BOOKING, outcome="unchanged", id=BOOKING)
    half_way = operations.arrive("claim.half")  # has changed something, and is tried once more
    operations.change(half_way, outcome="applied")

    expected: list[tuple[dict[str, Any], set[str]]] = [
        ({"source": "xcover"}, {hint}),
        ({"source": "xclaim"}, {paid, declined, waiting, kept, ignored, half_way}),
        ({"outcome": "applied"}, {paid}),
        ({"outcome": "unchanged"}, {declined, hint}),
        ({"outcome": "ignored"}, {ignored}),
        ({"outcome": "kept"}, {kept}),
        ({"outcome": "waiting"}, {waiting, half_way}),
        ({"booking_id": BOOKING}, {paid, waiting, hint}),
        ({"booking_id": BOOKING, "source": "xclaim"}, {paid, waiting}),
        ({"booking_id": BOOKING, "source": "xcover"}, {hint}),
        ({"booking_id": "NO-SUCH"}, set()),
        ({"claim": "CLM-1"}, {paid, waiting}),
        ({"claim": "c-2"}, {declined, ignored}),
        ({"claim": str(other.id)}, {declined, ignored}),
        ({"claim": "nobody"}, set()),
        ({"claim": "CLM-1", "booking_id": "BBBBB-CCCCC-INS"}, set()),
        ({"cancellation_id": str(claim.cancellation_id)}, {paid, waiting}),
        ({"cancellation_id": "01a1ffea-c0c9-71b5-9a27-6ae6a077b5dd"}, set()),
        ({"key_id": SECOND}, {declined}),
        ({"key_id": SECOND, "outcome": "applied"}, set()),
        ({"source": "xclaim", "outcome": "unchanged"}, {declined}),
    ]
    found = [(query, set(operations.ids(**query))) for query, _ in expected]

    assert found == expected


def test_a_time_range_takes_its_beginning_and_leaves_its_end(operations: Operations) -> None:
    stored = [operations.arrive(f"event-{number}") for number in range(3)]
    noon = datetime.now(UTC).replace(microsecond=0)
    for number, webhook_id in enumerate(stored):
        operations.change(webhook_id, received_at=noon + timedelta(minutes=number))
    first, second, third = stored
    at = [(noon + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ") for number in range(3)]

    assert operations.ids(since=at[1]) == [third, second]
    assert operations.ids(until=at[1]) == [first]
    assert operations.ids(since=at[1], until=at[2]) == [second]
    assert operations.ids(since=at[1].replace("Z", ".000001+00:00")) == [third]


def test_a_filter_without_an_index_looks_only_so_far_at_a_time(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_selection, "LOOKED_THROUGH", 3)
    kept = [operations.arrive("claim.lost", outcome="kept"), operations.arrive("claim.lost", outcome="kept")]
    for number in range(7):
        operations.arrive(f"event-{number}")

    pages = [operations.get(outcome="kept")]
    while pages[-1]["next_cursor"]:
        pages.append(operations.get(outcome="kept", cursor=pages[-1]["next_cursor"]))

    assert [[item["id"] for item in page["items"]] for page in pages] == [[], [], [kept[1], kept[0]], []]


def test_a_claims_webhooks_are_found_however_long_ago_they_came(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_selection, "LOOKED_THROUGH", 3)
    claim = operations.claim()
    theirs = [operations.arrive(f"claim.{number}", outcome="applied", claim=claim) for number in range(3)]
    for number in range(7):
        operations.arrive(f"event-{number}")
    about = (
        {"claim": "CLM-1"},
        {"cancellation_id": str(claim.cancellation_id)},
        {"booking_id": BOOKING, "source": "xclaim"},
    )

    pages = [operations.get(limit=2, **query) for query in about]
    rest = [operations.get(cursor=page["next_cursor"], **query) for page, query in zip(pages, about, strict=True)]

    assert [[item["id"] for item in page["items"]] for page in pages] == [[theirs[2], theirs[1]]] * 3
    assert [([item["id"] for item in page["items"]], page["next_cursor"]) for page in rest] == [([theirs[0]], None)] * 3


def test_a_bookings_hints_and_its_claims_webhooks_come_in_one_order(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_selection, "LOOKED_THROUGH", 3)
    claim, stored = operations.claim(), []
    for number in range(4):
        stored.append(operations.arrive("BOOKING_UPDATED", booking=BOOKING, outcome="applied", id=BOOKING, n=number))
        for other in range(3):
            operations.arrive(f"other-{other}")
        stored.append(operations.arrive(f"claim.{number}", outcome="applied", claim=claim))
    seen, cursor = list[str](), None
    while True:
        page = operations.get(booking_id=BOOKING, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == stored[::-1]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"source": "xc"}, "source"),
        ({"outcome": "done"}, "outcome"),
        ({"booking_id": "a b"}, "booking_id"),
        ({"claim": ""}, "claim"),
        ({"claim": "é"}, "claim"),
        ({"cancellation_id": "1"}, "cancellation_id"),
        ({"key_id": "k" * 17}, "key_id"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-31T00:00:00"}, "since"),
        ({"since": "1767225600"}, "since"),
        ({"until": "2026-02-30T00:00:00Z"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"dry_run": "true"}, "dry_run"),
        ({"source": ["xclaim", "xclaim"]}, "source"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(operations: Operations, query: dict[str, Any], named: str) -> None:
    refused = operations.get(status=400, **query)

    assert refused["type"] == "/problems/invalid-parameter"
    assert [error["parameter"] for error in refused["errors"]] == [named]


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-31t00:00z"])
def test_the_ends_of_time_are_times(operations: Operations, since: str) -> None:
    operations.get(since=since, until=since)


def test_one_webhook_is_shown_whole_but_without_personal_data(operations: Operations) -> None:
    claim = operations.claim()
    person = {"firstName": "Ada", "email": "ada@example.com", "phone": "+44 20 7946 0000"}
    sent = {
        "status": {"category": "Settled"}, "customer": person, "id": "c-1", "amount": 12.5,
        "note": "write to ada@example.com",
    }  # fmt: skip
    stored = [operations.arrive("claim.paid", outcome="applied", claim=claim, **sent) for _ in range(2)]
    operations.change(stored[0], replays=1, replayed_at=now_plus(0), replayed_by="anna")

    item = operations.get(f"/{stored[0]}")

    assert item["body"]["event"] == "claim.paid"
    assert item["body"]["payload"]["status"] == {"category": "Settled"}
    assert not any(word in json.dumps(item) for word in ("Ada", "ada@", "7946"))
    assert (item["headers"], item["deliveries"], len(item["digest"])) == ({"user-agent": "x/1"}, 2, 64)
    assert (item["replays"], item["replayed_by"]) == (1, "anna")
    assert claim.webhook_token not in json.dumps(item)


def test_what_cannot_be_read_is_shown_without_its_body(operations: Operations, database: RecordingDatabase) -> None:
    with database.transaction() as tx:
        stored, _ = webhook_events.record(tx, b"\xff", source="xclaim", token=None, key_id=FIRST, headers={})

    item = operations.get(f"/{stored}")

    assert (item["event"], item["body"]) == (None, None)
    assert operations.get()["items"][0]["event"] is None
    assert operations.post(f"/{stored}/replay", {"dry_run": True})["waiting"] == 1


def test_a_list_does_not_read_long_bodies_for_their_name(operations: Operations) -> None:
    stored = operations.arrive("claim.paid", note="n" * 16_384)

    assert operations.get()["items"][0]["event"] is None
    assert operations.get(f"/{stored}")["event"] == "claim.paid"


# --- who may -------------------------------------------------------------------------------------------------------

NOBODYS = "01a1ffea-c0c9-71b5-9a27-6ae6a077b5dd"
ROUTES = [
    ("GET", ""), ("GET", f"/{NOBODYS}"), ("POST", f"/{NOBODYS}/replay"), ("POST", "/replay"), ("GET", "/keys"),
    ("GET", "/tallies"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_callers_see_no_webhooks(operations: Operations, method: str, path: str) -> None:
    answer = operations.gateway.client.open(URL + path, method=method, json={}, headers=bearer(SHOP))

    assert (answer.status_code, answer.get_json()["type"]) == (403, "/problems/operators-only")


def test_what_is_not_there_is_404(operations: Operations) -> None:
    for found in (operations.get(f"/{uuid4()}", status=404), operations.post(f"/{uuid4()}/replay", status=404)):
        assert found["type"] == "/problems/not-found"
    operations.get("/nothing", status=404)


# --- replaying -----------------------------------------------------------------------------------------------------


def test_a_replayed_webhook_is_due_again_and_rung_for(operations: Operations, database: RecordingDatabase) -> None:
    claim = operations.claim()
    stored = operations.arrive("claim.paid", outcome="kept", claim=claim)
    database.published.clear()

    with structlog.testing.capture_logs() as facts:
        done = operations.post(f"/{stored}/replay")

    assert (done["dry_run"], done["matched"], done["replayed"], done["waiting"]) == (False, 1, 1, 0)
    row = operations.row(stored)
    assert (row.handled_at, row.outcome, row.verdict, row.tries, row.replays) == (None, None, None, 0, 1)
    assert row.next_attempt_at is not None
    assert row.replayed_at is not None
    assert (row.replayed_by, row.claim_id) == ("anna", claim.id)
    assert database.published == [(TaskName.HANDLE_WEBHOOK, UUID(stored))]
    (fact,) = [fact for fact in facts if fact["event"] == "webhooks_replayed"]
    assert (fact["by"], fact["count"]) == ("anna", 1)


def test_what_is_not_handled_yet_or_in_hand_is_left_alone(operations: Operations, database: RecordingDatabase) -> None:
    waiting, in_hand = operations.arrive("claim.one"), operations.arrive("claim.two")
    operations.change(waiting, next_attempt_at=now_plus(300), tries=4)
    with database.transaction() as tx:
        assert webhook_events.begin_handling(tx, UUID(in_hand)) is not None
    before = [vars(operations.row(found)) for found in (waiting, in_hand)]
    database.published.clear()

    done = operations.post("/replay", {"source": "xclaim", "dry_run": False})
    once_more = operations.post(f"/{in_hand}/replay")

    assert (done["replayed"], done["waiting"], done["in_hand"]) == (0, 1, 1)
    assert (once_more["replayed"], once_more["in_hand"]) == (0, 1)
    after = [vars(operations.row(found)) for found in (waiting, in_hand)]
    for was, is_now in zip(before, after, strict=True):
        assert {name: is_now[name] for name in was if not name.startswith("_")} == {
            name: value for name, value in was.items() if not name.startswith("_")
        }
    assert database.published == []


def test_replaying_twice_replays_once_until_it_is_handled(operations: Operations) -> None:
    stored = operations.arrive("claim.paid", outcome="kept")

    done = [operations.post("/replay", {"source": "xclaim", "dry_run": False})["replayed"] for _ in range(2)]

    assert (done, operations.row(stored).replays) == ([1, 0], 1)


def test_replays_at_the_same_time_replay_each_once(operations: Operations, database: RecordingDatabase) -> None:
    stored = [operations.arrive(f"event-{number}", outcome="kept") for number in range(20)]
    database.published.clear()

    def replay(_number: int) -> int:
        client = operations.gateway.app.test_client()
        body = {"source": "xclaim", "dry_run": False}
        return int(client.post(URL + "/replay", json=body, headers=bearer(OPERATOR)).get_json()["replayed"])

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(replay, range(6))) == 20
    assert {operations.row(webhook_id).replays for webhook_id in stored} == {1}
    assert sorted(str(row_id) for _, row_id in database.published) == stored


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite's writers take turns anyway
def test_a_replay_that_waited_for_another_finds_it_done(operations: Operations, database: RecordingDatabase) -> None:
    stored = operations.arrive("claim.paid", outcome="kept")
    replay = partial(webhook_replays.replay, database, [UUID(stored)], by="bert")

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as tx:
            tx.session.execute(
                update(WebhookDelivery).values(handled_at=None, next_attempt_at=now_plus(0), tries=0, replays=1)
            )
            waiting = pool.submit(replay)
            while not tx.session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                assert not waiting.done()
        assert waiting.result(timeout=30).replayed == 0

    assert (operations.row(stored).replays, operations.row(stored).replayed_by) == (1, None)


def test_a_sleeping_handlers_word_from_before_the_replay_does_not_count(
    operations: Operations, database: RecordingDatabase
) -> None:
    stored = UUID(operations.arrive("claim.paid"))
    with database.transaction() as tx:
        taken = webhook_events.begin_handling(tx, stored)
    assert taken is not None
    operations.change(stored, lease_until=None, handled_at=now_plus(0), next_attempt_at=None, outcome="kept", tries=2)
    operations.post(f"/{stored}/replay")
    with database.transaction() as tx:  # the replay's own first try, with as many tries as the sleeping one's
        assert webhook_events.begin_handling(tx, stored) is not None

    with database.transaction() as tx:
        webhook_events.mark_handled(tx, taken[0], "woke up late", outcome="ignored")

    assert operations.row(str(stored)).handled_at is None


def test_a_filter_replays_the_newest_and_its_cursor_the_rest(operations: Operations) -> None:
    stored = [operations.arrive(f"event-{number}", outcome="kept") for number in range(5)]
    other = operations.arrive("claim.other", outcome="kept", key=SECOND)

    first = operations.post("/replay", {"key_id": FIRST, "limit": 3, "dry_run": False})
    rest = operations.post("/replay", {"key_id": FIRST, "cursor": first["next_cursor"], "dry_run": False})

    assert [item["id"] for item in first["items"]] == stored[:1:-1]
    assert [item["id"] for item in rest["items"]] == stored[1::-1]
    assert (first["replayed"], rest["replayed"], rest["waiting"], rest["next_cursor"]) == (3, 2, 0, None)
    assert operations.row(other).replays == 0


def test_many_are_rung_for_from_the_oldest_on_in_several_transactions(
    operations: Operations, database: RecordingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.webhook_replays.REPLAYED_AT_ONCE", 2)
    stored = [operations.arrive(f"event-{number}", outcome="kept") for number in range(5)]
    database.published.clear()

    with structlog.testing.capture_logs() as facts:
        operations.post("/replay", {"outcome": "kept", "dry_run": False})

    assert [str(row_id) for _, row_id in database.published] == stored
    assert [fact["count"] for fact in facts if fact["event"] == "webhooks_replayed"] == [2, 2, 1]


def test_a_time_range_is_replayed(operations: Operations) -> None:
    stored = [operations.arrive(f"event-{number}", outcome="applied") for number in range(3)]
    noon = datetime.now(UTC)
    for number, webhook_id in enumerate(stored):
        operations.change(webhook_id, received_at=noon + timedelta(minutes=number))
    since, until = (noon + timedelta(seconds=30)).isoformat(), (noon + timedelta(seconds=90)).isoformat()

    operations.post("/replay", {"since": since, "until": until, "dry_run": False})

    assert [operations.row(webhook_id).replays for webhook_id in stored] == [0, 1, 0]


def test_a_dry_run_tells_what_would_change_and_changes_nothing(
    operations: Operations, database: RecordingDatabase
) -> None:
    claim, other = operations.claim(), operations.claim(reference="CLM-2", claim_id="c-2", booking_id="BBBBB-CCCCC-INS")
    for _ in range(2):
        operations.arrive("claim.paid", outcome="unchanged", claim=claim, id="c-1", status={"category": "Settled"})
    operations.arrive("claim.closed", outcome="unchanged", claim=claim, id="c-1", status={"category": "Closed"})
    token, odd = claim.webhook_token, {"category": "Premium Refund"}
    operations.arrive("claim.odd", outcome="ignored", claim=claim, token=token, id="another", status=odd)
    operations.arrive("claim.lost", outcome="kept", claimReference="CLM-2", status={"category": "Declined"})
    operations.arrive("claim.lost", outcome="kept", id="nobodys", status={"category": "Declined"})
    operations.arrive("BOOKING_UPDATED", booking=BOOKING, outcome="applied", id="c-1")
    operations.arrive("claim.new", token=other.webhook_token)
    database.published.clear()
    before = [operations.get(f"/{found}") for found in operations.ids()]

    told = operations.post("/replay", {"since": "2020-01-01T00:00:00Z"})

    assert (told["dry_run"], told["matched"], told["replayed"], told["waiting"]) == (True, 8, 0, 1)
    forecast = told["forecast"]
    assert {(entry["source"], entry["outcome"]): entry["count"] for entry in forecast["by_outcome"]} == {
        ("xclaim", "unchanged"): 3, ("xclaim", "ignored"): 1, ("xclaim", "kept"): 2, ("xcover", "applied"): 1,
    }  # fmt: skip
    assert {name: forecast[name] for name in ("replayed", "claims", "cancellations", "newly_matched")} == {
        "replayed": 7, "claims": 2, "cancellations": 2, "newly_matched": 1,
    }  # fmt: skip
    assert forecast["milestones"] == {"claim_closed_unpaid": 1, "claim_paid": 1}
    assert "XClaim was not asked" in forecast["note"]
    assert len(told["items"]) == 8
    assert [operations.get(f"/{found}") for found in operations.ids()] == before
    assert database.published == []


def test_a_dry_run_knows_milestones_by_the_configured_words(database: RecordingDatabase) -> None:
    operations = Operations(database, claim_milestones={"claim_paid": ["Utbetald"]})
    claim = operations.claim()
    operations.arrive("claim.updated", outcome="unchanged", claim=claim, id="c-1", status={"category": "Utbetald"})

    assert operations.post("/replay", {"outcome": "unchanged"})["forecast"]["milestones"] == {"claim_paid": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"dry_run": False}, ""),
        ({"limit": 5}, ""),
        ({"source": None}, ""),
        ([], None),
        ({"outcome": "kept", "limit": 10_001}, "limit"),
        ({"outcome": "kept", "limit": 0}, "limit"),
        ({"outcome": "kept", "limit": True}, "limit"),
        ({"outcome": "kept", "limit": "5"}, "limit"),
        ({"outcome": "kept", "dry_run": "no"}, "dry_run"),
        ({"outcome": "kept", "cursor": "x"}, "cursor"),
        ({"outcome": "kept", "since": 5}, "since"),
        ({"outcome": "kept", "cancellation_id": "x"}, "cancellation_id"),
        ({"outcome": "kept", "claim": "\ud800"}, "claim"),
        ({"all": True}, "all"),
    ],
)
def test_a_replay_that_is_not_understood_replays_nothing(operations: Operations, body: Any, field: str | None) -> None:
    stored = operations.arrive("claim.paid", outcome="kept")

    refused = operations.post("/replay", body, status=422)

    assert refused["type"] == "/problems/invalid-request"
    assert [error["field"] for error in refused["errors"]] == ([] if field is None else [field])
    assert operations.row(stored).replays == 0


@pytest.mark.parametrize("body", [[], False, {"dry_run": 1}, {"limit": 1}])
def test_the_body_of_a_single_replay_is_read_strictly(operations: Operations, body: Any) -> None:
    stored = operations.arrive("claim.paid", outcome="kept")

    assert operations.post(f"/{stored}/replay", body, status=422)["type"] == "/problems/invalid-request"
    assert operations.row(stored).replays == 0


# --- keys and counts -----------------------------------------------------------------------------------------------


def count(
    operations: Operations, key: str, *, days_ago: float, verdict: str = "stored", source: str = "xclaim"
) -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    hour = at.replace(minute=0, second=0, microsecond=0)
    with operations.database.transaction() as tx:
        tx.session.add(
            WebhookTally(hour=hour, source=source, verdict=verdict, key_id=key, count=5, last_at=at, sample=None)
        )


def use(operations: Operations, claim: Claim, key: str | None) -> None:
    with operations.database.transaction() as tx:
        tx.session.execute(update(Claim).where(Claim.id == claim.id).values(webhook_key_id=key))


def said(operations: Operations) -> list[tuple[str | None, int | None, int, int, str]]:
    names = ("key_id", "position", "events", "open_claims", "said")
    return [tuple(item[name] for name in names) for item in operations.get("/keys")["items"]]  # type: ignore[misc]


def test_a_key_that_open_claims_use_is_to_be_kept(operations: Operations) -> None:
    count(operations, FIRST, days_ago=0)
    count(operations, SECOND, days_ago=12)
    count(operations, SECOND, days_ago=20, verdict="repeat")
    for number in range(3):
        opened = operations.claim(reference=f"C-{number}", claim_id=f"c-{number}", booking_id=f"B-{number}")
        use(operations, opened, SECOND)

    assert said(operations) == [
        (FIRST, 1, 5, 0, "in use for new claims; unused for less than a minute"),
        (SECOND, 2, 10, 3, "unused for 12 days; 3 open claims still use it: keep it"),
    ]
    assert operations.get("/keys")["items"][1]["first_used_at"] < operations.get("/keys")["items"][1]["last_used_at"]
    assert not any(key in json.dumps(operations.get("/keys")) for key in WEBHOOK_KEYS)


@pytest.mark.parametrize(
    ("days_ago", "sentence"),
    [
        (None, "may be removed: nothing signed with it yet, and no open claim uses it"),
        (7.1, "may be removed: unused for 7 days, and no open claim uses it"),
        (6.9, "unused for 6 days; no open claim uses it, but a receiver set up by hand may: keep it for now"),
    ],
)
def test_a_key_that_no_open_claim_uses_may_be_removed_once_it_rests(
    operations: Operations, days_ago: float | None, sentence: str
) -> None:
    if days_ago is not None:
        count(operations, SECOND, days_ago=days_ago)
    closed = operations.claim()
    use(operations, closed, SECOND)
    with operations.database.transaction() as tx:
        tx.session.execute(update(Claim).values(closed_at=now_plus(0)))

    assert said(operations)[1][2:] == (0 if days_ago is None else 5, 0, sentence)


def test_a_key_that_is_gone_although_open_claims_use_it_is_missed(operations: Operations) -> None:
    use(operations, operations.claim(), "gone")
    use(operations, operations.claim(reference="CLM-2", claim_id="c-2", booking_id="B-2"), None)

    unknown = "1 open claim may use it, whose key is not known: keep it until they are closed"
    missed = "1 open claim still uses it: their webhooks are refused; put it back, anywhere but in the first place"
    assert said(operations)[1:] == [
        (SECOND, 2, 0, 0, f"nothing signed with it yet; {unknown}"),
        ("gone", None, 0, 1, f"not configured, but {missed}"),
        (None, None, 0, 1, "1 open claim, its key not known: opened before it was recorded, or not sent yet"),
    ]


@pytest.mark.parametrize(
    ("days_ago", "sentence"),
    [
        (None, "may be removed, unless XCover has yet to begin with it: nothing signed with it yet"),
        (30, "may be removed, unless XCover has yet to begin with it: unused for 30 days"),
        (1.1, "in use; unused for 1 day"),
    ],
)
def test_xcovers_keys_are_told_too(database: RecordingDatabase, days_ago: float | None, sentence: str) -> None:
    operations = Operations(database, xcover_webhook_keys="old:s3cret-one,new:s3cret-two")
    name = xcover_key_id(web_settings(xcover_webhook_keys="old:s3cret-one").xcover_webhook_keys[0])
    if days_ago is not None:
        count(operations, name, days_ago=days_ago, source="xcover", verdict="unknown_booking")

    keys = [item for item in operations.get("/keys")["items"] if item["source"] == "xcover"]

    assert [(item["key_id"] == name, item["position"]) for item in keys] == [(True, 1), (False, 2)]
    assert (keys[0]["said"], "s3cret" in json.dumps(keys)) == (sentence, False)


def test_the_only_key_of_xcover_is_never_to_be_removed(database: RecordingDatabase) -> None:
    operations = Operations(database, xcover_webhook_keys="only:s3cret-one")

    assert said(operations)[-1][4] == "the only one; nothing signed with it yet"


def test_counts_are_told_hour_by_hour_with_a_sample(operations: Operations) -> None:
    for _ in range(2):
        with operations.database.transaction() as tx:
            webhook_tallies.add(
                tx,
                [
                    webhook_tallies.Counted(
                        source="xclaim", verdict="not_verified", key_id="", count=3, sample={"user-agent": "curl"}
                    )
                ],
            )
    count(operations, FIRST, days_ago=3)

    today, week = operations.get("/tallies"), operations.get("/tallies", since="2020-01-01T00:00:00Z")

    (item,) = today["items"]
    assert (item["source"], item["verdict"], item["key_id"], item["count"], item["sample"]) == (
        "xclaim", "not_verified", None, 6, {"user-agent": "curl"},
    )  # fmt: skip
    assert [entry["verdict"] for entry in week["items"]] == ["not_verified", "stored"]
    assert (today["is_complete"], week["is_complete"]) == (True, True)


def test_more_counts_than_are_told_are_not_passed_over_in_silence(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_gateway.webhook_counts.MOST", 1)
    count(operations, FIRST, days_ago=0)
    count(operations, SECOND, days_ago=0)

    told = operations.get("/tallies")

    assert (len(told["items"]), told["is_complete"]) == (1, False)
