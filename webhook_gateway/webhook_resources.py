"""What the interface shows of webhooks: the shapes alone. Operators see them, nobody else."""

from typing import Annotated, Any

from pydantic import Field

from webhook_gateway.resources import Shown, Time


class WebhookItem(Shown):
    """One arrival of a verified webhook, and what became of it."""

    id: str
    source: Annotated[str, Field(json_schema_extra={"enum": ["xclaim", "xcover"]})]
    received_at: Time
    event: Annotated[
        str | None, Field(description="Its name for what happened; null in a list where the body is longer than 16 KiB")
    ]
    claim: Annotated[str | None, Field(description="The reference, else the id, of our claim that it is about")]
    cancellation_id: str | None
    booking_id: str | None
    key_id: Annotated[str | None, Field(description="The configured key that verified it; see /v1/webhooks/keys")]
    outcome: Annotated[
        str | None,
        Field(
            description="waiting: not handled yet; applied: it changed something; unchanged: nothing new; ignored: not "
            "about a claim of ours; kept: given up for now, replay it once the cause is gone; null: not recorded then",
            json_schema_extra={"enum": ["waiting", "applied", "unchanged", "ignored", "kept", None]},
        ),
    ]
    verdict: Annotated[str | None, Field(description="What came of it, in words")]
    handled_at: Time | None
    tries: int
    next_attempt_at: Time | None
    replays: Annotated[int, Field(description="How often an operator had it handled again")]


class WebhookList(Shown):
    """A page of webhooks, newest first."""

    items: list[WebhookItem]
    next_cursor: Annotated[
        str | None, Field(description="Opaque; null on the last page. A page may be short, or empty, and not the last")
    ]


class WebhookResource(WebhookItem):
    """One webhook with everything that is kept of it."""

    replayed_at: Time | None
    replayed_by: str | None
    headers: Annotated[dict[str, Any], Field(description="Those that hold no secret")]
    digest: Annotated[str, Field(description="SHA-256 of the body: the same for repeats")]
    deliveries: Annotated[int, Field(description="Arrivals of this very body, this one too; counted up to 10000")]
    body: Annotated[Any, Field(description="As JSON, without personal data; null where it cannot be read")]


class HandledCount(Shown):
    """How many webhooks of one source had one outcome."""

    source: str
    outcome: str | None
    count: int


class ReplayForecast(Shown):
    """What a replay would change, as far as that can be told without asking XClaim."""

    replayed: Annotated[int, Field(description="Those that would be handled again")]
    by_outcome: list[HandledCount]
    claims: Annotated[int, Field(description="Claims of ours that they are about")]
    cancellations: int
    milestones: Annotated[
        dict[str, int],
        Field(description="Milestones that the events themselves would newly reach, and for how many claims"),
    ]
    newly_matched: Annotated[int, Field(description="Those that found no claim of ours then, and would now")]
    note: str


class Replay(Shown):
    """What a replay did, or would do."""

    dry_run: bool
    matched: Annotated[int, Field(description="Webhooks that the filters mean, at most `limit`")]
    replayed: Annotated[int, Field(description="Handled again from now on")]
    waiting: Annotated[int, Field(description="Left alone: not handled yet, so they are handled anyway")]
    in_hand: Annotated[int, Field(description="Left alone: a worker has them right now")]
    forecast: Annotated[ReplayForecast | None, Field(description="Of a dry run only")]
    items: Annotated[list[WebhookItem], Field(description="The newest 50, as they are now")]
    next_cursor: Annotated[str | None, Field(description="Opaque: the same filters with it mean the next, older ones")]


class WebhookKey(Shown):
    """A key that verifies webhooks: never itself, only what it is called."""

    source: str
    partner: Annotated[str | None, Field(description="Whose setting it is in; null: not configured")]
    key_id: Annotated[str | None, Field(description="null: not known, of claims opened before this was recorded")]
    position: Annotated[int | None, Field(description="Its place in the setting, from 1; null: not configured")]
    first_used_at: Annotated[Time | None, Field(description="To the hour")]
    last_used_at: Time | None
    events: Annotated[int, Field(description="Webhooks that it verified, repeats too")]
    open_claims: Annotated[int, Field(description="Claims not closed yet whose own address it signs")]
    said: Annotated[str, Field(description="What that means for a rotation")]


class WebhookKeys(Shown):
    """Every key that is configured, or that an open claim still needs."""

    items: list[WebhookKey]


class TallyShown(Shown):
    """How many webhooks of one kind came in one hour."""

    hour: Time
    source: str
    verdict: Annotated[str, Field(description="What was answered: stored, repeat, not_verified, …")]
    key_id: str | None
    count: int
    last_at: Time
    sample: Annotated[dict[str, Any] | None, Field(description="One of them, without secrets and without its body")]


class WebhookTallies(Shown):
    """Counts of webhooks, newest hour first; the only trace of those that were not verified."""

    items: list[TallyShown]
    is_complete: Annotated[bool, Field(description="false: there are more than 1000; ask for a shorter time")]
