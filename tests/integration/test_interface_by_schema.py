"""What the OpenAPI document says of the webhook routes is so, for requests drawn from it or against it."""

from collections.abc import Iterable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance

from shared.db import Database
from tests.gateway import OPERATOR, WEBHOOK_KEYS, Gateway, bearer, web_settings
from tests.integration.test_gateway_webhooks import EVENT, signed
from tests.recording import RecordingDatabase
from webhook_gateway.app import create_app

EXAMPLES = 30
BY_SIGNATURE = {"POST /webhooks/xclaim", "POST /webhooks/xclaim/{token}", "POST /webhooks/xcover"}
"""What is drawn for these is not signed, and so is refused although it is as the document says."""


class Relay:
    """The gateway that a test has just made, behind one address."""

    def __init__(self) -> None:
        nowhere = Database("sqlite:////nowhere/cfar.db", publish=lambda _messages: None)
        self.app = create_app(web_settings(), database=nowhere)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.app(environ, start_response)


RELAY = Relay()
OPERATIONS = {
    operation.label: operation
    for operation in (
        found.ok() for found in schemathesis.openapi.from_wsgi("/openapi.json", RELAY).get_all_operations()
    )
    if "webhooks" in operation.path
}


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    """A gateway that has webhooks to show."""
    made = Gateway(database)
    for number in range(3):
        made.client.post("/webhooks/xclaim", **signed(EVENT.replace(b"c-1", b"c-%d" % number), WEBHOOK_KEYS[0]))
    return made


def test_every_webhook_route_is_in_the_document() -> None:
    assert OPERATIONS.keys() > BY_SIGNATURE
    assert len(OPERATIONS) == 9


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", OPERATIONS)
def test_a_webhook_route_is_what_the_document_says(gateway: Gateway, label: str, mode: GenerationMode) -> None:
    excluded = [positive_data_acceptance] if label in BY_SIGNATURE else []
    RELAY.app = gateway.app

    @given(OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: Case) -> None:
        case.call_and_validate(headers=bearer(OPERATOR), excluded_checks=excluded)

    ask()
