"""CALLBACK_URLS and CALLBACK_SECRETS: how they are read, and that everything wrong with them is told together."""

import pytest

from shared.callback_settings import broken_rules
from shared.config import WebSettings
from tests.gateway import web_settings

SECRET, OTHER = (
    "whsec_c2VjcmV0X29mX2NhbGxiYWNrc19vZl90aGVfc2hvcA==",
    "whsec_YW5vdGhlcl9zZWNyZXRfdGhhdF9yZXBsYWNlc19pdA==",
)
TOKENS = "shop:shop-token,anna:operator-token:operator"
URL = "https://hooks.example.com/cfar?a=b"


def given(**changes: str) -> dict[str, str]:
    return {"API_TOKENS": TOKENS, "CALLBACK_URLS": f"shop={URL}", "CALLBACK_SECRETS": f"shop:{SECRET}", **changes}


def test_urls_and_secrets_are_read_by_name() -> None:
    settings = web_settings(
        callback_urls=f" shop={URL} , anna=https://b.example/", callback_secrets=f"shop:{SECRET}, shop:{OTHER}"
    )

    assert settings.callback_urls == {"shop": URL, "anna": "https://b.example/"}
    assert [secret.get_secret_value() for secret in settings.callback_secrets["shop"]] == [SECRET, OTHER]


def test_without_them_nobody_is_told() -> None:
    settings = web_settings()
    assert (settings.callback_urls, settings.callback_secrets) == ({}, {})
    assert settings.callbacks_allow_loopback is False


@pytest.mark.parametrize(
    "changes",
    [
        {"callback_urls": "shop"},
        {"callback_urls": f"={URL}"},
        {"callback_urls": "shop="},
        {"callback_urls": f"shop={URL},shop={URL}"},
        {"callback_secrets": "shop"},
        {"callback_secrets": f":{SECRET}"},
        {"callback_secrets": "shop:short"},
        {"callback_secrets": "shop:whsec_not base64"},
    ],
    ids=["no-url", "no-name", "empty-url", "twice", "no-secret", "secret-no-name", "short", "not-base64"],
)
def test_what_cannot_be_read_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"each entry must be|names a caller twice"):
        web_settings(**changes)


def test_what_fits_together_is_in_order() -> None:
    assert broken_rules(given()) == []
    assert broken_rules({}) == []


def test_all_that_is_wrong_between_them_is_told_together() -> None:
    problems = WebSettings.broken_rules(
        given(
            CALLBACK_URLS=f"shop={URL},anna=http://hooks.example.com/,ghost=https://10.0.0.1/",
            CALLBACK_SECRETS=f"shop:{SECRET},nobody:{SECRET}",
            CLAIMS_ENABLED="false",
        )
    )

    assert problems == [
        "CALLBACK_SECRETS: required for 'anna', which CALLBACK_URLS names",
        "CALLBACK_URLS: the address of 'anna' must be an https:// address",
        "CALLBACK_URLS: 'ghost' is not a name of API_TOKENS",
        "CALLBACK_SECRETS: required for 'ghost', which CALLBACK_URLS names",
        "CALLBACK_URLS: the address of 'ghost' must not lead to an address that is not public",
        "CALLBACK_SECRETS: 'nobody' is not a name of API_TOKENS",
    ]


@pytest.mark.parametrize(("allowed", "problems"), [("true", 0), ("false", 1), ("", 1)], ids=["true", "false", "unset"])
def test_this_machine_is_allowed_by_a_setting_alone(allowed: str, problems: int) -> None:
    settings = given(CALLBACK_URLS="shop=http://127.0.0.1:9000/hook", CALLBACKS_ALLOW_LOOPBACK=allowed)
    assert len(broken_rules(settings)) == problems
