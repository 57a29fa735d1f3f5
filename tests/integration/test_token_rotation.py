"""Replacing a caller's token without a pause: old and new are one caller, until the old one is taken out."""

import pytest
from flask import Flask
from pydantic import ValidationError

from tests.gateway import BOOKING, URL, Gateway, web_settings
from tests.recording import RecordingDatabase

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BEFORE, DURING, AFTER = "shop:old", "shop:old,shop:new", "shop:new"


def gateway(database: RecordingDatabase, tokens: str) -> Gateway:
    return Gateway(database, api_tokens=f"{tokens},anna:operators:operator")


def statuses(asked: Gateway, *tokens: str) -> list[int]:
    return [asked.get("", token=token).status_code for token in tokens]


def test_both_tokens_open_while_one_replaces_the_other(database: RecordingDatabase) -> None:
    assert statuses(gateway(database, BEFORE), "old", "new") == [200, 401]
    assert statuses(gateway(database, DURING), "old", "new") == [200, 200]
    assert statuses(gateway(database, AFTER), "old", "new") == [401, 200]


def test_both_tokens_are_one_caller(database: RecordingDatabase) -> None:
    asked = gateway(database, DURING)
    found = asked.accept(key="key-1", token="old")

    repeated = asked.post("", {"booking_id": BOOKING}, token="new", Idempotency_Key="key-1")

    assert (repeated.status_code, repeated.get_json()["id"]) == (200, found)
    assert asked.post("", {"booking_id": "OTHER-INS"}, token="new", Idempotency_Key="key-1").status_code == 422
    assert [item["id"] for item in asked.get("", token="new").get_json()["items"]] == [found]
    assert asked.post(f"/{found}/abort", token="new").get_json()["status"] == "aborted"


def test_what_the_old_token_handed_over_stays_with_the_caller(database: RecordingDatabase) -> None:
    found = gateway(database, BEFORE).accept(token="old")

    after = gateway(database, AFTER)

    assert after.get(f"/{found}", token="new").get_json()["id"] == found
    assert [event["actor"] for event in after.get(f"/{found}/events", token="new").get_json()["items"]][:1] == [
        "caller:shop"
    ]


def test_a_token_that_was_taken_out_is_refused_everywhere(database: RecordingDatabase) -> None:
    found = gateway(database, BEFORE).accept(token="old")
    after = gateway(database, AFTER)

    answers = [
        after.get(f"/{found}", token="old"), after.get("", token="old"), after.post(f"/{found}/abort", token="old"),
        after.post("", {"booking_id": BOOKING}, token="old", Idempotency_Key="key-1"),
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [401] * 4
    assert after.row(found).status == "in_progress"


def test_operators_rotate_likewise(database: RecordingDatabase) -> None:
    found = gateway(database, BEFORE).parked_at_refund(token="old")
    asked = Gateway(database, api_tokens="shop:old,anna:one:operator,anna:two:operator")

    assert [asked.post(f"/{found}/retry", token=token).status_code for token in ("one", "two")] == [200, 200]


@pytest.mark.parametrize(
    "tokens",
    ["shop:a,shop:b:operator", "shop:a:operator,shop:b,other:c", "shop:a:viewer,shop:b:operator"],
    ids=["caller and operator", "operator and caller", "viewer and operator"],
)
def test_a_name_has_one_role(tokens: str, database_url: str) -> None:
    with pytest.raises(ValidationError, match="one name in two roles"):
        web_settings(api_tokens=tokens)


@pytest.mark.parametrize("count", [2, 20])
def test_any_number_of_tokens_may_stand_for_a_name(database: RecordingDatabase, count: int) -> None:
    names = [f"token-{number}" for number in range(count)]
    asked = gateway(database, ",".join(f"shop:{name}" for name in names))

    assert statuses(asked, *names) == [200] * count
    assert isinstance(asked.app, Flask)
    assert asked.client.get(URL, headers={"Authorization": f"Bearer {','.join(names)}"}).status_code == 401
