"""XCover's JSON: a booking as GET shows it, and as cancel or confirm shows it. Only shapes, no rules."""

import hashlib
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.simulator.records import Booking, Cancellation, Policy

SITE = "https://staging.xcover.example/en"
SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "US$", "AUD": "A$", "JPY": "¥"}
DIGITS = {"JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3}
COOLING_OFF = timedelta(days=14)


def booking(one: Booking, partner_code: str) -> dict[str, Any]:
    """The answer of GET: no refunds in it, and dates with an offset."""
    total = Decimal(0) if one.status == "CANCELLED" else _alive(one)
    return {
        "id": one.id,
        "status": one.status,
        "currency": one.currency,
        **_money("total_price", total, one.currency),
        "partner_transaction_id": one.partner_transaction_id,
        "created_at": zulu(one.created_at),
        "updated_at": zulu(one.updated_at),
        "pds_url": f"{SITE}/pds/{one.id}",
        "security_token": one.security_token,
        "quotes": [_quote(one, policy) for policy in one.policies],
        "coi": _coi(one),
        "account_url": f"{SITE}/account?id={_stable_id(one, 'account')}&signup_token={one.signup_token}",
        "policyholder": _policyholder(one),
        **_money("total_tax", Decimal(0), one.currency),
        **_money("total_premium", total, one.currency),
        "partner": _partner(partner_code, one),
        "customer_language": "en",
    }


def cancelled(
    one: Booking,
    partner_code: str,
    *,
    refunds: dict[str, Decimal],
    preview: Cancellation | None = None,
) -> dict[str, Any]:
    """The answer of cancel and confirm; with `preview` it looks cancelled although nothing has happened."""
    named = set(refunds) if preview else set()
    is_gone = all(policy.is_cancelled or policy.id in named for policy in one.policies)
    left = [policy.price for policy in one.policies if not policy.is_cancelled and policy.id not in named]
    total = sum(left, Decimal(0))
    refund = one.total_refund if one.total_refund is not None else sum(refunds.values(), Decimal(0))
    return {
        "id": one.id,
        "status": "CANCELLED" if is_gone else one.status,
        "quotes": [_cancelled_quote(one, policy, refunds, policy.id in named) for policy in one.policies],
        "policyholder": _policyholder(one),
        "pds_url": f"{SITE}/pds/{one.id}",
        "coi": _coi(one),
        "created_at": zulu(one.created_at),
        "updated_at": zulu(one.updated_at),
        **_money("total_price", total, one.currency),
        "total_refund": float(refund),
        "total_refund_formatted": _plain(refund, one.currency),
        **({} if one.refund_amount is None else _money("refund_amount", one.refund_amount, one.currency)),
        **_money("total_tax", Decimal(0), one.currency),
        **_money("total_premium", total, one.currency),
        "currency": one.currency,
        "cancellation_id": preview.id if preview else None,
        "confirm_before": zulu(preview.confirm_before) if preview else None,
        "partner": _partner(partner_code, one),
    }


def notification(one: Booking) -> dict[str, Any]:
    """What XCover's own webhooks say of a booking."""
    quotes = []
    for policy in one.policies:
        quote = {
            "id": policy.id,
            "policy_start_date": _seconds(policy.policy_start),
            "policy_end_date": _seconds(policy.policy_end),
            "status": policy.status,
            **_money("price", policy.price, one.currency),
            "policy": {"policy_type": policy.policy_type, "policy_name": policy.policy_type},
            "duration": "30 00:00:00",
            "total_renewed_times": 0,
        }
        if policy.is_cancelled:
            quote["refund_value"] = float(policy.refund_value)
        quotes.append(quote)
    return {
        "id": one.id,
        "status": one.status,
        "currency": one.currency,
        **_money("total_price", _alive(one), one.currency),
        "partner_transaction_id": one.partner_transaction_id,
        "quotes": quotes,
    }


def zulu(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _quote(one: Booking, policy: Policy) -> dict[str, Any]:
    quote = {
        "id": policy.id,
        "policy_start_date": _offset(policy.policy_start),
        "policy_end_date": _offset(policy.policy_end),
        "status": policy.status,
        **_money("price", policy.price, one.currency),
        "policy": _policy(one, policy),
        "insured": None,
        "tax": {
            **_money("total_tax", Decimal(0), one.currency),
            **_money("total_amount_without_tax", policy.price, one.currency),
            "taxes": [],
        },
        "duration": "30 00:00:00",
        "benefits": _benefits(policy),
        "commission": {
            **_money("partner_commission", Decimal(0), one.currency),
            **_money("total_commission", Decimal(0), one.currency),
        },
        "created_at": zulu(one.created_at),
        "confirmed_at": zulu(policy.confirmed_at),
        "updated_at": zulu(policy.updated_at),
        "cancelled_at": zulu(policy.cancelled_at),
        "is_renewable": False,
        "is_pricebeat_enabled": False,
        **_money("cover_amount", policy.claim_amount, one.currency),
        "pds_url": f"{SITE}/pds/{one.id}?policy_type={policy.policy_type}_v1",
        "attachments": [],
        "files": [],
        "extra_fields": {},
        "surcharge": None,
        "next_renewal": None,
    }
    if policy.can_be_cancelled is not None:
        quote["can_be_cancelled"] = policy.can_be_cancelled and not policy.is_cancelled
    return quote


def _benefits(policy: Policy) -> list[dict[str, Any]]:
    """No two have the same keys."""
    return [
        {"description": "Cancellation for any reason", "limit": float(policy.claim_amount)},
        {"description": "Assistance", "limit_description": "Included", "excess_description": "None"},
    ]


def _cancelled_quote(one: Booking, policy: Policy, refunds: dict[str, Decimal], is_previewed: bool) -> dict[str, Any]:
    cooling_off = policy.confirmed_at + COOLING_OFF if policy.confirmed_at else None
    return {
        "id": policy.id,
        "policy_start_date": _seconds(policy.policy_start),
        "policy_end_date": _seconds(policy.policy_end),
        "policy_cancellation_date": zulu(policy.cancelled_at),
        "policy_coolingoff_date": zulu(cooling_off),
        "status": "CANCELLED" if is_previewed else policy.status,
        **_money("price", policy.price, one.currency),
        "refund_value": float(refunds.get(policy.id, Decimal(0))),
        "adjustment_fee": float(policy.adjustment_fee),
        "policy": _policy(one, policy),
        "insured": None,
        "commission": None,
        "created_at": zulu(one.created_at),
        "confirmed_at": zulu(policy.confirmed_at),
        "updated_at": zulu(policy.updated_at),
        "cancelled_at": zulu(policy.cancelled_at),
    }


def _policy(one: Booking, policy: Policy) -> dict[str, Any]:
    return {
        "policy_type": policy.policy_type,
        "policy_type_group_name": policy.policy_type,
        "policy_name": policy.policy_type.replace("_", " ").title(),
        "policy_code": "SIMU0001",
        "policy_version": _stable_id(one, policy.policy_type),
        "category": policy.policy_type,
        "content": {
            "title": "Cover for your plans",
            "header": None,
            "description": "Pays when plans change.",
            "optout_msg": "",
            "disclaimer": "<p>A simulated policy.</p>",
        },
        "underwriter": {"disclaimer": "Arranged by a simulator", "name": "Simulated Underwriter"},
        "claim_selector_id": "",
    }


def _policyholder(one: Booking) -> dict[str, Any]:
    blank = ("phone", "age", "address1", "address2", "city", "postcode", "birth_date", "company")
    return {
        "first_name": one.first_name,
        "middle_name": None,
        "last_name": one.last_name,
        "email": one.email,
        "country": "US",
        "region": "NYC",
        **dict.fromkeys(blank),
        "secondary_email": None,
        "allow_updates": True,
    }


def _partner(partner_code: str, one: Booking) -> dict[str, Any]:
    partner: dict[str, Any] = {
        "id": partner_code,
        "slug": partner_code.lower(),
        "name": "Simulated Partner",
        "title": "Simulated Partner",
        "logo": "https://staging.static.xcover.example/logo.png",
        "contact_url": f"{SITE}/about",
        "partner_url": "https://staging.xcover.example",
        "help_center_url": f"{SITE}/help/your-insurance",
        "updated_at": zulu(one.created_at),
        "xpay_refund_enabled": False,
        "emails": [],
        "attributes": {},
    }
    return {**partner, "subsidiary": dict(partner)}


def _coi(one: Booking) -> dict[str, str]:
    query = f"security_token={one.security_token}"
    return {"url": f"{SITE}/coi/{one.id}?{query}", "pdf": f"{SITE}/coi/{one.id}.pdf?{query}"}


def _alive(one: Booking) -> Decimal:
    return sum((policy.price for policy in one.policies if not policy.is_cancelled), Decimal(0))


def _money(name: str, amount: Decimal, currency: str) -> dict[str, Any]:
    symbol = SYMBOLS.get(currency, f"{currency}\u00a0")
    return {name: float(amount), f"{name}_formatted": f"{symbol}{_plain(amount, currency)}"}


def _plain(amount: Decimal, currency: str) -> str:
    return f"{amount:.{DIGITS.get(currency, 2)}f}"


def _offset(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00") if moment else None


def _seconds(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _stable_id(one: Booking, what: str) -> str:
    """An id that stays the same from answer to answer without being kept."""
    return str(uuid.UUID(hashlib.md5(f"{one.id}/{what}".encode(), usedforsecurity=False).hexdigest()))
