"""The command line, against the real app on a file."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import click.testing
import httpx
import pytest
from sqlalchemy import update

from shared.db import now_plus
from shared.lifecycle import Journey
from shared.models import Cancellation
from tests.gateway import BOOKING, OPERATOR, SHOP, Gateway
from tests.terminal import Terminal, on_a_file
from webhook_gateway import api_client, cli
from webhook_gateway.api_client import Api

NEW_KEY = "Idempotency-Key: cfar-"


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path) -> Iterator[Terminal]:
    with on_a_file(sqlite_template, tmp_path) as opened:
        yield opened


def test_cancel_prints_its_new_key_before_anything_else(terminal: Terminal) -> None:
    result = terminal.run("cancel", BOOKING)

    assert result.exit_code == 0
    assert result.stderr.startswith(NEW_KEY)
    assert BOOKING in result.stdout
    assert "in_progress" in result.stdout


def test_every_option_of_cancel_reaches_the_request(terminal: Terminal) -> None:
    found = terminal.cancel(
        "--journey", "cancel_and_claim", "--quote", "q-1", "--quote", "q-2", "--reason", "Ill", "--refund-mode", "skip",
        "--no-refund-required",
        "--claim-quote", "q-3", "--claim-type", "cfar-2", "--when", "after_confirm", "--key", 'a-"key"',
        "--metadata", "order=A=1", "--metadata", "note=",
    )  # fmt: skip

    row = terminal.gateway.row(found)
    assert row.idempotency_key == 'a-"key"'
    assert row.quotes == [{"id": quote, "reason_for_cancellation": "Ill"} for quote in ("q-1", "q-2")]
    assert (row.refund_mode, row.metadata_) == ("skip", {"order": "A=1", "note": ""})
    assert row.request["refund_required"] is False
    assert {name: row.request["claim"][name] for name in ("quote_id", "claim_type_id", "when")} == {
        "quote_id": "q-3",
        "claim_type_id": "cfar-2",
        "when": "after_confirm",
    }


def test_claim_alone_asks_for_a_claim_with_the_services_defaults(terminal: Terminal) -> None:
    assert terminal.gateway.row(terminal.cancel("--claim")).journey == "cancel_and_claim"


@pytest.mark.parametrize(("option", "sent"), [((), None), (("--refund-required",), True)])
def test_whether_a_refund_is_required_is_passed_on_only_when_said(
    terminal: Terminal, option: tuple[str, ...], sent: bool | None
) -> None:
    assert terminal.gateway.row(terminal.cancel(*option)).request["refund_required"] is sent


@pytest.mark.parametrize("journey", list(Journey))
def test_every_journey_can_be_asked_for(terminal: Terminal, journey: Journey) -> None:
    mode = ("--refund-mode", "skip") if journey is Journey.CLAIM_THEN_CANCEL else ()

    assert terminal.gateway.row(terminal.cancel("--journey", journey.value, *mode)).journey == journey


def test_the_partner_whose_booking_it_is_may_be_named(terminal: Terminal) -> None:
    assert terminal.gateway.row(terminal.cancel("--partner", "ABCDE")).partner == "ABCDE"

    refused = terminal.run("cancel", BOOKING, "--partner", "NOBODY")

    assert (refused.exit_code, "  partner: " in refused.stderr) == (1, True)


def test_a_list_is_narrowed_by_what_is_asked_for() -> None:
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"items": [], "next_cursor": None})

    api = Api("http://cfar", SHOP, transport=httpx.MockTransport(answer))
    batch = str(uuid4())

    options = ["--partner", "ABCDE", "--batch", batch, "--limit", "7"]
    result = click.testing.CliRunner().invoke(cli.main, ["list", *options], obj=api)

    assert (result.exit_code, asked) == (0, [{"partner": "ABCDE", "batch_id": batch, "limit": "7"}])


def test_a_refund_can_be_asked_of_the_callers_endpoint(terminal: Terminal) -> None:
    asking = Terminal(Gateway(terminal.gateway.database, refund_url="https://shop.example/refund"))

    assert asking.gateway.row(asking.cancel("--refund-mode", "call")).refund_mode == "call"
    assert "refund-call-disabled" in terminal.run("cancel", BOOKING, "--refund-mode", "call", "--json").stdout


def test_the_same_key_shows_the_same_cancellation(terminal: Terminal) -> None:
    assert terminal.cancel("--key", "k") == terminal.cancel("--key", "k")


@pytest.mark.parametrize(
    "arguments",
    [
        ("cancel",),
        ("cancel", BOOKING, "--metadata", "novalue"),
        ("cancel", BOOKING, "--metadata", "a=1", "--metadata", "a=2"),
        ("cancel", BOOKING, "--refund-mode", "never"),
        ("cancel", BOOKING, "--reason", "without a policy"),
        ("cancel", BOOKING, "--key", "a b"),
        ("cancel", BOOKING, "--key", "a\n"),
        ("cancel", BOOKING, "--journey", "fly"),
        ("show", "not-an-id"),
        ("refund", str(uuid4())),
        ("list", "--limit", "0"),
        ("unknown",),
    ],
)
def test_wrong_usage_exits_2(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    assert terminal.run(*arguments).exit_code == 2


def test_a_refusal_exits_1_and_says_why(terminal: Terminal) -> None:
    result = terminal.run("cancel", "not a booking", "--json")

    assert result.exit_code == 1
    assert "booking_id" in result.stderr
    assert json.loads(result.stdout)["type"] == "/problems/invalid-request"


def test_a_service_that_is_away_exits_1_and_tells_how_to_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFAR_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CFAR_TOKEN", SHOP)

    result = click.testing.CliRunner().invoke(cli.main, ["cancel", BOOKING, "--key", "k-1"])

    assert result.exit_code == 1
    assert "does not answer" in result.stderr
    assert "--key k-1" in result.stderr


def test_an_answer_that_is_not_json_exits_1() -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text="<html>"))

    result = click.testing.CliRunner().invoke(cli.main, ["list"], obj=Api("http://cfar", SHOP, transport=transport))

    assert (result.exit_code, "CFAR_URL" in result.stderr) == (1, True)


@pytest.mark.parametrize(("url", "token"), [("", ""), ("ftp://host", "t"), ("http://host", "a\nb")])
def test_an_environment_that_cannot_be_used_exits_2(monkeypatch: pytest.MonkeyPatch, url: str, token: str) -> None:
    monkeypatch.setenv("CFAR_URL", url)
    monkeypatch.setenv("CFAR_TOKEN", token)

    assert click.testing.CliRunner().invoke(cli.main, ["list"]).exit_code == 2


def test_the_address_defaults_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CFAR_URL", raising=False)
    monkeypatch.setenv("CFAR_TOKEN", SHOP)

    with Api.from_environment() as api:
        assert api.url == api_client.DEFAULT_URL


def test_show_tells_the_story_and_how_to_report_the_refund(terminal: Terminal) -> None:
    found = terminal.gateway.accept_previewed(metadata={"order": "A-1001"})

    result = terminal.run("show", found)

    assert result.exit_code == 0
    for said in (
        BOOKING,
        "awaiting_refund",
        "✓ look_up  ✓ preview  → refund  confirm",
        "22.40 EUR",
        "accepted",
        "order=A-1001",
    ):
        assert said in result.stdout, result.stdout
    assert f"cfar refund {found} --amount 22.40 --currency EUR" in result.stdout.replace("\n", " ")


def test_a_refund_is_reported_and_repeated(terminal: Terminal) -> None:
    found = terminal.gateway.accept_previewed()
    report = ("refund", found, "--amount", "22.40", "--currency", "eur", "--reference", "re_1", "--json")

    answers = [json.loads(terminal.run(*report).stdout) for _ in range(2)]

    assert [answer["next_step"] for answer in answers] == ["confirm", "confirm"]


def test_abort_retry_and_events(terminal: Terminal) -> None:
    found = terminal.cancel()

    assert terminal.run("retry", found).exit_code == 1
    assert terminal.run("retry", found, token=OPERATOR).exit_code == 0
    assert "aborted" in terminal.run("abort", found).stdout
    events = terminal.run("events", found)
    assert [word in events.stdout for word in ("accepted", "retried", "operator:anna", "aborted")] == [True] * 4
    assert len(json.loads(terminal.run("events", found, "--json").stdout)["items"]) == 3


def test_list_shows_whole_ids_and_where_the_next_page_begins(terminal: Terminal) -> None:
    ids = [terminal.cancel("--key", f"k-{number}") for number in range(3)]

    first = terminal.run("list", "--limit", "2")
    page = json.loads(terminal.run("list", "--limit", "2", "--json").stdout)
    rest = terminal.run("list", "--cursor", page["next_cursor"], "--booking", BOOKING, "--status", "in_progress")

    assert [found in first.stdout for found in ids] == [False, True, True]
    assert f"--cursor {page['next_cursor']}" in first.stdout
    assert ids[0] in rest.stdout
    assert "Nothing found" in terminal.run("list", "--key", "other").stdout


def test_markup_in_what_callers_sent_is_printed_as_it_is(terminal: Terminal) -> None:
    found = terminal.cancel("--metadata", "note=[bold]x[/nothing]")

    assert "note=[bold]x[/nothing]" in terminal.run("show", found).stdout


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        ("aborted", 1), ("rejected", 1), ("needs_review", 1), ("closed", 1), ("completed", 0), ("awaiting_refund", 0),
        ("awaiting_premium_refund", 0),
    ],
)  # fmt: skip
def test_waiting_stops_when_nothing_more_happens_by_itself_and_says_whether_all_is_well(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, status: str, exit_code: int
) -> None:
    naps: list[float] = []

    def becomes(seconds: float) -> None:
        naps.append(seconds)
        is_due = status.startswith("awaiting")
        with terminal.gateway.database.transaction() as tx:
            changed = {"status": status, "next_attempt_at": now_plus(60) if is_due else None}
            tx.session.execute(update(Cancellation).values(**changed))

    monkeypatch.setattr(time, "sleep", becomes)

    result = terminal.run("cancel", BOOKING, "--wait")

    assert (result.exit_code, status in result.stdout, len(naps)) == (exit_code, True, 1)
