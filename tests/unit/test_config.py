"""Settings: read once from the environment, every problem told at once, no value ever shown."""

import re
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.broker import create_celery
from shared.config import (
    EX_CONFIG,
    AcceptingSettings,
    FlowerSettings,
    Settings,
    WebSettings,
    WorkerSettings,
    load,
)
from shared.models import Cancellation
from shared.setting_values import ApiToken

ROOT = Path(__file__).parents[2]
KINDS = (Settings, AcceptingSettings, WebSettings, WorkerSettings, FlowerSettings)

WEB = {
    "XCOVER_PARTNER_CODE": "ABCDE",
    "API_TOKENS": "shop:tok-1",
    "XCLAIM_WEBHOOK_KEYS": "hook-1",
}
WORKER = {
    "XCOVER_PARTNER_CODE": "ABCDE",
    "XCOVER_BASE_URL": "https://api.example.test/x/",
    "XCOVER_API_KEY": "key-1",
    "XCOVER_API_SECRET": "sec-1",
    "XCLAIM_BASE_URL": "https://claims.example.test/",
    "XCLAIM_TOKEN": "xtok-1",
    "XCLAIM_WEBHOOK_KEYS": "hook-1",
    "PUBLIC_URL": "https://cfar.example.test",
}
FLOWER = {"FLOWER_BASIC_AUTH": "anna:pw-1"}
COMPLETE: dict[type[Settings], dict[str, str]] = {
    Settings: {},
    AcceptingSettings: {"XCOVER_PARTNER_CODE": "ABCDE"},
    WebSettings: WEB,
    WorkerSettings: WORKER,
    FlowerSettings: FLOWER,
}
CLAIM_VARIABLES = {
    "XCLAIM_BASE_URL": "XCLAIM_BASE_URL",
    "XCLAIM_WEBHOOK_KEYS": "XCLAIM_WEBHOOK_KEYS",
    "PUBLIC_URL": "PUBLIC_URL",
    "XCLAIM_TOKEN": "XCLAIM_TOKEN (or XCLAIM_API_KEY with XCLAIM_PASSWORD)",
}
READ_ELSEWHERE = {"WORKER_CONCURRENCY", "WORKER_STALL_AFTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"}
"""By the supervisor, which stands apart from these classes, and by libraries that bring settings of their own."""

Environment = Callable[[dict[str, str]], None]


def variables_of(kind: type[Settings]) -> set[str]:
    """Return the environment variables a class reads."""
    return {
        str(field.validation_alias.choices[0]).upper() if field.validation_alias else name.upper()  # type: ignore[union-attr]
        for name, field in kind.model_fields.items()
    }


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """Set exactly these of our variables, in a directory of their own."""
    monkeypatch.chdir(tmp_path)

    def exactly(given: dict[str, str]) -> None:
        for name in {"DYNO", *READ_ELSEWHERE}.union(*map(variables_of, KINDS)):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return exactly


def refusal_of(kind: type[Settings], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that a refused start prints about single problems."""
    with pytest.raises(SystemExit) as stopped:
        load(kind)
    assert stopped.value.code == EX_CONFIG
    printed = capsys.readouterr()
    assert printed.out == ""
    return [line.strip() for line in printed.err.splitlines() if line.startswith("  ")]


def variables_in(lines: list[str]) -> set[str]:
    """Return the names that lines of a refusal are about."""
    return {line.partition(":")[0] for line in lines}


@pytest.mark.parametrize("kind", KINDS)
def test_a_complete_environment_starts(kind: type[Settings], environment: Environment) -> None:
    environment(COMPLETE[kind])

    assert isinstance(load(kind), kind)


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        (Settings, set()),
        (AcceptingSettings, {"XCOVER_PARTNER_CODE"}),
        (WebSettings, {"XCOVER_PARTNER_CODE", "API_TOKENS", "XCLAIM_WEBHOOK_KEYS"}),
        (
            WorkerSettings,
            {"XCOVER_PARTNER_CODE", "XCOVER_BASE_URL", "XCOVER_API_KEY", "XCOVER_API_SECRET"}
            | set(CLAIM_VARIABLES.values()),
        ),
        (FlowerSettings, {"FLOWER_BASIC_AUTH"}),
    ],
)
def test_an_empty_environment_names_everything_the_process_needs_at_once(
    kind: type[Settings], needed: set[str], environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({})

    if not needed:
        load(kind)
        return
    lines = refusal_of(kind, capsys)

    assert variables_in(lines) == needed
    assert len(lines) == len(needed)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, complete in COMPLETE.items() for name in complete],
)
@pytest.mark.parametrize("value", [None, ""])
def test_a_single_missing_or_empty_variable_is_the_only_one_named(
    kind: type[Settings], name: str, value: str | None, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    without = {other: text for other, text in COMPLETE[kind].items() if other != name}
    environment(without if value is None else {**without, name: value})

    lines = refusal_of(kind, capsys)

    assert variables_in(lines) == {CLAIM_VARIABLES.get(name, name)}
    assert "required" in lines[0]


REFUND_SECRET = "whsec_" + b64encode(b"r" * 24).decode()

WRONG = {
    "DATABASE_URL": "mysql://u:w-database@h/n",
    "REDIS_URL": "http://:w-redis@h:1/0",
    "REDIS_TLS_VERIFY": "w-verify",
    "LOG_LEVEL": "w-level",
    "LOG_FORMAT": "w-format",
    "CLAIMS_ENABLED": "w-claims",
    "REFUND_MODE": "w-mode",
    "CLAIM_WHEN": "w-when",
    "XCOVER_BASE_URL": "ftp://w-xcover/",
    "XCOVER_SIGNATURE_ALGORITHM": "w-algorithm",
    "XCOVER_SIGNED_HEADERS": "w-headers",
    "XCLAIM_BASE_URL": "w-xclaim",
    "XCLAIM_ELIGIBILITY_CHECK": "w-check",
    "CLAIM_MILESTONES": '{"claim_paid": "w-milestone"}',
    "PUBLIC_URL": "https://",
    "REFUND_URL": "ftp://w-refund/",
    "REFUND_SECRET": "whsec_w-secret",
    "REFUND_MAX_WAIT": "w-wait",
    "PREMIUM_REFUND_MAX_WAIT": "w-premium",
    "PREVIEW_RENEW_BEFORE": "-1h",
    "CONFIRM_MARGIN": "1.5s",
    "READ_BACK_AFTER": "10 minutes",
    "API_TOKENS": "w-tokens",
}


def test_everything_wrong_is_told_at_once_and_no_value_is_shown(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {"XCOVER_API_KEY", "XCOVER_API_SECRET"}
    environment({name: value for name, value in {**WORKER, **WRONG}.items() if name not in missing})

    lines = refusal_of(WorkerSettings, capsys)

    assert variables_in(lines) == set(WRONG) | missing
    assert len(lines) == len(set(WRONG) | missing)
    assert "w-" not in "\n".join(lines)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_single_wrong_value_is_the_only_one_named(
    name: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**WORKER, "REFUND_SECRET": REFUND_SECRET, name: WRONG[name]})

    assert variables_in(refusal_of(WorkerSettings, capsys)) == {name}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (WebSettings, "API_TOKENS", "shop:s3cret,s3cret"),
        (WebSettings, "API_TOKENS", "shop:s3cret:admin"),
        (WebSettings, "REDIS_URL", "amqp://:s3cret@h/0"),
        (WebSettings, "REDIS_URL", "redis://:s3cret\u2100@h/0"),
        (WebSettings, "REDIS_URL", "redis://[s3cret"),
        (WebSettings, "DATABASE_URL", "mysql://u:s3cret@h/n"),
        (WorkerSettings, "XCOVER_BASE_URL", "https://u:s3cret\u2100@h/"),
        (WorkerSettings, "XCOVER_BASE_URL", "https://[s3cret]/"),
        (WorkerSettings, "PUBLIC_URL", "s3cret"),
        (WorkerSettings, "CLAIM_MILESTONES", '["s3cret"]'),
        (FlowerSettings, "FLOWER_BASIC_AUTH", "s3cret"),
        (FlowerSettings, "FLOWER_BASIC_AUTH", ":s3cret"),
        (FlowerSettings, "FLOWER_BASIC_AUTH", "s3cret:"),
        (FlowerSettings, "PORT", "s3cret"),
    ],
)
def test_a_refusal_never_shows_the_value(
    kind: type[Settings], name: str, value: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**COMPLETE[kind], name: value})

    lines = refusal_of(kind, capsys)

    assert variables_in(lines) == {name}
    assert "s3cret" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("kind", "name"), [(WebSettings, "PORT"), (WebSettings, "WEB_CONCURRENCY"), (FlowerSettings, "PORT")]
)
@pytest.mark.parametrize("value", ["0", "65536", "-1", "two", "1.5"])
def test_a_number_that_cannot_be_used_is_told_with_everything_else(
    kind: type[Settings], name: str, value: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**COMPLETE[kind], name: value, "LOG_LEVEL": "loud"})

    assert variables_in(refusal_of(kind, capsys)) == {name, "LOG_LEVEL"}


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("CLAIM_MILESTONES", "claim_paid=Settled", '{"claim_paid": ["Settled"]}'),
        ("CLAIM_MILESTONES", '{"claim_paid": 1, "premium_refund": 2}', '{"claim_paid": ["Settled"]}'),
        ("REDIS_TLS_VERIFY", "maybe", "true or false"),
    ],
)
def test_a_refusal_says_what_form_is_wanted(
    name: str, value: str, form: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**WORKER, name: value})

    (line,) = refusal_of(WorkerSettings, capsys)

    assert line.startswith(f"{name}: ")
    assert form in line


def test_a_database_folder_that_cannot_be_made_is_told_in_one_line(
    environment: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    environment({"DATABASE_URL": "sqlite:///file/below/cfar.db"})

    with pytest.raises(SystemExit) as stopped:
        load(Settings)

    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "file/below" in line


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@127.0.0.1:1/cfar", "sqlite:////proc/nowhere/cfar.db", "sqlite:////"]
)
def test_migrating_an_unreachable_database_says_so_in_one_line(url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env={"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "s3cret" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLAIM_MILESTONES", "{not json"),
        ("REFUND_MAX_WAIT", "99999999999999d"),
        ("REFUND_MAX_WAIT", "9" * 5000),
    ],
)
def test_a_value_that_cannot_even_be_read_is_told_like_any_other(
    name: str, value: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**WORKER, name: value, "XCOVER_API_KEY": ""})

    assert variables_in(refusal_of(WorkerSettings, capsys)) == {name, "XCOVER_API_KEY"}


def test_a_process_that_lacks_settings_exits_78_without_a_traceback(tmp_path: Path) -> None:
    code = "from shared.config import WebSettings, load; load(WebSettings)"

    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "API_TOKENS": "s3cret"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 78
    assert "Traceback" not in ended.stderr
    assert "s3cret" not in ended.stderr
    assert {"API_TOKENS", "XCOVER_PARTNER_CODE", "XCLAIM_WEBHOOK_KEYS"} <= set(re.findall(r"[A-Z_]{4,}", ended.stderr))


def test_printing_settings_shows_no_secret(environment: Environment) -> None:
    environment(
        {**WORKER, **WEB, **FLOWER, "DATABASE_URL": "postgresql://u:db-pw@h/n", "REDIS_URL": "redis://:rd-pw@h"}
    )

    printed = " ".join(repr(load(kind)) + str(load(kind)) for kind in KINDS)

    secrets = ["db-pw", "rd-pw", "tok-1", "hook-1", "key-1", "sec-1", "pw-1"]
    assert [secret for secret in secrets if secret in printed] == []


@pytest.mark.parametrize("name", sorted(CLAIM_VARIABLES))
@pytest.mark.parametrize("enabled", ["true", "1", "yes", ""])
def test_claims_need_their_variables(
    name: str, enabled: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({other: value for other, value in WORKER.items() if other != name} | {"CLAIMS_ENABLED": enabled})

    assert variables_in(refusal_of(WorkerSettings, capsys)) == {CLAIM_VARIABLES[name]}


@pytest.mark.parametrize("disabled", ["false", "False", "FALSE", "0", "no", "off"])
@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_without_claims_nothing_of_xclaim_is_needed(
    kind: type[Settings], disabled: str, environment: Environment
) -> None:
    kept = {name: value for name, value in COMPLETE[kind].items() if name not in CLAIM_VARIABLES}
    environment({**kept, "CLAIMS_ENABLED": disabled})

    assert load(kind).claims_enabled is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("credentials", "is_enough"),
    [
        ({"XCLAIM_TOKEN": "t"}, True),
        ({"XCLAIM_API_KEY": "k", "XCLAIM_PASSWORD": "p"}, True),
        ({"XCLAIM_TOKEN": "t", "XCLAIM_API_KEY": "k"}, True),
        ({"XCLAIM_API_KEY": "k"}, False),
        ({"XCLAIM_PASSWORD": "p"}, False),
        ({"XCLAIM_API_KEY": "k", "XCLAIM_PASSWORD": ""}, False),
        ({}, False),
    ],
)
def test_xclaim_wants_a_token_or_a_key_with_its_password(
    credentials: dict[str, str], is_enough: bool, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({name: value for name, value in WORKER.items() if name != "XCLAIM_TOKEN"} | credentials)

    if is_enough:
        load(WorkerSettings)
    else:
        assert variables_in(refusal_of(WorkerSettings, capsys)) == {CLAIM_VARIABLES["XCLAIM_TOKEN"]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("database", [None, "", "sqlite:///var/cfar.db"])
def test_where_disks_do_not_last_sqlite_is_refused(
    kind: type[Settings], database: str | None, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {**COMPLETE[kind], "DYNO": "web.1"}
    environment(given if database is None else {**given, "DATABASE_URL": database})

    assert variables_in(refusal_of(kind, capsys)) == {"DATABASE_URL"}


@pytest.mark.parametrize("kind", KINDS)
def test_where_disks_do_not_last_postgresql_is_taken(kind: type[Settings], environment: Environment) -> None:
    environment({**COMPLETE[kind], "DYNO": "web.1", "DATABASE_URL": "postgres://u:p@h/n"})

    load(kind)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgres://u:p@h:5/n", "postgresql+psycopg://u:p@h:5/n"),
        ("postgresql://u:p@h:5/n?sslmode=require", "postgresql+psycopg://u:p@h:5/n?sslmode=require"),
        ("postgresql+psycopg://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        ("sqlite:///some/where.db", "sqlite:///some/where.db"),
        ("", "sqlite:///var/cfar.db"),
    ],
)
def test_the_database_is_read_as_platforms_hand_it_out(given: str, read: str, environment: Environment) -> None:
    environment({"DATABASE_URL": given})

    assert load(Settings).database_url.get_secret_value() == read


def test_the_directory_of_an_sqlite_file_is_made(environment: Environment, tmp_path: Path) -> None:
    environment({"DATABASE_URL": "sqlite:///some/where/cfar.db"})

    load(Settings)

    assert (tmp_path / "some" / "where").is_dir()


@pytest.mark.parametrize(
    ("verify", "required"), [(None, ssl.CERT_REQUIRED), ("true", ssl.CERT_REQUIRED), ("false", ssl.CERT_NONE)]
)
def test_redis_over_tls_is_verified_unless_switched_off(
    verify: str | None, required: ssl.VerifyMode, environment: Environment
) -> None:
    given = {"REDIS_URL": "rediss://:p@h:6380/0"}
    environment(given if verify is None else {**given, "REDIS_TLS_VERIFY": verify})

    celery = create_celery(load(Settings))

    assert celery.conf.broker_use_ssl == {"ssl_cert_reqs": required}


def test_redis_without_tls_has_no_tls_settings(environment: Environment) -> None:
    environment({"REDIS_URL": "redis://h:6379/0"})

    assert not create_celery(load(Settings)).conf.broker_use_ssl


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("90", timedelta(seconds=90)),
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("1h", timedelta(hours=1)),
        ("14d", timedelta(days=14)),
        (" 14d ", timedelta(days=14)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_a_number_with_or_without_a_unit(text: str, read: timedelta, environment: Environment) -> None:
    environment({**WORKER, "REFUND_MAX_WAIT": text})

    assert load(WorkerSettings).refund_max_wait == read


@pytest.mark.parametrize("text", ["1w", "h", "1h30m", "-5s", "1.5h", "PT1H", "14 d", "1_000", "inf"])
def test_anything_else_is_no_duration(text: str, environment: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    environment({**WORKER, "CONFIRM_MARGIN": text})

    (line,) = refusal_of(WorkerSettings, capsys)

    assert line.startswith("CONFIRM_MARGIN: ")
    assert "90s" in line


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("shop:abc", [ApiToken(name="shop", token=SecretStr("abc"))]),
        ("anna:abc:operator", [ApiToken(name="anna", token=SecretStr("abc"), role="operator")]),
        ("vera:abc:viewer", [ApiToken(name="vera", token=SecretStr("abc"), role="viewer")]),
        (
            " shop:abc , anna:def:operator ,",
            [
                ApiToken(name="shop", token=SecretStr("abc")),
                ApiToken(name="anna", token=SecretStr("def"), role="operator"),
            ],
        ),
    ],
)
def test_api_tokens_name_their_callers(given: str, read: list[ApiToken], environment: Environment) -> None:
    environment({**WEB, "API_TOKENS": given})

    assert load(WebSettings).api_tokens == read


@pytest.mark.parametrize("given", ["abc", ":abc", "shop:", "shop:abc:root", "shop:abc:operator:x", "a:b,c", ",", " , "])
def test_an_entry_that_names_no_caller_and_token_is_refused(
    given: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**WEB, "API_TOKENS": given})

    assert variables_in(refusal_of(WebSettings, capsys)) == {"API_TOKENS"}


def test_a_worker_keeps_the_callers_names_and_not_their_tokens(environment: Environment) -> None:
    environment({**WORKER, "API_TOKENS": "shop:tok-1,anna:tok-2:operator"})

    settings = load(WorkerSettings)

    assert settings.celery_callers == ["shop", "anna"]
    assert "tok-" not in repr(settings.model_dump())


@pytest.mark.parametrize("given", ["shop:same,anna:same:operator", "shop:same,shop:same"])
def test_one_token_given_twice_is_refused(
    given: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**WEB, "API_TOKENS": given})

    assert variables_in(refusal_of(WebSettings, capsys)) == {"API_TOKENS"}


@pytest.mark.parametrize("given", ["P" * 65, "A B", "PARTN\u00c9R"])
@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_a_partner_code_that_no_row_or_address_can_hold_is_refused(
    kind: type[Settings], given: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**COMPLETE[kind], "XCOVER_PARTNER_CODE": given})

    assert variables_in(refusal_of(kind, capsys)) == {"XCOVER_PARTNER_CODE"}


@pytest.mark.parametrize("given", ['{"paid": ["Settled"]}', '{"claim_paid": [""]}', '{"claim_paid": ["Settled", " "]}'])
def test_milestones_that_nothing_could_ever_reach_are_refused(
    given: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**WORKER, "CLAIM_MILESTONES": given})

    assert variables_in(refusal_of(WorkerSettings, capsys)) == {"CLAIM_MILESTONES"}


def test_milestones_may_be_known_by_other_words(environment: Environment) -> None:
    environment({**WORKER, "CLAIM_MILESTONES": '{"claim_paid": ["Utbetald"], "premium_refund": []}'})

    assert load(WorkerSettings).claim_milestones == {"claim_paid": ["Utbetald"], "premium_refund": []}


@pytest.mark.parametrize("given", ["one,two", " one , two ", "one,,two,"])
def test_webhook_keys_are_separated_by_commas(given: str, environment: Environment) -> None:
    environment({**WEB, "XCLAIM_WEBHOOK_KEYS": given})

    assert [key.get_secret_value() for key in load(WebSettings).xclaim_webhook_keys] == ["one", "two"]


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_commas_alone_are_no_webhook_key(
    kind: type[Settings], environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**COMPLETE[kind], "XCLAIM_WEBHOOK_KEYS": " , "})

    assert variables_in(refusal_of(kind, capsys)) == {"XCLAIM_WEBHOOK_KEYS"}


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_a_callers_name_that_no_row_can_hold_is_refused(
    kind: type[Settings], environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    longest = Cancellation.caller.type.length
    environment({**COMPLETE[kind], "API_TOKENS": f"{'x' * (longest + 1)}:tok-1"})

    assert variables_in(refusal_of(kind, capsys)) == {"API_TOKENS"}


def test_an_empty_variable_counts_as_unset(environment: Environment) -> None:
    optional = {name: "" for name in variables_of(WorkerSettings) if name not in WORKER}
    environment({**WORKER, **optional})
    with_empty_ones = load(WorkerSettings)

    environment(WORKER)

    assert with_empty_ones == load(WorkerSettings)


def example_lines() -> list[tuple[str, str, bool]]:
    """Return (variable, value, is commented out) for each line of .env.example that names one."""
    found = re.findall(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return [(name, value, bool(hash_sign)) for hash_sign, name, value in found]


def test_the_example_names_every_variable_and_no_other() -> None:
    named = [name for name, _, _ in example_lines()]

    assert set(named) == READ_ELSEWHERE.union(*map(variables_of, KINDS))
    assert len(named) == len(set(named))


def test_what_the_example_shows_commented_out_is_the_default(environment: Environment) -> None:
    shown = {name: value for name, value, is_commented in example_lines() if is_commented and name != "PORT"}
    for kind in KINDS:
        environment({**shown, **COMPLETE[kind]})
        as_shown = load(kind)
        environment(COMPLETE[kind])
        assert as_shown == load(kind)


def test_asking_for_refunds_needs_an_address(environment: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    environment({**WORKER, "REFUND_MODE": "call"})

    assert refusal_of(WorkerSettings, capsys) == ["REFUND_URL: required while REFUND_MODE is call"]


def test_an_address_for_refunds_needs_a_secret(environment: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    environment({**WORKER, "REFUND_URL": "https://partner.example.test/refunds"})

    assert refusal_of(WorkerSettings, capsys) == ["REFUND_SECRET: required while REFUND_URL is set"]


@pytest.mark.parametrize("secret", ["whsec_" + b64encode(b"r" * 15).decode(), "whsec_", "a-plain-password-is-no-key"])
def test_a_refund_secret_that_is_short_or_no_base64_is_refused(
    secret: str, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment({**WORKER, "REFUND_SECRET": secret})

    assert variables_in(refusal_of(WorkerSettings, capsys)) == {"REFUND_SECRET"}


@pytest.mark.parametrize("prefix", ["whsec_", ""])
@pytest.mark.parametrize("length", [16, 24, 64, 65])
def test_a_refund_secret_may_do_without_its_prefix_and_its_padding(
    prefix: str, length: int, environment: Environment
) -> None:
    environment({**WORKER, "REFUND_SECRET": prefix + b64encode(b"r" * length).decode().rstrip("=")})

    assert load(WorkerSettings).refund_secret is not None


def test_refund_calls_are_set_up_by_address_and_secret(environment: Environment) -> None:
    environment({**WORKER, "REFUND_MODE": "call", "REFUND_URL": "https://p.test/r", "REFUND_SECRET": REFUND_SECRET})

    settings = load(WorkerSettings)

    assert (settings.refund_mode, settings.refund_url) == ("call", "https://p.test/r")
