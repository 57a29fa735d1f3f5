"""What a key promises: the rules of draft-ietf-httpapi-idempotency-key-header-07 and of others, each as a test.

Over HTTP, against the gateway as it is deployed (two processes, PostgreSQL, Redis away), at each door that takes a key.
A rule that we keep in a way of our own says so. Keys that we send to others are the tests' of the steps.
"""

import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from shared.batch_models import Batch
from shared.db import Database
from shared.models import Cancellation, Transition
from tests.doors import DOORS, HTTP, Batches, Cancellations, Door, at_once
from tests.gateway import OTHER, SHOP, Gateway, bearer
from tests.integration.conftest import serving
from tests.integration.test_gateway_server import served
from tests.recording import RecordingDatabase

Check = Callable[[Door, RecordingDatabase], None]
HEADER = ("cancellations", "batches")
EVERY = (*HEADER, "lines")
ONES = ("cancellations", "lines")
TOGETHER = 8
AWAY = "redis://127.0.0.1:1/0"
PAGE = Path(__file__).parents[2] / "docs" / "idempotency.md"
RULES: list[Any] = []


def rule(name: str, *doors: str) -> Callable[[Check], Check]:
    """Add a rule to the list, at these doors."""

    def add(check: Check) -> Check:
        RULES.extend(pytest.param(check, door, id=f"{name} [{door}]") for door in doors)
        return check

    return add


@pytest.fixture(scope="module")
def deployed(postgresql_url: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway's address."""
    more = {"DATABASE_URL": postgresql_url.replace("+psycopg", ""), "WEB_CONCURRENCY": "2", "REDIS_URL": AWAY}
    more["API_TOKENS"] = f"shop:{SHOP},other:{OTHER}"
    with serving(sqlite_template, tmp_path_factory.mktemp("web"), **more) as found:
        yield found.url


@rule("ietf: the key is a structured-field string, quotes and backslashes escaped", *HEADER)
def _quoted(door: Door, _database: RecordingDatabase) -> None:
    first, again = door.send(r'"a\"b\\c"'), door.send(r'"a\"b\\c"')

    assert (first.kind, again.kind, again.id) == ("new", "repeat", first.id)


@rule("ours beyond ietf: a bare key is the same key as the quoted one", *HEADER)
def _bare(door: Door, _database: RecordingDatabase) -> None:
    first, again = door.send("order-1"), door.send('"order-1"')

    assert (first.kind, again.kind, again.id) == ("new", "repeat", first.id)


@rule("ietf: what is no key is 400; ours: spaces and parameters are no key either", *HEADER)
def _malformed(door: Door, _database: RecordingDatabase) -> None:
    malformed = ["", '""', '"open', r'"a\b"', "a b", '"a b"', '"k";a=1', '"a", "b"', "é", "?1, 2"]

    answers = [door.send(raw) for raw in malformed]

    assert {answer.kind for answer in answers} == {"idempotency-key-missing"}
    assert {answer.status for answer in answers} == {400}


@rule("ietf: a missing key is 400", *HEADER)
def _missing(door: Door, _database: RecordingDatabase) -> None:
    answer = door.send(None)

    assert (answer.status, answer.kind) == (400, "idempotency-key-missing")


@rule("ours instead of ietf: a missing key is 422, since a line's key is a field of it", "lines")
def _missing_field(door: Door, _database: RecordingDatabase) -> None:
    answer = door.send(None)

    assert (answer.status, answer.kind) == (422, "invalid-request")
    assert [error["field"] for error in answer.answer["errors"]] == ["idempotency_key"]


@rule("stripe: a key has up to 255 characters", *EVERY)
def _length(door: Door, _database: RecordingDatabase) -> None:
    assert door.send("k" * 255).kind == "new"
    assert door.send("k" * 256).kind in {"idempotency-key-missing", "invalid-request"}


@rule("ietf: a repeat gets the result of the first; unlike primer never a 409", *EVERY)
def _repeat(door: Door, _database: RecordingDatabase) -> None:
    first, again = door.send("k"), door.send("k")

    assert (first.kind, again.kind, again.id) == ("new", "repeat", first.id)
    assert first.headers.get("Location") == again.headers.get("Location")


@rule("ietf: another payload under the key is 422", *HEADER)
@rule("ietf: another payload under the key is refused for its line alone", "lines")
def _reused(door: Door, _database: RecordingDatabase) -> None:
    first = door.send("k")
    answer = door.send("k", door.body(2))

    assert (answer.kind, answer.answer["status"], answer.answer["id"]) == ("idempotency-key-reused", 422, first.id)
    assert door.send("k").id == first.id


@rule("ietf: the fingerprint is of what the payload says, not of how it is written", *EVERY)
def _written_freely(door: Door, _database: RecordingDatabase) -> None:
    first, again = door.send("k"), door.send("k", freely=True)

    assert (again.kind, again.id) == ("repeat", first.id)


@rule("stripe: the payload is compared as sent, before defaults", *EVERY)
def _before_defaults(door: Door, _database: RecordingDatabase) -> None:
    door.send("k")

    assert door.send("k", door.with_defaults()).kind == "idempotency-key-reused"


@rule("ietf: keys are unique for each caller, letter by letter", *EVERY)
def _each_callers_own(door: Door, _database: RecordingDatabase) -> None:
    found = [door.send("key"), door.send("key", token=OTHER), door.send("KEY")]

    assert [each.kind for each in found] == ["new"] * 3
    assert len({each.id for each in found}) == 3


@rule("ours: a key stands for one cancellation, whichever door it came by", "lines")
def _every_door(door: Door, _database: RecordingDatabase) -> None:
    alone = Cancellations(door.url).send("k")

    assert (door.send("k").kind, door.send("k").id) == ("repeat", alone.id)
    assert door.send("k", door.body(2)).kind == "idempotency-key-reused"


@rule("ours: the keys of batches and of cancellations are apart", "batches")
def _each_kinds_own(door: Door, _database: RecordingDatabase) -> None:
    assert [Cancellations(door.url).send("k").kind, door.send("k").kind] == ["new", "new"]


@rule("ours instead of ietf 409: a repeat while the first is still running waits for it, and gets its result", *EVERY)
def _still_running(door: Door, database: RecordingDatabase) -> None:
    door.send("before")
    table = "batches" if door.name == "batches" else "cancellations"
    with database.engine.connect() as holding, ThreadPoolExecutor(2) as pool:
        holding.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
        running = [pool.submit(door.send, "k") for _ in range(2)]
        _wait_for_waiting(database, 2)
        assert not any(each.done() for each in running)
        holding.rollback()
        found = [each.result() for each in running]

    assert sorted(each.kind for each in found) == ["new", "repeat"]
    assert len({each.id for each in found}) == 1


@rule("brandur: the claim of a key is one arbitrated write, so of many at once one is new", *EVERY)
def _arbitrated(door: Door, database: RecordingDatabase) -> None:
    door.send("before")
    same = at_once(door, [door.body()] * TOGETHER, key="same")
    others = at_once(door, [door.body(number) for number in range(1, TOGETHER + 1)], key="others")

    assert Counter(each.kind for each in same) == {"new": 1, "repeat": TOGETHER - 1}
    assert len({each.id for each in same}) == 1
    assert Counter(each.kind for each in others) == {"new": 1, "idempotency-key-reused": TOGETHER - 1}
    assert len(_keys(database, door)) == 3


@rule(
    "brandur: claim, history and due time are one atomic phase, so that a completer finds what nobody rang for", *ONES
)
def _completer(door: Door, database: RecordingDatabase) -> None:
    row_id = door.send("k").id  # Redis is away: no message ever leaves

    with database.reading() as session:
        (row,) = session.scalars(select(Cancellation).where(Cancellation.idempotency_key == "k"))
        lines = session.scalars(select(Transition.event).where(Transition.cancellation_id == row.id)).all()
    assert (str(row.id), row.next_step, row.next_attempt_at is not None, list(lines)) == (
        row_id, "look_up", True, ["accepted"],
    )  # fmt: skip


@rule("stripe v2: after a lost answer the repeat gets what was accepted, and nothing is done anew", *HEADER)
def _lost_answer(door: Door, database: RecordingDatabase) -> None:
    raw = json.dumps(door.body()).encode()
    head = f"POST {door.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SHOP}\r\nIdempotency-Key: k\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", httpx.URL(door.url).port or 0)) as connection:
        connection.sendall(head.encode() + raw)
        while "k" not in _keys(database, door):
            pass  # it is stored, and we never read its answer

    assert door.send("k").kind == "repeat"
    assert _keys(database, door) == ["k"]


@rule(
    "ours instead of ietf: a repeat shows the result as it is now, not the bytes of the first answer", "cancellations"
)
def _as_it_is_now(door: Door, _database: RecordingDatabase) -> None:
    first = door.send("k")
    aborted = HTTP.post(f"{door.url}/v1/cancellations/{first.id}/abort", headers=bearer(SHOP))

    again = door.send("k")

    assert (first.answer["status"], again.kind, again.answer) == ("in_progress", "repeat", aborted.json())


@rule("ietf: a result that is an error is kept as well; the key of what was rejected starts nothing anew", *ONES)
def _ended_badly(door: Door, database: RecordingDatabase) -> None:
    first = door.send("k")
    _set(database, "status = 'rejected', next_step = NULL, next_attempt_at = NULL, turn_class = NULL, turn = NULL")

    again = door.send("k")

    assert (again.kind, again.id) == ("repeat", first.id)
    assert len(_keys(database, door)) == 1


@rule("stripe and ppro: a refusal before anything was done is not kept; the corrected request has the key", *EVERY)
def _refused_before(door: Door, _database: RecordingDatabase) -> None:
    refused = door.send("k", door.body(unknown="field"))

    assert (refused.kind, refused.status) == ("invalid-request", 422)
    assert door.send("k").kind == "new"


@rule("checkout.com: a failure of ours is not kept; it is attempted again", *HEADER)
def _failed(door: Door, _database: RecordingDatabase) -> None:
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing", publish=lambda _messages: None)
    with served(Gateway(away)) as url:
        failed = DOORS[door.name](url).send("k")
    away.close()

    assert (failed.status, failed.kind) == (503, "unavailable")
    assert int(failed.headers["Retry-After"]) > 0
    assert door.send("k").kind == "new"


@rule("ietf: the expiry policy is published, and is that a key never expires", *EVERY)
def _for_ever(door: Door, database: RecordingDatabase) -> None:
    first = door.send("k")
    aged = "created_at = created_at - interval '20 years', updated_at = updated_at - interval '20 years'"
    _set(database, aged, table="batches" if door.name == "batches" else "cancellations")

    assert (door.send("k").kind, door.send("k").id) == ("repeat", first.id)
    assert "**A key never expires.**" in PAGE.read_text(encoding="utf-8")


@rule("ietf: requests that may be repeated as they are need no key, and one is ignored", "cancellations")
def _no_key_needed(door: Door, _database: RecordingDatabase) -> None:
    headers = bearer(SHOP) | {"Idempotency-Key": "the same"}
    paths = [f"{door.url}{door.path}/{door.send(key).id}/abort" for key in ("a", "b", "b")]

    assert [HTTP.post(path, headers=headers).json()["status"] for path in paths] == ["aborted"] * 3


@pytest.mark.processes
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("check", "door"), RULES)
def test_rule(check: Check, door: str, deployed: str, database: RecordingDatabase) -> None:
    check(DOORS[door](deployed), database)


def _wait_for_waiting(database: RecordingDatabase, many: int) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND database = "
                   "(SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
    found = 0
    while found < many:
        with database.reading() as session:
            found = session.scalar(waiting) or 0


def _keys(database: RecordingDatabase, door: Door) -> list[str]:
    key = (Batch if isinstance(door, Batches) else Cancellation).idempotency_key
    with database.reading() as session:
        return list(session.scalars(select(key).order_by(key)))


def _set(database: RecordingDatabase, assignments: str, *, table: str = "cancellations") -> None:
    with database.transaction() as tx:
        tx.session.execute(text(f"UPDATE {table} SET {assignments}"))
