"""The settings that the asking process can see; what others read is theirs to report when they start."""

from shared import outbound
from shared.config import AcceptingSettings
from shared.doctor.findings import Finding, ok, warning, wrong
from shared.doctor.patient import Patient


def settings(patient: Patient) -> list[Finding]:
    """Tell of the settings by which this process runs."""
    if not isinstance(patient.settings, AcceptingSettings):
        return [warning("settings", "only what every process reads could be read here")]
    partners = ", ".join(patient.partner_codes)
    url = patient.settings.redis_url.get_secret_value()
    notes = [f"partners {partners}"]
    if not patient.settings.claims_enabled:
        notes.append("claims switched off")
    if url.startswith("rediss://") and not patient.settings.redis_tls_verify:
        notes.append("Redis's certificate is not verified")
    return [ok("settings", "; ".join(notes))]


def public_url(patient: Patient) -> list[Finding]:
    """Judge the address that claims are given, where this process's environment tells it."""
    given = patient.environment.get("PUBLIC_URL", "").strip()
    if not given:
        return [
            ok("public-url", "not set where this was asked; workers need it for claims, and say so when they start")
        ]
    fault = outbound.fault(given, allows_loopback=True)
    if fault is not None:
        return [wrong("public-url", f"PUBLIC_URL {fault}")]
    if "/webhooks" in given or "?" in given:
        return [
            wrong("public-url", "PUBLIC_URL must be the gateway's address alone: /webhooks/xclaim/… is added to it")
        ]
    if outbound.fault(given) is not None:
        return [warning("public-url", "PUBLIC_URL leads to this machine alone: XClaim cannot reach it")]
    return [ok("public-url", "a public https:// address")]
