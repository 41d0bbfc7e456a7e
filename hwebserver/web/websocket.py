"""WebSockets as a program sees them: a class, of which each upgrade makes an instance.

Both generations of the vendor's signatures are understood: ``connect(self, req)`` and
``receive(self, text_data, bytes_data)``, and the older ``connect(self)`` and
``receive(self, message)``. Methods may be coroutine functions, which run on the asyncio loop, or
plain functions, which run on a worker. ``accept``, ``send`` and ``close`` do what they say when
they are called; what they return is awaited by coroutines, for the client to keep up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from functools import partial
from typing import Any, Optional, Union

from ..errors import OperationFailed
from ..exchange import Answer, SocketChannel
from .request import Request

logger = logging.getLogger("hwebserver.websocket")

#: How long a call from another thread waits for the loop, in seconds: as long as one that is held
#: up may take to come back.
_LOOP_PATIENCE = 60.0


class _Done:
    """What there is to await when nothing is."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_DONE = _Done()


class WebSocket:
    """One WebSocket; override ``connect``, ``receive`` and ``disconnect``.

    The class is registered by ``webSocket``, and an instance made, without arguments, for each
    upgrade.
    """

    _channel: Optional[SocketChannel] = None
    _refusal: Optional[Answer] = None
    _on_accept: Optional[Callable[[], None]] = None

    async def connect(self, req: Request) -> None:
        """Accept the upgrade, or refuse it by ``close``.

        Args:
            req: The request for the upgrade.
        """
        await self.accept()

    async def receive(
        self, text_data: Optional[str] = None, bytes_data: Optional[bytes] = None
    ) -> None:
        """Take a message; the next one comes when this has returned.

        Args:
            text_data: The message if it is text.
            bytes_data: The message if it is binary.
        """

    async def disconnect(self, code: int) -> None:
        """Take note that the socket is closed.

        Args:
            code: The close code; 1005: the client gave none; 1006: it left without a word.
        """

    def accept(
        self, subprotocol: Optional[str] = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Awaitable[None]:
        """Accept the upgrade.

        Args:
            subprotocol: The one to speak, of those that the client offers.
            headers: Fields to add to the answer.

        Raises:
            ValueError: the client does not offer the subprotocol, or a field cannot be sent.
            ConnectionError: the client has left.
        """
        return self._do(self._accept, subprotocol, tuple(headers))

    def _accept(self, subprotocol: Optional[str], headers: tuple[tuple[str, str], ...]) -> None:
        self._socket.accept(subprotocol, headers)
        if self._on_accept is not None:
            self._on_accept()

    def send(
        self, data: Union[str, bytes, bytearray, memoryview, None], is_binary: Optional[bool] = None
    ) -> Awaitable[None]:
        """Send a message.

        Args:
            data: Text or bytes; None is no message.
            is_binary: Whether it is sent as a binary message; None: by its type.

        Returns:
            What a coroutine awaits until the client has taken enough of it.

        Raises:
            TypeError: it is neither text nor bytes.
            ConnectionError: the socket is closed.
        """
        if data is None:
            return _DONE
        message = _message(data, is_binary)
        channel = self._socket
        return channel.send(message) if channel.on_loop else self._do(channel.send, message)

    def close(self, code: int = 1000, reason: str = "") -> Awaitable[None]:
        """Close the socket; before ``accept``, refuse the upgrade with 403.

        Args:
            code: Why (RFC 6455 7.4).
            reason: A note for the client.

        Raises:
            ValueError: a close frame cannot carry the code.
        """
        return self._do(self._close, code, reason)

    def _close(self, code: int, reason: str) -> None:
        channel = self._socket
        if channel.accepted or self._refusal is None:
            channel.close(code, reason)
        else:
            channel.refuse(self._refusal)

    @property
    def _socket(self) -> SocketChannel:
        if self._channel is None:
            raise OperationFailed("a WebSocket is made by the server, for an upgrade")
        return self._channel

    def _do(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[None]:
        """Call a function of the channel on the loop, now, and return what there is to await."""
        if self._socket.on_loop:
            return function(*arguments) or _DONE
        _LoopCall(partial(function, *arguments)).run(self._socket)
        return _DONE


def _message(data: Any, is_binary: Optional[bool]) -> Union[str, bytes]:
    if isinstance(data, str):
        return data.encode("utf-8") if is_binary else data
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"a message is text or bytes, not {type(data).__name__}")
    return bytes(data).decode("utf-8") if is_binary is False else bytes(data)


class _LoopCall:
    """A call that another thread makes on the loop, and waits for."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._done = threading.Event()
        self._error: Optional[BaseException] = None

    def run(self, channel: SocketChannel) -> None:
        """Make the call, and raise what it raises."""
        if not channel.from_thread(self._call):
            raise ConnectionAbortedError("the server has stopped")
        if not self._done.wait(_LOOP_PATIENCE):
            raise ConnectionAbortedError("the asyncio loop does not answer")
        if self._error is not None:
            raise self._error

    def _call(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self._error = error
        self._done.set()


class SocketClass:
    """A registered class, and how its methods are to be called.

    Attributes:
        make: The class.
        takes_request: Whether ``connect`` takes the request.
        takes_kinds: Whether ``receive`` takes text and bytes apart.
    """

    __slots__ = (
        "make",
        "takes_kinds",
        "takes_request",
    )

    def __init__(
        self,
        make: Callable[[], WebSocket],
        takes_request: bool,
        takes_kinds: bool,
    ) -> None:
        self.make = make
        self.takes_request = takes_request
        self.takes_kinds = takes_kinds


def inspect_class(made: Any) -> SocketClass:
    """Return how the methods of a class are to be called.

    Raises:
        OperationFailed: it is no class of WebSockets, or a method takes arguments that nobody
            gives.
    """
    if not (isinstance(made, type) and issubclass(made, WebSocket)):
        raise OperationFailed(f"webSocket registers subclasses of WebSocket, not {made!r}")
    takes_request = _fits(made.connect, None, None)
    if not takes_request and not _fits(made.connect, None):
        raise OperationFailed(f"{made.__name__}.connect takes the request, or nothing")
    takes_kinds = _fits(made.receive, None, text_data="", bytes_data=b"")
    if not takes_kinds and not _fits(made.receive, None, ""):
        raise OperationFailed(f"{made.__name__}.receive takes text_data and bytes_data, or one")
    return SocketClass(made, takes_request, takes_kinds)


def _fits(function: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
    from inspect import signature

    try:
        signature(function).bind(*arguments, **named)
    except TypeError:
        return False
    return True


class OpenSockets:
    """The open WebSockets of a server, by their paths."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By their identity: a class may say that two of its instances are equal.
        self._sockets: dict[str, dict[int, WebSocket]] = {}

    def add(self, path: str, socket: WebSocket) -> None:
        """Add a socket that was accepted."""
        with self._lock:
            self._sockets.setdefault(path, {})[id(socket)] = socket

    def remove(self, path: str, socket: WebSocket) -> None:
        """Remove a socket that has ended, if it is there."""
        with self._lock:
            sockets = self._sockets.get(path, {})
            sockets.pop(id(socket), None)
            if not sockets:
                self._sockets.pop(path, None)

    def find(self, path: str) -> list[WebSocket]:
        """Return the open sockets of a path."""
        with self._lock:
            return list(self._sockets.get(_trimmed(path), {}).values())


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"


def broadcast(sockets: Iterable[WebSocket], data: Any) -> int:
    """Send a message to sockets, from any thread, without waiting for their clients.

    Returns to how many it goes.

    Raises:
        TypeError: it is neither text nor bytes.
        UnicodeEncodeError: the text holds half of a surrogate pair.
    """
    message = _message(data, None)
    if isinstance(message, str) and not message.isascii():
        message.encode()  # Here the caller sees the error.
    count = 0
    for socket in sockets:
        socket._socket.from_thread(_send_quietly, socket._socket, message)
        count += 1
    return count


def _send_quietly(channel: SocketChannel, message: Union[str, bytes]) -> None:
    if channel.open:
        try:
            channel.send(message)
        except ConnectionError:
            pass  # It does not read, and is closed for it.


class SocketSession:
    """The life of one WebSocket, from the upgrade to its end.

    Args:
        registered: Its class.
        request: The request for the upgrade.
        refusal: What is answered when the upgrade is refused.
        opened: Where open sockets are known.
    """

    def __init__(
        self, registered: SocketClass, request: Request, refusal: Answer, opened: OpenSockets
    ) -> None:
        self._registered = registered
        self._request = request
        self._refusal = refusal
        self._opened = opened
        self._path = _trimmed(request.path())

    async def run(self, channel: SocketChannel) -> None:
        """Run it; what the class raises goes on."""
        socket = self._registered.make()
        socket._channel, socket._refusal = channel, self._refusal
        socket._on_accept = partial(self._opened.add, self._path, socket)
        arguments = (self._request,) if self._registered.takes_request else ()
        try:
            await _awaited(channel, socket.connect)(*arguments)
            if channel.accepted:
                await self._receive(socket, channel)
            else:
                channel.refuse(self._refusal)
        except BaseException as error:
            gone = channel.accepted and not channel.open
            if channel.open:
                from ..protocol.frames import CloseCode

                channel.close(CloseCode.INTERNAL_ERROR)
            if not (gone and isinstance(error, ConnectionError)):
                raise  # else it wanted to send: the end of the connection is no fault
        finally:
            self._opened.remove(self._path, socket)
            if channel.accepted:
                await _awaited(channel, socket.disconnect)(channel.close_code)

    async def _receive(self, socket: WebSocket, channel: SocketChannel) -> None:
        takes_kinds = self._registered.takes_kinds
        receive = _awaited(channel, socket.receive)

        def by_kind(message: Union[str, bytes]) -> Coroutine[Any, Any, None]:
            if isinstance(message, str):
                return receive(text_data=message)
            return receive(bytes_data=message)

        await channel.serve(by_kind if takes_kinds else receive)


def _awaited(
    channel: SocketChannel, method: Callable[..., Any]
) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return what is called and awaited for a method: itself, or what calls it on a worker.

    Whether it is a coroutine function is asked once, and not for each message.
    """
    from inspect import iscoroutinefunction

    if iscoroutinefunction(method):
        return method

    async def call_on_worker(*arguments: Any, **named: Any) -> None:
        result = await channel.on_worker(partial(method, *arguments, **named))
        if hasattr(result, "__await__"):
            await result
        await channel.drain()  # What it has sent it did not wait for: that would hold the worker.

    return call_on_worker
