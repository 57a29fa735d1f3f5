"""Tells while a request's bytes come in whether all of it is there. Refuses nothing: that is the server's parser."""

import re
from dataclasses import dataclass, field

from webhook_gateway.bodies import MAX_BATCH_BYTES, MAX_BYTES

MAX_HEAD = 64 * 1024
"""Bytes of a head that is longer than the server reads: its end need not be waited for."""
MAX_CHUNK_LINE = 1_024
"""Bytes of the line before a chunk; longer ones are the parser's to refuse, like a size that is no number."""

_TAKES_MORE = b"POST /v1/batches"
"""How a request begins that may have a larger body."""
_CRLF = b"\r\n"
_BLANK_LINE = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:([^\r\n]*)", re.IGNORECASE)


@dataclass(kw_only=True)
class Arrival:
    """A request that is on its way. Every byte is looked at once, however they are cut."""

    until: float = 0.0
    """When it is no longer waited for; the server's business."""
    received: bytearray = field(default_factory=bytearray)
    expects_continue: bool = False
    """Its sender waits to be told to go on (RFC 9110, 10.1.1)."""
    _needed: int | None = None
    """How many bytes make the request, once its head tells."""
    _next_chunk: int | None = None
    """Where the line of the next chunk begins, in a request that comes in chunks."""
    _head_is_read: bool = False
    _most: int = MAX_BYTES
    """Bytes of its body beyond which it is refused, so that the rest need not be waited for."""

    def take(self, part: bytes) -> bool:
        """Add bytes, and tell whether nothing more need be waited for: it is there, is too large, or is none."""
        looked_at = max(len(self.received) - len(_BLANK_LINE), 0)
        self.received += part
        if not self._head_is_read:
            end = self.received.find(_BLANK_LINE, looked_at)
            if end < 0:
                return len(self.received) > MAX_HEAD
            self._read_head(end + len(_BLANK_LINE))
        if self._next_chunk is not None:
            return self._is_at_last_chunk()
        return self._needed is None or len(self.received) >= self._needed

    def _read_head(self, end: int) -> None:
        self._head_is_read = True
        head = bytes(self.received[:end])
        self._most = MAX_BATCH_BYTES if head.startswith(_TAKES_MORE) else MAX_BYTES
        self.expects_continue = b" HTTP/1.1\r\n" in head and _EXPECTS.search(head) is not None
        coding, lengths = _CODING.search(head), _LENGTH.findall(head)
        if coding is not None:
            self._next_chunk = end if b"chunked" in coding[1].lower() else None
        elif lengths:
            self._needed = end + int(lengths[0]) if int(lengths[0]) <= self._most else end

    def _is_at_last_chunk(self) -> bool:
        at = self._next_chunk or 0
        while at < len(self.received):
            self._next_chunk = at
            end = self.received.find(_CRLF, at, at + MAX_CHUNK_LINE)
            if end < 0:
                return len(self.received) - at >= MAX_CHUNK_LINE
            try:
                size = int(bytes(self.received[at:end]).partition(b";")[0], 16)
            except ValueError:
                return True
            if size <= 0 or size > self._most:
                # After the last chunk come trailers and a blank line, or the blank line alone.
                return size != 0 or self.received.find(_BLANK_LINE, end) >= 0
            at = end + len(_CRLF) + size + len(_CRLF)
        self._next_chunk = at
        return len(self.received) > self._most + MAX_HEAD
