"""Builds request bodies from a command's options. What was not asked for is left out: the service's defaults apply."""

import json
from collections.abc import Sequence
from typing import IO, Any

import click


def request(
    *,
    booking: str,
    journey: str | None,
    quotes: Sequence[str],
    reason: str | None,
    refund_mode: str | None,
    refund_required: bool | None,
    claim: bool,
    claim_quote: str | None,
    claim_type: str | None,
    when: str | None,
    partner: str | None,
    callback_url: str | None,
    metadata: Sequence[str],
) -> dict[str, Any]:
    """Return the body of a new cancellation."""
    if reason and not quotes:
        raise click.UsageError("--reason belongs to the policies named with --quote.")
    terms = _given({"quote_id": claim_quote, "claim_type_id": claim_type, "when": when})
    body: dict[str, Any] = {
        "booking_id": booking,
        "partner": partner,
        "journey": journey,
        "quotes": [{"id": quote, **({"reason_for_cancellation": reason} if reason else {})} for quote in quotes],
        "refund": {"mode": refund_mode} if refund_mode else None,
        "refund_required": refund_required,
        "callback_url": callback_url,
        "metadata": _named("--metadata", metadata),
    }
    return {**_given(body), "claim": terms} if claim or terms else _given(body)


def resolution(
    *,
    resolution: str,
    note: str,
    evidence: Sequence[str],
    claim_fields: IO[str] | None,
    language: str | None,
    claim_type: str | None,
    free_policies: bool,
) -> dict[str, Any]:
    """Return the body of an operator's decision."""
    claim = _given({"language": language, "claim_type_id": claim_type})
    if claim_fields is not None:
        claim["section_fields"] = _section_fields(claim_fields)
    stated = _named("--evidence", evidence)
    if "currency" in stated:
        stated["currency"] = stated["currency"].upper()
    body = {"resolution": resolution, "note": note}
    return {
        **body,
        **_given({"evidence": stated, "claim": claim}),
        **({"free_policies": True} if free_policies else {}),
    }


def _given(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members that say something; False does."""
    return {name: value for name, value in members.items() if value or value is False}


def _named(option: str, pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} takes NAME=VALUE, not {pair!r}.")
        if name in found:
            raise click.UsageError(f"{option} names {name!r} twice.")
        found[name] = value
    return found


def _section_fields(file: IO[str]) -> list[Any]:
    try:
        fields = json.load(file)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--claim-fields: {file.name} is not JSON: {error}") from error
    if not isinstance(fields, list):
        raise click.UsageError("--claim-fields takes a JSON list, as claim.section_fields has it.")
    return fields
