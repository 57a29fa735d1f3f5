"""What holds for every command of `cfar`, and docs/cli.md, which shows each of them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import click.testing
import pytest

from tests.gateway import BOOKING, SHOP
from webhook_gateway import cli
from webhook_gateway.cli_completion import SHELLS, VARIABLE

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
ID = "01a1ffea-c0c9-71b5-9a27-6ae6a077b5dd"
ARGUMENTS = {
    "cancel": [BOOKING],
    "list": [],
    "refund": [ID, "--amount", "1.00", "--currency", "EUR", "--reference", "re_1"],
    "resolve": [ID, "close", "--note", "seen"],
    "import": ["{file}"],
    "batches list": [],
    "webhooks list": [],
    "webhooks keys": [],
    "bulk retry": ["--status", "needs_review"],
    "bulk skip-wait": ["--next", "confirm"],
    "bulk abort": ["--partner", "ABCDE"],
    "pause": ["--everything"],
    "resume": ["--everything"],
    "pauses": [],
    "audit": [],
    "doctor": [],
    "erase": ["--booking", BOOKING],
}
"""What a command needs to be understood; without an entry: an id."""


def leaves(group: click.Group = cli.main, before: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield each command that does something, under its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


COMMANDS = dict(leaves())
ASKING = [name for name in COMMANDS if name != "completion"]
"""Those that ask the service."""


@pytest.fixture
def _away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFAR_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CFAR_TOKEN", SHOP)


def invoke(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli.main, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_so_does_each_option(name: str) -> None:
    command = COMMANDS[name]
    result = invoke(*name.split(), "--help")

    assert (result.exit_code, bool(command.help)) == (0, True)
    silent = {"status", "limit"}  # their choices say it
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help and option.name not in silent] == []


@pytest.mark.parametrize("name", ASKING)
def test_a_command_answers_in_json_when_asked(name: str) -> None:
    assert "--json" in {flag for option in COMMANDS[name].params for flag in option.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_usage_of_a_command_exits_2(name: str) -> None:
    result = invoke(*name.split(), "--no-such-option")

    assert (result.exit_code, "No such option" in result.stderr) == (2, True)


@pytest.mark.usefixtures("_away")
@pytest.mark.parametrize("name", ASKING)
def test_a_command_whose_service_is_away_exits_1(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_gateway.import_sending.PATIENCE", 0.0)
    file = tmp_path / "some.csv"
    file.write_text(f"idempotency_key,booking_id\nk-1,{BOOKING}\n")

    result = invoke(*name.split(), *(one.format(file=file) for one in ARGUMENTS.get(name, [ID])))

    assert (result.exit_code, "does not answer" in result.stderr) == (1, True), result.output


@pytest.mark.parametrize("group", [name for name, each in cli.main.commands.items() if isinstance(each, click.Group)])
def test_a_group_alone_shows_its_commands(group: str) -> None:
    result = invoke(group)

    assert (result.exit_code, "Commands:" in result.output) == (2, True)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gets_a_script_that_asks_through_our_variable(shell: str) -> None:
    result = invoke("completion", shell)

    assert result.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in result.stdout
    assert "cfar" in result.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("cfar can", ["cancel"]),
        ("cfar batches pa", ["pause"]),
        ("cfar cancel --dry", ["--dry-run"]),
        ("cfar list --status needs", ["needs_review"]),
    ],
    ids=["command", "subcommand", "option", "choice"],
)
def test_a_word_is_completed_by_clicks_protocol(words: str, wanted: list[str]) -> None:
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}

    result = click.testing.CliRunner().invoke(cli.main, [], prog_name="cfar", env=asked)

    assert [line.split(",")[1] for line in result.stdout.splitlines()] == wanted


def test_the_page_names_every_command_in_its_own_words() -> None:
    listed = dict(re.findall(r"^\| `cfar ([a-z -]+)` \| (.+) \|$", PAGE, re.MULTILINE))

    assert listed == {name: _first_sentence(command) for name, command in COMMANDS.items()}


def test_the_page_has_an_example_of_every_command_that_the_command_understands() -> None:
    shown: set[str] = set()
    for line in re.findall(r"^\$ cfar (.+)$", PAGE, re.MULTILINE):
        words = shlex.split(line, comments=True)
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        _understood(COMMANDS[name], name, words[len(name.split()) :])
        shown.add(name)

    assert shown == set(COMMANDS)


def _understood(command: click.Command, name: str, arguments: list[str]) -> None:
    """Raise click's own error unless the command takes these arguments."""
    without_files = ["-" if Path(one).suffix == ".csv" and one != "done.csv" else one for one in arguments]
    given: dict[str, Any] = command.make_context(name, without_files).params
    assert given or not command.params


def _first_sentence(command: click.Command) -> str:
    said = " ".join((command.help or "").split("\n\n")[0].split())
    return re.match(r".+?\.(?= |$)", said)[0]  # type: ignore[index]
