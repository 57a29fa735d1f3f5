"""A claim of which no webhook tells for a while → what XClaim says of it → the journey that waits for it."""

from uuid import UUID

import structlog

from shared import claim_polls, claims, transitions
from shared.db import AWAY
from shared.insurer.errors import InsurerError, NotFound
from shared.lifecycle import TaskName
from shared.models import Claim
from workers import claim_news
from workers.app import app
from workers.partners import SwitchedOff
from workers.runtime import runtime

NOT_SHOWN = "claim_not_shown"
"""The line in the timeline that tells, once for each claim, that XClaim does not show it."""

log = structlog.get_logger()


@app.task(name=TaskName.POLL_CLAIM)
def poll(claim_row_id: str) -> None:
    """Ask XClaim once about a claim that was rung for, and take what is new; harmless when run twice."""
    with runtime().database.transaction() as tx:
        taken = claim_polls.begin(tx, UUID(claim_row_id))
    if taken is None:
        return
    claim, asked_at = taken
    try:
        answer = claim_news.read(claim)
        with runtime().database.transaction() as tx:
            if not claim_news.take_answer(tx, claim, answer, asked_at=asked_at, event=None).has_effect:
                claim_polls.ask_later(tx, claim, polls=claim.polls + 1)
    except AWAY:
        raise  # nothing can be written now; the sweeper rings again
    except NotFound as error:
        _ask_rarely(claim, error)
    except (InsurerError, SwitchedOff) as error:
        _ask_later(claim, str(error), polls=claim.polls)  # no answer is no reason to ask less often
    except claims.NotOurClaim as error:
        _ask_later(claim, str(error), polls=claim.polls + 1)
    except Exception as error:
        _ask_later(claim, f"failed with {type(error).__name__}", polls=claim.polls + 1)
        raise


def _ask_rarely(claim: Claim, error: NotFound) -> None:
    """Tell a person that XClaim does not show the claim; what became of it is not guessed."""
    with runtime().database.transaction() as tx:
        claim_polls.ask_later(tx, claim, polls=claim_polls.RAREST)
        row = transitions.lock(tx, claim.cancellation_id)
        if row is not None and not transitions.is_noted(tx.session, row.id, NOT_SHOWN, str(claim.id)):
            reason = f"{error}; it is asked about once a day from now on"
            transitions.note(tx, row, NOT_SHOWN, actor="xclaim", reason=reason, details={"about": str(claim.id)})
    log.warning(NOT_SHOWN, claim=claim.reference or claim.claim_id, error=error.in_brief, next="asked again in a day")


def _ask_later(claim: Claim, error: str, *, polls: int) -> None:
    with runtime().database.transaction() as tx:
        claim_polls.ask_later(tx, claim, polls=polls)
    log.warning("claim_not_read", claim=claim.reference or claim.claim_id, error=error, next="asked again later")
