"""What others wrote, made fit for a terminal: in one line, and without what a terminal would obey."""

import json

from rich.text import Text


def plain(value: object) -> Text:
    """Return a value as text that neither styles nor moves anything on the screen."""
    return Text(plain_text(value))


def plain_text(value: object) -> str:
    """Return a value in one line of visible characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return "".join(char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in text)
