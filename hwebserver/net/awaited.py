"""What a coroutine will return, awaited by what is no coroutine.

A connection awaits its handler and holds no thread meanwhile; ``run`` awaits what must come before
the first request, and waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, Optional

from .loop import Loop, Task

NEVER = float("inf")

#: How often a waiting main thread wakes, in seconds: Windows delivers Ctrl+C only then.
_WAIT_TURN = 0.2


class Awaited:
    """The outcome of a coroutine that runs on the loop.

    The loop sets ``done`` last and then calls ``tell``, so whoever is told, or looks, finds the
    rest there.

    Args:
        coroutine: What is run.
        loop: Where.
        tell: Called when it has ended.

    Attributes:
        done: Whether it has ended.
        result: What it returned.
        error: What it raised.
        deadline: When it is too late; a coroutine may take its time.

    Raises:
        RuntimeError: the loop cannot run it.
    """

    __slots__ = ("_task", "_tell", "deadline", "done", "error", "result")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], loop: Loop, tell: Callable[[], None]
    ) -> None:
        self.done = False
        self.deadline = NEVER
        self.result: Any = None
        self.error: Optional[BaseException] = None
        self._tell = tell
        self._task: Task = loop.submit(self._run(coroutine))

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            self.result = await coroutine
        except BaseException as error:
            self.error = error
        self.done = True
        self._tell()

    @property
    def cancelled(self) -> bool:
        """Whether it ended because it was cancelled."""
        from asyncio import CancelledError

        return isinstance(self.error, CancelledError)

    def cancel(self) -> None:
        """Cancel it, since nobody waits for what it would return."""
        self._task.cancel()

    def expire(self) -> None:
        """Do nothing: it is never too late."""


def outcome_of(
    loop: Loop, coroutine: Coroutine[Any, Any, Any]
) -> tuple[Any, Optional[BaseException]]:
    """Run a coroutine on the loop, and wait for it; return what it returned and what it raised.

    Args:
        loop: Where; not the loop of the calling thread.
        coroutine: What is run.
    """
    ended = threading.Event()
    try:
        awaited = Awaited(coroutine, loop, ended.set)
    except RuntimeError as error:
        coroutine.close()
        return None, error
    ended.wait()
    return awaited.result, awaited.error


def wait_for(coroutine: Coroutine[Any, Any, Any], loop: Loop, given_up: Callable[[], bool]) -> Any:
    """Run a coroutine on the loop, and return what it returns.

    Args:
        coroutine: What is run.
        loop: Where; not the loop of the calling thread.
        given_up: Says when it is not waited for any longer.

    Raises:
        RuntimeError: the loop cannot run it.
        BaseException: what it raises.
    """
    ended = threading.Event()
    awaited = Awaited(coroutine, loop, ended.set)
    try:
        while not ended.wait(_WAIT_TURN):
            if given_up():
                return None
    finally:
        awaited.cancel()  # nothing, unless it is not waited for
    if awaited.error is not None:
        raise awaited.error
    return awaited.result
