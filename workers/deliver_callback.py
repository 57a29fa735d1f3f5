"""A change of a cancellation that somebody wants to be told of → their endpoint → the next change's turn."""

from uuid import UUID

import structlog

from shared import callbacks
from shared.callback_answers import Told
from shared.callbacks import Held
from shared.db import AWAY
from shared.lifecycle import TaskName
from workers.app import app
from workers.runtime import runtime

log = structlog.get_logger()


@app.task(name=TaskName.DELIVER_CALLBACK)
def deliver(callback_id: str) -> None:
    """Send one message that is due; repeated under the same id when it is not known whether it arrived."""
    with runtime().database.transaction() as tx:
        held = callbacks.begin(tx, UUID(callback_id))
    if held is None:
        return
    try:
        told = _tell(held)
    except AWAY:
        raise
    except Exception as error:
        _finish(held, Told(error=f"not sent: {type(error).__name__}", was_tried=False))
        raise
    _finish(held, told)


def _tell(held: Held) -> Told:
    """Send it. Asks somebody else's server; no transaction is open."""
    secrets = runtime().settings.callback_secrets.get(held.place.caller, ())
    if not secrets:
        return Told(error="not sent: CALLBACK_SECRETS holds no secret of its caller", was_tried=False)
    return runtime().callbacks.post(
        held.place.url,
        held.callback.payload,
        message_id=str(held.callback.id),
        secrets=[secret.get_secret_value() for secret in secrets],
    )


def _finish(held: Held, told: Told) -> None:
    with runtime().database.transaction() as tx:
        callbacks.finish(tx, held, told)
    said = {"callback_id": str(held.callback.id), "cancellation_id": str(held.callback.cancellation_id)}
    if told.is_taken:
        log.info("callback_delivered", **said, status=told.status, tries=held.callback.tries)
    else:
        log.warning("callback_not_taken", **said, error=told.error, tries=held.callback.tries)
