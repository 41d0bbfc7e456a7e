"""One request to a mounted ASGI application: what it receives, and what it makes of an answer.

Two threads meet here. The connection, on the polling thread, puts the body into an ``Inlet`` and
says when the client has left; the application's coroutine, on the asyncio loop, takes it out.
The first event with a body decides the answer, and goes back as what a coroutine handler returns.
What the application sends behind that comes out of an ``Outlet``, as the pieces of a stream.

A whole body in one event gets a Content-Length. Fields that belong to the connection are dropped,
but for a wish to close it; the specification has a server ignore Transfer-Encoding.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from ..exchange import Answer, StreamBody
from ..protocol import grammar
from ..protocol.response import RESERVED_FIELDS, Line, check_field
from .lifespan import RAISED, ASGIApplication, Event, Lifespans
from .mounts import PathAnswer

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("hwebserver.app")

#: Bytes of a body that wait for an application before no more are received.
INLET_SIZE = 262144

#: Bytes of a response that wait to be taken before the application does.
_OUTLET_SIZE = 65536

#: Statuses of responses that have no body.
_BODILESS = (204, 205, 304)


class _Gate:
    """Where coroutines wait for what any thread may bring about.

    Attributes:
        lock: Guards what they wait for.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._waiters: list[asyncio.Future[None]] = []

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at under the lock."""
        import asyncio

        while True:
            with self.lock:
                if ready():
                    return
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
            try:
                await waiter
            finally:
                with self.lock:
                    if waiter in self._waiters:
                        self._waiters.remove(waiter)  # cancelled

    def open(self) -> None:
        """Have those who wait look again; any thread may call this, without the lock."""
        with self.lock:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            try:
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)
            except RuntimeError:
                pass  # The loop is closed: nobody waits.


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _nobody() -> None:
    """Tell nobody."""


class Inlet:
    """What an application receives; see ``exchange.BodyQueue``.

    Args:
        has_body: Whether the request has one.

    Attributes:
        gate: Where coroutines wait for it to change.
        tell: See ``exchange.BodyQueue``.
        closed: Whether the connection has let go of the request: it is answered, or has ended.
    """

    def __init__(self, has_body: bool) -> None:
        self.gate = _Gate()
        self.tell: Callable[[], None] = _nobody
        self.closed = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = not has_body
        self._told_end = False
        self._answered = False
        self._asked = False

    # --- for the connection ---

    @property
    def full(self) -> bool:
        """Whether no more is to be received for now."""
        return self._size >= INLET_SIZE

    @property
    def size(self) -> int:
        """Bytes that wait for the application."""
        return self._size

    @property
    def asked(self) -> bool:
        """Whether the application has asked for the body."""
        return self._asked

    def put(self, data: bytes, last: bool) -> None:
        """Take some bytes of the body; see ``exchange.BodyQueue``."""
        with self.gate.lock:
            if self.closed or self._answered:
                return
            if data:
                self._pieces.append(data)
                self._size += len(data)
            self._ended = last
        self.gate.open()

    def close(self) -> None:
        """Let go of it; the application hears that the client has left."""
        self.tell = _nobody
        self.closed = True
        self._clear()

    # --- for the application ---

    def answer(self) -> None:
        """Take note that the response is complete: nothing more is received."""
        self._answered = True
        tell = self.tell
        self._clear()
        tell()

    def _clear(self) -> None:
        with self.gate.lock:
            self._pieces.clear()
            self._size = 0
        self.gate.open()

    async def receive(self) -> Event:
        """Return the next event."""
        if not self._asked:
            self._asked = True
            self.tell()
        event: Optional[Event] = None
        while event is None:
            await self.gate.wait(self._has_event)
            event = self._take()
        return event

    def _has_event(self) -> bool:
        if self.closed or self._answered or self._pieces:
            return True
        return self._ended and not self._told_end

    def _take(self) -> Optional[Event]:
        """Return an event, unless another coroutine was quicker."""
        with self.gate.lock:
            if not self._has_event():
                return None
            if self.closed or self._answered:
                return {"type": "http.disconnect"}
            body = b"".join(self._pieces)
            self._pieces.clear()
            was_full, self._size = self.full, 0
            self._told_end = self._ended
        if was_full:
            self.tell()
        return {"type": "http.request", "body": body, "more_body": not self._told_end}


class Outlet:
    """What an application sends behind its first event, as an ``exchange.AsyncSource``.

    Args:
        inlet: What it receives: that says when the client has left.
    """

    def __init__(self, inlet: Inlet) -> None:
        self._inlet = inlet
        self._gate = inlet.gate
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        self._closed = False
        self._error: Optional[BaseException] = None

    async def read(self) -> Optional[bytes]:
        """Return the next piece; see ``exchange.AsyncSource``."""
        await self._gate.wait(lambda: bool(self._pieces) or self._ended)
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._gate.open()
        if piece:
            return piece
        if self._error is not None:
            raise self._error
        return None

    async def close(self) -> None:
        """Let go of it; see ``exchange.AsyncSource``."""
        self._closed = True
        self._gate.open()

    async def put(self, piece: bytes) -> None:
        """Send a piece, and wait until there is room for another.

        Raises:
            ConnectionError: the client has left.
        """
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            self._gate.open()
        await self._gate.wait(self._has_room)
        if self._closed or self._inlet.closed:
            raise ConnectionAbortedError("the client has left")

    def _has_room(self) -> bool:
        return self._size < _OUTLET_SIZE or self._closed or self._inlet.closed

    def end(self, error: Optional[BaseException] = None) -> None:
        """Send no more.

        Args:
            error: Why, if that is no success.
        """
        self._ended, self._error = True, error
        self._gate.open()


class ResponseStart(NamedTuple):
    """What ``http.response.start`` says.

    Attributes:
        status: The status code.
        fields: The fields, but for those that the server writes.
        length: What Content-Length says; None: it is not there.
        close: Whether the connection is to be closed.
    """

    status: int
    fields: tuple[Line, ...]
    length: Optional[int]
    close: bool


def read_start(event: Event) -> ResponseStart:
    """Check the start of a response.

    Raises:
        TypeError: something in it is of the wrong type.
        ValueError: something in it cannot be sent.
    """
    status = event["status"]
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is not the status of a response")
    lines: list[Line] = []
    length: Optional[int] = None
    close = False
    for name, value in read_fields(event.get("headers", ())):
        lower = name.lower()
        if lower == "content-length":
            if grammar.CONTENT_LENGTH.match(value) is None or length not in (None, int(value)):
                raise ValueError(f"Content-Length is {value!r}: no length, or a second one")
            length = int(value)
        elif lower == "connection":
            close = close or value.lower() == "close"
        elif lower not in RESERVED_FIELDS:
            lines.append((name, value))
    return ResponseStart(status, tuple(lines), length, close)


def read_fields(headers: Any) -> list[Line]:
    """Return the headers of an event as text.

    Raises:
        TypeError: they are not pairs of bytes.
        ValueError: one cannot be sent.
    """
    lines: list[Line] = []
    for name, value in headers:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(
                f"a header of an ASGI event is a pair of bytes, not {name!r}, {value!r}"
            )
        line = name.decode("latin-1"), value.decode("latin-1").strip(" \t")
        check_field(*line)
        lines.append(line)
    return lines


class HTTPCall:
    """One request to an application; it belongs to the asyncio loop.

    Args:
        application: The application.
        scope: What it is told of the request.
        inlet: What it receives.
    """

    def __init__(self, application: ASGIApplication, scope: Event, inlet: Inlet) -> None:
        self._application = application
        self._scope = scope
        self._inlet = inlet
        self._outlet: Optional[Outlet] = None
        self._start: Optional[ResponseStart] = None
        self._answer: Optional[asyncio.Future[Union[Answer, PathAnswer]]] = None
        self._sent = 0
        self._complete = False

    async def answer(self, lifespans: Lifespans) -> Union[Answer, PathAnswer]:
        """Have the application begin, and return its answer; it may go on behind that."""
        import asyncio

        self._answer = asyncio.get_running_loop().create_future()
        lifespans.begin(self._run())
        return await self._answer

    async def _run(self) -> None:
        import asyncio

        error: Optional[BaseException] = None
        try:
            await self._application(self._scope, self._inlet.receive, self._send)
        except asyncio.CancelledError:
            if self._complete or self._inlet.closed:
                return
            error = ConnectionAbortedError("the server has stopped")
        except RAISED as raised:
            error = raised
        self._conclude(error)

    def _conclude(self, error: Optional[BaseException]) -> None:
        """Take note that the application has returned, or what it has raised."""
        if self._complete or self._inlet.closed:
            if error is not None and not (self._inlet.closed and _tells_of_leaving(error)):
                logger.error("an ASGI application failed behind its response", exc_info=error)
            return
        if error is None:
            error = RuntimeError("the ASGI application returned before its response was complete")
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        elif self._outlet is not None:
            self._outlet.end(error)

    # --- what the application sends ---

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        if kind == "http.response.start":
            self._begin(event)
        elif kind == "http.response.body":
            await self._send_body(bytes(event.get("body", b"")), bool(event.get("more_body")))
        elif kind == "http.response.pathsend":
            self._send_path(event["path"])
        else:
            raise ValueError(f"{kind!r} is no event of a response")

    def _begin(self, event: Event) -> None:
        if self._start is not None:
            raise RuntimeError("the response has been started already")
        self._check_client()
        self._start = read_start(event)

    def _check_client(self) -> None:
        if self._inlet.closed:
            raise ConnectionAbortedError("the client has left")

    def _expect_body(self) -> ResponseStart:
        """Return the start of the response, which a part of its body may follow."""
        if self._start is None:
            raise RuntimeError("the response has not been started")
        if self._complete:
            raise RuntimeError("the response is complete already")
        return self._start

    async def _send_body(self, piece: bytes, more: bool) -> None:
        start = self._expect_body()
        bodiless = self._scope["method"] == "HEAD" or start.status in _BODILESS
        if not bodiless:
            self._check_client()
            self._check_length(start, len(piece), more)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._first_answer(start, piece, more, bodiless))
        if self._outlet is not None:
            await self._outlet.put(piece)
        if not more:
            self._finish()

    def _check_length(self, start: ResponseStart, size: int, more: bool) -> None:
        self._sent += size
        if start.length is None:
            return
        if self._sent > start.length or (not more and self._sent < start.length):
            relation = "longer" if self._sent > start.length else "shorter"
            raise RuntimeError(f"the body is {relation} than its Content-Length, {start.length}")

    def _first_answer(
        self, start: ResponseStart, piece: bytes, more: bool, bodiless: bool
    ) -> Answer:
        status, fields, length, close = start
        whole = not more
        if bodiless:
            # What GET would have is as long as the application says, or as what it sends.
            whole = whole and length is None and bool(piece)
        if whole:
            return Answer(status, fields, piece, None, False, close)
        outlet = Outlet(self._inlet)
        if not bodiless:
            self._outlet = outlet  # else all that follows is dropped
        body = StreamBody(outlet, asynchronous=True)
        body.prompt = True
        return Answer(status, fields, body, length, False, close)

    def _send_path(self, path: Any) -> None:
        start = self._expect_body()
        self._check_client()
        if self._answer is not None and self._answer.done():
            raise RuntimeError("the body of the response has begun already")
        answer = Answer(start.status, start.fields, b"", None, False, start.close)
        if self._answer is not None:
            self._answer.set_result(PathAnswer(answer, os.fspath(path)))
        self._finish()

    def _finish(self) -> None:
        self._complete = True
        if self._outlet is not None:
            self._outlet.end()
        self._inlet.answer()


def _tells_of_leaving(error: BaseException) -> bool:
    """Say whether an error comes of what ``send`` raises when the client has left."""
    return isinstance(error, OSError) or isinstance(error.__context__, ConnectionAbortedError)
