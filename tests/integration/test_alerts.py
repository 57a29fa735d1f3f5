"""Each alert rule fires on what it is for and on nothing else; the dashboard and docs/metrics.md name what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared import forgettable
from shared.invariants import INVARIANTS
from shared.problems import slugs
from tests.gateway import Gateway
from tests.promql import Scrape, evaluate, scrape, series
from tests.recording import RecordingDatabase
from workers.app import app

DOCS = Path(__file__).parents[2] / "docs"
(GROUP,) = yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
RULES: dict[str, Any] = {rule["alert"]: rule for rule in GROUP["rules"]}
CHECKED = 1_800_000_000.0
"""When the invariants were last checked, in a quiet service."""
XCOVER = {"partner": "ABCDE", "service": "xcover"}
GONE = None
"""In place of a value: the series is not there."""

Changes = list[tuple[str, dict[str, str], float | None]]
FIRES: dict[str, list[Changes]] = {
    "CfarDatabaseAway": [[("cfar_database_up", {}, 0)], [("cfar_database_up", {}, GONE)]],
    "CfarWorkersGone": [
        [("cfar_process_seen_seconds", {"kind": "worker"}, 121)],
        [("cfar_process_seen_seconds", {"kind": "worker"}, float("inf"))],
    ],
    "CfarBeatGone": [[("cfar_process_seen_seconds", {"kind": "beat"}, 121)]],
    "CfarInvariantBroken": [[("cfar_invariant_broken", {"invariant": "one_cancel"}, 1)]],
    "CfarCancellationsStuck": [[("cfar_invariant_broken", {"invariant": "moving"}, 1)]],
    "CfarWorkLate": [[("cfar_oldest_overdue_seconds", {}, 901)]],
    "CfarUnknownOutcomeOpen": [[("cfar_oldest_unknown_outcome_seconds", {}, 3601)]],
    "CfarInsurerAway": [[("cfar_breaker_open_seconds", XCOVER, 301)]],
    "CfarCredentialsRefused": [[("cfar_needs_review", {"problem": "credentials-refused"}, 1)]],
    "CfarInsurerCheckRefused": [[("cfar_insurer_check_age_seconds", {**XCOVER, "verdict": "refused"}, 0)]],
    "CfarAnswersUnreadable": [[("cfar_needs_review", {"problem": "answer-unreadable"}, 1)]],
    "CfarManyReviews": [
        [("cfar_ended_5m", {"status": "needs_review"}, 6), ("cfar_ended_5m", {"status": "completed"}, 23)]
    ],
    "CfarPoisonRow": [
        [("cfar_needs_review", {"problem": "worker-crashed"}, 1)],
        [("cfar_needs_review", {"problem": "internal-error"}, 1)],
    ],
    "CfarOverTheLimit": [[("cfar_retries_5m", {"cause": "throttled"}, 51)]],
    "CfarClockSkew": [
        [("cfar_insurer_clock_lead_seconds", XCOVER, 61)],
        [("cfar_insurer_clock_lead_seconds", XCOVER, -61)],
        [("cfar_process_clock_lead_seconds", {"kind": "worker"}, -61)],
    ],
    "CfarWebhooksLate": [[("cfar_webhook_lag_seconds", {}, 301)]],
    "CfarWebhooksNotVerified": [[("cfar_webhooks_total", {"source": "xclaim", "verdict": "not_verified"}, 11)]],
    "CfarCallbackEndpointDisabled": [[("cfar_callback_endpoints_disabled", {}, 1)]],
    "CfarRedisMayEvict": [[("cfar_redis_may_evict", {}, 1)], [("cfar_redis_evicted_keys_total", {}, 1)]],
    "CfarRedisAway": [[("cfar_redis_up", {}, 0)]],
    "CfarChecksStopped": [
        [("cfar_invariants_checked_timestamp_seconds", {}, CHECKED - 601)],
        [("cfar_invariants_checked_timestamp_seconds", {}, GONE)],
    ],
    "CfarPausedForLong": [[("cfar_pause_seconds", {"partner": "", "step": "confirm"}, 14_401)]],
    "CfarFiguresLeftOut": [[("cfar_figures_left_out", {"group": "standing"}, 1)]],
}
"""What each alert is for: changes to what a quiet service tells, each list of them alone enough."""
STILL_QUIET: dict[str, Changes] = {
    "a few reviews": [("cfar_ended_5m", {"status": "needs_review"}, 5)],
    "reviews, but few of many": [
        ("cfar_ended_5m", {"status": "needs_review"}, 6),
        ("cfar_ended_5m", {"status": "completed"}, 24),
    ],
    "a breaker that has just opened": [("cfar_breaker_open_seconds", XCOVER, 299)],
    "an insurer that answers": [("cfar_insurer_check_age_seconds", {**XCOVER, "verdict": "ok"}, 60)],
    "another problem": [("cfar_needs_review", {"problem": "refund-not-reported"}, 400)],
    "good webhooks": [("cfar_webhooks_total", {"source": "xclaim", "verdict": "stored"}, 10_000)],
    "a short pause": [("cfar_pause_seconds", {"partner": "", "step": ""}, 600)],
}


@pytest.fixture(scope="module")
def answer(postgresql_database: RecordingDatabase, broker: str) -> Iterator[str]:
    """What a gateway really answers while nothing is wrong."""
    forgettable.remember(app, {forgettable.CHECK_ENDED: f"{CHECKED:.0f}"})
    yield Gateway(postgresql_database, redis_url=broker).client.get("/metrics").text
    forgettable.remember(app, {forgettable.CHECK_ENDED: ""})


@pytest.fixture(scope="module")
def names(answer: str) -> set[str]:
    """Every figure that there is, told or not."""
    return set(re.findall(r"^# TYPE (\S+)", answer, re.MULTILINE))


@pytest.fixture(scope="module")
def quiet(answer: str) -> Scrape:
    """The same, with workers and beat seen just now."""
    seen = {series("cfar_process_seen_seconds", {"kind": kind}): 5.0 for kind in ("worker", "beat")}
    return scrape(answer) | seen


def firing(now: Scrape, *, before: Scrape) -> set[str]:
    return {name for name, rule in RULES.items() if evaluate(rule["expr"], now, before=before, at=CHECKED)}


def changed(quiet: Scrape, changes: Changes) -> Scrape:
    told = dict(quiet)
    for name, labels, value in changes:
        if value is GONE:
            del told[series(name, labels)]
        else:
            told[series(name, labels)] = float(value)
    return told


def test_nothing_fires_in_a_quiet_service(quiet: Scrape) -> None:
    assert firing(quiet, before=quiet) == set()


@pytest.mark.parametrize("changes", STILL_QUIET.values(), ids=STILL_QUIET)
def test_nothing_fires_for_what_is_no_trouble(quiet: Scrape, changes: Changes) -> None:
    assert firing(changed(quiet, changes), before=quiet) == set()


@pytest.mark.parametrize(
    ("alert", "changes"),
    [
        pytest.param(alert, changes, id=f"{alert}-{number}")
        for alert, ways in FIRES.items()
        for number, changes in enumerate(ways)
    ],
)
def test_each_alert_fires_on_what_it_is_for_and_no_other_does(quiet: Scrape, alert: str, changes: Changes) -> None:
    assert firing(changed(quiet, changes), before=quiet) == {alert}


def test_every_alert_has_its_case() -> None:
    assert FIRES.keys() == RULES.keys()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_each_alert_says_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (DOCS.parent / page).read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert not anchor or anchor in anchors | set(
        re.findall(r'<a (?:id|name)="([\w-]+)">', (DOCS.parent / page).read_text(encoding="utf-8"))
    )


def test_the_rules_name_problems_and_invariants_that_there_are() -> None:
    asked = " ".join(rule["expr"] for rule in RULES.values())
    problems = {one for found in re.findall(r'problem=~?"([^"]+)"', asked) for one in found.split("|")}

    assert problems <= set(slugs())
    assert set(re.findall(r'invariant!?="(\w+)"', asked)) <= {invariant.name for invariant in INVARIANTS}


def named_in(text: str) -> set[str]:
    return set(re.findall(r"\bcfar_[a-z0-9_]+", text))


def test_every_figure_is_explained_and_no_other(names: set[str]) -> None:
    rows = re.findall(r"^\| `(cfar_\w+)", (DOCS / "metrics.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(rows) == len(set(rows))
    assert set(rows) == names


@pytest.mark.parametrize("page", ["alerts.yml", "grafana.json", "metrics.md"])
def test_what_the_docs_name_there_is(names: set[str], page: str) -> None:
    assert named_in((DOCS / page).read_text(encoding="utf-8")) <= names


def test_each_panel_asks_for_a_figure_in_queries_that_can_be_read(quiet: Scrape) -> None:
    dashboard = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]

    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            asked = target["expr"].replace("[$__rate_interval]", "[5m]")
            evaluate(asked, quiet, before=quiet)
            assert named_in(asked)
