"""Operators who look before they decide: what they rule is what the insurer's ledger shows."""

from typing import Any

from tests.gateway import OPERATOR
from tests.model.contract import Asked
from tests.model.stage import Stage

TO_CLOSE = {"claim-closed-unpaid", "claim-paid-first", "refund-after-end", "cancelled-by-someone-else"}


def rule_truthfully(stage: Stage, asked: Asked) -> None:
    """Decide about one that needs a person, as the ledger has it; one that needs nobody is left alone."""
    seen = stage.gateway.get(f"/{asked.id}", token=OPERATOR).get_json()
    if seen["status"] != "needs_review":
        return
    ruling = _ruling(stage, asked, seen)
    answer = stage.gateway.post(f"/{asked.id}/resolve", {"note": "looked", **ruling}, token=OPERATOR)
    if answer.status_code == 200:
        asked.rulings.append(f"{seen['next_step']}: {ruling['resolution']}")
        return
    assert answer.status_code in {409, 422}, answer.text
    assert stage.gateway.post(f"/{asked.id}/retry", token=OPERATOR).status_code in {200, 409}


def close(stage: Stage, asked: Asked) -> None:
    """End it by hand, and free its policies."""
    body = {"resolution": "close", "note": "enough", "free_policies": True}
    answer = stage.gateway.post(f"/{asked.id}/resolve", body, token=OPERATOR)
    assert answer.status_code == 200, answer.text


def _ruling(stage: Stage, asked: Asked, seen: dict[str, Any]) -> dict[str, Any]:
    slug = str(seen["problem"]["type"]).removeprefix("/problems/")
    keys = {call.key for call in stage.all_calls(str(asked.id))}
    done = {one["kind"]: one for one in stage.ledger() if one.get("key") in keys}
    step = seen["next_step"]
    told = {"resolution": "done", "evidence": {"text": "seen in the ledger"}}
    if step is None:
        return told if set(seen["steps"]) <= set(seen["done_steps"]) else {"resolution": "close"}
    if slug in TO_CLOSE:
        return {"resolution": "close"}
    if step == "confirm" and "confirm" in done:
        return told
    if step == "cancel" and "cancel" in done:
        effect = done["cancel"]
        return {**told, "evidence": {"amount": effect["amount"], "currency": effect["currency"]}}
    if step == "claim" and "claim" in done:
        return {**told, "evidence": {"claim_reference": done["claim"]["reference"]}}
    if step == "refund" and "refund" in done:
        effect = done["refund"]
        evidence = {"amount": effect["amount"], "currency": effect["currency"], "reference": effect["reference"]}
        return {**told, "evidence": evidence}
    if step == "refund" and asked.reported:
        return told  # the difference is settled with the customer
    if step == "refund" and "refund_promised" in done:
        return {"resolution": "close"}
    return {"resolution": "not_done"}
