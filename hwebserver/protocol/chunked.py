"""The chunked transfer coding (RFC 9112 7.1), decoded from pieces of any size.

Each line is bounded, and so is what a client may spend on chunk extensions over all chunks, since
both are bytes that cost work and carry nothing. Trailer fields are checked like fields of a head
and then dropped, which RFC 9112 7.1.2 allows; those that would change how a message is understood
(RFC 9110 6.5.1) are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from ..errors import ProtocolError
from . import grammar, tokens

if TYPE_CHECKING:
    from .http1 import Limits

#: RFC 9110 6.5.1: fields that frame, route, authenticate or describe a message cannot come after
#: it.
FORBIDDEN_TRAILERS = frozenset(
    """
    age authorization cache-control connection content-encoding content-length content-range
    content-type cookie date expect expires forwarded host if-match if-modified-since
    if-none-match if-range if-unmodified-since keep-alive location max-forwards pragma
    proxy-authenticate proxy-authorization proxy-connection range retry-after set-cookie te
    trailer transfer-encoding upgrade vary www-authenticate x-forwarded-for x-forwarded-host
    x-forwarded-proto
    """.split()
)

_SIZE, _DATA, _DATA_END, _TRAILERS, _COMPLETE = range(5)

#: What extensions may cost before the allowance of each chunk counts: one full line.
_EXTENSION_START = 256


class ChunkedBody:
    """A body in the chunked coding.

    Args:
        limits: What the request may cost.
    """

    __slots__ = (
        "_extension_budget",
        "_left",
        "_limits",
        "_seen",
        "_state",
        "_total",
        "_trailer_count",
        "_trailer_size",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _SIZE
        self._left = 0  # bytes that the current chunk still has to deliver
        self._total = 0
        self._seen = 0  # bytes of an unfinished line that need no second look
        self._extension_budget = _EXTENSION_START
        self._trailer_size = 0
        self._trailer_count = 0

    @property
    def complete(self) -> bool:
        """Whether the last chunk and the trailer section have been taken."""
        return self._state == _COMPLETE

    def take(self, buffer: Union[bytes, bytearray]) -> tuple[bytes, Union[bytes, bytearray]]:
        """Return the decoded data of what is complete in the buffer, and the rest of the buffer.

        Raises:
            ProtocolError: 400 for a broken coding, 413 and 431 for a limit.
        """
        pieces: list[bytes] = []
        position, size = 0, len(buffer)
        while position < size and self._state != _COMPLETE:
            if self._state == _DATA:
                piece = bytes(buffer[position : position + self._left])
                pieces.append(piece)
                self._left -= len(piece)
                position += len(piece)
                if not self._left:
                    self._state = _DATA_END
                continue
            step = self._line if self._state != _DATA_END else self._data_end
            following = step(buffer, position)
            if following == position:
                break
            position = following
        return b"".join(pieces), buffer[position:]

    def _data_end(self, buffer: Union[bytes, bytearray], position: int) -> int:
        """Pass the CR LF after the data of a chunk: exactly these two bytes."""
        mark = buffer[position : position + 2]
        if mark == b"\r\n":
            self._state = _SIZE
            return position + 2
        if mark != b"\r":
            raise ProtocolError(400, "The data of a chunk does not end where its size says.")
        return position

    def _line(self, buffer: Union[bytes, bytearray], position: int) -> int:
        """Pass a line with a chunk size or a trailer field; stay where it is not complete."""
        in_trailers = self._state == _TRAILERS
        limit = self._limits.trailer_section if in_trailers else self._limits.chunk_line
        looked = position + max(0, self._seen - 1)
        end = buffer.find(b"\r\n", looked, position + limit + 2)
        if end < 0:
            self._check_unfinished(buffer, position, limit)
            return position
        self._seen = 0
        line = bytes(buffer[position:end])
        if in_trailers:
            self._trailer(line)
        else:
            self._chunk_size(line)
        return end + 2

    def _check_unfinished(self, buffer: Union[bytes, bytearray], position: int, limit: int) -> None:
        """Refuse a line that can no longer become valid, for the fault that shows first."""
        longest = position + limit + 2
        bad = grammar.BAD_HEAD_BYTE.search(buffer, position + max(0, self._seen - 1))
        if bad is not None and bad.start() + (bad[0] == b"\r") < longest:
            raise ProtocolError(400, "A line of the chunked coding holds a bare CR or LF.")
        if len(buffer) >= longest:
            status = 431 if self._state == _TRAILERS else 400
            raise ProtocolError(status, f"A line of the chunked coding is over {limit} bytes.")
        self._seen = len(buffer) - position

    def _chunk_size(self, line: bytes) -> None:
        match = grammar.CHUNK_SIZE.match(line)
        if match is None:
            match = grammar.CHUNK_LINE.match(line)
            if match is None:
                raise ProtocolError(400, "A chunk does not begin with its size.")
            self._extension_budget -= len(line) - match.end(1)
            if self._extension_budget < 0:
                raise ProtocolError(400, "The chunk extensions are out of proportion.")
        self._extension_budget += self._limits.chunk_extension
        self._left = int(match[1], 16)
        self._total += self._left
        if self._total > self._limits.body:
            raise ProtocolError(413, f"The body is over {self._limits.body} bytes.")
        self._state = _DATA if self._left else _TRAILERS

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._state = _COMPLETE
            return
        if line.translate(None, grammar.FIELD_BYTES):
            raise ProtocolError(400, "A trailer field holds a control character.")
        self._trailer_size += len(line) + 2
        self._trailer_count += 1
        if (
            self._trailer_size > self._limits.trailer_section
            or self._trailer_count > self._limits.trailer_count
        ):
            raise ProtocolError(431, "The trailer section is too large.")
        name, colon, _ = line.decode("latin-1").partition(":")
        if not colon or tokens.TOKEN.match(name) is None:
            raise ProtocolError(400, "A trailer line does not begin with a field name and a colon.")
        if name.lower() in FORBIDDEN_TRAILERS:
            raise ProtocolError(400, f"The field {name} cannot be a trailer.")
