"""Where the ports of a server are logged to: the console or the host's handlers, and files.

The files are written by the handlers of the standard library. One handler writes one file, however
many ports and servers of the process name it: two would break each other's lines and rotation.
Nobody but its file hears of the lines of requests that have one, so no records are made of them,
and they are written many at a time, behind the requests, by the thread that looks at deadlines.
What the host has set up of its own (levels, handlers, ``propagate``) holds for the files as well:
they get what the loggers of the package let through.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import OperationFailed
from ..exchange import Port
from ..journal import PORT_ATTRIBUTE, Refusals, printable
from .log import AccessLog, Console, Entry, access_logger, line_of, package_logger

Values = Mapping[str, Any]

#: The least levels of ``webServerSeverity``, from Message to Fatal.
_LEVELS = (logging.INFO, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)

#: Lines of requests that wait to be written together, at most.
_MOST_WAITING = 256

#: What part of a file that is rotated is written at once at most: so much of it may stay empty.
_PART = 8


class PortLog(NamedTuple):
    """The logs of one port.

    Attributes:
        access: Where its requests get their lines; None: they get none.
        refusals: Where what is refused is written down.
    """

    access: Optional[AccessLog]
    refusals: Refusals


class Logs:
    """The logs of a server that runs.

    Args:
        ports: Its ports and their settings, the main one first; a port is None where the sockets
            are another server's.

    Attributes:
        ports: The logs of each, in the same order.

    Raises:
        OperationFailed: a file cannot be opened.
    """

    def __init__(self, ports: Sequence[tuple[Optional[Port], Values]]) -> None:
        settings = [values for _, values in ports]
        verbosity = max(values["VERBOSITY"] for values in settings)
        shown = any(map(_shows_lines, settings))
        self._console = Console(verbosity, settings[0]["DEBUG"], shown)
        self._files: list[tuple[LogFile, Optional[_Rule]]] = []
        self._soon: Optional[Callable[[], None]] = None
        self.ports: list[PortLog] = []
        try:
            for port, values in ports:
                self._open_log(port, values)
                self.ports.append(PortLog(self._access_log(port, values), Refusals(port)))
        except BaseException:
            self.close()
            raise

    def _open_log(self, port: Optional[Port], values: Values) -> None:
        if values["LOG_FILE"]:
            level = _LEVELS[values["MIN_LOG_SEVERITY"]]
            if values["DEBUG"] and not values["MIN_LOG_SEVERITY"]:
                level = logging.DEBUG
            file = _take_file("LOG_FILE", port, values)
            rule = _Rule(port, level)
            self._files.append((file, rule))
            file.add(rule)

    def _access_log(self, port: Optional[Port], values: Values) -> Optional[AccessLog]:
        style, wanted = values["ACCESS_LOG_FORMAT"], _wants_lines(values)
        if wanted is None:
            # A host that sets the level of the logger, now or later, says what it wants of it.
            return AccessLog(style, wanted=self._console.is_overruled)
        if not wanted:
            return None
        details = values["VERBOSITY"] > 1
        if not values["ACCESS_LOG_FILE"]:
            return AccessLog(style, access_logger, details)
        file = _take_file("ACCESS_LOG_FILE", port, values)
        self._files.append((file, None))
        return AccessLog(style, access_logger, details, put=file.put)

    def delay(self, soon: Callable[[], None]) -> None:
        """Let lines of requests wait until ``look`` is called.

        Args:
            soon: Has it called before long; any thread may call this.
        """
        self._soon = soon
        with _lock:
            for file, _ in self._files:
                file.lookers = (*file.lookers, soon)

    def look(self, now: float) -> None:
        """Write what is due; the polling thread calls this now and then.

        Args:
            now: The monotonic time.
        """
        for port in self.ports:
            port.refusals.look(now)
        for file, _ in self._files:
            file.flush()

    def pending(self) -> bool:
        """Return whether ``look`` is to be called again though nothing else happens."""
        waiting = any(file.waiting for file, _ in self._files)
        return waiting or any(port.refusals.pending for port in self.ports)

    def close(self) -> None:
        """Close the files, and leave logging as it was; a second call does nothing."""
        for port in self.ports:
            port.refusals.close()
        files, self._files = self._files, []
        with _lock:
            for file, _ in files:
                file.lookers = tuple(one for one in file.lookers if one is not self._soon)
        for file, rule in files:
            file.flush()  # Another server may go on with it, and not look for a while.
            _give_back(file, rule)
        self._console.close()


def _wants_lines(values: Values) -> Optional[bool]:
    """Say whether requests get lines; None: nobody has said anything."""
    if values["ACCESS_LOG"] is not None:
        return bool(values["ACCESS_LOG"])
    return True if values["VERBOSITY"] or values["ACCESS_LOG_FILE"] else None


def _shows_lines(values: Values) -> bool:
    """Say whether anything of a port's requests goes to the console or the host."""
    elsewhere = values["ACCESS_LOG_FILE"] and values["VERBOSITY"] < 2
    return bool(_wants_lines(values)) and not elsewhere


# --- files ---


class _Rule(NamedTuple):
    """Which records a file gets.

    Attributes:
        port: Those of this port, and those of none; None: all.
        level: The least level.
    """

    port: Optional[Port]
    level: int


class _Lines(logging.LogRecord):
    """Lines of requests, written already and safe to stand below each other.

    Args:
        text: The lines.
    """

    def __init__(self, text: str) -> None:
        super().__init__(access_logger.name, logging.INFO, "", 0, text, None, None)


class _LineFormatter(logging.Formatter):
    """Writes a record as one line; those of a traceback are indented, so none can be forged."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record; one of a request is written already."""
        if record.name == access_logger.name and record.levelno == logging.INFO:
            return record.message
        port = getattr(record, PORT_ATTRIBUTE, None)
        name = record.name if port is None else f"{record.name} [{port.name}]"
        return f"{record.asctime} {record.levelname} {name}: {printable(record.message)}"

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        if isinstance(record, _Lines):
            return str(record.msg)
        return "\n    ".join(super().format(record).splitlines())


class LogFile(logging.Handler):
    """One open file.

    Args:
        key: What it is known by.
        target: The handler that writes it.
        most: Bytes of lines of requests that are written at once; 0: any number.

    Attributes:
        users: How many ports name it.
        waiting: What lines of requests are made of that are not written yet.
        lookers: Each has ``flush`` called before long; without one no line waits.
    """

    def __init__(self, key: str, target: logging.FileHandler, most: int) -> None:
        super().__init__()
        self.key = key
        self.users = 0
        self.waiting: list[Entry] = []
        self.lookers: tuple[Callable[[], None], ...] = ()
        self._told = False  # one of them
        self._process = 0  # whose lines these are: the child of a fork has a copy
        self._most = most
        self._target = target
        self._gate = _Gate(self)
        self._ended = False
        target.setFormatter(_LineFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless it comes late: the handler would open the file again."""
        self.flush()
        if not self._ended:
            self._write(record)

    def put(self, entry: Entry) -> None:
        """Write the line of a request, now or before long; any thread may call this."""
        self.waiting.append(entry)
        lookers = self.lookers
        if lookers and self._told:
            if len(self.waiting) >= _MOST_WAITING:
                self.flush()
            return
        self._process = os.getpid()
        if lookers:
            self._told = True
            lookers[-1]()
        else:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait, unless the host has disabled such."""
        self._told = False  # Before the look: what comes too late for it tells again.
        if not self.waiting:
            return
        self.acquire()
        try:
            count = len(self.waiting)
            entries = self.waiting[:count]
            del self.waiting[:count]
            ours = self._process == os.getpid() and not self._ended
            if ours and access_logger.manager.disable < logging.INFO:
                for text in _bundles(map(line_of, entries), self._most):
                    self._write(_Lines(text))
        finally:
            self.release()

    def _write(self, record: logging.LogRecord) -> None:
        try:
            self._target.emit(record)
        except Exception:  # The folder has gone, for example, and a new file cannot be opened.
            self._target.handleError(record)

    def add(self, rule: _Rule) -> None:
        """Have it get the records that a rule names."""
        self._gate.rules = (*self._gate.rules, rule)
        package_logger.addHandler(self._gate)

    def remove(self, rule: _Rule) -> None:
        """Undo an ``add``."""
        rules = list(self._gate.rules)
        rules.remove(rule)
        self._gate.rules = tuple(rules)
        if not rules:
            package_logger.removeHandler(self._gate)

    def end(self) -> None:
        """Close the file for good; ``close`` is what a new logging configuration calls."""
        self.acquire()
        try:
            self._ended = True
            self._target.close()
        finally:
            self.release()
        self.close()
        self._gate.close()


def _bundles(lines: Iterable[str], most: int) -> Iterator[str]:
    """Return lines below each other, in texts of so many bytes at most; 0: in a single one."""
    if not most:
        yield "\n".join(lines)
        return
    text = ""
    for line in lines:
        if text and len(text) + len(line) >= most:
            yield text
            text = ""
        text = f"{text}\n{line}" if text else line
    if text:
        yield text


class _Gate(logging.Handler):
    """Lets those records through to a file that one of its rules names."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file
        self.rules: tuple[_Rule, ...] = ()

    def handle(self, record: logging.LogRecord) -> bool:
        """Pass a record on, once, if it is meant for the file."""
        of = getattr(record, PORT_ATTRIBUTE, None)
        for port, level in self.rules:
            if record.levelno >= level and (port is None or of is None or port == of):
                return bool(self._file.handle(record))
        return False


#: The files that are open, and what guards them.
_files: dict[str, LogFile] = {}
_lock = threading.Lock()


def _take_file(name: str, port: Optional[Port], values: Values) -> LogFile:
    """Return the file that a setting names, opened if it is not yet.

    Raises:
        OperationFailed: it cannot be opened.
    """
    path = values[name]
    with _lock:
        try:
            key = os.path.realpath(path)
            if key not in _files:
                most = values["LOG_FILE_MAX_SIZE"]
                target = _open_file(path, most, values["LOG_FILE_COUNT"])
                _files[key] = LogFile(key, target, -(-most // _PART))
        except (OSError, ValueError) as error:
            where = "" if port is None else f" of the port {port.name!r}"
            reason = getattr(error, "strerror", None) or error
            message = f"{name}{where} cannot be opened: {path}: {reason}"
            raise OperationFailed(message) from error
        file = _files[key]
        file.users += 1
        return file


@atexit.register
def _flush_all() -> None:
    """Write what waits when the process ends with a server that runs."""
    for file in list(_files.values()):
        file.flush()


def _give_back(file: LogFile, rule: Optional[_Rule]) -> None:
    """Close a file when nobody uses it any more."""
    with _lock:
        if rule is not None:
            file.remove(rule)
        file.users -= 1
        if not file.users:
            del _files[file.key]
            file.end()


def _open_file(path: str, most: int, count: int) -> logging.FileHandler:
    """Open a file for appending.

    Args:
        path: Where it is.
        most: Bytes at which it is rotated; 0: never by us.
        count: Rotated files that are kept.

    Raises:
        OSError: it cannot be opened.
        ValueError: no file can have such a name.
    """
    from logging.handlers import RotatingFileHandler, WatchedFileHandler

    if most:
        return RotatingFileHandler(path, "a", most, count, "utf-8", errors="backslashreplace")
    # Where logrotate moves a file away a new one is begun. Windows moves no open files.
    kind = WatchedFileHandler if os.name == "posix" else logging.FileHandler
    return kind(path, "a", "utf-8", errors="backslashreplace")
