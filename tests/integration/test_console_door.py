"""Who gets into the console, for how long, and what browsers are told: every route, for everyone."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from shared import clock, operations_models
from tests.console import PEOPLE, VIEWER, Browser, console, signed_in
from tests.gateway import OPERATOR, SHOP, Gateway
from tests.recording import RecordingDatabase
from webhook_gateway.console import throttling
from webhook_gateway.console.door import POLICY
from webhook_gateway.console.sessions import COOKIE, IDLE, LONGEST

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OPEN = {"/console/sign-in", "/console/sign-out"}
FOUND = {"GET": {200}, "POST": {200, 303, 404, 409, 400, 422}}
"""What someone is answered who may: the POSTs here say nothing, or name what is not there."""


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return console(database)


def routes(gateway: Gateway) -> list[tuple[str, str]]:
    """Return method and address of every page and press, for a cancellation that is there."""
    row_id = gateway.accept()
    found = []
    for rule in gateway.app.url_map.iter_rules():
        if not rule.rule.startswith("/console") or "static" in rule.rule or "path:" in rule.rule:
            continue
        path = re.sub(r"<uuid:cancellation_id>", row_id, rule.rule)
        path = re.sub(r"<uuid:\w+>", str(UUID(int=1)), path).replace("<action>", "pause")
        found += [(method, path) for method in sorted((rule.methods or set()) & {"GET", "POST"})]
    assert len(found) > 20
    return [(method, path) for method, path in found if path not in OPEN]


def answer(browser: Browser, method: str, path: str) -> TestResponse:
    below = path.removeprefix("/console")
    return browser.get(below) if method == "GET" else browser.post(below)


def test_nobody_gets_a_page_or_a_press(gateway: Gateway) -> None:
    browser = Browser(gateway)
    for method, path in routes(gateway):
        got = answer(browser, method, path)
        if method == "GET":
            assert (got.status_code, got.headers["Location"].partition("?")[0]) == (302, "/console/sign-in"), path
        else:
            assert got.status_code == 403, path


def test_a_viewer_gets_every_page_and_no_press(gateway: Gateway) -> None:
    vera = signed_in(gateway, "vera")
    missing = {"/console/batches/<>", "/console/webhooks/<>"}
    for method, path in routes(gateway):
        got = answer(vera, method, path)
        is_missing = re.sub(r"[0-9a-f-]{36}", "<>", path) in missing
        assert got.status_code == ((404 if is_missing else 200) if method == "GET" else 403), path
        if method == "POST":
            assert "change nothing" in got.text, path


def test_an_operator_gets_every_page_and_press(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    for method, path in routes(gateway):
        got = answer(anna, method, path)
        assert got.status_code in (FOUND[method] | {404}), (method, path)


def test_a_press_needs_the_token_of_the_form(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    posts = [path for method, path in routes(gateway) if method == "POST"]
    (row_id,) = {path.split("/")[3] for path in posts if path.startswith("/console/cancellations/")}
    for path in posts:
        for form in ({}, {"csrf": "guessed"}, {"csrf": ""}):
            assert anna.client.post(path, data=form).status_code == 403, path
    assert gateway.row(row_id).status == "in_progress"
    other_site = anna.client.post(
        f"/console/cancellations/{row_id}/abort", data={"csrf": anna._csrf}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert (other_site.status_code, gateway.row(row_id).status) == (403, "in_progress")
    assert anna.post(f"/cancellations/{row_id}/abort").status_code == 303


@pytest.mark.parametrize(
    ("name", "token"),
    [("anna", "wrong"), ("nobody", OPERATOR), ("shop", SHOP), ("vera", OPERATOR), ("", ""), ("anna", ""), ("ä", "ö")],
    ids=["wrong token", "wrong name", "a caller", "another's token", "nothing", "no token", "no such letters"],
)
def test_whatever_is_wrong_is_answered_alike(gateway: Gateway, name: str, token: str) -> None:
    refused = Browser(gateway).sign_in(name, token)
    usual = Browser(gateway).sign_in("anna", "guess")
    without_form = [re.sub(r'value="[^"]*"', "", one.text) for one in (refused, usual)]
    assert (refused.status_code, without_form[0]) == (403, without_form[1])
    assert "Set-Cookie" not in refused.headers


def test_too_many_failures_shut_the_door_for_that_address_alone(gateway: Gateway) -> None:
    for _ in range(throttling.PER_ADDRESS.amount):
        assert Browser(gateway).sign_in("anna", "guess").status_code == 403
    shut = Browser(gateway).sign_in("anna")
    assert (shut.status_code, "Too many" in shut.text) == (429, True)
    elsewhere = Browser(gateway)
    elsewhere.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert elsewhere.sign_in("anna").status_code == 303


def test_guessing_from_many_addresses_is_counted_together(gateway: Gateway) -> None:
    throttle = throttling.Throttle(console(gateway.database).app.extensions["cfar"].settings)
    for number in range(throttling.IN_ALL.amount):
        assert not throttle.is_shut(f"192.0.2.{number}")
        throttle.note_failure(f"192.0.2.{number}")
    assert throttle.is_shut("198.51.100.1")


def test_processes_count_failures_together_through_redis(database: RecordingDatabase, broker: str) -> None:
    one, other = (console(database, redis_url=broker) for _ in range(2))
    browsers = [Browser(gateway) for gateway in (one, other)]
    for browser in browsers:
        browser.client.environ_base["REMOTE_ADDR"] = "192.0.2.99"
    for number in range(throttling.PER_ADDRESS.amount):
        assert browsers[number % 2].sign_in("anna", "guess").status_code == 403
    assert [browser.sign_in("anna").status_code for browser in browsers] == [429, 429]


def test_a_session_ends_when_nothing_is_done_in_it(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    with clock.travel(IDLE - timedelta(minutes=2)):
        assert anna.get("/audit").status_code == 200  # renews it
    with clock.travel(2 * IDLE - timedelta(minutes=4)):
        assert anna.get("/audit").status_code == 200
    with clock.travel(4 * IDLE):
        assert anna.get("/audit").status_code == 302


def test_a_session_ends_after_a_nights_watch_whatever_is_done(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    passed = timedelta()
    while passed < LONGEST:
        with clock.travel(passed):
            assert anna.get("/audit").status_code == 200
        passed += IDLE - timedelta(minutes=1)
    with clock.travel(LONGEST + timedelta(minutes=1)):
        assert anna.get("/audit").status_code == 302


def test_a_page_that_refreshes_itself_keeps_nothing_alive(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    with clock.travel(IDLE - timedelta(minutes=2)):
        part = anna.get("/", headers={"HX-Request": "true"})
        assert (part.status_code, "Set-Cookie" in part.headers, "<html" in part.text) == (200, False, False)
    with clock.travel(IDLE + timedelta(minutes=2)):
        ended = anna.get("/", headers={"HX-Request": "true"})
    assert (ended.status_code, ended.headers["HX-Redirect"]) == (401, "/console/sign-in")


@pytest.mark.parametrize(
    "tokens",
    [
        f"shop:{SHOP},vera:{VIEWER}:viewer", f"anna:other:operator,vera:{VIEWER}:viewer", f"anna:{OPERATOR}:viewer",
        f"shop:{SHOP}",
    ],
    ids=["name gone", "token replaced", "role changed", "nobody left"],
)  # fmt: skip
def test_a_token_that_is_taken_out_ends_its_sessions(database: RecordingDatabase, tokens: str) -> None:
    anna = signed_in(console(database))
    cookie = anna.client.get_cookie(COOKIE, path="/console")
    assert cookie is not None
    after = Browser(console(database, api_tokens=tokens))
    after.client.set_cookie(COOKIE, cookie.value, path="/console")
    assert after.get("/audit").status_code == 302


@pytest.mark.parametrize("cookie", ["", "x", "WyJhbm5hIl0.x", "."], ids=["empty", "text", "another's key", "dot"])
def test_a_made_up_cookie_opens_nothing(gateway: Gateway, cookie: str) -> None:
    browser = Browser(gateway)
    browser.client.set_cookie(COOKIE, cookie, path="/console")
    assert browser.get("/audit").status_code == 302


def test_signing_out_forgets_the_browser(gateway: Gateway) -> None:
    for name in PEOPLE:
        browser = signed_in(gateway, name)
        assert browser.post("/sign-out").status_code == 303
        assert browser.get("/audit").status_code == 302


def test_the_cookie_is_for_this_site_alone_and_secure_where_the_page_is(gateway: Gateway) -> None:
    plain = Browser(gateway).sign_in("anna").headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(plain.split("; "))
    assert "Secure" not in plain.split("; ")
    behind_proxy = Browser(gateway)
    behind_proxy.client.environ_base["HTTP_X_FORWARDED_PROTO"] = "https"
    assert "Secure" in behind_proxy.sign_in("anna").headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize(
    ("asked", "sent_to"),
    [
        ("/console/audit", "/console/audit"),
        ("/console/cancellations?status=needs_review", "/console/cancellations?status=needs_review"),
        *((hostile, "/console/") for hostile in (
            "https://example.com/console/", "//example.com/console/", "/v1/cancellations", "/console/\\example.com",
            "javascript:alert(1)", "/console/%0d\r\nSet-Cookie: x",
        )),
    ],
    ids=str,
)  # fmt: skip
def test_signing_in_leads_back_to_the_console_and_nowhere_else(gateway: Gateway, asked: str, sent_to: str) -> None:
    browser = Browser(gateway)
    browser.get("/sign-in", query_string={"next": asked})
    answer = browser.post("/sign-in", name="anna", token=OPERATOR, next=asked)
    assert (answer.status_code, answer.headers["Location"]) == (303, sent_to)


def test_every_answer_forbids_the_browser_what_no_page_needs(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    for path in ("/", "/sign-in", "/audit", "/nowhere", "/static/console.css"):
        headers = anna.get(path).headers
        assert headers["Content-Security-Policy"] == POLICY, path
        assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("DENY", "nosniff"), path
    assert anna.get("/audit").headers["Cache-Control"] == "no-store"
    assert "public" in anna.get("/static/htmx.min.js").headers["Cache-Control"]


def test_no_page_holds_a_script_or_a_style_of_its_own(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    for method, path in routes(gateway):
        if method == "GET":
            text = anna.get(path.removeprefix("/console")).text
            assert re.findall(r"<style|<script(?! src=\"/console/static/)|\sstyle=|\son\w+=", text) == [], path


def test_a_session_of_the_console_opens_nothing_else(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    assert anna.client.get("/v1/cancellations").status_code == 401


def test_a_form_that_is_too_large_is_refused(gateway: Gateway) -> None:
    anna = signed_in(gateway)
    assert anna.post("/pauses", note="x" * 100_000).status_code == 413
    with gateway.database.reading() as session:
        assert session.query(operations_models.Pause).count() == 0


def test_a_viewers_token_sees_everything_over_the_interface_and_changes_nothing(gateway: Gateway) -> None:
    row_id = gateway.accept()
    seen: Any = gateway.get(f"/{row_id}", token=VIEWER)
    assert (seen.status_code, seen.get_json()["id"]) == (200, row_id)
    assert [item["id"] for item in gateway.get("", token=VIEWER).get_json()["items"]] == [row_id]
    for path in ("/v1/webhooks", "/v1/batches"):
        assert gateway.client.get(path, headers={"Authorization": f"Bearer {VIEWER}"}).status_code == 200, path
    for path in (f"/{row_id}/abort", f"/{row_id}/retry", f"/{row_id}/resolve", f"/{row_id}/refund", ""):
        refused = gateway.post(path, {}, token=VIEWER, Idempotency_Key="k")
        assert (refused.status_code, refused.get_json()["type"]) == (403, "/problems/operators-only"), path
    assert gateway.row(row_id).status == "in_progress"
