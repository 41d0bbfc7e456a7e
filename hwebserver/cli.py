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
from .settings import OPTIONS, Option

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
        server, run_arguments = load(options.target)
        _override(server, run_arguments, vars(options))
        server.run(**run_arguments)
    except UsageError as error:
        parser.error(str(error))
    except OperationFailed as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
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
    common: dict[str, Any] = {"dest": option.name, "default": None, "help": option.doc}
    if option.kind is bool:
        parser.add_argument(*names, action=argparse.BooleanOptionalAction, **common)
    elif option.name == "VERBOSITY":
        parser.add_argument(*names, type=_verbosity, metavar="{low,medium,high}", **common)
    else:
        parser.add_argument(*names, type=option.kind, metavar=option.kind.__name__, **common)


def _verbosity(text: str) -> Verbosity:
    for level in Verbosity:
        if text.lower() in (level.name.lower(), str(int(level))):
            return level
    raise argparse.ArgumentTypeError(f"{text!r} is none of low, medium, high")


def _override(server: Server, arguments: dict[str, Any], options: dict[str, Any]) -> None:
    """Let what the command line says win over what the application says."""
    arguments["in_background"] = False
    settings: dict[str, Any] = {}
    for option in OPTIONS.values():
        value = options.get(option.name)
        if value is None:
            continue
        if option.argument:
            arguments[option.argument] = value
        else:
            settings[option.name] = value
    server.setSettingsForPort(settings)


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
    place, _, name = target.partition(":") if not os.path.exists(target) else (target, "", "")
    recorded: list[RecordedRun] = []
    Server.recording = recorded
    try:
        module = _import(place)
    finally:
        Server.recording = None
    if name:
        named = getattr(module, name, None)
        if not isinstance(named, Server):
            raise OperationFailed(f"{place} has no Server of the name {name!r}")
        runs = [run for run in recorded if run.server is named]
        return named, runs[0].arguments if runs else {}
    return _choose(module, recorded)


def _choose(module: ModuleType, recorded: list[RecordedRun]) -> tuple[Server, dict[str, Any]]:
    """Return the server that an application has run, its only one, or the default one."""
    if recorded:
        return recorded[0].server, recorded[0].arguments
    own = {id(value): value for value in vars(module).values() if isinstance(value, Server)}
    if len(own) == 1:
        return next(iter(own.values())), {}
    return default_server, {}


def _folder_server(directory: str) -> Server:
    server = Server()
    server.registerStaticFilesDirectory(directory, "/", listing=True)
    return server


def _import(place: str) -> ModuleType:
    """Import an application: a file under its stem, or a module."""
    if os.path.isfile(place):
        return _import_file(place)
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        # A module that the application itself misses is the application's failure.
        if error.name is not None and (place == error.name or place.startswith(error.name + ".")):
            raise UsageError(f"there is no folder, file or module {place!r}") from error
        raise
    except ValueError as error:
        raise UsageError(f"there is no folder, file or module {place!r}") from error


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
