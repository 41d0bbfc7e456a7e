"""A main thread for tests, which is the test's own: threads beside it, and a loop to turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from support import PATIENCE, wait_until

import hwebserver

MAIN = threading.main_thread()


def on_main() -> bool:
    """Say whether the calling thread is the main thread."""
    return threading.current_thread() is MAIN


class Beside:
    """A function that runs on a thread of its own.

    Attributes:
        error: What it raised.
        result: What it returned.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._function = function
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def join(self) -> Any:
        """Wait for it, and return what it returned."""
        self._thread.join(PATIENCE)
        assert self.over, "it does not end"
        if self.error is not None:
            raise self.error
        return self.result

    def served(self) -> Any:
        """Run what it wants of the main thread until it ends, and return what it returned."""
        wait_until(lambda: hwebserver.processMainThreadCalls() < 0 or self.over)
        return self.join()


class Loop:
    """The event loop of a host: what is posted to it waits until the test turns it.

    Attributes:
        posted: What waits.
        posters: The threads that have posted.
    """

    def __init__(self) -> None:
        self.posted: deque[Callable[[], Any]] = deque()
        self.posters: list[threading.Thread] = []

    def post(self, function: Callable[[], Any]) -> None:
        """Have the loop call a function; any thread may ask."""
        self.posters.append(threading.current_thread())
        self.posted.append(function)

    def turn(self) -> None:
        """Call what waits."""
        while self.posted:
            self.posted.popleft()()

    def until(self, over: Callable[[], Any]) -> None:
        """Turn the loop until something holds."""
        wait_until(lambda: self.turn() or over())
