"""The simulator as a process and as a server in a thread: how it starts and how cleanly it ends."""

import ast
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.simulator.caller import Caller
from tests.simulator.client import SimulatorControl
from tests.simulator.server import SimulatorServer

JUDGED = {"shared", "webhook_gateway", "workers"}
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.simulator"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_is_and_ends_when_told(number: signal.Signals) -> None:
    command = [*COMMAND, "--port", "0", "--key-mode", "ignored", "--rate-limit", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline().decode().split()
        xcover = line[line.index("xcover") + 1]
        assert line[line.index("refunds") + 1] == xcover.removesuffix("/x/") + "/partner/refunds"
        with SimulatorControl(xcover.removesuffix("/x/")) as control:
            settings = control.settings()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == b""
    assert (settings["key_mode"], settings["rate_limit"]) == ("ignored", 2)


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*COMMAND, "--port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert done.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
        with pytest.raises(OSError, match="in use"):
            SimulatorServer(port=port).start()


def test_no_thread_outlives_the_server() -> None:
    before = set(threading.enumerate())
    with SimulatorServer() as insurer, Caller(insurer) as caller:
        booking = insurer.control.add_booking(faults=[{"on": "get_booking", "do": "slow", "seconds": 60}])
        hooks = [{"url": "http://127.0.0.1:9/", "key": "k"}]
        caller.claim(booking.id, booking.quote_id, webhooks=hooks)
        slow = threading.Thread(target=caller.get, args=(booking.id,))
        slow.start()
        insurer.control.wait_until(lambda: insurer.control.requests(operation="get_booking"))
        idle = socket.create_connection(("127.0.0.1", int(insurer.url.rpartition(":")[2])))
        with idle:
            insurer.state.stopping.set()  # lets the slow answer out before the line is cut
            slow.join()
            insurer.stop()
            assert set(threading.enumerate()) <= before


def test_the_judge_imports_nothing_of_what_it_judges() -> None:
    imported: set[str] = set()
    for path in (ROOT / "tests" / "simulator").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
            elif isinstance(node, ast.Import):
                imported.update(name.name.partition(".")[0] for name in node.names)
    assert "flask" in imported
    assert not imported & JUDGED
