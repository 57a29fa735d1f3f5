"""Two releases at work: the previous one, unpacked from its archive, and this one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploys.release import ROOT, Release, unpack_previous
from tests.deploys.rollout import TOKENS, Setting
from tests.servers import fresh_database, postgresql_server, redis_server
from tests.simulator import (
    CLAIM_TYPE_ID,
    PARTNER_CODE,
    REFUND_SECRET,
    XCLAIM_API_KEY,
    XCLAIM_PASSWORD,
    XCOVER_API_KEY,
    XCOVER_API_SECRET,
    SimulatorServer,
)
from tests.simulator.receiver import Receiver


def service_settings(simulator: SimulatorServer, *, redis_url: str, public_url: str) -> dict[str, str]:
    """Return the settings of every process: names that upstream systems and operators rely on."""
    return {
        "REDIS_URL": redis_url,
        "PUBLIC_URL": public_url,
        "XCOVER_BASE_URL": simulator.xcover_url,
        "XCOVER_PARTNER_CODE": PARTNER_CODE,
        "XCOVER_RATE_LIMIT": "10000",
        "XCOVER_API_KEY": XCOVER_API_KEY,
        "XCOVER_API_SECRET": XCOVER_API_SECRET,
        "XCLAIM_BASE_URL": simulator.xclaim_url,
        "XCLAIM_API_KEY": XCLAIM_API_KEY,
        "XCLAIM_PASSWORD": XCLAIM_PASSWORD,
        "XCLAIM_CLAIM_TYPE_ID": CLAIM_TYPE_ID,
        # With the list of all claims, one that another booking has being processed leaves the reading incomplete.
        "XCLAIM_CLAIMS_BY_BOOKING_PATH": "partners/{partner}/bookings/{booking_id}/claims",
        "XCLAIM_WEBHOOK_KEYS": "first-webhook-master-key",
        "API_TOKENS": f"shop:{TOKENS['shop']},ops:{TOKENS['ops']}:operator",
        "REFUND_URL": simulator.refund_url,
        "REFUND_SECRET": REFUND_SECRET,
    }


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """The insurer, where its webhooks arrive, and both releases, each in a process of its own."""
    folder = tmp_path_factory.mktemp("releases")
    with (
        SimulatorServer() as simulator,
        Receiver() as receiver,
        redis_server(private=True) as redis_url,
        ExitStack() as stack,
    ):
        env = service_settings(simulator, redis_url=redis_url, public_url=receiver.url.removesuffix("/hook"))
        previous = Release("previous", unpack_previous(folder / "previous"), env, folder)
        this = Release("this", ROOT, env, folder)
        yield Setting(simulator, receiver, stack.enter_context(previous), stack.enter_context(this))


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of either kind without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'cfar.db'}"
        return
    with postgresql_server() as server, fresh_database(server) as url:
        yield url.replace("postgresql://", "postgresql+psycopg://", 1)
