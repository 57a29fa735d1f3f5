"""What a caller does about each refusal over HTTP, and the tables of problems for docs/api.md. Pure."""

from shared.problems import problem, slugs

ADVICE: dict[str, str] = {
    "not-json": "Send strict JSON in UTF-8: no name twice, no `NaN`. `detail` says where it went wrong",
    "idempotency-key-missing": "Send `Idempotency-Key`: once, 1 to 255 visible ASCII characters",
    "invalid-parameter": "`errors` names each wrong parameter. Use a `cursor` as it was given, with the same filters",
    "webhook-not-understood": "For XClaim and XCover alone: the signature is good, the body is no event",
    "unauthorized": "Send `Authorization: Bearer <token>` with a token that is configured here",
    "webhook-not-verified": "For XClaim and XCover alone: the key differs, or the bytes were changed on their way",
    "operators-only": "Use an operator's token, or ask an operator",
    "not-found": "Check the id and the path. What belongs to another caller is not found either",
    "method-not-allowed": "The header `Allow` names the methods that the address takes",
    "body-too-large": "At most 256 KiB; batches and their lines 2 MiB. Send fewer lines in a call",
    "not-json-content": "Send `Content-Type: application/json`",
    "invalid-request": "`errors` names each wrong field. Correct it; the key is still free",
    "idempotency-key-reused": "`id` is what the key stands for. A new request needs a new key; a repeat, the same body",
    "claims-disabled": "Ask whoever runs this service: `CLAIMS_ENABLED` is false",
    "refund-call-disabled": "Use `refund.mode` `wait` or `skip`, or have `REFUND_URL` set",
    "callbacks-not-configured": "Have a secret set for you in `CALLBACK_SECRETS`, or leave `callback_url` out",
    "refund-mismatch": "Report exactly `preview.total_refund` and `preview.currency`. Nothing was taken",
    "point-of-no-return": "Let it go on: money or policies may have moved. `GET` tells how it ends",
    "already-ended": "Nothing: `GET` shows how it ended",
    "not-previewed": "Wait for `awaiting_refund`, then refund and report what `preview` says",
    "refund-already-reported": "Nothing, if it is the same payment. If you paid twice, ask an operator",
    "refund-not-awaited": "Nothing is to be reported: this journey has no refund step, or is completed",
    "nothing-to-retry": "`detail` says what it waits for. Report, resolve or close it instead",
    "nothing-to-resolve": "`detail` says why. `GET` shows where it stands",
    "batch-called-off": "Open another batch under a new key",
    "more-than-shown": "Look at the forecast again (`dry_run`), and send the number that it names as `at_most`",
    "evidence-missing": "`detail` names the members of `evidence` that this step needs",
    "too-many-requests": "Wait as long as `Retry-After` says, then send the same again, with the same key",
    "internal-error": "Send the same again, with the same key: that is safe. If it stays, tell whoever runs this",
    "unavailable": "Wait as long as `Retry-After` says, then send the same again, with the same key",
}
"""By problem; the others are never the answer to a request: a cancellation shows them in its own `problem`."""


def refusal_table() -> str:
    """Return the problems that answer a request, as a Markdown table."""
    rows = [f"| {_status(slug)} | `/problems/{slug}` | {_title(slug)} | {ADVICE[slug]} |" for slug in _refusals()]
    return "\n".join(["| status | `type` | when | what to do |", "| --- | --- | --- | --- |", *rows])


def state_problem_table() -> str:
    """Return the problems that only a cancellation shows, as a Markdown table."""
    rows = [f"| `/problems/{slug}` | {_title(slug)} |" for slug in slugs() if slug not in ADVICE]
    return "\n".join(["| `type` | when |", "| --- | --- |", *rows])


def _refusals() -> list[str]:
    return sorted((slug for slug in slugs() if slug in ADVICE), key=_status)


def _status(slug: str) -> int:
    return int(problem(slug, "")["status"])


def _title(slug: str) -> str:
    return str(problem(slug, "")["title"])
