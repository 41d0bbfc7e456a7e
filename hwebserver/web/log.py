"""The access log, and the console of a program that has set up no logging of its own.

A line has a fixed form that tools take apart, so nothing in a request may end it or look like
another field: what is not visible ASCII is written as an escape, and so are quotes and backslashes.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Protocol, TextIO

from ..exchange import ConnectionInfo, Port
from ..journal import UNIX_CLIENT, of_port, printable
from ..protocol.http1 import RequestHead
from .requestid import make_id

access_logger = logging.getLogger("hwebserver.access")
package_logger = logging.getLogger("hwebserver")

_LOGGERS = (package_logger, access_logger)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: Fields whose values no log shows.
_SECRET = frozenset(("authorization", "cookie", "proxy-authorization"))

#: The status of what was not answered, since the client had left; nginx writes it so.
_LEFT = 499

#: What cannot stand between quotes in a line, and what cannot where spaces separate fields.
_UNQUOTABLE = re.compile(r"[^ !#-\[\]-~]")
_UNSPACED = re.compile(r"[^!#-\[\]-~]")


def _any_spelling(name: str) -> str:
    """Return a pattern of a name in a query, of which any letter may be percent-encoded."""
    return "".join(f"(?:{re.escape(one)}|%{ord(one):x}|%{ord(one.upper()):x})" for one in name)


_TOKEN = re.compile(rf"((?:^|[?&;]){_any_spelling('access_token')}=)[^&]+", re.IGNORECASE)


def mask_token(text: str) -> str:
    """Return a text for the log in which the value of ``access_token`` is not to be read.

    Args:
        text: A request target, a query, or another URI.
    """
    if "%" not in text and "access_token" not in text.lower():
        return text  # as most are
    return _TOKEN.sub(r"\1***", text)


# --- lines of requests ---


class Subject(NamedTuple):
    """What all lines of requests with one head have in common; found out once, and then only read.

    Attributes:
        form: What writes them.
        parts: What they say of the client and the head, as it stands there.
        port: The port.
    """

    form: _Form
    parts: tuple[str, ...]
    port: Port


#: What a line is made of, when it is wanted: the request, the time when it was answered, and what
#: ``AccessLog.log`` was told.
Entry = tuple[Subject, float, int, int, float, str]


def line_of(entry: Entry) -> str:
    """Return the line of a request."""
    form = entry[0].form
    return form.message % form.arguments(entry)


def _field(head: Optional[RequestHead], name: str) -> Optional[str]:
    """Return the value of a field of a request."""
    return None if head is None else head.fields.combined.get(name)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in '"\\':
        return "\\" + match[0]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _quoted(text: Optional[str]) -> str:
    return _UNQUOTABLE.sub(_escape, text) if text else "-"


class _Stamp:
    """The time as a log writes it, written once for each second.

    Args:
        write: Writes a time.
    """

    def __init__(self, write: Callable[[time.struct_time], str]) -> None:
        self._write = write
        self._kept = (-1, "")

    def of(self, moment: float) -> str:
        """Return a time, that of now or nearly so."""
        second = int(moment)
        kept = self._kept
        if kept[0] != second:
            kept = self._kept = (second, self._write(time.localtime(second)))
        return kept[1]


def _offset(moment: time.struct_time, separator: str) -> str:
    """Return how far local time is from UTC: ``+0200``."""
    east = (getattr(moment, "tm_gmtoff", 0) or 0) // 60  # not every system knows it
    hours, minutes = divmod(abs(east), 60)
    return f"{'-' if east < 0 else '+'}{hours:02}{separator}{minutes:02}"


def _common_time(moment: time.struct_time) -> str:
    """Write a time as the common log format has it; ``%b`` would follow the locale."""
    month = _MONTHS[moment.tm_mon - 1]
    return time.strftime(f"%d/{month}/%Y:%H:%M:%S ", moment) + _offset(moment, "")


def _iso_time(moment: time.struct_time) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + _offset(moment, ":")


_common_stamp = _Stamp(_common_time)
_iso_stamp = _Stamp(_iso_time)


class _Form(Protocol):
    """How lines are written.

    Attributes:
        message: What the arguments are put into.
    """

    message: str

    def parts(self, info: ConnectionInfo, head: Optional[RequestHead]) -> tuple[str, ...]:
        """Return what the lines of equal requests have in common.

        Args:
            info: The connection.
            head: The request; None: it was not one.
        """

    def arguments(self, entry: Entry) -> tuple[Any, ...]:
        """Return what a line consists of."""


class _Common:
    """The common log format; see ``_Form``."""

    message = '%s - - [%s] "%s" %d %s'

    def parts(self, info: ConnectionInfo, head: Optional[RequestHead]) -> tuple[str, ...]:
        line = "-"
        if head is not None:
            line = _quoted(f"{head.method} {mask_token(head.target)} HTTP/1.{head.minor}")
        return _UNSPACED.sub(_escape, info.peer[0]) or UNIX_CLIENT, line

    def arguments(self, entry: Entry) -> tuple[Any, ...]:
        subject, moment, status, sent, _, _ = entry
        client, line = subject.parts
        return client, _common_stamp.of(moment), line, status or _LEFT, sent or "-"


class _Combined(_Common):
    """The combined log format: the common one, and where the client came from with what."""

    message = _Common.message + ' "%s" "%s"'

    def parts(self, info: ConnectionInfo, head: Optional[RequestHead]) -> tuple[str, ...]:
        referer = _quoted(mask_token(_field(head, "referer") or ""))
        return (*super().parts(info, head), referer, _quoted(_field(head, "user-agent")))

    def arguments(self, entry: Entry) -> tuple[Any, ...]:
        subject, moment, status, sent, _, _ = entry
        client, line, referer, agent = subject.parts
        now = _common_stamp.of(moment)
        return client, now, line, status or _LEFT, sent or "-", referer, agent


class _JSON:
    """An object for each request; its parts are what stands between the values that differ."""

    message = "%s"

    def __init__(self) -> None:
        from json import JSONEncoder

        self._encode = JSONEncoder(separators=(",", ":")).encode

    def parts(self, info: ConnectionInfo, head: Optional[RequestHead]) -> tuple[str, ...]:
        referer = _field(head, "referer")
        before = {
            "client": info.peer[0] or UNIX_CLIENT,
            "method": head and head.method,
            "path": head and head.path,
            "query": head and mask_token(head.query),
            "protocol": head and f"HTTP/1.{head.minor}",
        }
        behind = {
            "host": head and (info.host or head.authority),
            "referer": referer and mask_token(referer),
            "user_agent": _field(head, "user-agent"),
            "port": info.port.name,
        }
        return self._encode(before)[1:-1], self._encode(behind)[1:-1]

    def arguments(self, entry: Entry) -> tuple[Any, ...]:
        subject, moment, status, sent, seconds, request_id = entry
        before, behind = subject.parts
        known = self._encode(request_id) if request_id else f'"{make_id()}"'
        return (
            f'{{"time":"{_iso_stamp.of(moment)}",{before},"status":{int(status or _LEFT)},'
            f'"bytes":{sent},"duration_ms":{round(seconds * 1000, 3)},'
            f'"request_id":{known},{behind}}}',
        )


def _form_of(style: str) -> _Form:
    if style == "json":
        return _JSON()
    return _Combined() if style == "combined" else _Common()


class AccessLog:
    """The lines of the requests of one port.

    Args:
        style: ``common``, ``combined`` or ``json``.
        logger: Where they go.
        details: Whether header fields and timing may follow, where the access log is at DEBUG.
        wanted: Says each time whether there is to be a line; None: there always is.
        put: Takes what lines are made of, where nobody but a file hears of them: none goes to the
            logger then.

    Attributes:
        logger: Where they go.
        put: Takes what they are made of instead.
    """

    def __init__(
        self,
        style: str,
        logger: logging.Logger = access_logger,
        details: bool = True,
        wanted: Optional[Callable[[], bool]] = None,
        put: Optional[Callable[[Entry], None]] = None,
    ) -> None:
        self.logger = logger
        self.put = put
        self._wanted = wanted
        self._form = _form_of(style)
        self._details = details

    def subject(self, info: ConnectionInfo, head: Optional[RequestHead]) -> Subject:
        """Return what lines have in common.

        Args:
            info: The connection.
            head: The head of the requests; None: there was none that could be understood.
        """
        return Subject(self._form, self._form.parts(info, head), info.port)

    def log(
        self,
        subject: Subject,
        head: Optional[RequestHead],
        status: int,
        sent: int,
        seconds: float,
        request_id: str,
    ) -> None:
        """Write the line of a request.

        Args:
            subject: What it has in common with others.
            head: The head of the request.
            status: What was answered; 0: nothing was, the client has left.
            sent: Bytes of the body that were sent.
            seconds: How long it took.
            request_id: The id of the request, as far as it has one.
        """
        moment = time.time()
        if self.put is not None and not self._details:
            self.put((subject, moment, status, sent, seconds, request_id))
            return
        if self._wanted is not None and not self._wanted():
            return
        detailed = self._details and head is not None and access_logger.isEnabledFor(logging.DEBUG)
        if detailed and not request_id:
            request_id = make_id()
        entry = subject, moment, status, sent, seconds, request_id
        if self.put is None:
            self._pass_on(entry)
        else:
            self.put(entry)
        if detailed and head is not None:
            details = "%.3f ms; request %s; %s"
            fields, extra = _shown_fields(head), of_port(subject.port)
            access_logger.debug(details, seconds * 1000, request_id, fields, extra=extra)

    def _pass_on(self, entry: Entry) -> None:
        """Make a record of a line for all who hear of it."""
        subject = entry[0]
        message, arguments = subject.form.message, subject.form.arguments(entry)
        extra = of_port(subject.port)
        # Where in our code it was written tells nobody anything, and is dear to find out.
        record = self.logger.makeRecord(
            access_logger.name, logging.INFO, __file__, 0, message, arguments, None, "log", extra
        )
        self.logger.handle(record)


def _shown_fields(head: RequestHead) -> str:
    return printable(
        ", ".join(
            f"{name}: {'***' if name.lower() in _SECRET else mask_token(value)}"
            for name, value in head.fields
        )
    )


# --- the console ---


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
        self.access_level: Optional[int] = None  # as servers have set it


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
                if logger is access_logger:
                    self._handler.access_level = level

    def is_overruled(self) -> bool:
        """Return whether the level of the access log is one that the host has set."""
        return access_logger.level != self._handler.access_level

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
