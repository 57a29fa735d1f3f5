import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.redaction import MAX_NODES, REDACTED, clean_text, is_sensitive, redact, redact_text

SECRET = "s3cr3t-value"

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=30,
)


SENSITIVE = """
    Authorization X-Api-Key security_token signup_token jwt key secret password policyholder insured
    email name phone secondary_email first_name lastName address1 postcode birth_date pds_url coi
    account_url claimant XClaim-Signature Set-Cookie webhook_key
    full_name policyholder_name customer_name customerDetails guest_name passenger passengers lead_passenger_name
    traveller insured_people covered_person beneficiaries holder contact_name cardholder_name names
    mobile mobile_number tel street street_name line1 suburb zip extra_fields additional_info
    dob date_of_birth dateOfBirth birthday year_of_birth age gender nationality passport_no ssn iban
"""
KEPT = """
    id status message errors total_refund currency cancelled_at confirm_before quote_id policy_type language
    policy_name status_name product_name event_name partner_name field_name file_name category status_label title
    isCustomerEligible can_be_cancelled cancellation_id client_id customer_id insured_value sectionFields page
"""


@pytest.mark.parametrize("name", SENSITIVE.split())
def test_values_of_sensitive_names_are_dropped_wherever_they_are(name: str) -> None:
    kept = redact({"quotes": [{name: {"deep": SECRET}}], name: SECRET})
    assert SECRET not in json.dumps(kept)
    assert is_sensitive(name)


@pytest.mark.parametrize("name", KEPT.split())
def test_what_evidence_is_made_of_is_kept(name: str) -> None:
    assert redact({name: "kept"}) == {name: "kept"}


@pytest.mark.parametrize(
    "text",
    [
        "see https://x.test/coi?security_token=UiRlP-6bLfQ&x=1",
        'Signature keyId="UiRlP-6bLfQ",headers="(request-target) date",signature="UiRlP-6bLfQ"',
        "Authorization: Bearer UiRlP-6bLfQ-UiRlP-6bLfQ",
        "the token eyJhbGciOiJIUzI1NiJ9.UiRlP-6bLfQ.UiRlP-6bLfQ has expired",
        "UiRlP-6bLfQ@example.test is not a valid address",
        '{"password": "UiRlP-6bLfQ"}',
    ],
)
def test_secrets_inside_a_text_are_hidden(text: str) -> None:
    hidden = redact_text(text)
    assert "UiRlP-6bLfQ" not in hidden
    assert REDACTED in hidden


def test_a_telephone_number_inside_a_text_is_hidden() -> None:
    assert "555 0100" not in redact_text("+1 (202) 555 0100 is not a number")


@pytest.mark.parametrize(
    "text",
    [
        "Signature string does not match!",
        'should start with "+" character',
        "8WD8Y-LTEKE-INS",
        "2021-01-08T18:19:04Z",
    ],
)
def test_ordinary_messages_stay_readable(text: str) -> None:
    assert redact_text(text) == text


def test_a_null_stays_a_null_even_under_a_sensitive_name() -> None:
    assert redact({"phone": None}) == {"phone": None}


def test_exact_decimals_become_their_text() -> None:
    assert redact({"total_refund": Decimal("22.40")}) == {"total_refund": "22.40"}


def test_depth_and_size_are_bounded() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    wide = {f"k{number}": ["x" * 10_000] * 1000 for number in range(1000)}
    assert len(json.dumps(redact(deep))) < 200
    assert len(json.dumps(redact(wide))) < MAX_NODES * 2000


def test_text_can_always_be_stored() -> None:
    assert clean_text("a\x00b\ud800") == "a\ufffdb?"
    assert len(clean_text("x" * 1000)) == 300


@given(json_like)
def test_anything_becomes_json(document: object) -> None:
    json.dumps(redact(document), allow_nan=False, ensure_ascii=False).encode()


@given(st.text())
def test_any_text_can_be_hidden_in(text: str) -> None:
    redact_text(text).encode()
