"""What sockets and handlers both need to write to the log: whose record it is, and refusals.

A record says of which port it is, so that the port's own file gets it. Refusals are what strangers
can make us write as often as they like, so of many only a sum is written.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Optional

from .exchange import Port

logger = logging.getLogger("hwebserver.server")

#: The attribute of a record that says of which port it is; a record without it is of all of them.
PORT_ATTRIBUTE = "hwebserver_port"

#: What the log says of a client that has no address.
UNIX_CLIENT = "unix:"

#: Refusals of one second that are logged in full.
_IN_FULL = 10

#: How long more of them are only counted, in seconds.
_COUNTING = 10.0


def of_port(port: Optional[Port]) -> Optional[dict[str, Any]]:
    """Return the ``extra`` of a record that is of a port.

    Args:
        port: The port; None: the record is of no single one.
    """
    return None if port is None else {PORT_ATTRIBUTE: port}


def printable(text: str) -> str:
    """Return a text in which nothing can end a line or hide, what could do so escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class Refusals:
    """Writes down what one port refuses, and why; any thread may call this.

    Ten of a second are logged in full. When there are more, all that follow are only counted for
    ten seconds; then one line sums them up.

    Args:
        port: The port; None: it is another server's.

    Attributes:
        count: How many there were in all.
    """

    def __init__(self, port: Optional[Port] = None) -> None:
        self.count = 0
        self._extra = of_port(port)
        self._lock = threading.Lock()
        self._second = -_COUNTING  # when the second began whose refusals are shown
        self._shown = 0
        self._missed = 0  # that were only counted
        self._since = self._until = 0.0  # the first and the last of those
        self._last = ""

    @property
    def pending(self) -> bool:
        """Whether some were only counted, so that ``look`` is to be called again."""
        return self._missed > 0

    def note(
        self, client: str, reason: str, *, quiet: bool = False, now: Optional[float] = None
    ) -> None:
        """Take note of a refusal.

        Args:
            client: The address that is refused.
            reason: Why, in one sentence without secrets.
            quiet: Whether something else tells of it, so that it is a debug message.
            now: The monotonic time; None: that of now.
        """
        moment = time.monotonic() if now is None else now
        line = printable(f"{client}: {reason}" if client else f"{UNIX_CLIENT} {reason}")
        with self._lock:
            self.count += 1
            summary = self._sum_up(moment, _COUNTING)
            shown = quiet or self._is_shown(moment)
            if not shown:
                self._miss(line, moment)
        # The handlers of the log are the host's: none runs under our lock.
        if summary:
            logger.warning("%s", summary, extra=self._extra)
        if shown:
            logger.log(logging.DEBUG if quiet else logging.WARNING, "%s", line, extra=self._extra)

    def _is_shown(self, now: float) -> bool:
        if self._missed:
            return False
        if now - self._second >= 1.0:
            self._second, self._shown = now, 0
        self._shown += 1
        return self._shown <= _IN_FULL

    def _miss(self, line: str, now: float) -> None:
        if not self._missed:
            self._since = now
        self._missed += 1
        self._until, self._last = now, line

    def look(self, now: float) -> None:
        """Sum up what was only counted, when that is due.

        Args:
            now: The monotonic time.
        """
        if self._missed:
            self._write_sum(now, _COUNTING)

    def close(self) -> None:
        """Sum up what was only counted, since the port is closed."""
        self._write_sum(self._until, 0.0)

    def _write_sum(self, now: float, least: float) -> None:
        with self._lock:
            summary = self._sum_up(now, least)
        if summary:
            logger.warning("%s", summary, extra=self._extra)

    def _sum_up(self, now: float, least: float) -> str:
        """Return the line that sums up what was counted; empty: nothing was, or not for long."""
        if not self._missed or now - self._since < least:
            return ""
        missed, self._missed = self._missed, 0
        seconds = max(1, round(self._until - self._since))
        return f"... and {missed} more were refused within {seconds} s, the last: {self._last}"
