"""WSGI applications in a server: the server's side of PEP 3333.

The body of the request is received before the application is called, so a slow client holds no
thread, and what the application returns is read piece by piece as the client takes it, like the
iterator of any handler. The first piece that is not empty decides the head. A file in a
``wsgi.file_wrapper`` goes out by sendfile.

An application is called on a worker, and its pieces are asked for on changing threads, one at a
time. All of it runs in one ``contextvars`` context, so what keeps the request there (Flask does)
finds it in every piece; what keeps something by thread must not expect it in a later piece.

PEP 3333 leaves some choices. ``write`` sends at once and blocks while the client is slow, for a
buffer would have no bound. Reason phrases of the application's own are not sent, for no client
reads them and HTTP/2 has none. Text for ``wsgi.errors`` goes to ``sys.stderr``, as everywhere else:
a logger would call itself in programs that log to ``wsgi.errors``, which Flask's manual proposes.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, NamedTuple, Optional

from ..exchange import Answer, FileBody, Span, StreamBody
from ..protocol import grammar
from ..protocol.response import RESERVED_FIELDS, Line, check_field
from .environ import Environ, FileWrapper, environ_of
from .mounts import PlainMount
from .request import Request

logger = logging.getLogger("hwebserver.app")

ExcInfo = tuple[type[BaseException], BaseException, Optional[TracebackType]]
WSGIApplication = Callable[..., Iterable[bytes]]

#: What an application may not set (PEP 3333, Other HTTP Features; RFC 2616 13.5.1, RFC 9110 7.6.1).
_HOP_BY_HOP = (RESERVED_FIELDS - {"content-length"}) | {
    "proxy-authenticate",
    "proxy-authorization",
    "trailers",
}

#: A status: digits, then nothing, or a space and a phrase of which nothing is sent.
_STATUS = re.compile(r"([2-5][0-9]{2})(?: [^\x00-\x1f\x7f]*)?\Z")

_END: Any = object()


class WSGIMount(PlainMount):
    """An application at a path.

    Args:
        application: The application.
    """

    def respond(self, request: Request, depth: int) -> Optional[Answer]:
        """Answer a request; None: the response went out by ``write``."""
        return _Call(request).answer(self.application, environ_of(request, depth))


class _Head(NamedTuple):
    """What ``start_response`` was told.

    Attributes:
        status: The status code.
        fields: The fields, but for Content-Length.
        length: What Content-Length says; None: it is not there.
    """

    status: int
    fields: tuple[Line, ...]
    length: Optional[int]


def _read_head(status: Any, headers: Any) -> _Head:
    """Check a status and headers.

    Raises:
        TypeError: they are not of the types that PEP 3333 wants.
        ValueError: they cannot be sent.
    """
    if type(status) is not str:
        raise TypeError(f"the status of a WSGI response is a str, not {status!r}")
    found = _STATUS.match(status)
    if found is None:
        raise ValueError(f"{status!r} is not a status like '200 OK'")
    if type(headers) is not list:
        raise TypeError(f"the headers of a WSGI response are a list, not {headers!r}")
    lines: list[Line] = []
    length: Optional[int] = None
    for one in headers:
        name, value = _check_header(one)
        if name.lower() != "content-length":
            lines.append((name, value))
        elif grammar.CONTENT_LENGTH.match(value) is None or length not in (None, int(value)):
            raise ValueError(f"Content-Length is {value!r}, which is no length, or a second one")
        else:
            length = int(value)
    return _Head(int(found[1]), tuple(lines), length)


def _check_header(one: Any) -> Line:
    """Return a header, which must be a pair of texts that the application may send."""
    if type(one) is not tuple or len(one) != 2 or not all(type(part) is str for part in one):
        raise TypeError(f"a header of a WSGI response is a tuple of two str, not {one!r}")
    name, value = one[0], one[1].strip(" \t")
    check_field(name, value)
    if name.lower() in _HOP_BY_HOP:
        raise ValueError(f"the header {name} is between server and client: it is not a response's")
    return name, value


class _Output:
    """What an application has returned, as an ``exchange.Source``.

    Args:
        iterable: That.
        context: Where the application runs.

    Attributes:
        left: Bytes that are still sent of a file, whatever it holds; None: all of it.
    """

    def __init__(self, iterable: Any, context: Context) -> None:
        self._iterable = iterable
        self._context = context
        self._iterator: Any = None
        self._first: Optional[bytes] = None
        self.left: Optional[int] = None

    @property
    def has_end(self) -> bool:
        """Whether the application wants to hear of the end."""
        return hasattr(self._iterable, "close")

    @property
    def is_single(self) -> bool:
        """Whether it says that it is one piece."""
        try:
            return len(self._iterable) == 1
        except TypeError:
            return False

    def peek(self) -> Optional[bytes]:
        """Return the first piece, which stays; None: there is none."""
        self._first = self.read()
        return self._first

    def read(self) -> Optional[bytes]:
        """Return the next piece that is not empty; see ``exchange.Source``."""
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._iterator is None:
            self._iterator = self._context.run(iter, self._iterable)
        while self.left != 0:
            piece = self._context.run(next, self._iterator, _END)
            if piece is _END:
                break
            if not isinstance(piece, bytes):
                kind = type(piece).__name__
                raise TypeError(f"a piece of a WSGI response is bytes, not {kind}")
            if piece:
                return self._cut(piece)
        return None

    def _cut(self, piece: bytes) -> bytes:
        if self.left is None:
            return piece
        piece = piece[: self.left]
        self.left -= len(piece)
        return piece

    def close(self) -> None:
        """Close it as PEP 3333 says, once; what that raises is logged, as the response is over."""
        iterable, self._iterable = self._iterable, None
        self._iterator = None
        close = getattr(iterable, "close", None)
        if close is None:
            return
        try:
            self._context.run(close)
        except Exception:
            logger.exception("what a WSGI application returned failed when it was closed")


class _Call:
    """One call of an application.

    Args:
        request: The request.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._context = copy_context()
        self._head: Optional[_Head] = None
        self._settled = False  # the head is on its way

    def answer(self, application: WSGIApplication, environ: Environ) -> Optional[Answer]:
        """Call the application and return its answer; None: it was sent by ``write``."""
        iterable = self._context.run(application, environ, self._start_response)
        output = _Output(iterable, self._context)
        try:
            return self._answer(iterable, output)
        except BaseException:
            output.close()
            raise

    def _start_response(
        self, status: Any, headers: Any, exc_info: Optional[ExcInfo] = None
    ) -> Callable[[bytes], None]:
        """Take the head of the response; see PEP 3333."""
        try:
            if exc_info and self._settled:
                raise exc_info[1].with_traceback(exc_info[2])
            if not exc_info and self._head is not None:
                raise RuntimeError("start_response was called a second time, without exc_info")
            self._head = _read_head(status, headers)
        finally:
            exc_info = None  # It holds the frame that holds it.
        return self._write

    def _settle(self) -> _Head:
        """Return the head, which can no longer change."""
        if self._head is None:
            raise RuntimeError("a WSGI application did not call start_response")
        self._settled = True
        return self._head

    def _write(self, data: bytes) -> None:
        """Send a piece of the body; what ``start_response`` returns."""
        if not isinstance(data, bytes):
            raise TypeError(f"write takes bytes, not {type(data).__name__}")
        if not data:
            return
        if not self._request.started:
            status, fields, length = self._settle()
            self._request.start(Answer(status, fields, b"", length))
        self._request.sendBody(data)

    def _answer(self, iterable: Any, output: _Output) -> Optional[Answer]:
        if isinstance(iterable, FileWrapper) and not self._request.started:
            output.left = self._settle().length
            rest = iterable.rest()
            if rest is not None and (output.left is None or output.left <= rest[1].size):
                return self._file_answer(*rest, output)
        first = output.peek()
        if self._request.started:
            self._send_rest(output)
            return None
        status, fields, length = self._settle()
        if length is None and (output.is_single or first is None):
            length = self._own_length(first)
        if self._is_plain(output, first, length):
            return Answer(status, fields, first or b"")
        return Answer(status, fields, StreamBody(output), length)

    def _own_length(self, first: Optional[bytes]) -> Optional[int]:
        """Return the length of a body of one piece, or none."""
        # To HEAD an application may answer without the body that it has for GET.
        return None if first is None and self._request.method() == "HEAD" else len(first or b"")

    def _is_plain(self, output: _Output, first: Optional[bytes], length: Optional[int]) -> bool:
        """Say whether the first piece is all, and nobody wants to hear when it has been sent."""
        alone = first is None or output.is_single
        fits = length == len(first or b"") and self._request.method() != "HEAD"
        return alone and fits and not output.has_end

    def _file_answer(self, descriptor: int, rest: Span, output: _Output) -> Answer:
        """Return an answer that sends a file, from where it stands (PEP 3333, file handling)."""
        status, fields, length = self._settle()
        size = rest.size if length is None else length
        # The application may close its own descriptor before all is sent.
        body = FileBody(os.dup(descriptor), [Span(rest.offset, size)], closed=output.close)
        return Answer(status, fields, body)

    def _send_rest(self, output: _Output) -> None:
        """Send what an application returned that has used ``write`` before."""
        piece = output.read()
        while piece is not None:
            self._request.sendBody(piece)
            piece = output.read()
        output.close()
