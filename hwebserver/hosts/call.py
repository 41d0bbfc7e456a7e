"""One call that waits for the host's main thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from ..errors import MainThreadError

if TYPE_CHECKING:
    from .dispatcher import Dispatcher

_NEVER = float("inf")


class Call:
    """A function that is to be called on the main thread.

    ``done`` is set last, and then ``tell`` is called, so whoever is told, or looks, finds the rest.

    Args:
        dispatcher: Where it waits.
        function: The function.
        tell: Called when it is done.
        timeout: Seconds in which it is to begin; None: as long as it takes.
        blocks: Whether a thread waits for it.

    Attributes:
        began: When it was queued, and then when it was begun.
        blocks: Whether a thread waits for it.
        cancelled: Whether it was given up because nobody waits for what it would return.
        deadline: When it is too late to begin.
        done: Whether it has run, or never will.
        error: What the function raised, or why it was not called.
        result: What it returned.
    """

    __slots__ = (
        "_dispatcher",
        "_function",
        "_tell",
        "began",
        "blocks",
        "cancelled",
        "deadline",
        "done",
        "error",
        "result",
    )

    def __init__(
        self,
        dispatcher: Dispatcher,
        function: Callable[[], Any],
        tell: Callable[[], None],
        timeout: Optional[float],
        blocks: bool,
    ) -> None:
        self._dispatcher = dispatcher
        self._function = function
        self._tell = tell
        self.began = time.monotonic()
        self.deadline = _NEVER if timeout is None else self.began + timeout
        self.blocks = blocks
        self.done = self.cancelled = False
        self.result: Any = None
        self.error: Optional[BaseException] = None

    @property
    def name(self) -> str:
        """What people know the function by."""
        function: Any = self._function
        while isinstance(function, partial):
            function = function.func
        return str(getattr(function, "__qualname__", function))

    def run(self) -> None:
        """Call the function; what it raises is for whoever waits.

        Raises:
            KeyboardInterrupt: somebody has pressed Ctrl+C meanwhile, which is for the host too.
        """
        self.began = time.monotonic()
        interrupt: Optional[KeyboardInterrupt] = None
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error
            interrupt = error if isinstance(error, KeyboardInterrupt) else None
        self._end()
        if interrupt is not None:
            raise interrupt

    def refuse(self, error: BaseException) -> None:
        """Give up a call that the caller has taken out of the queue."""
        self.error = error
        self._end()

    def cancel(self) -> None:
        """Give it up if it has not begun, since nobody waits for what it would return."""
        if self._dispatcher.withdraw(self):
            self.cancelled = True
            self.refuse(MainThreadError("nobody waits for the call any more"))

    def expire(self) -> None:
        """Give it up if it has not begun, since it is too late; else it may take its time."""
        self.deadline = _NEVER
        if self._dispatcher.withdraw(self):
            self.refuse(MainThreadError(self._dispatcher.explain(self)))

    def _end(self) -> None:
        self.done = True
        self._tell()
