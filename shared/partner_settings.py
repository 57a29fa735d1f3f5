"""Several partners in one deployment: what PARTNERS_FILE says of each, on top of the plain variables.

    [partners.AIRLINE]
    xcover_api_key = "…"
    xcover_api_secret = "…"
    callers = ["airline-web"]

A table's names are the plain variables' in lower case. What belongs to one partner alone is never taken from another.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared.setting_problems import problems_of

if TYPE_CHECKING:
    from shared.config import AcceptingSettings

OWN = frozenset(
    {
        *("xcover_api_key", "xcover_api_secret", "xcover_webhook_keys"),
        *("xclaim_partner_code", "xclaim_token", "xclaim_api_key", "xclaim_password", "xclaim_webhook_keys"),
        *("refund_url", "refund_secret"),
    }
)
"""What a partner has for itself: credentials, webhook keys, and who is asked to pay its customers."""
LIKE_THE_OTHERS = frozenset(
    {
        *("xcover_base_url", "xcover_signature_algorithm", "xcover_signed_headers", "xcover_rate_limit"),
        *("xclaim_base_url", "xclaim_claims_by_booking_path", "xclaim_claim_type_id", "xclaim_eligibility_check"),
        *("claims_enabled", "claim_milestones", "claim_when"),
        *("refund_mode", "refund_max_wait", "premium_refund_max_wait", "preview_renew_before", "confirm_margin"),
    }
)
"""What is as the plain variables say, unless a partner's table says otherwise."""
CALLERS = "callers"
"""In a table: the callers, by their names in API_TOKENS, that may name the partner; without it, all may."""


class WrongFile(Exception):
    """The file cannot be used; the text says why, without its values."""


def add_all(settings: AcceptingSettings, path: str, plain: Mapping[str, str]) -> list[str]:
    """Add the file's partners to the settings, and return what is wrong with it; `plain` is the environment."""
    try:
        tables = _tables(path)
    except WrongFile as error:
        return [f"PARTNERS_FILE: {path} {error}"]
    return [
        f"PARTNERS_FILE, [partners.{code}]: {problem}"
        for code, table in tables.items()
        for problem in _add(settings, code, table, plain)
    ]


def _tables(path: str) -> dict[str, dict[str, Any]]:
    try:
        read = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongFile(f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongFile(f"is not TOML in UTF-8{_place(error)}") from error
    partners = read.pop("partners", {})
    if read or not isinstance(partners, dict) or not all(isinstance(table, dict) for table in partners.values()):
        raise WrongFile("may hold nothing but tables named [partners.CODE]")
    return partners


def _add(settings: AcceptingSettings, code: str, table: Mapping[str, Any], plain: Mapping[str, str]) -> list[str]:
    """Add one partner, and return what is wrong with its table."""
    if code == settings.xcover_partner_code:
        settings.limit_callers(code, _callers(table))
        return (
            [] if table.keys() <= {CALLERS} else ["its settings are the plain variables; only callers may stand here"]
        )
    if code.casefold() in {known.casefold() for known in settings.partner_codes}:
        return ["another partner's code differs from this one in nothing but capital letters"]
    fields = type(settings).model_fields
    problems = [
        f"{name}: not a setting of a partner" for name in sorted(table.keys() - OWN - LIKE_THE_OTHERS - {CALLERS})
    ]
    missing = sorted(name for name, field in fields.items() if name in OWN - table.keys() and field.is_required())
    problems += [f"{name.upper()}: required, but not set" for name in missing]
    problems += settings.broken_rules(_as_variables(code, table, plain))
    defaults = {name: field.default for name, field in fields.items() if name in OWN and not field.is_required()}
    own = {name: _as_text(value) if isinstance(value, list) else value for name, value in table.items()}
    own.pop(CALLERS, None)
    problems += [f"{name}: must not be empty" for name, value in own.items() if value == ""]  # env_ignore_empty's part
    try:
        settings.add_partner(code, {**defaults, **own}, callers=_callers(table))
    except ValidationError as error:
        problems += problems_of(error)
    return problems


def _callers(table: Mapping[str, Any]) -> frozenset[str] | None:
    callers = table.get(CALLERS)
    return None if callers is None else frozenset(name.strip() for name in _as_text(callers).split(","))


def _as_variables(code: str, table: Mapping[str, Any], plain: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a deployment that had this partner alone, for the rules between variables."""
    others = {name: value for name, value in plain.items() if name.lower() not in OWN}
    own = {name.upper(): _as_text(value) for name, value in table.items() if name != CALLERS}
    return {**others, "XCOVER_PARTNER_CODE": code, **own}


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(entry) for entry in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place(error: Exception) -> str:
    """Return where TOML stops making sense; the message's other words may quote a secret."""
    found = re.search(r"at line \d+, column \d+", str(error))
    return f": it stops being so {found[0]}" if found else ""
