"""A client that a stock generator makes of /openapi.json carries a cancellation through a gateway that is served."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.cancellations import begin_step, park
from shared.lifecycle import Step
from tests.gateway import BOOKING, SHOP
from tests.integration.conftest import serving
from tests.recording import RecordingDatabase

NAME = "generated_cfar_client"


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A gateway's address and its database."""
    folder = tmp_path_factory.mktemp("web")
    with serving(sqlite_template, folder, CALLER_RATE_LIMIT="0") as found:
        yield found.url, folder / "cfar.db"


@pytest.fixture(scope="module")
def client_package(served: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a package generated from the served document, ready to be imported."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_bytes(httpx.get(f"{served[0]}/openapi.json").content)
    (folder / "config.yaml").write_text("post_hooks: []\n")  # nobody reads the code, so nobody need format it
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
    files = ["--path", "openapi.json", "--config", "config.yaml", "--output-path", NAME]
    made = subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield NAME
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


class Caller:
    """Whoever uses the generated package."""

    def __init__(self, package: str, url: str, token: str) -> None:
        self._package = package
        self.client = self.module("").AuthenticatedClient(base_url=url, token=token)

    def module(self, path: str) -> ModuleType:
        return importlib.import_module(f"{self._package}{path}")

    def ask(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Call `api/cancellations/<operation>` and return its status, headers and parsed body."""
        return self.module(f".api.cancellations.{operation}").sync_detailed(*args, client=self.client, **kwargs)

    def request(self, **fields: Any) -> Any:
        return self.module(".models").CancellationRequest.from_dict({"booking_id": BOOKING, **fields})


@pytest.fixture
def caller(client_package: str, served: tuple[str, Path]) -> Iterator[Caller]:
    made = Caller(client_package, served[0], SHOP)
    with made.client:
        yield made


def test_a_cancellation_is_handed_over_shown_listed_and_taken_back(caller: Caller) -> None:
    models = caller.module(".models")
    body = caller.request(metadata={"order": "A-1001"})

    created = caller.ask("create_cancellation", body=body, idempotency_key="order-A-1001")
    again = caller.ask("create_cancellation", body=body, idempotency_key="order-A-1001")
    shown = caller.ask("get_cancellation", created.parsed.id)
    listed = caller.ask("list_cancellations", idempotency_key="order-A-1001", limit=1)
    story = caller.ask("list_cancellation_events", created.parsed.id)
    aborted = caller.ask("abort_cancellation", created.parsed.id)

    answers = (created, again, shown, listed, story, aborted)
    assert [answer.status_code for answer in answers] == [202, 200, 200, 200, 200, 200]
    assert created.headers["Location"] == f"/v1/cancellations/{created.parsed.id}"
    assert isinstance(created.parsed, models.CancellationResource)
    assert again.parsed == shown.parsed == created.parsed
    assert created.parsed.metadata["order"] == "A-1001"
    assert created.parsed.status is models.CancellationResourceStatus.IN_PROGRESS
    assert created.parsed.created_at.tzinfo is not None
    assert (listed.parsed.items, listed.parsed.next_cursor) == ([created.parsed], None)
    assert [(type(event), event.event) for event in story.parsed.items] == [(models.TransitionShown, "accepted")]
    assert (aborted.parsed.status, aborted.parsed.next_step) == ("aborted", None)


def test_why_a_cancellation_needs_review_is_read_as_a_problem(caller: Caller, served: tuple[str, Path]) -> None:
    accepted = caller.ask("create_cancellation", body=caller.request(), idempotency_key="order-A-1003").parsed
    behind = RecordingDatabase(f"sqlite:///{served[1]}")
    with behind.transaction() as tx:
        held = begin_step(tx, UUID(accepted.id), Step.LOOK_UP)
        assert held is not None
        park(tx, held, "outcome-unsettled", "Nobody can tell.")
    behind.close()

    shown = caller.ask("get_cancellation", accepted.id).parsed

    assert isinstance(shown.problem, caller.module(".models").Problem)
    assert (shown.status, shown.problem.type_) == ("needs_review", "/problems/outcome-unsettled")


def test_a_refusal_is_read_as_a_problem(caller: Caller) -> None:
    caller.ask("create_cancellation", body=caller.request(), idempotency_key="order-A-1002")

    reused = caller.ask("create_cancellation", body=caller.request(journey="claim"), idempotency_key="order-A-1002")
    unknown = caller.ask("get_cancellation", "01a1fdf5-fd9d-750d-bdfb-9093fdd6406a")

    assert (reused.status_code, reused.parsed.type_) == (422, "/problems/idempotency-key-reused")
    assert (unknown.status_code, unknown.parsed.type_) == (404, "/problems/not-found")
    assert unknown.parsed.detail.startswith("There is no cancellation")


def test_a_token_that_is_not_known_is_refused(client_package: str, served: tuple[str, Path]) -> None:
    stranger = Caller(client_package, served[0], "no-such-token")

    with stranger.client:
        answer = stranger.ask("list_cancellations")

    assert (answer.status_code, answer.parsed.type_) == (401, "/problems/unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
