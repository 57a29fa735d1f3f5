import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.xclaim.signature import Encoding, derive_key, matching_key, sign

# 224 bytes: the published sample of a webhook without its white space
SAMPLE = (
    b'{"event":"claim.status-category-update","payload":{"id":"099c4df7-cf47-4fb8-baf7-4a1d64d1fd56",'
    b'"claimReference":"HVGCU-B78QJ-CLA","bookingReference":"518B-3H5Q-INS",'
    b'"status":{"category":"Action Required"},"claimDetails":[]}}'
)
SAMPLE_HEX = "sha256=12b151dcbc975ddf44da52c300aa6179ce9bf0d77db3aae3300d462fca9d9ea0"
SAMPLE_BASE64 = "sha256=ErFR3LyXXd9E2lLDAKphec6b8Nd9s6rjMA1GL8qdnqA="
BODY = b'{"event":"claim.deleted","payload":{"id":"1"}}'
encodings = st.sampled_from(["hex", "base64", "either"])


def plain_hex(raw: bytes, key: str) -> str:
    return hmac.new(key.encode(), raw, hashlib.sha256).hexdigest()


def test_a_signature_is_hex_behind_its_prefix() -> None:
    assert sign(BODY, "abc123") == f"sha256={plain_hex(BODY, 'abc123')}"


def test_the_published_sample_has_the_known_signatures() -> None:
    assert sign(SAMPLE, "abc123") == SAMPLE_HEX
    assert sign(SAMPLE, "abc123", "base64") == SAMPLE_BASE64
    assert matching_key(SAMPLE, SAMPLE_HEX, ["abc123"]) == 0
    assert matching_key(SAMPLE, SAMPLE_BASE64, ["abc123"], "base64") == 0


def test_a_claims_key_is_the_lower_case_hex_hmac_of_its_token() -> None:
    assert derive_key("master", "token") == plain_hex(b"token", "master")
    assert derive_key("master", "token") == derive_key("master", "token").lower()


@pytest.mark.parametrize(("keys", "index"), [(("abc123",), 0), (("old", "abc123"), 1), (("abc123", "abc123"), 0)])
def test_the_key_that_signed_is_found_among_all(keys: tuple[str, ...], index: int) -> None:
    assert matching_key(BODY, sign(BODY, "abc123"), keys) == index


def test_one_changed_byte_of_the_body_is_enough() -> None:
    assert matching_key(BODY + b" ", sign(BODY, "abc123"), ["abc123"]) is None


def test_hex_digits_count_in_either_case_and_bytes_as_well_as_text() -> None:
    header = "sha256=" + plain_hex(BODY, "abc123").upper()
    assert matching_key(BODY, header, ["abc123"]) == 0
    assert matching_key(BODY, f" {header}\t".encode(), ["abc123"]) == 0


@pytest.mark.parametrize(
    ("encoding", "takes_hex", "takes_base64"),
    [("hex", True, False), ("base64", False, True), ("either", True, True)],
)
def test_only_the_chosen_encoding_counts(encoding: Encoding, takes_hex: bool, takes_base64: bool) -> None:
    keys = ["abc123"]
    assert (matching_key(BODY, sign(BODY, "abc123"), keys, encoding) == 0) is takes_hex
    assert (matching_key(BODY, sign(BODY, "abc123", "base64"), keys, encoding) == 0) is takes_base64


def test_base64_letters_keep_their_case() -> None:
    header = sign(BODY, "abc123", "base64")
    assert matching_key(BODY, "sha256=" + header[7:].swapcase(), ["abc123"], "either") is None


@pytest.mark.parametrize(
    "header",
    [None, "", b"", "sha256=", "sha256=é", "sha256=\ud800", "sha256=x", "sha1=abc", b"\xff\xfe", "sha256==", "SHA256="],
)
def test_a_malformed_header_matches_nothing(header: str | bytes | None) -> None:
    assert matching_key(BODY, header, ["abc123", ""], "either") is None


def test_the_prefix_is_required() -> None:
    assert matching_key(BODY, plain_hex(BODY, "abc123"), ["abc123"]) is None


def test_an_empty_key_matches_nothing() -> None:
    assert matching_key(BODY, sign(BODY, ""), ["", "abc123"]) is None


def test_without_keys_nothing_matches() -> None:
    assert matching_key(BODY, sign(BODY, "abc123"), []) is None


@given(st.binary(), st.none() | st.text() | st.binary(), st.lists(st.text()), encodings)
def test_no_input_raises_and_no_guess_matches(
    raw: bytes, header: str | bytes | None, keys: list[str], encoding: Encoding
) -> None:
    assert matching_key(raw, header, keys, encoding) is None


@given(st.binary(), st.text(min_size=1), st.lists(st.text(min_size=1)), st.sampled_from(["hex", "base64"]))
def test_what_is_signed_is_recognised(raw: bytes, key: str, others: list[str], encoding: Encoding) -> None:
    assert encoding != "either"
    index = matching_key(raw, sign(raw, key, encoding), [*others, key], encoding)
    assert index is not None
    assert [*others, key][index] == key
