"""Settings: every environment variable, read once, all problems reported together.

One class per kind of process, so that a process asks only for what it uses.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared import callback_settings, partner_settings
from shared.callback_settings import CallbackSecrets, CallbackUrls
from shared.lifecycle import ClaimWhen
from shared.milestones import DEFAULT_MAPPING
from shared.partners import SeveralPartners
from shared.setting_problems import needed_for_claims, problems_of
from shared.setting_values import (
    ApiToken,
    Duration,
    HttpUrl,
    PartnerCode,
    WebhookKeys,
    api_token,
    is_address,
    is_signing_secret,
)

EX_CONFIG = 78  # sysexits.h: configuration error
MAX_PORT = 65_535
SHORTEST_KEEPING = timedelta(days=30)
MAX_PROXY_HOPS = 10
MAX_WEB_PROCESSES = 64  # each holds a pool of database connections


class Settings(BaseSettings):
    """What every process reads."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("sqlite:///var/cfar.db")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_tls_verify: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] | None = None
    """None: text where standard error is a terminal, else JSON."""

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        """Turn what platforms hand out into what SQLAlchemy reads."""
        url = value.get_secret_value()
        for scheme in ("postgres://", "postgresql://", "postgresql+psycopg://"):
            if url.startswith(scheme):
                return SecretStr("postgresql+psycopg://" + url.removeprefix(scheme))
        if url.startswith("sqlite:///"):
            return value
        raise ValueError("must start with postgresql://, postgres:// or sqlite:///")

    @field_validator("redis_url")
    @classmethod
    def _known_broker(cls, value: SecretStr) -> SecretStr:
        if not is_address(value.get_secret_value(), schemes={"redis", "rediss"}):
            raise ValueError("must start with redis:// or rediss://")
        return value

    @classmethod
    def broken_rules(cls, given: Mapping[str, str]) -> list[str]:
        """Return what is wrong between several variables; looked at even when single ones are wrong too."""
        if given.get("DYNO") and (given.get("DATABASE_URL") or "sqlite:").startswith("sqlite:"):
            return ["DATABASE_URL: SQLite is refused where DYNO is set, such disks do not last: use postgresql://"]
        return []


class AcceptingSettings(Settings, SeveralPartners):
    """What a process that accepts cancellations, and tells what they wait for, reads: the web and the Celery door."""

    claims_enabled: bool = True
    xclaim_claim_type_id: str | None = None
    refund_mode: Literal["wait", "call", "skip"] = "wait"
    refund_url: HttpUrl | None = None
    claim_when: ClaimWhen = ClaimWhen.AUTO
    claim_milestones: dict[str, list[str]] | None = None
    callback_urls: CallbackUrls = {}
    callback_secrets: CallbackSecrets = {}
    callbacks_allow_loopback: bool = False
    xcover_rate_limit: float = Field(default=20.0, gt=0, le=1_000_000)
    """Requests a second, all workers together."""
    refund_max_wait: Duration = timedelta(days=14)
    premium_refund_max_wait: Duration = timedelta(days=60)
    read_back_after: Duration = timedelta(minutes=10)
    """How long after a request may have left the insurer is believed when it shows nothing done."""

    @field_validator("claim_milestones")
    @classmethod
    def _known_milestones(cls, value: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
        if not (value or {}).keys() <= DEFAULT_MAPPING.keys():
            raise ValueError(f"may name only {', '.join(DEFAULT_MAPPING)}")
        if any(not word.strip() for words in (value or {}).values() for word in words):
            raise ValueError("a milestone's words must not be empty")
        return value

    @classmethod
    def broken_rules(cls, given: Mapping[str, str]) -> list[str]:
        """To call for a refund takes an address, to tell of changes one and a secret."""
        problems = [*super().broken_rules(given), *callback_settings.broken_rules(given)]
        if given.get("REFUND_MODE") == "call" and not given.get("REFUND_URL"):
            problems.append("REFUND_URL: required while REFUND_MODE is call")
        return problems


class WebSettings(AcceptingSettings):
    """What the gateway reads."""

    api_tokens: Annotated[list[ApiToken], NoDecode]
    xclaim_signature_encoding: Literal["hex", "base64", "either"] = "hex"
    xcover_webhook_keys: WebhookKeys = []
    caller_rate_limit: int = Field(default=1_000, ge=0, le=1_000_000)
    """Requests a second of each caller, all web processes together; 0: as many as it likes."""
    proxy_hops: int = Field(default=0, ge=0, le=MAX_PROXY_HOPS)
    flower_url: HttpUrl | None = None
    """Where operators find Flower; the console links to it."""
    port: int = Field(default=8000, ge=1, le=MAX_PORT)
    web_concurrency: int = Field(default=2, ge=1, le=MAX_WEB_PROCESSES)

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _named_tokens(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        tokens = [api_token(entry) for entry in str(value).split(",") if entry.strip()]
        if not tokens:
            raise ValueError("names no caller: unset never means open")
        if len({token.token.get_secret_value() for token in tokens}) < len(tokens):
            raise ValueError("gives one token twice: who sends it could not be told")
        if len({token.name for token in tokens}) < len({(token.name, token.role) for token in tokens}):
            raise ValueError("gives one name in two roles: all tokens of a name are one caller")
        return tokens

    @classmethod
    def broken_rules(cls, given: Mapping[str, str]) -> list[str]:
        """Claims need a key to verify their webhooks with."""
        return [*super().broken_rules(given), *needed_for_claims(given, ["XCLAIM_WEBHOOK_KEYS"])]


class WorkerSettings(AcceptingSettings):
    """What a worker reads."""

    xcover_base_url: HttpUrl
    xcover_api_key: SecretStr
    xcover_api_secret: SecretStr
    xcover_signature_algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha512"
    xcover_signed_headers: Literal["date", "(request-target) date"] = "date"
    xclaim_base_url: HttpUrl | None = None
    xclaim_partner_code: PartnerCode | None = None
    xclaim_claims_by_booking_path: str | None = None
    xclaim_token: SecretStr | None = None
    xclaim_api_key: SecretStr | None = None
    xclaim_password: SecretStr | None = None
    xclaim_eligibility_check: bool = True
    public_url: HttpUrl | None = None
    refund_secret: SecretStr | None = None
    preview_renew_before: Duration = timedelta(hours=1)
    confirm_margin: Duration = timedelta(seconds=60)
    keep_bodies: Duration | None = timedelta(days=180)
    """Personal data of what has ended, and webhooks' bodies; 0 is for ever, here and below."""
    keep_webhooks: Duration | None = timedelta(days=365)
    keep_cancellations: Duration | None = None
    celery_callers: Annotated[list[str], NoDecode] = Field(default=[], validation_alias=AliasChoices("API_TOKENS"))
    """Names a producer may give as `caller`; the tokens themselves stay with the gateway."""

    @field_validator("keep_bodies", "keep_webhooks", "keep_cancellations")
    @classmethod
    def _long_enough(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and timedelta(0) < value < SHORTEST_KEEPING:
            raise ValueError(f"must be 0 (for ever) or at least {SHORTEST_KEEPING.days}d: claims take weeks")
        return value or None

    @field_validator("refund_secret")
    @classmethod
    def _standard_webhooks_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_signing_secret(value.get_secret_value()):
            raise ValueError(
                "must be random bytes in base64, at least 16 (24 are advised), as Standard Webhooks has it: whsec_…"
            )
        return value

    @field_validator("celery_callers", mode="before")
    @classmethod
    def _names_only(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [api_token(entry).name for entry in value.split(",") if entry.strip()]

    @classmethod
    def broken_rules(cls, given: Mapping[str, str]) -> list[str]:
        """Claims need XClaim's address, its credentials and a receiver for its webhooks; refund calls a secret."""
        needed = ["XCLAIM_BASE_URL", "XCLAIM_WEBHOOK_KEYS", "PUBLIC_URL"]
        if not given.get("XCLAIM_TOKEN") and not (given.get("XCLAIM_API_KEY") and given.get("XCLAIM_PASSWORD")):
            needed.append("XCLAIM_TOKEN (or XCLAIM_API_KEY with XCLAIM_PASSWORD)")
        problems = [*super().broken_rules(given), *needed_for_claims(given, needed)]
        if given.get("REFUND_URL") and not given.get("REFUND_SECRET"):
            problems.append("REFUND_SECRET: required while REFUND_URL is set")
        return problems


class FlowerSettings(Settings):
    """What Flower reads: without a password it would show the queue to anyone."""

    flower_basic_auth: SecretStr
    port: int = Field(default=5555, ge=1, le=MAX_PORT)

    @field_validator("flower_basic_auth")
    @classmethod
    def _user_and_password(cls, value: SecretStr) -> SecretStr:
        user, _, password = value.get_secret_value().partition(":")
        if not user or not password or "," in password:
            raise ValueError("must be user:password, without a comma: Flower reads one as the start of another user")
        return value


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(kind: type[AnySettings]) -> AnySettings:
    """Read the environment; on any problem print all of them and exit 78."""
    problems = kind.broken_rules(os.environ)
    try:
        settings = kind()
    except ValidationError as error:
        _exit_with(problems_of(error) + problems)
    if isinstance(settings, AcceptingSettings) and settings.partners_file is not None:
        problems += partner_settings.add_all(settings, settings.partners_file, os.environ)
    stop_if_wrong(problems)
    url = settings.database_url.get_secret_value()
    if url.startswith("sqlite:///"):
        _make_folder(Path(url.removeprefix("sqlite:///")).parent)
    return settings


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"Not started: the database's folder {folder} cannot be made: {error.strerror}.", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from error


def stop_if_wrong(problems: Sequence[str]) -> None:
    """Print problems of settings, if any, and exit 78."""
    if problems:
        _exit_with(problems)


def _exit_with(problems: Sequence[str]) -> NoReturn:
    print(f"Not started: {len(problems)} setting(s) missing or wrong.", file=sys.stderr)  # noqa: T201 - logs need settings
    for line in problems:
        print(f"  {line}", file=sys.stderr)  # noqa: T201
    print("Set them in the environment (see .env.example) and start again.", file=sys.stderr)  # noqa: T201
    raise SystemExit(EX_CONFIG)
