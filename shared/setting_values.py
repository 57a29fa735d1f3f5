"""How single settings are written: durations, lists, addresses, secrets, callers. Knows no setting by name."""

import base64
import re
from collections.abc import Set
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic.dataclasses import dataclass
from pydantic_settings import NoDecode

MAX_CALLER_NAME = 64  # what the tables hold; a longer one would fail every request of its caller
MAX_PARTNER_CODE = 64  # likewise
PARTNER_CODE = rf"^[!-~]{{1,{MAX_PARTNER_CODE}}}$"
MIN_SECRET_BYTES = 16  # below 128 bits a signature proves little

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> object:
    """Read `90`, `90s`, `5m`, `1h` or `14d`."""
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,9})([smhd]?)", value.strip())):
        return timedelta(seconds=int(match[1]) * _UNITS[match[2] or "s"])
    if isinstance(value, timedelta):
        return value
    raise ValueError("must be a whole number of seconds, or one with a unit, like 90s, 5m, 1h or 14d")


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _http_url(value: str) -> str:
    if not is_address(value, schemes={"http", "https"}):
        raise ValueError("must be an http:// or https:// address")
    return value


def _partner_code(value: str) -> str:
    if not re.fullmatch(PARTNER_CODE.rstrip("$"), value):
        raise ValueError(f"must be 1 to {MAX_PARTNER_CODE} visible ASCII characters")
    return value


def is_address(value: str, *, schemes: Set[str]) -> bool:
    """Tell whether it is an address with a host, of one of these schemes."""
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname)
    except ValueError:  # its text repeats the value, which can hold a password
        return False


def is_signing_secret(value: str) -> bool:
    """Tell whether it is a key of the Standard Webhooks scheme: base64, with or without `whsec_` and padding."""
    try:
        text = value.removeprefix("whsec_")
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False
    return len(key) >= MIN_SECRET_BYTES


@dataclass(frozen=True)
class WebhookKey:
    """A key that a sender of webhooks names, and the secret that it signs them with."""

    key: SecretStr
    secret: SecretStr


def _webhook_keys(value: object) -> object:
    """Read `key:secret`, comma-separated; the same key may have several secrets while one replaces the other."""
    if not isinstance(value, str):
        return value
    pairs = [entry.strip().partition(":") for entry in value.split(",") if entry.strip()]
    if not all(re.fullmatch(r"[!#-\[\]-~]{1,255}", key) and secret.strip() for key, _, secret in pairs):
        raise ValueError("each entry must be key:secret, the key of visible ASCII without quotes and backslashes")
    return [WebhookKey(key=SecretStr(key), secret=SecretStr(secret)) for key, _, secret in pairs]


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_comma_separated)]
WebhookKeys = Annotated[list[WebhookKey], NoDecode, BeforeValidator(_webhook_keys)]
HttpUrl = Annotated[str, BeforeValidator(_http_url)]
PartnerCode = Annotated[str, AfterValidator(_partner_code)]


Role = Literal["caller", "operator", "viewer"]
_ROLES: dict[str, Role] = {"": "caller", "operator": "operator", "viewer": "viewer"}


@dataclass(frozen=True)
class ApiToken:
    """Someone who may use the HTTP interface.

    A caller sees and steers its own, an operator everyone's; a viewer sees what operators see and changes nothing.
    """

    name: str
    token: SecretStr
    role: Role = "caller"


def api_token(entry: str) -> ApiToken:
    """Read `name:token`, `name:token:operator` or `name:token:viewer`; raise ValueError for anything else."""
    name, _, rest = entry.strip().partition(":")
    token, _, role = rest.partition(":")
    if not name or not token or role not in _ROLES:
        raise ValueError("each entry must be name:token, name:token:operator or name:token:viewer")
    if len(name) > MAX_CALLER_NAME:
        raise ValueError(f"a name may have at most {MAX_CALLER_NAME} characters")
    return ApiToken(name=name, token=SecretStr(token), role=_ROLES[role])
