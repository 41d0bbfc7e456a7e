"""One HTTP connection: head, body, handler, response, and again.

A connection is a state machine that a thread pushes one step at a time. Each step says what it
waits for next: ``READ``, ``WRITE`` or ``BOTH`` on its socket, ``PARK`` (nothing on the socket:
something else will happen), ``DISK`` (the next step reads or writes a file, and disks may be slow),
``WORK`` (a request is whole, a worker may run its handler), ``AGAIN`` (there is more to do, but it
is others' turn) or ``CLOSE``. No other step blocks, so a client that sends or receives slowly costs
a selector entry and a deadline, and never a thread.

Exactly one thread owns a connection at a time: the polling one, or the worker that runs its
handler or reads what the handler returned for a body.

The body of a request comes before its handler, but for a mounted ASGI application: that one runs
on the asyncio loop while the body arrives. The connection is watched meanwhile anyway, to see
whether the client leaves, so an ``Intake`` gets what is received there; it may go on while the
response is already being sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Optional, Union

from ..errors import HTTPError, IncompleteRequest, ProtocolError
from ..exchange import (
    Answer,
    ConnectionInfo,
    Exchange,
    FileBody,
    Later,
    OnMainThread,
    Pace,
    Pending,
    StreamBody,
    TakeBody,
    Upgrade,
)
from ..protocol.http1 import RequestHead, RequestReader
from ..protocol.response import CONTINUE, LAST_CHUNK, Framing, Line, chunk
from .awaited import Awaited
from .byhand import HandChannel
from .clock import http_clock
from .delivery import Delivery, Progress
from .endpoint import (
    AGAIN,
    BOTH,
    CLOSE,
    DISK,
    LEAVE,
    NEVER,
    PARK,
    READ,
    WORK,
    WRITE,
    Endpoint,
    Wants,
)
from .intake import Intake
from .transport import BULK_SIZE, RECEIVE_SIZE, HandshakeFailed, Transport

if TYPE_CHECKING:
    from ..protocol.proxy import ProxyHeader

#: Bytes of a refused body that are read and dropped to save the connection.
_DRAIN_LIMIT = 65536

#: Bytes of further requests that are kept while a response is made; then they wait in the system.
_AHEAD_LIMIT = 65536

#: The longest that a refused client is listened to, in seconds, however lively it is.
_LINGER_TOTAL = 30.0

#: The first byte of a connection that begins with a TLS handshake (RFC 8446 5.1).
_HANDSHAKE_RECORD = b"\x16"

#: Up to this size a body is joined to its head for a single write; beyond, copying costs more.
_JOIN_LIMIT = 65536

_NO_PACE = Pace()

#: A head that was sent: to whom (the head of the request), with which fields, before how many bytes
#: of a body, with which status, until when its Date is right, and its bytes.
_SentHead = tuple[Optional[RequestHead], tuple[Line, ...], int, int, float, bytes]

_NO_HEAD: _SentHead = (None, (), 0, 0, 0.0, b"")


def _closed(now: float) -> Wants:
    return CLOSE


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
        step: Goes on when the socket is ready for what was wanted.
    """

    __slots__ = (
        "_awaited",
        "_began",
        "_body_received",
        "_body_started",
        "_channel",
        "_close",
        "_delivery",
        "_endpoint",
        "_exchange",
        "_head",
        "_info",
        "_intake",
        "_kept",
        "_left",
        "_linger_end",
        "_proxy_header",
        "_reader",
        "_sent",
        "_sent_head",
        "_spent",
        "_status",
        "_tally",
        "_upgrading",
        "deadline",
        "interest",
        "pace",
        "step",
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
        self._tally = endpoint.tally.begin(transport)
        self._reader = RequestReader(endpoint.limits)
        self._head: Optional[RequestHead] = None
        self._exchange: Optional[Exchange] = None
        self._spent: Optional[Exchange] = None  # the one before
        self.step: Callable[[float], Wants] = self._receive_head
        if endpoint.tls is not None:
            self.step = self._begin_handshake
            self.deadline = now + endpoint.timeouts.handshake
        self._proxy_header = b""  # what has come of it
        if endpoint.trusts_proxy is not None:
            self.step = self._read_proxy_header
            self.deadline = now + endpoint.timeouts.head
        self._kept = False  # waits between two requests
        self._close = False
        self._left = False  # the client has, while its response was made
        self._delivery: Optional[Delivery] = None  # of a response that did not go out at once
        self._channel: Optional[HandChannel] = None
        self._awaited: Optional[Pending] = None  # what a handler will return, from elsewhere
        self._intake: Optional[Intake] = None  # of a body that arrives beside its handler
        self._upgrading: Optional[Upgrade] = None  # what it is to become
        self._body_received = 0
        self._body_started = self._began = self._linger_end = 0.0
        self._status = self._sent = 0
        self._sent_head = _NO_HEAD

    @property
    def idle(self) -> bool:
        """Whether it waits for a request of which nothing has arrived."""
        return self._exchange is None and self._reader.empty and self.step == self._receive_head

    @property
    def kept(self) -> bool:
        """Whether it is idle after a request that was answered."""
        return self._kept and self.idle

    @property
    def unfinished_head(self) -> bool:
        """Whether a part of a request head has arrived, and no more: of what comes before it."""
        before = (
            self._receive_head,
            self._shake_hands,
            self._begin_handshake,
            self._read_proxy_header,
        )
        return self._exchange is None and self.step in before

    # --- steps of the polling thread ---

    def resume(self, now: float) -> Wants:
        """Go on after ``AGAIN``, or since what makes a stream has made something."""
        if self._streams:
            return WORK if self._left else self._send_on(now)
        if self._awaited is not None:
            if self._awaited.done:
                return WORK
            return PARK if self._left else self._watch_client(self._receive_ahead, now)
        if self.step == self._await_worker:
            return WORK
        if self.step == self._go_on:
            return self._go_on(now)
        return self._discard(now) if not self._reader.body_complete else self._next_request(now)

    def nudged(self, now: float) -> Wants:
        """Go on, since what it waits for may have come.

        A nudge may be late: what it told of was found otherwise, and something else goes on.
        """
        sends_beside = self._intake is not None and self.step == self._send_on
        if self.step == self._await_pieces or sends_beside:
            return self._send_on(now)
        return self.resume(now) if self._awaited is not None else self.interest or READ

    def expire(self, now: float) -> Wants:
        """Go on, since the deadline has passed."""
        if self.step == self._await_pieces:
            self._open_delivery().beat()
            wants = self._send_on(now)
            return AGAIN if wants is WORK else wants  # nobody hands out work from here
        if self._streams:
            return self._forsake()
        if self.step == self._receive_body:
            return self.refuse(IncompleteRequest(408, "The body came too slowly."), now)
        if self._intake is not None:
            return self._break_off(IncompleteRequest(408, "The body came too slowly."), now)
        if self._awaited is not None:
            self._awaited.expire()  # and what that tells of comes by a nudge
            return self.interest or READ
        if self.step == self._receive_head and not self._reader.empty:
            return self.refuse(
                IncompleteRequest(408, "The head of the request came too slowly."), now
            )
        if self._endpoint.tls is not None and self.step == self._shake_hands:
            self._note_handshake("it came too slowly")
        if self.step == self._read_proxy_header:
            return self._refuse_proxy("PROXY protocol: its header came too slowly.")
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

    def _read_proxy_header(self, now: float) -> Wants:
        """Take in what a proxy says of the client, and no byte behind it; the deadline stays.

        A part of it is taken too: left where it is, it would wake us again at once.
        """
        from ..protocol.proxy import HEADER_LIMIT, read_header

        trusts = self._endpoint.trusts_proxy
        if trusts is None or not trusts(self._info.peer[0]):
            return self._refuse_proxy(
                "PROXY_PROTOCOL is set, and TRUSTED_PROXIES does not list this address."
            )
        known = self._proxy_header
        peeked = self.transport.peek(HEADER_LIMIT - len(known))
        if peeked is None:
            return READ
        if not peeked:
            return self._refuse_proxy("PROXY protocol: its header is cut off.") if known else CLOSE
        try:
            header = read_header(known + peeked)
        except ProtocolError as error:
            return self._refuse_proxy(error.message)
        wanted = len(peeked) if header is None else header.size - len(known)
        received = self.transport.receive(wanted) or b""
        self._proxy_header = known + received
        if header is None or len(received) < wanted:
            return READ
        return self._believe(header, now)

    def _believe(self, header: ProxyHeader, now: float) -> Wants:
        """Go on as if the client that a proxy speaks for had connected itself."""
        info = self._info
        self._proxy_header = b""
        self._info = info._replace(
            peer=header.source or info.peer,
            local=header.destination or info.local,
            secure=header.secure or info.secure,
        )
        if self._endpoint.tls is None:
            self.step = self._receive_head
            return self._receive_head(now)
        self.step = self._begin_handshake
        self.deadline = now + self._endpoint.timeouts.handshake
        return self._begin_handshake(now)

    def _refuse_proxy(self, reason: str) -> Wants:
        """Close without an answer, as the PROXY protocol wants it, and write down why."""
        self._endpoint.refusals.note(self._info.peer[0], reason)
        return CLOSE

    def _begin_handshake(self, now: float) -> Wants:
        """See how a client of an encrypted port begins; one that does not encrypt is told to."""
        tls = self._endpoint.tls
        first = self.transport.peek()
        if first is None:
            return READ
        if not first or tls is None:
            return CLOSE
        if first != _HANDSHAKE_RECORD:
            self._info = self._info._replace(secure=False)
            return self.refuse(HTTPError(400, "This port speaks https, and this was http."), now)
        try:
            self.transport = tls.wrap(self.transport, now)
        except OSError:
            return CLOSE
        self._tally.transport = self.transport
        self.step = self._shake_hands
        return self._shake_hands(now)

    def _shake_hands(self, now: float) -> Wants:
        """Go on with the handshake of TLS; its deadline does not move."""
        tls = self._endpoint.tls
        try:
            event = self.transport.handshake()
        except OSError:
            return CLOSE
        except HandshakeFailed as error:
            self._note_handshake(str(error))
            return self._linger()  # An alert was sent, and a reset may swallow it.
        if event:
            return READ if event == EVENT_READ else WRITE
        if tls is not None and tls.asks_for_certificate:
            self._info = self._info._replace(certificate=self.transport.certificate())
        self.deadline = now + self._endpoint.timeouts.head
        self.step = self._receive_head
        return self._receive_head(now)

    def _note_handshake(self, reason: str) -> None:
        """Write down that a client has not come to be encrypted."""
        note = f"the TLS handshake failed: {reason}"
        self._endpoint.refusals.note(self._info.peer[0], note)

    def _receive_head(self, now: float) -> Wants:
        data = self.transport.receive()
        if data:
            self._head = None
            try:
                head = self._reader.receive_head(data)
            except HTTPError as error:
                return self.refuse(error, now)
            return self._await_head(now) if head is None else self._begin(head, now)
        if data is None:
            return READ
        if self._reader.empty:
            return CLOSE
        return self.refuse(IncompleteRequest(400, "The request ends in its head."), now)

    def _next_request(self, now: float) -> Wants:
        """Begin with what has been received behind the last request."""
        self._head = None
        try:
            head = self._reader.next_head()
        except HTTPError as error:
            return self.refuse(error, now)
        return self._await_head(now) if head is None else self._begin(head, now)

    def _await_head(self, now: float) -> Wants:
        if self._kept and not self._reader.empty:
            self._kept = False
            self.deadline = now + self._endpoint.timeouts.head
        self.step = self._receive_head
        return READ

    def _begin(self, head: RequestHead, now: float) -> Wants:
        """Find out what a request leads to."""
        self._head = head
        self._began = now
        endpoint = self._endpoint
        try:
            if head.has_body and (head.content_length or 0) > endpoint.limits.body:
                limit = endpoint.limits.body
                raise HTTPError(413, f"The body of a request is at most {limit} bytes.")
            exchange = self._exchange = endpoint.application.open(head, self._info, self._spent)
        except HTTPError as error:
            return self.refuse(error, now)
        self.deadline = NEVER
        self.pace = exchange.pace
        if head.has_body:
            return self._begin_body(head, exchange, now)
        return self._refused(exchange) if exchange.refused else WORK

    def _begin_body(self, head: RequestHead, exchange: Exchange, now: float) -> Wants:
        if exchange.guard is not None:
            self.pace = exchange.guard
            return WORK
        queue = exchange.queue
        if queue is not None and not exchange.refused:
            queue.tell = partial(self._endpoint.tell, self)
            self._intake = Intake(head, self._reader, queue, self._endpoint.timeouts, now)
            return WORK
        if exchange.refused:
            # RFC 9110 10.1.1: after Expect there is no telling whether the body will come.
            too_much = (head.content_length or 0) > _DRAIN_LIMIT
            self._close = head.expects_continue or too_much
            return self._refused(exchange)
        if head.expects_continue and self._reader.empty:
            self._open_delivery().put(CONTINUE)
            self.deadline = now + self._endpoint.timeouts.send
        return self._invite_body(now)

    def _go_on(self, now: float) -> Wants:
        """Take the body, or refuse it, as what guards the request has decided."""
        head, exchange = self._head, self._exchange
        if head is None or exchange is None:
            return CLOSE
        self.pace = exchange.pace
        self.step = self._receive_head  # as behind every head
        return self._begin_body(head, exchange, now)

    def _invite_body(self, now: float) -> Wants:
        """Send what is left of 100 (Continue), if that was asked for; then take the body."""
        if self._delivery is not None:
            progress = self._delivery.advance()
            if progress is Progress.BLOCKED:
                self.step = self._invite_body
                return WRITE
            if progress is Progress.GONE:
                return CLOSE
        self._body_started = now
        self._body_received = 0
        self.step = self._receive_body
        return self._take_body(now)

    def _receive_body(self, now: float) -> Wants:
        data = self.transport.receive(BULK_SIZE)
        if data is None:
            return READ
        if not data:
            return self.refuse(IncompleteRequest(400, "The request ends in its body."), now)
        self._reader.receive(data)
        return self._take_body(now)

    def _take_body(self, now: float) -> Wants:
        exchange = self._exchange
        if exchange is None:
            return CLOSE
        stays = self._body_received + self._reader.size <= exchange.sink.in_memory
        return self._store(now) if stays else DISK

    def use_disk(self) -> Wants:
        """Let a piece of the body go where it is kept, or a piece of a file to the client."""
        now = time.monotonic()
        if self.step == self._send_file:
            return self._send_on(now)
        wants = self._store(now)
        if wants is WORK:
            # Another thread may have taken the polling over meanwhile, and hands out the work.
            self.step = self._await_worker
            return AGAIN
        return wants

    def _store(self, now: float) -> Wants:
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

    def _await_worker(self, now: float) -> Wants:
        return WORK

    def _discard(self, now: float) -> Wants:
        """Drop the body of a request that was refused."""
        try:
            self._body_received += len(self._reader.take_body())
        except HTTPError:
            return self._linger()
        if self._body_received > _DRAIN_LIMIT:
            return self._linger()
        if not self._reader.body_complete:
            self.step = self._receive_discarded
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
        """Give up what need not be done, since the server stops; say what is wanted.

        That is what only saves the connection, and streams that would never end.
        """
        if self.step == self._receive_discarded:
            return self._linger()
        if self.step == self._shake_hands and self.interest is WRITE:
            return CLOSE
        delivery = self._delivery
        if delivery is not None and (
            delivery.live or (delivery.endless and now >= self._endpoint.streams_end)
        ):
            return self._forsake()
        return self.interest or READ

    # --- steps of whichever thread runs the handler ---

    def work(self) -> Wants:
        """Run the handler of the current request, or go on with the body that it returned."""
        exchange = self._exchange
        if exchange is None:
            return CLOSE
        if self._delivery is not None and self._delivery.streams:
            return self._work_on_stream(self._delivery, exchange)
        if self._awaited is not None:
            return self._work_on_result(self._awaited, exchange)
        return self._answer(exchange.respond(self), exchange)

    def _work_on_result(self, awaited: Pending, exchange: Exchange) -> Wants:
        """Answer with what a handler returned or raised elsewhere."""
        self._awaited = None
        if self._left and awaited.cancelled:
            return CLOSE
        answer = exchange.conclude(self, awaited.result, awaited.error)
        if self._left and answer is not None:
            self._drop(answer)
            return CLOSE
        return self._answer(answer, exchange)

    def _answer(
        self, answer: Union[Answer, Later, Upgrade, TakeBody, None], exchange: Exchange
    ) -> Wants:
        if isinstance(answer, Answer):
            if self._intake is not None and not self._comes_cheaply(self._intake):
                self._close = True
            return self._send(answer, exchange)
        if isinstance(answer, Upgrade):
            return self._upgrade(answer, exchange)
        if isinstance(answer, TakeBody):
            self.step = self._go_on
            return AGAIN
        if answer is not None:
            return self._defer(answer, exchange)
        channel, self._channel = self._channel, None
        if channel is None:
            return CLOSE
        rest = channel.end()
        self._sent = channel.sent
        return CLOSE if rest is None else self._send_bytes(rest, time.monotonic())

    # What ``exchange.Channel`` promises, for a response that the handler sends by hand:

    def start(self, answer: Answer) -> None:
        """Send a head; see ``exchange.Channel``."""
        patience = self._endpoint.timeouts.send
        self._channel = HandChannel(self.transport, self._write_head, patience)
        self._channel.start(answer)

    def write(self, data: bytes) -> None:
        """Send a piece of the body; see ``exchange.Channel``."""
        if self._channel is None:
            raise ValueError("the head of the response has not been sent")
        self._channel.write(data)

    def abort(self) -> None:
        """Leave the response unfinished; see ``exchange.Channel``."""
        if self._channel is not None:
            self._channel.abort()

    def _defer(self, deferred: Later, exchange: Exchange) -> Wants:
        """Have the loop, or the host's main thread, run the rest of the handler."""
        endpoint = self._endpoint
        if isinstance(deferred, OnMainThread):
            self._awaited = deferred.begin(lambda: endpoint.tell(self))
            return AGAIN
        try:
            self._awaited = Awaited(
                deferred.coroutine, endpoint.producers.loop, lambda: endpoint.tell(self)
            )
        except RuntimeError as error:
            deferred.coroutine.close()
            refusal = HTTPError(503, f"This request cannot be answered now: {error}.")
            return self._send(exchange.failed(refusal), exchange)
        return AGAIN  # The polling thread waits for the client to leave, or for the answer.

    def _upgrade(self, upgrade: Upgrade, exchange: Exchange) -> Wants:
        """Become a WebSocket, as soon as the poller has let go of the socket."""
        if self._endpoint.draining:
            return self._send(exchange.failed(HTTPError(503, "The server stops.")), exchange)
        try:
            self._endpoint.sockets.loop.check_sockets()
        except RuntimeError as error:
            return self._send(exchange.failed(error), exchange)
        self._upgrading = upgrade
        return LEAVE

    def depart(self) -> None:
        """Go on as a WebSocket, on the loop."""
        upgrade, self._upgrading = self._upgrading, None
        exchange = self._exchange
        if upgrade is None or exchange is None:
            self.close()
            return
        from .websocket import WebSocketConnection

        endpoint, sockets = self._endpoint, self._endpoint.sockets
        early = self._reader.take_rest()
        socket = WebSocketConnection(
            self.transport,
            upgrade,
            exchange,
            early,
            sockets,
            endpoint.socket_settings,
            endpoint.writer,
            endpoint.port,
            self._tally,
        )
        try:
            sockets.begin(socket)
        except RuntimeError as error:
            exchange.failed(error)
            self.close()
            return
        self._exchange = None
        self.step, self._channel = _closed, None

    @property
    def _streams(self) -> bool:
        """Whether something still makes the body of a response."""
        return self._delivery is not None and self._delivery.streams

    def _open_delivery(self) -> Delivery:
        if self._delivery is None:
            self._delivery = Delivery(self.transport)
        return self._delivery

    def _work_on_stream(self, delivery: Delivery, exchange: Exchange) -> Wants:
        endpoint = self._endpoint
        if endpoint.draining and delivery.endless and time.monotonic() >= endpoint.streams_end:
            self._left = True
        if self._left:
            delivery.forsake()
            return CLOSE
        if delivery.error is None:
            return self._follow(delivery, delivery.pull(), exchange)
        return self._fail(delivery, exchange)

    def _fail(self, delivery: Delivery, exchange: Exchange) -> Wants:
        """Answer for a body that could not be made, or leave it unfinished for all to see."""
        started = delivery.started
        error = delivery.error or RuntimeError("the body could not be made")
        answer = exchange.failed(error, started)
        delivery.withdraw()
        if started:
            self._drop(answer)
            return CLOSE
        return self._send(answer, exchange)

    def _refused(self, exchange: Exchange) -> Wants:
        answer = exchange.refusal
        return CLOSE if answer is None else self._send(answer, exchange)

    def _send(self, answer: Answer, exchange: Exchange) -> Wants:
        status, fields, body, _, chunked, close = answer
        now = time.monotonic()
        like, sent_fields, size, sent_status, until, written = self._sent_head
        if (
            fields is sent_fields
            and now < until
            and self._head is like
            and status == sent_status
            and type(body) is bytes
            and len(body) == size
            and not (chunked or close or self._close or self._endpoint.draining)
        ):
            self._status, self._sent = status, size
            return self._send_bytes(written + body, now)
        return self._send_other(answer, exchange, now)

    def _send_other(self, answer: Answer, exchange: Exchange, now: float) -> Wants:
        """Send an answer whose head is not that of the last one."""
        until = http_clock.until  # Looked at before the date, it is never too late for it.
        try:
            head, framing = self._write_head(answer)
        except (TypeError, ValueError) as error:
            self._drop(answer)
            answer = exchange.unsendable(error)
            head, framing = self._write_head(answer)
        body = answer.body
        if not framing.has_body:
            self._drop(answer)
            return self._send_bytes(head, now)
        if isinstance(body, bytes):
            self._sent = len(body)
            if framing.chunked:
                body = chunk(body) + LAST_CHUNK
            if len(body) <= _JOIN_LIMIT:
                if not (self._close or framing.chunked):
                    # The next request is mostly answered likewise.
                    size = self._sent
                    self._sent_head = self._head, answer.fields, size, answer.status, until, head
                return self._send_bytes(head + body, now)
            return self._put(head, body)
        delivery = self._open_delivery()
        if isinstance(body, FileBody):
            delivery.put_file(head, body, framing)
            return self._begin_sending()
        return self._begin_stream(delivery, head, framing, body, exchange)

    def _drop(self, answer: Answer) -> None:
        """Let go of what an answer whose body is not sent holds."""
        if isinstance(answer.body, StreamBody):
            self._endpoint.producers.discard(answer.body)
        elif isinstance(answer.body, FileBody):
            answer.body.close()

    def _put(self, *pieces: Union[bytes, memoryview]) -> Wants:
        """Send what is more than the system takes at once."""
        delivery = self._open_delivery()
        delivery.count(self._sent)
        self._sent = 0
        delivery.put(*pieces)
        return self._begin_sending()

    def _begin_stream(
        self,
        delivery: Delivery,
        head: bytes,
        framing: Framing,
        body: StreamBody,
        exchange: Exchange,
    ) -> Wants:
        endpoint = self._endpoint
        try:
            delivery.begin(head, framing, body, endpoint.producers, lambda: endpoint.tell(self))
        except HTTPError as error:
            return self._send(exchange.failed(error), exchange)
        if body.live or body.asynchronous:
            return AGAIN  # The polling thread waits for what comes.
        return self._follow(delivery, delivery.pull(), exchange)

    def _write_head(self, answer: Answer, by_hand: bool = False) -> tuple[bytes, Framing]:
        status, fields, body, length, chunked, close = answer
        if isinstance(body, FileBody):
            length = body.size
        elif isinstance(body, bytes) and not by_hand:
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
            status, fields, length, chunked, method, minor, self._close, http_clock.date()
        )
        if written[1].close:
            self._close = True
        self._status = status
        return written

    def _send_bytes(self, data: bytes, now: float) -> Wants:
        """Send a whole response at once; what the system does not take goes the longer way."""
        try:
            count = self.transport.send(data) if data else 0
        except OSError:
            return CLOSE
        if count == len(data):
            return self._finish(now)
        return self._put(memoryview(data)[count:])

    def _begin_sending(self) -> Wants:
        now = time.monotonic()
        self.deadline = now + self._endpoint.timeouts.send
        return self._send_on(now)

    def _send_on(self, now: float) -> Wants:
        """Send on; every byte that the client takes gives it a new deadline."""
        delivery = self._open_delivery()
        if self.step == self._send_on and not self._receive_beside(now):
            return self._forsake()
        progress = delivery.advance()
        if progress is Progress.DONE:
            return self._finish(now)
        if progress in (Progress.PULL, Progress.FAILED):
            return WORK
        if progress is Progress.EMPTY:
            return self._await(delivery, now)
        return self._block(delivery, progress, now)

    def _follow(self, delivery: Delivery, progress: Progress, exchange: Exchange) -> Wants:
        """Do what follows when a worker has made a part of a stream."""
        if progress is Progress.DONE:
            return self._finish(time.monotonic())
        if progress is Progress.FAILED:
            return self._fail(delivery, exchange)
        if progress is Progress.GONE:
            delivery.forsake()
            return CLOSE
        return self._block(delivery, progress, time.monotonic())

    def _block(self, delivery: Delivery, progress: Progress, now: float) -> Wants:
        if progress is Progress.GONE:
            return self._forsake()
        if delivery.moved or self.step not in (self._send_on, self._send_file):
            self.deadline = now + self._endpoint.timeouts.send
        self.step = self._send_file if delivery.has_file else self._send_on
        intake = self._intake
        return BOTH if intake is not None and intake.has_room else WRITE

    def _send_file(self, now: float) -> Wants:
        return DISK

    def _await(self, delivery: Delivery, now: float) -> Wants:
        """Wait for what makes the body."""
        wants = self._watch_client(self._await_pieces, now)
        pause = delivery.pause
        self.deadline = now + pause if pause else NEVER
        return wants

    def _await_pieces(self, now: float) -> Wants:
        return self._receive_ahead(now)

    def _watch_client(self, step: Callable[[float], Wants], now: float) -> Wants:
        """Look whether the client stays, while what it waits for is made."""
        self.step = step
        self.deadline = NEVER if self._awaited is None else self._awaited.deadline
        return self._listen(now)

    def _receive_ahead(self, now: float) -> Wants:
        """Take in what comes before a request is answered, the end of the client above all."""
        data = self.transport.receive(RECEIVE_SIZE if self._intake is None else BULK_SIZE)
        if data == b"":
            if self._intake is not None:
                return self._break_off(IncompleteRequest(400, "The request ends in its body."), now)
            return self._forsake()
        if data:
            self._reader.receive(data)  # the body, or the next request, whose turn comes
        return self._listen(now)

    def _listen(self, now: float) -> Wants:
        """Pass on what was received of a body, and say whether more is to be."""
        intake = self._intake
        if intake is None:
            return READ if self._reader.size <= _AHEAD_LIMIT else PARK
        try:
            intake.move(now)
        except HTTPError as error:
            return self._break_off(error, now)
        if intake.complete:
            self._intake = None
            self.deadline = NEVER
            return self._listen(now)
        if self._awaited is not None:  # A client that gets its answer may take its time.
            self.deadline = intake.deadline
            if intake.wanted and not self._invite(intake, now):
                return CLOSE
        return READ if intake.has_room else PARK

    def _invite(self, intake: Intake, now: float) -> bool:
        """Send 100 (Continue); False: it cannot be, though nothing else is on its way."""
        intake.uninvited = False
        self.deadline = now + self._endpoint.timeouts.body
        try:
            return self.transport.send(CONTINUE) == len(CONTINUE)
        except OSError:
            return False

    def _receive_beside(self, now: float) -> bool:
        """Take in more of a body while the response is sent; return whether the client stays."""
        intake = self._intake
        if intake is None or not intake.has_room:
            return True
        data = self.transport.receive(BULK_SIZE)
        if data:
            self._reader.receive(data)
        try:
            intake.move(now)
        except HTTPError:
            return False
        if intake.complete:
            self._intake = None
        return data != b""

    def _break_off(self, error: HTTPError, now: float) -> Wants:
        """Answer for a body that its handler will not get all of, unless an answer has begun."""
        self._intake = None
        awaited, self._awaited = self._awaited, None
        if awaited is None:
            return self._forsake()
        awaited.cancel()
        return self.refuse(error, now)

    def _comes_cheaply(self, intake: Intake) -> bool:
        """Say whether the rest of a body may be read and dropped to save the connection."""
        return not intake.uninvited and intake.missing <= _DRAIN_LIMIT

    def _forsake(self) -> Wants:
        """End with a client that has left; what runs the handler's own code is told so there.

        An iterator is closed by a worker. A coroutine is cancelled, and may be using the connection
        and what was uploaded until it has ended: both stay. So it is with what the main thread
        runs; what it has not begun is dropped.
        """
        pulled = self._delivery is not None and self._delivery.pulled
        if self._awaited is None and not pulled:
            return CLOSE
        self.transport.abort()  # The worker, or the coroutine, may take its time.
        self._left = True
        self.step = _closed
        if self._awaited is None:
            return AGAIN
        self._awaited.cancel()
        return PARK

    def _finish(self, now: float) -> Wants:
        """The response is sent: keep the connection, or end it."""
        self._release(now)
        if self._close:
            unread = not (self._reader.empty and self._reader.body_complete)
            # RFC 9112 9.6: to close over unread bytes is a reset, which may take the answer along.
            lingers = unread or self._head is None or self.transport.receive()
            return self._linger() if lingers else CLOSE
        if self._reader.quiet:
            self._keep(now)
            return READ
        if not self._reader.body_complete:
            self._body_received = 0
            self.deadline = now + self._endpoint.timeouts.body
            return AGAIN
        self._keep(now)
        return READ if self._reader.empty else AGAIN

    def _keep(self, now: float) -> None:
        self._kept = True
        self.deadline = now + self._endpoint.timeouts.keep_alive
        self.step = self._receive_head

    def _linger(self) -> Wants:
        now = time.monotonic()
        self._linger_end = now + _LINGER_TOTAL
        self.deadline = now + self._endpoint.timeouts.linger
        self.transport.end_sending()
        self.step = self._receive_nothing
        return READ

    def _release(self, now: float) -> None:
        """Let go of what belongs to the exchange that is over."""
        exchange = self._spent = self._exchange
        self._exchange = self._intake = None
        status, sent = self._status, self._sent
        self._status = self._sent = 0
        delivery, self._delivery = self._delivery, None
        try:
            if delivery is not None:
                sent += delivery.sent
                delivery.clear()
        finally:
            if exchange is not None:
                if 200 <= status < 300:
                    self._tally.fine += 1
                else:
                    self._tally.count(status)
                exchange.finish(status, sent, now - self._began)

    def close(self) -> None:
        """Close the socket and let go of everything; a second call does nothing."""
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.cancel()
        # Bound methods would keep the connection alive through itself.
        self.step, self._channel = _closed, None
        if self._exchange is None:  # Else the client is to see that something is missing.
            self.transport.take_leave()
        self.transport.close()
        try:
            self._release(time.monotonic())
        finally:
            self._tally.end()
