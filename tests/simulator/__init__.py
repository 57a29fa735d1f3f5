"""The insurer, simulated: XCover and XClaim over real HTTP, strict, with faults, webhooks and a ledger.

Beside it the partner who refunds the customer when called, with the same faults and the same ledger.

It is an independent judge and imports nothing of what it judges.
"""

from tests.simulator.client import SimBooking, SimulatorControl
from tests.simulator.credentials import (
    CLAIM_TYPE_ID,
    PARTNER_CODE,
    REFUND_SECRET,
    XCLAIM_API_KEY,
    XCLAIM_PASSWORD,
    XCLAIM_TOKEN,
    XCOVER_API_KEY,
    XCOVER_API_SECRET,
    Credentials,
)
from tests.simulator.server import SimulatorServer

__all__ = [
    "CLAIM_TYPE_ID",
    "PARTNER_CODE",
    "REFUND_SECRET",
    "XCLAIM_API_KEY",
    "XCLAIM_PASSWORD",
    "XCLAIM_TOKEN",
    "XCOVER_API_KEY",
    "XCOVER_API_SECRET",
    "Credentials",
    "SimBooking",
    "SimulatorControl",
    "SimulatorServer",
]
