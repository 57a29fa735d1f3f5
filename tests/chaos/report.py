"""The figures of a run: as JSON, and as a table that an operator can read."""

import json
import math
import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

LIMITS = {"p50": 15.0, "p99": 30.0}
"""Seconds until a killed worker's work is taken up."""
FLUSH_LIMIT = 30.0
"""Seconds until every due job moves after a FLUSHALL in a quiet system."""
SHOWN = 20
"""Findings that are printed; the JSON has all."""

Report = dict[str, Any]


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least this share of the values does not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(len(ordered) * share) - 1)], 2)


def spread(values: Sequence[float]) -> Report:
    """Describe times in seconds."""
    return {
        "count": len(values),
        "p50": percentile(values, 0.5),
        "p99": percentile(values, 0.99),
        "max": round(max(values), 2) if values else None,
    }


def failures(report: Report, *, judges_recovery: bool) -> list[str]:
    """Say why the run failed; nothing when it did not."""
    names = ("lost", "doubled", "stuck", "wrong", "hasty_claims")
    told = [f"{name.replace('_', ' ')}: {len(report[name])}" for name in names if report[name]]
    if report["webhooks_unhandled"]:
        told.append(f"webhooks not handled: {report['webhooks_unhandled']}")
    if not judges_recovery:
        return told
    recovery = report["recovery"]["all"]
    told += [
        f"recovery {name}: {recovery[name]} s, promised {limit:.0f} s"
        for name, limit in LIMITS.items()
        if recovery[name] is not None and recovery[name] > limit
    ]
    slowest = report["flush"]["max"]
    if slowest is None or slowest > FLUSH_LIMIT:
        told.append(f"after FLUSHALL the slowest moved in {slowest} s, promised {FLUSH_LIMIT:.0f} s")
    return told


def save(report: Report, folder: Path) -> Path:
    """Write the JSON."""
    path = folder / "report.json"
    path.write_text(json.dumps(report, indent=2, default=str) + "\n")
    return path


def machine() -> Report:
    """Describe what it ran on, and how much of it was used; PostgreSQL, which is nobody's child, is not counted."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in used)),
    }


def show(out: Console, report: Report, path: Path) -> None:
    """Print the table and the verdict."""
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in _lines(report):
        table.add_row(name, text)
    out.print(table)
    for name in ("lost", "doubled", "stuck", "wrong", "hasty_claims"):
        for line in report[name][:SHOWN]:
            out.print(f"{name.replace('_', ' ')}: {line}", style="red", highlight=False, markup=False, soft_wrap=True)
    failed = report["failed"]
    verdict = f"Failed: {'; '.join(failed)}." if failed else "Nothing lost, nothing twice, nothing stuck."
    out.print(verdict, style="bold red" if failed else "bold green", highlight=False, markup=False)
    out.print(f"Report: {path}", highlight=False, soft_wrap=True)


def _lines(report: Report) -> list[tuple[str, str]]:
    recovery, flush, messages = report["recovery"], report["flush"], report["messages"]
    claims, deployments, machine = report["unknown_claims"], report["deployments"], report["machine"]
    stopped = f"{deployments['count']}; slowest end {deployments['slowest_stop']} s; killed {deployments['killed']}"
    soonest = f", the soonest after {claims['soonest']} s" if claims["asked_anew"] else ""
    settled = f"{claims['proven_absent']} proven absent, {claims['in_review']} left to a person"
    settled += f"; {claims['asked_anew']} asked for anew{soonest}"
    keys = f"seed {report['seed']}, keys {report['key_mode']}, {report['seconds']} s"
    used = f"{machine['cpu_seconds']} s of {machine['cores']} cores, load {machine['load_1min']}"
    return [
        ("accepted", f"{report['accepted']} of {report['asked']}; {report['requests_repeated']} requests repeated"),
        ("ended", counts(report["ended"])),
        ("needs review", counts(report["reviews"]) or "none"),
        ("lost", str(len(report["lost"]))),
        ("effects doubled", f"{len(report['doubled'])} of {report['effects']} at the insurer and the partner"),
        ("stuck", f"{len(report['stuck'])}, {report['settled_after']} s after the last fault"),
        ("wrong", f"{len(report['wrong'])}: completed without its effects, confirmed before the refund, unexplained"),
        ("unknown claims", f"{claims['read_back']} read back: {settled}; {len(report['hasty_claims'])} guessed"),
        ("recovery", f"{times(recovery['undisturbed'])}; with other faults meanwhile {times(recovery['disturbed'])}"),
        ("after FLUSHALL", f"{flush['wiped']} messages wiped: {times(flush)}"),
        ("messages per job", f"{messages['per_job']} for {messages['steps_per_job']} steps; webhooks and sweeps aside"),
        ("deployments", f"{stopped}, steps left half-done {deployments['left_leased']}"),
        ("faults", counts(report["faults"])),
        ("at the insurer", counts(report["insurer_faults"])),
        ("restarts", counts(report["restarts"])),
        ("noticed", counts(report["logged"])),
        ("run", f"{keys}; {used}"),
    ]


def counts(counted: Mapping[str, float]) -> str:
    """Return what was counted as a line, the most frequent first."""
    ordered = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return " · ".join(f"{name.replace('_', ' ')} {count}" for name, count in ordered)


def times(spread_of: Report) -> str:
    """Return times in seconds, as `spread` describes them, as a line."""
    if not spread_of["count"]:
        return "none measured"
    p50, p99, slowest = spread_of["p50"], spread_of["p99"], spread_of["max"]
    return f"p50 {p50} s, p99 {p99} s, slowest {slowest} s (of {spread_of['count']})"
