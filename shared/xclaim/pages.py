"""Reads one page of a list, and finds where the next one is. Knows no claim and no HTTP.

How XClaim pages its lists is not documented. The two usual envelopes of the framework it seems to use are
known here, and a Link header; anything else that hints at more makes the page uncertain, since a list that
may be cut proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from shared.insurer.errors import UnusableAnswer

CUSTOMARY_SIZES = frozenset({10, 12, 15, 20, 25, 30, 40, 50, 100, 150, 200, 250, 500, 1000})
_MORE = ("has_more", "hasMore", "next_cursor", "nextCursor", "cursor", "next_page", "nextPage")
_Object = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Page:
    """The entries of one page. next_url is absolute. total counts all pages' entries, where told.

    is_certain is False when there may be more that cannot be asked for.
    """

    items: tuple[object, ...]
    next_url: str | None
    total: int | None
    is_certain: bool


def read_page(body: object, *, url: str, next_link: str | None) -> Page:
    """Read the answer to a list asked for at `url`. Raises UnusableAnswer when it holds no list."""
    items = _items(body)
    envelope = body if isinstance(body, dict) else {}
    meta = _object(envelope, "meta")
    places = [envelope, meta, _object(meta, "pagination"), _object(envelope, "pagination")]
    links = [_object(place, "links") for place in places]
    following, is_readable = _next(places, links, next_link, url)
    total = _count(places, "total")
    is_paged = any("next" in link for link in links) or "next" in envelope or "next_page_url" in envelope
    is_told = is_paged or total is not None or _count(places, *_LAST) is not None
    return Page(
        items=items,
        next_url=following,
        total=total,
        # a bare list of a customary length cannot be told from the first page of a longer one
        is_certain=is_readable and (is_told or following is not None or len(items) not in CUSTOMARY_SIZES),
    )


def is_same_origin(url: str, other: str) -> bool:
    """Tell whether two addresses have scheme, host and port in common; a bearer token goes nowhere else."""
    try:
        return _origin(url) == _origin(other)
    except ValueError:
        return False


_CURRENT = ("current_page", "currentPage")
_LAST = ("last_page", "lastPage", "total_pages", "totalPages")


def _items(body: object) -> tuple[object, ...]:
    for held in (body, *(body.get(name) for name in ("data", "results", "items") if isinstance(body, dict))):
        if isinstance(held, list):
            return tuple(held)
    raise UnusableAnswer("the answer holds no list")


def _next(places: list[_Object], links: list[_Object], next_link: str | None, url: str) -> tuple[str | None, bool]:
    """Return the next page's address, and whether everything that hints at one was understood."""
    hints = [
        next_link,
        *(link.get("next") for link in links),
        places[0].get("next"),
        places[0].get("next_page_url"),
    ]
    hints = [hint.get("href") if isinstance(hint, dict) else hint for hint in hints]
    for hint in hints:
        if isinstance(hint, str) and hint:
            try:
                return urljoin(url, hint), True
            except ValueError:
                return None, False
    if any(hints):
        return None, False
    current, last = _count(places, *_CURRENT), _count(places, *_LAST)
    if current is not None and last is not None and current < last:
        return _with_page(url, current + 1), True
    is_known = last is None or current is not None or last <= 1
    return None, is_known and not any(place.get(name) for place in places for name in _MORE)


def _with_page(url: str, number: int) -> str:
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "page"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("page", str(number))])))


def _count(places: list[_Object], *names: str) -> int | None:
    for value in (place.get(name) for place in places for name in names):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _object(place: _Object, name: str) -> _Object:
    value = place.get(name)
    return value if isinstance(value, dict) else {}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
