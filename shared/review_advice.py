"""What a person does about a cancellation that was rejected or needs review: the tables of docs/journeys.md. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Review:
    """One reason why a person must look: what happened, and what to do."""

    happened: str
    advice: str


REJECTED: dict[str, str] = {
    "booking-not-found": (
        "check the booking's id, its spelling, and that it belongs to this partner and this environment"
    ),
    "policy-not-in-booking": (
        "`detail` names the policy, and those that the booking has: correct `quotes` or `claim.quote_id`"
    ),
    "policy-cannot-be-cancelled": (
        "XCover's word (`can_be_cancelled`). Ask Cover Genius; leave the policy out of `quotes`. In "
        "`claim_then_cancel` it is asked after the claim, so an operator sees it: `retry` once XCover allows it"
    ),
    "policy-already-cancelled": "nothing is left to cancel, and nothing can be claimed on it. Leave the policy out",
    "claim-policy-ambiguous": "name the policy to claim in `claim.quote_id`",
    "claim-not-eligible": "`failed_checks` says why. Cancel without a claim, or ask Cover Genius",
    "already-in-hand": (
        "`holder` is the cancellation that has the policy: follow that one. If it shall not go on: abort it, or "
        "have it closed with `--free-policies`. If it is `completed`, an operator can still free the policies so"
    ),
    "insurer-refused": "`detail` has the insurer's words: correct the request",
}
"""By problem, what its caller does about a rejection."""

REVIEWS: dict[str, Review] = {
    "credentials-refused": Review(
        "the insurer turned our key away (401, 403), or the address redirects",
        "correct the settings, restart, `retry`",
    ),
    "claims-disabled": Review(
        "the step needs XClaim, and `CLAIMS_ENABLED` is false or its credentials are missing",
        "switch it on, `retry`; or `close`",
    ),
    "partner-unknown": Review(
        "the settings do not name its partner (any more)",
        "put the partner back into `PARTNERS_FILE`, `retry`; or `close`",
    ),
    "refund-call-disabled": Review(
        "the step is to call for a refund, and `REFUND_URL` is not set",
        "set it, `retry`; or refund by hand and report it",
    ),
    "figures-disagree": Review(
        (
            "at `preview`: its sums do not agree, or cannot be paid. Later: the policies are cancelled, with "
            "another refund than previewed or one that does not add up"
        ),
        (
            "at `preview`: have Cover Genius correct it, then `not_done`. Later: settle the difference, then `done` "
            "if no step is left, `retry` if the claim is"
        ),
    ),
    "refund-amount-changed": Review(
        "a refund was paid; the renewed preview offers another amount",
        (
            "settle the difference with the customer, then `done` at `refund`; or take the money back, then "
            "`not_done`. Beware: in mode `call` that asks for the whole refund again"
        ),
    ),
    "refund-of-another-round": Review(
        "the amount of an earlier preview was reported as paid",
        "as `refund-amount-changed`; at another step than `refund` first `retry`",
    ),
    "refund-after-end": Review(
        "a refund was reported although the cancellation had ended",
        (
            "find out why it was paid. Have it taken back and `close`; or, to cancel the policies after all, "
            "`close` and send a new request with `refund.mode` `skip`"
        ),
    ),
    "refund-not-reported": Review(
        "nobody reported the refund within `REFUND_MAX_WAIT`",
        (
            "report it: it goes on by itself. Or abort, before the point of no return. `not_done` waits anew; in "
            "mode `call` it asks again, so only if the partner has not paid and will not"
        ),
    ),
    "refund-refused": Review(
        "the partner's endpoint answered 4xx",
        (
            "`retry` asks again with the same key once the cause is gone. Paid otherwise: report it, or `done`. "
            "Never to be paid: `close`"
        ),
    ),
    "refund-unknown": Review(
        "`cancel_now` did cancel, and the refund is not known: the answer was lost or named none",
        "learn the refund from Cover Genius, pay it, `done` with `amount` and `currency`",
    ),
    "premium-refund-not-reported": Review(
        "no Premium Refund within `PREMIUM_REFUND_MAX_WAIT`",
        (
            "ask Cover Genius. `retry` asks once more, `not_done` waits anew, `done` cancels without it, `close` "
            "leaves the policies alive"
        ),
    ),
    "claim-paid-first": Review(
        "the claim was paid before it reported a Premium Refund; nothing is cancelled",
        "usually `close`: refunding the premium too may compensate twice. `done` cancels all the same",
    ),
    "claim-closed-unpaid": Review(
        "the claim that comes first was declined, withdrawn or closed; nothing is cancelled",
        (
            "`close --free-policies`. To cancel without a claim send a new `cancel`, with `refund.mode` `skip` if "
            "the customer was refunded already. To claim again, at the step `claim`: `not_done`"
        ),
    ),
    "claim-failed": Review(
        "XClaim took the claim and could not process it",
        "`amend` with better fields; `retry` if XClaim has repaired it",
    ),
    "claim-duplicated": Review(
        "there is another claim for the policy: another cancellation's, or several at XClaim",
        "see which is right. `done` with its `claim_reference`; `retry` when the other has ended; or `close`",
    ),
    "cancelled-by-someone-else": Review(
        (
            "the booking shows a cancellation that is not ours. At `refund`: XCover's webhook made us look, and "
            "nothing of ours was sent"
        ),
        (
            "see who cancelled and what it refunded, before anyone refunds again. At `confirm` or `cancel`: `done` "
            "if it counts as this one. Else `close`"
        ),
    ),
    "insurer-refused": Review(
        "a confirm, a cancel or a claim was refused, and reading back shows it as not done",
        (
            "`detail` has the words. At `claim`: `amend`. Else `retry` when the cause is gone; `not_done` for a new "
            "key; `close` to give up"
        ),
    ),
    "outcome-unsettled": Review(
        (
            "it cannot be told whether the insurer acted: a part of the policies is cancelled, lists are "
            "incomplete, answers contradict each other, a preview cancelled"
        ),
        (
            "ask Cover Genius, then `done` or `not_done`. `retry` reads once more. If a preview cancelled: refund "
            "by hand, `close`"
        ),
    ),
    "answer-unreadable": Review(
        "a success that cannot be read, time and again",
        "have the other side repaired, `retry`. At `refund` a report ends it too",
    ),
    "tries-spent": Review(
        "some eight hours without an answer, or too many lapsed offers",
        "see that the other side works, `retry`",
    ),
    "worker-crashed": Review(
        "workers died again and again during this step",
        "read their logs around `updated_at`; `retry` once repaired",
    ),
    "invariant-broken": Review(
        (
            "something that must always hold does not: `broken` says what, and shows it. `one_cancel`, `one_claim`, "
            "`one_refund`: done twice. `refunded_first`, `refunded_as_confirmed`: confirmed without a refund, or "
            "with another. `one_holder`: its policies are not in its hands. `was` is the problem it had before"
        ),
        (
            "a mistake of this service, or rows changed by hand: report it with `cfar events ID --json`. See at "
            "XCover, XClaim and the payment system what is so, and set it right there. Then `close`; or `done` if "
            "no step is left; or, only if what is left to do is safe, `retry`. What was looked at once is not held "
            "up for the same reason again"
        ),
    ),
    "internal-error": Review(
        "an error nobody foresaw: a mistake in this service",
        "read the logs, report it, `retry` once repaired",
    ),
}
"""By problem, for an operator."""


def advice(status: str, slug: str) -> str | None:
    """Return what to do about a cancellation with this status and problem, as plain text; None where nobody knows."""
    if status == "rejected":
        found = REJECTED.get(slug)
    else:
        found = REVIEWS[slug].advice if slug in REVIEWS else REJECTED.get(slug)
    return None if found is None else found.replace("`", "").replace("**", "")


def rejection_table() -> str:
    """Return the reasons for a rejection, as a Markdown table."""
    rows = [f"| `{slug}` | {text} |" for slug, text in REJECTED.items()]
    return "\n".join(["| problem | what to do |", "| --- | --- |", *rows])


def review_table() -> str:
    """Return the reasons for a review, as a Markdown table."""
    rows = [f"| `{slug}` | {review.happened} | {review.advice} |" for slug, review in REVIEWS.items()]
    return "\n".join(["| problem | what happened | what to do |", "| --- | --- | --- |", *rows])
