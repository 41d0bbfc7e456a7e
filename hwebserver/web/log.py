"""The access log, and the console of a program that has set up no logging of its own."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Optional, TextIO

from ..exchange import ConnectionInfo
from ..protocol.http1 import RequestHead

access_logger = logging.getLogger("hwebserver.access")
package_logger = logging.getLogger("hwebserver")

_LOGGERS = (package_logger, access_logger)

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
        '%s - - [%s] "%s" %s %s',
        info.peer[0] or "unix:",
        _local_time(),
        line,
        status or 499,
        size,
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


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # not subscriptable before Python 3.11


class _ConsoleHandler(_StreamHandler):
    """The handler of the console, shared by the servers of the process that run.

    Args:
        silent: The host has set logging up, so nothing is written here.
    """

    def __init__(self, silent: bool) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(message)s"))
        if silent:
            self.addFilter(lambda record: False)
        self.users = 0
        self.former_levels = (package_logger.level, access_logger.level)


class Console:
    """The log on the console while a server runs.

    The host's own logging comes first: where somebody has set a handler up, nothing is written.
    Of several servers the one that says most decides what is logged.

    Args:
        verbosity: 0: startup and errors; 1: a line a request; 2: header fields and timing.
        debug: Whether debug messages are shown too.
        access_log: Whether a line a request is written; None: by the verbosity.
    """

    def __init__(self, verbosity: int, debug: bool, access_log: Optional[bool]) -> None:
        self._handler = _shared_handler()
        self._handler.users += 1
        wanted = verbosity > 0 if access_log is None else access_log
        access = (logging.DEBUG if verbosity > 1 else logging.INFO) if wanted else logging.WARNING
        levels = (logging.DEBUG if debug else logging.INFO, access)
        for logger, former, level in zip(_LOGGERS, self._handler.former_levels, levels):
            if former == logging.NOTSET and (not logger.level or level < logger.level):
                logger.setLevel(level)

    def close(self) -> None:
        """Leave logging as it was, when no other server runs."""
        self._handler.users -= 1
        if self._handler.users:
            return
        package_logger.removeHandler(self._handler)
        for logger, former in zip(_LOGGERS, self._handler.former_levels):
            logger.setLevel(former)


def _shared_handler() -> _ConsoleHandler:
    """Return the handler of the servers that run; made for the first of them."""
    for handler in package_logger.handlers:
        if isinstance(handler, _ConsoleHandler):
            return handler
    handler = _ConsoleHandler(sys.stderr is None or has_listener())
    package_logger.addHandler(handler)
    return handler


def has_listener() -> bool:
    """Say whether somebody hears what is logged: a handler other than the package's NullHandler."""
    current: Optional[logging.Logger] = package_logger
    while current is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False
