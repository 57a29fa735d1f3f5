"""The whole service on this machine, a few dozen cancellations, and how each ended.

With `--stay` it sends a handful, prints the addresses, and stays up until Ctrl-C.
"""

import argparse
import os
import signal
import sys
import time
from types import FrameType

from rich.console import Console

from tests.demo import judging, progress, stack, table
from tests.demo.command_line import CommandLine
from tests.demo.partner import Partner
from tests.demo.run import Run
from tests.demo.runner import Show
from tests.demo.scenarios import A_HANDFUL, ALL, STORY
from tests.processes import ProcessFailed
from tests.simulator.client import SimulatorControl

GATEWAY_PORT = 8000
FLOWER_PORT = 5555
FLOWER_WAIT = 15.0
INTERRUPTED = 130
BOOKINGS = 9
"""Made for whoever stays, to try things with: each is cancelled once."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 only if every cancellation ended as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="stay up until Ctrl-C")
    is_staying = parser.parse_args(arguments).stay
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    out = table.console()
    try:
        ports = _ports(is_staying=is_staying)
        out.print("Starting Redis, the simulated insurer, web, worker, beat and flower …", highlight=False)
        with stack.running(ports) as running:
            code = _play(out, running, is_staying=is_staying)
            if is_staying:
                _stay(out, running)
            _ignore_signals()
    except stack.PortTaken as taken:
        out.print(f"Not started: {taken}", highlight=False, markup=False)
    except (ProcessFailed, RuntimeError) as failed:
        out.print(f"Stopped: {failed}", highlight=False, markup=False)
    except KeyboardInterrupt:
        if is_staying:  # its normal end
            out.print("Stopped: everything has been shut down.")
            return 0
        out.print("Interrupted: everything has been shut down.")
        return INTERRUPTED
    else:
        return code
    return 1


def _ports(*, is_staying: bool) -> stack.Ports:
    given = os.environ.get("PORT")
    if given and not (given.isdecimal() and 0 < int(given) < 65_536):
        raise stack.PortTaken(f"PORT {given} is not a port.")
    web = int(given) if given else GATEWAY_PORT if is_staying else None
    return stack.choose_ports(web=web, flower=FLOWER_PORT if is_staying else None)


def _play(out: Console, running: stack.Stack, *, is_staying: bool) -> int:
    started_at = time.monotonic()
    scenarios = A_HANDFUL if is_staying else ALL
    operator = CommandLine(stack.inherited(), url=running.gateway, token=running.operator_token, folder=running.folder)
    with (
        operator,
        SimulatorControl(running.insurer) as insurer,
        Partner(running.gateway, running.token, name=stack.CALLER, broker=running.redis_url) as partner,
    ):
        show = Show(scenarios, partner=partner, operator=operator, insurer=insurer)
        with progress.of(out, show.runs) as shown:
            for _ in show.play(check=running.check):
                shown.update()
            shown.update()
    seconds = time.monotonic() - started_at
    out.print(table.ended(show.runs, width=out.width))
    out.print(table.LEGEND, highlight=False)
    out.print(table.ledger(show.runs), highlight=False)
    missing = [] if is_staying else _tell_what_was_seen(out, show.runs)
    if not is_staying:
        missing += _tell_a_story(out, show.runs, operator)
    if not _is_flower_there(running):
        missing.append("Flower does not answer with its password, or answers without.")
    code = _verdict(out, show.runs, missing=missing, seconds=seconds, running=running)
    if code == 0 and not is_staying:
        out.print("Next: make up", highlight=False)
    return code


def _tell_what_was_seen(out: Console, runs: list[Run]) -> list[str]:
    """Say that everything of the contract was seen; return what was not."""
    journeys, statuses = judging.journeys_seen(runs), judging.statuses_seen(runs)
    missing = [f"No cancellation went the journey {name}." for name, count in journeys.items() if not count]
    missing += [f"No cancellation was ever {name}." for name, count in statuses.items() if not count]
    if not missing:
        out.print(table.seen(journeys, statuses), highlight=False)
    return missing


def _tell_a_story(out: Console, runs: list[Run], operator: CommandLine) -> list[str]:
    """Show one cancellation as the command line does; return what is wrong with that."""
    row_id = next((run.resource["id"] for run in runs if run.scenario.name == STORY and run.resource), None)
    if row_id is None:
        return []  # told as such already
    out.print(f"\nOne of them in full, as the command line tells it:\n$ cfar show {row_id}", highlight=False)
    code = operator.show(row_id, width=out.width)
    out.print()
    return [f"cfar show {row_id} ended with {code}."] if code else []


def _verdict(out: Console, runs: list[Run], *, missing: list[str], seconds: float, running: stack.Stack) -> int:
    wrong = [run for run in runs if run.differs]
    for run in wrong:
        row = f" ({run.resource['id']})" if run.resource else ""
        out.print(f"{run.scenario.name}{row}:", style="bold red", highlight=False)
        for line in run.differs:
            out.print(f"  {line}", highlight=False, markup=False)
    for line in missing:
        out.print(line, style="bold red", highlight=False)
    if wrong or missing:
        running.keeps_logs = True
        told = f"{len(wrong)} of {len(runs)} did not end as they should. Logs: {running.folder}"
        out.print(told, highlight=False, soft_wrap=True)
        return 1
    out.print(f"All {len(runs)} ended as they should, in {seconds:.0f} s.", style="bold green", highlight=False)
    return 0


def _is_flower_there(running: stack.Stack) -> bool:
    until = time.monotonic() + FLOWER_WAIT
    while not running.is_flower_answering():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _stay(out: Console, running: stack.Stack) -> None:
    with SimulatorControl(running.insurer) as insurer:
        for_http, *more = (insurer.add_booking().id for _ in range(BOOKINGS))
    lines = [
        "",
        f"Gateway   {running.gateway}/docs",
        f"Flower    {running.flower}   user {stack.FLOWER_USER}   password {running.flower_password}",
        f"Redis     {running.redis_url}   for the Celery snippet of README.md, with caller {stack.CALLER}",
        f"Bookings  {' '.join(more)}",
        f"Operator  {running.operator_token}   the token for retry and resolve",
        f"Logs      {running.folder}",
        "",
        "For the cfar command (.venv/bin/cfar --help), in another terminal:",
        f"  export CFAR_URL={running.gateway}",
        f"  export CFAR_TOKEN={running.token}",
        "  .venv/bin/cfar list",
        "  .venv/bin/cfar show ID",
        "and with the operator's token, when one needs review:",
        f"  CFAR_TOKEN={running.operator_token} .venv/bin/cfar resolve ID close --note 'Why'",
        "",
        "Cancel a booking and claim for it; then it waits for you to report the refund:",
        f"  curl -i {running.gateway}/v1/cancellations \\",
        f"    -H 'Authorization: Bearer {running.token}' \\",
        "    -H 'Content-Type: application/json' -H 'Idempotency-Key: A-1' \\",
        f"""    -d '{{"booking_id": "{for_http}", "claim": {{}}}}'""",
        "and see where it stands:",
        f"  curl -H 'Authorization: Bearer {running.token}' '{running.gateway}/v1/cancellations?limit=1'",
        "",
        "Ctrl-C stops everything.",
    ]
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    while True:
        running.check()
        time.sleep(0.5)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _ignore_signals()  # a second Ctrl-C must not stop the stopping
    sys.stdout.write("\nStopping everything …\n")
    sys.stdout.flush()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
