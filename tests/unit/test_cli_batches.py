"""`cfar batches` and `cfar callbacks`, against the real app on a file; and lists on a narrow screen."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from shared import callbacks
from tests.gateway import BOOKING, OTHER, Gateway, bearer
from tests.terminal import Terminal, on_a_file
from webhook_gateway import display, display_batches, display_callbacks

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
TOLD_AT = "https://hooks.example.com/cancellations"
NOBODYS = "01a1ffea-c0c9-71b5-9a27-6ae6a077b5dd"
NARROW = 80


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path) -> Iterator[Terminal]:
    with on_a_file(sqlite_template, tmp_path) as opened:
        yield Terminal(Gateway(opened.gateway.database, callback_secrets=f"shop:{SECRET}"))


def opened(terminal: Terminal, *, name: str = "show-4711.csv", lines: int = 2) -> str:
    """Open a batch and return its id."""
    key = name.replace(" ", "-")
    sent = [{"booking_id": BOOKING, "idempotency_key": f"{key}-{number}"} for number in range(lines)]
    answer = terminal.gateway.client.post(
        "/v1/batches",
        json={"name": name, "expected": 3, "cancellations": sent},
        headers=bearer("shop-token") | {"Idempotency-Key": key},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


def said(terminal: Terminal, *arguments: str) -> str:
    result = terminal.run(*arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return str(result.stdout)


def in_json(terminal: Terminal, *arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(said(terminal, *arguments, "--json"))
    return answer


def told(terminal: Terminal) -> str:
    """Accept one that was aborted, and whose caller was told of it in vain; return its id."""
    found = terminal.cancel("--callback-url", TOLD_AT)
    assert terminal.run("abort", found).exit_code == 0
    with terminal.gateway.database.transaction() as tx:
        (message,) = callbacks.of_cancellation(tx.session, UUID(found))
        message.given_up_at, message.next_attempt_at = message.created_at, None
        message.tries, message.last_status, message.last_error = 10, 503, "the endpoint answered 503"
    return found


def test_batches_are_listed_newest_first_page_by_page(terminal: Terminal) -> None:
    older, newer = opened(terminal, name="one.csv"), opened(terminal, name="two.csv")

    heading, first, more = said(terminal, "batches", "list", "--limit", "1").splitlines()
    rest = said(terminal, "batches", "list", *more.split()[1:])

    assert heading.split() == ["id", "status", "created", "(UTC)", "expected", "name"]
    assert [first.split()[0], first.split()[-1]] == [newer, "two.csv"]
    assert (older in rest, newer in rest) == (True, False)
    assert [item["id"] for item in in_json(terminal, "batches", "list")["items"]] == [newer, older]


def test_a_batch_is_shown_with_what_became_of_its_lines(terminal: Terminal) -> None:
    batch = opened(terminal)

    shown = said(terminal, "batches", "show", batch)

    assert shown.splitlines()[0].split() == ["show-4711.csv", "open", batch]
    assert [line.split() for line in shown.splitlines()[1:3]] == [
        ["lines", "2", "of", "3"],
        ["in_progress", "2", "(2", "not", "begun)"],
    ]
    assert f"cfar batches pause {batch}" in shown
    assert in_json(terminal, "batches", "show", batch)["waiting"] == 2


def test_a_batch_is_paused_resumed_and_called_off(terminal: Terminal) -> None:
    batch = opened(terminal)

    statuses = [in_json(terminal, "batches", act, batch)["status"] for act in ("pause", "pause", "resume", "cancel")]
    refused = terminal.run("batches", "resume", batch)

    assert statuses == ["paused", "paused", "open", "called_off"]
    assert in_json(terminal, "batches", "show", batch)["counts"]["aborted"] == 2
    assert (refused.exit_code, "called off" in refused.stderr) == (1, True)


def test_a_paused_batch_says_how_it_goes_on(terminal: Terminal) -> None:
    batch = opened(terminal)

    assert f"cfar batches resume {batch}" in said(terminal, "batches", "pause", batch)


@pytest.mark.parametrize("act", ["show", "pause", "resume", "cancel"])
def test_the_batch_of_another_caller_is_not_found(terminal: Terminal, act: str) -> None:
    result = terminal.run("batches", act, opened(terminal), token=OTHER)

    assert (result.exit_code, "There is no batch" in result.stderr) == (1, True)


def test_the_cancellations_of_a_batch_are_listed(terminal: Terminal) -> None:
    batch, alone = opened(terminal), terminal.cancel()

    items = in_json(terminal, "list", "--batch", batch)["items"]

    assert [item["batch_id"] for item in items] == [batch, batch]
    assert alone not in {item["id"] for item in items}
    assert ["batch", batch] in [line.split() for line in said(terminal, "show", items[0]["id"]).splitlines()]


def test_a_callback_url_reaches_the_request_and_is_shown(terminal: Terminal) -> None:
    found = terminal.cancel("--callback-url", TOLD_AT)

    assert terminal.gateway.row(found).callback_url == TOLD_AT
    assert in_json(terminal, "show", found)["callback_url"] == TOLD_AT
    assert ["told", "at", TOLD_AT] in [line.split() for line in said(terminal, "show", found).splitlines()]


def test_callbacks_are_listed_with_what_their_endpoint_answered(terminal: Terminal) -> None:
    to, heading, line = said(terminal, "callbacks", "list", told(terminal)).splitlines()

    assert to == f"to {TOLD_AT}"
    assert heading.split() == ["no", "id", "type", "status", "when", "(UTC)", "tries", "last", "answer"]
    assert line.split()[2:4] == ["cancellation.aborted", "given_up"]
    assert line.endswith("10     503 the endpoint answered 503")


def test_callbacks_are_replayed_all_or_one(terminal: Terminal) -> None:
    found = told(terminal)
    (message,) = in_json(terminal, "callbacks", "list", found)["items"]

    assert "Sent again from now on: 1." in said(terminal, "callbacks", "replay", found)
    again = in_json(terminal, "callbacks", "replay", found, "--callback", message["id"])
    unknown = terminal.run("callbacks", "replay", found, "--callback", NOBODYS)

    assert (again["replayed"], again["items"][0]["status"]) == (1, "due")
    assert (unknown.exit_code, "has no callback" in unknown.stderr) == (1, True)


def test_one_of_which_nobody_is_told_says_so(terminal: Terminal) -> None:
    assert "Nobody is told" in said(terminal, "callbacks", "list", terminal.cancel())


@pytest.mark.parametrize("of", ["cancellations", "batches", "callbacks"])
def test_a_narrow_screen_breaks_no_word_and_loses_nothing(terminal: Terminal, of: str) -> None:
    batch, found = opened(terminal, name="a list with a rather long name, as files have them.csv"), told(terminal)
    console = Console(width=NARROW, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as captured:
        if of == "cancellations":
            display.show_list(console, in_json(terminal, "list"))
        elif of == "batches":
            display_batches.show_list(console, in_json(terminal, "batches", "list"))
        else:
            display_callbacks.show_list(console, in_json(terminal, "callbacks", "list", found))
    lines = captured.get().splitlines()

    assert max(map(len, lines)) <= NARROW
    whole = " ".join(captured.get().split())
    wanted = {
        "cancellations": [found, BOOKING, "aborted", "look_up", "created (UTC) 20"],
        "batches": [batch, "open", "name a list with a rather long name, as files have them.csv"],
        "callbacks": ["cancellation.aborted", "given_up", "tries 10", "last answer 503 the endpoint answered 503"],
    }
    assert [part for part in wanted[of] if part not in whole] == []
