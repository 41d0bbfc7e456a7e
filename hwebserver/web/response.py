"""Responses: what a handler returns, and the functions that make the usual ones."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import wraps
from html import escape
from typing import TYPE_CHECKING, Any, Optional, Union
from urllib.parse import quote

from ..exchange import Answer, FileBody
from ..protocol.headers import quality_values
from ..protocol.response import RESERVED_FIELDS, Line, check_field, reason_phrase
from .mime import guess_type

if TYPE_CHECKING:
    from .request import Request

Data = Union[str, bytes, bytearray, memoryview]

#: Files up to this size are read at once and go out in one write with the head.
_SMALL_FILE = 65536

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

#: A FIFO would block the open, and a device may do anything; see ``open_file``.
_OPEN_FLAGS |= getattr(os, "O_NONBLOCK", 0)


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
        data: The body; text is sent as UTF-8. The name of a file with ``is_file_name``.
        status: The HTTP status code.
        content_type: The Content-Type; text types without a charset are sent as UTF-8.
        is_file_name: Whether ``data`` is the name of the file to send.
        delete_file: Whether that file is deleted once it was sent, or could not be.

    Raises:
        TypeError: data is neither text nor bytes.
        ValueError: the content type cannot stand in a header field.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_close",
        "_delete_file",
        "_fields",
        "_file_name",
        "_length",
        "_status",
    )

    def __init__(
        self,
        data: Data = b"",
        status: int = 200,
        content_type: str = "text/html",
        is_file_name: bool = False,
        delete_file: bool = False,
    ) -> None:
        self._status = status
        self._fields = _TYPE_LINES.get(content_type) or _type_line(content_type or "")
        self._file_name = ""
        self._delete_file = delete_file
        self._chunked = False
        self._close = False
        self._length: Optional[int] = None
        if is_file_name:
            self._file_name = os.fspath(data)  # type: ignore[arg-type]
            self._body = b""
        elif isinstance(data, str):
            self._body = data.encode()
        elif isinstance(data, bytes):
            self._body = data
        else:
            self._body = _as_bytes(data)

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

    def body(self) -> bytes:
        """Return the body; that of a file is read for it."""
        if not self._file_name:
            return self._body
        with open(self._file_name, "rb") as file:
            return file.read()

    def contentLength(self) -> int:
        """Return the number of bytes of the body."""
        return os.path.getsize(self._file_name) if self._file_name else len(self._body)

    def isChunked(self) -> bool:
        """Return whether the body is sent in chunks."""
        return self._chunked

    def setBody(self, body: Data, content_type: str) -> None:
        """Replace the body and its type.

        Args:
            body: Text or bytes.
            content_type: As for ``Response``.
        """
        if self._file_name and self._delete_file:
            _delete(self._file_name)
        self._file_name = ""
        self._body = body.encode() if isinstance(body, str) else _as_bytes(body)
        self.setHeader("Content-Type", content_type)

    def sendHeaders(self, request: Request) -> None:
        """Send the head of this response now; see ``Request.sendHeaders``."""
        request.sendHeaders(self)

    # --- for the package ---

    def answer(self) -> Answer:
        """Return the response as it goes out; the file, if it is one, is opened.

        Raises:
            FileNotFoundError: the file is not there, or is not a file.
            OSError: the file cannot be opened.
            ValueError: no file can have such a name.
        """
        if not self._file_name:
            return Answer(self._status, self._fields, self._body, None, self._chunked, self._close)
        try:
            body = open_file(self._file_name, self._delete_file)
        except OSError:
            if self._delete_file:
                _delete(self._file_name)
            raise
        return Answer(self._status, self._fields, body, None, self._chunked, self._close)

    def head_answer(self) -> Answer:
        """Return the head alone, for a body that is sent by hand."""
        length = self._length
        if length is None and self._body and not self._chunked:
            length = len(self._body)
        return Answer(self._status, self._fields, b"", length, self._chunked, self._close)


def _delete(path: str) -> None:
    """Delete a file that was to be sent, if it is there."""
    try:
        os.unlink(path)
    except OSError:
        pass


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"the body of a response is text or bytes, not {type(data).__name__}")


def open_file(path: str, delete: bool = False) -> Union[bytes, FileBody]:
    """Return a file as a body: a small one read, a larger one open.

    Args:
        path: The file.
        delete: Whether to delete it once it was sent.

    Raises:
        FileNotFoundError: there is no regular file of that name.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        details = os.fstat(descriptor)
        if not stat.S_ISREG(details.st_mode):
            raise FileNotFoundError(f"{path} is not a file")
        if details.st_size > _SMALL_FILE or delete:
            body = FileBody(descriptor, 0, details.st_size, path if delete else "")
            descriptor = -1
            return body
        return os.read(descriptor, _SMALL_FILE + 1)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _without_request(function: Callable[..., Response]) -> Callable[..., Response]:
    """Let old programs pass the request first, as an old example of the vendor does."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Response:
        if arguments and hasattr(arguments[0], "pathWithQueryString"):
            arguments = arguments[1:]
        return function(*arguments, **options)

    return call


@_without_request
def fileResponse(
    file_path: Union[str, os.PathLike[str]],
    content_type: Optional[str] = None,
    delete_file: bool = False,
    download_as_filename: Optional[str] = None,
) -> Response:
    """Return a response that sends a file; one that is missing is a 404.

    Args:
        file_path: The file.
        content_type: Its type; None: guessed from its name.
        delete_file: Whether to delete the file once it was sent, or could not be.
        download_as_filename: The name under which browsers save it (RFC 6266).
    """
    path = os.fspath(file_path)
    if not os.path.isfile(path):
        return error_page(404, "There is no such file.")
    response = Response(path, 200, content_type or guess_type(path), True, delete_file)
    if download_as_filename:
        response.setHeader("Content-Disposition", content_disposition(download_as_filename))
    return response


def content_disposition(file_name: str) -> str:
    """Return the field value that has a browser save a response under a name (RFC 6266 4).

    Names outside ASCII go as RFC 8187 says, beside a plain form for old clients; path separators
    and control characters become underscores.
    """
    name = "".join("_" if c in '/\\"' or ord(c) < 32 or ord(c) == 127 else c for c in file_name)
    plain = name.encode("ascii", "replace").decode("ascii").replace("?", "_")
    value = f'attachment; filename="{plain}"'
    if plain != name:
        value += "; filename*=UTF-8''" + quote(name, safe="", errors="replace")
    return value


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
    response = Response("", 301 if permanent else 302)
    location = quote(request.absoluteURI(path), safe="/:?#[]@!$&'()*+,;=%~|")
    response.setHeader("Location", location)
    return response


def prefers_json(accept: Optional[str]) -> bool:
    """Say whether an Accept field wants JSON rather than HTML (RFC 9110 12.5.1)."""
    if not accept or "json" not in accept.lower():
        return False
    weights = quality_values(accept)
    named = [kind for kind in weights if kind == "application/json" or kind.endswith("+json")]
    json_weight = max((weights[kind] for kind in named), default=0.0)
    return json_weight > 0 and json_weight >= html_weight(weights)


def html_weight(weights: Mapping[str, float]) -> float:
    """Return the weight of HTML in the members of an Accept field, the most specific one's."""
    for kind in ("text/html", "text/*", "*/*"):
        if kind in weights:
            return weights[kind]
    return 0.0


def error_page(status: int, message: str, use_heading: bool = True) -> Response:
    """Return an HTML page that says what is wrong; the message is escaped."""
    title = f"{status} {reason_phrase(status)}".rstrip()
    text = escape(message)
    shown = f"<h1>{text}</h1>" if use_heading else text
    return html_page(title, shown, status)


def html_page(title: str, content: str, status: int = 200, style: str = "") -> Response:
    """Return a page of our own; what is no Unicode in it is shown as question marks.

    Args:
        title: Its title, escaped.
        content: What stands in its body, in HTML.
        status: The HTTP status code.
        style: Its style sheet.
    """
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        + (f"<style>{style}</style>" if style else "")
        + f"</head>\n<body>\n{content}\n</body>\n</html>\n"
    )
    return Response(page.encode("utf-8", "replace"), status)


def error_json(status: int, error: Any) -> Response:
    """Return ``{"error": error}``."""
    from .jsontext import write_json

    return Response(write_json({"error": error}), status, "application/json")


def errorResponse(
    request: Optional[Request], error_message: str, status: int, use_heading: bool = True
) -> Response:
    """Return an error as JSON to clients that want that, else as a page.

    Args:
        request: The request that is answered.
        error_message: What is wrong.
        status: The HTTP status code.
        use_heading: Whether the page shows the message as a heading.
    """
    accept = None if request is None else request.headers().get("accept")
    if prefers_json(accept):
        return error_json(status, error_message)
    return error_page(status, str(error_message), use_heading)


def notFoundResponse(request: Optional[Request]) -> Response:
    """Return the answer for what is not there (404).

    Args:
        request: The request that is answered.
    """
    return errorResponse(request, "Not found", 404)
