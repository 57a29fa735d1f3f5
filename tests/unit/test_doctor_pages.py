"""docs/runbook.md and docs/doctor.md against what the doctor says and the command line understands."""

import re
import shlex
from pathlib import Path

import pytest

from shared.doctor.advice import ADVICE
from tests.unit.test_cli_tree import COMMANDS, _understood

DOCS = Path(__file__).parents[2] / "docs"
RUNBOOK, DOCTOR = ((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("runbook", "doctor"))
ALERTS = (DOCS / "alerts.yml").read_text(encoding="utf-8")
INCIDENTS = (
    "expired-credentials", "redis-evicting", "insurer-down", "poison-row", "clock-skew", "database-disk-full",
    "wrong-webhook-key", "beat-stuck", "partner-over-limit", "insurer-answer-changed",
)  # fmt: skip
PARTS = ("**How it shows.**", "**Safe meanwhile.**", "**What to do.**", "**Cured when**")
CHECKS = (Path(__file__).parents[2] / "shared" / "doctor" / "examination.py").read_text(encoding="utf-8")


def headings(page: str) -> list[str]:
    return re.findall(r"^##+ (.+)$", page, re.MULTILINE)


def names_of_checks() -> set[str]:
    return {*re.findall(r'^        \("([a-z-]+)", ', CHECKS, re.MULTILINE), "webhook-keys"}


@pytest.mark.parametrize("incident", INCIDENTS)
def test_the_runbook_tells_of_each_incident_how_it_shows_and_how_it_is_cured(incident: str) -> None:
    section = RUNBOOK.split(f"\n## {incident}\n")[1].split("\n## ")[0]
    assert [part for part in PARTS if part not in section] == []


def test_every_advice_leads_to_a_section() -> None:
    assert {advice.anchor for advice in ADVICE.values()} - set(headings(RUNBOOK)) == set()


def test_every_advice_says_why_and_what_to_do() -> None:
    assert [name for name, advice in ADVICE.items() if not (advice.why.endswith(".") and advice.todo)] == []


def test_the_runbook_names_only_alerts_that_there_are() -> None:
    assert set(re.findall(r"\bCfar[A-Z][A-Za-z]+", RUNBOOK)) - set(re.findall(r"alert: (\w+)", ALERTS)) == set()


def test_every_alert_leads_to_a_section() -> None:
    led_to = re.findall(r"docs/runbook\.md#([a-z-]+)", ALERTS)
    assert led_to
    assert set(led_to) - set(headings(RUNBOOK)) == set()


def test_every_check_is_described() -> None:
    listed = DOCTOR.split("## Celery on Redis")[0]
    assert len(names_of_checks()) > 35
    assert names_of_checks() - set(re.findall(r"`([a-z-]+)`", listed)) == set()


def test_every_known_way_to_lose_a_message_is_seen_by_a_check_or_says_why_not() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", DOCTOR, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 35))
    for number, seen_by in rows:
        named = set(re.findall(r"`([a-z-]+)`", seen_by))
        assert named or seen_by.startswith("not "), number
        assert named <= names_of_checks(), number


@pytest.mark.parametrize("page", [RUNBOOK, DOCTOR], ids=["runbook", "doctor"])
def test_every_command_shown_is_one_that_is_understood(page: str) -> None:
    lines = re.findall(r"^\$ cfar (.+)$", page, re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(line, comments=True)
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        _understood(COMMANDS[name], name, words[len(name.split()) :])
