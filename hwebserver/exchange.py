"""What net asks of the application it is handed: the seam between sockets and handlers.

An ``Application`` opens an ``Exchange`` for each request when its head is complete. The exchange
says at once whether the request is refused; else it takes the body and then, on a worker, gives
the ``Answer``. Net frames and sends it, and tells the exchange when it is over.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Protocol, Union

if TYPE_CHECKING:
    from .errors import HTTPError
    from .protocol.handshake import Handshake
    from .protocol.http1 import RequestHead
    from .protocol.response import Line

logger = logging.getLogger("hwebserver.server")
app_logger = logging.getLogger("hwebserver.app")


class Port:
    """One open port.

    Attributes:
        name: ``main`` or the name it was given.
        number: The number it listens on.
        keys: The names that registrations may mean it by.
        secure: Whether connections to it are encrypted.
        host: The address it listens on, for links to it.
    """

    __slots__ = (
        "host",
        "keys",
        "name",
        "number",
        "secure",
    )

    def __init__(
        self,
        name: str,
        number: int,
        keys: frozenset[str],
        secure: bool,
        host: str,
    ) -> None:
        self.name = name
        self.number = number
        self.keys = keys
        self.secure = secure
        self.host = host


class ConnectionInfo(NamedTuple):
    """What an application may know of a connection.

    Attributes:
        peer: The address and the port of the client.
        local: The address and the port that it connected to.
        port: The port.
        descriptor: The descriptor of the connection, -1 where it is another server's.
        secure: Whether the client's own connection is encrypted: this one, or that to a proxy
            which is believed.
        host: The host that the client asked for, as such a proxy says; None: none says so.
        certificate: The one that the client has shown, as ``ssl.SSLSocket.getpeercert`` has it.
    """

    peer: tuple[str, int]
    local: tuple[str, int]
    port: Port
    descriptor: int
    secure: bool = False
    host: Optional[str] = None
    certificate: Optional[Mapping[str, Any]] = None


class Span(NamedTuple):
    """A stretch of a file, in bytes."""

    offset: int
    size: int


#: What a body made of a file consists of: stretches of it, and bytes between them.
FilePiece = Union[bytes, Span]


class FileBody:
    """Pieces of an open file as a body; whoever holds it closes it, once.

    Args:
        descriptor: An open file.
        pieces: What is sent, in order.
        path: A file to delete when this is closed; empty: none.
        closed: Called behind that, once, where handlers run; it raises nothing.
    """

    __slots__ = ("closed", "descriptor", "path", "pieces")

    def __init__(
        self,
        descriptor: int,
        pieces: Sequence[FilePiece],
        path: str = "",
        closed: Optional[Callable[[], None]] = None,
    ) -> None:
        self.descriptor = descriptor
        self.pieces = pieces
        self.path = path
        self.closed = closed

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(piece.size if isinstance(piece, Span) else len(piece) for piece in self.pieces)

    def close(self) -> None:
        """Close the file and delete it if that was asked for; a second call does nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor < 0:
            return
        os.close(descriptor)
        if self.path:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("a file that was sent cannot be deleted: %s", error)
        if self.closed is not None:
            self.closed()


class Source(Protocol):
    """Makes a body piece by piece; one call at a time, from changing threads."""

    def read(self) -> Optional[bytes]:
        """Return the next piece, which is not empty, or None at the end; may block and raise."""

    def close(self) -> None:
        """Let go of what it holds, read to its end or not."""


class AsyncSource(Protocol):
    """Makes a body piece by piece in a coroutine."""

    async def read(self) -> Optional[bytes]:
        """Return the next piece, which is not empty, or None at the end."""

    async def close(self) -> None:
        """Let go of what it holds, read to its end or not."""


class StreamBody:
    """A body that is made while it is sent.

    Args:
        source: What makes it.
        asynchronous: Whether the source is an ``AsyncSource``, read on the asyncio loop; a
            ``Source`` is read on a worker, whenever the client has taken the piece before.
        live: Whether it lasts as long as the client and the server: a source is read on a thread
            of its own, the head goes out at once, and all ends when the server is told to stop.
        left: Called once, where it may block, when the client has left before the end.

    Attributes:
        opening: What a live one sends behind its head.
        heartbeat: What a live one sends when the source has made nothing for a while.
        pause: How long that while is, in seconds; 0: for ever.
        prompt: Whether the head goes out at once, before there is a first piece.
        taken: Whether it is being sent, or has been.
    """

    __slots__ = (
        "_left",
        "asynchronous",
        "heartbeat",
        "live",
        "opening",
        "pause",
        "prompt",
        "source",
        "taken",
    )

    def __init__(
        self,
        source: Union[Source, AsyncSource],
        asynchronous: bool = False,
        live: bool = False,
        left: Optional[Callable[[], None]] = None,
    ) -> None:
        self.source: Any = source
        self.asynchronous = asynchronous
        self.live = live
        self.opening = self.heartbeat = b""
        self.pause = 0.0
        self.prompt = False
        self.taken = False
        self._left = left

    @property
    def wants_farewell(self) -> bool:
        """Whether ``leave`` has something to call."""
        return self._left is not None

    def leave(self) -> None:
        """Say that the client has left before the end; a second call does nothing."""
        left, self._left = self._left, None
        if left is None:
            return
        try:
            left()
        except Exception:
            app_logger.exception("what is called when a client leaves failed")

    def close(self) -> None:
        """Let go of a source that nothing reads; one of a coroutine that never ran holds nothing.

        What it raises is logged: the response is over.
        """
        if self.asynchronous:
            return
        try:
            self.source.close()
        except Exception:
            app_logger.exception("what made a response failed when it was closed")


Body = Union[bytes, FileBody, StreamBody]


class Answer(NamedTuple):
    """A response as it goes out.

    Attributes:
        status: The status code.
        fields: The fields, none of them one that frames the message.
        body: The body: the whole of it, or what it is made of.
        length: What Content-Length says where the body is not there to be counted (a stream, the
            head of a body that is sent by hand).
        chunked: Whether the body goes in chunks.
        close: Whether the connection must not be kept.
    """

    status: int
    fields: tuple[Line, ...]
    body: Body = b""
    length: Optional[int] = None
    chunked: bool = False
    close: bool = False


class Deferred:
    """What a handler that is a coroutine function returned: its result is still to come.

    Attributes:
        coroutine: To be run on the asyncio loop; ``Exchange.conclude`` takes what it gives.
    """

    __slots__ = ("coroutine",)

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
    ) -> None:
        self.coroutine = coroutine


class Pending(Protocol):
    """What goes on elsewhere for a request, and holds no worker meanwhile.

    Attributes:
        done: Whether it is over; set behind the others.
        result: What it returned.
        error: What it raised.
        deadline: When ``expire`` is to be called.
    """

    done: bool
    result: Any
    error: Optional[BaseException]
    deadline: float

    @property
    def cancelled(self) -> bool:
        """Whether it ended because it was cancelled."""

    def cancel(self) -> None:
        """Have it end, since nobody waits for what it would return; what runs on may do so."""

    def expire(self) -> None:
        """Have it end if it should have got further by now."""


#: Has a function called on the host's main thread; the other one is called when it is done.
CallInMainThread = Callable[[Callable[[], Any], Callable[[], None]], Pending]


class OnMainThread:
    """What a handler returned that goes on on the host's main thread.

    Attributes:
        begin: Has it go on; its argument is called when it is done, and ``Exchange.conclude``
            takes what it gives.
    """

    __slots__ = ("begin",)

    def __init__(
        self,
        begin: Callable[[Callable[[], None]], Pending],
    ) -> None:
        self.begin = begin


#: What a handler may return before it has an answer.
Later = Union[Deferred, OnMainThread]


class SocketChannel(Protocol):
    """A WebSocket, for the session that uses it; all of it belongs to the asyncio loop."""

    close_code: int
    close_reason: str

    @property
    def accepted(self) -> bool:
        """Whether the upgrade was accepted."""

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""

    def accept(self, subprotocol: Optional[str], extra: Iterable[Line]) -> None:
        """Accept the upgrade.

        Raises:
            ValueError: the client does not speak the subprotocol, or a field cannot be sent.
            ConnectionError: the client has left, or the upgrade has been answered.
        """

    def refuse(self, answer: Answer) -> None:
        """Answer the upgrade with something else; a second call does nothing."""

    async def serve(self, handle: Callable[[Union[str, bytes]], Coroutine[Any, Any, None]]) -> None:
        """Have a coroutine take each message, one after the other, until there will be none."""

    async def receive(self) -> Union[str, bytes, None]:
        """Return the next message; None: there will be none, see ``close_code``."""

    def send(self, data: Union[str, bytes]) -> Awaitable[None]:
        """Send a message, and return what waits until the client has taken enough.

        Raises:
            ConnectionError: the socket is closed.
        """

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; a second call does nothing.

        Raises:
            ValueError: no close frame can carry the code or the reason.
        """

    def from_thread(self, function: Callable[..., object], *arguments: object) -> bool:
        """Have the loop call a function; any thread may ask. Returns whether it will."""

    @property
    def on_loop(self) -> bool:
        """Whether the calling thread is the loop's; any thread may ask."""

    async def on_worker(self, function: Callable[[], Any]) -> Any:
        """Have a worker call a function that may block, and return what it returns.

        Raises:
            ConnectionError: the server has stopped.
        """


class Upgrade:
    """An upgrade to a WebSocket, to be accepted or refused by a session.

    Attributes:
        handshake: What the client asks for.
        run: Makes the session of a socket, a coroutine that ends with it.
        fields: Returns what the answer that accepts it has beside the session's own fields.
    """

    __slots__ = (
        "fields",
        "handshake",
        "run",
    )

    def __init__(
        self,
        handshake: Handshake,
        run: Callable[[SocketChannel], Coroutine[Any, Any, None]],
        fields: Callable[[], tuple[Line, ...]] = tuple,
    ) -> None:
        self.handshake = handshake
        self.run = run
        self.fields = fields


class TakeBody:
    """What ``Exchange.respond`` returns when it has run what guards the request.

    ``Exchange.refusal`` says what came of it. If it may go on, its body is taken, and ``respond``
    called again.
    """


TAKE_BODY = TakeBody()


class Pace:
    """What has been seen of how long a handler takes: one for each registered handler.

    Attributes:
        slow: It outlasted a tick the last time, so it goes to a worker at once.
    """

    __slots__ = ("slow",)

    def __init__(self) -> None:
        self.slow = False


class BodySink(Protocol):
    """Where the body of a request goes as it arrives.

    Attributes:
        in_memory: Up to this size a body stays in memory; beyond, ``write`` may use a disk.
    """

    in_memory: int

    def write(self, data: bytes) -> None:
        """Take some bytes.

        Raises:
            HTTPError: the body is refused; it is answered with that status.
        """


class BodyQueue(Protocol):
    """Where a body goes while its handler takes it out again.

    Attributes:
        tell: To be called, from any thread, when ``full`` or ``asked`` has changed.
    """

    tell: Callable[[], None]

    @property
    def full(self) -> bool:
        """Whether no more is to be received for now."""

    @property
    def asked(self) -> bool:
        """Whether the handler has asked for the body."""

    def put(self, data: bytes, last: bool) -> None:
        """Take some bytes, none perhaps.

        Args:
            data: The bytes.
            last: Whether that is the end of the body.
        """


class Channel(Protocol):
    """The connection, for a handler that sends its response by hand. Calls block."""

    def start(self, answer: Answer) -> None:
        """Send a head; the body of the answer is not looked at."""

    def write(self, data: bytes) -> None:
        """Send a piece of the body.

        Raises:
            ConnectionError: the client has left.
            ValueError: it is more than Content-Length said.
        """

    def abort(self) -> None:
        """Leave the response unfinished: the connection is closed so that the client sees it."""


class Exchange(Protocol):
    """One request and its answer.

    Attributes:
        pace: What is known of how long the handler takes.
        guard: The same of what is to run before the body is taken; None: nothing is, or it has.
        refused: Whether there is a ``refusal``.
    """

    pace: Pace
    guard: Optional[Pace]
    refused: bool

    @property
    def refusal(self) -> Optional[Answer]:
        """The answer of a request that was decided without its body and a handler."""

    @property
    def sink(self) -> BodySink:
        """Where the body goes, when there is one and no refusal."""

    @property
    def queue(self) -> Optional[BodyQueue]:
        """Where a body goes whose handler runs while it arrives; None: ``sink`` has it first."""

    def respond(self, channel: Channel) -> Union[Answer, Later, Upgrade, TakeBody, None]:
        """Run the handler; raises nothing. None: the response went through the channel.

        What guards the request is run first; when it has a body, that alone.
        """

    def conclude(
        self, channel: Channel, result: Any, error: Optional[BaseException]
    ) -> Optional[Answer]:
        """Return the answer for what a handler returned or raised; raises nothing.

        None: the response went through the channel.
        """

    def unsendable(self, error: BaseException) -> Answer:
        """Return what is sent instead of an answer that cannot be sent."""

    def failed(self, error: BaseException, late: bool = False) -> Answer:
        """Log that the body could not be made, and return what is sent if nothing was yet.

        Args:
            error: Why.
            late: Whether something was, so that the client is told nothing.
        """

    def drop(self) -> None:
        """Let go of what it holds, since another exchange answers in its place."""

    def finish(self, status: int, sent: int, seconds: float) -> None:
        """Log the exchange and let go of what it holds.

        Args:
            status: What was sent, 0 if nothing was.
            sent: Bytes of the response's body that were handed to the system.
            seconds: From the end of the head to the end of the response.
        """


class Application(Protocol):
    """What answers requests."""

    def open(
        self, head: RequestHead, info: ConnectionInfo, spent: Optional[Exchange] = None
    ) -> Exchange:
        """Begin with a request whose head is complete.

        Args:
            head: The head.
            info: The connection.
            spent: The exchange before, which is over and may be used again for one like it.

        Raises:
            HTTPError: it is refused.
        """

    def refuse(
        self, error: HTTPError, head: Optional[RequestHead], info: ConnectionInfo
    ) -> Exchange:
        """Return an exchange that has a refusal, for a request that cannot be understood."""
