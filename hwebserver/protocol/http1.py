"""HTTP/1.1 requests: bytes in, heads and bodies out (RFC 9112).

``RequestReader`` is fed with what a socket delivered and asked for a head, then for its body, then
for the next head. It is strict: what two readers could understand in two ways is refused, since a
difference between a proxy and us is how requests are smuggled. Refusing is cheap and happens at
the first byte that shows the fault, so a client that never ends its line gets its answer too; and
the verdict on a message does not depend on how the network cut it into pieces.

A kept-alive connection mostly sends the same head over and over, so the reader compares with the
previous one before it parses: a comparison costs a tenth of a parse.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

from ..errors import ProtocolError
from . import grammar, tokens
from .chunked import ChunkedBody
from .headers import Fields, combine, list_items
from .target import Target, check_authority, parse_target

#: How a TLS handshake begins (RFC 8446 5.1).
_TLS = b"\x16\x03"


class Limits(NamedTuple):
    """What one request may cost; sizes in bytes. The settings of the same names describe them."""

    request_line: int = 8192
    field_line: int = 8192
    field_count: int = 100
    head: int = 65536
    body: int = 3 << 30
    chunk_line: int = 256
    chunk_extension: int = 16
    trailer_section: int = 8192
    trailer_count: int = 16


#: The methods of RFC 9110 9.3 and PATCH (RFC 5789): in another case they are different, unknown
#: methods (RFC 9110 9.1), and no method that a client means.
METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
)

#: Spellings of frequent field names: looking one up is cheaper than checking it.
_FREQUENT = {
    spelling: name
    for name in """
    accept accept-charset accept-encoding accept-language authorization cache-control connection
    content-length content-type cookie dnt expect forwarded host if-match if-modified-since
    if-none-match if-range if-unmodified-since keep-alive origin pragma priority range referer
    sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site
    sec-fetch-user sec-websocket-extensions sec-websocket-key sec-websocket-protocol
    sec-websocket-version te trailer transfer-encoding upgrade upgrade-insecure-requests user-agent
    via x-forwarded-for x-forwarded-host x-forwarded-proto x-requested-with
    """.split()
    for spelling in (name, name.title(), name.upper())
}

#: Fields that say where a message ends, whom it is for or how its body is read: a second one is a
#: contradiction.
_ONCE = frozenset(("content-length", "content-type", "host", "transfer-encoding"))


#: Fields that say whether a body comes, and how.
_OF_BODIES = frozenset(("content-length", "expect", "transfer-encoding"))


class RequestHead:
    """The head of one request; the same object may serve many requests with the same head.

    Attributes:
        method: As sent.
        target: The request target as sent.
        path: Its path, not decoded; ``*`` for ``OPTIONS *``.
        query: Its query, not decoded, without the question mark.
        scheme: ``http`` or ``https`` from a target in absolute-form, else None.
        authority: The host that the request is for: that of an absolute-form target, else that of
            the Host field; None in an HTTP/1.0 request that names none.
        minor: The minor version: 0 or 1.
        fields: The field lines.
        content_length: Bytes of the body; None when it is chunked.
        has_body: Whether bytes of a body follow the head.
        keep_alive: Whether the client lets the connection be used again.
        expects_continue: Whether the client waits for 100 (Continue) before it sends the body.
        memo: What the application found out about requests with this head; its own.
    """

    __slots__ = (
        "authority",
        "content_length",
        "expects_continue",
        "fields",
        "has_body",
        "keep_alive",
        "memo",
        "method",
        "minor",
        "path",
        "query",
        "scheme",
        "target",
    )

    def __init__(self, method: str, target: str, minor: int, fields: Fields) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.fields = fields
        parts = parse_target(method, target)
        self.path = parts.path
        self.query = parts.query
        self.scheme = parts.scheme
        combined = fields.combined
        self.authority = _authority(parts, minor, combined)
        self.keep_alive = _keep_alive(minor, combined)
        self.content_length: Optional[int] = 0
        self.expects_continue = False
        if not _OF_BODIES.isdisjoint(combined):
            self.content_length = _body_framing(minor, combined)
            self.expects_continue = _expects_continue(minor, combined)
        self.has_body = self.content_length != 0
        self.memo: Any = None


def _authority(target: Target, minor: int, combined: dict[str, str]) -> Optional[str]:
    """Say whom the request is for: RFC 9112 3.2 and 3.2.2 (the target wins over the Host field)."""
    host = combined.get("host")
    if host is not None:
        check_authority(host)
    elif minor:
        raise ProtocolError(400, "The request has no Host field.")
    return target.authority if target.authority is not None else host


def _body_framing(minor: int, combined: dict[str, str]) -> Optional[int]:
    """Return the length of the body, or None for a chunked one: RFC 9112 6.3, stricter.

    Where the RFC lets a server guess (both fields, a list of equal lengths, chunked in HTTP/1.0),
    this one refuses.
    """
    coding = combined.get("transfer-encoding")
    length = combined.get("content-length")
    if coding is None:
        if length is None:
            return 0
        if grammar.CONTENT_LENGTH.match(length) is None:
            raise ProtocolError(400, "Content-Length is not a number.")
        return int(length)
    if length is not None:
        raise ProtocolError(400, "Content-Length and Transfer-Encoding exclude each other.")
    if not minor:
        raise ProtocolError(400, "HTTP/1.0 knows no Transfer-Encoding.")
    if coding.lower() != "chunked":
        status = 501 if tokens.TOKEN.match(coding.replace(", ", "").replace(",", "")) else 400
        raise ProtocolError(status, "The only transfer coding here is chunked, once.")
    return None


def _keep_alive(minor: int, combined: dict[str, str]) -> bool:
    """Say whether the connection persists (RFC 9112 9.3)."""
    value = combined.get("connection")
    if value is None:
        return minor == 1
    options = list_items(value)
    return "close" not in options and (minor == 1 or "keep-alive" in options)


def _expects_continue(minor: int, combined: dict[str, str]) -> bool:
    """Read the Expect field (RFC 9110 10.1.1); one from an HTTP/1.0 client is ignored."""
    value = combined.get("expect")
    if value is None or not minor:
        return False
    if value.lower() != "100-continue":
        raise ProtocolError(417, "The only expectation that can be met is 100-continue.")
    return True


def parse_request_line(line: str, limits: Limits) -> tuple[str, str, int]:
    """Return method, target and minor version (RFC 9112 3).

    Raises:
        ProtocolError: 400, 414, 501 or 505.
    """
    if len(line) > limits.request_line:
        raise ProtocolError(414, f"The request line is over {limits.request_line} bytes.")
    parts = line.split(" ")
    if len(parts) != 3:
        raise ProtocolError(400, "A request line is a method, a target and a version.")
    method, target, version = parts
    if method not in METHODS:
        _check_method(method)
    if grammar.REQUEST_TARGET.match(target) is None:
        raise ProtocolError(400, "The request target holds a character that no URI has.")
    return method, target, 1 if version == "HTTP/1.1" else _minor_version(version)


def _request_line_error(line: bytes, limits: Limits) -> Optional[ProtocolError]:
    """Return what is wrong with a request line."""
    try:
        method, target, _ = parse_request_line(line.decode("latin-1"), limits)
        parse_target(method, target)
    except ProtocolError as error:
        return error
    return None


def _check_method(method: str) -> None:
    if tokens.TOKEN.match(method) is None:
        raise ProtocolError(400, "The request line does not begin with a method.")
    if method.upper() in METHODS:
        raise ProtocolError(501, "Methods are case-sensitive: this one is written in capitals.")


def _minor_version(version: str) -> int:
    """Read a version: an HTTP/1.2 would be treated as HTTP/1.1 (RFC 9110 2.5)."""
    match = grammar.HTTP_VERSION.match(version)
    if match is None:
        raise ProtocolError(400, "The request line does not end in an HTTP version.")
    if match[1] != "1":
        raise ProtocolError(505, "This server speaks HTTP/1.1 and HTTP/1.0.")
    return min(1, int(match[2]))


def parse_head(
    raw: bytes, limits: Limits, start: int = 0, end: Optional[int] = None
) -> RequestHead:
    """Parse a whole head.

    Args:
        raw: What it stands in, with empty lines around it at the most.
        limits: What the head may cost.
        start: Where its request line begins.
        end: Where its last field line ends, without the line end; None: where ``raw`` does.

    Raises:
        ProtocolError: with the status that says what is wrong.
    """
    head = raw[start:end]
    lines = head.decode("latin-1").split("\r\n")
    method, target, minor = parse_request_line(lines[0], limits)
    # RFC 9112 2.2 and RFC 9110 5.5: without its permitted bytes nothing is left but line ends.
    if head.translate(None, grammar.FIELD_BYTES) != b"\r\n" * (len(lines) - 1):
        raise ProtocolError(400, "The head holds a control character or a bare CR or LF.")
    if len(lines) - 1 > limits.field_count:
        raise ProtocolError(431, f"The request has more than {limits.field_count} fields.")
    del lines[0]
    if len(head) > limits.field_line and len(max(lines, key=len, default="")) > limits.field_line:
        raise ProtocolError(431, f"A field line is over {limits.field_line} bytes.")
    return RequestHead(method, target, minor, Fields(raw, combine_lines(lines)))


def combine_lines(lines: list[str]) -> dict[str, str]:
    """Parse field lines whose bytes are known to be permitted (RFC 9112 5).

    Returns:
        Lower-case name to value, repeated lines joined as RFC 9110 5.3 says.

    Raises:
        ProtocolError: 400 for a name that is no token (that is also how a folded line, a space
            before the colon and an empty name show) and for a repeated framing field.
    """
    combined: dict[str, str] = {}
    frequent = _FREQUENT
    for line in lines:
        name, colon, value = line.partition(":")
        lower = frequent.get(name) or _field_name(name)
        if not colon:
            raise ProtocolError(400, "A field line has no colon.")
        if lower in combined:
            if lower in _ONCE:
                raise ProtocolError(400, f"The field {name} stands there twice.")
            combined[lower] = combine(lower, combined[lower], value.strip(" \t"))
        else:
            combined[lower] = value.strip(" \t")
    return combined


def _field_name(name: str) -> str:
    if tokens.TOKEN.match(name) is None:
        raise ProtocolError(400, "A field line does not begin with a field name and a colon.")
    return name.lower()


class FixedBody:
    """A body whose length the head told."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def complete(self) -> bool:
        """Whether all of it has been taken."""
        return self._left == 0

    def take(self, buffer: Buffer) -> tuple[bytes, Buffer]:
        """Return what belongs to the body, and the rest."""
        piece = bytes(buffer[: self._left])
        rest = buffer[len(piece) :]
        self._left -= len(piece)
        return piece, rest


Buffer = Union[bytes, bytearray]
_EMPTY = b""


class RequestReader:
    """The receiving half of one connection: fed with bytes, asked for heads and bodies.

    Args:
        limits: What one request may cost.
    """

    __slots__ = ("_body", "_buffer", "_limits", "_previous", "_raw", "_seen")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer: Buffer = _EMPTY
        self._body: Optional[Union[FixedBody, ChunkedBody]] = None
        self._raw = _EMPTY  # the previous head as it came, its line ends included
        self._previous: Optional[RequestHead] = None
        self._seen = 0  # bytes of an unfinished head that need no second look

    @property
    def empty(self) -> bool:
        """Whether nothing of a request is left of what was received.

        The empty line that old clients send behind a request (RFC 9112 2.2) is nothing.
        """
        return not self._buffer or self._buffer == b"\r\n"

    @property
    def size(self) -> int:
        """Bytes that were received and not taken yet."""
        return len(self._buffer)

    @property
    def body_complete(self) -> bool:
        """Whether the body of the current request has been taken."""
        return self._body is None or self._body.complete

    def receive(self, data: bytes) -> None:
        """Take in what a socket delivered."""
        if not self._buffer:
            self._buffer = data
            return
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    @property
    def quiet(self) -> bool:
        """Whether nothing is left of the current request, and nothing has come of the next."""
        return not self._buffer and self._body is None

    def receive_head(self, data: bytes) -> Optional[RequestHead]:
        """Take in what a socket delivered, and return the head of the next request.

        Mostly it is the previous one once more, and nothing else.

        Raises:
            ProtocolError: as from ``next_head``.
        """
        if data == self._raw and not self._buffer and self._body is None:
            return self._previous
        self.receive(data)
        return self.next_head()

    def next_head(self) -> Optional[RequestHead]:
        """Return the head of the next request, or None until more bytes are there.

        Raises:
            ProtocolError: the bytes are no request, or over a limit; the connection must close.
        """
        buffer, size = self._buffer, len(self._raw)
        head = self._previous
        if head is not None and buffer.startswith(self._raw):
            self._buffer = buffer[size:] if len(buffer) > size else _EMPTY
            self._seen = 0
        else:
            head = self._parse_next(buffer)
            if head is None:
                return None
        if head.content_length == 0:
            self._body = None
        elif head.content_length is None:
            self._body = ChunkedBody(self._limits)
        else:
            self._body = FixedBody(head.content_length)
        return head

    def _parse_next(self, buffer: Buffer) -> Optional[RequestHead]:
        if not buffer:
            return None
        # RFC 9112 2.2: one empty line before a request line is an old client's mistake.
        start = 2 if buffer.startswith(b"\r\n") else 0
        end = buffer.find(b"\r\n\r\n", max(start, self._seen - 3), start + self._limits.head)
        if end < 0:
            self._check_unfinished(buffer, start)
            return None
        raw = bytes(buffer[: end + 4])
        try:
            head = parse_head(raw, self._limits, start, end)
        except ProtocolError:
            # A fault that shows before the end of the head comes first, as it does when the head
            # arrives byte by byte.
            self._check_unfinished(buffer[: end + 3], start)
            raise
        self._raw = raw
        self._previous = head
        self._buffer = buffer[end + 4 :]
        self._seen = 0
        return head

    def _check_unfinished(self, buffer: Buffer, start: int) -> None:
        """Refuse a head that can no longer become valid, for the fault that shows first.

        Every byte is looked at once, but for the request line, which ``_seen`` tells from a later
        part: it is checked when its end arrives.
        """
        limits, seen = self._limits, self._seen
        faults: list[tuple[int, ProtocolError]] = []
        bad = grammar.BAD_HEAD_BYTE.search(buffer, max(start, seen - 1))
        if bad is not None:
            message = "The head holds a control character or a bare CR or LF."
            if buffer.startswith(_TLS):
                message = "This port speaks http, and this was the beginning of TLS."
            # A CR is only known to be bare when the byte behind it is there.
            position = bad.start() + (bad[0] == b"\r")
            faults.append((position, ProtocolError(400, message)))
        longest = start + limits.request_line + 2
        if seen < longest:
            line_end = buffer.find(b"\r\n", start, longest)
            if line_end >= 0 and line_end + 2 > seen:
                error = _request_line_error(bytes(buffer[start:line_end]), limits)
                if error is not None:
                    faults.append((line_end + 1, error))
            elif line_end < 0 and len(buffer) >= longest:
                message = f"The request line is over {limits.request_line} bytes."
                faults.append((longest - 1, ProtocolError(414, message)))
        if len(buffer) - start >= limits.head:
            message = f"The head of the request is over {limits.head} bytes."
            faults.append((start + limits.head - 1, ProtocolError(431, message)))
        if faults:
            raise min(faults, key=lambda fault: fault[0])[1]
        self._seen = len(buffer)

    def take_rest(self) -> bytes:
        """Return what has come behind the current request, and forget it."""
        rest, self._buffer = bytes(self._buffer), _EMPTY
        return rest

    def take_body(self) -> bytes:
        """Return the bytes of the body that have arrived, decoded, and forget them.

        Raises:
            ProtocolError: the chunked coding is broken or over a limit.
        """
        if self._body is None:
            return _EMPTY
        piece, self._buffer = self._body.take(self._buffer)
        return piece
