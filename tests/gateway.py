"""The gateway for tests: its settings, a client with a token, and cancellations brought to where a test needs them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared import calls, claims, clock
from shared.cancellations import await_refund, begin_step, finish_step, park, pass_point_of_no_return
from shared.config import WebSettings
from shared.db import Database
from shared.lifecycle import Step
from shared.models import Cancellation
from webhook_gateway.app import create_app

SHOP, OTHER, OPERATOR = "shop-token", "other-token", "operator-token"
WEBHOOK_KEYS = ("first-master", "second-master")
URL = "/v1/cancellations"
BOOKING = "8WD8Y-LTEKE-INS"


def web_settings(**changes: Any) -> WebSettings:
    """Return a gateway's settings, whatever the environment says."""
    values: dict[str, Any] = {
        "xcover_partner_code": "ABCDE",
        "api_tokens": f"shop:{SHOP},other:{OTHER},anna:{OPERATOR}:operator",
        "xclaim_webhook_keys": ",".join(WEBHOOK_KEYS),
        "xclaim_claim_type_id": "cfar",
        "caller_rate_limit": 0,  # tests ask faster than callers, and share their names
        **changes,
    }
    return WebSettings(**values)


class Gateway:
    """The app on a database, asked by one of its callers."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.app = create_app(web_settings(**settings), database=database)
        self.client: FlaskClient = self.app.test_client()

    def get(self, path: str, *, token: str = SHOP, **more: Any) -> TestResponse:
        """GET below /v1/cancellations."""
        return self.client.get(URL + path, headers=bearer(token), **more)

    def post(self, path: str = "", body: Any = None, *, token: str = SHOP, **headers: str) -> TestResponse:
        """POST JSON below /v1/cancellations; `Idempotency_Key="k"` is a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(URL + path, json=body, headers=bearer(token) | named)

    def accept(self, *, key: str = "key-1", token: str = SHOP, **body: Any) -> str:
        """Hand over a cancellation and return its id."""
        answer = self.post("", {"booking_id": BOOKING, **body}, token=token, Idempotency_Key=key)
        assert answer.status_code == 202, answer.text
        return str(answer.get_json()["id"])

    def accept_previewed(self, *, total: str = "22.40", currency: str = "EUR", **more: Any) -> str:
        """Hand over one and bring it to where it waits for the refund report."""
        found = self.accept(**more)
        bring_to_refund(self.database, UUID(found), total=total, currency=currency)
        return found

    def parked_at_refund(self, **more: Any) -> str:
        """Bring one to where nobody reported its refund in time."""
        found = self.accept_previewed(**more)
        with clock.travel(timedelta(hours=2)), self.database.transaction() as tx:
            held = begin_step(tx, UUID(found), Step.REFUND)
            assert held is not None
            park(tx, held, "refund-not-reported", "No refund was reported within 14 days.")
        return found

    def parked_at_confirm(self, **more: Any) -> str:
        """Bring one to where nobody knows whether its confirm arrived."""
        found = self.accept_previewed(**more)
        report = {"amount": "22.40", "currency": "EUR", "reference": "re_123"}
        assert self.post(f"/{found}/refund", report).status_code == 200
        self.call_and_park(found, Step.CONFIRM, "unknown", "outcome-unsettled", "Nobody can tell.")
        return found

    def parked_at_claim(self, **more: Any) -> str:
        """Bring one to where its claim was refused."""
        found = self.accept(journey="claim", **more)
        with self.database.transaction() as tx:
            held = begin_step(tx, UUID(found), Step.LOOK_UP)
            assert held is not None
            finish_step(tx, held, Step.LOOK_UP, "done by a test", claim_quote_id="q-1")
        self.call_and_park(found, Step.CLAIM, "refused", "insurer-refused", "The claim was refused.")
        return found

    def call_and_park(self, cancellation_id: str, step: Step, outcome: str, slug: str, detail: str) -> None:
        """Let a step make its call, which ends like this, and leave the rest to a person."""
        with self.database.transaction() as tx:
            held = begin_step(tx, UUID(cancellation_id), step)
            assert held is not None
            pass_point_of_no_return(tx, held)
            if step is Step.CLAIM:
                claims.open_claim(tx, held, claim_type_id="cfar")
            call = calls.intend(tx, held, step, round_number=1, body={}, evidence={})
            calls.record(tx, call, outcome)
            park(tx, held, slug, detail)

    def row(self, cancellation_id: str) -> Cancellation:
        """Return the row as it is now."""
        with self.database.reading() as session:
            return session.get_one(Cancellation, UUID(cancellation_id))


def bearer(token: str) -> dict[str, str]:
    """Return the header of a caller."""
    return {"Authorization": f"Bearer {token}"}


def bring_to_refund(database: Database, cancellation_id: UUID, *, total: str, currency: str) -> None:
    """Do what the look-up, the preview and the first look at the refund do, without an insurer."""
    preview = {
        "preview_cancellation_id": "90o3N-fIexx-Zw2bd-CCL",
        "preview_total": Decimal(total),
        "preview_currency": currency,
        "preview_confirm_before": datetime(2021, 1, 8, 18, 19, 4, 228699, tzinfo=UTC),
    }
    for step, values in ((Step.LOOK_UP, {"quotes": [{"id": "q-1"}]}), (Step.PREVIEW, preview)):
        with database.transaction() as tx:
            held = begin_step(tx, cancellation_id, step)
            assert held is not None, step
            finish_step(tx, held, step, "done by a test", **values)
    with database.transaction() as tx:
        held = begin_step(tx, cancellation_id, Step.REFUND)
        assert held is not None
        await_refund(tx, held, "waits for the report", seconds=3600)
