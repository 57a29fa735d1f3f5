"""Fills a PostgreSQL with years' worth of cancellations by a few statements: how many stand where is as in real life.

Ids are UUIDs of version 7, in the order of their times, as the service makes them. The rows hang together as far as
lists, pages and figures read them; nothing here is ever carried out.
"""

from typing import Any

import psycopg

DAYS = 60
"""The past over which they were accepted, evenly."""
BATCHES = 20

_UUID7 = """
CREATE FUNCTION pg_temp.uuid7(at timestamptz, salt text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(salt), 1, 3)
            || '8' || substr(md5(salt), 5, 15))::uuid
$$
"""
_NUMBERED = """
CREATE TEMPORARY TABLE numbered AS
SELECT n, hashed %% 1000 AS dice, hashed / 1000 %% 1000 AS other, at, pg_temp.uuid7(at, 'c' || n) AS id
FROM (
    SELECT n, abs(hashint8(n)::bigint) AS hashed,
           statement_timestamp() - make_interval(days => %(days)s) * (1 - n::float8 / %(count)s) AS at
    FROM generate_series(1, %(count)s) AS n
) AS drawn
"""
"""Each with two throws of a dice of a thousand faces."""
_STATUS = """
CREATE TEMPORARY TABLE planned AS
SELECT *, CASE
    WHEN dice < 880 THEN 'completed' WHEN dice < 920 THEN 'rejected' WHEN dice < 940 THEN 'aborted'
    WHEN dice < 950 THEN 'closed' WHEN dice < 960 THEN 'needs_review'
    WHEN n < %(count)s * 0.8 THEN 'completed' WHEN dice < 980 THEN 'awaiting_refund'
    WHEN dice < 985 THEN 'awaiting_premium_refund' ELSE 'in_progress' END AS status
FROM numbered
"""
_BATCHES = """
INSERT INTO batches (id, partner, caller, idempotency_key, fingerprint, name, status, created_at, updated_at)
SELECT pg_temp.uuid7(at, 'b' || n), 'ABCDE', 'shop', 'batch-' || n, '', 'show-' || n || '.csv', 'open', at, at
FROM planned WHERE n %% (SELECT greatest(count(*) / %(batches)s, 1) FROM planned) = 0
"""
_CANCELLATIONS = """
INSERT INTO cancellations (
    id, partner, caller, idempotency_key, fingerprint, booking_id, journey, request, metadata, status, steps,
    done_steps, next_step, quotes, round, sends_reasons, preview_total, preview_currency, preview_expires_at,
    refund_mode, waiting_since, lease, tries, abandoned, next_attempt_at, rings, batch_id, turn_class, turn, problem,
    created_at, updated_at, completed_at
)
SELECT id, CASE WHEN other < 800 THEN 'ABCDE' WHEN other < 999 THEN 'SECOND' ELSE 'TINY' END,
    CASE WHEN other %% 10 < 6 THEN 'shop' WHEN other %% 10 < 9 THEN 'app' ELSE 'other' END,
    'order-' || n, md5(n::text) || md5(n::text), 'B' || lpad((n * 9 / 10)::text, 8, '0') || '-INS', 'cancel',
    jsonb_build_object('booking_id', 'B' || n, 'journey', 'cancel', 'refund', '{"mode": "wait"}'::jsonb,
                       'quotes', jsonb_build_array(jsonb_build_object('id', 'q-' || n))),
    jsonb_build_object('order', 'A-' || n), status, '["look_up", "preview", "refund", "confirm"]',
    CASE WHEN status = 'completed' THEN '["look_up", "preview", "refund", "confirm"]'
         WHEN status = 'awaiting_refund' THEN '["look_up", "preview"]' ELSE '["look_up"]' END::jsonb,
    CASE WHEN status = 'awaiting_refund' THEN 'refund' WHEN status = 'awaiting_premium_refund'
         THEN 'await_premium_refund' WHEN status = 'needs_review' THEN 'confirm'
         WHEN status = 'in_progress' THEN (ARRAY['look_up', 'preview', 'confirm'])[other %% 3 + 1] END,
    jsonb_build_array(jsonb_build_object('id', 'q-' || n, 'reason_for_cancellation', 'No longer travelling')),
    1, true, '22.40', 'EUR', at + interval '1 day', 'wait', CASE WHEN status LIKE 'awaiting%%' THEN at END,
    1, other %% 5, 0,
    CASE WHEN status = 'in_progress' THEN statement_timestamp() + make_interval(secs => other - 500)
         WHEN status LIKE 'awaiting%%' THEN statement_timestamp() + make_interval(secs => other * 60) END,
    0, (SELECT id FROM batches ORDER BY id LIMIT 1 OFFSET CASE WHEN other < 100 THEN other %% %(batches)s ELSE 99 END),
    CASE WHEN status = 'in_progress' AND other < 500 THEN 2 END,
    CASE WHEN status = 'in_progress' AND other < 500 THEN n END,
    CASE WHEN status = 'needs_review' AND other < 900 THEN '{"type": "/problems/credentials-refused", "title": "t"}'
         WHEN status = 'needs_review' THEN '{"type": "/problems/outcome-unsettled", "title": "t"}'
         WHEN status = 'rejected' THEN '{"type": "/problems/policy-already-cancelled", "title": "t"}' END::jsonb,
    at, at + interval '5 minutes', CASE WHEN status = 'completed' THEN at + interval '5 minutes' END
FROM planned ORDER BY n
"""
_TRANSITIONS = """
INSERT INTO transitions (
    id, cancellation_id, at, event, from_status, to_status, from_step, to_step, actor, reason, details
)
SELECT pg_temp.uuid7(at + make_interval(secs => k), n || 't' || k), id, at + make_interval(secs => k),
    CASE WHEN k = 0 THEN 'accepted' WHEN k = %(last)s AND status <> 'completed' THEN status
         WHEN k = 3 THEN 'postponed' ELSE 'step_done' END,
    CASE WHEN k > 0 THEN 'in_progress' END, CASE WHEN k = %(last)s THEN status ELSE 'in_progress' END,
    'look_up', 'preview', 'worker', 'the insurer answered as a matter of course', '{}'
FROM planned CROSS JOIN generate_series(0, %(last)s) AS k ORDER BY n, k
"""
_CALLS = """
INSERT INTO calls (
    id, cancellation_id, step, round, key, fingerprint, request, attempts, outcome, is_doubtful, must_read_back,
    first_sent_at, last_sent_at, answer_status
)
SELECT pg_temp.uuid7(at, 'k' || n), id, 'preview', 1, md5(n::text), '', '{}', 1,
    CASE WHEN status = 'in_progress' THEN 'unknown' ELSE 'done' END, false, false, at, at, 200
FROM planned ORDER BY n
"""
_CLAIMS = """
INSERT INTO claims (
    id, partner, cancellation_id, booking_id, quote_id, claim_type_id, webhook_token, claim_id, reference, status,
    is_processed, milestones, created_at, closed_at, polls, missed, next_poll_at
)
SELECT pg_temp.uuid7(at, 'm' || n), 'ABCDE', id, 'B' || lpad((n * 9 / 10)::text, 8, '0') || '-INS', 'q-' || n, 'cfar',
    'token-' || n, 'claim-' || n, 'R' || lpad(n::text, 8, '0') || '-CLA', 'Submitted', true, '{}', at,
    CASE WHEN n %% 20 > 0 THEN at + interval '1 day' END, 0, 0, CASE WHEN n %% 20 = 0 THEN at END
FROM planned WHERE other < 300 ORDER BY n
"""
_RESERVATIONS = """
INSERT INTO reservations (id, partner, booking_id, quote_id, cancellation_id, held_since, released_at)
SELECT pg_temp.uuid7(at, 'r' || n), 'ABCDE', 'B' || lpad((n * 9 / 10)::text, 8, '0') || '-INS', 'q-' || n, id, at,
    CASE WHEN status IN ('rejected', 'aborted') THEN at END
FROM planned ORDER BY n
"""
_WEBHOOKS = """
WITH bodies AS (
    INSERT INTO webhook_bodies (id, source, digest, raw, received_at)
    SELECT pg_temp.uuid7(at, 'w' || n), 'xclaim', md5('w' || n) || md5('w' || n), '{"event": "claim.updated"}', at
    FROM planned WHERE other < 300 ORDER BY n RETURNING id, received_at
)
INSERT INTO webhook_deliveries (
    id, body_id, headers, received_at, claim_id, tries, next_attempt_at, rings, handled_at, verdict, outcome, replays
)
SELECT pg_temp.uuid7(received_at, 'd' || bodies.id), bodies.id, '{}', received_at, claims.id, 1,
    CASE WHEN hashtext(bodies.id::text) %% 200 = 0 THEN received_at END, 0,
    CASE WHEN hashtext(bodies.id::text) %% 200 <> 0 THEN received_at END, 'applied', 'applied', 0
FROM bodies JOIN claims ON claims.created_at = bodies.received_at
"""
_CALLBACKS = """
INSERT INTO callbacks (id, cancellation_id, sequence, type, payload, created_at, tries, next_attempt_at, rings,
                       delivered_at)
SELECT pg_temp.uuid7(at, 'cb' || n), id, 1, 'cancellation.completed', '{}', at, 1,
    CASE WHEN n %% 200 = 0 THEN at END, 0, CASE WHEN n %% 200 > 0 THEN at END
FROM planned WHERE other >= 900 OR n %% 200 = 0 ORDER BY n
"""
_AUDIT = """
INSERT INTO audit_entries (id, at, actor, action, cancellation_id, note, details)
SELECT pg_temp.uuid7(at, 'a' || n), at, 'operator:anna', 'retry', id, 'repaired', '{}'
FROM planned WHERE status IN ('closed', 'needs_review') ORDER BY n
"""
_INDEXES = """
SELECT indexdef, indexrelid::regclass::text FROM pg_indexes JOIN pg_class ON relname = indexname
JOIN pg_index ON indexrelid = pg_class.oid
WHERE schemaname = 'public' AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


def seed(connection: psycopg.Connection[Any], *, count: int, transitions_each: int) -> None:
    """Fill an empty, migrated database; needs the rights of a superuser."""
    values = {"count": count, "days": DAYS, "batches": BATCHES, "last": transitions_each - 1}
    with connection.transaction(), connection.cursor() as cursor:
        # Foreign keys hold by the way the rows are made; to check each takes longer than to write it.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
        indexes = cursor.execute(_INDEXES).fetchall()
        for _, name in indexes:
            cursor.execute(f"DROP INDEX {name}".encode())
        cursor.execute(_UUID7)
        for statement in (
            *(_NUMBERED, _STATUS, _BATCHES, _CANCELLATIONS, _TRANSITIONS, _CALLS, _CLAIMS, _RESERVATIONS),
            *(_WEBHOOKS, _CALLBACKS, _AUDIT),
        ):
            cursor.execute(statement.encode(), values)
        for definition, _ in indexes:
            cursor.execute(definition.encode())
    # As autovacuum does it: it is what lets an index answer by itself.
    connection.autocommit = True
    connection.execute("VACUUM (ANALYZE)")
