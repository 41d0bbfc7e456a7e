"""Says which coroutine blocks the asyncio loop.

A coroutine that never waits, or that calls something which does (``time.sleep``, a request by a
plain client, a long computation), keeps the loop from every other one. From outside this looks as
if the server hung, so the log is to name the place. Whoever looks at deadlines asks the loop for a
sign of life now and then; when none comes for ``SILENCE``, the stack of its thread shows why.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Optional

logger = logging.getLogger("hwebserver.server")

#: How long a loop may give no sign of life, in seconds.
SILENCE = 2.0

#: Looks without one: when the whole process was held up, the loop gets the time for it.
_LOOKS = 2

#: The flags of code that runs as a coroutine or an async generator (see ``inspect``).
_COROUTINE = 0x80 | 0x200

#: This package, under whatever name.
_OWN = __name__.rsplit(".", 2)[0]

#: The modules that stand between the loop and what is looked for.
_NOT_TOLD = (f"{_OWN}.", "asyncio", "selectors")


class Watchdog:
    """Watches one loop.

    Args:
        call: Has the loop call a function.

    Attributes:
        thread: The identity of the loop's thread; 0: it is not known yet.
    """

    def __init__(self, call: Callable[[Callable[[], None]], None]) -> None:
        self._call = call
        self._alive = True
        self._asked = 0.0
        self._looks = 0
        self._said = False
        self.thread = 0

    def look(self, now: float) -> None:
        """See whether the loop is alive; one thread calls this now and then.

        Args:
            now: The monotonic time.
        """
        if self._alive:
            self._alive = self._said = False
            self._asked, self._looks = now, 0
            try:
                self._call(self._answer)
            except RuntimeError:
                pass  # It has ended.
            return
        self._looks += 1
        if self._said or self._looks < _LOOKS or now - self._asked < SILENCE:
            return
        place = _find_place(self.thread)
        if place:  # Else it waits: it was asleep with the whole process, or nobody runs it.
            self._said = True
            logger.warning(
                "the asyncio loop has been blocked for %.1f s by %s: all WebSockets and coroutines "
                "wait; what takes long belongs in a plain function, or in a thread",
                now - self._asked,
                place,
            )

    def _answer(self) -> None:
        self.thread = threading.get_ident()
        self._alive = True


def _find_place(thread: int) -> str:
    """Return the name, file and line of what a loop's thread runs; empty: nothing of others."""
    coroutine: Optional[FrameType] = None
    function: Optional[FrameType] = None
    for frame in _frames(sys._current_frames().get(thread)):
        if frame.f_code.co_name == "_run_once":
            # What is around the loop is not its doing; what it called is, coroutine or not.
            coroutine = coroutine or function
            break
        module = str(frame.f_globals.get("__name__"))
        if module == _OWN or module.startswith(_NOT_TOLD):
            continue
        function = frame
        if frame.f_code.co_flags & _COROUTINE:
            coroutine = frame
    return "" if coroutine is None else _describe(coroutine)


def _frames(frame: Optional[FrameType]) -> Iterator[FrameType]:
    """Yield the frames of a stack, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _describe(frame: FrameType) -> str:
    code = frame.f_code
    name = getattr(code, "co_qualname", code.co_name)
    return f"{name} ({code.co_filename}, line {frame.f_lineno})"
