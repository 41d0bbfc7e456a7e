"""Content coding: gzip for clients that accept it (RFC 9110 8.4 and 12.5.3).

A body from memory is compressed when its type is text of some kind and it is long enough to gain
from it; a stream only when that was asked for. What says of itself that it is encoded, or is not
to be transformed (RFC 9111 5.2.2.6), is left alone. Whether or not a client got it, the answer says
that it depends on Accept-Encoding, for the sake of caches.
"""

from __future__ import annotations

import re
from typing import Optional

from ..exchange import Answer, StreamBody
from ..protocol.headers import quality_values
from ..protocol.response import Line
from .pieces import AsyncEncoded, Encoded

#: Types that compression makes smaller: text, and what is written in text.
_WORTH = re.compile(
    r"(?:text/|application/(?:json|javascript|xml|xhtml\+xml|wasm|x-ndjson|manifest\+json)\b"
    r"|image/(?:svg\+xml|bmp|vnd\.microsoft\.icon)\b|font/(?:otf|ttf)\b|[^;]*\+(?:json|xml)\b)",
    re.IGNORECASE,
)

#: A good part of what the best level gains, for a fifth of its time.
_LEVEL = 4

#: zlib: the window of 32 KiB, plus 16 for the frame of gzip.
_GZIP = 31


def accepts_gzip(accept_encoding: Optional[str]) -> bool:
    """Say whether a client would rather have gzip than nothing (RFC 9110 12.5.3)."""
    if not accept_encoding:
        return False
    weights = quality_values(accept_encoding)
    weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return weight > 0 and weight >= weights.get("identity", 0.0)


class GzipStream:
    """A ``StreamEncoder`` that compresses; each piece can be read when it arrives."""

    def __init__(self) -> None:
        import zlib

        self._flush = zlib.Z_SYNC_FLUSH
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

    def encode(self, piece: bytes) -> bytes:
        """Return the next piece."""
        return self._compressor.compress(piece) + self._compressor.flush(self._flush)

    def end(self) -> bytes:
        """Return what comes behind the last piece."""
        return self._compressor.flush()


def compressible(answer: Answer, least: Optional[int], asked: Optional[bool]) -> bool:
    """Say whether an answer is worth compressing, for whoever accepts it.

    Args:
        answer: The answer, not compressed.
        least: Bytes of a body from which it is; None: never.
        asked: What the handler says; None: nothing, so its type and size decide.
    """
    body = answer.body
    if asked is False or least is None:
        return False
    if isinstance(body, bytes):
        if len(body) < (1 if asked else least):
            return False
    elif not isinstance(body, StreamBody) or body.live or not asked:
        return False
    fields = {name.lower(): value for name, value in answer.fields}
    if "content-encoding" in fields or "content-range" in fields:
        return False
    if "no-transform" in fields.get("cache-control", "").lower():
        return False
    return bool(asked) or _WORTH.match(fields.get("content-type", "")) is not None


def compress(answer: Answer, accept_encoding: Optional[str]) -> Answer:
    """Return an answer that is worth it as a client wants it: compressed, or as it is.

    Args:
        answer: An answer that is ``compressible``.
        accept_encoding: What the client accepts.
    """
    fields = _vary(answer.fields)
    if not accepts_gzip(accept_encoding):
        return answer._replace(fields=fields)
    fields = (*map(_weaken, fields), ("Content-Encoding", "gzip"))
    body = answer.body
    if isinstance(body, bytes):
        import zlib

        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        smaller = compressor.compress(body) + compressor.flush()
        return answer._replace(fields=fields, body=smaller)
    if isinstance(body, StreamBody):
        encoder = GzipStream()
        encoded = AsyncEncoded if body.asynchronous else Encoded
        body.source = encoded(body.source, encoder)
    return answer._replace(fields=fields, body=body, length=None)


def _vary(fields: tuple[Line, ...]) -> tuple[Line, ...]:
    """Say that the answer depends on Accept-Encoding (RFC 9110 12.5.5)."""
    for name, value in fields:
        if name.lower() == "vary":
            if value == "*" or "accept-encoding" in value.lower():
                return fields
            others = tuple(line for line in fields if line[0].lower() != "vary")
            return (*others, (name, f"{value}, Accept-Encoding"))
    return (*fields, ("Vary", "Accept-Encoding"))


def _weaken(line: Line) -> Line:
    """Make an entity tag weak: other bytes mean the same from here on (RFC 9110 8.8.3.3)."""
    name, value = line
    return (name, f"W/{value}") if name.lower() == "etag" and value[:1] == '"' else line
