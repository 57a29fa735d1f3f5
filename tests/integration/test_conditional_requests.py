"""Reading again what may not have changed: tags, and 304 where the reader holds the current version."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from shared import clock
from shared.cancellations import begin_step, park
from shared.lifecycle import Step
from tests.gateway import BOOKING, OPERATOR, OTHER, SHOP, URL, WEBHOOK_KEYS, Gateway, bearer
from tests.integration.test_gateway_webhooks import EVENT, signed
from tests.recording import RecordingDatabase

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
TAG = r'"[0-9a-f]{32}"'


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


@pytest.fixture
def held(gateway: Gateway) -> tuple[str, str]:
    """A cancellation's address, and the tag of its current version."""
    path = f"{URL}/{gateway.accept()}"
    return path, read(gateway, path).headers["ETag"]


def read(
    gateway: Gateway, path: str, tag: str | None = None, *, token: str = SHOP, method: str = "GET"
) -> TestResponse:
    conditional = {} if tag is None else {"If-None-Match": tag}
    return gateway.client.open(path, method=method, headers=bearer(token) | conditional)


def resources(gateway: Gateway) -> dict[str, str]:
    """Return an address for each route under /v1 that is read, filled with something to show."""
    found = gateway.accept()
    opened = gateway.client.post(
        "/v1/batches",
        json={"name": "show.csv", "cancellations": [{"idempotency_key": "t-1", "booking_id": BOOKING}]},
        headers=bearer(SHOP) | {"Idempotency-Key": "batch-1"},
    )
    assert gateway.client.post("/webhooks/xclaim", **signed(EVENT, WEBHOOK_KEYS[0])).status_code == 200
    (webhook,) = read(gateway, "/v1/webhooks", token=OPERATOR).get_json()["items"]
    ids = {"cancellation_id": found, "batch_id": opened.get_json()["id"], "webhook_id": webhook["id"]}
    rules = [rule for rule in gateway.app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    return {
        rule.rule: re.sub(r"<uuid:(\w+)>", lambda match: ids[match[1]], rule.rule)
        for rule in rules
        if rule.rule.startswith("/v1/") and rule.rule != "/v1/doctor"  # an examination is another one each time
    }


def test_everything_that_is_read_has_a_tag_and_is_not_sent_again(gateway: Gateway) -> None:
    found = resources(gateway)

    for rule, path in found.items():
        whole = read(gateway, path, token=OPERATOR)
        assert (whole.status_code, bool(re.fullmatch(TAG, whole.headers["ETag"]))) == (200, True), rule
        assert whole.headers["Cache-Control"] == "private, no-cache", rule
        again = read(gateway, path, whole.headers["ETag"], token=OPERATOR)
        assert (again.status_code, again.data) == (304, b""), rule
    assert len(found) > 8


def test_not_modified_says_only_what_holds_of_the_version(gateway: Gateway, held: tuple[str, str]) -> None:
    answer = read(gateway, *held)

    assert (answer.status_code, answer.data) == (304, b"")
    assert dict(answer.headers) == {
        "ETag": held[1], "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff",
    }  # fmt: skip


@ON_SQLITE
@pytest.mark.parametrize(
    "form",
    ["{0}", "W/{0}", "*", " * ", '"other", {0}', 'W/"other" , W/{0},"x"', "{0},{0}", '"",{0}', '"a,b",{0}', "{0} ,"],
)
def test_a_header_that_names_the_current_version_is_answered_304(
    gateway: Gateway, held: tuple[str, str], form: str
) -> None:
    path, tag = held

    assert read(gateway, path, form.format(tag)).status_code == 304


@ON_SQLITE
@pytest.mark.parametrize(
    "header",
    [
        "", " ", '"other"', 'W/"other"', '"', '""', "W/", ",,,", '"*"', "W/*", '*, "other"', "\xff\xfe", "{bare}",
        "'{bare}'", '"{bare}', '{bare}"', '"x{bare}"', '"{bare}x"', '"{upper}"', '"' * 4000, "W/" * 4000,
        " " * 7_000 + "x",
    ],
    ids=lambda header: re.sub(r"\W", "_", header[:12]) + str(len(header)),
)  # fmt: skip
def test_a_header_that_names_something_else_or_nothing_is_answered_whole(
    gateway: Gateway, held: tuple[str, str], header: str
) -> None:
    path, tag = held
    bare = tag.strip('"')

    answer = read(gateway, path, header.replace("{bare}", bare).replace("{upper}", bare.upper()))

    assert (answer.status_code, answer.get_json()["booking_id"], answer.headers["ETag"]) == (200, BOOKING, tag)


@ON_SQLITE
def test_head_has_the_same_tag_and_is_answered_304_too(gateway: Gateway, held: tuple[str, str]) -> None:
    path, tag = held

    whole = read(gateway, path, method="HEAD")

    assert (whole.status_code, whole.data, whole.headers["ETag"]) == (200, b"", tag)
    assert whole.headers["Content-Length"] == read(gateway, path).headers["Content-Length"]
    assert read(gateway, path, tag, method="HEAD").status_code == 304


def report(gateway: Gateway, found: str) -> None:
    body = {"amount": "22.40", "currency": "EUR", "reference": "re_123"}
    assert gateway.post(f"/{found}/refund", body).status_code == 200


def give_up(gateway: Gateway, found: str) -> None:
    with clock.travel(timedelta(hours=2)), gateway.database.transaction() as tx:
        row = begin_step(tx, UUID(found), Step.REFUND)
        assert row is not None
        park(tx, row, "refund-not-reported", "No refund was reported.")


CHANGES: dict[str, Callable[[Gateway, str], None]] = {
    "a report": report,
    "a step that gives up": give_up,
    "an abort": lambda gateway, found: gateway.post(f"/{found}/abort"),
}


@ON_SQLITE
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_what_is_shown_changes_the_tag(gateway: Gateway, change: str) -> None:
    found = gateway.accept_previewed()
    paths = [f"{URL}/{found}", URL, f"{URL}/{found}/events"]
    before = {path: read(gateway, path).headers["ETag"] for path in paths}

    CHANGES[change](gateway, found)

    after = {path: read(gateway, path, tag) for path, tag in before.items()}
    assert [answer.status_code for answer in after.values()] == [200, 200, 200]
    assert all(answer.headers["ETag"] != before[path] for path, answer in after.items())


@ON_SQLITE
def test_a_claim_that_moves_changes_the_tag_although_the_cancellations_row_does_not(gateway: Gateway) -> None:
    found = gateway.parked_at_claim()
    tag = read(gateway, f"{URL}/{found}").headers["ETag"]
    with gateway.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE claims SET status = 'Under Review'")

    assert read(gateway, f"{URL}/{found}", tag).get_json()["claim"]["status"] == "Under Review"


@ON_SQLITE
def test_a_list_that_grows_is_sent_again_and_another_page_has_another_tag(gateway: Gateway) -> None:
    gateway.accept(key="a")
    gateway.accept(key="b")
    tag = read(gateway, URL).headers["ETag"]
    assert read(gateway, f"{URL}?limit=1", tag).status_code == 200

    gateway.accept(key="c")

    assert len(read(gateway, URL, tag).get_json()["items"]) == 3


@ON_SQLITE
def test_a_tag_opens_nothing(gateway: Gateway, held: tuple[str, str]) -> None:
    path, tag = held

    for named in (tag, "*"):
        assert read(gateway, path, named, token="unknown").status_code == 401
        assert read(gateway, path, named, token=OTHER).status_code == 404
        assert read(gateway, "/v1/webhooks", named).status_code == 403


@ON_SQLITE
def test_refusals_and_answers_to_actions_have_no_tag_and_are_kept_by_nobody(
    gateway: Gateway, held: tuple[str, str]
) -> None:
    path, _ = held
    headers = bearer(SHOP) | {"If-None-Match": "*", "Idempotency-Key": "key-1"}

    repeated = gateway.client.post(URL, json={"booking_id": BOOKING}, headers=headers)
    answers = [repeated, read(gateway, f"{path}x", "*"), read(gateway, f"{URL}?limit=0", "*"), read(gateway, "/livez")]

    assert [answer.status_code for answer in answers] == [200, 404, 400, 200]
    assert ["ETag" in answer.headers for answer in answers] == [False] * 4
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert repeated.get_json() == read(gateway, path).get_json()


@ON_SQLITE
def test_the_tag_is_of_the_very_bytes(gateway: Gateway, held: tuple[str, str]) -> None:
    path, tag = held
    answers: list[Any] = [read(gateway, path) for _ in range(3)]

    assert {(answer.data, answer.headers["ETag"]) for answer in answers} == {(answers[0].data, tag)}
    assert json.loads(answers[0].data)["booking_id"] == BOOKING
