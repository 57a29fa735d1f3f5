"""Reading a file of cancellations: what is sent for each line, and which lines are wrong, and why."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bulk_intake import MOST_LINES
from webhook_gateway import import_file
from webhook_gateway.import_file import MAX_CHUNK_BYTES, Format, Row, Unusable, chunks, rows


def read(text: str | bytes, written: Format = Format.CSV, **more: Any) -> list[Row]:
    raw = text.encode() if isinstance(text, str) else text
    return list(rows(io.BytesIO(raw), written=written, **more))


def wrong(text: str | bytes, written: Format = Format.CSV, **more: Any) -> list[tuple[int, str]]:
    return [(row.line, said) for row in read(text, written, **more) for said in row.wrong]


FULL = "idempotency_key,booking_id,journey,quote_id,reason_for_cancellation,refund_mode,metadata.order,metadata.seat\n"


def test_every_column_reaches_the_request() -> None:
    (row,) = read(FULL + 't-1,B-1,cancel,q-1,"Show, called off",skip,A-1,7b\n')

    assert (row.line, row.key, row.wrong) == (2, "t-1", ())
    assert row.body == {
        "idempotency_key": "t-1",
        "booking_id": "B-1",
        "journey": "cancel",
        "quotes": [{"id": "q-1", "reason_for_cancellation": "Show, called off"}],
        "refund": {"mode": "skip"},
        "metadata": {"order": "A-1", "seat": "7b"},
    }


def test_empty_cells_say_nothing() -> None:
    (row,) = read(FULL + "t-1, B-1 ,,,,,,\n")

    assert (row.body, row.wrong) == ({"idempotency_key": "t-1", "booking_id": "B-1"}, ())


@pytest.mark.parametrize("key_field", ["ticket", "metadata.ticket", "booking_id"])
def test_the_key_may_be_in_another_column(key_field: str) -> None:
    columns = "booking_id" if key_field == "booking_id" else f"booking_id,{key_field}"
    (row,) = read(f"{columns}\nB-1{'' if key_field == 'booking_id' else ',t-1'}\n", key_field=key_field)

    assert row.key == ("B-1" if key_field == "booking_id" else "t-1")
    assert row.body.get("metadata") == ({"ticket": "t-1"} if key_field == "metadata.ticket" else None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "booking_id"),
        ("idempotency_key\n", "booking_id"),
        ("booking_id\nB-1\n", "--key-field"),
        ("booking_id,idempotency_key,colour\n", "colour"),
        ("booking_id,idempotency_key,booking_id\n", "twice"),
        ('booking_id,idempotency_key\n"B-1"x,t-1\n', "not CSV"),
        (f'booking_id,idempotency_key\nB-1,"{"x" * 200_000}"\n', "not CSV"),
    ],
    ids=["nothing", "no booking", "no key", "unknown", "twice", "quotes", "endless"],
)
def test_a_file_that_cannot_be_made_out_says_why(text: str, said: str) -> None:
    with pytest.raises(Unusable, match=said):
        read(text)


def test_wrong_lines_are_named_with_all_that_is_wrong() -> None:
    text = (
        "idempotency_key,booking_id,quote_id,reason_for_cancellation\r\n"
        "t-1,B-1,,\r\n"
        "t 2,,,\r\n"
        "\r\n"
        't-3,"B-\r\n3",q-3,\r\n'
        "t-4,B-4,,Ill\r\n"
        "t-5,B-5\r\n"
        "t-1,B-6,,\r\n"
    )

    assert [(line, said.partition(":")[0]) for line, said in wrong(text)] == [
        (3, "idempotency_key"), (3, "booking_id"), (5, "booking_id"), (7, "reason_for_cancellation"),
        (8, "it has 2 cells; there are 4 columns"), (9, "idempotency_key"),
    ]  # fmt: skip


def test_a_line_that_is_no_utf8_does_not_hide_the_others() -> None:
    raw = b"\xef\xbb\xbfbooking_id,idempotency_key\nB-1,t-\xff\nB-2,t-2\n"

    assert [(row.line, row.wrong) for row in read(raw)] == [(2, ("it is not UTF-8",)), (3, ())]


def test_json_lines_are_bodies_with_a_key() -> None:
    body = {"booking_id": "B-1", "claim": {"language": "en"}, "metadata": {"n": [1, 2.5]}}
    text = "\ufeff" + json.dumps({**body, "idempotency_key": "t-1"}) + "\n\n" + json.dumps({**body, "id": 7}) + "\n"

    first, second = read(text, Format.JSONL)
    assert (first.line, first.key, first.body, first.wrong) == (1, "t-1", {"idempotency_key": "t-1", **body}, ())
    assert second.wrong == (
        "idempotency_key: must be 1 to 255 visible ASCII characters, the line's own id",
        "id: Extra inputs are not permitted",
    )
    by_id = read(text, Format.JSONL, key_field="id")[1]
    assert (by_id.key, by_id.body, by_id.wrong) == ("7", {"idempotency_key": "7", **body}, ())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "it is not JSON"),
        ("[1]", "it is no JSON object"),
        ('{"booking_id": "B", "booking_id": "C"}', "it is not JSON: an object names a field twice"),
        ('{"idempotency_key": true, "booking_id": "B"}', "idempotency_key"),
        ('{"idempotency_key": "k", "booking_id": "B", "quotes": [{"id": 1}]}', "quotes.0.id"),
    ],
)
def test_a_wrong_json_line_is_named(line: str, said: str) -> None:
    good = '{"idempotency_key": "t-9", "booking_id": "B-1"}'

    ((number, told),) = wrong(f"{line}\n{good}", Format.JSONL)

    assert number == 1
    assert told.startswith(said)


def test_a_line_without_end_is_wrong_and_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_file, "LONGEST_LINE", 100)
    good = '{"idempotency_key": "t-9", "booking_id": "B-1"}'

    found = read("x" * 1_000 + "\n" + good + "\n" + "y" * 101, Format.JSONL)

    assert [(row.line, row.key, bool(row.wrong)) for row in found] == [(1, "", True), (2, "t-9", False), (3, "", True)]


def test_chunks_hold_the_good_rows_in_order() -> None:
    text = "booking_id,idempotency_key\n" + "".join(f"B-{n},{'' if n % 100 == 7 else f't-{n}'}\n" for n in range(1_200))

    found = list(chunks(iter(read(text))))

    assert [len(chunk) for chunk in found] == [MOST_LINES, MOST_LINES, 188]
    assert [row.key for chunk in found for row in chunk] == [f"t-{n}" for n in range(1_200) if n % 100 != 7]


def test_chunks_stay_below_the_largest_body() -> None:
    large = [
        Row(line=n, key=f"t-{n}", body={"idempotency_key": f"t-{n}", "metadata": {"note": "ä" * 16_000}})
        for n in range(100)
    ]

    found = list(chunks(iter(large)))

    assert sum(len(chunk) for chunk in found) == 100
    assert len(found) > 1
    assert max(len(json.dumps([row.body for row in chunk])) for chunk in found) <= MAX_CHUNK_BYTES + 2


@given(st.binary(max_size=200), st.sampled_from(Format))
def test_no_bytes_break_the_reader(raw: bytes, written: Format) -> None:
    try:
        found = read(raw, written)
    except Unusable:
        return
    assert all(row.wrong or row.body["booking_id"] for row in found)
