"""WebSockets of this server's classes in another ASGI server.

What a session calls takes effect at once, in the order of its calls; ASGI has coroutines for the
same. So there is a queue between them, and a task that empties it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import HTTPError
from ..exchange import Answer, Upgrade
from ..protocol.http1 import Limits, RequestHead
from ..protocol.response import Line
from .application import Application, Exchange
from .asgi_scope import bytes_of, connection_info, read_head
from .lifespan import Event

if TYPE_CHECKING:
    import asyncio

Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

#: Bytes that wait for the server before ``send`` waits too.
_HIGH_WATER = 65536

#: RFC 6455 7.4.1.
_INTERNAL_ERROR = 1011
_TRY_AGAIN_LATER = 1013

_ABNORMAL = 1006


async def serve_socket(
    application: Application,
    limits: Limits,
    queue: int,
    on_worker: Callable[..., Awaitable[Any]],
    scope: Event,
    receive: Receive,
    send: Send,
) -> None:
    """Serve a WebSocket of another server.

    Args:
        application: What answers.
        limits: What the request for the upgrade may cost.
        queue: Bytes that may wait for the client.
        on_worker: Calls a function that may block on a thread.
        scope: What the server tells of the upgrade.
        receive: Gives the events of the server.
        send: Takes ours.
    """
    if (await receive())["type"] != "websocket.connect":
        return
    info = connection_info(scope)
    head: Optional[RequestHead] = None
    try:
        head = read_head(scope, limits)
        exchange = application.open(head, info)
    except HTTPError as error:
        exchange = application.refuse(error, head, info)
    channel = SessionChannel(exchange, on_worker, queue, scope, receive, send)
    answer: Any = exchange.refusal
    if answer is None:
        answer = await on_worker(exchange.respond, _NoChannel())
    if isinstance(answer, Upgrade):
        await channel.run(answer)
        return
    try:
        channel.refuse(answer)
        if not isinstance(answer.body, bytes):
            await on_worker(answer.body.close)  # A filter's: what refuses an upgrade is short.
        await channel.flush()
    finally:
        channel.finish()


class _NoChannel:
    """Where no response is sent by hand: that to an upgrade."""

    def start(self, answer: Answer) -> None:
        """See ``exchange.Channel``."""
        raise ConnectionAbortedError("an upgrade is answered by its session")

    def write(self, data: bytes) -> None:
        """See ``exchange.Channel``."""
        raise ConnectionAbortedError("an upgrade is answered by its session")

    def abort(self) -> None:
        """See ``exchange.Channel``."""


class SessionChannel:
    """What ``exchange.SocketChannel`` promises, over the events of ASGI.

    Args:
        exchange: That of the upgrade.
        on_worker: Calls a function that may block on a thread.
        queue: Bytes that may wait for the client.
        scope: What the server tells of the upgrade.
        receive: Gives the events of the server.
        send: Takes ours.
    """

    def __init__(
        self,
        exchange: Exchange,
        on_worker: Callable[..., Awaitable[Any]],
        queue: int,
        scope: Event,
        receive: Receive,
        send: Send,
    ) -> None:
        import asyncio

        self._exchange = exchange
        self._on_worker = on_worker
        self._most = queue
        self._offered = tuple(scope.get("subprotocols") or ())
        self._responds = "websocket.http.response" in (scope.get("extensions") or {})
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._events: deque[tuple[Event, int]] = deque()
        self._queued = 0
        self._sending = 0  # bytes of what is with the server
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._answered = self._accepted = False
        self._status = 0
        self._began = time.monotonic()
        self._close_sent = self._gone = self._peer_done = False
        self._sent = 0
        self._fields: Callable[[], tuple[Line, ...]] = tuple  # of the answer that accepts it
        self.close_code = _ABNORMAL
        self.close_reason = ""

    async def run(self, upgrade: Upgrade) -> None:
        """Run a session to its end."""
        self._fields = upgrade.fields
        sender = self._loop.create_task(self._send_on())
        try:
            await upgrade.run(self)
            if not self._answered:
                error = RuntimeError("the session ended before it had accepted the upgrade")
                self.refuse(self._exchange.failed(error))
            elif self._accepted and self.open:
                self.close(1000)
        except Exception as error:
            answer = self._exchange.failed(error)
            if self._accepted:
                self.close(_INTERNAL_ERROR)
            elif not self._answered:
                self.refuse(answer)
        finally:
            self._events.append(({}, 0))  # the end
            self._news.set()
            await sender
            self.finish()

    def finish(self) -> None:
        """Log the socket, and let go of what it holds."""
        self._exchange.finish(self._status, self._sent, time.monotonic() - self._began)

    # --- what goes out ---

    def _put(self, event: Event, size: int = 0) -> None:
        self._events.append((event, size))
        self._queued += size
        if self._queued > _HIGH_WATER:
            self._room.clear()
        self._news.set()

    async def _send_on(self) -> None:
        """Hand events to the server, until there will be none."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._events:
                event, size = self._events.popleft()
                if not event:
                    return
                await self._hand_over(event, size)

    async def flush(self) -> None:
        """Hand what waits to the server."""
        while self._events:
            await self._hand_over(*self._events.popleft())

    async def _hand_over(self, event: Event, size: int) -> None:
        self._sending = size
        if not self._gone:
            try:
                await self._send(event)
                self._sent += size
            except Exception:
                self._gone = True  # Servers raise what they like when the client has left.
        self._queued -= size
        self._sending = 0
        if self._queued <= _HIGH_WATER or self._gone:
            self._room.set()

    # --- for the session ---

    @property
    def accepted(self) -> bool:
        """Whether the upgrade was accepted."""
        return self._accepted

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._accepted and not (self._close_sent or self._gone or self._peer_done)

    def accept(self, subprotocol: Optional[str], extra: Iterable[Line]) -> None:
        """Accept the upgrade; see ``exchange.SocketChannel``."""
        if self._answered or self._gone:
            raise ConnectionAbortedError("the upgrade cannot be accepted any more")
        if subprotocol is not None and subprotocol not in self._offered:
            raise ValueError(f"the client does not offer the subprotocol {subprotocol!r}")
        self._answered = self._accepted = True
        self._status = 101
        headers = bytes_of((*self._fields(), *extra))
        event = {"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}
        self._put(event)

    def refuse(self, answer: Answer) -> None:
        """Answer the upgrade with something else; see ``exchange.SocketChannel``."""
        if self._answered or self._gone:
            return
        self._answered = True
        self._status = int(answer.status)
        if not self._responds:
            self._put({"type": "websocket.close"})
            return
        body = answer.body if isinstance(answer.body, bytes) else b""
        headers = bytes_of((*answer.fields, ("content-length", str(len(body)))))
        kind = "websocket.http.response"
        self._put({"type": f"{kind}.start", "status": int(answer.status), "headers": headers})
        self._put({"type": f"{kind}.body", "body": body})

    async def serve(self, handle: Callable[[Union[str, bytes]], Coroutine[Any, Any, None]]) -> None:
        """Have a coroutine take each message, one after the other, until there will be none."""
        message = await self.receive()
        while message is not None:
            await handle(message)
            message = await self.receive()

    async def receive(self) -> Union[str, bytes, None]:
        """Return the next message; None: there will be none."""
        while not self._peer_done:
            event = await self._receive()
            if event["type"] == "websocket.receive":
                text: Optional[str] = event.get("text")
                data: Optional[bytes] = event.get("bytes")
                return data if text is None else text
            if event["type"] == "websocket.disconnect":
                self._peer_done = True
                self.close_code = event.get("code") or 1005
                self.close_reason = event.get("reason") or ""
        return None

    def send(self, data: Union[str, bytes]) -> Awaitable[None]:
        """Send a message; see ``exchange.SocketChannel``."""
        if not self.open:
            raise ConnectionAbortedError("the WebSocket is not open")
        # What is being sent does not count: a client may be at a long message, and read it.
        if self._queued - self._sending > self._most:
            self.close(_TRY_AGAIN_LATER, "the client does not read")
            raise ConnectionAbortedError("the client of the WebSocket does not read")
        kind = "text" if isinstance(data, str) else "bytes"
        self._put({"type": "websocket.send", kind: data}, len(data))
        return _Sent(self._room)

    async def drain(self) -> None:
        """Wait until the server has taken enough of what was sent."""
        await self._room.wait()

    def close(self, code: int, reason: str = "") -> None:
        """Close the socket; a second call does nothing."""
        if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
            raise ValueError(f"a close frame cannot carry the code {code!r}")
        if len(reason.encode()) > 123:
            raise ValueError("the reason of a close frame is at most 123 bytes")
        if not self.open:
            return
        self._close_sent = True
        self.close_code, self.close_reason = code, reason
        self._put({"type": "websocket.close", "code": code, "reason": reason})

    def from_thread(self, function: Callable[..., object], *arguments: object) -> bool:
        """Have the loop call a function; return whether it will."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread is the loop's."""
        return threading.get_ident() == self._thread

    async def on_worker(self, function: Callable[[], Any]) -> Any:
        """Have a worker call a function that may block, and return what it returns."""
        return await self._on_worker(function)


class _Sent:
    """Awaited by a session that has sent something, until the server has taken enough of it."""

    __slots__ = ("_room",)

    def __init__(self, room: asyncio.Event) -> None:
        self._room = room

    def __await__(self) -> Generator[Any, None, None]:
        if not self._room.is_set():
            yield from self._room.wait().__await__()
