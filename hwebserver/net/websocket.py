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
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from ..exchange import Answer, Exchange, Upgrade
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
from .clock import http_date
from .transport import Transport

if TYPE_CHECKING:
    import asyncio

    from .loop import LoopThread

logger = logging.getLogger("hwebserver.websocket")

#: Messages that wait for a session before no more are read for it.
_INBOX = 32

#: Bytes that wait for a client before ``send`` waits too.
_HIGH_WATER = 65536

#: The code of a connection that has ended without a close frame (RFC 6455 7.1.5).
_ABNORMAL = 1006

#: How late a timer may be before the loop was held up and no client is to be blamed, in seconds.
_LATE = 1.0

Message = Union[str, bytes]


class SocketSettings(NamedTuple):
    """The limits and deadlines of WebSockets; the settings of the same names describe them."""

    limits: WebSocketLimits = WebSocketLimits()
    compress: bool = True
    queue: int = 1 << 20
    open_timeout: float = 10.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 10.0


class Sockets:
    """The WebSockets of a running server.

    Args:
        loop: Where they live.
        settings: Their limits and deadlines.

    Attributes:
        on_worker: Has a worker call a function; set by the pool.
        on_end: Called when a socket has ended.
    """

    def __init__(self, loop: LoopThread, settings: SocketSettings) -> None:
        self.loop = loop
        self.settings = settings
        self.on_worker: Callable[[Callable[[], None]], None] = lambda function: function()
        self.on_end: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._open: set[WebSocketConnection] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._open)

    def begin(self, socket: WebSocketConnection) -> None:
        """Take a socket whose upgrade was asked for; any thread may call this.

        Raises:
            RuntimeError: the loop cannot run.
        """
        loop = self.loop.start()
        if not hasattr(loop, "add_reader"):
            raise RuntimeError("this asyncio loop watches no sockets")
        with self._lock:
            self._open.add(socket)
        try:
            loop.call_soon_threadsafe(socket.begin, loop)
        except RuntimeError:
            self.remove(socket)
            raise

    def remove(self, socket: WebSocketConnection) -> None:
        """Forget a socket that has ended."""
        with self._lock:
            self._open.discard(socket)
        self.on_end()

    def close_all(self) -> None:
        """Close every socket, since the server stops; any thread may call this."""
        for socket in self._snapshot():
            socket.from_thread(socket.end_session, CloseCode.GOING_AWAY, "the server stops")

    def abort_all(self) -> None:
        """End every connection at once, since the server has stopped."""
        for socket in self._snapshot():
            socket.from_thread(socket.abort)

    def _snapshot(self) -> list[WebSocketConnection]:
        with self._lock:
            return list(self._open)


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
        writer: Writes the head of an answer that refuses the upgrade.
    """

    def __init__(
        self,
        transport: Transport,
        upgrade: Upgrade,
        exchange: Exchange,
        early: bytes,
        sockets: Sockets,
        writer: HeadWriter,
    ) -> None:
        self._transport = transport
        self._upgrade = upgrade
        self._exchange = exchange
        self._early = early
        self._sockets = sockets
        self._settings = sockets.settings
        self._writer = writer
        self._loop: Any = None
        self._task: Optional[asyncio.Task[None]] = None
        self._protocol: Optional[WebSocketProtocol] = None
        self._inbox: deque[Message] = deque()
        self._waiter: Optional[asyncio.Future[None]] = None  # of a session that awaits a message
        self._outgoing: deque[memoryview] = deque()
        self._queued = 0
        self._room: Optional[asyncio.Future[None]] = None  # of a session that awaits room
        self._reading = self._writing = False
        self._peer_done = False  # nothing more comes from the client
        self._gone = False
        self._close_sent = False
        self._half_closing = False  # nothing more is sent
        self._answer = int(CloseCode.NORMAL)  # the code of our close frame
        self._timer: Any = None
        self._heard = 0.0
        self._began = time.monotonic()
        self._status = 0
        self._sent = 0
        self.close_code = _ABNORMAL
        self.close_reason = ""

    # --- from any thread ---

    def from_thread(self, function: Callable[..., object], *arguments: object) -> None:
        """Have the loop call a method; does nothing when the loop has ended."""
        loop = self._sockets.loop
        try:
            loop.start().call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread is the loop's."""
        return self._sockets.loop.is_current

    async def on_worker(self, function: Callable[[], Any]) -> Any:
        """Have a worker call a function; see ``exchange.SocketChannel``."""
        loop = self._loop
        done = loop.create_future()

        def conclude(result: Any, error: Optional[BaseException]) -> None:
            if not done.done():
                if error is None:
                    done.set_result(result)
                else:
                    done.set_exception(error)

        def errand() -> None:
            result, error = None, None
            try:
                result = function()
            except BaseException as raised:
                error = raised
            self.from_thread(conclude, result, error)

        self._sockets.on_worker(errand)
        return await done

    # --- the life of the session ---

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the session, on the loop."""
        self._loop = loop
        self._timer = loop.call_later(self._settings.open_timeout, self._open_too_slow)
        self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._upgrade.run(self)
        except Exception:
            logger.exception("a WebSocket session failed")
            self._answer = int(CloseCode.INTERNAL_ERROR)
        if self._gone:
            return
        if self._protocol is None:
            if not self._status:
                error = RuntimeError("the session ended before it had accepted the upgrade")
                self.refuse(self._exchange.failed(error))
            return
        self.close(self._answer)
        if self._peer_done:
            self._half_close()

    def _open_too_slow(self) -> None:
        logger.warning("an upgrade was not accepted in %s s", self._settings.open_timeout)
        self.abort()

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
        head = switching_protocols(self._upgrade.handshake, subprotocol, extension, extra)
        self._protocol = WebSocketProtocol(self._settings.limits, params)
        self._status = 101
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
        """Answer the upgrade with something else, and close.

        Raises:
            ConnectionError: the client has left, or the upgrade has been answered.
        """
        if self._gone or self._status:
            raise ConnectionAbortedError("the upgrade cannot be refused any more")
        self._status = answer.status
        body = answer.body if isinstance(answer.body, bytes) else b""
        self._timer.cancel()
        head, _ = self._writer.head(
            answer.status, answer.fields, len(body), False, "GET", 1, True, http_date()
        )
        self._write(head + body)
        self._half_close()

    async def receive(self) -> Optional[Message]:
        """Return the next message; None: there will be none."""
        while not self._inbox:
            if self._peer_done or self._gone:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter
        message = self._inbox.popleft()
        if not self._reading and len(self._inbox) <= _INBOX // 2:
            self._read_on()
        return message

    def send(self, data: Message) -> _Sent:
        """Send a message, and return what waits until the client has taken enough.

        Raises:
            ConnectionError: the socket is closed.
        """
        protocol = self._protocol
        if protocol is None or self._gone or self._close_sent:
            raise ConnectionAbortedError("the WebSocket is not open")
        if self._queued > self._settings.queue:
            logger.warning("a WebSocket is closed: its client does not read")
            self.end_session(CloseCode.TRY_AGAIN_LATER, "the client does not read")
            raise ConnectionAbortedError("the client of the WebSocket does not read")
        if isinstance(data, str):
            self._write(protocol.send_text(data))
        else:
            self._write(protocol.send_binary(data))
        return _Sent(self)

    def room(self) -> Optional[asyncio.Future[None]]:
        """Return what is done when the client has taken enough; None: it has."""
        if self._queued <= _HIGH_WATER or self._gone:
            return None
        if self._room is None:
            self._room = self._loop.create_future()
        return self._room

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
            self.close_code, self.close_reason = code, reason
        self._write(frame)
        self._limit_closing()

    def end_session(self, code: int, reason: str) -> None:
        """Close the socket, and have its session end when it awaits a message."""
        if self._protocol is None:
            self.abort()
            return
        self.close(code, reason)
        self._end_input(code, reason, code)

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
        ping: Optional[Ping] = None
        for event in protocol.receive(data):
            if isinstance(event, (str, bytes)):
                self._inbox.append(event)
            elif isinstance(event, Ping):
                ping = event  # Of several the last is answered (RFC 6455 5.5.3).
            elif isinstance(event, CloseReceived):
                self._end_input(event.code, event.reason, event.code)
            elif isinstance(event, ProtocolFailure):
                logger.warning("a WebSocket is closed with %d: %s", event.code, event.reason)
                self._end_input(event.code, event.reason, event.code)
        if ping is not None:
            self._write(protocol.pong(ping.payload))
        if self._peer_done:
            if not self.open:  # our close frame has gone: the handshake is complete
                self._half_close()
            return
        if self._inbox:
            self._wake()
        if len(self._inbox) > _INBOX:
            self._stop_reading()

    def _end_input(self, code: int, reason: str, answer: int) -> None:
        """Take note that no message comes any more.

        The session first sees what came before, and its answers go out before our close frame.

        Args:
            code: Why, for the session.
            reason: Why, for people.
            answer: The code of our close frame.
        """
        if not self._peer_done:
            self._peer_done = True
            self._answer = answer
            if self.open:
                self.close_code, self.close_reason = code, reason
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
        rest = memoryview(data)
        if not self._outgoing:
            try:
                count = self._transport.send(rest)
            except OSError:
                self._loop.call_soon(self.abort)  # its caller is in the middle of something
                return
            self._sent += count
            rest = rest[count:]
        if rest:
            self._outgoing.append(rest)
            self._queued += len(rest)
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
        room = self._room
        if room is not None and self._queued <= _HIGH_WATER:
            self._room = None
            if not room.done():
                room.set_result(None)
        if not self._outgoing:
            self._stop_writing()
            if self._half_closing:
                self._transport.end_sending()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._transport.fileno())

    # --- deadlines ---

    def _set_timer(self, seconds: float, function: Callable[..., None], *arguments: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, function, *arguments) if seconds else None

    def _schedule_ping(self) -> None:
        interval = self._settings.ping_interval
        self._set_timer(interval, self._ping, self._loop.time() + interval)

    def _ping(self, due: float) -> None:
        """Send a ping when nothing was heard for a while; whatever comes then is an answer."""
        protocol, now = self._protocol, self._loop.time()
        if protocol is None or not self.open:
            return
        if now - self._heard < self._settings.ping_interval - _LATE:
            self._schedule_ping()
            return
        self._write(protocol.ping())
        patience = self._settings.ping_timeout
        self._set_timer(patience, self._expect, now, now + patience)

    def _expect(self, pinged: float, due: float) -> None:
        """Give up a client that nothing was heard of since a ping."""
        now = self._loop.time()
        if self._heard < pinged and not self._reading:
            self._heard = now  # It is we who do not listen: the session is behind.
        if self._heard >= pinged:
            self._schedule_ping()
        elif now - due > _LATE:
            # The loop was held up, and what has come may still wait in the socket.
            self._set_timer(self._settings.ping_timeout, self._expect, pinged, now)
        else:
            logger.info("a WebSocket is closed: its client does not answer pings")
            self.abort()

    def _limit_closing(self) -> None:
        if not self._gone:
            self._set_timer(self._settings.close_timeout or 0.001, self.abort)

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
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._protocol is None and self._task is not None:
            self._task.cancel()  # It has yet to accept: there is nothing left to do for it.
        self._transport.close()
        self._exchange.finish(self._status, self._sent, time.monotonic() - self._began)
        self._sockets.remove(self)
