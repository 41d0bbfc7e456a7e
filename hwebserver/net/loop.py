"""The asyncio loop of a running server, on a thread that the first coroutine starts.

What runs there is the handlers' code, and may do anything: end the loop, raise ``SystemExit``, take
no notice of being cancelled, block for ever. None of that ends the loop before the server ends, and
none of it keeps the server from ending for longer than ``FAREWELL``, or twice that when there are
applications that want to be told of the end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("hwebserver.server")

#: How long coroutines that were cancelled at the end may take, in seconds.
FAREWELL = 5.0

#: How much later a thread that still runs is taken for one that a coroutine blocks, in seconds.
_BLOCKED = 1.0

#: How often a thread that is waited for is looked at, in seconds.
_JOIN_TURN = 0.005


class LoopThread:
    """A loop, and the thread that runs it; neither exists before a coroutine comes.

    ``_lock`` guards that nothing is submitted behind the stop.

    Args:
        name: The name of the thread.

    Attributes:
        lasting: Tasks that are not cancelled with the others at the end, but behind ``farewell``;
            for the loop's thread alone.
        farewell: Run when the others have ended, for those.
    """

    def __init__(self, name: str) -> None:
        self.lasting: set[asyncio.Task[Any]] = set()
        self.farewell: Optional[Callable[[], Coroutine[Any, Any, None]]] = None
        self._name = name
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._stopped = False
        self._farewell_end = 0.0

    @property
    def alive(self) -> bool:
        """Whether its thread runs, but for one that a coroutine blocks behind the farewell."""
        if self._thread is None or not self._thread.is_alive():
            return False
        return not self._stopped or time.monotonic() < self._farewell_end + _BLOCKED

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is the loop's."""
        return threading.current_thread() is self._thread

    def start(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if it was not; any thread may ask.

        Raises:
            RuntimeError: it has been stopped, or no thread can be started.
        """
        with self._lock:
            return self._started()

    def _started(self) -> asyncio.AbstractEventLoop:
        """Do what ``start`` does; the lock is held."""
        import asyncio

        if self._stopped:
            raise RuntimeError("the server has stopped")
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
        return self._loop

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        """Run a coroutine that raises nothing of its own; any thread may ask.

        Raises:
            RuntimeError: the loop has been stopped, or cannot be started.
        """
        with self._lock:
            try:
                loop = self._started()
                task = Task(loop)
                loop.call_soon_threadsafe(task.begin, coroutine)
            except RuntimeError:
                coroutine.close()
                raise
            return task

    def stop(self) -> None:
        """Cancel what runs and end the thread; returns at once, and never fails."""
        with self._lock:
            if self._stopped:
                return
            self._farewell_end = time.monotonic() + FAREWELL
            self._stopped = True
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._loop.stop)

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
        self._cancel(loop, asyncio.all_tasks(loop) - self.lasting)
        if self.lasting and self.farewell is not None:
            self._farewell_end = time.monotonic() + FAREWELL
            self._wait_for(loop, {loop.create_task(self.farewell())})
            self._cancel(loop, set(self.lasting))
        # The generators that nobody reads any more.
        self._wait_for(loop, {loop.create_task(loop.shutdown_asyncgens())})

    def _cancel(self, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        self._wait_for(loop, tasks)

    def _wait_for(self, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]) -> None:
        import asyncio

        if not tasks:
            return
        left = max(0.0, self._farewell_end - time.monotonic())
        _, pending = loop.run_until_complete(asyncio.wait(tasks, timeout=left))
        if pending:
            logger.warning("%d coroutines did not end when the server ended", len(pending))


class Task:
    """A coroutine on the loop, for threads that are not the loop's.

    Args:
        loop: The loop.
    """

    __slots__ = ("_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: Optional[asyncio.Task[None]] = None

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start the coroutine; the loop calls this."""
        self._task = self._loop.create_task(coroutine)

    def cancel(self) -> None:
        """Cancel the coroutine from any thread; once it has ended this does nothing."""
        self.call(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            # Behind its first step: cancelled before it had begun, it could let go of nothing.
            self._loop.call_soon(self._task.cancel)

    def call(self, function: Callable[[], object]) -> None:
        """Have the loop call a function soon; not when it has ended."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # It is closed: nothing waits for anything any more.
