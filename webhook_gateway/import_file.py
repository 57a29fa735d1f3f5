"""Reads a file of cancellations, CSV or JSON Lines, row by row: what to send for each, or what is wrong with it."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import IO, Any

from pydantic import ValidationError

from shared.bulk_intake import MOST_LINES
from shared.cancellation_request import CancellationRequest, invalid
from shared.idempotency import LONGEST_KEY, is_key
from shared.problems import Problem
from webhook_gateway.bodies import MAX_BATCH_BYTES, parsed

KEY = "idempotency_key"
COLUMNS = ("booking_id", "journey", "quote_id", "reason_for_cancellation", "refund_mode")
METADATA = "metadata."
LONGEST_LINE = 1024 * 1024
"""Bytes of one line: a longer one is no cancellation, and must not fill the memory."""
MAX_CHUNK_BYTES = MAX_BATCH_BYTES - 16 * 1024


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSONL = "jsonl"


FORMAT_OF = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".ndjson": Format.JSONL}


class Unusable(Exception):
    """No line of the file can be read; says why."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the file: what to send for it, unless something is wrong with it."""

    line: int
    key: str
    body: Mapping[str, Any]
    wrong: tuple[str, ...] = ()


def rows(stream: IO[bytes], *, written: Format, key_field: str = KEY) -> Iterator[Row]:
    """Yield every row from the beginning of the file; raise Unusable when there is none to be made out."""
    stream.seek(0)
    read = _from_csv if written is Format.CSV else _from_json_lines
    seen: set[bytes] = set()  # of each key its hash: files are long
    for row in read(stream, key_field):
        digest = blake2b(row.key.encode(errors="surrogatepass"), digest_size=16).digest()
        is_repeated = bool(row.key) and digest in seen
        seen.add(digest)
        wrong = (*row.wrong, *((f"{key_field}: {row.key!r} is the key of a line before",) if is_repeated else ()))
        yield Row(line=row.line, key=row.key, body=row.body, wrong=wrong)


def chunks(found: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows that can be sent, in their order, as many together as one call may hold."""
    chunk: list[Row] = []
    size = 0
    for row in found:
        if row.wrong:
            continue
        length = len(json.dumps(row.body)) + 2
        if chunk and (len(chunk) == MOST_LINES or size + length > MAX_CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += length
    if chunk:
        yield chunk


def _from_csv(stream: IO[bytes], key_field: str) -> Iterator[Row]:
    # What is no UTF-8 stays visible as such: one wrong line must not hide the others.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        reader = csv.reader(text, strict=True)
        columns = _columns(next(reader, []), key_field)
        begins = reader.line_num + 1
        for cells in reader:
            if cells:
                yield _csv_row(begins, columns, cells, key_field)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise Unusable(f"It is not CSV: {error}, near line {reader.line_num}.") from error
    finally:
        text.detach()


def _columns(columns: list[str], key_field: str) -> list[str]:
    known = {*COLUMNS, key_field}
    unknown = [name for name in columns if name not in known and not name.startswith(METADATA)]
    if unknown:
        raise Unusable(f"Unknown columns: {', '.join(unknown)}. Known are {', '.join(sorted(known))}, metadata.<name>.")
    if len(set(columns)) < len(columns):
        raise Unusable("A column is there twice.")
    if "booking_id" not in columns:
        raise Unusable("There is no column booking_id.")
    if key_field not in columns:
        said = "each line needs an id of its own, by which it is known when the file is sent again"
        raise Unusable(f"There is no column {key_field}: {said}. Name the column that has it with --key-field.")
    return columns


def _csv_row(line: int, columns: list[str], cells: list[str], key_field: str) -> Row:
    if len(cells) != len(columns):
        return Row(line=line, key="", body={}, wrong=(f"it has {len(cells)} cells; there are {len(columns)} columns",))
    if any("\udc80" <= char <= "\udcff" for cell in cells for char in cell):
        return Row(line=line, key="", body={}, wrong=("it is not UTF-8",))
    given = {name: cell.strip() for name, cell in zip(columns, cells, strict=True) if cell.strip()}
    key = given.get(key_field, "")
    body: dict[str, Any] = {name: given[name] for name in ("booking_id", "journey") if name in given}
    quote, reason = given.get("quote_id"), given.get("reason_for_cancellation")
    if quote:
        body["quotes"] = [{"id": quote, **({"reason_for_cancellation": reason} if reason else {})}]
    if "refund_mode" in given:
        body["refund"] = {"mode": given["refund_mode"]}
    metadata = {name.removeprefix(METADATA): cell for name, cell in given.items() if name.startswith(METADATA)}
    if metadata:
        body["metadata"] = metadata
    alone = ("reason_for_cancellation: it belongs to a quote_id, and there is none",) if reason and not quote else ()
    return _row(line, key, body, key_field, wrong=alone)


def _from_json_lines(stream: IO[bytes], key_field: str) -> Iterator[Row]:
    number = 0
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            while not raw.endswith(b"\n") and (raw := stream.readline(LONGEST_LINE)):
                pass
            yield Row(line=number, key="", body={}, wrong=(f"it is longer than {LONGEST_LINE} bytes",))
        elif raw.strip():
            yield _json_row(number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, key_field)


def _json_row(number: int, raw: bytes, key_field: str) -> Row:
    try:
        value = parsed(raw)
    except Problem as error:
        return Row(line=number, key="", body={}, wrong=(str(error).replace("The body", "it"),))
    if not isinstance(value, dict):
        return Row(line=number, key="", body={}, wrong=("it is no JSON object",))
    key = value.get(key_field, "")
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    is_part = key_field in CancellationRequest.model_fields
    body = value if is_part else {name: inner for name, inner in value.items() if name != key_field}
    return _row(number, key if isinstance(key, str) else "", body, key_field)


def _row(line: int, key: str, body: dict[str, Any], key_field: str, *, wrong: tuple[str, ...] = ()) -> Row:
    if not is_key(key):
        wrong = (*wrong, f"{key_field}: must be 1 to {LONGEST_KEY} visible ASCII characters, the line's own id")
    try:
        CancellationRequest.model_validate(body)
    except ValidationError as error:
        errors = invalid(error, "").document["errors"]
        wrong = (*wrong, *(f"{item['field'] or 'the line'}: {item['problem']}" for item in errors))
    return Row(line=line, key=key, body={KEY: key, **body}, wrong=wrong)
