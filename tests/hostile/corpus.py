"""Bodies that have broken receivers elsewhere, or might."""

import json

_DEEP = 100_000
_EVENT = {"event": "claim.deleted", "payload": {"id": "c-1"}}

NOT_EVENTS: tuple[bytes, ...] = (
    b"", b" ", b"null", b"true", b"0", b"[]", b"{}", b'""', b"{", b"}", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00",
    b'{"event": null, "payload": {}}', b'{"event": "x"}', b'{"event": "x", "payload": []}',
    b'{"event": 1, "payload": {}}', b'{"event": "", "payload": {}}', b'{"event": "x", "event": "y", "payload": {}}',
    b'{"event": "x", "payload": {"id": "1", "id": "2"}}', b'{"event": "x", "payload": {"id": NaN}}',
    b'{"event": "x", "payload": {"n": Infinity}}', b'{"event": "x", "payload": {"n": -Infinity}}',
    b'{"event": "\\ud800", "payload": {}}', b'{"event": "x", "payload": {"\\udfff": 1}}',
    b'{"event": "\\u0000", "payload": {}}', b'{"event": "x", "payload": {"a": "\\u0000"}}',
    b'{"event": "x", "payload": {"id": "\xff"}}', b'{"event": "x", "payload": {}} trailing',
    b"[" * _DEEP, b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP,
    b'{"event": "x", "payload": ' + b"[" * 900 + b"]" * 900 + b"}",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00", b"event=x&payload=y", b"<event/>", b"---\nevent: x\n", b"'event': 'x'",
    b"{'event': 'x', 'payload': {}}", b'{"event": "x", "payload": 1e999999}', b"1" * 5_000, b"-" * 100,
    json.dumps(_EVENT).encode("utf-16"), json.dumps(_EVENT).encode("utf-32"),
)  # fmt: skip
"""Signed or not, none of these is a claim event."""

BODIES_IN_BAD_FRAMES: tuple[bytes, ...] = (
    b"Content-Length: 100\r\n\r\nshort",
    b"Content-Length: 2\r\n\r\nlonger than two",
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Content-Length: +3\r\n\r\nabc",
    b"Content-Length: 3 \r\n\r\nabc",
    b"Content-Length: \r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"Transfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
    b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * 5_000 + b"\r\na\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 2_000 + b"0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n" + b"8000\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: identity\r\n\r\nab",
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"\r\n",
    b"\n\n",
    b"A: b\nC: d\n\n",
    b"A" * 70_000,
    b"".join(b"H%d: v\r\n" % number for number in range(500)) + b"\r\n",
)
