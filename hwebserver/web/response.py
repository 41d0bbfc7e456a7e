"""Responses: what a handler returns."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import UnsendableError
from ..exchange import Answer, StreamBody
from ..protocol.response import RESERVED_FIELDS, Line, check_field, reason_phrase

if TYPE_CHECKING:
    from ..protocol.http1 import RequestHead
    from .content import Content
    from .request import Request

_new_tuple = tuple.__new__

#: The body of a response that is there as a whole.
Data = Union[str, bytes, bytearray, memoryview]


def _with_charset(content_type: str) -> str:
    """Say that text is UTF-8, unless the type says something itself."""
    lower = content_type.lower()
    if not lower.startswith("text/") or "charset" in lower or "event-stream" in lower:
        return content_type
    return f"{content_type}; charset=utf-8"


_TYPE_LINES: dict[str, tuple[Line, ...]] = {}


def _type_line(content_type: str) -> tuple[Line, ...]:
    """Return the fields of a response that has only a type; made once for each type."""
    lines = _TYPE_LINES.get(content_type)
    if lines is None:
        value = _with_charset(content_type)
        check_field("Content-Type", value)
        lines = (("Content-Type", value),) if value else ()
        if len(_TYPE_LINES) < 256:
            _TYPE_LINES[content_type] = lines
    return lines


class Response:
    """What a handler answers.

    Args:
        data: The body; text is sent as UTF-8. An iterator, an async iterator or an open file is
            sent piece by piece, as fast as the client takes it, and closed in the end. The name
            of a file with ``is_file_name``.
        status: The HTTP status code.
        content_type: The Content-Type; text types without a charset are sent as UTF-8.
        is_file_name: Whether ``data`` is the name of the file to send.
        delete_file: Whether that file is deleted once it was sent, or could not be.
        compress: Whether the body is compressed for clients that accept it; None: when its type
            and its size are worth it, and it is no stream.

    Raises:
        TypeError: data is nothing that can be sent.
        ValueError: the content type cannot stand in a header field.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_close",
        "_compress",
        "_content",
        "_fields",
        "_length",
        "_status",
        "_stream",
    )

    def __init__(
        self,
        data: Any = b"",
        status: int = 200,
        content_type: str = "text/html",
        is_file_name: bool = False,
        delete_file: bool = False,
        *,
        compress: Optional[bool] = None,
    ) -> None:
        self._status = status
        self._fields = _TYPE_LINES.get(content_type) or _type_line(content_type or "")
        self._content: Optional[Content] = None
        self._stream: Optional[StreamBody] = None
        self._compress = compress
        self._chunked = False
        self._close = False
        self._length: Optional[int] = None
        self._body = b""
        if is_file_name:
            from .content import FileContent

            self._content = FileContent(os.fspath(data), delete_file)
        elif isinstance(data, str):
            self._body = data.encode()
        elif isinstance(data, bytes):
            self._body = data
        else:
            self._set_data(data)

    def _set_data(self, data: Any) -> None:
        """Take a body that is neither text nor bytes."""
        from .pieces import AsyncPieces, Pieces, is_stream

        if hasattr(data, "__aiter__"):
            self._stream = StreamBody(AsyncPieces(data), asynchronous=True)
        elif is_stream(data):
            self._stream = StreamBody(Pieces(data))
        else:
            self._body = _as_bytes(data)

    @classmethod
    def of(cls, content: Content, content_type: str) -> Response:
        """Return a response with content that knows itself what a request gets of it.

        Args:
            content: What is sent.
            content_type: Its Content-Type.
        """
        response = cls(b"", 200, content_type)
        response._content = content
        return response

    def status(self) -> int:
        """Return the status code."""
        return int(self._status)

    def statusLabel(self) -> str:
        """Return the status code and its phrase, like ``200 OK``."""
        return f"{int(self._status)} {reason_phrase(self._status)}".rstrip()

    def setHeader(self, name: str, value: object) -> None:
        """Set a header field; it replaces one of that name, but for ``Set-Cookie``.

        ``Transfer-Encoding: chunked`` and ``Connection: close`` are understood as wishes; the
        server writes these fields itself.

        Args:
            name: The name of the field.
            value: Its value, a text or a number.

        Raises:
            ValueError: the name or the value cannot stand in a header, or only the server may set
                the field (RFC 9110 7.6.1).
        """
        text = str(value).strip(" \t")
        check_field(name, text)
        lower = name.lower()
        if lower in RESERVED_FIELDS:
            self._set_reserved(lower, text)
            return
        if lower == "content-type":
            text = _with_charset(text)
        kept = self._fields
        if lower != "set-cookie":
            kept = tuple(line for line in kept if line[0].lower() != lower)
        self._fields = (*kept, (name, text))

    def _set_reserved(self, name: str, value: str) -> None:
        if name == "content-length" and value.isascii() and value.isdecimal():
            self._length = int(value)
        elif name == "transfer-encoding" and value.lower() == "chunked":
            self._chunked = True
        elif name == "connection":
            self._close = value.lower() == "close"
        elif name != "keep-alive":
            raise ValueError(f"the header field {name}: {value} is the server's to write")

    def headers(self) -> dict[str, str]:
        """Return a copy of the header fields; of a repeated one the last."""
        return dict(self._fields)

    def setCookie(
        self,
        name: str,
        value: str,
        *,
        max_age: Optional[int] = None,
        expires: Optional[float] = None,
        path: str = "/",
        domain: str = "",
        secure: bool = False,
        http_only: bool = False,
        same_site: str = "Lax",
        partitioned: bool = False,
    ) -> None:
        """Have the client keep a cookie (RFC 6265 4.1); may be called for several.

        Args:
            name: Its name. One that begins with ``__Secure-`` or ``__Host-`` must be secure.
            value: Its value, without spaces, commas, semicolons, quotes and backslashes, in ASCII;
                ``urllib.parse.quote`` makes such a value of any text.
            max_age: Seconds that it is kept; None: until the browser is closed.
            expires: When it ends, in seconds since the epoch, for clients that do not know
                ``max_age``.
            path: Where it is sent back: there and below.
            domain: The domain it is sent to with its subdomains; empty: this host alone.
            secure: Whether it is sent over encrypted connections alone.
            http_only: Whether scripts cannot read it.
            same_site: ``Strict``, ``Lax`` or ``None``: whether it goes along from other sites.
            partitioned: Whether each site that embeds this one has a cookie of its own.

        Raises:
            ValueError: an argument cannot stand in a cookie, or two contradict each other.
            TypeError: an argument is of the wrong type.
        """
        from ..protocol.cookies import format_cookie

        cookie = format_cookie(
            name,
            value,
            max_age=max_age,
            expires=expires,
            path=path,
            domain=domain,
            secure=secure,
            http_only=http_only,
            same_site=same_site,
            partitioned=partitioned,
        )
        self.setHeader("Set-Cookie", cookie)

    def deleteCookie(self, name: str, *, path: str = "/", domain: str = "") -> None:
        """Have the client forget a cookie.

        Args:
            name: Its name.
            path: As when it was set.
            domain: As when it was set.
        """
        secure = name.lower().startswith(("__secure-", "__host-"))
        self.setCookie(name, "", max_age=0, expires=0, path=path, domain=domain, secure=secure)

    def body(self) -> bytes:
        """Return the body; that of a file is read for it.

        Raises:
            ValueError: it is a stream, which can be read only once.
        """
        if self._stream is not None:
            raise ValueError("the body of this response is made while it is sent")
        return self._body if self._content is None else self._content.read()

    def contentLength(self) -> int:
        """Return the number of bytes of the body; of a stream what Content-Length says, or -1."""
        if self._stream is not None:
            return -1 if self._length is None else self._length
        return len(self._body) if self._content is None else self._content.size()

    def isChunked(self) -> bool:
        """Return whether the body is sent in chunks."""
        return self._chunked or (self._stream is not None and self._length is None)

    def setBody(self, body: Any, content_type: str) -> None:
        """Replace the body and its type.

        Args:
            body: Text, bytes or a stream, as for ``Response``.
            content_type: As for ``Response``.
        """
        self._discard()
        if isinstance(body, str):
            self._body = body.encode()
        else:
            self._set_data(body)
        self.setHeader("Content-Type", content_type)

    def _discard(self) -> None:
        """Let go of a body that will not be sent."""
        content, self._content = self._content, None
        stream, self._stream = self._stream, None
        if content is not None:
            content.discard()
        if stream is not None:
            stream.close()
        self._body = b""

    def sendHeaders(self, request: Request) -> None:
        """Send the head of this response now; see ``Request.sendHeaders``."""
        request.sendHeaders(self)

    # --- for the package ---

    def stream(self, body: StreamBody) -> None:
        """Take a body that is made while it is sent."""
        self._stream = body

    def answer(
        self, head: Optional[RequestHead] = None, compress_from: Optional[int] = None
    ) -> Answer:
        """Return the response as it goes out; the file, if it is one, is opened.

        Args:
            head: The head of the request that is answered, for its conditions and ranges.
            compress_from: Bytes of a body from which it is compressed; None: never.

        Raises:
            FileNotFoundError: the file is not there, or is not a file.
            OSError: the file cannot be opened.
            ValueError: no file can have such a name.
            UnsendableError: the body was a stream, and has been sent already.
        """
        # Answer(...) would be the same, and take twice as long: 0.2 us.
        whole = (self._status, self._fields, self._body, None, self._chunked, self._close)
        answer = _new_tuple(Answer, whole)
        if self._content is not None:
            return self._content.answer(answer, head)
        if self._stream is not None:
            answer = answer._replace(body=self._take_stream(), length=self._length)
        elif self._compress is None and len(self._body) < (compress_from or 0):
            return answer  # as most are
        from .compress import compress, compressible

        if head is not None and compressible(answer, compress_from, self._compress):
            return compress(answer, head.fields.get("accept-encoding"))
        return answer

    def _take_stream(self) -> StreamBody:
        stream = self._stream
        if stream is None or stream.taken:
            raise UnsendableError("a response whose body is an iterator can be sent only once")
        stream.taken = True
        return stream

    def head_answer(self) -> Answer:
        """Return the head alone, for a body that is sent by hand."""
        length = self._length
        if length is None and self._body and not self._chunked:
            length = len(self._body)
        return Answer(self._status, self._fields, b"", length, self._chunked, self._close)


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    kind = type(data).__name__
    raise TypeError(f"the body of a response is text, bytes or an iterator of these, not {kind}")


def redirect(request: Request, path: str, permanent: bool = False) -> Response:
    """Return a redirection to a path of this server, or to a whole URI.

    Args:
        request: The request that is answered; its Host makes the location absolute.
        path: Where to go, relative to the request.
        permanent: 301 instead of 302.

    Raises:
        ValueError: the path holds a line end.
    """
    if any(character in path for character in "\r\n\0"):
        raise ValueError(f"the location {path!r} holds a line end")
    from urllib.parse import quote

    response = Response("", 301 if permanent else 302)
    location = quote(request.absoluteURI(path), safe="/:?#[]@!$&'()*+,;=%~|")
    response.setHeader("Location", location)
    return response


def with_slash(request: Request) -> Optional[Response]:
    """Return a redirection to the path of a folder, None if the request has it already.

    The path of a folder ends in a slash, since links in its page are relative.

    Args:
        request: The request for a folder.
    """
    asked, mark, query = request.pathWithQueryString().partition("?")
    if asked.endswith("/"):
        return None
    return redirect(request, f"{asked}/{mark}{query}", permanent=True)
