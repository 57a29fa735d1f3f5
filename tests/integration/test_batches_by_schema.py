"""What the OpenAPI document says of the batches' routes is so, for requests drawn from it or against it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance

from tests.bulk import Bulk
from tests.gateway import SHOP, bearer
from tests.integration.test_interface_by_schema import EXAMPLES, RELAY
from tests.recording import RecordingDatabase

OPERATIONS = {
    operation.label: operation
    for operation in (
        found.ok() for found in schemathesis.openapi.from_wsgi("/openapi.json", RELAY).get_all_operations()
    )
    if operation.path.startswith("/v1/batches")
}


def test_every_route_of_batches_is_in_the_document() -> None:
    assert len(OPERATIONS) == 7


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", OPERATIONS)
def test_a_route_of_batches_is_what_the_document_says(
    database: RecordingDatabase, label: str, mode: GenerationMode
) -> None:
    bulk = Bulk(database)
    bulk.open(1, 2)
    RELAY.app = bulk.gateway.app
    # A request may be of the right shape and contradict itself: its line is refused then.
    excluded = [positive_data_acceptance] if label.startswith("POST") else []

    @given(OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: Case) -> None:
        case.call_and_validate(headers=bearer(SHOP), excluded_checks=excluded)

    ask()
