"""Every option of the server, exactly once; who said what about them, and who wins.

An option has a name, a type, a default and a line of documentation. The arguments of ``run``,
``setSettingsForPort``, settings files, the environment and the command line are all read through
this table, so a value is checked in one way wherever it comes from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple, Optional, Union

from .errors import OperationFailed
from .option import (
    Option,
    check_value,
    hint,
    near_miss,
    nearest,
    nearest_path,
    parse_text,
    shown_unknown,
)

#: The name of the port that ``run(port=...)`` opens.
MAIN_PORT = "main"

#: The key of what holds for every port.
EVERY_PORT = "*"

#: Who says what nobody says.
DEFAULT = "default"

ENVIRONMENT_PREFIX = "HWEBSERVER_"

#: The variable in which a restarted process finds its former listening sockets, and the one in
#: which it finds the numbers of its former ports, where no socket can be kept (Windows).
RESTARTED_SOCKETS = "HWEBSERVER_RESTARTED_SOCKETS"
RESTARTED_PORTS = "HWEBSERVER_RESTARTED_PORTS"

_MB = 1 << 20

# fmt: off
_TABLE = (
    Option("PORT", int, 8008, "Number of the port to listen on; 0: the system chooses.", 0,
           argument="port", flag="port", most=65535),
    Option("MAX_PORT", int, None, "Last port to try when PORT cannot be had.", 0,
           argument="up_to_port", optional=True, most=65535),
    Option("ALLOW_SYSTEM_PORT", bool, False, "Let the system choose when all of those fail.",
           argument="use_free_port_on_failure"),
    Option("ADDRESS", str, "",
           "Address or host name to listen on, unix:/path or fd:N; empty: loopback alone.",
           flag="host"),
    Option("IPV6", bool, True, "Listen on ::1 too when ADDRESS is empty."),
    Option("DEBUG", bool, False, "Log to the console; show tracebacks to local clients.",
           argument="debug", flag="debug"),
    Option("RELOAD_SOURCE_CHANGES", bool, None, "Restart when a loaded source file changes.",
           argument="reload_source_changes", flag="reload", optional=True, of_server=True),
    Option("RELOAD_EXTRA_FILES", list, [],
           "Files, folders and patterns (*.html) that are watched beside the source of modules.",
           flag="reload-include", of_server=True),
    Option("RELOAD_INTERVAL", float, 1.0, "Seconds between two looks at what is watched.", 0.01,
           of_server=True),
    Option("MAX_NUM_THREADS", int, 4, "Most handlers that run at once.", 1,
           argument="max_num_threads", flag="threads", of_server=True),
    Option("MAX_IN_MEMORY_FILE_UPLOAD_SIZE", int, 2621440,
           "Bytes of a body kept in memory; a larger one goes to a temporary file.", 0,
           argument="max_in_memory_file_upload_size"),
    Option("MAX_REQUEST_SIZE", int, 3 << 30, "Most bytes of the body of a request (else 413).", 0,
           argument="max_request_size"),
    Option("VERBOSITY", int, 0, "0: startup and errors; 1: a line a request; 2: headers, timing.",
           0, argument="verbosity", flag="verbosity", most=2, of_server=True),
    Option("ACCESS_LOG", bool, None, "Write a line a request (unset: by VERBOSITY).",
           flag="access-log", optional=True),
    Option("SERVER_HEADER", str, "hwebserver", "The Server field of answers; empty: none."),
    Option("ALLOWED_HOSTS", list, None,
           "Hosts that requests may be for; unset: this machine's, as ADDRESS lets it be reached.",
           flag="allowed-host", optional=True),
    Option("ACCESS_TOKEN", str, None,
           "What clients must send as Authorization: Bearer; unset: nothing.", 1, optional=True,
           secret=True),
    Option("TRUSTED_PROXIES", list, [],
           "Addresses and networks whose X-Forwarded-* and Forwarded fields are believed; unix: "
           "those that come by a Unix socket; *: everybody."),
    Option("USE_X_FORWARDED_HOST", bool, False,
           "Believe what trusted proxies say of the host that the client asked for."),
    Option("PROXY_PROTOCOL", bool, False,
           "Expect the PROXY protocol, version 1 or 2, before every connection."),
    Option("UNIX_SOCKET_MODE", int, 0o600, "Permissions of a Unix socket that is made.", 0,
           most=0o777, octal=True),
    Option("SSL_CERTIFICATE", str, None, "PEM file of a certificate and its chain; set: TLS.",
           flag="certfile", optional=True, place="file", other_flags=("ssl-certfile",)),
    Option("SSL_CERTIFICATE_KEY", str, None,
           "PEM file of its key; unset: it is in the file of the certificate.",
           flag="keyfile", optional=True, place="file", other_flags=("ssl-keyfile",)),
    Option("SSL_CERTIFICATE_KEY_PASSWORD", str, None, "What an encrypted key is opened with.",
           optional=True, secret=True),
    Option("SSL_DH_PARAMS", str, None, "PEM file of Diffie-Hellman parameters.", optional=True,
           place="file"),
    Option("SSL_CLIENT_CA", str, None,
           "PEM file of the authorities of client certificates; unset: none is asked for.",
           flag="ca-certs", optional=True, place="file", other_flags=("ssl-ca-certs",)),
    Option("SSL_VERIFY_PEER", bool, True,
           "With SSL_CLIENT_CA: require a client certificate (else it is optional)."),
    Option("SSL_HANDSHAKE_TIMEOUT", float, 10.0, "Seconds for a TLS handshake.", 0.01),
    Option("SSL_REDIRECT", bool, False,
           "Send browsers from a plain port to https; other requests to it get 403."),
    Option("SSL_REDIRECT_HOST", str, "", "Where to; empty: the host of the request."),
    Option("SSL_REDIRECT_EXEMPT", list, [], "Hosts that SSL_REDIRECT does not concern."),
    Option("SECURE_HSTS_SECONDS", int, 0,
           "Seconds that browsers are to use https alone; 0: they are told nothing.", 0),
    Option("SECURE_HSTS_INCLUDE_SUBDOMAINS", bool, False, "And for its subdomains."),
    Option("SECURE_HSTS_PRELOAD", bool, False, "And let browsers know it beforehand."),
    Option("CORS_ALLOWED_ORIGINS", list, None,
           "Origins whose pages may call and read the answers.", optional=True),
    Option("CORS_ORIGIN_WHITELIST", list, None, "The older name of CORS_ALLOWED_ORIGINS.",
           optional=True, alias_of="CORS_ALLOWED_ORIGINS"),
    Option("CORS_ALLOWED_ORIGIN_REGEXES", list, None,
           "Regular expressions of such origins, matched whole.", optional=True, patterns=True),
    Option("CORS_ALLOW_ALL_ORIGINS", bool, None,
           "Let every origin call and read; with credentials none but the listed ones.",
           optional=True),
    Option("CORS_ALLOW_METHODS", list, ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"],
           "Methods that they may use."),
    Option("CORS_ALLOW_HEADERS", list,
           ["accept", "authorization", "content-type", "user-agent", "x-csrftoken",
            "x-requested-with"], "Fields that they may send."),
    Option("CORS_EXPOSE_HEADERS", list, [], "Fields of answers that they may read."),
    Option("CORS_ALLOW_CREDENTIALS", bool, False, "Let them send cookies and the like."),
    Option("CORS_PREFLIGHT_MAX_AGE", int, 86400,
           "Seconds that browsers keep the answer to a preflight; 0: it is not said.", 0),
    Option("LOG_FILE", str, None, "File that what concerns the port is logged to as well.",
           flag="log-file", optional=True, place="folder"),
    Option("MIN_LOG_SEVERITY", int, 2, "Least webServerSeverity that goes to LOG_FILE.", 0,
           most=4),
    Option("LOG_FILE_MAX_SIZE", int, 0, "Bytes at which a log file is rotated; 0: never.", 0),
    Option("LOG_FILE_COUNT", int, 5, "Rotated log files that are kept.", 1),
    Option("ACCESS_LOG_FILE", str, None,
           "File for the lines of requests, written up to 0.1 s later; unset: the console.",
           optional=True, place="folder"),
    Option("ACCESS_LOG_FORMAT", str, "common", "How they are written: common, combined or json.",
           flag="access-log-format", choices=("common", "combined", "json")),
    Option("BACKLOG", int, 128, "Connections that the system keeps waiting to be accepted.", 1),
    Option("MAX_CONNECTIONS", int, 10_000, "Most connections that are open at once.", 1,
           of_server=True),
    Option("MAX_REQUEST_LINE_SIZE", int, 8192, "Bytes of a request line (else 414).", 16),
    Option("MAX_FIELD_LINE_SIZE", int, 8192, "Bytes of one header field line (else 431).", 16),
    Option("MAX_FIELD_COUNT", int, 100, "Header fields of a request (else 431).", 1),
    Option("MAX_HEAD_SIZE", int, 65536, "Bytes of a request head (else 431).", 64),
    Option("MAX_CHUNK_LINE_SIZE", int, 256, "Bytes of a chunk's size and extensions.", 16),
    Option("MAX_CHUNK_EXTENSION_SIZE", int, 16, "Bytes of chunk extensions, in the mean.", 0),
    Option("MAX_TRAILER_SIZE", int, 8192, "Bytes of the trailer section (else 431).", 0),
    Option("MAX_TRAILER_COUNT", int, 16, "Fields of the trailer section (else 431).", 0),
    Option("MAX_FORM_FIELDS", int, 1000, "Fields of a query or an url-encoded form.", 1),
    Option("MAX_FORM_PARTS", int, 1000, "Parts of a form with files (else 413).", 1),
    Option("MAX_PART_FIELD_COUNT", int, 8, "Header fields of a part of a form (else 413).", 1),
    Option("MAX_PART_FIELD_LINE_SIZE", int, 4096, "Bytes of one of them (else 413).", 64),
    Option("MAX_FORM_FIELD_SIZE", int, 8 * _MB,
           "Bytes of a part of a form that is no file (else 413).", 0),
    Option("MAX_FORM_FIELDS_SIZE", int, 16 * _MB - 1,
           "Bytes of all of them, or of an url-encoded form (else 413).", 0),
    Option("MAX_JSON_SIZE", int, 64 * _MB, "Bytes of a body that is read as JSON (else 413).", 0),
    Option("MAX_ARCHIVE_FILE_SIZE", int, 1 << 30,
           "Bytes of the largest file that is served from an archive, unpacked.", 0),
    Option("MAX_EVENT_STREAMS", int, 256,
           "Most event streams from plain iterators at once (else 503).", 0, of_server=True),
    Option("COMPRESS_MIN_SIZE", int, 1024,
           "Bytes of an answer from which it is compressed for those who accept it; None: never.",
           0, optional=True),
    Option("MAX_WEBSOCKET_MESSAGE_SIZE", int, 16 * _MB,
           "Bytes of one message of a WebSocket, unpacked (else closed with 1009).", 1),
    Option("MAX_WEBSOCKET_FRAGMENTS", int, 65536,
           "Frames that may continue one message of a WebSocket (else closed with 1009).", 0),
    Option("MAX_WEBSOCKET_QUEUE_SIZE", int, _MB,
           "Bytes that wait for a WebSocket's client, behind the message on its way, before it "
           "is closed with 1013.", 0),
    Option("WEBSOCKET_COMPRESSION", bool, True, "Compress messages for clients that offer it."),
    Option("WEBSOCKET_OPEN_TIMEOUT", float, 10.0, "Seconds to accept an upgrade.", 0.01),
    Option("WEBSOCKET_PING_INTERVAL", float, 20.0,
           "Seconds without a byte before a WebSocket is pinged; 0: never.", 0.0),
    Option("WEBSOCKET_PING_TIMEOUT", float, 20.0, "Seconds for any byte after a ping.", 0.01),
    Option("WEBSOCKET_CLOSE_TIMEOUT", float, 10.0, "Seconds for the closing handshake.", 0.01),
    Option("KEEP_ALIVE_TIMEOUT", float, 15.0, "Seconds that an idle connection is kept.", 0.0),
    Option("HEAD_TIMEOUT", float, 10.0, "Seconds for a whole request head.", 0.01),
    Option("BODY_TIMEOUT", float, 20.0, "Seconds without a byte of a body.", 0.01),
    Option("MIN_BODY_RATE", float, 240.0, "Bytes a second, at least, of a body on the whole.", 0.0),
    Option("SEND_TIMEOUT", float, 20.0, "Seconds in which a client takes nothing of an answer.",
           0.01),
    Option("LINGER_TIMEOUT", float, 2.0,
           "Seconds without a byte before a refused client's connection is closed.", 0.0),
    Option("SHUTDOWN_TIMEOUT", float, 10.0,
           "Seconds for running requests at shutdown; None: for ever.", 0.0, optional=True,
           of_server=True),
    Option("MAIN_THREAD_TIMEOUT", float, 30.0,
           "Seconds in which a call for the main thread is to begin (else 503); None: for ever.",
           0.0, optional=True, of_server=True),
    Option("MAIN_THREAD_HANDLERS", bool, False,
           "Call all plain handlers and API functions on the main thread, as main_thread=True."),
)
# fmt: on

OPTIONS: Mapping[str, Option] = {option.name: option for option in _TABLE}

#: Names that the environment has for other purposes.
_ENVIRONMENT_ONLY = frozenset(("HWEBSERVER_SUPERVISED", RESTARTED_PORTS, RESTARTED_SOCKETS))

#: What says the same as an option of the command line that is no setting.
_INSTEAD = {
    "HWEBSERVER_BIND": "HWEBSERVER_HOST and HWEBSERVER_PORT",
    "HWEBSERVER_UDS": "HWEBSERVER_HOST=unix:PATH",
    "HWEBSERVER_FD": "HWEBSERVER_HOST=fd:N",
    "HWEBSERVER_SETTINGS": "--settings, or run(settings=...)",
}

Source = Union[str, ModuleType, Mapping[str, Any]]


def restarted_port(name: str) -> int:
    """Return the number that a port had before the process was restarted; 0: there is none."""
    for entry in os.environ.get(RESTARTED_PORTS, "").split(","):
        number, _, former = entry.partition("=")
        if former == name and number.isdecimal():
            return int(number)
    return 0


#: The options that say which number a port has.
_PORT_OPTIONS = frozenset(("PORT", "MAX_PORT", "ALLOW_SYSTEM_PORT"))


class Said(NamedTuple):
    """What an option is, and who said so."""

    value: Any
    source: str


class Settings:
    """What was said about the options, by whom, and what follows for each port.

    The later wins: defaults, the environment, the settings file, ``setSettingsForPort``, the
    arguments of ``run``, the command line. Of what the file and ``setSettingsForPort`` say, that
    of one port wins over that of every port.
    """

    def __init__(self) -> None:
        self._file: dict[str, dict[str, Said]] = {}
        self._set: dict[str, dict[str, Said]] = {}
        self._arguments: dict[str, Said] = {}
        self._command_line: dict[str, Said] = {}

    def set_for_port(
        self, values: Mapping[str, Any], port: str, source: str = "setSettingsForPort"
    ) -> None:
        """Merge settings of one port, or of every port.

        Args:
            values: Option name to value.
            port: The name of the port, or EVERY_PORT.
            source: The function that was called.

        Raises:
            OperationFailed: for an unknown name, a wrong type, or what is not that port's.
        """
        if not isinstance(values, Mapping):
            raise OperationFailed(f"settings are a dict, not {values!r}")
        checked = _check_all(values, source, strict=True)
        numbers = sorted(_PORT_OPTIONS.intersection(checked))
        if port == EVERY_PORT and numbers:
            raise OperationFailed(f"{numbers[0]} is one port's: {source} cannot set it for all")
        if not port.isdecimal():  # What a number means is seen when the ports are opened.
            _check_own(checked, port)
        self._set.setdefault(port, {}).update(checked)

    def load(self, source: Optional[Source]) -> None:
        """Take the settings file of this run: a path, a module's name, a module, a dict or None.

        Raises:
            OperationFailed: it is not there, cannot be read, or holds something wrong.
        """
        self._file = {}
        if source is None:
            return
        values, name, strict = _read_source(source)
        ports = values.pop("PORTS", {})
        if not isinstance(ports, Mapping) or not all(
            isinstance(v, Mapping) for v in ports.values()
        ):
            raise OperationFailed(f"PORTS in {name} must be a dict of dicts")
        self._file[EVERY_PORT] = _check_all(values, name, strict=strict)
        for port, own in ports.items():
            key = port_key(port)
            checked = _check_all(own, f"PORTS[{port!r}] of {name}", strict=True)
            if not key.isdecimal():
                _check_own(checked, key)
            self._file[key] = checked

    def set_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Take the arguments that ``run`` was given, by the names of their options.

        Raises:
            OperationFailed: for a wrong type.
        """
        self._arguments = {}
        for name, value in arguments.items():
            option = OPTIONS[name]
            if option.kind is bool and isinstance(value, int) and value in (0, 1):
                value = bool(value)  # noqa: PLW2901 (as old programs write it)
            source = f"run({option.argument}=...)"
            self._arguments[name] = Said(check_value(option, value, source), source)

    def set_command_line(self, said: Mapping[str, Said]) -> None:
        """Take what the command line says: of the main port, and what ``run`` says, of all."""
        self._command_line = dict(said)

    def port_names(self) -> list[str]:
        """Return the names of the ports, other than the main one, that have settings."""
        names = dict.fromkeys((*self._file, *self._set))
        return [name for name in names if name not in (EVERY_PORT, MAIN_PORT)]

    def for_port(self, port: str) -> dict[str, Any]:
        """Return the value of every option for the port of that name.

        Raises:
            OperationFailed: a variable of the environment is wrong, or an option is not its own.
        """
        values = {name: said.value for name, said in self.explain(port).items()}
        # What is given away may be changed; the table may not.
        return {name: list(v) if isinstance(v, list) else v for name, v in values.items()}

    def explain(self, port: str) -> dict[str, Said]:
        """Return what every option is for the port of that name, and who said so.

        Raises:
            OperationFailed: a variable of the environment is wrong, or an option is not its own.
        """
        said = {option.name: Said(option.default, DEFAULT) for option in _TABLE}
        said.update(read_environment())
        said.update(self._file.get(EVERY_PORT, {}))
        if port == MAIN_PORT:
            said.update(self._own(port))
            above = {**self._arguments, **self._command_line}
            said.update(above)
            # Its number is another name of the main port.
            alias = self._named(str(said["PORT"].value))
            said.update({name: one for name, one in alias.items() if name not in above})
            return said
        # The number of a port is its own: the main port's never holds for another one.
        said["PORT"] = Said(int(port), "its name") if port.isdecimal() else Said(None, DEFAULT)
        said.update(MAX_PORT=Said(None, DEFAULT), ALLOW_SYSTEM_PORT=Said(False, DEFAULT))
        _check_own(self._named(port), port)
        said.update(self._own(port))
        for name, one in (*self._arguments.items(), *self._command_line.items()):
            if OPTIONS[name].argument and name not in _PORT_OPTIONS:
                said[name] = one
        return said

    def _named(self, port: str) -> dict[str, Said]:
        """Return what was said of a port by that name."""
        return {**self._file.get(port, {}), **self._set.get(port, {})}

    def _own(self, port: str) -> dict[str, Said]:
        """Return what was said of a port by its name, and after the file of every port."""
        return {
            **self._file.get(port, {}),
            **self._set.get(EVERY_PORT, {}),
            **self._set.get(port, {}),
        }


def read_environment() -> dict[str, Said]:
    """Return the options that ``HWEBSERVER_*`` variables set.

    A variable has the name of the option, or that of its command-line option
    (``HWEBSERVER_HOST`` is ``--host``).

    Raises:
        OperationFailed: for a wrong value, or for a name that misses a known one by little.
    """
    names = {ENVIRONMENT_PREFIX + option.name: option for option in _TABLE}
    for option in _TABLE:
        for flag in (option.flag, *option.other_flags):
            if flag:
                variable = ENVIRONMENT_PREFIX + flag.upper().replace("-", "_")
                names.setdefault(variable, option)
    found: dict[str, Said] = {}
    for variable, text in os.environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in _ENVIRONMENT_ONLY:
            continue
        known = names.get(variable)
        if known is not None:
            source = f"the environment variable {variable}"
            value = check_value(known, parse_text(known, text, source), source)
            found[known.name] = Said(value, source)
            continue
        close = _INSTEAD.get(variable) or near_miss(variable, names)
        if close:
            raise OperationFailed(f"unknown environment variable {variable}{hint(close)}")
    return _by_newest_name(found)


def port_key(port: Union[int, str]) -> str:
    """Return the name that a port goes by: a number N is the same as the name ``str(N)``.

    Raises:
        OperationFailed: for what is neither a number of a port nor a text.
    """
    if isinstance(port, bool) or not isinstance(port, (int, str)):
        raise OperationFailed(f"{port!r} is not the name or the number of a port")
    if port in ("", 0, "0", MAIN_PORT):
        return MAIN_PORT
    if port == EVERY_PORT:
        raise OperationFailed(f"{port!r} is no name of a port: -1 means every port")
    if isinstance(port, int) and not 0 < port <= 65535:
        raise OperationFailed(f"{port} is no number of a port: they are 1 to 65535")
    return str(port)


def ports_key(port: Union[int, str]) -> str:
    """Return the name that a port goes by, or EVERY_PORT for -1.

    Raises:
        OperationFailed: for what is neither a number of a port nor a text.
    """
    return EVERY_PORT if port == -1 else port_key(port)


def _check_all(values: Mapping[str, Any], source: str, *, strict: bool) -> dict[str, Said]:
    """Check settings; where not strict, names that are nothing like ours are another's."""
    checked: dict[str, Said] = {}
    for name, value in values.items():
        option = OPTIONS.get(name)
        if option is not None:
            checked[name] = Said(check_value(option, value, source), source)
            continue
        close = (nearest if strict else near_miss)(str(name), (*OPTIONS, "PORTS"))
        if strict or close:
            shown = shown_unknown(str(name), value, close)
            raise OperationFailed(f"unknown setting {name} = {shown} in {source}{hint(close)}")
    return _by_newest_name(checked)


def _by_newest_name(found: dict[str, Said]) -> dict[str, Said]:
    """Return what one source says with older names of options replaced by the ones of now."""
    for option in _TABLE:
        if option.alias_of and option.name in found:
            older = found.pop(option.name)
            found.setdefault(option.alias_of, older)
    return found


def _check_own(said: Mapping[str, Said], port: str) -> None:
    """Refuse for one port what is the whole server's.

    Raises:
        OperationFailed: naming the option, the port and who said it.
    """
    if port in (MAIN_PORT, EVERY_PORT):
        return
    for name, one in said.items():
        if OPTIONS[name].of_server:
            raise OperationFailed(
                f"{name} belongs to the whole server: {one.source} cannot set it for the port "
                f"{port!r} alone; set it for the main port"
            )


def _read_source(source: Source) -> tuple[dict[str, Any], str, bool]:
    """Return the settings of a source, its name, and whether all of them must be ours."""
    if isinstance(source, Mapping):
        return dict(source), "run(settings=...)", True
    if isinstance(source, ModuleType):
        return _upper_case(vars(source)), f"the module {source.__name__}", False
    if not isinstance(source, (str, os.PathLike)):
        raise OperationFailed(f"settings is {source!r}, but must be a path, a module or a dict")
    text = os.fspath(source)
    if text.endswith(".py") or os.sep in text or os.path.isfile(text):
        return _run_file(text), f"the file {text}", False
    return _import_module(text), f"the module {text}", False


def settings_path(source: Optional[Source]) -> Optional[str]:
    """Return the path of a settings file; None: the settings are in no file of their own."""
    if isinstance(source, (str, os.PathLike)) and os.path.isfile(source):
        return os.path.abspath(source)
    return None


def _upper_case(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name.isupper()}


def _run_file(path: str) -> dict[str, Any]:
    from runpy import run_path

    if not os.path.isfile(path):
        close = hint(nearest_path(path))
        raise OperationFailed(f"the settings file {path} is not there{close}")
    try:
        return _upper_case(run_path(path))
    except Exception as error:
        raise OperationFailed(f"the settings file {path} failed: {error!r}") from error


def _import_module(name: str) -> dict[str, Any]:
    from importlib import import_module

    try:
        import_module(name)
    except Exception as error:
        message = f"the settings module {name} cannot be imported: {error!r}"
        raise OperationFailed(message) from error
    return _upper_case(vars(sys.modules[name]))
