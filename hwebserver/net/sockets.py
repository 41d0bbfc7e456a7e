"""The WebSockets of a server, whose connections are made where ``websocket`` is imported first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

if TYPE_CHECKING:
    from .loop import Loop
    from .websocket import WebSocketConnection


class SocketSettings(NamedTuple):
    """The limits and deadlines of WebSockets; the settings of the same names describe them."""

    message: int = 16 << 20
    fragments: int = 65536
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

    Attributes:
        on_worker: Has a worker run an errand; set by the pool.
        on_end: Called when a socket has ended.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.on_worker: Callable[[Errand], None] = lambda errand: errand.run()
        self.on_end: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._open: set[WebSocketConnection] = set()
        self._closing = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self._open)

    def begin(self, socket: WebSocketConnection) -> None:
        """Take a socket whose upgrade was asked for; any thread may call this.

        Raises:
            RuntimeError: the loop cannot run.
        """
        with self._lock:
            self._open.add(socket)
        try:
            self.loop.call(socket.begin)
        except RuntimeError:
            self.remove(socket)
            raise
        if self._closing:  # It was asked for just before.
            self._close(socket)

    def remove(self, socket: WebSocketConnection) -> None:
        """Forget a socket that has ended."""
        with self._lock:
            self._open.discard(socket)
        self.on_end()

    def close_all(self) -> None:
        """Close every socket, since the server stops; any thread may call this."""
        self._closing = True
        for socket in self._snapshot():
            self._close(socket)

    def _close(self, socket: WebSocketConnection) -> None:
        from ..protocol.frames import CloseCode

        socket.from_thread(socket.end_session, CloseCode.GOING_AWAY, "the server stops")

    def forget(self) -> None:
        """Close what the child of a fork has of the sockets; see ``Poller.forget``."""
        for socket in list(self._open):
            socket.forget()

    def abort_all(self) -> None:
        """End every connection at once, since the server has stopped."""
        for socket in self._snapshot():
            socket.from_thread(socket.abort)

    def _snapshot(self) -> list[WebSocketConnection]:
        with self._lock:
            return list(self._open)


class Stopped(ConnectionAbortedError):
    """No worker can be had, since the server has stopped."""

    def __init__(self) -> None:
        super().__init__("the server has stopped")


class Errand:
    """A function that a worker is to call, for a coroutine that waits for what it returns.

    Args:
        function: The function.
        conclude: Called with what it returned, or what it raised.
    """

    __slots__ = ("_conclude", "_function")

    def __init__(
        self,
        function: Callable[[], Any],
        conclude: Callable[[Any, Optional[BaseException]], object],
    ) -> None:
        self._function = function
        self._conclude = conclude

    def run(self) -> None:
        """Call the function; raises nothing."""
        result, error = None, None
        try:
            result = self._function()
        except BaseException as raised:
            error = raised
        self._conclude(result, error)
