from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.insurer.errors import UnusableAnswer
from shared.xclaim.listing import Listing
from shared.xclaim.pages import is_same_origin, read_page

URL = "https://xclaim.test/partners/ABCDE/claims?sort=x"
BOOKING = "8UHPK-ALPQT-INS"

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["data", "meta", "links", "next", "pagination", "current_page", "last_page", "total"]),
            inner,
        )
    ),
    max_leaves=30,
)


def claims(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [{"id": f"c{number}", "bookingReference": BOOKING} for number in range(start, start + count)]


def listed(*bodies: object, is_filtered: bool = False) -> Listing:
    listing = Listing(BOOKING, is_filtered=is_filtered)
    for body in bodies:
        listing.add(read_page(body, url=URL, next_link=None))
    return listing


@pytest.mark.parametrize(
    "paging",
    [
        {"links": {"next": "https://xclaim.test/partners/ABCDE/claims?page=2"}},
        {"links": {"next": {"href": "/partners/ABCDE/claims?page=2"}}},
        {"links": {"next": "?page=2"}},
        {"meta": {"pagination": {"total": 9, "links": {"next": "?page=2"}}}},
        {"next": "?page=2"},
        {"next_page_url": "?page=2"},
    ],
)
def test_the_next_page_is_found_where_it_may_be_named(paging: dict[str, Any]) -> None:
    page = read_page({"data": claims(2), **paging}, url=URL, next_link=None)
    assert page.next_url == "https://xclaim.test/partners/ABCDE/claims?page=2"


@pytest.mark.parametrize(
    "paging", [{"current_page": 1, "last_page": 3}, {"pagination": {"currentPage": 1, "totalPages": 3}}]
)
def test_without_a_link_the_next_page_is_counted_to(paging: dict[str, Any]) -> None:
    page = read_page({"data": claims(2), "meta": paging}, url=URL, next_link=None)
    assert page.next_url == "https://xclaim.test/partners/ABCDE/claims?sort=x&page=2"


def test_a_link_header_counts_too() -> None:
    page = read_page(claims(2), url=URL, next_link="?page=2")
    assert page.next_url == "https://xclaim.test/partners/ABCDE/claims?page=2"


@pytest.mark.parametrize(
    "body",
    [
        {"data": claims(2)},
        claims(2),
        {"data": []},
        {"data": claims(2), "links": {"next": None}, "meta": {"current_page": 1, "last_page": 1, "total": 2}},
        {"data": claims(15), "links": {"next": None}},
        {"data": claims(15), "meta": {"total": 15}},
        {"data": claims(15), "meta": {"current_page": 1, "last_page": 1}},
    ],
)
def test_a_whole_list_is_complete(body: object) -> None:
    assert listed(body).result().is_complete


@pytest.mark.parametrize(
    "body",
    [
        {"data": claims(2), "meta": {"total": 3}},
        {"data": claims(2), "total": 3},
        {"data": claims(2), "links": {"next": 7}},
        {"data": claims(2), "links": {"next": "http://[bad/claims"}},
        {"data": claims(2), "meta": {"next_cursor": "abc"}},
        {"data": claims(2), "has_more": True},
        {"data": claims(2), "meta": {"last_page": 3}},
        {"data": claims(15)},
        {"data": [*claims(1), None]},
        {"data": [*claims(1), {"reportedAt": "2026-02-30", "id": "x"}]},
        {"data": [*claims(1), {"id": "names no booking at all"}]},
        {"data": claims(2), "links": {"next": "?page=2"}},
    ],
)
def test_a_list_that_may_be_cut_or_holds_riddles_is_not_complete(body: object) -> None:
    assert not listed(body).result().is_complete


def test_pages_together_reach_the_total() -> None:
    first = {"data": claims(2), "links": {"next": "?page=2"}, "meta": {"total": 3}}
    second = {"data": claims(1, start=2), "links": {"next": None}, "meta": {"total": 3}}
    again = {"data": claims(1, start=0), "links": {"next": None}, "meta": {"total": 3}}
    assert listed(first, second).result().is_complete
    assert not listed(first, again).result().is_complete


def test_other_bookings_claims_are_left_out() -> None:
    body = {"data": [*claims(1), {"id": "x", "bookingReference": "other"}, {"id": "y", "booking_reference": None}]}
    result = listed(body).result()
    assert [claim.id for claim in result.claims] == ["c0"]
    assert result.is_complete


def test_a_filtered_list_may_leave_the_booking_unsaid() -> None:
    result = listed({"data": [{"id": "x"}]}, is_filtered=True).result()
    assert [claim.id for claim in result.claims] == ["x"]
    assert result.is_complete


def test_an_answer_without_a_list_is_unusable() -> None:
    bodies: list[object] = [None, {}, {"data": {}}, "x"]
    for body in bodies:
        with pytest.raises(UnusableAnswer):
            read_page(body, url=URL, next_link=None)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("https://xclaim.test/x", True),
        ("https://xclaim.test:443/x", True),
        ("http://xclaim.test/x", False),
        ("https://xclaim.test:8443/x", False),
        ("https://xclaim.test.evil.test/x", False),
        ("https://xclaim.test@evil.test/x", False),
        ("https://xclaim.test:x/", False),
        ("//evil.test/", False),
    ],
)
def test_a_token_goes_to_the_same_origin_only(other: str, is_same: bool) -> None:
    assert is_same_origin(other, URL) is is_same


@given(json_like)
def test_any_json_is_a_page_or_called_unusable(body: object) -> None:
    try:
        listed(body).evidence()
    except UnusableAnswer:
        return
