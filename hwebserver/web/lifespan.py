"""The life of mounted ASGI applications: their start, their end, and what runs between.

An application is told once in each run that the server starts, before the first request that may
reach it, and once that it ends, behind the last. It may leave a state for its requests. One that
knows nothing of this raises or returns, and goes on without.

All of it belongs to the asyncio loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Optional

from ..errors import OperationFailed

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("hwebserver.app")

Event = dict[str, Any]
ASGIApplication = Callable[..., Coroutine[Any, Any, None]]

#: What a coroutine that is a program's own may raise. GeneratorExit is not among it: that says
#: that the loop is no more. SystemExit would end the loop, with all that others have on it.
RAISED = (Exception, SystemExit, KeyboardInterrupt)


#: Runs a coroutine on the loop that the calling thread runs.
Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[Any]"]


def _spawn(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    import asyncio

    return asyncio.get_running_loop().create_task(coroutine)


class Lifespan:
    """One application from its start to its end.

    Args:
        application: The application.

    Attributes:
        application: As given.
        state: What it leaves for its requests.
        failure: Why it could not start; empty: it could, or has yet to.
    """

    def __init__(self, application: ASGIApplication) -> None:
        import asyncio

        self.application = application
        self.state: dict[str, Any] = {}
        self.failure = ""
        self.task: Optional[asyncio.Task[None]] = None
        self._started = asyncio.Event()
        self._ends = asyncio.Event()
        self._told_start = False
        self._complete = False  # it has said that it has started

    async def start(self) -> None:
        """Return when the application has started, or cannot, or knows nothing of starting."""
        await self._started.wait()

    async def run(self) -> None:
        """Run the application."""
        import asyncio

        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self.application(scope, self._receive, self._send)
        except asyncio.CancelledError:
            pass
        except RAISED as error:
            self._take_error(error)
        finally:
            self._started.set()

    def _take_error(self, error: BaseException) -> None:
        if self._complete:
            logger.error("the lifespan of an ASGI application failed", exc_info=error)
        elif not self.failure:
            logger.info("an ASGI application is told of no start and end: %r", error)

    async def _receive(self) -> Event:
        if not self._told_start:
            self._told_start = True
            return {"type": "lifespan.startup"}
        await self._ends.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        if kind == "lifespan.startup.complete":
            self._complete = True
            self._started.set()
        elif kind == "lifespan.startup.failed":
            self.failure = str(event.get("message") or "it gives no reason")
            self._started.set()
        elif kind == "lifespan.shutdown.failed":
            logger.error("an ASGI application failed to end: %s", event.get("message") or "")
        elif kind != "lifespan.shutdown.complete":
            raise ValueError(f"{kind!r} is no event of a lifespan")

    async def stop(self) -> None:
        """Tell the application that the server ends, and return when it has."""
        import asyncio

        self._ends.set()
        if self.task is None:
            return
        if not self._started.is_set():
            self.task.cancel()
        await asyncio.wait({self.task})


class Lifespans:
    """The mounted applications of one run of a server.

    Args:
        lasting: Where tasks are kept that go on until ``stop`` has been run.
        spawn: Runs a coroutine on the loop; None: the running loop does.

    Attributes:
        on_end: Called when an application is done with a request.
    """

    def __init__(self, lasting: set[asyncio.Task[Any]], spawn: Optional[Spawn] = None) -> None:
        self._spawn = spawn or _spawn
        self.on_end: Callable[[], None] = lambda: None
        self._lasting = lasting
        self._lifespans: dict[int, Lifespan] = {}
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """How many requests are with applications, those that were answered included."""
        return len(self._running)

    async def start(self, applications: Iterable[ASGIApplication]) -> None:
        """Start applications.

        Raises:
            OperationFailed: one of them cannot.
        """
        for application in applications:
            lifespan = await self._ready(application)
            if lifespan.failure:
                raise OperationFailed(f"an ASGI application cannot start: {lifespan.failure}")

    async def state(self, application: ASGIApplication) -> dict[str, Any]:
        """Return a copy of the state of an application, which is started if it was not.

        Raises:
            RuntimeError: it cannot start.
        """
        lifespan = await self._ready(application)
        if lifespan.failure:
            raise RuntimeError(f"the ASGI application could not start: {lifespan.failure}")
        return dict(lifespan.state)

    async def _ready(self, application: ASGIApplication) -> Lifespan:
        lifespan = self._lifespans.get(id(application))
        if lifespan is None:
            lifespan = self._lifespans[id(application)] = Lifespan(application)
            task = self._spawn(lifespan.run())
            lifespan.task = task
            self._lasting.add(task)
            task.add_done_callback(self._lasting.discard)
        await lifespan.start()
        return lifespan

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run what an application does for a request; it raises nothing."""
        task = self._spawn(coroutine)
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self.on_end()

    async def stop(self) -> None:
        """Tell all applications that the server ends, and return when they have."""
        import asyncio

        await asyncio.gather(*(one.stop() for one in self._lifespans.values()))
