"""What net asks of the application it is handed: the seam between sockets and handlers.

An ``Application`` opens an ``Exchange`` for each request when its head is complete. The exchange
says at once whether the request is refused; else it takes the body and then, on a worker, gives
the ``Answer``. Net frames and sends it, and tells the exchange when it is over.
"""

from __future__ import annotations

import logging
import os
from typing import NamedTuple, Optional, Protocol, Union

from .errors import HTTPError
from .protocol.http1 import RequestHead
from .protocol.response import Line

logger = logging.getLogger("hwebserver.server")


class Port(NamedTuple):
    """One open port.

    Attributes:
        name: ``main`` or the name it was given.
        number: The number it listens on.
        keys: The names that registrations may mean it by.
        secure: Whether connections to it are encrypted.
        host: The address it listens on, for links to it.
    """

    name: str
    number: int
    keys: frozenset[str]
    secure: bool
    host: str


class ConnectionInfo(NamedTuple):
    """What an application may know of a connection."""

    peer: tuple[str, int]
    local: tuple[str, int]
    port: Port
    descriptor: int


class FileBody:
    """A piece of an open file as a body; whoever holds it closes it, once.

    Args:
        descriptor: An open file.
        offset: Where the piece begins, in bytes.
        size: Bytes of the piece.
        path: A file to delete when this is closed; empty: none.
    """

    __slots__ = ("descriptor", "offset", "path", "size")

    def __init__(self, descriptor: int, offset: int, size: int, path: str = "") -> None:
        self.descriptor = descriptor
        self.offset = offset
        self.size = size
        self.path = path

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


class Answer(NamedTuple):
    """A response as it goes out.

    Attributes:
        status: The status code.
        fields: The fields, none of them one that frames the message.
        body: The whole body.
        length: What Content-Length says where the body is not there to be counted (an answer to
            HEAD, the head of a body that is sent by hand).
        chunked: Whether the body goes in chunks.
        close: Whether the connection must not be kept.
    """

    status: int
    fields: tuple[Line, ...]
    body: Union[bytes, FileBody] = b""
    length: Optional[int] = None
    chunked: bool = False
    close: bool = False


class Pace:
    """What has been seen of how long a handler takes: one for each registered handler.

    Attributes:
        slow: It outlasted a tick the last time, so it goes to a worker at once.
    """

    __slots__ = ("slow",)

    def __init__(self) -> None:
        self.slow = False


class BodySink(Protocol):
    """Where the body of a request goes as it arrives."""

    def write(self, data: bytes) -> None:
        """Take some bytes.

        Raises:
            HTTPError: the body is refused; it is answered with that status.
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
    """

    pace: Pace

    @property
    def refusal(self) -> Optional[Answer]:
        """The answer of a request that was decided without its body and a handler."""

    @property
    def sink(self) -> BodySink:
        """Where the body goes, when there is one and no refusal."""

    def respond(self, channel: Channel) -> Optional[Answer]:
        """Run the handler; raises nothing. None: the response went through the channel."""

    def unsendable(self, error: Exception) -> Answer:
        """Return what is sent instead of an answer that cannot be sent."""

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

    def open(self, head: RequestHead, info: ConnectionInfo) -> Exchange:
        """Begin with a request whose head is complete.

        Raises:
            HTTPError: it is refused.
        """

    def refuse(
        self, error: HTTPError, head: Optional[RequestHead], info: ConnectionInfo
    ) -> Exchange:
        """Return an exchange that has a refusal, for a request that cannot be understood."""
