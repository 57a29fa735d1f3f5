"""Signatures by the Standard Webhooks scheme on what we send."""

from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook


def signed_headers(keys: Sequence[Webhook], *, message_id: str, at: datetime, content: str) -> dict[str, str]:
    """Return the headers that let a receiver verify the content; every key signs, while one replaces another."""
    now = at.astimezone(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(key.sign(message_id, now, content) for key in keys),
    }
