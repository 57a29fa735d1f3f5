"""What the console's pages show: every situation in which a cancellation may be, and what surrounds it."""

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import quote
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from shared import audit, pauses
from shared.doctor.advice import ADVICE
from tests import situations
from tests.console import Browser, console, signed_in
from tests.world import World

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

STORIES = (
    situations.just_accepted, situations.postponed, situations.unknown_confirm, situations.awaiting_refund,
    situations.awaiting_premium_refund, situations.needs_review, situations.rejected, situations.aborted,
    situations.closed, situations.completed_with_claim, situations.dry_run,
)  # fmt: skip


@pytest.fixture
def anna(world: World) -> Browser:
    return signed_in(console(world.database))


@pytest.mark.parametrize("story", STORIES, ids=[story.__name__ for story in STORIES])
def test_a_cancellation_is_shown_wherever_it_stands(
    world: World, anna: Browser, story: Callable[[World], UUID]
) -> None:
    row = world.row(story(world))

    page = anna.get(f"/cancellations/{row.id}")

    assert page.status_code == 200
    assert row.booking_id in page.text
    assert row.status.replace("_", " ") in page.text
    assert "Why it stands where it stands" in page.text


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'


def test_hostile_values_are_text_wherever_they_are_shown(world: World, anna: Browser) -> None:
    row_id = world.accept(world.booking(), key="'><script>1</script>", metadata={"note": HOSTILE})
    with world.database.transaction() as tx:
        pauses.pause(tx, partner='"><i>', by="operator:anna", note=HOSTILE)
    assert anna.post(f"/cancellations/{row_id}/retry", note=HOSTILE).status_code == 303
    pages = [
        f"/cancellations/{row_id}", "/cancellations", "/audit", "/pauses", "/",
        f"/cancellations?search={quote(HOSTILE)}", f"/bulk?action=retry&search={quote(HOSTILE)}",
        f"/webhooks?claim={quote(HOSTILE)}", f"/cancellations?said={quote(HOSTILE)}", f"/{quote(HOSTILE)}",
    ]  # fmt: skip
    for path in pages:
        text = anna.get(path).text
        assert "<script>" not in text, path
        assert "<img" not in text, path
        assert "<i>" not in text, path
    assert "&lt;script&gt;" in anna.get("/audit").text


def test_the_list_finds_what_is_searched_for(world: World, anna: Browser) -> None:
    first, other = (world.row(situations.just_accepted(world)) for _ in range(2))
    for query in (f"search={first.booking_id}", f"search={first.id}", f"search={first.idempotency_key}"):
        text = anna.get(f"/cancellations?{query}").text
        assert (f"/console/cancellations/{first.id}" in text, str(other.id) in text) == (True, False), query
    assert "No cancellation fits" in anna.get("/cancellations?status=closed&search=").text
    assert "None" not in anna.get("/cancellations?next_step=look_up&caller=shop").text
    refused = anna.get("/cancellations?status=odd")
    assert (refused.status_code, "must be one of" in refused.text) == (400, True)


def test_pages_of_the_list_follow_each_other(world: World, anna: Browser) -> None:
    accepted = {str(situations.just_accepted(world)) for _ in range(3)}
    seen: list[str] = []
    path = "/console/cancellations?limit=2"
    while path:
        text = anna.get(path.removeprefix("/console")).text
        seen += dict.fromkeys(re.findall(r'href="/console/cancellations/([0-9a-f-]{36})"', text))
        found = re.search(r'rel="next" href="([^"]+)"', text)
        path = unescape(found[1]) if found else ""
    assert (len(seen), set(seen)) == (3, accepted)


def test_the_overview_tells_what_is_known_and_what_is_not(world: World, anna: Browser) -> None:
    situations.needs_review(world)
    world.configure()
    situations.nobody_answers(world)
    situations.no_worker(world)
    text = anna.get("/").text
    assert re.search(r"<b>1</b>needs review", text)
    assert "none alive" in text
    assert ">open</span>" in text
    assert "not known" in text  # Redis is away
    assert "Accepted, ended and needing review" in text


def test_the_overview_counts_what_waits_in_redis(world: World, broker: str) -> None:
    text = signed_in(console(world.database, redis_url=broker)).get("/").text
    assert "not known" not in text
    assert "<code>steps.bulk</code>" in text


def test_an_empty_service_says_what_would_be_where(anna: Browser) -> None:
    for path, said in (
        ("/cancellations", "Nothing was handed over yet"), ("/webhooks", "No webhook came yet"),
        ("/batches", "No batch was opened yet"), ("/pauses", "everything goes on"),
        ("/audit", "Nobody has pressed anything yet"), ("/", "No service has failed"),
    ):  # fmt: skip
        assert said in anna.get(path).text, path


def test_the_doctor_says_what_is_wrong_and_what_to_do(world: World, anna: Browser) -> None:
    situations.nobody_answers(world)
    text = unescape(anna.get("/doctor").text)
    troubles, fine = text.split('id="fine"')
    for finding in ("breakers", "workers", "redis"):
        assert f"<code>{finding}</code>" in troubles, finding
        assert ADVICE[finding].todo in troubles, finding
    assert "docs/runbook.md#" in troubles
    assert "<code>schema</code>" in fine
    assert "docs/runbook.md#" not in fine
    assert anna.post("/doctor").status_code == 303


def test_the_database_being_away_is_said_in_a_page(anna: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise OperationalError("SELECT", {}, Exception("away"))

    monkeypatch.setattr(audit, "entries", refuse)
    answer = anna.get("/audit")
    assert (answer.status_code, "The database does not answer" in answer.text) == (503, True)


def test_one_page_tells_everything_of_a_call(world: World, anna: Browser) -> None:
    row_id = situations.unknown_confirm(world)
    (call,) = [call for call in world.calls(row_id) if call.step == "confirm"]
    text = anna.get(f"/cancellations/{row_id}").text
    assert call.key in text
    assert "may have been acted on" in text
    assert "no way back" in text


def test_what_the_console_shows_of_a_person_is_no_more_than_the_interface_does(world: World, anna: Browser) -> None:
    claim = {"section_fields": [{"id": "s-1", "fields": [{"id": "f-1", "value": "marked-secret"}]}]}
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    row_id = world.accept(booking, claim=claim, refund=situations.SKIP)
    world.settle()
    assert "marked-secret" in str(world.row(row_id).request)
    for path in (f"/cancellations/{row_id}", "/cancellations", "/audit", "/webhooks"):
        assert "marked-secret" not in anna.get(path).text, path


def test_flower_is_linked_where_it_is_configured(world: World, anna: Browser) -> None:
    row_id = situations.just_accepted(world)
    linked = signed_in(console(world.database, flower_url="https://flower.example/"))
    page = linked.get(f"/cancellations/{row_id}").text
    assert 'href="https://flower.example"' in page
    assert 'href="https://flower.example/tasks"' in page
    assert "Flower" not in anna.get(f"/cancellations/{row_id}").text


def test_one_page_tells_whether_others_are_stuck_alike(world: World, anna: Browser) -> None:
    stuck = [situations.needs_review(world) for _ in range(2)]
    world.configure()
    rejected = situations.rejected(world)
    page = anna.get(f"/cancellations/{stuck[0]}").text
    assert "1 other stands there with the same problem" in page
    (list_of_them,) = re.findall(r'href="/console(/cancellations[?][^"]+)"', page.partition("same problem")[0][-300:])
    listed = anna.get(unescape(list_of_them)).text
    assert all(f"/console/cancellations/{row_id}" in listed for row_id in stuck)
    assert "No other stands there with this problem" in anna.get(f"/cancellations/{rejected}").text
