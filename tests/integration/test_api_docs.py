"""What docs/api.md shows happens: its commands are run in their order, its Celery message is sent and taken."""

import html
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from string import Template
from typing import Any
from uuid import UUID

import httpx
import pytest
from kombu import Connection

from shared.broker import DOOR_QUEUE
from shared.lifecycle import Status
from shared.problem_advice import ADVICE
from shared.problems import slugs
from tests.gateway import SHOP, Gateway, bring_to_refund
from tests.integration.conftest import serving
from tests.recording import RecordingDatabase
from tests.world import World
from workers.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A curl command of the page, and the lines of the answer that the page shows below it."""

    line: str
    status: str
    headers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command was answered."""

    status: str
    headers: Any
    body: str


def commands(page: str) -> Iterator[Command]:
    for block in re.findall(r"```console\n\$ (.*?)```", page, re.DOTALL):
        line, _, shown = block.partition("\nHTTP/1.1 ")
        status, *headers = shown.split("\n\n")[0].strip().splitlines()
        yield Command(line=line.replace("\\\n", " "), status=status, headers=tuple(headers))


def by_curl(line: str, environment: dict[str, str]) -> Answer:
    """Let a shell run the command as it stands."""
    found = {"PATH": os.environ["PATH"], **environment}
    quiet = line.replace("curl -i ", "curl --silent --include ", 1)
    ran = subprocess.run(["sh", "-c", quiet], env=found, capture_output=True, check=True)
    head, _, body = ran.stdout.decode().replace("\r\n", "\n").partition("\n\n")
    status, _, headers = head.partition("\n")
    return Answer(status=status.partition(" ")[2], headers=Parser().parsestr(headers), body=body)


def by_httpx(line: str, environment: dict[str, str]) -> Answer:
    """Send what the command would send, where there is no curl."""
    words = iter([Template(word).substitute(environment) for word in shlex.split(line)])
    assert (next(words), next(words)) == ("curl", "-i")
    sent: dict[str, Any] = {"method": None, "url": "", "headers": {}, "content": None}
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            sent["headers"][name] = value
        elif word in {"-d", "-X"}:
            sent["content" if word == "-d" else "method"] = next(words)
        else:
            assert not word.startswith("-"), word
            sent["url"] = word
    method = sent.pop("method") or ("GET" if sent["content"] is None else "POST")
    answer = httpx.request(method, trust_env=False, **sent)
    return Answer(status=f"{answer.status_code} {answer.reason_phrase}", headers=answer.headers, body=answer.text)


WAYS = [by_httpx, *([by_curl] if shutil.which("curl") else [])]
every_way = pytest.mark.parametrize("send", WAYS, ids=lambda way: way.__name__)


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A gateway's address and its database."""
    folder = tmp_path_factory.mktemp("api")
    with serving(sqlite_template, folder, CALLER_RATE_LIMIT="0") as found:
        yield found.url, folder / "cfar.db"


@pytest.fixture
def behind(served: tuple[str, Path]) -> Iterator[RecordingDatabase]:
    opened = RecordingDatabase(f"sqlite:///{served[1]}")
    yield opened
    opened.close()


@every_way
def test_every_command_is_answered_as_the_page_shows(
    served: tuple[str, Path], behind: RecordingDatabase, send: Callable[[str, dict[str, str]], Answer]
) -> None:
    known = {"CFAR_URL": served[0], "CFAR_TOKEN": SHOP}
    shown = list(commands(PAGE))

    for command in shown:
        mine = command.line.replace("order-A-1001", f"order-{send.__name__}")  # each way has keys of its own
        answer = send(mine, known)

        assert answer.status == command.status, (command.line, answer.body)
        for header in command.headers:
            name, _, value = header.partition(": ")
            assert same_shape(answer.headers[name], value), header
        if answer.status.startswith("202"):
            known["ID"] = json.loads(answer.body)["id"]
            bring_to_refund(behind, UUID(known["ID"]), total="22.40", currency="EUR")
        if "ETag" in answer.headers:
            known["ETAG"] = answer.headers["ETag"]
        if answer.status.startswith("422"):
            (example,) = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
            assert json.loads(answer.body) == example | {"id": known["ID"]}

    assert len(shown) == PAGE.count("$ curl ") == 9


@every_way
def test_the_command_on_the_gateways_own_page_is_answered(
    served: tuple[str, Path], send: Callable[[str, dict[str, str]], Answer]
) -> None:
    page = httpx.get(f"{served[0]}/docs").text
    (line,) = re.findall(r"<pre>(curl .*?)</pre>", page, re.DOTALL)
    line = html.unescape(line).replace("\\\n", " ").replace("order-A-1001", f"docs-{send.__name__}")

    answer = send(line, {"CFAR_TOKEN": SHOP})

    assert answer.status == "202 ACCEPTED", answer.body


def same_shape(value: str, shown: str) -> bool:
    """Compare, taking one id or tag for another."""
    letters = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")
    return letters.sub("*", value) == letters.sub("*", shown)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_celery_message_becomes_a_cancellation_of_its_caller(
    world: World, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(API_TOKENS=f"shop:{SHOP}")
    monkeypatch.setenv("REDIS_URL", broker)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    names: dict[str, Any] = {}
    exec(code, names)
    names["producer"].close()
    with Connection(broker) as connection, connection.SimpleQueue(DOOR_QUEUE) as queue:
        message = queue.get(timeout=5)
        message.ack()
    args, kwargs, _ = message.payload
    app.tasks[message.headers["task"]](*args, **kwargs)

    assert "8WD8Y-LTEKE-INS" not in message.headers["kwargsrepr"]
    (item,) = Gateway(world.database).get("?idempotency_key=order-A-1002").get_json()["items"]
    assert (item["booking_id"], item["status"]) == ("8WD8Y-LTEKE-INS", "in_progress")


def test_every_problem_stands_in_exactly_one_of_the_tables() -> None:
    told = re.findall(r"^\|(?: [0-9]+ \|)? `/problems/([a-z-]+)` \| ", PAGE, re.MULTILINE)

    assert sorted(told) == sorted(slugs())
    assert set(ADVICE) <= set(slugs())


@pytest.mark.parametrize("status", Status)
def test_every_status_is_told_what_to_do_in(status: Status) -> None:
    assert f"\n| `{status}` | " in PAGE


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([a-z./-]+\.md)", PAGE))))
def test_every_page_that_is_pointed_to_is_there(target: str) -> None:
    assert (Path(__file__).parents[2] / "docs" / target).is_file()
