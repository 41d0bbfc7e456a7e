"""The command line: serve a folder or an application.

An application is imported, not run as ``__main__``: what it registers is served, and a ``run``
that it calls only says with which arguments, which the command line may override. Exit codes: 0,
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
from .server import RecordedRun, Server, default_server
from .settings import OPTIONS, Option, check_value

_DESCRIPTION = """
Serve a folder, an application file (app.py), a module (package.app) or one server of either
(app.py:server, package.app:server). Every option can also be set by an environment variable:
HWEBSERVER_PORT is --port.
"""

#: Short forms of the options that everybody types.
_SHORT = {"port": ["-p"]}


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
        server, run_arguments = load(options.target)
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    try:
        _override(server, run_arguments, given)
        server.run(**run_arguments)
    except OperationFailed as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    """Make the parser from the table of options."""
    package = __package__ or "hwebserver"
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=_DESCRIPTION)
    parser.add_argument("target", help="what to serve")
    for option in OPTIONS.values():
        if option.flag:
            _add_option(parser, option)
    parser.add_argument("--version", action="version", version=f"{package} {__version__}")
    return parser


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    names = [*_SHORT.get(option.flag, ()), f"--{option.flag}"]
    shown = f" (default: {option.default})" if isinstance(option.default, int) else ""
    common: dict[str, Any] = {"dest": option.name, "default": None, "help": option.doc + shown}
    if option.kind is bool:
        common["help"] = option.doc  # argparse of some versions adds the default itself
        parser.add_argument(*names, action=argparse.BooleanOptionalAction, **common)
    elif option.name == "VERBOSITY":
        parser.add_argument(*names, type=_verbosity, metavar="{low,medium,high}", **common)
    else:
        metavar = "N" if option.kind is int else option.name
        parser.add_argument(*names, type=option.kind, metavar=metavar, **common)


def _verbosity(text: str) -> Verbosity:
    for level in Verbosity:
        if text.lower() in (level.name.lower(), str(int(level))):
            return level
    raise argparse.ArgumentTypeError(f"{text!r} is none of low, medium, high")


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that the command line sets.

    Raises:
        UsageError: a value cannot be.
    """
    given: dict[str, Any] = {}
    for option in OPTIONS.values():
        value = getattr(options, option.name, None)
        if value is not None:
            try:
                given[option.name] = check_value(option, value, f"--{option.flag}")
            except OperationFailed as error:
                raise UsageError(str(error)) from error
    return given


def _override(server: Server, arguments: dict[str, Any], given: dict[str, Any]) -> None:
    """Let what the command line says win over what the application says."""
    arguments["in_background"] = False
    for name, value in given.items():
        if OPTIONS[name].argument:
            arguments[OPTIONS[name].argument] = value
    server.setSettingsForPort(
        {name: value for name, value in given.items() if not OPTIONS[name].argument}
    )


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
        raise UsageError(f"there is no folder, file or module {place!r}")
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        # A module that the application itself misses is the application's failure.
        if error.name is not None and (place == error.name or place.startswith(error.name + ".")):
            raise UsageError(f"there is no folder, file or module {place!r}") from error
        raise


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
