"""What docs/callbacks.md tells a partner's engineer is so."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from shared.lifecycle import Status
from shared.milestones import DEFAULT_MAPPING
from shared.signing import signed_headers

PAGE = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text()
OLD, NEW = "whsec_c2VjcmV0X29mX2NhbGxiYWNrc19vZl90aGVfc2hvcA==", "whsec_YW5vdGhlcl9zZWNyZXRfdGhhdF9yZXBsYWNlc19pdA=="
BODY = '{"data":{"note":"grüße"},"type":"cancellation.completed"}'


def is_genuine(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Run the page's own ten lines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return bool(names["is_genuine"](headers, body, secret))


def signed(*secrets: str, age: timedelta = timedelta(0)) -> dict[str, str]:
    keys = [Webhook(secret) for secret in secrets]
    return signed_headers(keys, message_id="message-1", at=datetime.now(UTC) - age, content=BODY)


@pytest.mark.parametrize("secret", [OLD, NEW], ids=["old", "new"])
def test_the_pages_ten_lines_verify_what_we_sign(secret: str) -> None:
    assert is_genuine(signed(OLD, NEW), BODY.encode(), secret)
    assert Webhook(secret).verify(BODY, signed(OLD, NEW))


def test_they_refuse_what_we_did_not_sign() -> None:
    assert not is_genuine(signed(OLD), BODY.encode() + b" ", OLD)
    assert not is_genuine(signed(OLD), BODY.encode(), NEW)
    assert not is_genuine(signed(OLD) | {"webhook-id": "message-2"}, BODY.encode(), OLD)
    assert not is_genuine(signed(OLD, age=timedelta(minutes=6)), BODY.encode(), OLD)


def test_the_page_names_every_status_and_milestone() -> None:
    assert [word for word in (*Status, *DEFAULT_MAPPING) if f"`{word}`" not in PAGE] == []
