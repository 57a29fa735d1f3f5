"""One message about many webhooks → a message about each, so that many workers share them.

The gateway publishes seldom under load: publishing takes longer than storing. Nothing is decided here.
"""

from uuid import UUID

from shared import broker
from shared.lifecycle import TaskName
from workers.app import app


@app.task(name=TaskName.FAN_OUT_WEBHOOKS)
def fan_out(*delivery_ids: str) -> None:
    """Ring for each delivery; what cannot be sent now, the sweeper rings for."""
    broker.publish(app, [(TaskName.HANDLE_WEBHOOK, UUID(delivery_id)) for delivery_id in delivery_ids])
