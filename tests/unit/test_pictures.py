"""README.md and docs/ against what they are about: pictures that are drawn anew, and names that must not be missing."""

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from shared import problems
from shared.cancellation_request import RefundTerms
from shared.lifecycle import ALLOWED, STEPS, STEPS_CLAIM_FIRST, Journey, Status, Step
from shared.pictures import ACCEPTED, CAUSES, ENDED, PURPOSES, journey_table, rewritten, state_diagram
from shared.rulings import Resolution
from workers.partners import SwitchedOff

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
JOURNEYS = (ROOT / "docs" / "journeys.md").read_text(encoding="utf-8")

PAIRS = [(before, after) for before in Status for after in Status if after in ALLOWED[before]]
FROM_REFUND = "`refund`; if that is skipped, `confirm`"
TABLE = [
    ("cancel", "look_up preview refund⌛ confirm", FROM_REFUND),
    ("cancel_and_claim", "look_up preview refund⌛ confirm claim⌛", FROM_REFUND),
    ("cancel_and_claim", "look_up preview claim⌛ refund⌛ confirm", "`claim`"),
    ("claim", "look_up claim⌛", "`claim`"),
    ("cancel_now", "look_up cancel", "`cancel`"),
    ("claim_then_cancel", "look_up claim⌛ await_premium_refund⌛ preview refund⌛ confirm", "`claim`"),
]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_a_page_holds_what_would_be_generated(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")

    assert text == rewritten(text), "run: make docs"


def test_the_pages_have_the_generated_blocks() -> None:
    assert journey_table() in README
    assert journey_table() in JOURNEYS
    assert f"```mermaid\n{state_diagram()}\n```" in JOURNEYS


def test_a_stale_block_is_drawn_anew_and_the_rest_is_left_alone() -> None:
    text = "before\n<!-- generated: journeys -->\nold\n<!-- end -->\nafter <!-- end -->\n"

    assert (
        rewritten(text)
        == f"before\n<!-- generated: journeys -->\n\n{journey_table()}\n\n<!-- end -->\nafter <!-- end -->\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "<!-- generated: nonsense -->\n<!-- end -->",
        "<!-- generated: states -->\n",
        "<!-- generated: A b -->\n<!-- end -->",
    ],
)
def test_a_block_that_nothing_draws_or_that_never_ends_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="generated block"):
        rewritten(text)


def test_every_allowed_change_of_status_has_a_cause_and_no_forbidden_one_has() -> None:
    assert sorted(CAUSES) == sorted(PAIRS)


@pytest.mark.parametrize("label", sorted({*CAUSES.values(), *ACCEPTED.values()}))
def test_a_label_is_short_and_has_nothing_that_mermaid_reads_as_its_own(label: str) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z, ]{2,24}", label)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_picture_shows_every_allowed_change(before: Status, after: Status) -> None:
    line = f"{before} : ↻ {CAUSES[before, after]}" if before is after else f"{before} --> {after} : "

    assert sum(drawn.strip().startswith(line) for drawn in state_diagram().splitlines()) == 1


def test_the_picture_shows_nothing_else() -> None:
    arrows = re.findall(r"^    (\w+) --> (\w+) : ", state_diagram(), re.MULTILINE)

    assert {(Status(before), Status(after)) for before, after in arrows} <= set(PAIRS)
    assert state_diagram().count("-->") == len(arrows) + len(ACCEPTED) + len(ENDED)  # how it begins and ends


def test_the_state_picture_is_mermaid_with_every_node_declared() -> None:
    kind, direction, *lines = state_diagram().splitlines()
    node = r"(?:\w+|\[\*\])"
    declared = {found[1] for line in lines if (found := re.fullmatch(r'    state "\w+" as (\w+)', line))}
    arrows = [
        found.groups() for line in lines if (found := re.fullmatch(rf"    ({node}) --> ({node})(?: : .+)?", line))
    ]
    notes = [found[1] for line in lines if (found := re.fullmatch(r"    (\w+) : ↻ .+", line))]

    assert (kind, direction) == ("stateDiagram-v2", "    direction LR")
    assert declared == {status.value for status in Status}
    assert {end for arrow in arrows for end in arrow} == declared | {"[*]"}
    assert set(notes) <= declared
    assert len(lines) == len(declared) + len(arrows) + len(notes)


def test_every_order_of_steps_has_its_purpose() -> None:
    assert set(PURPOSES) == {*STEPS.values(), STEPS_CLAIM_FIRST}
    assert set(STEPS) == set(Journey)


def test_the_journeys_stand_with_their_steps_waits_and_points_of_no_return() -> None:
    rows = [line.strip("| ").split(" | ") for line in journey_table().splitlines()[2:] if line.startswith("|")]
    shown = [(name.strip("`"), steps.replace(" ⌛", "⌛").replace(" →", ""), end) for name, _, steps, end in rows]

    assert shown == TABLE


@pytest.mark.parametrize("name", [*Status, *Step, *Journey])
def test_every_status_step_and_journey_has_a_row_of_its_own(name: str) -> None:
    assert f"\n| `{name}` | " in JOURNEYS


@pytest.mark.parametrize("mode", get_args(get_args(RefundTerms.model_fields["mode"].annotation)[0]))
def test_every_refund_mode_is_told(mode: str) -> None:
    assert f"\n| `{mode}` | " in JOURNEYS
    assert f"`{mode}`" in README


@pytest.mark.parametrize("resolution", Resolution)
def test_every_button_has_its_command_line(resolution: Resolution) -> None:
    assert f'`cfar resolve ID {resolution} --note "…"' in JOURNEYS
    assert "`cfar retry ID`" in JOURNEYS


def test_every_reason_for_a_rejection_has_its_advice() -> None:
    assert _advised("is `rejected`") == _slugs_under("why a cancellation was rejected")


def test_every_reason_for_a_review_has_its_advice() -> None:
    switched_off = {off.slug for off in SwitchedOff.__subclasses__()}
    never_stored = {"unavailable"}  # nothing can be stored then

    reasons = _slugs_under("why a cancellation needs a person") - never_stored | switched_off | {"insurer-refused"}
    assert _advised("`needs_review`") == reasons


@pytest.mark.parametrize("module", sorted((ROOT / "workers").glob("*.py")), ids=lambda path: path.stem)
def test_every_problem_that_a_worker_writes_is_told(module: Path) -> None:
    written = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', module.read_text(encoding="utf-8"))) & set(problems.slugs())

    assert {slug for slug in written if f"`{slug}`" not in JOURNEYS} == set()


def test_the_steps_in_the_readmes_picture_are_all_of_them() -> None:
    labels = re.findall(r'worker -->\|"([^"]+)"\|', README)

    assert sorted(name.strip() for label in labels for name in re.split(r",|<br>", label) if name.strip()) == sorted(
        Step
    )


def test_the_readmes_picture_is_mermaid_with_every_node_declared() -> None:
    (picture,) = re.findall(r"```mermaid\n(flowchart LR\n.*?)```", README, re.DOTALL)
    bare = re.sub(r'"[^"\n]*"|\|[^|\n]*\|', "", picture)  # what is written on nodes and arrows
    declared = set(re.findall(r"(\w+)(?=[\[(])", bare))
    ends = {end for line in bare.splitlines()[1:] for end in re.findall(r"(?:^ +|> )(\w+)", line)}

    assert picture.count('"') % 2 == 0
    assert all(bare.count(left) == bare.count(right) for left, right in ("()", "[]"))
    assert ends == declared


def _slugs_under(comment: str) -> set[str]:
    """Return the problems that stand under a comment of the table."""
    table = inspect.getsource(problems).split(f"# {comment}\n", 1)[1]
    return set(re.findall(r'^    "([a-z-]+)": \(', re.split(r"^    #|^}", table, flags=re.MULTILINE)[0], re.MULTILINE))


def _advised(heading: str) -> set[str]:
    """Return the problems that a section of the page has a row for."""
    section = JOURNEYS.split(f"## Why a cancellation {heading}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([a-z-]+)` \| ", section, re.MULTILINE))
