"""How CALLBACK_URLS and CALLBACK_SECRETS are written, and what must hold between them."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from shared import outbound
from shared.setting_values import is_signing_secret

TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})


def _urls(value: object) -> object:
    """Read `name=url`, comma-separated."""
    if not isinstance(value, str):
        return value
    pairs = _pairs(value, "=")
    if not all(name and url for name, url in pairs):
        raise ValueError("each entry must be name=url")
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("names a caller twice")
    return dict(pairs)


def _secrets(value: object) -> object:
    """Read `name:secret`, comma-separated; a name may have several secrets while one replaces the other."""
    if not isinstance(value, str):
        return value
    found: dict[str, list[SecretStr]] = {}
    for name, secret in _pairs(value, ":"):
        if not name or not is_signing_secret(secret):
            raise ValueError(
                "each entry must be name:secret, the secret random bytes in base64, at least 16 (24 are advised), as "
                "Standard Webhooks has it: whsec_…"
            )
        found.setdefault(name, []).append(SecretStr(secret))
    return found


CallbackUrls = Annotated[dict[str, str], NoDecode, BeforeValidator(_urls)]
CallbackSecrets = Annotated[dict[str, list[SecretStr]], NoDecode, BeforeValidator(_secrets)]


def broken_rules(given: Mapping[str, str]) -> list[str]:
    """Return what is wrong between the settings of callbacks; what cannot be read is told elsewhere."""
    urls = [(name, url) for name, url in _pairs(given.get("CALLBACK_URLS", ""), "=") if name and url]
    signing = {name for name, _ in _pairs(given.get("CALLBACK_SECRETS", ""), ":")}
    callers = {name for name, _ in _pairs(given.get("API_TOKENS", ""), ":")}
    allows_loopback = given.get("CALLBACKS_ALLOW_LOOPBACK", "").lower() in TRUE
    problems = []
    for name, url in urls:
        if name not in callers:
            problems.append(f"CALLBACK_URLS: {name!r} is not a name of API_TOKENS")
        if name not in signing:
            problems.append(f"CALLBACK_SECRETS: required for {name!r}, which CALLBACK_URLS names")
        fault = outbound.fault(url, allows_loopback=allows_loopback)
        if fault is not None:
            problems.append(f"CALLBACK_URLS: the address of {name!r} {fault}")
    problems += [f"CALLBACK_SECRETS: {name!r} is not a name of API_TOKENS" for name in sorted(signing - callers)]
    return problems


def _pairs(value: str, between: str) -> list[tuple[str, str]]:
    entries = [entry.strip().partition(between) for entry in value.split(",") if entry.strip()]
    return [(name.strip(), rest.strip()) for name, _, rest in entries]
