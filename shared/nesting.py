"""How deep JSON from outside may be nested, at every door. Knows no request, no event and no HTTP."""

from typing import Any

MAX_DEPTH = 64
"""Levels: a request of ours has four, and what we pass on must not exhaust anyone's stack."""


def is_nested_deeper(value: Any, *, than: int = MAX_DEPTH) -> bool:
    """Tell whether objects and lists are nested deeper than this; never recurses itself."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(than):
        if not level:
            return False
        level = [
            entry
            for parent in level
            for entry in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(entry, dict | list)
        ]
    return bool(level)
