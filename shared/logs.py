"""Structured logging: one line per fact, ids bound once per task or request.

Libraries may say what they like in their messages; what they attach beside it is not printed, since Celery attaches a
task's arguments.
"""

import logging
import sys

import structlog

from shared.config import Settings


def configure(settings: Settings) -> None:
    """Send every log line, ours and the libraries', to standard error as JSON or readable text."""
    is_json = not sys.stderr.isatty() if settings.log_format is None else settings.log_format == "json"
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    made_visible = [] if is_json else [_made_visible]  # JSON escapes by itself
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *made_visible, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # These log whole addresses or every heartbeat at INFO.
    consumer = logging.getLogger("celery.worker.consumer.consumer")
    consumer.filters[:] = [_without_message]
    for noisy in ("httpx", "httpcore", "celery.beat", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _made_visible(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Let nothing in a message or a traceback steer a terminal, or begin a line as ours do; values are quoted."""
    line["event"] = _escaped(str(line["event"]))
    for name in ("exception", "stack"):
        if name in line:
            line[name] = "\n".join(f"  {_escaped(part)}" for part in str(line[name]).split("\n"))
    return line


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _without_message(record: logging.LogRecord) -> bool:
    """Keep only the first line of what Celery says of a message that is no task of ours: the rest is the message."""
    if isinstance(record.msg, str) and "body" in record.msg:
        record.msg = record.msg.partition("\n")[0].partition("%")[0].strip(" :")
        record.args, record.exc_info = (), None
    return True
