"""One WebSocket: the protocol between a socket and a session, all of it on the asyncio loop.

After the upgrade the poller lets go of the socket and the loop watches it, so that a message goes
from the socket to the session's coroutine, and its answer back, without a second thread. Thousands
of open sockets cost no thread either. What a session sends goes out at once; what the client does
not take yet waits in memory up to a bound, beyond which the socket is closed with 1013.

Other threads only ask the loop (``Sockets``, ``WebSocketConnection.from_thread``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import HTTPError
from ..exchange import Answer, Exchange, Port, Upgrade
from ..journal import of_port
from ..protocol.deflate import negotiate
from ..protocol.frames import CloseCode
from ..protocol.handshake import switching_protocols
from ..protocol.response import HeadWriter
from ..protocol.websocket import (
    CloseReceived,
    Ping,
    ProtocolFailure,
    WebSocketLimits,
    WebSocketProtocol,
)
from ..tally import Tally
from .clock import http_clock
from .eager import Begun, Failed, Stepper, task_context
from .sockets import Errand, Sockets, SocketSettings, Stopped
from .transport import Transport

if TYPE_CHECKING:
    import asyncio


logger = logging.getLogger("hwebserver.websocket")
app_logger = logging.getLogger("hwebserver.app")

#: Messages, and bytes of them, that wait for a session before no more are read for it.
_INBOX = 32
_INBOX_SIZE = 65536

#: Most pings that are answered of those that come at once.
_PONGS = 16

#: Bytes that wait for a client before ``send`` waits too.
_HIGH_WATER = 65536

#: The code of a connection that has ended without a close frame (RFC 6455 7.1.5).
_ABNORMAL = 1006

#: How late a timer may be before the loop was held up and no client is to be blamed, in seconds.
_LATE = 1.0

Message = Union[str, bytes]
MessageHandler = Callable[[Message], Coroutine[Any, Any, None]]


class _Sent:
    """Awaited by a session that has sent something, until the client has taken enough of it."""

    __slots__ = ("_socket",)

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    def __await__(self) -> Generator[Any, None, None]:
        waiter = self._socket.room()
        if waiter is not None:
            yield from waiter.__await__()


class WebSocketConnection:
    """What ``exchange.SocketChannel`` promises. Its methods belong to the loop, but for two.

    Args:
        transport: The connection.
        upgrade: What the application answered.
        exchange: The exchange of the upgrade, finished when the socket has ended.
        early: What came behind the head of the upgrade.
        sockets: Those of the server.
        settings: The limits and deadlines of those of the port.
        writer: Writes the head of an answer that refuses the upgrade.
        port: The port, for the log.
        tally: What the connection has done so far.
    """

    __slots__ = (
        "_answer",
        "_answer_reason",
        "_began",
        "_begun",
        "_close_sent",
        "_eager",
        "_early",
        "_exchange",
        "_extra",
        "_gone",
        "_half_closing",
        "_heard",
        "_inbox",
        "_inbox_size",
        "_loop",
        "_outgoing",
        "_peer_done",
        "_pong",
        "_pong_end",
        "_protocol",
        "_queued",
        "_reading",
        "_rooms",
        "_sent",
        "_settings",
        "_sockets",
        "_status",
        "_stepper",
        "_taken",
        "_tally",
        "_task",
        "_thread",
        "_timer",
        "_transport",
        "_upgrade",
        "_waiter",
        "_writer",
        "_writing",
        "close_code",
        "close_reason",
    )

    def __init__(
        self,
        transport: Transport,
        upgrade: Upgrade,
        exchange: Exchange,
        early: bytes,
        sockets: Sockets,
        settings: SocketSettings,
        writer: HeadWriter,
        port: Port,
        tally: Tally,
    ) -> None:
        self._transport = transport
        self._upgrade = upgrade
        self._exchange = exchange
        self._early = early
        self._sockets = sockets
        self._settings = settings
        self._writer = writer
        self._extra = of_port(port)
        self._tally = tally
        tally.websocket = True
        self._loop: Any = None
        self._thread = 0
        self._task: Optional[asyncio.Task[None]] = None
        self._protocol: Optional[WebSocketProtocol] = None
        self._inbox: deque[Message] = deque()
        self._inbox_size = 0
        self._stepper: Optional[Stepper] = None
        self._eager: Optional[MessageHandler] = None  # takes messages while the session waits
        self._begun: Union[Begun, Failed, None] = None  # what the session is to go on with
        self._waiter: Optional[asyncio.Future[None]] = None  # of a session that awaits a message
        self._taken = _Sent(self)
        self._outgoing: deque[memoryview] = deque()
        self._queued = 0
        self._rooms: list[asyncio.Future[None]] = []  # of those that await room
        self._reading = self._writing = False
        self._peer_done = False  # nothing more comes from the client
        self._gone = False
        self._close_sent = False
        self._half_closing = False  # nothing more is sent
        self._answer = int(CloseCode.NORMAL)  # the code of our close frame, and its reason
        self._answer_reason = ""
        self._pong: Optional[bytes] = None  # what to answer when the pong before it has gone
        self._pong_end = 0  # how many bytes are sent when it has
        self._timer: Any = None
        self._heard = 0.0
        self._began = time.monotonic()
        self._status = 0
        self._sent = 0
        self.close_code = _ABNORMAL
        self.close_reason = ""

    # --- from any thread ---

    def from_thread(self, function: Callable[..., object], *arguments: object) -> bool:
        """Have the loop call a function; return whether it will."""
        try:
            self._sockets.loop.call(function, *arguments)
        except RuntimeError:
            return False
        return True

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread is the loop's."""
        return threading.get_ident() == self._thread

    async def on_worker(self, function: Callable[[], Any]) -> Any:
        """Have a worker call a function; see ``exchange.SocketChannel``."""
        done = self._loop.create_future()

        def settle(result: Any, error: Optional[BaseException]) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        self._sockets.on_worker(Errand(function, partial(self.from_thread, settle)))
        return await done

    # --- the life of the session ---

    def forget(self) -> None:
        """Close what the child of a fork has of the socket."""
        self._transport.close()

    def begin(self) -> None:
        """Start the session, on the loop."""
        loop = self._sockets.loop
        self._loop = loop.running
        self._thread = threading.get_ident()
        self._timer = self._loop.call_later(self._settings.open_timeout, self._open_too_slow)
        context = task_context()
        self._task = loop.spawn(self._run(), context)
        if context is not None:
            self._stepper = Stepper(self._loop, self._task, context)
        # Cancelled before its first step it would run to no end of its own.
        self._task.add_done_callback(self._leave)

    async def _run(self) -> None:
        try:
            await self._upgrade.run(self)
        except GeneratorExit:
            raise  # The loop is no more.
        except BaseException as error:  # A SystemExit would end the loop for everybody.
            self._conclude(error)
        else:
            self._conclude(None)

    def _conclude(self, error: Optional[BaseException]) -> None:
        """End the connection, since the session has ended."""
        if self._protocol is None and not self._status and not self._gone:
            unanswered = RuntimeError("the session ended before it had accepted the upgrade")
            self.refuse(self._exchange.failed(error or unanswered))
            return
        if error is not None and not self._is_our_doing(error):
            app_logger.error("a WebSocket session failed", exc_info=error, extra=self._extra)
        if self._protocol is not None and not self._gone:
            self.close(self._answer, self._answer_reason)
            if self._peer_done:
                self._half_close()

    def _is_our_doing(self, error: BaseException) -> bool:
        """Whether a session failed because its connection had ended, or because we ended it."""
        from asyncio import CancelledError

        if isinstance(error, CancelledError):
            return self._gone or self._protocol is None
        unanswered = self._gone and self._protocol is None
        return isinstance(error, Stopped) or (unanswered and isinstance(error, ConnectionError))

    def _leave(self, task: asyncio.Task[None]) -> None:
        """Take note that the session has ended."""
        self._task = None
        if self._gone:
            self._sockets.remove(self)

    def _open_too_slow(self) -> None:
        seconds = self._settings.open_timeout
        logger.warning("an upgrade was not accepted in %s s", seconds, extra=self._extra)
        self._give_up("The upgrade was not accepted in time.")

    def _give_up(self, reason: str) -> None:
        """Refuse an upgrade that the session has not answered, and end the session."""
        if not self._status:
            self.refuse(self._exchange.failed(HTTPError(503, reason)))
            if self._task is not None:
                self._task.cancel()

    @property
    def accepted(self) -> bool:
        """Whether the upgrade was accepted."""
        return self._protocol is not None

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        protocol = self._protocol
        return protocol is not None and not self._gone and not self._close_sent

    def accept(self, subprotocol: Optional[str], extra: Iterable[tuple[str, str]]) -> None:
        """Accept the upgrade.

        Raises:
            ValueError: the client does not speak the subprotocol, or a field cannot be sent.
            ConnectionError: the client has left, or the upgrade has been answered.
        """
        if self._gone or self._protocol is not None or self._status:
            raise ConnectionAbortedError("the upgrade cannot be accepted any more")
        extension, params = "", None
        if self._settings.compress:
            extension, params = negotiate(self._upgrade.handshake.extensions)
        fields = (*self._upgrade.fields(), *extra)
        head = switching_protocols(self._upgrade.handshake, subprotocol, extension, fields)
        limits = WebSocketLimits(self._settings.message, self._settings.fragments)
        self._protocol = WebSocketProtocol(limits, params)
        self._answered(101)
        self._write(head)
        self._timer.cancel()
        self._heard = self._loop.time()
        self._schedule_ping()
        early, self._early = self._early, b""
        if early:
            # The session is to see its socket accepted before it sees a message.
            self._loop.call_soon(self._take, early)
        self._read_on()

    def refuse(self, answer: Answer) -> None:
        """Answer the upgrade with something else, and close; a second call does nothing."""
        if self._gone or self._status:
            return
        self._answered(answer.status)
        body = answer.body if isinstance(answer.body, bytes) else b""
        self._timer.cancel()
        head, _ = self._writer.head(
            answer.status, answer.fields, len(body), False, "GET", 1, True, http_clock.date()
        )
        self._write(head + body)
        self._half_close()

    async def serve(self, handle: MessageHandler) -> None:
        """Have a coroutine take each message, one after the other, until there will be none."""
        while True:
            while self._inbox:
                await handle(self._pop())
            if self._peer_done or self._gone:
                return
            await self._arrival(handle)

    async def _arrival(self, handle: MessageHandler) -> None:
        """Wait until something has come, and for what ``_hand_on`` has begun."""
        self._eager = handle if self._stepper is not None else None
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except BaseException as error:
            if self._begun is None:
                raise
            self._begun.throw(error)  # It was meant for what the session does.
        finally:
            self._eager = None
        begun, self._begun = self._begun, None
        if begun is not None:
            await begun

    def _hand_on(self) -> None:
        """Have what takes messages take those that have come, or wake the session for that."""
        handle, stepper = self._eager, self._stepper
        if handle is None or stepper is None:
            self._wake()
            return
        while self._inbox:
            self._begun = stepper.begin(handle, self._pop())
            if self._begun is not None:
                self._eager = None
                self._wake()
                return

    def _answered(self, status: int) -> None:
        self._status = status
        self._tally.count(status)

    async def receive(self) -> Optional[Message]:
        """Return the next message; None: there will be none."""
        while not self._inbox:
            if self._peer_done or self._gone:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._pop()

    def _pop(self) -> Message:
        message = self._inbox.popleft()
        self._inbox_size -= len(message)
        if not self._reading and self._room_for_more(2):
            self._read_on()
        return message

    def _room_for_more(self, parts: int) -> bool:
        """Whether no more than a part of what may wait for the session does."""
        return len(self._inbox) <= _INBOX // parts and self._inbox_size <= _INBOX_SIZE // parts

    def send(self, data: Message) -> _Sent:
        """Send a message, and return what waits until the client has taken enough.

        Raises:
            ConnectionError: the socket is closed.
        """
        protocol = self._protocol
        if protocol is None or self._gone or self._close_sent:
            raise ConnectionAbortedError("the WebSocket is not open")
        # What is being sent does not count: a client may be at a long message, and read it.
        if self._outgoing and self._queued - len(self._outgoing[0]) > self._settings.queue:
            logger.warning("a WebSocket is closed: its client does not read", extra=self._extra)
            self.end_session(CloseCode.TRY_AGAIN_LATER, "the client does not read")
            raise ConnectionAbortedError("the client of the WebSocket does not read")
        if isinstance(data, str):
            self._write(protocol.send_text(data))
        else:
            self._write(protocol.send_binary(data))
        return self._taken

    def room(self) -> Optional[asyncio.Future[None]]:
        """Return what is done when the client has taken enough; None: it has."""
        if self._queued <= _HIGH_WATER or self._gone:
            return None
        # One for each who waits: to cancel one is not to cancel the others.
        room: asyncio.Future[None] = self._loop.create_future()
        self._rooms.append(room)
        return room

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        await self._taken

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; a second call does nothing.

        Raises:
            ValueError: no close frame can carry the code or the reason.
        """
        protocol = self._protocol
        if protocol is None or self._gone:
            return
        frame = protocol.close(code, reason)
        if not frame:
            return
        self._close_sent = True
        if not self._peer_done:
            self.close_code, self.close_reason = int(code), reason
        self._write(frame)
        self._limit_closing()

    def end_session(self, code: int, reason: str) -> None:
        """Close the socket, and have its session end when it awaits a message."""
        if self._protocol is None:
            self._give_up(f"The upgrade is refused: {reason}.")
            return
        self.close(code, reason)
        self._end_input(code, reason)

    # --- reading ---

    def _read_on(self) -> None:
        if not self._reading and not self._peer_done and not self._gone:
            self._reading = True
            self._loop.add_reader(self._transport.fileno(), self._readable)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._transport.fileno())

    def _readable(self) -> None:
        data = self._transport.receive()
        if data:
            self._heard = self._loop.time()
            if not self._half_closing:
                self._take(data)
        elif data is not None:
            self.abort()

    def _take(self, data: bytes) -> None:
        """Work on what has come."""
        protocol = self._protocol
        if protocol is None or self._gone:
            return
        pings: list[bytes] = []
        for event in protocol.receive(data):
            if isinstance(event, (str, bytes)):
                self._inbox.append(event)
                self._inbox_size += len(event)
            elif isinstance(event, Ping):
                pings.append(event.payload)
            elif isinstance(event, CloseReceived):
                self._end_input(event.code, event.reason)
            elif isinstance(event, ProtocolFailure):
                logger.warning(
                    "a WebSocket is closed with %d: %s",
                    event.code,
                    event.reason,
                    extra=self._extra,
                )
                self._answer_reason = event.reason
                self._end_input(event.code, event.reason)
        if pings:
            self._answer_pings(pings)
        if self._peer_done:
            if not self.open:  # our close frame has gone: the handshake is complete
                self._half_close()
            return
        if self._inbox:
            self._hand_on()
        if not self._room_for_more(1):
            self._stop_reading()

    def _answer_pings(self, payloads: list[bytes]) -> None:
        """Send pongs; of many only the last ones (RFC 6455 5.5.3), so pings fill no memory.

        While earlier pongs wait for the client, one that answers all pings behind them waits too.
        """
        protocol = self._protocol
        if protocol is None or self._sent < self._pong_end:
            self._pong = payloads[-1]
            return
        self._write(b"".join(map(protocol.pong, payloads[-_PONGS:])))
        self._pong_end = self._sent + self._queued

    def _end_input(self, code: int, reason: str) -> None:
        """Take note that no message comes any more.

        The session first sees what came before, and its answers go out before our close frame.

        Args:
            code: Why, for the session and in our close frame.
            reason: Why, for people.
        """
        if not self._peer_done:
            self._peer_done = True
            self._answer = code
            if self.open:
                self.close_code, self.close_reason = int(code), reason
            self._limit_closing()
        self._wake()

    def _wake(self) -> None:
        """Wake a session that awaits a message."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- writing ---

    def _write(self, data: bytes) -> None:
        """Send bytes; what the system does not take now waits."""
        if self._gone or not data:
            return
        count = 0
        if not self._outgoing:
            try:
                count = self._transport.send(data)
            except OSError:
                self._loop.call_soon(self.abort)  # its caller is in the middle of something
                return
            self._sent += count
        if count < len(data):
            self._outgoing.append(memoryview(data)[count:])
            self._queued += len(data) - count
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._transport.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            while self._outgoing:
                count = self._transport.send(self._outgoing[0], len(self._outgoing) > 1)
                if not count:
                    break
                self._sent += count
                self._queued -= count
                rest = self._outgoing[0][count:]
                if rest:
                    self._outgoing[0] = rest
                    break
                self._outgoing.popleft()
        except OSError:
            self.abort()
            return
        self._heard = self._loop.time()  # What it takes is a sign of life, like what it sends.
        if self._pong is not None and self._sent >= self._pong_end:
            payload, self._pong = self._pong, None
            self._answer_pings([payload])
        if self._queued <= _HIGH_WATER:
            self._let_senders_go()
        if not self._outgoing:
            self._stop_writing()
            if self._half_closing:
                self._transport.end_sending()

    def _let_senders_go(self) -> None:
        rooms, self._rooms = self._rooms, []
        for room in rooms:
            if not room.done():
                room.set_result(None)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._transport.fileno())

    # --- deadlines ---

    def _set_timer(self, seconds: float, function: Callable[..., None], *arguments: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, function, *arguments)

    def _schedule_ping(self) -> None:
        interval = self._settings.ping_interval
        if interval:
            self._set_timer(max(0.0, self._heard + interval - self._loop.time()), self._ping)

    def _ping(self) -> None:
        """Send a ping when nothing was heard for a while; whatever comes then is an answer."""
        protocol, now = self._protocol, self._loop.time()
        if protocol is None or not self.open:
            return
        if now < self._heard + self._settings.ping_interval:
            self._schedule_ping()
            return
        self._write(protocol.ping())
        self._await_life(now, now + self._settings.ping_timeout)

    def _await_life(self, pinged: float, due: float) -> None:
        """Look again when the time is up, or when the next ping may be due."""
        left = due - self._loop.time()
        self._set_timer(min(left, self._settings.ping_interval), self._expect, pinged, due)

    def _expect(self, pinged: float, due: float) -> None:
        """Give up a client that nothing was heard of since a ping."""
        now = self._loop.time()
        if not self._reading:
            self._heard = now  # It is we who do not listen: the session is behind.
        if self._heard >= pinged:
            self._schedule_ping()
        elif now < due:
            self._await_life(pinged, due)
        elif now - due > _LATE:
            # The loop was held up, and what has come may still wait in the socket.
            self._await_life(pinged, now + self._settings.ping_timeout)
        else:
            logger.info(
                "a WebSocket is closed: its client does not answer pings", extra=self._extra
            )
            self.abort()

    def _limit_closing(self) -> None:
        if not self._gone:
            self._set_timer(self._settings.close_timeout, self.abort)

    # --- the end ---

    def _half_close(self) -> None:
        """Say that nothing more comes, and let the client close the connection first.

        To close over bytes that it still sends would be a reset, which may take our last ones
        along.
        """
        self._half_closing = True
        self._limit_closing()
        if not self._outgoing:
            self._transport.end_sending()
        if not self._reading and not self._gone:
            self._reading = True
            self._loop.add_reader(self._transport.fileno(), self._readable)

    def abort(self) -> None:
        """End the connection at once; a second call does nothing."""
        if self._gone:
            return
        self._stop_reading()
        self._stop_writing()
        self._gone = self._peer_done = True
        if self._timer is not None:
            self._timer.cancel()
        self._outgoing.clear()
        self._queued = 0
        self._wake()
        self._let_senders_go()
        self._transport.close()
        if not self._status:
            self._answered(0)
        self._tally.end()
        self._exchange.finish(self._status, self._sent, time.monotonic() - self._began)
        if self._task is None:
            self._sockets.remove(self)
        elif self._protocol is None:
            self._task.cancel()  # It has yet to accept: there is nothing left to do for it.
