"""What operators decide from a terminal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.gateway import OPERATOR
from tests.terminal import Terminal, on_a_file

FIELDS = [{"name": "claim_details", "fields": [{"name": "incident_date", "value": "2026-01-31"}]}]


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path) -> Iterator[Terminal]:
    with on_a_file(sqlite_template, tmp_path) as opened:
        yield opened


def resolve(terminal: Terminal, *arguments: str, typed: str | None = None) -> dict[str, Any]:
    result = terminal.run("resolve", *arguments, "--json", token=OPERATOR, typed=typed)
    assert result.exit_code == 0, result.output
    item: dict[str, Any] = json.loads(result.stdout)
    return item


def last_line(terminal: Terminal, found: str) -> dict[str, Any]:
    line: dict[str, Any] = terminal.gateway.get(f"/{found}/events").get_json()["items"][-1]
    return line


def test_done_sends_its_evidence(terminal: Terminal) -> None:
    found = terminal.gateway.parked_at_refund()

    item = resolve(
        terminal, found, "done", "--note", "seen", "--evidence", "amount=22.40", "--evidence", "currency=eur",
        "--evidence", "reference=re_9", "--evidence", "seen_by=Bo=me",
    )  # fmt: skip

    assert (item["status"], item["refund"]["reference"]) == ("in_progress", "re_9")
    stated = {"amount": "22.40", "currency": "EUR", "reference": "re_9", "seen_by": "Bo=me"}
    assert last_line(terminal, found)["details"]["evidence"] == stated


@pytest.mark.parametrize("spelling", ["not_done", "not-done"])
def test_not_done_may_be_spelt_either_way(terminal: Terminal, spelling: str) -> None:
    found = terminal.gateway.parked_at_confirm()

    assert resolve(terminal, found, spelling, "--note", "never arrived")["status"] == "in_progress"
    assert last_line(terminal, found)["details"]["resolution"] == "not_done"


def test_amend_reads_the_claim_fields_from_a_file(terminal: Terminal, tmp_path: Path) -> None:
    found = terminal.gateway.parked_at_claim()
    (tmp_path / "fields.json").write_text(json.dumps(FIELDS))

    resolve(
        terminal, found, "amend", "--note", "n", "--claim-fields", str(tmp_path / "fields.json"), "--language", "de",
        "--claim-type", "cfar-2",
    )  # fmt: skip

    claim = terminal.gateway.row(found).request["claim"]
    assert (claim["section_fields"], claim["language"], claim["claim_type_id"]) == (FIELDS, "de", "cfar-2")


@pytest.mark.parametrize("fields", [FIELDS, []])
def test_amend_reads_the_claim_fields_from_its_input(terminal: Terminal, fields: list[Any]) -> None:
    found = terminal.gateway.parked_at_claim(claim={"section_fields": [1]})

    resolve(terminal, found, "amend", "--note", "n", "--claim-fields", "-", typed=json.dumps(fields))

    assert terminal.gateway.row(found).request["claim"]["section_fields"] == fields


def test_close_shows_the_closed_cancellation(terminal: Terminal) -> None:
    found = terminal.gateway.parked_at_confirm()

    result = terminal.run("resolve", found, "close", "--note", "settled", "--free-policies", token=OPERATOR)

    assert (result.exit_code, "closed" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("close",),
        ("perhaps", "--note", "n"),
        ("close", "--note", "n", "--evidence", "novalue"),
        ("close", "--note", "n", "--evidence", "a=1", "--evidence", "a=2"),
        ("amend", "--note", "n", "--claim-fields", "/nowhere.json"),
        ("amend", "--note", "n", "--claim-fields", "-"),
    ],
)
def test_wrong_usage_exits_2(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    assert terminal.run("resolve", str(uuid4()), *arguments, token=OPERATOR, typed="no json").exit_code == 2


def test_claim_fields_are_a_list(terminal: Terminal) -> None:
    result = terminal.run(
        "resolve", str(uuid4()), "amend", "--note", "n", "--claim-fields", "-", token=OPERATOR, typed="{}"
    )

    assert (result.exit_code, "list" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments", [("done",), ("amend",), ("done", "--evidence", "amount=1"), ("done", "--free-policies")]
)
def test_what_the_service_refuses_exits_1_and_says_why(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    found = terminal.gateway.parked_at_confirm()

    result = terminal.run("resolve", found, *arguments, "--note", "n", token=OPERATOR)

    assert (result.exit_code, "Refused" in result.stderr) == (1, True)
    assert terminal.gateway.row(found).status == "needs_review"


def test_only_operators_resolve(terminal: Terminal) -> None:
    result = terminal.run("resolve", terminal.gateway.parked_at_confirm(), "close", "--note", "n")

    assert (result.exit_code, "not an operator" in result.stderr) == (1, True)


def test_a_retry_may_say_why(terminal: Terminal) -> None:
    found = terminal.gateway.parked_at_confirm()

    assert terminal.run("retry", found, "--note", "ticket 4711", token=OPERATOR).exit_code == 0

    assert last_line(terminal, found)["reason"].endswith(": ticket 4711")
    assert "ticket 4711 (operator:anna)" in terminal.run("events", found).stdout
