"""The time of day as HTTP writes it, written once a second."""

from __future__ import annotations

import time

from ..protocol.dates import http_date


class _HTTPClock:
    """Keeps the date of the current second; a race between threads only writes it twice.

    Attributes:
        until: Until when the date that was returned last is right, in monotonic time.
    """

    __slots__ = ("_current", "until")

    def __init__(self) -> None:
        self._current = (0, "")
        self.until = 0.0

    def date(self) -> str:
        """Return the current time as an IMF-fixdate (RFC 9110 5.6.7)."""
        now = time.time()
        second = int(now)
        current = self._current
        if current[0] != second:
            self.until = time.monotonic() + second + 1 - now
            current = self._current = (second, http_date(second))
        return current[1]


http_clock = _HTTPClock()
