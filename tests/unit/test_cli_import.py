"""`cfar import`, against the real app on a file."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import httpx
import pytest
from sqlalchemy import select

from shared.batch_models import Batch
from shared.models import Cancellation
from tests.gateway import SHOP
from tests.terminal import Terminal, on_a_file
from webhook_gateway import cli, import_sending
from webhook_gateway.api_client import Api


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path) -> Iterator[Terminal]:
    with on_a_file(sqlite_template, tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(import_sending, "sleep", waited.append)
    return waited


def written(tmp_path: Path, *numbers: int, name: str = "show.csv", more: str = "") -> str:
    path = tmp_path / name
    lines = "".join(f"BOOK-{number}-INS,t-{number}\n" for number in numbers)
    path.write_text(f"booking_id,idempotency_key\n{lines}{more}")
    return str(path)


def rows(terminal: Terminal, table: Any = Cancellation) -> list[Any]:
    with terminal.gateway.database.reading() as session:
        return list(session.scalars(select(table).order_by(table.id)))


class Failing(httpx.BaseTransport):
    """The app, behind a network that does to a request what it is told to, by its number."""

    def __init__(self, terminal: Terminal, faults: dict[int, Any]) -> None:
        self._app = httpx.WSGITransport(app=terminal.gateway.app)
        self._faults = faults
        self.asked: list[str] = []
        self.sent: list[list[str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        number = len(self.asked)
        self.asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            lines = json.loads(request.read()).get("cancellations", [])
            self.sent.append([line["idempotency_key"] for line in lines])
        fault = self._faults.get(number, self._faults.get(-1))
        if isinstance(fault, httpx.Response):
            return fault
        answer = self._app.handle_request(request)
        if fault is not None:
            raise fault
        return answer


def import_over(transport: Failing, *arguments: str) -> click.testing.Result:
    api = Api("http://cfar", SHOP, transport=transport)
    return click.testing.CliRunner().invoke(cli.main, ["import", *arguments], obj=api)


def test_a_file_becomes_a_batch(terminal: Terminal, tmp_path: Path) -> None:
    result = terminal.run("import", written(tmp_path, 1, 2, 3))

    assert (result.exit_code, result.stderr) == (0, "")
    (batch,) = rows(terminal, Batch)
    assert (batch.name, batch.expected) == ("show.csv", 3)
    assert result.stdout == f"show.csv: 3 lines, 3 accepted. Batch {batch.id}\n"
    assert {row.idempotency_key for row in rows(terminal)} == {"t-1", "t-2", "t-3"}


def test_json_tells_the_figures_and_the_batch(terminal: Terminal, tmp_path: Path) -> None:
    result = terminal.run("import", written(tmp_path, 1, 2), "--json", "--name", "The show")

    told = json.loads(result.stdout)
    assert (told["batch"]["name"], told["batch"]["lines"]) == ("The show", 2)
    assert [told[name] for name in ("lines", "accepted", "repeated", "refused", "invalid")] == [2, 2, 0, 0, 0]


@pytest.mark.parametrize("option", [(), ("--name", "piped")])
def test_standard_input_can_be_imported(terminal: Terminal, option: tuple[str, ...]) -> None:
    typed = '{"idempotency_key": "t-1", "booking_id": "BOOK-1-INS"}\n'
    result = terminal.run("import", "-", "--format", "jsonl", *option, typed=typed)

    assert (result.exit_code, len(rows(terminal))) == (0, 1), result.output
    assert rows(terminal, Batch)[0].name == (option[1] if option else "stdin")


def test_wrong_lines_exit_2_and_nothing_is_sent(terminal: Terminal, tmp_path: Path) -> None:
    result = terminal.run("import", written(tmp_path, 1, 1, more="B 2,t-2\n"))

    assert result.exit_code == 2
    assert result.stderr.splitlines()[0] == "line 3: idempotency_key: 't-1' is the key of a line before"
    assert result.stderr.splitlines()[1].startswith("line 4: booking_id: ")
    assert result.stdout == "Lines: 3, wrong: 2. Nothing was sent.\n"
    assert rows(terminal, Batch) == []


def test_fifty_wrong_lines_are_shown_and_the_rest_counted(terminal: Terminal, tmp_path: Path) -> None:
    result = terminal.run("import", written(tmp_path, *[1] * 71))

    assert len(result.stderr.splitlines()) == 51
    assert result.stderr.splitlines()[-1] == "and 20 more wrong lines"


def test_the_others_are_sent_when_asked_to(terminal: Terminal, tmp_path: Path) -> None:
    result = terminal.run("import", written(tmp_path, 1, 1, 2, more="B 3,t-3\n"), "--skip-invalid")

    assert result.exit_code == 0
    assert "4 lines, 2 accepted, 2 invalid" in result.stdout
    assert "line 3" in result.stderr
    assert {row.idempotency_key for row in rows(terminal)} == {"t-1", "t-2"}


@pytest.mark.parametrize(("more", "code"), [("", 0), ("B 3,t-3\n", 2)])
def test_a_dry_run_needs_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, code: int) -> None:
    monkeypatch.delenv("CFAR_TOKEN", raising=False)
    arguments = ["import", written(tmp_path, 1, more=more), "--dry-run", "--json"]

    result = click.testing.CliRunner().invoke(cli.main, arguments)

    assert result.exit_code == code
    assert json.loads(result.stdout)["invalid"] == (1 if more else 0)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "", "--format"),
        ("a.csv", "booking_id\nB-1\n", "--key-field"),
        ("a.csv", "booking_id,idempotency_key,x\n", "Unknown columns: x"),
    ],
)
def test_a_file_that_cannot_be_made_out_exits_2(
    terminal: Terminal, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)

    result = terminal.run("import", str(tmp_path / name))

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_line_that_the_service_refuses_is_told_and_exits_1(terminal: Terminal, tmp_path: Path) -> None:
    terminal.run("cancel", "OTHER-1-INS", "--key", "t-2")
    report = tmp_path / "report.csv"

    result = terminal.run("import", written(tmp_path, 1, 2, 3), "--report", str(report))

    assert result.exit_code == 1
    assert "3 lines, 2 accepted, 1 refused" in result.stdout
    assert result.stderr.startswith("line 3: idempotency-key-reused: ")
    told = list(csv.DictReader(report.read_text().splitlines()))
    by_key = {row.idempotency_key: str(row.id) for row in rows(terminal)}
    assert [(line["line"], line["idempotency_key"], line["id"]) for line in told] == [
        ("2", "t-1", by_key["t-1"]), ("3", "t-2", ""), ("4", "t-3", by_key["t-3"]),
    ]  # fmt: skip
    assert told[1]["problem"].startswith("idempotency-key-reused")


def test_what_only_the_service_finds_wrong_is_told_by_the_files_lines(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("booking_id,idempotency_key,refund_mode\nB-1,t-1,\nB-2,t-2,call\n")

    stopped = terminal.run("import", str(path))
    skipping = terminal.run("import", str(path), "--skip-invalid")

    assert (stopped.exit_code, skipping.exit_code) == (1, 1)
    assert "line 3: it: This deployment asks nobody for refunds" in stopped.stderr
    assert "2 lines, 1 accepted, 1 refused" in skipping.stdout


def test_importing_again_repeats_nothing(terminal: Terminal, tmp_path: Path) -> None:
    path = written(tmp_path, *range(1_300))
    terminal.run("import", path)
    again = Failing(terminal, {})
    result = import_over(again, path)

    assert "1300 lines, 0 accepted, 1300 repeated" in result.stdout
    assert [len(keys) for keys in again.sent] == [0, 500, 300]
    assert (len(rows(terminal)), len(rows(terminal, Batch))) == (1_300, 1)


def test_an_import_that_was_cut_short_goes_on_where_it_was(terminal: Terminal, tmp_path: Path, pauses: Any) -> None:
    path = written(tmp_path, *range(1_800))
    cut = Failing(terminal, {number: httpx.ConnectError("away") for number in range(4, 100)})
    assert import_over(cut, path).exit_code == 1
    held = len(rows(terminal))
    resumed = Failing(terminal, {})

    result = import_over(resumed, path)

    assert held == 1_800  # the last chunk arrived, although its answer was lost
    assert result.exit_code == 0
    assert resumed.sent[1][0] == "t-1000"
    assert len(rows(terminal)) == 1_800


def test_lines_of_others_in_the_batch_do_not_lead_to_missing_ones(terminal: Terminal, tmp_path: Path) -> None:
    path = written(tmp_path, *range(1_600))
    away = httpx.Response(403, json={"title": "no", "status": 403})
    import_over(Failing(terminal, {2: away}), path)
    assert len(rows(terminal)) == 500
    batch = rows(terminal, Batch)[0].id
    foreign = {"cancellations": [{"idempotency_key": f"x-{n}", "booking_id": "B-1"} for n in range(500)]}
    api = Api("http://cfar", SHOP, transport=httpx.WSGITransport(app=terminal.gateway.app))
    for part in range(2):
        for line in foreign["cancellations"]:
            line["idempotency_key"] += f"-{part}"
        api.post(f"/v1/batches/{batch}/cancellations", foreign)

    assert import_over(Failing(terminal, {}), path).exit_code == 0

    assert {f"t-{number}" for number in range(1_600)} <= {row.idempotency_key for row in rows(terminal)}


def come_back(status: int, wait: str | None = None) -> Callable[[], httpx.Response]:
    headers = {"Retry-After": wait} if wait else {}
    return lambda: httpx.Response(status, json={"title": "Later", "status": status}, headers=headers)


def test_a_service_that_is_away_for_a_while_is_asked_again(
    terminal: Terminal, tmp_path: Path, pauses: list[float]
) -> None:
    faults = {
        0: come_back(503, "7")(), 1: come_back(429)(), 2: httpx.ConnectError("away"), 4: httpx.ReadTimeout("lost"),
        5: httpx.Response(502, text="<html>"),
    }  # fmt: skip

    result = import_over(Failing(terminal, faults), written(tmp_path, 1, 2))

    assert result.exit_code == 0
    assert pauses == [7.0, 2.0, 4.0, 1.0, 2.0]
    assert len(rows(terminal)) == 2
    assert "Trying again in 7 s." in result.stderr


def test_a_service_that_stays_away_exits_1_and_tells_how_to_go_on(
    terminal: Terminal, tmp_path: Path, pauses: list[float]
) -> None:
    result = import_over(Failing(terminal, {-1: come_back(503)()}), written(tmp_path, 1))

    assert result.exit_code == 1
    assert "the same command goes on from here" in result.stderr
    assert import_sending.PATIENCE <= sum(pauses) <= import_sending.PATIENCE + import_sending.LONGEST_WAIT
    assert sorted(pauses) == pauses


def test_a_batch_that_was_called_off_takes_no_more(terminal: Terminal, tmp_path: Path) -> None:
    path = written(tmp_path, *range(600))
    import_over(Failing(terminal, {2: httpx.Response(403, json={"title": "no", "status": 403})}), path)
    api = Api("http://cfar", SHOP, transport=httpx.WSGITransport(app=terminal.gateway.app))
    api.post(f"/v1/batches/{rows(terminal, Batch)[0].id}/call_off")

    result = terminal.run("import", path)

    assert result.exit_code == 1
    assert "called off" in result.stderr
    assert {row.status for row in rows(terminal)} == {"aborted"}
