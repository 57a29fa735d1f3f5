"""XClaim's eligibility check: asked at look-up, and again before the first thing that cannot be taken back."""

from shared.insurer.errors import Misdirected, NotAllowed, Refused
from shared.lifecycle import Step
from shared.models import Cancellation
from workers.plan import CannotGoOn
from workers.runtime import partner_of


def must_be_asked_again(held: Cancellation) -> bool:
    """Tell whether a claim is still to come and nothing irreversible was begun."""
    is_to_come = Step.CLAIM in held.steps and Step.CLAIM not in held.done_steps
    return is_to_come and held.irreversible_at is None and partner_of(held).settings.xclaim_eligibility_check


def check(held: Cancellation, quote_id: str | None) -> None:
    """Raise CannotGoOn when XClaim says the policy cannot be claimed; do nothing where the check is switched off."""
    if quote_id is None or not partner_of(held).settings.xclaim_eligibility_check:
        return
    try:
        answer = partner_of(held).xclaim.eligibility(held.booking_id, quote_id)
    except (NotAllowed, Misdirected):
        raise
    except Refused as error:
        raise CannotGoOn("claim-not-eligible", str(error), quote_id=quote_id, said=dict(error.evidence)) from error
    if not answer.value.is_eligible:
        failed = ", ".join(answer.value.failed_checks) or "no reason given"
        detail = f"XClaim's eligibility check says no to policy {quote_id}: {failed}."
        raise CannotGoOn(
            "claim-not-eligible", detail, quote_id=quote_id, failed_checks=list(answer.value.failed_checks)
        )
