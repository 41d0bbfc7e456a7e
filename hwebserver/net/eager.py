"""The first step of a coroutine, taken without waking the task that it belongs to.

A session mostly waits for a message and answers it without waiting for anything else. To wake its
task for that costs a future, a turn of the loop with a look at every socket, and a step of the
task: 1.5 of 11 microseconds for a short message that is echoed to 50 clients, more for one. So what
receives the message begins the coroutine that takes it, in the name and the context of the task;
only a coroutine that has to wait is handed to the task, which goes on with it.

``_enter_task`` and ``_leave_task`` are what asyncio has for those who step coroutines themselves
(https://docs.python.org/3/library/asyncio-extending.html). A task can be given its context since
Python 3.11; before, tasks are woken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Optional, Union


def task_context() -> Optional[Context]:
    """Return a context for a new task whose coroutines may be begun; None: they cannot be."""
    return copy_context() if sys.version_info >= (3, 11) else None


class Begun:
    """A coroutine that has been begun, to be awaited once by its task.

    Args:
        coroutine: The coroutine.
        awaited: What it waits for.
    """

    __slots__ = ("_awaited", "_coroutine", "_is_future", "_thrown")

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited
        self._is_future = getattr(awaited, "_asyncio_future_blocking", False)
        if self._is_future:
            # The mark of a future on its way to the task that waits for it: until it gets there
            # nobody else could wait for it.
            awaited._asyncio_future_blocking = False
        self._thrown: Optional[BaseException] = None

    def throw(self, error: BaseException) -> None:
        """Have the coroutine meet an error where it waits, as soon as this is awaited."""
        self._thrown = error

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, awaited, thrown = self._coroutine, self._awaited, self._thrown
        if self._is_future and thrown is None:
            awaited._asyncio_future_blocking = True
        value = None
        while True:
            if thrown is None:
                try:
                    value = yield awaited
                except GeneratorExit:
                    coroutine.close()
                    raise
                except BaseException as error:
                    thrown = error
            try:
                awaited = coroutine.send(value) if thrown is None else coroutine.throw(thrown)
            except StopIteration:
                return
            thrown = None


class Failed:
    """What a coroutine raised in its first step, for its task to raise."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def throw(self, error: BaseException) -> None:
        """Ignore an error: there is one already."""

    def __await__(self) -> Generator[Any, Any, None]:
        raise self._error
        yield


_Outcome = Union[Begun, Failed, None]


class Stepper:
    """Begins coroutines in the name of a task.

    Args:
        loop: The loop, whose thread alone may use this.
        task: The task, which waits meanwhile.
        context: That of the task.
    """

    __slots__ = ("_enter", "_leave", "_loop", "_run", "_task")

    def __init__(self, loop: Any, task: Any, context: Context) -> None:
        from asyncio.tasks import _enter_task, _leave_task

        self._enter, self._leave = _enter_task, _leave_task
        self._loop = loop
        self._task = task
        self._run = context.run

    def begin(self, make: Callable[[Any], Coroutine[Any, Any, None]], message: Any) -> _Outcome:
        """Take the first step of a coroutine.

        Args:
            make: Makes it of a message.
            message: The message.

        Returns:
            What the task is to go on with; None: the coroutine has ended with that step.
        """
        self._enter(self._loop, self._task)
        try:
            coroutine = make(message)
            return Begun(coroutine, self._run(coroutine.send, None))
        except StopIteration:
            return None
        except BaseException as error:
            return Failed(error)
        finally:
            self._leave(self._loop, self._task)
