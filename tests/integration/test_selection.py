"""Finding cancellations: each filter, whatever somebody has at hand, and pages that never read more than a window."""

from uuid import UUID

import pytest

from shared import selection
from shared.models import Claim, Reservation
from tests.gateway import OPERATOR, OTHER, SHOP, Gateway
from tests.recording import RecordingDatabase

POLICY = "201eb11b-4494-40e8-97fa-e107c76501bf"


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


@pytest.fixture
def meant(gateway: Gateway) -> str:
    """A cancellation with a claim and a policy in hand, among others."""
    gateway.accept(key="before", booking_id="OTHER-INS")
    found = gateway.accept(key="Order/1", booking_id="ABC-1-INS")
    gateway.accept(key="after", booking_id="OTHER-INS", token=OTHER)
    with gateway.database.transaction() as tx:
        common = {"partner": "ABCDE", "cancellation_id": UUID(found), "booking_id": "ABC-1-INS", "quote_id": POLICY}
        tx.session.add(
            Claim(**common, claim_type_id="cfar", webhook_token="t", reference="R4ND0-MCLA1-CLA", claim_id="c-99")
        )
        tx.session.add(Reservation(**common))
    return found


def found(gateway: Gateway, *, token: str = OPERATOR, **query: str | int) -> list[str]:
    answer = gateway.get("", token=token, query_string=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.get_json()["items"]]


AT_HAND = [
    "{id}",
    "ABC-1-INS",
    "abc-1-ins",
    "Order/1",
    POLICY,
    POLICY.upper(),
    "R4ND0-MCLA1-CLA",
    "r4nd0-mcla1-cla",
    "c-99",
]


@pytest.mark.parametrize("text", AT_HAND)
def test_it_is_found_by_what_somebody_has_at_hand(gateway: Gateway, meant: str, text: str) -> None:
    assert found(gateway, search=text.format(id=meant)) == [meant]
    assert found(gateway, search=text.format(id=meant), token=SHOP) == [meant]


@pytest.mark.parametrize("text", ["{id}", "ABC-1-INS", "Order/1", POLICY, "R4ND0-MCLA1-CLA", "c-99"])
def test_nobody_finds_what_is_anothers(gateway: Gateway, meant: str, text: str) -> None:
    assert found(gateway, search=text.format(id=meant), token=OTHER) == []


@pytest.mark.parametrize("text", ["ABC-1", "order/1", "%", "ABC-1-INS;", "c-9"])
def test_nothing_is_found_by_half_a_name(gateway: Gateway, meant: str, text: str) -> None:
    assert meant not in found(gateway, search=text)


def test_a_search_is_narrowed_by_the_other_filters(gateway: Gateway, meant: str) -> None:
    assert found(gateway, search="ABC-1-INS", status="in_progress", next_step="look_up") == [meant]
    assert found(gateway, search="ABC-1-INS", status="completed") == []
    assert found(gateway, search="ABC-1-INS", idempotency_key="before") == []


def test_each_filter_narrows_the_list(gateway: Gateway) -> None:
    refund = gateway.parked_at_refund(key="r")
    others = gateway.accept(key="o", token=OTHER)
    assert found(gateway, problem="refund-not-reported") == [refund]
    assert found(gateway, next_step="refund") == [refund]
    assert found(gateway, caller="other") == [others]
    assert found(gateway, caller="other", token=SHOP) == []
    assert found(gateway, caller="shop", token=SHOP) == [refund]
    assert found(gateway, idempotency_key="o") == [others]
    assert found(gateway, idempotency_key="o", token=SHOP) == []
    assert found(gateway, partner="ABCDE", status="needs_review", problem="refund-not-reported") == [refund]
    assert found(gateway, partner="OTHER") == []


@pytest.mark.parametrize("query", ["problem=none-such", "next_step=done", "search=", "search=a%20b", "caller=%00"])
def test_a_wrong_filter_is_named(gateway: Gateway, query: str) -> None:
    answer = gateway.get(f"?{query}", token=OPERATOR)
    assert (answer.status_code, answer.get_json()["errors"][0]["parameter"]) == (400, query.partition("=")[0])


def test_a_page_looks_through_one_window_and_leads_on(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "WINDOW", 3)
    rare = [gateway.accept(key="rare-1"), *[gateway.accept(key=f"k-{number}", token=OTHER) for number in range(4)]]
    late = gateway.accept(key="late")
    pages, cursor = [], None
    while True:
        query = {"status": "in_progress", "caller": "shop", **({"cursor": cursor} if cursor else {})}
        page = gateway.get("", token=OPERATOR, query_string=query).get_json()
        pages.append([item["id"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [[late], [rare[0]]]


def test_a_full_page_leads_on_where_it_ended(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "WINDOW", 4)
    ids = [gateway.accept(key=f"k-{number}") for number in range(5)]
    query = {"status": "in_progress", "caller": "shop", "limit": 2}
    first = gateway.get("", token=OPERATOR, query_string=query).get_json()
    second = gateway.get("", token=OPERATOR, query_string={**query, "cursor": first["next_cursor"]}).get_json()
    third = gateway.get("", token=OPERATOR, query_string={**query, "cursor": second["next_cursor"]}).get_json()
    assert [[item["id"] for item in page["items"]] for page in (first, second, third)] == [
        ids[:2:-1], ids[2:0:-1], ids[:1]
    ]  # fmt: skip
    assert third["next_cursor"] is None
