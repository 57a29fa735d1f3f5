"""The Idempotency-Key header of a request."""

from flask import request

from shared.idempotency import InvalidKey, read_key
from shared.problems import Problem


def from_request() -> str:
    """Return the key of this request, or raise Problem.

    A header that came twice arrives joined by a comma and a space (see gunicorn_conf), which is no key.
    """
    try:
        return read_key(request.headers.get("Idempotency-Key"))
    except InvalidKey as error:
        raise Problem("idempotency-key-missing", str(error)) from error
