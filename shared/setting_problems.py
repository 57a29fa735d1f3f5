"""What is wrong with settings, in words: each names its variable and never shows its value."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError


def problems_of(error: ValidationError) -> list[str]:
    """Return one line per problem, naming the variable and never its value."""
    lines = [_problem_line(dict(detail)) for detail in error.errors(include_url=False, include_input=False)]
    return list(dict.fromkeys(lines))  # a value can be wrong in several places, and is told once


def _problem_line(detail: dict[str, Any]) -> str:
    name = str(detail["loc"][0]).upper()
    kind = detail["type"]
    if kind == "value_error":  # our own words
        return f"{name}: {str(detail['msg']).removeprefix('Value error, ')}"
    return f"{name}: {_BY_NAME.get(name) or _BY_KIND.get(kind) or detail['msg']}"


_BY_KIND = {
    "missing": "required, but not set",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
}
_BY_NAME = {"CLAIM_MILESTONES": 'must be JSON of the form {"claim_paid": ["Settled"]}'}
"""Where the parser's own words would leave a reader guessing."""


def needed_for_claims(given: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Return what is missing of these variables while claims are enabled."""
    if given.get("CLAIMS_ENABLED", "true").lower() in {"false", "0", "no", "off", "f", "n"}:
        return []
    return [f"{name}: required while CLAIMS_ENABLED is true" for name in names if not given.get(name, "").strip(" ,")]
