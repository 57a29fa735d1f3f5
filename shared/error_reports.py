"""Reports errors to Sentry, where `cfar[sentry]` is installed and SENTRY_DSN is set: what failed, never about whom.

A blacklist would let through what nobody foresaw, so a report is put together anew from what is known to be harmless.
"""

import os
from typing import Any

import structlog

from shared.redaction import REDACTED, redact

FRAME = ("filename", "abs_path", "function", "module", "lineno", "in_app")
EVENT = ("event_id", "timestamp", "platform", "level", "logger", "release", "environment", "server_name", "sdk")

log = structlog.get_logger()


def switch_on(**options: Any) -> bool:
    """Report errors from now on, and return whether; every ERROR line of the log is one."""
    if not os.environ.get("SENTRY_DSN"):
        return False
    try:
        import sentry_sdk
    except ImportError:
        log.warning("errors_not_reported", next="install cfar[sentry], or unset SENTRY_DSN")
        return False
    sentry_sdk.init(
        before_send=scrubbed,
        before_breadcrumb=lambda _crumb, _hint: None,  # lines of the log and addresses, with all that they hold
        include_local_variables=False,
        max_request_body_size="never",
        send_default_pii=False,
        **options,
    )
    return True


def scrubbed(event: Any, hint: Any) -> Any:
    """Return a report of the same error without messages, local variables, requests and persons."""
    kept: dict[str, Any] = {name: event[name] for name in EVENT if name in event}
    errors = (event.get("exception") or {}).get("values") or []
    if errors:
        kept["exception"] = {"values": [_error(error) for error in errors]}
    record = hint.get("log_record")
    if record is not None:
        kept |= _line(record.msg)
    return kept


def _error(error: dict[str, Any]) -> dict[str, Any]:
    frames = (error.get("stacktrace") or {}).get("frames") or []
    return {
        "type": error.get("type"),
        "module": error.get("module"),
        "value": REDACTED,  # an error's message may hold a value, and a value a person
        "stacktrace": {"frames": [{name: frame[name] for name in FRAME if name in frame} for frame in frames]},
    }


def _line(said: object) -> dict[str, Any]:
    """Return a line of the log: our own by its event and ids, a library's as nothing but that there was one."""
    if not isinstance(said, dict):
        return {"logentry": {"message": "a library's error"}}
    ids = {name: value for name, value in said.items() if name not in {"event", "exception", "exc_info", "timestamp"}}
    return {"logentry": {"message": str(said.get("event"))}, "extra": redact(ids)}
