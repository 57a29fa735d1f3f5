"""Gathers what a run left behind, has it judged, and puts the figures together."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from tests.chaos import report
from tests.chaos.judge import EFFECTS, QUERY, Evidence, Row, claimed_anew, hasty, judge, row_of
from tests.chaos.messages import QUEUES
from tests.chaos.plan import Plan
from tests.chaos.recovery import CALM, Recovery
from tests.chaos.rows import Rows
from tests.chaos.run import Run
from tests.chaos.schedule import Happened
from tests.chaos.stack import SERVICE

TOLERANCE = 1.0
"""Seconds between a request's leaving, as the service notes it, and its arrival."""
AFTERMATH = 40.0
"""Seconds in which a process fault may still be felt: a lease, the sweeper, a restart."""
HARMLESS = frozenset({"keys_forgotten_early", "clock_past_offers", "clock_past_keys", "web_killed", "web_child_killed"})
"""Faults that do not keep a worker from taking a step up."""
EVENT = re.compile(r'"event": "(\w+)"')
NOTICED = frozenset(
    {"lease_lost", "lease_not_renewed", "publish_failed", "worker_died", "worker_stalled", "call_failed"}
)
"""`lease_lost` is a worker that woke up, or was overtaken, and was kept from writing."""
READ_BACK = (
    "SELECT count(DISTINCT cancellation_id) FROM ("
    "SELECT cancellation_id FROM calls WHERE step = 'claim' AND (is_doubtful OR absent_since IS NOT NULL) UNION ALL "
    "SELECT cancellation_id FROM transitions WHERE from_step = 'claim' AND reason LIKE '%; reading back') AS unknown"
)
"""Claims whose answer was lost; one that a killed worker had sent and its successor found is not among them."""
ANEW = "SELECT count(*) FROM calls WHERE step = 'claim' AND outcome = 'not_done'"


def compile_report(run: Run, plan: Plan) -> report.Report:
    """Judge a run that has settled, and describe it."""
    rows = Rows(run.stack.postgresql.url)
    found = {row.id: row for row in map(row_of, rows.read(QUERY))}
    figures = {
        "asked": len(run.traffic.jobs),
        "accepted": len(run.traffic.accepted),
        "requests_repeated": run.traffic.repeats,
        **_verdict(run, found),
        **_claims(run, plan, rows, found.values()),
        "settled_after": run.settled_after,
        "webhooks_unhandled": run.webhooks_unhandled,
        "recovery": _recovery(run.watch.recoveries, run.schedule.happened),
        "flush": run.flush or {"wiped": 0, **report.spread([])},
        "messages": _messages(run, found),
        "deployments": _deployments(run),
        "faults": dict(run.schedule.counted),
        "happened": [vars(one) for one in run.schedule.happened],
        "faults_missed": dict(run.schedule.missed),
        "insurer_faults": _insurer_faults(run),
        "restarts": dict(run.fleet.restarts),
        "logged": _logged(run),
        "seed": plan.seed,
        "key_mode": plan.key_mode,
        "plan": vars(plan),
    }
    rows.close()
    return figures


def _verdict(run: Run, found: Mapping[str, Row]) -> report.Report:
    effects = [effect for effect in run.stack.insurer.effects() if effect["kind"] in EFFECTS]
    verdict = judge(
        Evidence(
            jobs=run.traffic.jobs,
            rows=found,
            effects=effects,
            jumps=run.faults.jumps,
            requests=cache(lambda booking: run.stack.insurer.requests(booking=booking)),
            unfinished=run.stuck,
            process_faults=[(one.began, one.ended + AFTERMATH) for one in run.schedule.happened],
        )
    )
    return {
        "ended": dict(verdict.ended),
        "reviews": dict(verdict.reviews),
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "effects": len(effects),
        "stuck": verdict.stuck,
        "wrong": [*verdict.wrong, *run.traffic.wrong, *run.partner.wrong],
    }


def _claims(run: Run, plan: Plan, rows: Rows, found: Iterable[Row]) -> report.Report:
    anew = claimed_anew(run.stack.insurer.requests(operation="create_claim"))
    return {
        "hasty_claims": hasty(anew, patience=plan.read_back_after - TOLERANCE),
        "unknown_claims": {
            "read_back": rows.read(READ_BACK)[0][0],
            "proven_absent": rows.read(ANEW)[0][0],
            "in_review": sum(row.status == "needs_review" and row.next_step == "claim" for row in found),
            "asked_anew": len(anew),
            "soonest": min((one.seconds for one in anew), default=None),
        },
    }


def _recovery(recoveries: Sequence[Recovery], happened: Sequence[Happened]) -> report.Report:
    alone = [one for one in recoveries if not is_disturbed(one, happened)]
    return {
        "undisturbed": report.spread([one.seconds for one in alone]),
        "disturbed": report.spread([one.seconds for one in recoveries if is_disturbed(one, happened)]),
        "all": report.spread([one.seconds for one in recoveries]),
        "by_fault": {
            name: report.spread([one.seconds for one in alone if one.fault == name])
            for name in sorted({one.fault for one in alone})
        },
        "each": [
            {
                "fault": one.fault,
                "at": round(one.killed_at.timestamp(), 1),
                "seconds": round(one.seconds, 1),
                "late": one.late,
                "is_disturbed": is_disturbed(one, happened),
            }
            for one in recoveries
        ],
    }


def is_disturbed(recovery: Recovery, happened: Sequence[Happened]) -> bool:
    """Tell whether another fault, or the queue that one has left, may have held up a recovery."""
    killed, taken = recovery.killed_at.timestamp(), recovery.taken_at.timestamp()
    if recovery.fault == "postgresql_crashed_in_recovery" or recovery.late > CALM:
        return True
    own = [one for one in happened if one.name == recovery.fault and one.began <= killed <= one.ended]
    others = [one for one in happened if one not in own and one.name not in HARMLESS]
    return any(one.began <= taken and one.ended >= killed for one in others)


def _messages(run: Run, found: Mapping[str, Row]) -> report.Report:
    jobs = max(len(found), 1)
    steps = sum(len(row.steps) for row in found.values())
    return {
        "per_job": round(run.messages.sent_for_steps / jobs, 2),
        "steps_per_job": round(steps / jobs, 2),
        "sent": {queue: run.messages.sent[queue] for queue in QUEUES},
        "given_back": {queue: run.messages.given_back[queue] for queue in QUEUES},
    }


def _deployments(run: Run) -> report.Report:
    stops = run.faults.stop_seconds
    return {
        "count": len(stops),
        "slowest_stop": round(max(stops), 1) if stops else None,
        "killed": run.faults.killed_at_deploy,
        "left_leased": run.faults.left_leased,
    }


def _logged(run: Run) -> dict[str, int]:
    """Count what the service itself noticed."""
    said: Counter[str] = Counter()
    for name in SERVICE:
        with run.stack.processes.log_file(name).open(errors="replace") as lines:
            said.update(found[1] for found in map(EVENT.search, lines) if found and found[1] in NOTICED)
    return dict(said)


def _insurer_faults(run: Run) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for one in run.stack.insurer.random_faults():
        kind = "webhook " if one["on"] == "webhook" else ""
        counted[f"{kind}{one['do']}"] += one["times"]
    return {**counted, "keys forgotten": run.faults.keys_forgotten, "clock jumps": len(run.faults.jumps)}
