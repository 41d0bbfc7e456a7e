"""The time of day as HTTP writes it, written once a second."""

from __future__ import annotations

import time


class _HTTPClock:
    """Keeps the date of the current second; a race between threads only writes it twice."""

    __slots__ = ("_current",)

    def __init__(self) -> None:
        self._current = (0, "")

    def __call__(self) -> str:
        """Return the current time as an IMF-fixdate (RFC 9110 5.6.7)."""
        second = int(time.time())
        current = self._current
        if current[0] != second:
            from email.utils import formatdate

            current = self._current = (second, formatdate(second, usegmt=True))
        return current[1]


http_date = _HTTPClock()
