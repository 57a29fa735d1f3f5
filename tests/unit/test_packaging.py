"""Dockerfile, compose.yaml and app.json against a linter, each other, and what the code reads."""

import json
import os
import re
import shlex
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from shared.broker import create_celery
from shared.config import FlowerSettings, WebSettings, WorkerSettings
from tests.gateway import web_settings
from tests.processes import ROOT, procfile
from tests.servers import free_port
from webhook_gateway import app
from workers.supervisor import STOP_AFTER, SupervisorSettings

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APP: dict[str, Any] = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
DEPLOYING = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
OURS = ("release", "web", "worker", "beat", "flower")
HADOLINT = Path(sys.executable).with_name("hadolint")
SIZES = re.findall(r"^\| [A-Z].+ \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", DEPLOYING, re.MULTILINE)
SMALLEST_PLAN = 20
"""Connections that the smallest PostgreSQL of app.json allows."""


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction of this name, lines that go on joined."""
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    return re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)


def lint(text: str) -> subprocess.CompletedProcess[str]:
    command = [HADOLINT, "--no-color", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_the_linter_has_nothing_to_say_of_the_dockerfile() -> None:
    found = lint(DOCKERFILE)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_linter_would_say_something() -> None:
    assert "DL3006" in lint("FROM debian\nRUN cd /tmp\n").stdout


def test_the_image_runs_as_nobody_and_names_its_base_by_tag() -> None:
    assert all(re.fullmatch(r"[a-z]+:[0-9.]+-slim( AS build)?", base) for base in instructions("FROM"))
    assert instructions("USER") == ["10001"]


def test_the_image_holds_every_package_that_runs_and_no_other_folder() -> None:
    copied = {words.split()[-2] for words in instructions("COPY")}
    assert {"shared", "webhook_gateway", "workers", "pyproject.toml"} <= copied
    assert not {"tests", "bench", ".", ".env"} & copied
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert copied - {"/opt/venv"} == allowed
    assert all((ROOT / name).exists() for name in allowed)


class Alive(BaseHTTPRequestHandler):
    """Answers /livez alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


def test_the_health_check_tells_a_web_process_that_answers_from_one_that_does_not() -> None:
    (check,) = instructions("HEALTHCHECK")
    _, *command = json.loads(check.partition("CMD ")[2])

    def asked(port: int) -> int:
        environment = {**os.environ, "PORT": str(port)}
        return subprocess.run([sys.executable, *command], env=environment, capture_output=True, check=False).returncode

    with HTTPServer(("127.0.0.1", 0), Alive) as server:
        Thread(target=server.serve_forever, args=[0.01]).start()
        assert asked(server.server_port) == 0
        server.shutdown()
    assert asked(free_port()) != 0


def test_the_image_and_compose_start_the_processes_as_the_procfile_does() -> None:
    (default,) = instructions("CMD")
    started = {name: SERVICES[name].get("command", json.loads(default)) for name in OURS}
    assert started == {name: [*words] for name, words in procfile().items()}


@pytest.mark.parametrize("name", OURS)
def test_a_process_in_compose_may_write_nowhere_and_has_time_to_end(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"], service["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_AFTER
    assert bool(service.get("healthcheck", {}).get("disable")) is (name != "web")


def test_nothing_starts_before_the_schema_is_there() -> None:
    assert SERVICES["release"]["restart"] == "no"
    for name in ("web", "worker", "beat"):
        assert SERVICES[name]["depends_on"]["release"] == {"condition": "service_completed_successfully"}
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_redis_in_compose_refuses_rather_than_evicts() -> None:
    command = [str(word) for word in SERVICES["redis"]["command"]]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_what_listens_in_compose_is_reachable_from_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all(re.fullmatch(r"[a-z]+:[0-9]+-alpine", SERVICES[name]["image"]) for name in ("postgres", "redis"))


def read_by_the_code() -> set[str]:
    kinds = (WebSettings, SupervisorSettings, FlowerSettings)
    return {name.upper() for kind in kinds for name in kind.model_fields} - {"CELERY_CALLERS"}


def filled_in() -> dict[str, str]:
    """Return the environment of an app whose maker has filled in what app.json demands, and what claims need."""
    told = {
        "API_TOKENS": "shop:token", "XCOVER_BASE_URL": "https://xcover.example/x/", "XCOVER_PARTNER_CODE": "ABCDE",
        "XCOVER_API_KEY": "key", "XCOVER_API_SECRET": "secret",
    }  # fmt: skip
    env = APP["env"]
    demanded = {name for name, said in env.items() if said.get("required", True) and "value" not in said}
    assert demanded - {"XCLAIM_WEBHOOK_KEYS"} == set(told)  # that one is made by the platform
    given = {name: said["value"] for name, said in env.items() if "value" in said}
    return {**given, **told, "XCLAIM_WEBHOOK_KEYS": "generated"}


def test_app_json_names_only_what_is_read_and_says_what_it_is() -> None:
    assert set(APP["env"]) <= read_by_the_code()
    assert all(said["description"].endswith((".", "/")) for said in APP["env"].values())


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
@pytest.mark.parametrize("has_claims", [True, False], ids=["claims", "no-claims"])
def test_an_app_that_is_filled_in_starts(
    monkeypatch: pytest.MonkeyPatch, kind: type[WebSettings] | type[WorkerSettings], *, has_claims: bool
) -> None:
    environment = filled_in()
    if has_claims:
        for name in ("XCLAIM_BASE_URL", "PUBLIC_URL", "XCLAIM_API_KEY", "XCLAIM_PASSWORD"):
            assert name in APP["env"]
            environment[name] = "https://somewhere.example"
    else:
        environment["CLAIMS_ENABLED"] = "false"
    environment |= {
        "DATABASE_URL": "postgres://somewhere/cfar",
        "REDIS_URL": "rediss://somewhere:6379",
        "DYNO": "web.1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert kind.broken_rules(environment) == []
    settings = kind()  # type: ignore[call-arg]
    assert create_celery(settings).conf.broker_use_ssl


def test_app_json_takes_a_database_and_a_redis_and_starts_what_is_needed() -> None:
    assert [addon["plan"].split(":")[0] for addon in APP["addons"]] == ["heroku-postgresql", "heroku-redis"]
    assert set(APP["formation"]) == {"web", "worker", "beat"}
    program, *_ = shlex.split(APP["scripts"]["postdeploy"])
    assert Path(sys.executable).with_name(program).exists()


def test_a_gateway_process_holds_six_connections_at_most() -> None:
    settings = web_settings(database_url="postgresql://127.0.0.1:1/nothing")
    database = app._configured_database(settings, create_celery(settings))
    pools = (database.engine.pool, database._at_once.pool)
    assert sum(pool.size() + pool._max_overflow for pool in pools) == 6  # type: ignore[attr-defined]
    database.close()


@pytest.mark.parametrize(("memory", "web", "of_web", "worker", "of_worker"), SIZES, ids=[size[0] for size in SIZES])
def test_each_size_has_room_for_what_is_advised(
    memory: str, web: str, of_web: str, worker: str, of_worker: str
) -> None:
    assert (int(of_web), int(of_worker)) == (6 * int(web), 2 * int(worker))
    assert max(40 + 130 * int(web), 130 + 80 * int(worker)) < int(memory)
    assert web_settings(web_concurrency=int(web)).web_concurrency == int(web)


def test_what_app_json_starts_fits_the_smallest_plan() -> None:
    assert len(SIZES) == 4
    taken = {name: int(APP["env"][name]["value"]) for name in ("WEB_CONCURRENCY", "WORKER_CONCURRENCY")}
    assert taken["WEB_CONCURRENCY"] * 6 + taken["WORKER_CONCURRENCY"] * 2 <= SMALLEST_PLAN - 2
