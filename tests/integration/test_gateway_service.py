"""What holds for the gateway as a whole: every door is guarded, every error is a problem, health, the documentation."""

import re
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from shared.db import Database
from shared.problems import Problem
from tests.gateway import BOOKING, OPERATOR, SHOP, URL, WEBHOOK_KEYS, Gateway, bearer, web_settings
from tests.integration.test_gateway_webhooks import EVENT, signed
from tests.recording import RecordingDatabase
from webhook_gateway import health
from webhook_gateway.app import create_app

NOBODY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def without_database() -> Iterator[FlaskClient]:
    """A gateway whose database is away; good for everything that needs none."""
    database = Database(NOBODY, publish=lambda _messages: None)
    yield create_app(web_settings(), database=database).test_client()
    database.close()


def routes(client: FlaskClient) -> list[tuple[str, str]]:
    return [
        (method, rule.rule)
        for rule in client.application.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer ", "Bearer wrong", f"Basic {SHOP}", SHOP, f"Bearer {SHOP}x", "Bearer é"]
)
def test_every_route_under_v1_asks_for_a_known_token(without_database: FlaskClient, given: str | None) -> None:
    guarded = [(method, rule) for method, rule in routes(without_database) if rule.startswith("/v1")]

    for method, rule in [*guarded, ("GET", "/v1/nothing-here")]:
        path = re.sub(r"<[^>]+>", str(uuid4()), rule)
        answer = without_database.open(path, method=method, headers={"Authorization": given} if given else {})
        assert (answer.status_code, answer.get_json()["type"]) == (401, "/problems/unauthorized"), rule
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert len(guarded) == 32


def test_the_scheme_is_read_in_any_case(without_database: FlaskClient) -> None:
    assert without_database.get(URL, headers={"Authorization": f"bearer  {SHOP}"}).status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/v1//cancellations", 404, "not-found"),
        ("GET", URL + "/", 404, "not-found"),
        ("DELETE", URL, 405, "method-not-allowed"),
        ("GET", "/webhooks/xclaim", 405, "method-not-allowed"),
    ],
)
def test_every_refusal_is_a_problem_document(
    without_database: FlaskClient, method: str, path: str, status: int, slug: str
) -> None:
    answer = without_database.open(path, method=method, headers=bearer(SHOP))

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.get_json()["type"] == f"/problems/{slug}"
    assert answer.get_json()["instance"] == path
    assert status != 405 or answer.headers["Allow"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_database_that_is_away_is_503_with_a_time_to_come_back(without_database: FlaskClient, method: str) -> None:
    headers = bearer(OPERATOR) | {"Idempotency-Key": "key-1"}

    answer = without_database.open(URL, method=method, json={"booking_id": BOOKING}, headers=headers)

    assert (answer.status_code, answer.get_json()["type"]) == (503, "/problems/unavailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 5


def test_a_webhook_that_cannot_be_stored_is_503(without_database: FlaskClient) -> None:
    answer = without_database.post("/webhooks/xclaim", **signed(EVENT, WEBHOOK_KEYS[0]))

    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_an_unexpected_failure_shows_nothing_of_the_inside(without_database: FlaskClient) -> None:
    @without_database.application.get("/breaks")
    def breaks() -> str:
        raise RuntimeError("secret")

    answer = without_database.get("/breaks")

    assert (answer.status_code, answer.get_json()["type"]) == (500, "/problems/internal-error")
    assert "secret" not in answer.text


def test_an_error_that_has_no_name_of_ours_is_a_problem_too(without_database: FlaskClient) -> None:
    cut_off = {"CONTENT_LENGTH": "100"}
    headers = bearer(SHOP) | {"Idempotency-Key": "key-1", "Content-Type": "application/json"}

    answer = without_database.post(URL, data=b"{}", headers=headers, environ_overrides=cut_off)

    assert (answer.status_code, answer.get_json()["type"], answer.get_json()["title"]) == (
        400,
        "about:blank",
        "Bad Request",
    )


def test_evidence_that_is_not_text_does_not_break_a_problem(without_database: FlaskClient) -> None:
    @without_database.application.get("/refuses")
    def refuses() -> str:
        raise Problem("invalid-request", "lone \ud800 surrogate")

    assert without_database.get("/refuses").status_code == 422


def test_live_needs_no_database_and_ready_says_that_it_is_away(without_database: FlaskClient) -> None:
    assert without_database.get("/livez").get_json() == {"status": "ok"}
    answer = without_database.get("/readyz")
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")


def test_ready_once_the_schema_is_the_newest(database: RecordingDatabase) -> None:
    client = Gateway(database).client

    assert [client.get("/readyz").status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(("revision", "status"), [("", 503), ("released-after-us", 200)])
def test_not_ready_on_an_older_schema_but_on_a_newer_one(sqlite_database: Database, revision: str, status: int) -> None:
    with sqlite_database.transaction() as tx:
        tx.session.execute(text("DELETE FROM alembic_version"))
        if revision:
            tx.session.execute(text("INSERT INTO alembic_version VALUES (:it)"), {"it": revision})

    assert Gateway(sqlite_database).client.get("/readyz").status_code == status


def test_not_ready_on_an_empty_database(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db", publish=lambda _messages: None)

    answer = Gateway(database).client.get("/readyz")
    database.close()

    assert (answer.status_code, "run the migrations" in answer.get_json()["detail"]) == (503, True)


def test_a_database_that_never_answers_does_not_hold_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        client = Gateway(Database(url, publish=lambda _messages: None)).client
        answers = [client.get("/readyz") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert "did not answer" in answers[0].get_json()["detail"]


def test_the_document_describes_exactly_the_routes_there_are(without_database: FlaskClient) -> None:
    document = without_database.get("/openapi.json").get_json()

    described = {(method.upper(), plain(path)) for path, item in document["paths"].items() for method in item}
    for_machines = [(method, rule) for method, rule in routes(without_database) if not rule.startswith("/console")]
    assert described == {(method, plain(rule)) for method, rule in for_machines}


def test_every_reference_in_the_document_leads_somewhere(without_database: FlaskClient) -> None:
    answer = without_database.get("/openapi.json")
    components = answer.get_json()["components"]

    referenced = set(re.findall(r'"\$ref": ?"([^"]+)"', answer.text))

    assert referenced
    assert referenced <= {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}


def test_the_documented_members_are_the_shown_ones(database: RecordingDatabase) -> None:
    gateway = Gateway(database)
    schemas = gateway.client.get("/openapi.json").get_json()["components"]["schemas"]

    shown = gateway.get(f"/{gateway.accept()}").get_json()

    assert list(shown) == list(schemas["CancellationResource"]["properties"])


def test_the_page_names_every_route_and_problem_and_loads_nothing(without_database: FlaskClient) -> None:
    page = without_database.get("/docs")
    document = without_database.get("/openapi.json").get_json()

    assert page.content_type == "text/html; charset=utf-8"
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert "<code>idempotency-key-reused</code>" in page.text
    assert "curl" in page.text
    assert re.findall(r"<(?:script|link|img|iframe)|url\(|@import|src=", page.text) == []
    anchors, links = set(re.findall(r'id="([^"]+)"', page.text)), set(re.findall(r'href="#([^"]+)"', page.text))
    assert links <= anchors


@pytest.fixture
def sqlite_database(sqlite_template: Any, tmp_path: Any) -> Iterator[Database]:
    import shutil

    shutil.copy(sqlite_template, tmp_path / "cfar.db")
    database = Database(f"sqlite:///{tmp_path}/cfar.db", publish=lambda _messages: None)
    yield database
    database.close()


def plain(path: str) -> str:
    """Return a path without the names of its parts."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "*", path)
