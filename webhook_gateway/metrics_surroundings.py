"""Figures of what stands around the cancellations: webhooks, insurers, our own processes, Redis."""

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from prometheus_client import Metric
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from shared import forgettable, overview
from shared.breaker_models import BreakerState
from shared.broker import QUEUES
from shared.db import now_plus
from shared.operations_models import KINDS, InsurerCheck, ProcessSeen
from shared.webhook_models import WebhookDelivery, WebhookTally
from webhook_gateway.metrics_families import counters, gauge, gauges, quantiles
from webhook_gateway.metrics_recent import MEASURED, lately

ALIVE_WITHIN = 60.0
"""Seconds. A worker tells of itself every ten."""
_VERDICTS = ("stored", "repeat", "not_verified")

log = structlog.get_logger()


def webhooks(session: Session) -> list[Metric]:
    """Tell what came in, and how far behind the handling is."""
    now = session.scalars(select(now_plus(0))).one()
    kinds = (WebhookTally.source, WebhookTally.verdict)
    this_hour = select(*kinds, func.sum(WebhookTally.count)).group_by(*kinds)
    this_hour = this_hour.where(WebhookTally.hour == now.replace(minute=0, second=0, microsecond=0))
    came = dict.fromkeys((("xclaim", verdict) for verdict in _VERDICTS), 0.0)
    came |= {(source, verdict): float(number) for source, verdict, number in session.execute(this_hour)}
    oldest = session.scalar(
        select(func.min(WebhookDelivery.next_attempt_at)).where(WebhookDelivery.next_attempt_at <= now_plus(0))
    )
    about = "Webhooks that came, by what became of them; begins anew with each hour."
    about_lag = "For how long the oldest stored webhook has been due without being handled."
    return [
        counters("cfar_webhooks", about, ["source", "verdict"], came),
        gauge("cfar_webhooks_unhandled", _UNHANDLED, overview.webhooks(session).count),
        gauge("cfar_webhook_lag_seconds", about_lag, (now - oldest).total_seconds() if oldest else 0.0),
        _handling(session),
    ]


def insurers(session: Session) -> list[Metric]:
    """Tell which services answer: by the breakers, and by the last harmless question to each."""
    now = session.scalars(select(now_plus(0))).one()
    opened, checked, lead = {}, {}, {}
    for row in session.scalars(select(BreakerState)):
        opened[row.partner, row.service] = (now - row.opened_at).total_seconds() if row.opened_at else 0.0
    for check in session.scalars(select(InsurerCheck)):
        key = (check.partner, check.service)
        checked[(*key, check.verdict)] = (now - check.checked_at).total_seconds()
        if check.clock_lead is not None:
            lead[key] = check.clock_lead
    service = ["partner", "service"]
    about = "For how long a breaker has been open; 0 while it is closed. Nothing is told of what never failed."
    about_check = "How long ago a harmless signed question was last asked; `verdict` is what came of it."
    about_lead = "Seconds by which the insurer's clock was ahead of the database's when last asked."
    return [
        gauges("cfar_breaker_open_seconds", about, service, opened),
        gauges("cfar_insurer_check_age_seconds", about_check, [*service, "verdict"], checked),
        gauges("cfar_insurer_clock_lead_seconds", about_lead, service, lead),
    ]


def processes(session: Session) -> list[Metric]:
    """Tell when a worker and beat were last seen, and how many workers are alive."""
    kinds = select(ProcessSeen.kind, func.max(ProcessSeen.seen_at)).group_by(ProcessSeen.kind)
    now = session.scalars(select(now_plus(0))).one()
    seen = {(kind,): float("inf") for kind in KINDS}
    seen |= {(kind,): (now - at).total_seconds() for kind, at in session.execute(kinds)}
    alive = select(ProcessSeen.kind, ProcessSeen.details).where(ProcessSeen.seen_at >= now_plus(-ALIVE_WITHIN))
    number, leads = 0, dict[tuple[str, ...], float]()
    for kind, details in session.execute(alive.limit(MEASURED)):
        number += kind == "worker"
        lead = details.get("clock_lead")
        if isinstance(lead, int | float) and abs(lead) >= abs(leads.get((kind,), 0.0)):
            leads[(kind,)] = float(lead)
    about = "How long ago any process of a kind was last seen at work; +Inf when none ever was."
    about_lead = "Seconds by which the clock of a living process is ahead of the database's: the furthest off."
    return [
        gauges("cfar_process_seen_seconds", about, ["kind"], seen),
        gauge("cfar_workers", f"Workers seen in the last {ALIVE_WITHIN:g} s.", number),
        gauges("cfar_process_clock_lead_seconds", about_lead, ["kind"], leads),
    ]


def storage(session: Session) -> list[Metric]:
    """Tell how large the database is."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    size = text(pages if is_sqlite else "SELECT pg_database_size(current_database())")
    return [gauge("cfar_database_bytes", "What the database takes on its disk.", float(session.scalar(size) or 0))]


def redis(celery: Celery) -> list[Metric]:
    """Tell how many messages wait and whether Redis throws any away; only `cfar_redis_up 0` when it does not say."""
    try:
        with forgettable.connected(celery) as client:
            waiting = {(queue,): float(client.llen(queue)) for queue in QUEUES}
            evicted = client.info("stats").get("evicted_keys", 0)
            policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except (OperationalError, RedisError, OSError) as error:
        log.warning("redis_unavailable", error=type(error).__name__, route="/metrics")
        return [redis_up(0.0)]
    ended = forgettable.recall(celery, forgettable.CHECK_ENDED).get(forgettable.CHECK_ENDED, "")
    checked = [gauge("cfar_invariants_checked_timestamp_seconds", _CHECKED, float(ended))] if ended.isdigit() else []
    return [
        redis_up(1.0),
        gauges("cfar_queue_length", "Messages that wait for a worker, by queue.", ["queue"], waiting),
        counters("cfar_redis_evicted_keys", "What Redis threw away for want of memory.", [], {(): evicted}),
        gauge("cfar_redis_may_evict", _EVICTS, float(policy != "noeviction")),
        *checked,
    ]


def redis_up(value: float) -> Metric:
    """Tell whether Redis answered."""
    return gauge("cfar_redis_up", "Whether Redis could be asked.", value)


_CHECKED = "When the invariants were last checked to the end."
_EVICTS = "Whether Redis may throw messages away when its memory is full: it never should."
_UNHANDLED = f"Webhooks stored and not handled yet; {overview.CAP + 1} stands for more."


def _handling(session: Session) -> Metric:
    newest = select(WebhookDelivery.handled_at, WebhookDelivery.received_at).where(
        *lately(WebhookDelivery, WebhookDelivery.received_at), WebhookDelivery.handled_at.is_not(None)
    )
    took = [
        (handled - received).total_seconds()
        for handled, received in session.execute(newest.order_by(WebhookDelivery.id.desc()).limit(MEASURED))
        if handled is not None
    ]
    about = "Seconds from a webhook's coming to its handling, of those that came in five minutes."
    return gauges("cfar_webhook_handling_seconds", about, ["quantile"], {(q,): v for q, v in quantiles(took).items()})
