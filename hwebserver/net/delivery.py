"""One response on its way out: what waits to be sent, and what makes the rest of it.

Two threads push a delivery on, never at once. ``advance`` belongs to the polling thread: it sends
without blocking. ``pull`` runs what the handler returned as a body, so it belongs to a worker. Both
say how far they came; the connection decides what to wait for.

The head of a stream goes out with the first piece, so that what fails before it can still be
answered with an error; that of a live or prompt stream goes out at once, since its client waits
for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import Optional, Union

from ..exchange import FileBody, StreamBody
from ..protocol.response import LAST_CHUNK, Framing, chunk
from .outbox import Outbox
from .stream import Feed, Producers
from .transport import Transport

#: The longest that one stream keeps a worker while others may wait for it, in seconds.
_TURN = 0.002


class Progress(Enum):
    """How far a delivery has come."""

    DONE = 1  # all of it is with the system
    BLOCKED = 2  # to be continued when the client takes more: it is slow, or the turn is over
    EMPTY = 3  # what makes the body has nothing yet
    PULL = 4  # a worker is to read on
    FAILED = 5  # the body cannot be made: ``error`` says why
    GONE = 6  # the connection has ended


class Delivery:
    """The response that a connection sends.

    Args:
        transport: Where it goes.

    Attributes:
        error: Why the body could not be made.
        started: Whether a part of a stream has been sent, so that no other response can be.
        moved: Whether the client has taken anything in the last step.
    """

    __slots__ = (
        "_body_size",
        "_feed",
        "_framing",
        "_head",
        "_outbox",
        "_stream",
        "error",
        "moved",
        "started",
    )

    def __init__(self, transport: Transport) -> None:
        self._outbox = Outbox(transport)
        self._stream: Optional[StreamBody] = None
        self._feed: Optional[Feed] = None
        self._framing: Optional[Framing] = None
        self._head = b""
        self._body_size = 0
        self.error: Optional[BaseException] = None
        self.started = False
        self.moved = False

    @property
    def sent(self) -> int:
        """Bytes of the body that were handed to the system, but for what frames them."""
        return max(0, self._body_size - self._outbox.size) if self._outbox else self._body_size

    @property
    def streams(self) -> bool:
        """Whether something still makes a body, or wants to hear when it has been sent."""
        return self._stream is not None or self._outbox.tells

    @property
    def pulled(self) -> bool:
        """Whether that is for a worker alone to run or to tell: an iterator, say."""
        return self._outbox.tells or (self._stream is not None and self._feed is None)

    @property
    def has_file(self) -> bool:
        """Whether a stretch of a file is to be sent."""
        return self._outbox.has_file

    @property
    def endless(self) -> bool:
        """Whether nobody knows when the body will end."""
        return self._framing is not None and self._framing.length is None and self.streams

    @property
    def live(self) -> bool:
        """Whether it is an event stream."""
        return self._stream is not None and self._stream.live

    @property
    def pause(self) -> float:
        """Seconds of silence after which a heartbeat is due; 0: never."""
        return 0.0 if self._stream is None or not self._head_sent else self._stream.pause

    @property
    def _head_sent(self) -> bool:
        return not self._head

    # --- what is to be sent ---

    def put(self, *pieces: Union[bytes, memoryview]) -> None:
        """Append bytes."""
        for piece in pieces:
            self._outbox.put(piece)

    def put_file(self, head: bytes, file: FileBody, framing: Framing) -> None:
        """Send a head, and a file behind it; the file is this delivery's to close."""
        size = self._body_size = file.size
        if not framing.chunked:
            self.put(head)
            self._outbox.put_file(file)
        elif size:
            # One chunk holds all of it, so that sendfile still can.
            self.put(head, b"%x\r\n" % size)
            self._outbox.put_file(file)
            self.put(b"\r\n", LAST_CHUNK)
        else:
            file.close()
            self.put(head, LAST_CHUNK)

    def count(self, size: int) -> None:
        """Count bytes of a body that was, or will be, sent from memory."""
        self._body_size = size

    def begin(
        self,
        head: bytes,
        framing: Framing,
        body: StreamBody,
        producers: Producers,
        tell: Callable[[], None],
    ) -> None:
        """Send a body that is made meanwhile.

        Args:
            head: The head of the response.
            framing: How the body is sent.
            body: What makes it; it is this delivery's to close.
            producers: Where it is read, unless by ``pull``.
            tell: Called when something has come while nothing was there to be sent.

        Raises:
            HTTPError: 503, there are too many such streams.
        """
        self._head, self._framing = head, framing
        self.started = False
        if body.asynchronous or body.live:
            self._feed = producers.start(body, tell)
        self._stream = body
        if body.live or body.prompt:
            self._begin_sending()
            if body.opening:
                self._carry(body.opening)

    def _begin_sending(self) -> None:
        head, self._head = self._head, b""
        self.put(head)
        self.started = True

    # --- steps ---

    def advance(self) -> Progress:
        """Send on, from what is there: steps of the polling thread."""
        self.moved = False
        until = time.monotonic() + _TURN
        while True:
            progress = self._flush()
            if progress is not Progress.DONE or self._stream is None:
                return progress
            if self.error is not None:
                return Progress.FAILED
            if self._feed is None:
                return Progress.PULL
            progress = self._take(self._feed)
            if progress is not Progress.DONE:
                return progress
            if time.monotonic() >= until:
                # Others have their turn. A socket that takes more says so at once.
                return Progress.BLOCKED

    def _take(self, feed: Feed) -> Progress:
        """Append what a producer has made."""
        data = feed.take()
        if data is None:
            self.error = feed.take_error()
            failed = self.error is not None or not self._end()
        elif data:
            failed = not self._carry(data)
        else:
            return Progress.EMPTY
        return Progress.FAILED if failed else Progress.DONE

    def pull(self) -> Progress:
        """Have the body made and send it, until the client is slow or the turn is over."""
        # ``moved`` stays as it is: what ``advance`` sent just before counts.
        stream = self._stream
        until = time.monotonic() + _TURN
        while stream is not None:
            try:
                piece = stream.source.read()
            except BaseException as error:
                self.error = error
                return Progress.FAILED
            if not (self._end() if piece is None else self._carry(piece)):
                return Progress.FAILED
            progress = self._flush()
            if progress is not Progress.DONE or self._stream is None:
                return progress
            if time.monotonic() >= until:
                break
        return Progress.BLOCKED  # as in ``advance``

    def beat(self) -> None:
        """Send a heartbeat, if the stream has one."""
        if self._stream is not None and self._stream.heartbeat:
            self._carry(self._stream.heartbeat)

    def _flush(self) -> Progress:
        if not self._outbox:
            return Progress.DONE
        try:
            if self._outbox.flush():
                self.moved = True
        except (OSError, EOFError):
            return Progress.GONE
        return Progress.BLOCKED if self._outbox else Progress.DONE

    def _carry(self, piece: bytes) -> bool:
        """Append a piece of a stream; False when that is more than the head has promised."""
        framing = self._framing
        total = self._body_size + len(piece)
        if framing is None or (framing.length is not None and total > framing.length):
            self.error = ValueError("the body of a response is longer than its Content-Length")
            return False
        if self._head:
            self._begin_sending()
        self._body_size = total
        self.put(chunk(piece) if framing.chunked else piece)
        return True

    def _end(self) -> bool:
        """End a stream; False when the head has promised more."""
        framing = self._framing
        if framing is None or framing.length not in (None, self._body_size):
            self.error = ValueError("the body of a response is shorter than its Content-Length")
            return False
        if self._head:
            self._begin_sending()
        if framing.chunked:
            self.put(LAST_CHUNK)
        self._close_stream()
        return True

    # --- the end ---

    def forsake(self) -> None:
        """Let go of what makes the body; an iterator is closed here, which is its own code."""
        self._close_stream()
        if self._outbox.tells:
            self._body_size = self.sent
            self._outbox.clear()

    def withdraw(self) -> None:
        """Forget a stream that failed; unless a part of it was sent, something else is sent."""
        self._body_size = self.sent if self.started else 0
        self._close_stream()
        self._head = b""
        self._outbox.clear()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.cancel()  # Its producer closes the source, once it is done with it.
        elif stream is not None:
            stream.close()

    def clear(self) -> None:
        """Let go of everything."""
        self._close_stream()
        self._outbox.clear()
        self._head = b""
        self._framing = None
        self._body_size = 0
        self.error = None
