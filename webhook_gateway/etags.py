"""Conditional reading (RFC 9110): who names the version it holds is answered 304 and nothing else while it is current.

The tag is strong and made of the answer's bytes: whatever the answer shows is in it. It saves bytes, not queries.
"""

import hashlib

from flask import Flask, Response, request

from webhook_gateway import auth

_DIGITS = 32
"""Of a SHA-256 in hexadecimal: 128 bits."""


def register(app: Flask) -> None:
    """Tag every answer to a GET or HEAD under /v1; call it after others have set their `after_request`.

    Flask runs the last one first: those that follow fill in only what is missing.
    """
    app.after_request(_tagged)


def _tagged(response: Response) -> Response:
    if request.method not in {"GET", "HEAD"} or response.status_code != 200 or not auth.is_guarded():
        return response
    tag = hashlib.sha256(response.get_data()).hexdigest()[:_DIGITS]
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"  # kept by nobody but its reader, never used unasked
    if _is_held(tag):
        response.status_code = 304
        response.set_data(b"")
    return response


def _is_held(tag: str) -> bool:
    """Compare weakly, as RFC 9110 wants it here: a proxy that compresses makes a strong tag weak.

    A tag holds no quotation mark, so that the quoted tag is found in a list exactly where the list names it.
    """
    held = request.headers.get("If-None-Match", "")
    return held.strip() == "*" or f'"{tag}"' in held
