"""`cfar webhooks`, against the real app on a file."""

import json
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest

from tests.gateway import OPERATOR
from tests.integration.test_webhook_operations import FIRST, SECOND, Operations
from tests.terminal import Terminal, on_a_file

NOBODYS = "01a1ffea-c0c9-71b5-9a27-6ae6a077b5dd"


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path) -> Iterator[Terminal]:
    with on_a_file(sqlite_template, tmp_path) as opened:
        yield opened


@pytest.fixture
def operations(terminal: Terminal) -> Operations:
    return Operations(terminal.gateway.database)  # type: ignore[arg-type]


def run(terminal: Terminal, *arguments: str) -> click.testing.Result:
    return terminal.run("webhooks", *arguments, token=OPERATOR)


def said(terminal: Terminal, *arguments: str) -> str:
    result = run(terminal, *arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return str(result.stdout)


def test_list_shows_a_line_for_each_webhook(terminal: Terminal, operations: Operations) -> None:
    claim = operations.claim()
    handled = operations.arrive("claim.paid", outcome="applied", claim=claim)
    waiting = operations.arrive("claim.new")

    heading, first, second = said(terminal, "list").splitlines()

    assert heading.split() == ["id", "received", "(UTC)", "source", "event", "claim", "outcome", "replays"]
    assert first.split()[::3] == [waiting, "xclaim"]
    assert (first.split()[4:], second.split()[4:]) == (["claim.new", "waiting"], ["claim.paid", "CLM-1", "applied"])
    assert second.startswith(handled)


def test_list_says_where_the_next_page_begins(terminal: Terminal, operations: Operations) -> None:
    older, newer = operations.arrive("claim.one"), operations.arrive("claim.two")

    *_, line, more = said(terminal, "list", "--limit", "1").splitlines()
    rest = said(terminal, "list", *more.split()[1:])

    assert (line.startswith(newer), older in rest, newer in rest, "more:" in rest) == (True, True, False, False)


@pytest.mark.parametrize(
    ("option", "value", "is_found"),
    [
        ("--source", "xclaim", True),
        ("--source", "xcover", False),
        ("--outcome", "kept", True),
        ("--outcome", "waiting", False),
        ("--booking", "8WD8Y-LTEKE-INS", True),
        ("--booking", "OTHER", False),
        ("--claim", "CLM-1", True),
        ("--claim", "CLM-2", False),
        ("--cancellation", "", True),
        ("--cancellation", NOBODYS, False),
        ("--key-id", FIRST, True),
        ("--key-id", SECOND, False),
        ("--since", "2020-01-01T00:00:00Z", True),
        ("--since", "2999-01-01T00:00:00Z", False),
        ("--until", "2999-01-01T00:00:00Z", True),
        ("--until", "2020-01-01T00:00:00Z", False),
    ],
)
def test_every_filter_reaches_the_service(
    terminal: Terminal, operations: Operations, option: str, value: str, is_found: bool
) -> None:
    claim = operations.claim()
    stored = operations.arrive("claim.paid", outcome="kept", claim=claim)
    chosen = (option, value or str(claim.cancellation_id))

    assert (stored in said(terminal, "list", *chosen)) == is_found
    assert ("1 of 1" in said(terminal, "replay", *chosen)) == is_found


def test_an_empty_list_says_so(terminal: Terminal) -> None:
    assert said(terminal, "list") == "Nothing found.\n"


def test_show_tells_what_became_of_one_and_prints_its_body(terminal: Terminal, operations: Operations) -> None:
    claim = operations.claim()
    stored = operations.arrive("claim.paid", outcome="applied", claim=claim, email="ada@example.com", note="\x1b[2Jhi")

    told = said(terminal, "show", stored)

    assert told.splitlines()[0] == f"claim.paid  applied  {stored}"
    for word in ("CLM-1", "was applied", str(claim.cancellation_id), '"event": "claim.paid"', "[redacted]"):
        assert word in told
    assert not any(word in told for word in ("ada@example.com", "\x1b[2J"))


def test_replaying_one_does_it_and_a_dry_run_only_tells(terminal: Terminal, operations: Operations) -> None:
    stored = operations.arrive("claim.paid", outcome="kept")

    told = said(terminal, "replay", stored, "--dry-run")
    assert ("Would be handled again: 1 of 1." in told, operations.row(stored).replays) == (True, 0)

    told = said(terminal, "replay", stored)
    assert ("Handled again from now on: 1 of 1." in told, operations.row(stored).replays) == (True, 1)
    assert "once by anna" in said(terminal, "show", stored)

    told = said(terminal, "replay", stored)
    assert "Left alone, as they are handled anyway: 1 waiting, 0 in a worker's hands." in told


def test_filters_only_tell_what_would_change_unless_it_is_to_be_done(
    terminal: Terminal, operations: Operations
) -> None:
    claim = operations.claim()
    paid = {"id": "c-1", "status": {"category": "Settled"}}
    stored = operations.arrive("claim.paid", outcome="kept", **paid)

    told = said(terminal, "replay", "--outcome", "kept")
    assert operations.row(stored).replays == 0
    for line in (
        "Would be handled again: 1 of 1.", "  xclaim kept: 1", "Claims they are about: 1; cancellations: 1.",
        "Those whose claim was not found then, and would be: 1.", "Claims that would newly reach claim_paid: 1.",
        "Nothing was changed. To do it: --yes",
    ):  # fmt: skip
        assert line in told.splitlines()
    assert "XClaim was not asked" in told

    told = said(terminal, "replay", "--outcome", "kept", "--yes")
    assert (operations.row(stored).replays, claim.reference) == (1, "CLM-1")
    assert told.index("Would be handled again: 1") < told.index("Handled again from now on: 1")


def test_keys_tells_what_may_be_removed(terminal: Terminal) -> None:
    told = said(terminal, "keys")

    assert "in use for new claims; nothing signed with it yet" in " ".join(told.split())
    assert [line.split()[:3] for line in told.splitlines()[1:] if line.startswith("xclaim")] == [
        ["xclaim", "1", FIRST], ["xclaim", "2", SECOND],
    ]  # fmt: skip


def test_json_is_the_services_answer_and_nothing_else(terminal: Terminal, operations: Operations) -> None:
    stored = operations.arrive("claim.paid", outcome="kept")

    assert json.loads(said(terminal, "list", "--json"))["items"][0]["id"] == stored
    assert json.loads(said(terminal, "show", stored, "--json"))["id"] == stored
    assert json.loads(said(terminal, "keys", "--json"))["items"][0]["key_id"] == FIRST
    assert json.loads(said(terminal, "replay", "--source", "xclaim", "--json"))["dry_run"] is True
    assert json.loads(said(terminal, "replay", "--source", "xclaim", "--yes", "--json"))["replayed"] == 1
    assert json.loads(said(terminal, "replay", stored, "--json"))["waiting"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--outcome", "done"),
        ("list", "--limit", "201"),
        ("show", "not-an-id"),
        ("show",),
        ("replay",),
        ("replay", "--yes"),
        ("replay", NOBODYS, "--source", "xclaim"),
        ("replay", "--source", "xclaim", "--dry-run", "--yes"),
        ("replay", "--source", "xclaim", "--limit", "10001"),
    ],
)
def test_wrong_usage_exits_2(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    assert run(terminal, *arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [("show", NOBODYS), ("replay", NOBODYS), ("list", "--since", "yesterday")])
def test_what_the_service_refuses_exits_1_and_says_why(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    result = run(terminal, *arguments)

    assert (result.exit_code, "Refused" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", ["list", "keys"])
def test_only_operators_see_webhooks(terminal: Terminal, command: str) -> None:
    result = terminal.run("webhooks", command)

    assert (result.exit_code, "not an operator" in result.stderr) == (1, True)
