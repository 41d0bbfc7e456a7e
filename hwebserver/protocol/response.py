"""The heads of HTTP/1.1 responses, and how their bodies are framed (RFC 9112 4 and 6).

A head cannot be split: names are tokens and values hold no control character, or there is no head.
The fields that frame a message or rule the connection are not the application's to write; they
follow from what ``frame`` decided.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from . import tokens

Line = tuple[str, str]

#: RFC 9110 7.6.1 and RFC 9112 6: the fields that only the server writes.
RESERVED_FIELDS = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_CACHED_HEADS = 1024

#: RFC 9110 15, and what IANA has registered beside it. Those in ``http`` differ between versions of
#: Python, and take longer to import than all of this module.
_PHRASES = {
    100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints",
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information",
    204: "No Content", 205: "Reset Content", 206: "Partial Content", 207: "Multi-Status",
    208: "Already Reported", 226: "IM Used",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other",
    304: "Not Modified", 305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
    411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable",
    417: "Expectation Failed", 418: "I'm a Teapot", 421: "Misdirected Request",
    422: "Unprocessable Content", 423: "Locked", 424: "Failed Dependency", 425: "Too Early",
    426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates", 507: "Insufficient Storage", 508: "Loop Detected",
    510: "Not Extended", 511: "Network Authentication Required",
}  # fmt: skip


def reason_phrase(status: int) -> str:
    """Return the phrase that goes with a status code, empty for an unknown one."""
    return _PHRASES.get(status, "")


def check_field(name: str, value: str) -> None:
    """Refuse a field that a response cannot carry (RFC 9110 5.1 and 5.5).

    Raises:
        ValueError: the name is no token, or the value holds a control character or one that is
            not in latin-1.
    """
    if tokens.TOKEN.match(name) is None:
        raise ValueError(f"{name!r} is not the name of a header field")
    if tokens.UNSAFE_VALUE.search(value):
        raise ValueError(
            f"the value {value!r} of the header field {name} holds a line end, another control "
            "character or one that is not in latin-1"
        )


def check_head(status: int, fields: tuple[Line, ...]) -> None:
    """Refuse a head that cannot be sent.

    Args:
        status: The status code.
        fields: The application's fields.

    Raises:
        ValueError: the status is none, or a field is none or is the server's.
    """
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is not the status of a response")
    for name, value in fields:
        check_field(name, value)
        if name.lower() in RESERVED_FIELDS:
            raise ValueError(f"the header field {name} is the server's to write")


class Framing(NamedTuple):
    """How the body of one response is sent.

    Attributes:
        length: What Content-Length says; None: the field is not sent.
        chunked: Whether the body goes in chunks.
        has_body: Whether a body follows the head at all.
        close: Whether the connection must close behind the response.
    """

    length: Optional[int]
    chunked: bool
    has_body: bool
    close: bool


def frame(method: str, minor: int, status: int, length: Optional[int], chunked: bool) -> Framing:
    """Decide how a body is sent (RFC 9112 6.3, RFC 9110 8.6).

    Args:
        method: The request's; HEAD gets no body.
        minor: The minor version of the request: HTTP/1.0 knows no chunks.
        status: 204 and 304 have no body; 204 has no Content-Length, and neither has a 304 here,
            which only may have that of the representation; 205 has an empty body.
        length: Bytes of the body; None: not known yet.
        chunked: Whether chunks are wanted though the length is known.
    """
    if status in (204, 304):
        return Framing(None, False, False, False)
    if status == 205:
        return Framing(0, False, False, False)
    if minor and (chunked or length is None):
        return Framing(None, True, method != "HEAD", False)
    # Without chunks and length the end of the connection ends the body.
    return Framing(length, False, method != "HEAD", length is None and method != "HEAD")


class HeadWriter:
    """Writes response heads, and keeps those of the current second.

    Args:
        server: The value of the Server field of responses that have none; empty: none.
    """

    def __init__(self, server: str) -> None:
        check_field("Server", server)
        self._server = server
        self._date = ""
        self._heads: dict[object, tuple[bytes, Framing]] = {}

    def head(
        self,
        status: int,
        fields: tuple[Line, ...],
        length: Optional[int],
        chunked: bool,
        method: str,
        minor: int,
        close: bool,
        date: str,
    ) -> tuple[bytes, Framing]:
        """Return the head of a response, from its status line to the empty line, and its framing.

        Args:
            status: The status code.
            fields: The application's fields, none of them reserved.
            length: Bytes of the body; None: not known yet.
            chunked: Whether chunks are wanted though the length is known.
            method: That of the request.
            minor: The minor version of the request.
            close: Whether the connection will not be kept.
            date: The current time as RFC 9110 5.6.7 writes it.

        Raises:
            ValueError: a field or the status cannot be sent.
        """
        if date is not self._date or len(self._heads) > _CACHED_HEADS:
            self._heads = {}
            self._date = date
        key = (status, fields, length, chunked, method, minor, close)
        written = self._heads.get(key)
        if written is None:
            framing = frame(method, minor, status, length, chunked)
            close = close or framing.close
            # RFC 9112 9.3: an HTTP/1.0 client that asked for it is told that it was heard.
            connection = "close" if close else "" if minor else "keep-alive"
            written = self._write(status, fields, framing, connection), framing
            self._heads[key] = written
        return written

    def _write(
        self, status: int, fields: tuple[Line, ...], framing: Framing, connection: str
    ) -> bytes:
        check_head(status, fields)
        lines = [f"HTTP/1.1 {status:d} {reason_phrase(status)}"]
        lines += [f"{name}: {value}" for name, value in fields]
        names = {name.lower() for name, _ in fields}
        if self._server and "server" not in names:
            lines.append(f"Server: {self._server}")
        if "date" not in names:
            lines.append(f"Date: {self._date}")
        if framing.length is not None:
            lines.append(f"Content-Length: {framing.length}")
        elif framing.chunked:
            lines.append("Transfer-Encoding: chunked")
        if status == 426:
            # RFC 9110 15.5.22 and 7.8: it names the protocol, and the field is for this hop.
            lines.append("Upgrade: websocket")
            connection = "close, Upgrade" if connection == "close" else "Upgrade"
        if connection:
            lines.append(f"Connection: {connection}")
        return "\r\n".join((*lines, "", "")).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Return data as one chunk (RFC 9112 7.1); empty data would end the body, so it is nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
