"""One HTTP connection: head, body, handler, response, and again.

A connection is a state machine that a thread pushes one step at a time. Each step says what it
waits for next: ``READ`` or ``WRITE`` on its socket, ``WORK`` (a request is whole, a worker may run
its handler), ``AGAIN`` (more requests are in the buffer) or ``CLOSE``. No step blocks, so a client
that sends or receives slowly costs a selector entry and a deadline, and never a thread.

Exactly one thread owns a connection at a time: the polling one, or the worker that runs its
handler.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Optional, Union

from ..errors import HTTPError, IncompleteRequest
from ..exchange import Answer, Application, ConnectionInfo, Exchange, FileBody, Pace, Port
from ..protocol.http1 import Limits, RequestHead, RequestReader
from ..protocol.response import CONTINUE, LAST_CHUNK, Framing, HeadWriter, chunk
from .clock import http_date
from .transport import Transport


class Wants(Enum):
    """What a connection waits for."""

    READ = 1
    WRITE = 2
    WORK = 3
    AGAIN = 4
    CLOSE = 5


logger = logging.getLogger("hwebserver.app")

READ, WRITE, WORK, AGAIN, CLOSE = Wants

NEVER = float("inf")

#: Bytes of a refused body that are read and dropped to save the connection.
_DRAIN_LIMIT = 65536

#: The longest that a refused client is listened to, in seconds, however lively it is.
_LINGER_TOTAL = 30.0

#: Up to this size a body is joined to its head for a single write; beyond, copying costs more.
_JOIN_LIMIT = 65536

_NO_PACE = Pace()


def _drop(answer: Answer) -> None:
    """Let go of the file of an answer whose body is not sent."""
    if isinstance(answer.body, FileBody):
        answer.body.close()


def _closed(now: float) -> Wants:
    return CLOSE


class Timeouts(NamedTuple):
    """The deadlines of a connection in seconds; the settings of the same names describe them."""

    keep_alive: float = 15.0
    head: float = 10.0
    body: float = 20.0
    min_body_rate: float = 240.0
    send: float = 20.0
    linger: float = 2.0

    @property
    def shortest(self) -> float:
        """The shortest of the deadlines."""
        seconds = (self.keep_alive, self.head, self.body, self.send, self.linger)
        return min(one for one in seconds if one > 0)


class Endpoint:
    """What the connections of one port share.

    Args:
        port: The port.
        application: What answers.
        limits: What a request may cost.
        timeouts: The deadlines.
        writer: Writes response heads.
    """

    def __init__(
        self,
        port: Port,
        application: Application,
        limits: Limits,
        timeouts: Timeouts,
        writer: HeadWriter,
    ) -> None:
        self.port = port
        self.application = application
        self.limits = limits
        self.timeouts = timeouts
        self.writer = writer
        self.draining = False  # the server is stopping: no connection is kept


class Connection:
    """One connection of a client.

    Args:
        transport: Its socket.
        info: What the application may know of it.
        endpoint: What it shares with the other connections of its port.
        now: The monotonic time.

    Attributes:
        deadline: When the client's patience with us, or ours with it, ends.
        interest: What the selector watches it for; None: it is not in there.
        pace: What is known of how long the handler of the current request takes.
    """

    __slots__ = (
        "_began",
        "_body_received",
        "_body_started",
        "_close",
        "_endpoint",
        "_exchange",
        "_file",
        "_framing",
        "_head",
        "_info",
        "_kept",
        "_linger_end",
        "_pending",
        "_reader",
        "_sent",
        "_status",
        "_step",
        "_streamed",
        "_tail",
        "deadline",
        "interest",
        "pace",
        "transport",
    )

    def __init__(
        self, transport: Transport, info: ConnectionInfo, endpoint: Endpoint, now: float
    ) -> None:
        self.transport = transport
        self.interest: Optional[Wants] = None
        self.pace = _NO_PACE
        self.deadline = now + endpoint.timeouts.head
        self._info = info
        self._endpoint = endpoint
        self._reader = RequestReader(endpoint.limits)
        self._head: Optional[RequestHead] = None
        self._exchange: Optional[Exchange] = None
        self._step: Callable[[float], Wants] = self._receive_head
        self._kept = False  # waits between two requests
        self._close = False
        self._pending: list[memoryview] = []
        self._file: Optional[FileBody] = None
        self._tail = b""  # what follows a file
        self._framing: Optional[Framing] = None
        self._streamed: Optional[int] = None  # bytes of a body sent by hand
        self._body_received = 0
        self._body_started = self._began = self._linger_end = 0.0
        self._status = self._sent = 0

    @property
    def idle(self) -> bool:
        """Whether it waits for a request of which nothing has arrived."""
        return self._exchange is None and self._reader.empty and self._step == self._receive_head

    @property
    def kept(self) -> bool:
        """Whether it is idle after a request that was answered."""
        return self._kept and self.idle

    @property
    def unfinished_head(self) -> bool:
        """Whether a part of a request head has arrived, and no more."""
        return self._exchange is None and self._step == self._receive_head

    # --- steps of the polling thread ---

    def ready(self, now: float) -> Wants:
        """Go on, since the socket is ready for what was wanted."""
        return self._step(now)

    def resume(self, now: float) -> Wants:
        """Go on with what is in the buffer (after ``AGAIN``)."""
        return self._discard(now) if not self._reader.body_complete else self._next_request(now)

    def expire(self, now: float) -> Wants:
        """Go on, since the deadline has passed."""
        if self._step == self._receive_body:
            return self.refuse(IncompleteRequest(408, "The body came too slowly."), now)
        if self._step == self._receive_head and not self._reader.empty:
            return self.refuse(
                IncompleteRequest(408, "The head of the request came too slowly."), now
            )
        return CLOSE

    def refuse(self, error: HTTPError, now: float) -> Wants:
        """Answer with an error and close, whatever else the client sends."""
        exchange = self._endpoint.application.refuse(error, self._head, self._info)
        if self._exchange is not None:
            self._exchange.drop()
        self._exchange = exchange
        self._close = True
        self._began = now
        return self._refused(exchange)

    def _receive_head(self, now: float) -> Wants:
        data = self.transport.receive()
        if data:
            self._reader.receive(data)
            return self._next_request(now)
        if data is None:
            return READ
        if self._reader.empty:
            return CLOSE
        return self.refuse(IncompleteRequest(400, "The request ends in its head."), now)

    def _next_request(self, now: float) -> Wants:
        self._head = None
        try:
            head = self._reader.next_head()
            if head is None:
                if self._kept and not self._reader.empty:
                    self._kept = False
                    self.deadline = now + self._endpoint.timeouts.head
                self._step = self._receive_head
                return READ
            self._head = head
            self._began = now
            if (head.content_length or 0) > self._endpoint.limits.body:
                limit = self._endpoint.limits.body
                raise HTTPError(413, f"The body of a request is at most {limit} bytes.")
            self._exchange = self._endpoint.application.open(head, self._info)
        except HTTPError as error:
            return self.refuse(error, now)
        self.deadline = NEVER
        self.pace = self._exchange.pace
        if head.has_body:
            return self._begin_body(head, self._exchange, now)
        return WORK if self._exchange.refusal is None else self._refused(self._exchange)

    def _begin_body(self, head: RequestHead, exchange: Exchange, now: float) -> Wants:
        if exchange.refusal is not None:
            # RFC 9110 10.1.1: after Expect there is no telling whether the body will come.
            too_much = (head.content_length or 0) > _DRAIN_LIMIT
            self._close = head.expects_continue or too_much
            return self._refused(exchange)
        if head.expects_continue and self._reader.empty:
            self._pending = [memoryview(CONTINUE)]
            self.deadline = now + self._endpoint.timeouts.send
        return self._invite_body(now)

    def _invite_body(self, now: float) -> Wants:
        """Send what is left of 100 (Continue), if that was asked for; then take the body."""
        try:
            if not self._flush_pending(now):
                self._step = self._invite_body
                return WRITE
        except OSError:
            return CLOSE
        self._body_started = now
        self._body_received = 0
        self._step = self._receive_body
        return self._take_body(now)

    def _receive_body(self, now: float) -> Wants:
        data = self.transport.receive()
        if data is None:
            return READ
        if not data:
            return self.refuse(IncompleteRequest(400, "The request ends in its body."), now)
        self._reader.receive(data)
        return self._take_body(now)

    def _take_body(self, now: float) -> Wants:
        try:
            piece = self._reader.take_body()
            if piece and self._exchange is not None:
                self._exchange.sink.write(piece)
        except HTTPError as error:
            return self.refuse(error, now)
        if self._reader.body_complete:
            self.deadline = NEVER
            return WORK
        timeouts = self._endpoint.timeouts
        self._body_received += len(piece)
        self.deadline = now + timeouts.body
        if timeouts.min_body_rate:
            earned = self._body_received / timeouts.min_body_rate
            self.deadline = min(self.deadline, self._body_started + timeouts.body + earned)
        return READ

    def _discard(self, now: float) -> Wants:
        """Drop the body of a request that was refused."""
        try:
            self._body_received += len(self._reader.take_body())
        except HTTPError:
            return self._linger()
        if self._body_received > _DRAIN_LIMIT:
            return self._linger()
        if not self._reader.body_complete:
            self._step = self._receive_discarded
            return READ
        self._keep(now)
        return READ if self._reader.empty else AGAIN

    def _receive_discarded(self, now: float) -> Wants:
        data = self.transport.receive()
        if data is None:
            return READ
        self._reader.receive(data)
        return self._discard(now) if data else CLOSE

    def _receive_nothing(self, now: float) -> Wants:
        """Read what a refused client still sends, lest a reset swallow its answer (9112 9.6)."""
        data = self.transport.receive()
        if data == b"":
            return CLOSE
        self.deadline = min(now + self._endpoint.timeouts.linger, self._linger_end)
        return READ

    def hurry(self, now: float) -> Wants:
        """Give up what only saves the connection, since the server stops; say what is wanted."""
        return self._linger() if self._step == self._receive_discarded else READ

    # --- steps of whichever thread runs the handler ---

    def work(self) -> Wants:
        """Run the handler of the current request and begin to send what it answers."""
        exchange = self._exchange
        if exchange is None:
            return CLOSE
        self._streamed = None
        answer = exchange.respond(self)
        if answer is not None:
            return self._send(answer, exchange)
        return self._end_stream()

    def _refused(self, exchange: Exchange) -> Wants:
        answer = exchange.refusal
        return CLOSE if answer is None else self._send(answer, exchange)

    def _send(self, answer: Answer, exchange: Exchange) -> Wants:
        try:
            head, framing = self._write_head(answer)
        except (TypeError, ValueError) as error:
            _drop(answer)
            answer = exchange.unsendable(error)
            head, framing = self._write_head(answer)
        body = answer.body
        if not framing.has_body:
            _drop(answer)
            return self._send_pieces(head)
        if isinstance(body, FileBody):
            self._file = body
            if framing.chunked:
                # One chunk holds all of it, so that sendfile still can.
                head += b"%x\r\n" % body.size if body.size else b""
                self._tail = b"\r\n" + LAST_CHUNK if body.size else LAST_CHUNK
            return self._send_pieces(head, more=body.size > 0 or bool(self._tail))
        self._sent = len(body)
        if framing.chunked:
            body = chunk(body) + LAST_CHUNK
        if len(body) <= _JOIN_LIMIT:
            return self._send_pieces(head + body)
        self._pending = [memoryview(body)]
        return self._send_pieces(head, more=True)

    def _write_head(self, answer: Answer, streamed: bool = False) -> tuple[bytes, Framing]:
        status, fields, body, length, chunked, close = answer
        if isinstance(body, FileBody):
            length = body.size
        elif length is None and not streamed:
            length = len(body)
        endpoint, head = self._endpoint, self._head
        method, minor = "GET", 1
        if head is None:
            self._close = True
        else:
            method, minor = head.method, head.minor
            if close or endpoint.draining or not head.keep_alive:
                self._close = True
        written = endpoint.writer.head(
            status, fields, length, chunked, method, minor, self._close, http_date()
        )
        if written[1].close:
            self._close = True
        self._status = status
        self._sent = 0
        return written

    def _send_pieces(self, data: bytes, more: bool = False) -> Wants:
        """Send without blocking; what the system does not take now goes on in ``_flush``."""
        try:
            count = self.transport.send(data, more)
        except OSError:
            return CLOSE
        if count == len(data) and not more:
            return self._finish(time.monotonic())
        if count < len(data):
            self._pending.insert(0, memoryview(data)[count:])
        now = time.monotonic()
        self.deadline = now + self._endpoint.timeouts.send
        self._step = self._flush
        return self._flush(now)

    def _flush(self, now: float) -> Wants:
        """Send on; every byte that the client takes gives it a new deadline."""
        try:
            if not self._flush_pending(now):
                return WRITE
            if self._file is not None and not self._flush_file(self._file, now):
                return WRITE
            if self._tail:
                self._pending, self._tail = [memoryview(self._tail)], b""
                return self._flush(now)
        except (OSError, EOFError):
            return CLOSE
        return self._finish(now)

    def _flush_pending(self, now: float) -> bool:
        """Send what waits in memory and return whether all of it is gone."""
        while self._pending:
            more = self._file is not None and self._file.size > 0
            count = self.transport.send(self._pending[0], more)
            if not count:
                return False
            self.deadline = now + self._endpoint.timeouts.send
            rest = self._pending[0][count:]
            self._pending[:1] = [rest] if rest else []
        return True

    def _flush_file(self, file: FileBody, now: float) -> bool:
        """Send the next part of a file and return whether it was the last."""
        if file.size:
            count = self.transport.send_file(file.descriptor, file.offset, file.size)
            if count:
                self.deadline = now + self._endpoint.timeouts.send
            file.offset += count
            file.size -= count
            self._sent += count
        return not file.size

    def _finish(self, now: float) -> Wants:
        """The response is sent: keep the connection, or end it."""
        self._release(now)
        if self._close:
            unread = not (self._reader.empty and self._reader.body_complete)
            # RFC 9112 9.6: to close over unread bytes is a reset, which may take the answer along.
            lingers = unread or self._head is None or self.transport.receive()
            return self._linger() if lingers else CLOSE
        if not self._reader.body_complete:
            self._body_received = 0
            self.deadline = now + self._endpoint.timeouts.body
            return AGAIN
        self._keep(now)
        return READ if self._reader.empty else AGAIN

    def _keep(self, now: float) -> None:
        self._kept = True
        self.deadline = now + self._endpoint.timeouts.keep_alive
        self._step = self._receive_head

    def _linger(self) -> Wants:
        now = time.monotonic()
        self._linger_end = now + _LINGER_TOTAL
        self.deadline = now + self._endpoint.timeouts.linger
        self.transport.end_sending()
        self._step = self._receive_nothing
        return READ

    def _release(self, now: float) -> None:
        """Let go of what belongs to the exchange that is over."""
        file, self._file = self._file, None
        exchange, self._exchange = self._exchange, None
        status, sent, self._status, self._sent = self._status, self._sent, 0, 0
        try:
            if file is not None:
                file.close()
        finally:
            if exchange is not None:
                exchange.finish(status, sent, now - self._began)

    def close(self) -> None:
        """Close the socket and let go of everything; a second call does nothing."""
        self._pending = []
        self._step = _closed  # a bound method would keep the connection alive through itself
        self.transport.close()
        self._release(time.monotonic())

    # --- a response that a handler sends by hand: exchange.Channel ---

    def start(self, answer: Answer) -> None:
        """Send a head; see ``Channel``."""
        head, self._framing = self._write_head(answer, streamed=True)
        self._streamed = 0
        self._send_blocking(head)

    def write(self, data: bytes) -> None:
        """Send a piece of the body; see ``Channel``."""
        framing = self._framing
        if framing is None or self._streamed is None:
            raise ValueError("the head of the response has not been sent")
        total = self._streamed + len(data)
        if framing.length is not None and total > framing.length:
            raise ValueError(f"the body is longer than its Content-Length, {framing.length}")
        self._streamed = total
        if framing.has_body:
            self._send_blocking(chunk(data) if framing.chunked else data)
            self._sent = total

    def abort(self) -> None:
        """Leave the response unfinished; see ``Channel``."""
        self._framing = None

    def _end_stream(self) -> Wants:
        framing, self._framing = self._framing, None
        if framing is None:
            return CLOSE
        if framing.has_body and framing.length not in (None, self._streamed):
            logger.error("a handler sent %s bytes of a body of %s", self._streamed, framing.length)
            return CLOSE
        if framing.has_body and framing.chunked:
            return self._send_pieces(LAST_CHUNK)
        return self._finish(time.monotonic())

    def _send_blocking(self, data: Union[bytes, memoryview]) -> None:
        left = memoryview(data)
        while left:
            try:
                count = self.transport.send(left)
            except OSError as error:
                raise ConnectionAbortedError("the client has left") from error
            left = left[count:]
            if not count and not self.transport.wait_writable(self._endpoint.timeouts.send):
                raise ConnectionAbortedError("the client takes no more of the response")
