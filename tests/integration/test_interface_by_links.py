"""What the OpenAPI document says is so along its links too: each request takes what an answer before it has shown.

Drawn from the document and sent over HTTP to a gateway that is served as the Procfile says. `test_interface_by_schema`
tells how it is run for long.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, initialize
from schemathesis import Case
from schemathesis.checks import CheckFunction
from schemathesis.core.transport import Response
from schemathesis.generation.stateful.state_machine import APIStateMachine, StepInput, StepOutput

from tests.gateway import BOOKING, OPERATOR, WEBHOOK_KEYS, bearer
from tests.integration.conftest import serving
from tests.integration.test_gateway_webhooks import EVENT, signed
from tests.integration.test_interface_by_schema import CONFIG, EXAMPLES, not_meant_for

STEPS = 12
"""Requests in each story, at most."""
ANSWERS = Bundle("catch_all")
"""Where the state machine keeps what it may go on from."""


@pytest.fixture(scope="module")
def url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that has a webhook to show."""
    folder = tmp_path_factory.mktemp("links")
    with serving(sqlite_template, folder, API_TOKENS=f"anna:{OPERATOR}:operator", CALLER_RATE_LIMIT="0") as served:
        webhook: dict[str, Any] = signed(EVENT, WEBHOOK_KEYS[0])
        sent = httpx.post(f"{served.url}/webhooks/xclaim", content=webhook["data"], headers=webhook["headers"])
        assert sent.status_code == 200, sent.text
        yield served.url


def stories(url: str, seen: Counter[tuple[str, int]]) -> type[APIStateMachine]:
    """Return the machine that tells stories; it counts in `seen` which route answered what."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=CONFIG)
    keys = (f"key-{number}" for number in count())

    class Stories(schema.as_state_machine()):  # type: ignore[misc]  # made of the document
        @initialize(target=ANSWERS)
        def a_cancellation(self) -> StepOutput:
            return self._begin("POST", "/v1/cancellations", {"booking_id": BOOKING})

        @initialize(target=ANSWERS)
        def a_batch(self) -> StepOutput:
            lines = [{"booking_id": BOOKING, "idempotency_key": next(keys)}]
            return self._begin("POST", "/v1/batches", {"name": "show.csv", "cancellations": lines})

        @initialize(target=ANSWERS)
        def webhooks(self) -> StepOutput:
            return self._begin("GET", "/v1/webhooks")

        def _begin(self, method: str, path: str, body: Any = None) -> StepOutput:
            made = {"body": body, "headers": {"Idempotency-Key": next(keys)}} if body else {}
            case = schema[path][method].Case(**made)
            self.recorder.record_case(case=case)
            step = StepInput.initial(case)
            self.control.record_step(step, self.recorder)
            return self.step(step)

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": bearer(OPERATOR)}

        def after_call(self, response: Response, case: Case) -> None:
            super().after_call(response, case)
            seen[case.operation.label, response.status_code] += 1

        def validate_response(
            self, response: Response, case: Case, additional_checks: list[CheckFunction] | None = None, **how: Any
        ) -> None:
            case.validate_response(
                response,
                additional_checks=additional_checks,
                excluded_checks=not_meant_for(case),
                transport_kwargs=how or None,
                recorder=self.recorder,
            )

    return Stories


def test_every_story_goes_as_the_document_says(url: str) -> None:
    seen: Counter[tuple[str, int]] = Counter()

    stories(url, seen).run(
        settings=settings(
            max_examples=EXAMPLES + 4,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
    )

    went_on = {label for label, status in seen if status == 200 and "{id}" in label}
    assert seen["POST /v1/cancellations", 202] > EXAMPLES
    assert seen["POST /v1/batches", 201] > EXAMPLES
    assert len(went_on) >= 5, seen
