"""The asyncio loop of a running server, on a thread that the first coroutine starts.

A host that runs a loop itself may give that instead (``HostLoop``): then coroutines of handlers can
use what belongs to it. Of such a loop nothing is ours but the tasks that we have made.

What runs there is the handlers' code, and may do anything: end the loop, raise ``SystemExit``, take
no notice of being cancelled, block for ever. None of that ends the loop before the server ends, and
none of it keeps the server from ending for longer than ``FAREWELL``, or twice that when there are
applications that want to be told of the end.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Optional

from .watchdog import Watchdog

if TYPE_CHECKING:
    import asyncio
    from contextvars import Context

logger = logging.getLogger("hwebserver.server")

#: How long coroutines that were cancelled at the end may take, in seconds.
FAREWELL = 5.0

#: How much later a thread that still runs is taken for one that a coroutine blocks, in seconds.
_BLOCKED = 1.0

#: How often a thread that is waited for is looked at, in seconds.
_JOIN_TURN = 0.005


class Loop(ABC):
    """A loop that coroutines run on: one of ours, or one that the host runs anyway.

    ``_lock`` guards that nothing is submitted behind the stop.

    Attributes:
        lasting: Tasks that are not cancelled with the others at the end, but behind ``farewell``;
            for the loop's own thread alone.
        farewell: Run when the others have ended, for those.
    """

    def __init__(self) -> None:
        self.lasting: set[asyncio.Task[Any]] = set()
        self.farewell: Optional[Callable[[], Coroutine[Any, Any, None]]] = None
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._stopped = False
        self._farewell_end = 0.0
        self._watchdog = Watchdog(self.call)

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether coroutines of ours run, but for one that blocks the loop behind the farewell."""

    @property
    @abstractmethod
    def is_current(self) -> bool:
        """Whether the calling thread runs the loop."""

    @property
    def _outlasts(self) -> bool:
        """Whether the farewell takes longer than it may."""
        return self._stopped and time.monotonic() >= self._farewell_end + _BLOCKED

    @abstractmethod
    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if it was not; the lock is held.

        Raises:
            RuntimeError: it cannot be started.
        """

    @abstractmethod
    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have what runs on a loop end; the lock is held."""

    def start(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if it was not; any thread may ask.

        Raises:
            RuntimeError: it has been stopped, or cannot be started.
        """
        with self._lock:
            if self._stopped:
                raise RuntimeError("the server has stopped")
            return self._started()

    def check_sockets(self) -> None:
        """See that the loop can watch sockets, as WebSockets need it; start it for that.

        Raises:
            RuntimeError: it cannot, or cannot be started.
        """
        import asyncio

        add_reader = getattr(type(self.start()), "add_reader", asyncio.AbstractEventLoop.add_reader)
        if add_reader is asyncio.AbstractEventLoop.add_reader or _is_proactor(self._loop):
            name = type(self._loop).__name__
            raise RuntimeError(f"the asyncio loop, a {name}, watches no sockets for WebSockets")

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have the loop call a function soon; any thread may ask.

        Raises:
            RuntimeError: it has been stopped, or cannot be started.
        """
        with self._lock:
            if self._stopped:
                raise RuntimeError("the server has stopped")
            self._started().call_soon_threadsafe(function, *arguments)

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        """Run a coroutine that raises nothing of its own; any thread may ask.

        Raises:
            RuntimeError: the loop has been stopped, or cannot be started.
        """
        task = Task(self)
        try:
            self.call(task.begin, coroutine)
        except RuntimeError:
            coroutine.close()
            raise
        return task

    def spawn(
        self, coroutine: Coroutine[Any, Any, None], context: Optional[Context] = None
    ) -> asyncio.Task[None]:
        """Run a coroutine; only the loop's own thread may ask.

        Args:
            coroutine: The coroutine.
            context: That of its task, from Python 3.11 on; None: a copy of the current one.
        """
        if sys.version_info >= (3, 11) and context is not None:
            return self.running.create_task(coroutine, context=context)
        return self.running.create_task(coroutine)

    @property
    def can_be_awaited(self) -> bool:
        """Whether the calling thread may wait for what runs there."""
        return not self.is_current

    @property
    def started(self) -> bool:
        """Whether something runs there, or has."""
        return self._loop is not None

    @property
    def running(self) -> asyncio.AbstractEventLoop:
        """The loop, for what runs on it."""
        if self._loop is None:
            raise RuntimeError("the asyncio loop has not been started")
        return self._loop

    def stop(self) -> None:
        """Cancel what runs; returns at once, and never fails."""
        with self._lock:
            if self._stopped:
                return
            self._farewell_end = time.monotonic() + FAREWELL
            self._stopped = True
            if self._loop is not None:
                self._leave(self._loop)

    @abstractmethod
    def join(self) -> None:
        """Wait until what runs has ended, but for what blocks the loop."""

    async def _end_tasks(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Cancel tasks, and wait for them as long as they may take; last those that are lasting."""
        await self._cancel(tasks - self.lasting)
        if self.lasting and self.farewell is not None:
            self._farewell_end = time.monotonic() + FAREWELL
            await self._wait_for({self.running.create_task(self.farewell())})
            await self._cancel(set(self.lasting))

    async def _cancel(self, tasks: set[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await self._wait_for(tasks)

    async def _wait_for(self, tasks: set[asyncio.Task[Any]]) -> None:
        import asyncio

        if tasks:
            left = max(0.0, self._farewell_end - time.monotonic())
            _, pending = await asyncio.wait(tasks, timeout=left)
            if pending:
                logger.warning("%d coroutines did not end when they were cancelled", len(pending))

    def look(self, now: float) -> None:
        """See whether a coroutine blocks the loop; one thread calls this now and then.

        Args:
            now: The monotonic time.
        """
        if self._loop is not None and not self._stopped:
            self._watchdog.look(now)


def _is_proactor(loop: Any) -> bool:
    """Whether a loop is Windows' own kind, which watches no sockets though it has the methods."""
    import asyncio

    kind = getattr(asyncio, "ProactorEventLoop", None)
    return kind is not None and isinstance(loop, kind)


class LoopThread(Loop):
    """A loop of ours, and the thread that runs it; neither exists before a coroutine comes.

    Args:
        name: The name of the thread.

    Attributes:
        lasting: Tasks that are not cancelled with the others at the end, but behind ``farewell``;
            for the loop's thread alone.
        farewell: Run when the others have ended, for those.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._thread: Optional[threading.Thread] = None

    @property
    def alive(self) -> bool:
        """Whether its thread runs; see ``Loop.alive``."""
        return self._thread is not None and self._thread.is_alive() and not self._outlasts

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is the loop's."""
        return threading.current_thread() is self._thread

    def _started(self) -> asyncio.AbstractEventLoop:
        import asyncio

        if self._loop is None:
            # Not Windows' own kind: that watches no sockets.
            loop = asyncio.SelectorEventLoop()
            thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                loop.close()
                raise
            self._loop, self._thread = loop, thread
            self._watchdog.thread = thread.ident or 0
        return self._loop

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)

    def join(self) -> None:
        """Wait until the thread has ended, but for one that a coroutine blocks."""
        while self._thread is not None and self.alive:
            self._thread.join(_JOIN_TURN)

    # --- the thread ---

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        asyncio.set_event_loop(loop)
        try:
            self._serve(loop)
            self._say_farewell(loop)
        except BaseException:
            logger.exception("the asyncio loop ended with an error")
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                loop.run_forever()
            except (KeyboardInterrupt, SystemExit):  # asyncio lets no others through.
                logger.exception("a coroutine tried to end the asyncio loop")
            if self._stopped:
                return

    def _say_farewell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel the coroutines, and wait for them as long as they may take."""
        import asyncio

        # What came last has not begun; cancelled before it has, it could let go of nothing.
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(self._end_tasks(asyncio.all_tasks(loop)))
        # The generators that nobody reads any more.
        loop.run_until_complete(self._wait_for({loop.create_task(loop.shutdown_asyncgens())}))


class HostLoop(Loop):
    """A loop that the host runs: what is ours on it begins and ends, the loop itself goes on.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._host = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = threading.Event()

    @property
    def alive(self) -> bool:
        """Whether coroutines of ours may run; see ``Loop.alive``."""
        loop = self._loop
        return not (loop is None or loop.is_closed() or self._ended.is_set() or self._outlasts)

    @property
    def is_current(self) -> bool:
        """Whether the calling thread runs the loop."""
        import asyncio

        return asyncio._get_running_loop() is self._host

    @property
    def can_be_awaited(self) -> bool:
        """Whether the calling thread may wait for what runs there: it may be what runs the loop."""
        return self._host.is_running() and not self.is_current

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._host.is_closed():
            raise RuntimeError("the asyncio loop that was given is closed")
        self._loop = self._host
        return self._host

    def spawn(
        self, coroutine: Coroutine[Any, Any, None], context: Optional[Context] = None
    ) -> asyncio.Task[None]:
        """Run a coroutine; see ``Loop.spawn``."""
        task = super().spawn(coroutine, context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._begin_farewell)
        except RuntimeError:
            self._ended.set()  # It is closed.

    def _begin_farewell(self) -> None:
        self._farewell = self._host.create_task(self._say_farewell())

    async def _say_farewell(self) -> None:
        """Cancel our coroutines, and wait for them as long as they may take."""
        import asyncio

        try:
            # What came last has not begun; cancelled before it has, it could let go of nothing.
            await asyncio.sleep(0)
            await self._end_tasks(set(self._tasks))
        finally:
            self._ended.set()

    def join(self) -> None:
        """Wait until our coroutines have ended, but on their own thread, where they could not."""
        while self.alive and not self.is_current:
            self._ended.wait(_JOIN_TURN)


class Task:
    """A coroutine on the loop, for threads that are not the loop's.

    Args:
        loop: The loop.
    """

    __slots__ = ("_loop", "_task")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._task: Optional[asyncio.Task[None]] = None

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start the coroutine; the loop calls this."""
        self._task = self._loop.spawn(coroutine)

    def cancel(self) -> None:
        """Cancel the coroutine from any thread; once it has ended this does nothing."""
        self.call(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            # Behind its first step: cancelled before it had begun, it could let go of nothing.
            self._loop.running.call_soon(self._task.cancel)

    def call(self, function: Callable[[], object]) -> None:
        """Have the loop call a function soon; not when it has ended."""
        try:
            self._loop.call(function)
        except RuntimeError:
            pass  # It ends, and what runs is cancelled anyway.
