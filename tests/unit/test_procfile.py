"""The Procfile, and what starts its processes."""

import os
import re
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import AliasChoices, ValidationError

from shared.broker import QUEUES, TASK_HARD_LIMIT
from shared.config import FlowerSettings, WebSettings
from tests.processes import ROOT, Processes, ProcessFailed, procfile
from workers import flower
from workers.liveness import PROBE_AFTER, Liveness
from workers.supervisor import STALL_AFTER, STOP_AFTER, SupervisorSettings, Timing, pause_before_restart, worker_command

PASSWORD = "flower-secret-word"


class ProbesSent:
    """Stands in for the queue on the broker."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_broker_up = True

    def ensure_one(self) -> bool:
        self.asked += 1
        return self.is_broker_up


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_procfile_has_the_five_promised_processes() -> None:
    assert set(procfile()) == {"release", "web", "worker", "beat", "flower"}


@pytest.mark.parametrize("name", sorted(procfile()))
def test_every_procfile_process_names_a_program_that_is_installed(name: str) -> None:
    program, *rest = procfile()[name]
    assert (Path(sys.executable).parent / program).exists()
    if program == "python":
        assert (ROOT / f"{rest[1].replace('.', '/')}.py").exists()


def test_a_worker_reads_every_queue_and_its_own_probes() -> None:
    command = worker_command(name="cfar-x", probe_queue="probe.cfar-x", concurrency=3)
    assert command[command.index("--queues") + 1].split(",") == [*QUEUES, "probe.cfar-x"]
    assert command[command.index("--concurrency") + 1] == "3"


def test_a_worker_whose_slots_are_all_busy_with_the_longest_task_is_not_taken_for_stalled() -> None:
    assert STALL_AFTER.total_seconds() > TASK_HARD_LIMIT + PROBE_AFTER / 2
    assert timedelta(seconds=PROBE_AFTER) < STALL_AFTER


def test_everything_is_gone_within_25_seconds_of_a_sigterm() -> None:
    assert STOP_AFTER < 25


def test_the_pause_before_a_restart_grows_from_1_to_30_seconds() -> None:
    pauses = [pause_before_restart(failures, Timing()) for failures in (1, 2, 3, 4, 5, 6, 7, 1000)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_quiet_worker_is_probed_and_has_stalled_once_the_probe_waited_too_long(tmp_path: Path) -> None:
    clock, probes = Clock(), ProbesSent()
    liveness = Liveness(tmp_path / "progress", probes, stall_after=100, now=clock)
    verdicts = []
    for _ in range(12):
        clock.now += 10
        verdicts.append(liveness.has_stalled())
    assert verdicts == [False] * 10 + [True] * 2
    assert probes.asked == 12


def test_progress_clears_the_suspicion(tmp_path: Path) -> None:
    clock, probes = Clock(), ProbesSent()
    liveness = Liveness(tmp_path / "progress", probes, stall_after=100, now=clock)
    for second in range(300):
        clock.now += 1
        if second % 90 == 0:
            os.utime(tmp_path / "progress", (second, second))  # whatever time it says: that it changed is the sign
        assert not liveness.has_stalled()


def test_no_worker_is_judged_while_the_broker_is_away(tmp_path: Path) -> None:
    clock, probes = Clock(), ProbesSent()
    liveness = Liveness(tmp_path / "progress", probes, stall_after=100, now=clock)
    probes.is_broker_up = False
    for _ in range(100):
        clock.now += 10
        assert not liveness.has_stalled()
    probes.is_broker_up = True
    for _ in range(10):
        clock.now += 10
        assert not liveness.has_stalled(), "the wait counts from the broker's return"


def test_flower_does_not_show_its_password_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", f"operator:{PASSWORD}")
    monkeypatch.setenv("PORT", "5999")
    settings = FlowerSettings()
    assert PASSWORD not in " ".join(flower.arguments(settings))
    assert "--port=5999" in flower.arguments(settings)
    assert flower.environment(settings)["FLOWER_BASIC_AUTH"].endswith(PASSWORD)


@pytest.mark.parametrize("module", ["workers.flower", "workers.supervisor"])
def test_a_process_without_its_settings_says_all_that_is_missing_and_exits_78(module: str) -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 78
    assert "required, but not set" in ended.stderr


def test_a_wait_shorter_than_the_longest_task_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "wrong at any rate")
    for seconds, is_refused in ((TASK_HARD_LIMIT, True), (TASK_HARD_LIMIT + 1, False)):
        monkeypatch.setenv("WORKER_STALL_AFTER", f"{seconds}s")
        with pytest.raises(ValidationError) as refused:
            SupervisorSettings()
        assert ("worker_stall_after" in str(refused.value)) is is_refused


def test_flower_says_in_one_line_that_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "workers.flower"],
            cwd=ROOT,
            env={"PATH": os.defpath, "FLOWER_BASIC_AUTH": f"operator:{PASSWORD}", "PORT": port},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == f"Not started: port {port} is taken by another program. Set PORT to another.\n"


def test_a_process_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    commands = {"web": [sys.executable, "-c", "raise SystemExit('no more apples')"]}
    running = Processes(os.environ, ["web"], tmp_path, commands=commands)
    with running, pytest.raises(ProcessFailed, match="no more apples"):
        running.wait_ready("http://127.0.0.1:9/")


def test_stopping_ends_the_whole_group_of_each_process(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    commands = {"web": [sys.executable, "-c", script]}
    with Processes(os.environ, ["web"], tmp_path, commands=commands) as running:
        group = running.pid("web")
        time.sleep(0.3)
    with pytest.raises((ProcessLookupError, PermissionError)):
        _wait_for_the_end_of(group)


def _wait_for_the_end_of(group: int) -> None:
    for _ in range(100):
        os.killpg(group, 0)
        time.sleep(0.05)


def test_the_example_environment_names_every_setting_and_no_other() -> None:
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    read = {
        str(field.validation_alias.choices[0]) if isinstance(field.validation_alias, AliasChoices) else name.upper()
        for kind in (WebSettings, SupervisorSettings, FlowerSettings)
        for name, field in kind.model_fields.items()
    }
    assert named == read | {"OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"}  # read by the libraries they are for
