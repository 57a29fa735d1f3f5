"""Many webhooks are rung for by one message; a worker makes a message of each, and the sweeper sees them wait."""

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from shared import broker
from shared.db import Message
from shared.lifecycle import TaskName
from workers.app import app
from workers.fan_out_webhooks import fan_out
from workers.queues import oldest_row_ids

FIRST, SECOND, THIRD = (uuid4() for _ in range(3))
WEBHOOKS: list[Message] = [(TaskName.HANDLE_WEBHOOK, row_id) for row_id in (FIRST, SECOND, THIRD)]
OTHER: Message = (TaskName.LOOK_UP, uuid4())


@pytest.fixture
def queue(broker: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker) as server:
        server.delete("steps.bulk", "webhooks")
        yield server
        server.delete("steps.bulk", "webhooks")


def waiting(queue: redis.Redis, name: str) -> list[tuple[str, list[str]]]:
    """Return task and arguments of each message, the oldest first."""
    found: Any = queue.lrange(name, 0, -1)
    messages = [json.loads(message) for message in reversed(found)]
    return [(one["headers"]["task"], json.loads(b64decode(one["body"]))[0]) for one in messages]


def test_webhooks_are_gathered_and_nothing_else_is(queue: redis.Redis) -> None:
    assert broker.publish(app, [WEBHOOKS[0], OTHER, *WEBHOOKS[1:]], is_gathered=True)

    assert waiting(queue, "webhooks") == [("webhook.fan_out", [str(FIRST), str(SECOND), str(THIRD)])]
    assert waiting(queue, "steps.bulk") == [("cancellation.look_up", [str(OTHER[1])])]


def test_a_single_webhook_is_rung_for_by_its_own_message(queue: redis.Redis) -> None:
    assert broker.publish(app, [WEBHOOKS[0], OTHER], is_gathered=True)

    assert waiting(queue, "webhooks") == [("webhook.handle", [str(FIRST)])]


def test_a_worker_makes_a_message_of_each(queue: redis.Redis) -> None:
    fan_out(str(FIRST), str(SECOND))

    assert waiting(queue, "webhooks") == [("webhook.handle", [str(FIRST)]), ("webhook.handle", [str(SECOND)])]


def test_the_sweeper_sees_gathered_webhooks_wait(queue: redis.Redis) -> None:
    broker.publish(app, WEBHOOKS, is_gathered=True)

    assert oldest_row_ids("webhooks") == [UUID(str(FIRST))]
