"""What an ASGI application of ours has behind it: what answers, and threads for what blocks."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Optional, Protocol

from ..exchange import StreamBody
from ..protocol.http1 import Limits
from .application import Application
from .lifespan import ASGIApplication, Event, Lifespans

Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Feed(Protocol):
    """What a stream that is made elsewhere has made; see ``net.stream.Feed``."""

    def take(self) -> Optional[bytes]:
        """Return what waits, empty if nothing does yet, None at the end."""

    def take_error(self) -> Optional[BaseException]:
        """Return what ended it."""

    def cancel(self) -> None:
        """Want no more."""


#: Has a stream made elsewhere; the function is called when something has come.
StartStream = Callable[[StreamBody, Callable[[], None]], Feed]


class Workers:
    """Threads for what may block.

    Args:
        most: How many at once.
        name: Begins their names.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._executor: Any = None

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on a thread, and return what it returns."""
        import asyncio

        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(self._most, self._name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, *arguments)

    def stop(self) -> None:
        """Let the threads end; those that run go on to their end."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)


class Inside(NamedTuple):
    """What is behind the application.

    Attributes:
        application: What answers.
        limits: What a request may cost.
        queue: Bytes that may wait for the client of a WebSocket.
        lifespans: The mounted ASGI applications.
        mounted: Returns those that are to be started.
        workers: Where plain functions run.
        start_stream: Has streams made that neither the loop nor a worker makes.
        end: Ends what those need.
    """

    application: Application
    limits: Limits
    queue: int
    lifespans: Lifespans
    mounted: Callable[[], list[ASGIApplication]]
    workers: Workers
    start_stream: StartStream
    end: Callable[[], None]


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Read a part of a file.

    Raises:
        EOFError: it has become shorter.
    """
    os.lseek(descriptor, offset, os.SEEK_SET)
    block = os.read(descriptor, size)
    if not block:
        raise EOFError("the file is shorter than when its sending began")
    return block
