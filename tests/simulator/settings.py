"""The switches that hold for the whole simulator, changed while it runs through the control interface."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tests.simulator.random_faults import RandomFaults
from tests.simulator.records import KeyMode, RefundAnswer

DAY = 24 * 3600


class BookingReceiver(BaseModel):
    """Whom XCover tells of its bookings, set up once for a partner with a key and a secret of the partner's choice."""

    model_config = ConfigDict(extra="forbid")

    url: str
    key: str
    secret: str


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    key_mode: KeyMode = "honoured"
    xclaim_keys: Literal["ignored", "honoured"] = "ignored"
    duplicates: Literal["refuse", "accept"] = "refuse"
    refund_answer: RefundAnswer = "paid"  # the partner's: 200, 201, or 202 and paid later
    random_faults: RandomFaults | None = None  # None is off
    rate_limit: float = 0  # XCover requests a second; 0 is off
    retry_after: int | None = None  # sent with 429 when set
    outage: int | None = None  # every request of the insurer's is answered with this status
    latency: float = 0  # seconds before each answer
    clock_offset_seconds: float = 0
    preview_validity: float = DAY
    token_lifetime: float = 14 * DAY
    list_pagination: int = 0  # claims a page; 0 is all at once
    list_pending: bool = True  # claims still being processed are listed, without id
    booking_webhooks: BookingReceiver | None = None  # None: nobody is told
    webhook_encoding: Literal["hex", "base64"] = "hex"
    webhook_tries: int = 5
    webhook_spacing: float = 0.3  # before the second try; doubles with each
    webhook_timeout: float = 3
