"""What a hostile sender sends, from a seed. Each attack is bytes for one connection; nothing is sent here."""

import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from shared.xclaim.signature import derive_key, sign
from tests.hostile import corpus

METHODS = (
    b"GET",
    b"PUT",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"post",
    b"CONNECT",
    b"\x00",
    b"POST POST",
)
PATHS = (
    b"/webhooks/xclaim", b"/webhooks/xcover", b"//webhooks/xclaim", b"/webhooks/xclaim/", b"/webhooks//xclaim",
    b"/webhooks/xclaim/../xclaim", b"/webhooks/xclaim/%2e%2e/x", b"/webhooks/xclaim/%00", b"/webhooks/xclaim/%ff%fe",
    b"/webhooks/xclaim/a/b", b"/webhooks/xclaim?x=1", b"/webhooks/xclaim;x", b"/WEBHOOKS/XCLAIM", b"*", b"",
    b"http://elsewhere/webhooks/xclaim", b"/webhooks/xclaim/" + b"t" * 3_000, b"/webhooks/xclaim/\xc3\xa9",
    b"/v1/cancellations", b"/v1/webhooks", b"/v1/cancellations/0", b"/console", b"/metrics/", b"/.env",
    b"/" + b"a" * 9_000,
)  # fmt: skip
HEADERS = (
    b"Content-Encoding: gzip", b"Expect: 100-continue", b"Expect: something", b"X-Forwarded-For: 127.0.0.1",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: unheard-of",
    b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 0x10",
    b"Content-Length: 1, 2", b"Authorization: Bearer " + b"a" * 5_000, b"Authorization: Signature keyId=,signature=",
    b"Cookie: " + b"c" * 8_000, b"X: " + b"y" * 20_000, b"no colon", b": no name", b" folded: yes", b"N\x00L: 1",
    b"A: \x00", b"A: \xff\xfe", b"Upgrade: h2c", b"Connection: upgrade",
    b"Content-Type: application/xml", b"Host: a\r\nHost: b",
    b"Idempotency-Key: \x01", b"Date: never", b"Accept-Encoding: *", b"Range: bytes=0-1",
)  # fmt: skip
LARGE = 300_000


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One request."""

    name: str
    raw: bytes
    signed: bytes | None = None
    """The body, where it is an event and its signature is right: only such may be stored."""
    is_framed: bool = True
    """Whether the connection may be used again; else our end of it is closed after sending."""


class Attacker:
    """Draws attacks; one seed draws the same ones."""

    def __init__(self, seed: str, *, masters: tuple[str, ...]) -> None:
        self._chance = random.Random(seed)
        self._masters = masters
        self._tokens = [f"token-{number}" for number in range(50)]
        self._kinds: dict[str, tuple[int, Callable[[], Attack]]] = {
            "signed": (4, self._signed),
            "signature wrong": (20, self._with_wrong_signature),
            "signature strange": (15, self._with_strange_signature),
            "body changed": (15, self._with_changed_body),
            "signed nonsense": (15, self._signed_nonsense),
            "path": (10, self._at_strange_path),
            "header": (10, self._with_strange_header),
            "framing": (5, self._badly_framed),
            "cut": (3, self._cut),
            "noise": (2, self._noise),
            "too large": (1, self._too_large),
        }

    def attacks(self) -> Iterator[Attack]:
        """Draw without end."""
        names, weights = list(self._kinds), [weight for weight, _ in self._kinds.values()]
        while True:
            for name in self._chance.choices(names, weights, k=1_000):
                yield self._kinds[name][1]()

    def _event(self) -> bytes:
        number = self._chance.randrange(1_000_000)
        payload = {"id": f"c-{number}", "claimReference": f"{number}-CLA", "status": {"category": "Submitted"}}
        return json.dumps({"event": "claim.status-category-update", "payload": payload}).encode()

    def _address(self) -> tuple[bytes, str]:
        """Return a path and the key that signs for it."""
        master = self._chance.choice(self._masters)
        if self._chance.random() < 0.5:
            return b"/webhooks/xclaim", master
        token = self._chance.choice(self._tokens)
        return b"/webhooks/xclaim/" + token.encode(), derive_key(master, token)

    def _signed(self) -> Attack:
        raw, (path, key) = self._event(), self._address()
        return Attack(name="signed", raw=_post(path, raw, sign(raw, key).encode()), signed=raw)

    def _with_wrong_signature(self) -> Attack:
        raw, (path, _) = self._event(), self._address()
        signature = b"sha256=" + self._chance.randbytes(32).hex().encode()
        return Attack(name="signature wrong", raw=_post(path, raw, signature))

    def _with_strange_signature(self) -> Attack:
        raw, (path, key) = self._event(), self._address()
        right = sign(raw, key).encode()
        strange = [
            b"", right[7:], right[:-1], b"sha1=" + right[7:], right.replace(b"=", b"=="), b"sha256=" + right,
            b"sha256=" + b"0" * 7_000, self._chance.randbytes(40).translate(None, b"\r\n\x00"), b"sha256=\xff\xfe",
            b"sha256=" + b"\xef\xbc\x90" * 64, right + b", " + right, b"sha256=" + right[7:][::-1], b"sha256=null",
        ]  # fmt: skip
        return Attack(name="signature strange", raw=_post(path, raw, self._chance.choice(strange)))

    def _with_changed_body(self) -> Attack:
        raw, (path, key) = self._event(), self._address()
        changed, at = bytearray(raw), self._chance.randrange(len(raw))
        changed[at] ^= 1 << self._chance.randrange(8)
        return Attack(name="body changed", raw=_post(path, bytes(changed), sign(raw, key).encode()))

    def _signed_nonsense(self) -> Attack:
        raw, (path, key) = self._chance.choice(corpus.NOT_EVENTS), self._address()
        if self._chance.random() < 0.3:
            raw = self._chance.randbytes(self._chance.randrange(200))
        return Attack(name="signed nonsense", raw=_post(path, raw, sign(raw, key).encode()))

    def _at_strange_path(self) -> Attack:
        method = b"POST" if self._chance.random() < 0.5 else self._chance.choice(METHODS)
        path, raw = self._chance.choice(PATHS), self._event()
        return Attack(name="path", raw=_post(path, raw, b"sha256=00", method=method), is_framed=False)

    def _with_strange_header(self) -> Attack:
        (path, key), raw = self._address(), self._event()
        more = self._chance.sample(HEADERS, k=self._chance.randrange(1, 4)) * self._chance.choice((1, 1, 1, 30))
        framed = _post(path, gzip.compress(raw), sign(raw, key).encode()[:-1], more=more)
        return Attack(name="header", raw=framed, is_framed=False)

    def _badly_framed(self) -> Attack:
        (path, _), body = self._address(), self._chance.choice(corpus.BODIES_IN_BAD_FRAMES)
        head = b"POST %s HTTP/%s\r\nHost: x\r\n" % (path, self._chance.choice((b"1.1", b"1.0", b"0.9", b"2.0", b"9")))
        return Attack(name="framing", raw=head + body, is_framed=False)

    def _cut(self) -> Attack:
        whole = self._signed().raw
        return Attack(name="cut", raw=whole[: self._chance.randrange(1, len(whole))], is_framed=False)

    def _noise(self) -> Attack:
        return Attack(name="noise", raw=self._chance.randbytes(self._chance.randrange(1, 400)), is_framed=False)

    def _too_large(self) -> Attack:
        path, _ = self._address()
        return Attack(name="too large", raw=_post(path, b"x" * LARGE, b"sha256=00"), is_framed=False)


def _post(
    path: bytes, raw: bytes, signature: bytes, *, method: bytes = b"POST", more: list[bytes] | None = None
) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: x", b"XClaim-Signature: " + signature, *(more or [])]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(raw), b"", b""]) + raw


def kinds(found: Mapping[str, int]) -> str:
    """Return counts by name as text."""
    return " · ".join(f"{name} {count}" for name, count in sorted(found.items(), key=lambda one: -one[1]))
