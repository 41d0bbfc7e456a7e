"""The access log, and the console of a program that has set up no logging of its own."""

from __future__ import annotations

import logging
import sys
import time
from typing import Optional

from ..exchange import ConnectionInfo
from ..protocol.http1 import RequestHead

access_logger = logging.getLogger("hwebserver.access")
package_logger = logging.getLogger("hwebserver")

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: Fields whose values no log shows.
_SECRET = frozenset(("authorization", "cookie", "proxy-authorization"))


def log_access(
    info: ConnectionInfo, head: Optional[RequestHead], status: int, sent: int, seconds: float
) -> None:
    """Write the line of an exchange in the common log format.

    With the logger at DEBUG the time it took and the header fields of the request follow.

    Args:
        info: The connection.
        head: The request; None: it was not one.
        status: What was answered; 0: nothing was, the client has left.
        sent: Bytes of the body that were sent.
        seconds: How long it took.
    """
    line = "-" if head is None else f"{head.method} {head.target} HTTP/1.{head.minor}"
    line = line.replace("\\", "\\\\").replace('"', '\\"')
    size = str(sent) if sent else "-"
    access_logger.info(
        '%s - - [%s] "%s" %s %s', info.peer[0], _local_time(), line, status or 499, size
    )
    if head is not None and access_logger.isEnabledFor(logging.DEBUG):
        fields = ", ".join(
            f"{name}: {'***' if name.lower() in _SECRET else value}" for name, value in head.fields
        )
        access_logger.debug("%.3f ms; %s", seconds * 1000, fields)


def _local_time() -> str:
    """Return the time as the common log format has it; ``%b`` would follow the locale."""
    now = time.localtime()
    month = _MONTHS[now.tm_mon - 1]
    return time.strftime(f"%d/{month}/%Y:%H:%M:%S %z", now)


class Console:
    """The log on the console while a server runs.

    The host's own logging comes first: where somebody has set a handler up, nothing is added.

    Args:
        verbosity: 0: startup and errors; 1: a line a request; 2: header fields and timing.
        debug: Whether debug messages are shown too.
        access_log: Whether a line a request is written; None: by the verbosity.
    """

    def __init__(self, verbosity: int, debug: bool, access_log: Optional[bool]) -> None:
        self._handler: Optional[logging.Handler] = None
        self._levels = (package_logger.level, access_logger.level)
        wanted = verbosity > 0 if access_log is None else access_log
        access_level = logging.WARNING if not wanted else logging.INFO
        if wanted and verbosity > 1:
            access_level = logging.DEBUG
        if self._levels[1] == logging.NOTSET:
            access_logger.setLevel(access_level)
        if self._levels[0] == logging.NOTSET:
            package_logger.setLevel(logging.DEBUG if debug else logging.INFO)
        if sys.stderr is not None and not _has_handler(package_logger):
            self._handler = logging.StreamHandler(sys.stderr)
            self._handler.setFormatter(logging.Formatter("%(message)s"))
            package_logger.addHandler(self._handler)

    def close(self) -> None:
        """Leave logging as it was."""
        if self._handler is not None:
            package_logger.removeHandler(self._handler)
            self._handler = None
        package_logger.setLevel(self._levels[0])
        access_logger.setLevel(self._levels[1])


def _has_handler(logger: logging.Logger) -> bool:
    """Say whether somebody listens, other than the NullHandler of the package."""
    current: Optional[logging.Logger] = logger
    while current is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False
