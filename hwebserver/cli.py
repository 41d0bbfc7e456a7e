"""The command line: serve a folder or an application.

An application is imported, not run as ``__main__``: what it registers is served, and a ``run``
that it calls only says with which arguments, which the command line may override. There is no
option for a secret, since everybody on a machine can read its command lines. Exit codes: 0,
the server ran and was stopped; 1, it could not start or the application failed; 2, the command
line is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Optional

from . import __version__
from .enums import Verbosity
from .errors import OperationFailed
from .option import Option, check_value, hint, nearest, nearest_path, parse_text
from .server import RecordedRun, Server, default_server
from .settings import OPTIONS, Said

_DESCRIPTION = """
Serve a folder, an application file (app.py), a module (package.app) or one server of either
(app.py:server, package.app:server). Every setting can also be set by an environment variable:
HWEBSERVER_PORT is --port. Secrets can only be set there, or in a settings file.
"""

#: Short forms of the options that everybody types.
_SHORT_FLAGS = {"port": ["-p"]}


class UsageError(Exception):
    """The command line names something that is not there."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Without the name of the program; None: those of the process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        given = _given(options)
        server, run_arguments = _load(options)
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    try:
        server.overrule(given)
        if options.show_settings:
            _print(server.describeSettings(run_arguments))
        else:
            server.run(**{**run_arguments, "in_background": False})
    except OperationFailed as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _print(text: str) -> None:
    """Print a long text, of which a reader may want no more than the beginning (``| head``)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python would complain again when it flushes the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    """Make the parser from the table of options."""
    package = __package__ or "hwebserver"
    # All options in the usage would stand between a mistake and what is said about it.
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}", usage="%(prog)s [options] target", description=_DESCRIPTION
    )
    parser.add_argument("target", nargs="?", help="what to serve")
    for option in OPTIONS.values():
        if option.flag:
            _add_option(parser, option)
    parser.add_argument(
        "-b", "--bind", metavar="WHERE", help="HOST, PORT, HOST:PORT or unix:PATH to listen on"
    )
    parser.add_argument("--uds", metavar="PATH", help="Unix socket to listen on")
    parser.add_argument("--fd", metavar="N", type=int, help="open socket to listen on")
    parser.add_argument(
        "--settings", metavar="FILE", help="settings file, or a module of settings by its name"
    )
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="any other option"
    )
    parser.add_argument(
        "--show-settings",
        action="store_true",
        help="print every option, its value and who set it, and start nothing",
    )
    parser.add_argument("--version", action="version", version=f"{package} {__version__}")
    return parser


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    flags = (option.flag, *option.other_flags)
    names = [*_SHORT_FLAGS.get(option.flag, ()), *(f"--{flag}" for flag in flags)]
    shown = f" (default: {option.default})" if isinstance(option.default, int) else ""
    common: dict[str, Any] = {"dest": option.name, "default": None, "help": option.doc + shown}
    if option.kind is bool:
        common["help"] = option.doc  # argparse of some versions adds the default itself
        parser.add_argument(*names, action=argparse.BooleanOptionalAction, **common)
    elif option.name == "VERBOSITY":
        parser.add_argument(*names, type=_verbosity, metavar="{low,medium,high}", **common)
    elif option.kind is list:
        common["help"] = f"{option.doc} May be repeated."
        parser.add_argument(*names, action="append", metavar=option.flag.upper(), **common)
    else:
        metavar = "N" if option.kind is int else option.name
        parser.add_argument(*names, type=option.kind, metavar=metavar, **common)


def _verbosity(text: str) -> Verbosity:
    for level in Verbosity:
        if text.lower() in (level.name.lower(), str(int(level))):
            return level
    raise argparse.ArgumentTypeError(f"{text!r} is none of low, medium, high")


def _given(options: argparse.Namespace) -> dict[str, Said]:
    """Return the options that the command line sets.

    Raises:
        UsageError: a value cannot be, or an option is set twice.
    """
    given: dict[str, Said] = {}
    try:
        for option in OPTIONS.values():
            value = getattr(options, option.name, None)
            if value is not None:
                if option.kind is list:
                    value = parse_text(option, ",".join(value), f"--{option.flag}")
                _take(given, option, value, f"--{option.flag}")
        for name, value, flag in _places(options):
            _take(given, OPTIONS[name], value, flag)
        for option, value in _set_by_name(options.set):
            _take(given, option, value, "--set")
    except OperationFailed as error:
        raise UsageError(str(error)) from error
    return given


def _take(given: dict[str, Said], option: Option, value: Any, flag: str) -> None:
    """Add an option to those that the command line sets."""
    if option.name in given:
        raise UsageError(f"{given[option.name].source} and {flag} both set {option.name}")
    given[option.name] = Said(check_value(option, value, flag), flag)


def _places(options: argparse.Namespace) -> list[tuple[str, Any, str]]:
    """Return the options that say where to listen, in the words of other servers, and the flag."""
    found: list[tuple[str, Any, str]] = []
    if options.uds is not None:
        found.append(("ADDRESS", f"unix:{options.uds}", "--uds"))
    if options.fd is not None:
        found.append(("ADDRESS", f"fd:{options.fd}", "--fd"))
    if options.bind is not None:
        found += [(name, value, "--bind") for name, value in _split_bind(options.bind)]
    return found


def _split_bind(text: str) -> list[tuple[str, Any]]:
    """Return ADDRESS and PORT as HOST:PORT and its like say them."""
    if text.startswith(("unix:", "fd:")):
        return [("ADDRESS", text)]
    if "://" in text:
        raise UsageError(f"--bind {text}: write HOST:PORT alone, without a scheme")
    host, colon, number = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, number = ("", text) if text.isdecimal() else (text, "")
    if number and not (number.isascii() and number.isdecimal()):
        raise UsageError(f"--bind {text}: {number!r} is no number of a port")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise UsageError(f"--bind {text}: an IPv6 address stands in brackets: [::1]:8008")
    said: list[tuple[str, Any]] = [("ADDRESS", host)] if host else []
    return said + ([("PORT", int(number))] if number else [])


def _set_by_name(texts: Sequence[str]) -> list[tuple[Option, Any]]:
    """Return the options that ``--set NAME=VALUE`` sets; that of a list may be repeated."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        option = OPTIONS.get(name)
        if not equals:
            raise UsageError(f"--set {text}: write NAME=VALUE")
        if option is None:
            close = hint(nearest(name.upper(), OPTIONS))
            raise UsageError(f"--set {text}: unknown setting{close}")
        if option.secret:
            reason = "everybody on this machine can read a command line"
            raise UsageError(f"--set {name}: {reason}; set HWEBSERVER_{name} instead")
        parsed = parse_text(option, value, "--set")
        if option.kind is list and parsed is not None:
            parsed = [*(found.get(name) or ()), *parsed]
        found[name] = parsed
    return [(OPTIONS[name], value) for name, value in found.items()]


def _load(options: argparse.Namespace) -> tuple[Server, dict[str, Any]]:
    """Return the server that the command line means, and the arguments of its ``run``."""
    if options.target is None:
        if not options.show_settings:
            raise UsageError("the following arguments are required: target")
        server, arguments = default_server, dict[str, Any]()
    else:
        server, arguments = load(options.target)
    if options.settings is not None:
        arguments["settings"] = options.settings
    return server, arguments


def load(target: str) -> tuple[Server, dict[str, Any]]:
    """Return the server that a target means, and the arguments its application runs it with.

    Args:
        target: A folder, a file, a module, or one of these, a colon and the name of a server.

    Raises:
        UsageError: there is no such thing.
        Exception: whatever the application raises when it is imported.
    """
    if os.path.isdir(target):
        return _folder_server(target), {}
    place, name = _split(target)
    recorded: list[RecordedRun] = []
    Server.recording = recorded
    try:
        module = _import(place)
    finally:
        Server.recording = None
    if name:
        named = getattr(module, name, None)
        if not isinstance(named, Server):
            raise UsageError(f"{place} has no Server of the name {name!r}")
        runs = [run for run in recorded if run.server is named]
        return named, runs[0].arguments if runs else {}
    return _choose(place, module, recorded)


def _split(target: str) -> tuple[str, str]:
    """Return the place of an application and the name of a server in it, empty if there is none."""
    place, colon, name = target.rpartition(":")
    # A colon may also belong to a path, or to the drive in front of one.
    if os.path.exists(target) or not colon or not name.isidentifier():
        return target, ""
    return place, name


def _choose(
    place: str, module: ModuleType, recorded: list[RecordedRun]
) -> tuple[Server, dict[str, Any]]:
    """Return the server that an application has run, its only one, or the default one."""
    runs = {id(run.server): run for run in recorded}
    own = {name: value for name, value in vars(module).items() if isinstance(value, Server)}
    candidates = {id(server): server for server in own.values()}
    if len(runs) == 1:
        return recorded[0].server, recorded[0].arguments
    if len(runs) > 1 or len(candidates) > 1:
        names = " or ".join(f"{place}:{name}" for name in own) or "one of them by a name"
        raise UsageError(f"{place} has more than one server: name {names}")
    return (next(iter(candidates.values())), {}) if candidates else (default_server, {})


def _folder_server(directory: str) -> Server:
    server = Server()
    server.registerStaticFilesDirectory(directory, "/", listing=True)
    return server


def _import(place: str) -> ModuleType:
    """Import an application: a file under its stem, or a module."""
    if os.path.isfile(place):
        return _import_file(place)
    if not all(part.isidentifier() for part in place.split(".")):
        raise _nothing_there(place)
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        # A module that the application itself misses is the application's failure.
        if error.name is not None and (place == error.name or place.startswith(error.name + ".")):
            raise _nothing_there(place) from error
        raise


def _nothing_there(place: str) -> UsageError:
    close = hint(nearest_path(place))
    return UsageError(f"there is no folder, file or module {place!r}{close}")


def _import_file(path: str) -> ModuleType:
    stem, extension = os.path.splitext(os.path.basename(path))
    if extension not in (".py", ".pyw"):
        raise UsageError(f"{path} is neither a folder nor a Python file")
    directory = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, directory)
    spec = importlib.util.spec_from_file_location(stem, os.path.abspath(path))
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    spec.loader.exec_module(module)
    return module
