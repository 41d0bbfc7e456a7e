"""The asyncio loop of a running server, on a thread that the first coroutine starts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("hwebserver.server")

#: How long coroutines that were cancelled at the end may take, in seconds.
_FAREWELL = 5.0


class LoopThread:
    """A loop, and the thread that runs it; neither exists before a coroutine comes.

    Args:
        name: The name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._stopped = False

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if it was not; any thread may ask.

        Raises:
            RuntimeError: it has been stopped, or no thread can be started.
        """
        import asyncio

        with self._lock:
            if self._stopped:
                raise RuntimeError("the server has stopped")
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=self._run, args=(loop,), name=self._name, daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        """Run a coroutine that raises nothing; any thread may ask.

        Raises:
            RuntimeError: the loop has been stopped, or cannot be started.
        """
        try:
            loop = self.start()
            task = Task(loop)
            loop.call_soon_threadsafe(task.begin, coroutine)
        except RuntimeError:
            coroutine.close()
            raise
        return task

    def stop(self) -> None:
        """Cancel what runs and end the thread; returns at once, and never fails."""
        with self._lock:
            self._stopped = True
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self) -> None:
        """Wait until the thread has ended."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=_FAREWELL))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception:
            logger.exception("the asyncio loop ended with an error")
        finally:
            asyncio.set_event_loop(None)
            loop.close()


class Task:
    """A coroutine on the loop, for threads that are not the loop's.

    Args:
        loop: The loop.
    """

    __slots__ = ("_cancelled", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: Optional[asyncio.Task[None]] = None
        self._cancelled = False

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start the coroutine; the loop calls this."""
        self._task = self._loop.create_task(coroutine)
        if self._cancelled:
            self._task.cancel()

    def cancel(self) -> None:
        """Cancel the coroutine from any thread; once it has ended this does nothing."""
        self.call(self._cancel)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def call(self, function: Callable[[], object]) -> None:
        """Have the loop call a function soon; not when it has ended."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # It is closed: nothing waits for anything any more.
