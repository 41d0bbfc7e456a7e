"""Bodies that are made while they are sent, by a coroutine or by a thread of their own.

What a plain iterator yields is read by the connection itself, on a worker, whenever the client has
taken the piece before: nothing waits, and a slow client costs one piece. That does not do for an
event stream, which mostly waits and would hold a worker with it, nor for an async iterator, which
belongs on the loop. Those have a producer that fills a ``Feed``, a buffer with a bound, and the
polling thread empties it into the socket. The producer waits while the feed is full; the
connection waits in the selector while it is empty, so it sees at once when the client leaves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Optional, Protocol

from ..errors import HTTPError
from ..exchange import AsyncSource, Source, StreamBody
from .loop import Loop, Task

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("hwebserver.app")

#: Bytes that wait in a feed before its producer does, beside the piece that went over.
FEED_SIZE = 65536

#: The longest that one coroutine keeps the loop while it never waits, in seconds.
_TURN = 0.002

#: How often a thread that is waited for is looked at, in seconds.
_JOIN_TURN = 0.005


class Producer(Protocol):
    """What fills a feed."""

    def go_on(self) -> None:
        """Make more: there is room again."""

    def leave_off(self) -> None:
        """Make no more: nobody wants it."""


class Feed:
    """What was made and not sent yet.

    ``_lock`` guards all of it, and is held for an append or a swap only.

    Args:
        tell: Called when something has come for a connection that waits.

    Attributes:
        cancelled: Whether nobody wants any more.
    """

    def __init__(
        self, tell: Callable[[], None], farewell: Callable[[], None] = lambda: None
    ) -> None:
        self.producer: Optional[Producer] = None
        self.cancelled = False
        self._tell = tell
        self._farewell = farewell
        self._lock = threading.Lock()
        self._pieces: list[bytes] = []
        self._size = 0
        self._error: Optional[BaseException] = None
        self._ended = False
        self._awaited = False

    def put(self, piece: bytes) -> bool:
        """Append a piece; return whether there is room for another."""
        with self._lock:
            if self.cancelled:
                return True
            self._pieces.append(piece)
            self._size += len(piece)
            room = self._size < FEED_SIZE
            awaited, self._awaited = self._awaited, False
        if awaited:
            self._tell()
        return room

    def end(self, error: Optional[BaseException]) -> None:
        """Say that nothing more comes.

        Args:
            error: What ended the producer, other than its end.
        """
        with self._lock:
            self._ended = True
            unheard = error if self.cancelled else None
            if not self.cancelled:
                self._error = error
            awaited, self._awaited = self._awaited, False
        _log_unheard(unheard)
        if awaited:
            self._tell()

    def take(self) -> Optional[bytes]:
        """Return what waits, empty if nothing does yet, None at the end."""
        with self._lock:
            data = b"".join(self._pieces)
            self._pieces.clear()
            was_full, self._size = self._size >= FEED_SIZE, 0
            if not data:
                if self._ended:
                    return None
                self._awaited = not self.cancelled
        if was_full and self.producer is not None:
            self.producer.go_on()
        return data

    def take_error(self) -> Optional[BaseException]:
        """Return what ended the producer, once: it is the caller's to log from here on."""
        with self._lock:
            error, self._error = self._error, None
            return error

    def cancel(self) -> None:
        """Want no more; a second call does nothing."""
        with self._lock:
            ended = self.cancelled or self._ended
            self.cancelled = True
            self._awaited = False
            self._pieces.clear()
            unheard, self._error = self._error, None
        producer, self.producer = self.producer, None  # each holds the other
        _log_unheard(unheard)
        if ended:
            return
        self._farewell()
        if producer is not None:
            producer.leave_off()


def _log_unheard(error: Optional[BaseException]) -> None:
    """Log what ended a producer when there is no response left to fail with it."""
    if error is not None:
        logger.error("what made a response failed when the client had left", exc_info=error)


class _ThreadProducer:
    """A thread that reads a source."""

    def __init__(self, source: Source, feed: Feed, name: str) -> None:
        self._source = source
        self._feed = feed
        self._room = threading.Event()
        self.handling = False  # the source is being read: only it knows how long
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def go_on(self) -> None:
        self._room.set()

    def leave_off(self) -> None:
        self._room.set()

    def _run(self) -> None:
        error: Optional[BaseException] = None
        self.handling = True
        try:
            self._read()
        except BaseException as raised:
            error = raised
        try:
            self._source.close()
        except BaseException:  # The connection waits for the end, whatever happens.
            logger.exception("what made a response failed when it was closed")
        self.handling = False
        self._feed.end(error)

    def _read(self) -> None:
        feed = self._feed
        while not feed.cancelled:
            piece = self._source.read()
            if piece is None:
                return
            if not feed.put(piece):
                self._room.wait()
                self._room.clear()


async def _close(source: AsyncSource) -> None:
    """Close a source of which nothing was read."""
    try:
        await source.close()
    except Exception:
        logger.exception("what made a response failed when it was closed")


class _LoopProducer:
    """A coroutine that reads a source."""

    def __init__(self, source: AsyncSource, feed: Feed, loop: Loop) -> None:
        self._source = source
        self._feed = feed
        self._wake: Callable[[], None] = lambda: None
        self._task: Task = loop.submit(self._run())

    def go_on(self) -> None:
        self._task.call(self._set_room)

    def _set_room(self) -> None:
        self._wake()

    def leave_off(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        import asyncio

        # All but GeneratorExit, which says that the loop is no more. A SystemExit that came through
        # would end the loop, and all that others have on it.
        raised_here = (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt)
        room = asyncio.Event()
        self._wake = room.set
        error: Optional[BaseException] = None
        try:
            await self._read(room)
        except raised_here as raised:
            cancelled = self._feed.cancelled and isinstance(raised, asyncio.CancelledError)
            error = None if cancelled else raised
        try:
            await self._source.close()
        except raised_here:
            logger.exception("what made a response failed when it was closed")
        self._feed.end(error)

    async def _read(self, room: asyncio.Event) -> None:
        import asyncio

        feed = self._feed
        until = time.monotonic() + _TURN
        # A source may take no notice of the cancellation: what it makes then is not wanted.
        while not feed.cancelled:
            piece = await self._source.read()
            if piece is None:
                return
            if not feed.put(piece):
                await room.wait()
                room.clear()
            elif time.monotonic() >= until:
                await asyncio.sleep(0)
                until = time.monotonic() + _TURN


class Producers:
    """The producers of a running server.

    Args:
        loop: Where coroutines run.
        most: Most threads of producers at once.
        name: Begins the names of the threads.
    """

    def __init__(self, loop: Loop, most: int, name: str) -> None:
        self.loop = loop
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[_ThreadProducer] = []
        self._full = False  # streams are refused, and the log says so already

    @property
    def alive(self) -> bool:
        """Whether a thread of ours runs, but for sources that do not return."""
        threads = list(self._threads)
        busy = any(one.thread.is_alive() and not one.handling for one in threads)
        return busy or self.loop.alive

    def start(self, body: StreamBody, tell: Callable[[], None]) -> Feed:
        """Have a source read, and return where its pieces come.

        Args:
            body: What is to be sent.
            tell: Called when something has come for a connection that waits.

        Raises:
            HTTPError: 503, there are too many, or no thread can be started.
        """
        feed = Feed(tell, partial(self._bid_farewell, body))
        try:
            if body.asynchronous:
                feed.producer = _LoopProducer(body.source, feed, self.loop)
            else:
                feed.producer = self._start_thread(body.source, feed)
        except RuntimeError as error:
            body.close()
            body.leave()  # What waits for events would go on for nobody.
            raise HTTPError(503, f"This response cannot be sent now: {error}.") from error
        return feed

    def _bid_farewell(self, body: StreamBody) -> None:
        """Have it told that the client has left; workers may be busy, and this may block."""
        if body.wants_farewell:
            thread = threading.Thread(
                target=body.leave, name=f"{self._name}-farewell-{id(body):x}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                body.leave()

    def discard(self, body: StreamBody) -> None:
        """Close a body that nobody has read, and say so as if the client had left."""
        self._bid_farewell(body)
        if not body.asynchronous:
            body.close()
            return
        try:
            self.loop.submit(_close(body.source))
        except RuntimeError:
            pass  # The loop has ended, and what lived on it.

    def _start_thread(self, source: Source, feed: Feed) -> _ThreadProducer:
        with self._lock:
            self._threads = [one for one in self._threads if one.thread.is_alive()]
            if len(self._threads) >= self._most:
                if not self._full:
                    logger.warning("there are %d event streams, the most allowed", self._most)
                self._full = True
                raise RuntimeError(f"{self._most} event streams are open")
            self._full = False
            producer = _ThreadProducer(source, feed, f"{self._name}-stream-{id(feed):x}")
            feed.producer = producer
            producer.thread.start()
            self._threads.append(producer)
            return producer

    def stop(self) -> None:
        """End the loop; the feeds are cancelled by those who hold them."""
        self.loop.stop()

    def join(self) -> None:
        """Wait until the threads have ended, but for sources that do not return."""
        for one in list(self._threads):
            while one.thread.is_alive() and not one.handling:
                one.thread.join(_JOIN_TURN)
        self.loop.join()
