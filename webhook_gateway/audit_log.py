"""GET /v1/audit: who pressed what, when and why."""

from flask import Blueprint, Response, jsonify, request

from shared import audit
from webhook_gateway import auth, current, paging
from webhook_gateway.steering_resources import AuditLog, AuditQuery, entry_shown

blueprint = Blueprint("audit_log", __name__, url_prefix="/v1/audit")
blueprint.before_request(auth.require_sight_of_everything)


@blueprint.get("")
def list_them() -> Response:
    """List presses, newest first; of one cancellation where one is named."""
    query = paging.read(AuditQuery, request.args.to_dict(flat=False))
    before = None if query.cursor is None else paging.id_at(query.cursor)
    with current.database().reading() as session:
        found = audit.entries(session, limit=query.limit + 1, cancellation_id=query.cancellation_id, before=before)
    kept = found[: query.limit]
    cursor = paging.cursor_at(kept[-1].id) if len(found) > len(kept) else None
    shown = AuditLog(items=[entry_shown(entry) for entry in kept], next_cursor=cursor)
    return jsonify(shown.model_dump(mode="json"))
