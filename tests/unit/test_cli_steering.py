"""`cfar bulk`, `pause`, `resume`, `pauses` and `audit`, against the real app on a file."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import steering
from tests.gateway import OPERATOR
from tests.terminal import Terminal, on_a_file


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path) -> Iterator[Terminal]:
    with on_a_file(sqlite_template, tmp_path) as opened:
        yield opened


def said(terminal: Terminal, *arguments: str) -> list[str]:
    result = terminal.run(*arguments, token=OPERATOR)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return [line.rstrip() for line in result.stdout.splitlines()]


def statuses(terminal: Terminal, ids: list[str]) -> set[str]:
    return {terminal.gateway.row(row_id).status for row_id in ids}


def test_a_bulk_action_is_only_told_without_yes(terminal: Terminal) -> None:
    ids = [terminal.gateway.parked_at_refund(key=f"r-{number}") for number in range(2)]
    assert said(terminal, "bulk", "retry", "--problem", "refund-not-reported") == [
        "Would be taken up again: 2.",
        "  by status: needs_review 2",
        "  by step: refund 2",
        "  by problem: refund-not-reported 2",
        f"The first: {', '.join(ids)}",
        "Nothing was changed. To do it: --yes",
    ]
    assert statuses(terminal, ids) == {"needs_review"}


def test_yes_does_it_until_nothing_is_left(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "CHUNK", 2)
    monkeypatch.setattr(steering.carry_out, "__kwdefaults__", {"patience": 0.0})
    ids = [terminal.gateway.parked_at_refund(key=f"r-{number}") for number in range(5)]
    lines = said(terminal, "bulk", "retry", "--status", "needs_review", "--note", "repaired", "--yes")
    assert lines[-3:] == ["2 done, 3 left.", "2 done, 1 left.", "Taken up again: 1."]
    assert statuses(terminal, ids) == {"in_progress"}
    assert [line.split("  ")[2] for line in said(terminal, "audit")[1:]] == ["bulk_retry"] * 3


def test_an_abort_tells_whom_it_leaves_alone(terminal: Terminal) -> None:
    late, early = terminal.gateway.parked_at_confirm(key="l"), terminal.gateway.accept(key="e")
    lines = said(terminal, "bulk", "abort", "--caller", "shop", "--yes")
    past = "The cancellation is needs_review and past its point of no return: money or policies may have moved."
    assert lines[-2:] == ["Aborted: 1.", f"Left alone: 1. {past}"]
    assert [terminal.gateway.row(row_id).status for row_id in (late, early)] == ["needs_review", "aborted"]


def test_a_bulk_action_in_json_is_the_services_answer(terminal: Terminal) -> None:
    found = terminal.gateway.parked_at_refund()
    told = json.loads("\n".join(said(terminal, "bulk", "skip-wait", "--id", found, "--json")))
    assert (told["action"], told["touched"], told["refused"][0]["count"]) == ("skip_wait", 0, 1)


def test_a_bulk_action_needs_a_filter(terminal: Terminal) -> None:
    result = terminal.run("bulk", "retry", "--note", "all of them", "--yes", token=OPERATOR)
    assert (result.exit_code, "give at least one filter" in result.stderr) == (2, True)


def test_a_pause_is_shown_until_it_is_taken_back(terminal: Terminal) -> None:
    paused = said(terminal, "pause", "--step", "confirm", "--note", "looking into it")
    assert paused == said(terminal, "pauses")
    assert paused[0].split() == ["partner", "step", "since", "(UTC)", "by", "note"]
    assert paused[1].split()[:2] == ["all", "confirm"]
    assert paused[1].endswith("operator:anna  looking into it")
    assert said(terminal, "resume", "--step", "confirm") == ["Nothing is paused."]
    assert said(terminal, "audit")[1].split()[2:4] == ["operator:anna", "resume"]


def test_a_pause_must_say_of_what(terminal: Terminal) -> None:
    result = terminal.run("pause", token=OPERATOR)
    assert (result.exit_code, "name a partner, a step or both" in result.stderr) == (1, True)


def test_show_tells_why_one_waits(terminal: Terminal) -> None:
    found = terminal.gateway.parked_at_refund()
    shown = " ".join(said(terminal, "show", found))
    assert "It waits for a person at the step refund since" in shown


def test_a_list_is_searched(terminal: Terminal) -> None:
    found = terminal.gateway.parked_at_refund(key="r", booking_id="FIND-ME-INS")
    terminal.gateway.accept(key="other", booking_id="OTHER-INS")
    for options in (["--search", "find-me-ins"], ["--next", "refund"], ["--problem", "refund-not-reported"]):
        page = json.loads("\n".join(said(terminal, "list", *options, "--json")))
        assert [item["id"] for item in page["items"]] == [found]
