"""The audit log: who pressed what, newest first."""

from flask import Response
from pydantic import BaseModel, ConfigDict

from shared import audit
from webhook_gateway import current, paging
from webhook_gateway.console.cancellations import asked
from webhook_gateway.console.door import blueprint, page


class LogQuery(BaseModel):
    """The page's parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: paging.Cursor = None


LIMIT = 100


@blueprint.get("/audit")
def audit_log() -> Response:
    """Show a page of the audit log."""
    query = paging.read(LogQuery, {name: [value] for name, value in asked().items()})
    before = None if query.cursor is None else paging.id_at(query.cursor)
    with current.database().reading() as session:
        found = audit.entries(session, limit=LIMIT + 1, before=before)
    kept = found[:LIMIT]
    more = paging.cursor_at(kept[-1].id) if len(found) > len(kept) else None
    return page("audit.html", entries=kept, next_cursor=more, is_first=before is None)
