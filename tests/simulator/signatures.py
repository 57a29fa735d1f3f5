"""The judge of signatures: HTTP signatures over headers (XCover), HMAC over the raw body (XClaim).

Written from the insurer's documentation alone, so that it can disagree with our client.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote, unquote

ALGORITHMS = {"hmac-sha256": hashlib.sha256, "hmac-sha384": hashlib.sha384, "hmac-sha512": hashlib.sha512}
SIGNABLE = ("(request-target)", "date")
DATE_TOLERANCE = timedelta(minutes=5)
NO_ACCESS = "You do not have permission to access this url"
NO_CREDENTIALS = "Authentication credentials were not provided."
PARAMETER = re.compile(r'([A-Za-z]+)="([^"]*)"')


class SignatureError(Exception):
    """Not let in: `status` and `message` are what the insurer answers, `why` is for whoever reads a test."""

    def __init__(self, status: int, why: str, *, message: str = NO_ACCESS) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.message = message


def signing_string(names: Sequence[str], *, method: str, path: str, date: str) -> str:
    values = {"(request-target)": f"{method.lower()} {path}", "date": date}
    return "\n".join(f"{name}: {values[name]}" for name in names)


def signature(secret: str, algorithm: str, text: str) -> str:
    digest = hmac.new(secret.encode(), text.encode(), ALGORITHMS[algorithm]).digest()
    return base64.b64encode(digest).decode()


def authorization(key: str, secret: str, date: str, *, algorithm: str = "hmac-sha256") -> str:
    """Sign the way the insurer signs its own webhooks: the date alone, no `headers=`."""
    signed = quote(signature(secret, algorithm, f"date: {date}"), safe="")
    return f'Signature keyId="{key}",algorithm="{algorithm}",signature="{signed}"'


def verify(headers: Mapping[str, str], *, method: str, path: str, key: str, secret: str, now: datetime) -> None:
    """Raise `SignatureError` unless the request was signed by the holder of the secret just now."""
    value, date = headers.get("Authorization"), headers.get("Date")
    if not value or not date:
        raise SignatureError(401, "Authorization or Date is missing", message=NO_CREDENTIALS)
    if headers.get("X-Api-Key", key) != key:
        raise SignatureError(401, "X-Api-Key is not a known key")
    parameters = parse_authorization(value)
    if parameters["keyId"] != key:
        raise SignatureError(401, "keyId is not a known key")
    check_date(date, now)
    names = parameters.get("headers", "date").split(" ")
    if "date" not in names or any(name not in SIGNABLE for name in names):
        raise SignatureError(403, f"cannot check a signature over {names}")
    text = signing_string(names, method=method, path=path, date=date)
    check_signature(parameters["signature"], signature(secret, parameters["algorithm"], text))


def parse_authorization(value: str) -> dict[str, str]:
    scheme, _, rest = value.partition(" ")
    if scheme != "Signature":
        raise SignatureError(403, "the scheme is not Signature")
    parameters: dict[str, str] = {}
    for part in rest.split(","):
        match = PARAMETER.fullmatch(part)
        if match is None or match[1] in parameters:
            raise SignatureError(403, f"cannot read the parameter {part.partition('=')[0]!r}")
        parameters[match[1]] = match[2]
    if (
        not {"keyId", "algorithm", "signature"}
        <= parameters.keys()
        <= {
            "keyId",
            "algorithm",
            "headers",
            "signature",
        }
    ):
        raise SignatureError(403, f"wrong parameters {sorted(parameters)}")
    if parameters["algorithm"] not in ALGORITHMS:
        raise SignatureError(403, f"unknown algorithm {parameters['algorithm']!r}")
    return parameters


def check_date(date: str, now: datetime) -> None:
    """Accept an IMF-fixdate near now; the round trip catches what strptime forgives (weekday, padding)."""
    try:
        # strptime follows the locale; the insurer's dates are English, as is the C locale Python starts in
        sent = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError(403, f"Date is not an IMF-fixdate: {date!r}") from error
    if format_datetime(sent, usegmt=True) != date:
        raise SignatureError(403, f"Date is not an IMF-fixdate: {date!r}")
    if abs(now - sent) > DATE_TOLERANCE:
        raise SignatureError(403, f"Date {date!r} is too far from now")


def check_signature(sent: str, expected: str) -> None:
    if any(character in sent for character in "+/="):
        raise SignatureError(403, "the signature is not percent-encoded")
    decoded = unquote(sent)
    if hmac.compare_digest(decoded.encode(), expected.encode()):
        return
    if decoded.rstrip("=") == expected.translate(str.maketrans("+/", "-_")).rstrip("="):
        raise SignatureError(403, "url-safe base64", message="Signature string does not match!")
    raise SignatureError(403, "the signature does not match")


def webhook_signature(body: bytes, key: str, encoding: str = "hex") -> str:
    """The value of `XClaim-Signature`: over the bytes as sent."""
    digest = hmac.new(key.encode(), body, hashlib.sha256).digest()
    return f"sha256={digest.hex() if encoding == 'hex' else base64.b64encode(digest).decode()}"
