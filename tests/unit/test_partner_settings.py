"""PARTNERS_FILE: further partners, whose own things are never taken from the plain variables."""

from pathlib import Path

import pytest

from shared.config import EX_CONFIG, AcceptingSettings, WebSettings, WorkerSettings, load
from tests.unit.test_config import WEB, WORKER
from workers.partners import problems_of_clients

GOOD = """
[partners.AIRLINE]
xcover_api_key = "air-key-1"
xcover_api_secret = "air-secret-1"
xcover_webhook_keys = ["air:hooks-1", "air:hooks-2"]
xcover_rate_limit = 5
xclaim_token = "air-claim-token"
xclaim_webhook_keys = ["air-master-2", "air-master-1"]
refund_max_wait = "3d"
callers = ["air-web"]

[partners.AGENCY]
xcover_base_url = "https://agency.example.test/x/"
xcover_api_key = "agency-key-1"
xcover_api_secret = "agency-secret-1"
claims_enabled = false
"""
WRONG = {
    "a name that is no setting": ('xcover_pasword = "hush"', "xcover_pasword: not a setting of a partner"),
    "a setting of the whole deployment": ('database_url = "hush"', "database_url: not a setting of a partner"),
    "a number that is none": ('xcover_rate_limit = "hush"', "XCOVER_RATE_LIMIT: Input should be a valid number"),
    "a table that says too little": ("", "XCOVER_API_KEY: required, but not set"),
    "claims without credentials": ("", "XCLAIM_TOKEN (or XCLAIM_API_KEY with XCLAIM_PASSWORD): required while"),
    "claims without a key for their webhooks": ("", "XCLAIM_WEBHOOK_KEYS: required while CLAIMS_ENABLED is true"),
    "refund calls without a secret": ('refund_url = "https://hush.example.test"', "REFUND_SECRET: required while"),
    "a value that is empty": ('xclaim_token = ""', "xclaim_token: must not be empty"),
    "a secret that is none": ('refund_secret = "hush"', "REFUND_SECRET: must be random bytes in base64"),
}
UNBUILDABLE = {
    "a token with a space": 'xclaim_token = "hush hush"',
    "a path without its booking": 'xclaim_claims_by_booking_path = "claims/of"',
    "an address with a query": 'xcover_base_url = "https://api.example.test/x/?hush=1"',
}
UNUSABLE = {
    "not there": (None, "No such file or directory"),
    "not TOML": ("[partners.A]\nxcover_api_key = hush", "is not TOML in UTF-8: it stops being so at line 2"),
    "not text": ("\0", "is not TOML in UTF-8"),
    "other tables": ('[partner.A]\nxcover_api_key = "hush"', "may hold nothing but tables named [partners.CODE]"),
    "a value beside the tables": ('partners = "hush"', "may hold nothing but tables named [partners.CODE]"),
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A partners' file of a deployment that is complete without it."""
    for name, value in {**WEB, **WORKER}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REFUND_URL", "https://pay.example.test/")
    monkeypatch.setenv("REFUND_SECRET", "whsec_c2ltX3JlZnVuZF9zZWNyZXRfb2ZfdGhpcnR5X3R3b19i")
    monkeypatch.setenv("PARTNERS_FILE", str(tmp_path / "partners.toml"))
    return tmp_path / "partners.toml"


def refusal(kind: type[AcceptingSettings], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        load(kind)
    assert stopped.value.code == EX_CONFIG
    told = capsys.readouterr().err
    assert "hush" not in told
    return told


def test_each_partner_has_what_its_table_says_and_else_what_the_variables_say(file: Path) -> None:
    file.write_text(GOOD)
    settings = load(WorkerSettings)

    assert settings.partner_codes == ["ABCDE", "AIRLINE", "AGENCY"]
    airline, agency = settings.of_partner("AIRLINE"), settings.of_partner("AGENCY")
    assert airline is not None
    assert agency is not None
    assert airline.xcover_api_key.get_secret_value() == "air-key-1"
    assert (airline.xcover_base_url, agency.xcover_base_url) == (
        WORKER["XCOVER_BASE_URL"],
        "https://agency.example.test/x/",
    )
    assert (airline.xcover_rate_limit, agency.xcover_rate_limit) == (5, 20)
    assert (airline.refund_max_wait.days, agency.refund_max_wait.days) == (3, 14)
    assert (airline.claims_enabled, agency.claims_enabled) == (True, False)
    assert [key.get_secret_value() for key in airline.xclaim_webhook_keys] == ["air-master-2", "air-master-1"]


def test_what_belongs_to_one_partner_is_never_another_s(file: Path) -> None:
    file.write_text(GOOD)
    agency = load(WorkerSettings).of_partner("AGENCY")
    assert agency is not None
    assert (agency.xclaim_token, agency.xclaim_webhook_keys) == (None, [])
    assert (agency.refund_url, agency.refund_secret) == (None, None)  # or its customers' refunds were asked of others


def test_the_gateway_reads_the_same_file(file: Path) -> None:
    file.write_text(GOOD)
    settings = load(WebSettings)
    airline = settings.of_partner("AIRLINE")
    assert airline is not None
    assert [(key.key.get_secret_value(), key.secret.get_secret_value()) for key in airline.xcover_webhook_keys] == [
        ("air", "hooks-1"),
        ("air", "hooks-2"),
    ]
    assert settings.of_partner("NOBODY") is None


def test_a_partner_with_callers_may_be_named_by_them_alone(file: Path) -> None:
    file.write_text(GOOD)
    settings = load(WebSettings)
    assert settings.may_name("air-web", "AIRLINE")
    assert not settings.may_name("shop", "AIRLINE")
    assert settings.may_name("shop", "AGENCY")
    assert settings.may_name("shop", "ABCDE")


@pytest.mark.parametrize(("line", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_table_is_told_with_its_partner_and_without_its_values(
    file: Path, line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"[partners.AIRLINE]\n{line}\n")
    assert f"PARTNERS_FILE, [partners.AIRLINE]: {told}" in refusal(WorkerSettings, capsys)


def test_the_partner_of_the_variables_has_no_table_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('[partners.ABCDE]\nxcover_api_key = "hush"\n')
    told = "[partners.ABCDE]: its settings are the plain variables; only callers may stand here"
    assert told in refusal(WebSettings, capsys)


def test_the_partner_of_the_variables_may_have_callers_too(file: Path) -> None:
    file.write_text('[partners.ABCDE]\ncallers = ["shop"]\n')
    settings = load(WebSettings)
    assert settings.may_name("shop", "ABCDE")
    assert not settings.may_name("air-web", "ABCDE")


def test_a_tables_milestones_stand_in_place_of_the_variables(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIM_MILESTONES", '{"claim_paid": ["Plain Paid"]}')
    file.write_text(GOOD + '[partners.AGENCY.claim_milestones]\npremium_refund = ["Mine"]\n')
    agency = load(WorkerSettings).of_partner("AGENCY")
    assert agency is not None
    assert agency.claim_milestones == {"premium_refund": ["Mine"]}


@pytest.mark.parametrize(("text", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used_stops_the_start_and_is_not_quoted(
    file: Path, text: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        file.write_text(text)
    assert told in refusal(WorkerSettings, capsys)


def test_the_problems_of_the_variables_and_of_the_file_are_told_together(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[partners.AIRLINE]\n[partners.AGENCY]\n")
    monkeypatch.setenv("REFUND_MODE", "call")
    monkeypatch.delenv("REFUND_URL")
    told = refusal(WorkerSettings, capsys)
    assert "  REFUND_URL: required while REFUND_MODE is call" in told
    assert told.count("XCOVER_API_SECRET: required") == 2


@pytest.mark.parametrize("line", UNBUILDABLE.values(), ids=UNBUILDABLE)
def test_what_no_client_can_be_built_from_is_found_before_any_work_begins(file: Path, line: str) -> None:
    token = "" if "token" in line else 'xclaim_token = "t"\n'
    head = '[partners.AIRLINE]\nxcover_api_key = "k"\nxcover_api_secret = "s"\nxclaim_webhook_keys = ["m"]\n'
    file.write_text(f"{head}{token}{line}\n")
    (problem,) = problems_of_clients(load(WorkerSettings))
    assert problem.startswith("partner AIRLINE: ")
    assert "hush" not in problem


def test_codes_that_differ_in_capital_letters_alone_are_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD + '[partners.airline]\nxcover_api_key = "k"\nxcover_api_secret = "s"\n')
    assert "[partners.airline]: another partner's code differs" in refusal(WorkerSettings, capsys)
