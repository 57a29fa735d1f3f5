"""What the OpenAPI document says of each route is so, for requests drawn from it and against it, with every check on.

For long: SCHEMA_EXAMPLES=500 .venv/bin/pytest --timeout 0 tests/integration/test_interface_by_*.py
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ensure_resource_availability, negative_data_rejection

from shared.db import Database
from tests.bulk import Bulk
from tests.gateway import OPERATOR, WEBHOOK_KEYS, bearer, web_settings
from tests.integration.test_gateway_webhooks import EVENT, signed
from tests.recording import RecordingDatabase
from webhook_gateway.app import create_app

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "8"))
"""Requests for each route and mode."""
ACCEPTED = ["2xx", "304", "401", "403", "404", "409", "422"]
"""To what is as its schema says. 422 is for what no schema can say, such as fields that contradict each other; a
refusal of parameters would be a 400."""
CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}},
        "phases": {"stateful": {"inference": {"algorithms": []}}},
    }
)


class Relay:
    """The gateway that the tests ask, behind an address that is there before it."""

    def __init__(self) -> None:
        nowhere = Database("sqlite:////nowhere/cfar.db", publish=lambda _messages: None)
        self.app = create_app(web_settings(), database=nowhere)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.app(environ, start_response)


RELAY = Relay()
SCHEMA = schemathesis.openapi.from_wsgi("/openapi.json", RELAY, config=CONFIG)
OPERATIONS = {operation.label: operation for operation in (found.ok() for found in SCHEMA.get_all_operations())}
ASKED = [
    (label, mode)
    for label, operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.body or operation.query or operation.path_parameters
]
"""A route that takes nothing can be asked in no wrong way."""


@pytest.fixture(scope="module", autouse=True)
def _gateway(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One gateway for all of them, with a batch, cancellations and webhooks to show; what they do to it stays."""
    path = tmp_path_factory.mktemp("interface") / "cfar.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = RecordingDatabase(f"sqlite:///{path}")
    bulk = Bulk(database)
    bulk.open(1, 2)
    bulk.gateway.accept(token=OPERATOR)
    for number in range(3):
        body = EVENT.replace(b"c-1", b"c-%d" % number)
        bulk.gateway.client.post("/webhooks/xclaim", **signed(body, WEBHOOK_KEYS[0]))
    RELAY.app = bulk.gateway.app
    yield
    database.close()


@pytest.mark.parametrize(("label", "mode"), ASKED, ids=[f"{mode.value} {label}" for label, mode in ASKED])
def test_a_route_is_what_the_document_says(label: str, mode: GenerationMode) -> None:
    @given(OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: Case) -> None:
        case.call_and_validate(headers=bearer(OPERATOR), excluded_checks=not_meant_for(case))

    ask()


def not_meant_for(case: Case) -> list[CheckFunction]:
    """Return the checks that take for wrong what the document says of this request in words."""
    body: dict[str, Any] = case.body if isinstance(case.body, dict) else {}
    if case.operation.path.startswith("/v1/batches") and body.get("skip_invalid") is True:
        return [negative_data_rejection]  # a wrong line is refused for itself, and the others are taken
    if case.operation.path.endswith("/callbacks/replay") and body.get("id") is not None:
        return [ensure_resource_availability]  # 404 says that there is no such message, not no such cancellation
    if any(value is None or value in ([], {}) for value in (case.query or {}).values()):
        return [negative_data_rejection]  # a parameter without a value is not sent, and so breaks no rule
    return []
