"""A server's handlers as a WSGI application, for whoever outgrows one process.

Another server (gunicorn, uWSGI, mod_wsgi) has the sockets and calls us. A request goes the way that
it goes under ``run``: what the environ says is written down as a head and read by the same strict
parser, the body is received into the same sink with the same limits, and the answer is framed by
the same rules. What only the server of sockets can do is its own: Date, Server, the connection, the
chunked coding, deadlines.

A WSGI server asks for a body on the thread that called us, so a plain iterator is read there, and a
slow client holds that thread. Event streams and async iterators are made elsewhere, as under
``run``, and only waited for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from io import FileIO
from typing import Any, Optional, Protocol

from ..errors import HTTPError
from ..exchange import (
    Answer,
    Body,
    Deferred,
    FileBody,
    OnMainThread,
    Span,
    StreamBody,
    TakeBody,
    Upgrade,
)
from ..protocol.http1 import Limits, RequestHead
from ..protocol.response import Framing, check_head, frame, reason_phrase
from .application import Application, Exchange
from .environ import body_pieces, connection_info, read_head

Environ = Mapping[str, Any]
StartResponse = Callable[..., Callable[[bytes], Any]]
FileWrapper = Callable[..., Iterable[bytes]]

_BLOCK = 65536

#: Bytes of a refused body that are read and dropped: servers that close a connection over unread
#: bytes take the answer along (RFC 9112 9.6).
_DRAIN_LIMIT = 65536


class Feed(Protocol):
    """What a stream that is made elsewhere has made; see ``net.stream.Feed``."""

    def take(self) -> Optional[bytes]:
        """Return what waits, empty if nothing does yet, None at the end."""

    def take_error(self) -> Optional[BaseException]:
        """Return what ended it."""

    def cancel(self) -> None:
        """Want no more."""


#: Has a stream made elsewhere; the function is called when something has come.
StartStream = Callable[[StreamBody, Callable[[], None]], Feed]

#: Has the asyncio loop run a coroutine, and returns what it returned and what it raised.
AwaitResult = Callable[[Coroutine[Any, Any, Any]], "tuple[Any, Optional[BaseException]]"]


class WSGIApp:
    """The handlers of a server, as something that a WSGI server calls.

    Args:
        application: What answers.
        limits: What a request may cost.
        start_stream: Has streams made that this thread does not make.
        await_result: Has coroutines run.
        end: Ends what those need.
    """

    def __init__(
        self,
        application: Application,
        limits: Limits,
        start_stream: StartStream,
        await_result: AwaitResult,
        end: Callable[[], None],
    ) -> None:
        self._application = application
        self._limits = limits
        self._start_stream = start_stream
        self._await_result = await_result
        self._end: Optional[Callable[[], None]] = end

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; see PEP 3333."""
        began = time.monotonic()
        head, exchange = self._receive(environ)
        reply = _Reply(
            exchange, head, start_response, self._start_stream, self._await_result, began
        )
        try:
            return reply.begin(environ.get("wsgi.file_wrapper"))
        except BaseException:
            reply.close()
            raise

    def close(self) -> None:
        """End the threads that streams are made on; a program that ends need not do this."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def _receive(self, environ: Environ) -> tuple[Optional[RequestHead], Exchange]:
        """Return the head of a request, and its exchange with all of the body."""
        info = connection_info(environ)
        head: Optional[RequestHead] = None
        exchange: Optional[Exchange] = None
        try:
            head = read_head(environ, self._limits)
            if (head.content_length or 0) > self._limits.body:
                raise HTTPError(413, f"The body of a request is at most {self._limits.body} bytes.")
            exchange = self._application.open(head, info)
            if exchange.guard is not None:
                exchange.admit()
            if head.has_body:
                self._receive_body(environ, head, exchange)
            return head, exchange
        except HTTPError as error:
            if exchange is not None:
                exchange.drop()
            return head, self._application.refuse(error, head, info)
        except BaseException:
            if exchange is not None:
                exchange.drop()
            raise

    def _receive_body(self, environ: Environ, head: RequestHead, exchange: Exchange) -> None:
        pieces = body_pieces(environ["wsgi.input"], head.content_length, self._limits.body)
        queue = exchange.queue
        if queue is not None and exchange.refusal is None:
            # A mounted ASGI application: nobody could read its answer meanwhile.
            for piece in pieces:
                queue.put(piece, False)
            queue.put(b"", True)
        elif exchange.refusal is None:
            sink = exchange.sink
            for piece in pieces:
                sink.write(piece)
        elif (head.content_length or 0) <= _DRAIN_LIMIT and not head.expects_continue:
            dropped = 0
            for piece in pieces:
                dropped += len(piece)
                if dropped > _DRAIN_LIMIT:
                    break


class _WholeFile(FileIO):
    """A file for ``wsgi.file_wrapper``: servers close it behind the response.

    Args:
        descriptor: The file, which stays its owner's.
        closed_by: Called once when this is closed.
    """

    def __init__(self, descriptor: int, closed_by: Callable[[], None]) -> None:
        super().__init__(descriptor, "rb", closefd=False)
        self._closed_by: Optional[Callable[[], None]] = closed_by

    def close(self) -> None:
        """Close it, and let go of the response."""
        super().close()
        closed_by, self._closed_by = self._closed_by, None
        if closed_by is not None:
            closed_by()


class _Reply:
    """One response: what a WSGI server iterates, and an ``exchange.Channel`` for one by hand.

    Args:
        exchange: The request and its answer.
        head: The head of the request; None: it was not one.
        start_response: The server's.
        start_stream: See ``WSGIApp``.
        await_result: See ``WSGIApp``.
        began: When the request came.
    """

    def __init__(
        self,
        exchange: Exchange,
        head: Optional[RequestHead],
        start_response: StartResponse,
        start_stream: StartStream,
        await_result: AwaitResult,
        began: float,
    ) -> None:
        self._exchange: Optional[Exchange] = exchange
        self._method = "GET" if head is None else head.method
        self._minor = 1 if head is None else head.minor
        self._start_response = start_response
        self._start_stream = start_stream
        self._await_result = await_result
        self._began = began
        self._status = self._sent = 0
        self._answer: Optional[Answer] = None
        self._feed: Optional[Feed] = None
        self._pieces: Iterator[bytes] = iter(())
        self._complete = False  # nothing makes the body any more
        # Of a response that is sent by hand.
        self._framing: Optional[Framing] = None
        self._write: Optional[Callable[[bytes], Any]] = None
        self._lost: Optional[BaseException] = None

    def begin(self, file_wrapper: Optional[FileWrapper]) -> Iterable[bytes]:
        """Run the handler, start the response, and return what the server iterates.

        Args:
            file_wrapper: The server's ``wsgi.file_wrapper``, if it has one.
        """
        exchange = self._exchange
        if exchange is None:
            raise RuntimeError("a response is begun once")
        answer = exchange.refusal or self._respond(exchange)
        if answer is None:
            self._end_by_hand()
            return self
        return self._begin(exchange, answer, file_wrapper)

    def _respond(self, exchange: Exchange) -> Optional[Answer]:
        """Run the handler, on the loop if it is a coroutine, or on the main thread."""
        answer = exchange.respond(self)
        if isinstance(answer, OnMainThread):
            return exchange.conclude(self, *_outcome(answer))
        if isinstance(answer, Deferred):
            return exchange.conclude(self, *self._await_result(answer.coroutine))
        if isinstance(answer, Upgrade):
            message = "A WebSocket needs a server that upgrades connections."
            return exchange.failed(HTTPError(501, message))
        if isinstance(answer, TakeBody):
            raise RuntimeError("what guards a request is run before its body is received")
        return answer

    def _begin(
        self,
        exchange: Exchange,
        answer: Answer,
        file_wrapper: Optional[FileWrapper],
    ) -> Iterable[bytes]:
        """Start a response, or that to what went wrong with it."""
        try:
            framing = self._frame(answer)
        except (TypeError, ValueError) as error:
            _drop(answer)
            answer = exchange.unsendable(error)
            framing = self._frame(answer)
        self._answer = answer
        body, first = answer.body, b""
        if framing.has_body and isinstance(body, StreamBody):
            try:
                first = self._open_stream(body, framing)
            except Exception as error:  # Nothing of it was sent: something else can be.
                self._close_body()
                return self._begin(exchange, exchange.failed(error), file_wrapper)
        write = self._send_head(answer, framing)
        if isinstance(body, StreamBody) and body.live:
            write(b"")  # Servers send the head then, which an EventSource waits for.
        return self._output(body, framing, first, file_wrapper)

    def _output(
        self,
        body: Body,
        framing: Framing,
        first: bytes,
        file_wrapper: Optional[FileWrapper],
    ) -> Iterable[bytes]:
        """Return what the server iterates."""
        if not framing.has_body:
            self._close_body()
        elif isinstance(body, bytes):
            self._pieces = iter((body,))
        elif isinstance(body, StreamBody):
            self._pieces = _behind(first, self._pieces)
        elif file_wrapper is not None and _is_whole(body):
            self._sent = body.size
            return file_wrapper(_WholeFile(body.descriptor, self.close), _BLOCK)
        else:
            self._pieces = _file_pieces(body)
        return self

    def _frame(self, answer: Answer, by_hand: bool = False) -> Framing:
        """Decide how the body of an answer is sent; see ``net.connection``.

        Raises:
            ValueError: its head cannot be sent.
        """
        status, fields, body, length, chunked, _ = answer
        check_head(status, fields)
        if isinstance(body, FileBody):
            length = body.size
        elif isinstance(body, bytes) and not by_hand:
            length = len(body)
        return frame(self._method, self._minor, status, length, chunked)

    def _send_head(self, answer: Answer, framing: Framing) -> Callable[[bytes], Any]:
        fields = list(answer.fields)
        if framing.length is not None:
            fields.append(("Content-Length", str(framing.length)))
        self._status = answer.status
        phrase = reason_phrase(answer.status) or "Unknown"
        return self._start_response(f"{answer.status:d} {phrase}", fields)

    def _open_stream(self, body: StreamBody, framing: Framing) -> bytes:
        """Begin to make a body, and return its first piece: what fails until then is a 500."""
        if body.live or body.asynchronous:
            news = threading.Event()
            self._feed = self._start_stream(body, news.set)
            pieces = _fed_pieces(self._feed, news, body)
        else:
            pieces = iter(body.source.read, None)
        self._pieces = _measured(pieces, framing.length)
        return body.opening if body.live else next(self._pieces, b"")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._complete = True
            raise
        except Exception as error:
            self._complete = True
            if self._exchange is not None:
                _drop(self._exchange.failed(error))
            raise  # The server leaves the response unfinished, for all to see.
        self._sent += len(piece)
        return piece

    def close(self) -> None:
        """Let go of what the response holds; a second call does nothing."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        body = None if self._answer is None else self._answer.body
        try:
            self._close_body()
            if isinstance(body, StreamBody) and not self._complete:
                body.leave()
        finally:
            exchange.finish(self._status, self._sent, time.monotonic() - self._began)

    def _close_body(self) -> None:
        answer, self._answer = self._answer, None
        feed, self._feed = self._feed, None
        self._pieces = iter(())
        if feed is not None:
            feed.cancel()  # Its producer closes the source, once it is done with it.
        elif answer is not None:
            _drop(answer)

    # --- a response that is sent by hand ---

    def start(self, answer: Answer) -> None:
        """Send a head; see ``exchange.Channel``."""
        self._framing = self._frame(answer, by_hand=True)
        self._write = self._send_head(answer, self._framing)

    def write(self, data: bytes) -> None:
        """Send a piece of the body; see ``exchange.Channel``."""
        framing, write = self._framing, self._write
        if framing is None or write is None:
            raise ValueError("the head of the response has not been sent")
        total = self._sent + len(data)
        if framing.length is not None and total > framing.length:
            raise ValueError(f"the body is longer than its Content-Length, {framing.length}")
        self._sent = total
        if not framing.has_body or not data:
            return
        try:
            write(data)
        except Exception as error:
            self._lost = error
            raise ConnectionAbortedError("the client has left") from error

    def abort(self) -> None:
        """Leave the response unfinished; see ``exchange.Channel``."""
        self._lost = self._lost or RuntimeError("a response was left unfinished")

    def _end_by_hand(self) -> None:
        """See that all of a body was sent; what is raised here has the server drop the client."""
        framing = self._framing
        if self._lost is not None:
            raise self._lost
        if framing is not None and framing.has_body and framing.length not in (None, self._sent):
            raise RuntimeError(f"a handler sent {self._sent} bytes of a body of {framing.length}")


def _outcome(later: OnMainThread) -> tuple[Any, Optional[BaseException]]:
    """Wait for what goes on on the main thread; return what it returned and what it raised."""
    ended = threading.Event()
    pending = later.begin(ended.set)
    while not pending.done:
        left = pending.deadline - time.monotonic()
        if left <= 0:
            pending.expire()
        else:
            ended.wait(min(left, threading.TIMEOUT_MAX))
    return pending.result, pending.error


def _drop(answer: Answer) -> None:
    """Let go of what an answer holds."""
    if not isinstance(answer.body, bytes):
        answer.body.close()


def _behind(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from others


def _measured(pieces: Iterator[bytes], length: Optional[int]) -> Iterator[bytes]:
    """Yield the pieces of a body as long as its length allows.

    Raises:
        ValueError: they are more or fewer than the head has promised.
    """
    total = 0
    for piece in pieces:
        total += len(piece)
        if length is not None and total > length:
            raise ValueError("the body of a response is longer than its Content-Length")
        yield piece
    if length not in (None, total):
        raise ValueError("the body of a response is shorter than its Content-Length")


def _fed_pieces(feed: Feed, news: threading.Event, body: StreamBody) -> Iterator[bytes]:
    """Yield what is made elsewhere, and heartbeats while nothing is."""
    while True:
        data = feed.take()
        if data is None:
            error = feed.take_error()
            if error is not None:
                raise error
            return
        if data:
            yield data
        elif news.wait(body.pause or None):
            news.clear()
        elif body.heartbeat:
            yield body.heartbeat


def _is_whole(file: FileBody) -> bool:
    """Say whether all of a file is sent: of a stretch, servers have ideas of their own."""
    pieces = file.pieces
    size = os.fstat(file.descriptor).st_size
    return len(pieces) == 1 and pieces[0] == Span(0, size)


def _file_pieces(file: FileBody) -> Iterator[bytes]:
    """Yield the pieces of a file.

    Raises:
        EOFError: it has become shorter.
    """
    for piece in file.pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        left = piece.size
        os.lseek(file.descriptor, piece.offset, os.SEEK_SET)
        while left:
            block = os.read(file.descriptor, min(left, _BLOCK))
            if not block:
                raise EOFError("the file is shorter than when its sending began")
            left -= len(block)
            yield block
