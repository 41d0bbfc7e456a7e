"""Which files are watched, and what state they are in.

Those are the files of the loaded modules that are not installed ones, and what the program names
beside them. A module that has no file (a namespace package, one that is built in or comes out of a
zip archive) is passed over.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from operator import is_
from types import ModuleType
from typing import Any, Optional

#: The time and the size of a file.
Stamp = tuple[int, int]
Stamps = Mapping[str, Stamp]

#: What files of Python end with that can be compiled, and what those end with that are.
SOURCE = (".py", ".pyw")
COMPILED = ".pyc"

#: Folders of installed modules, wherever a program or a host has its own.
_INSTALLED = ("site-packages", "dist-packages")

_PATTERN = frozenset("*?[")


class Files:
    """The watched files.

    Args:
        extra: Files, folders and patterns that are watched, too: ``config.json``, ``templates``,
            ``pages/**/*.html``. What is in a folder counts, at any depth, but for names that
            begin with a dot and what Python has compiled.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._extra = [os.path.abspath(one) for one in extra]
        self._modules: dict[str, Any] = {}
        self._paths: list[str] = []

    def stamps(self) -> Stamps:
        """Return the stamps of the files of modules; those that are not there have none."""
        # That the modules are the same is seen faster than which files they have.
        modules = sys.modules.copy()
        known = self._modules
        if len(modules) != len(known) or not all(map(is_, modules.values(), known.values())):
            self._paths = sorted({path for path in map(file_of, modules.values()) if path})
            self._modules = modules
        return _stamps_of(self._paths)

    def extra_stamps(self) -> Stamps:
        """Return those of the files that are watched beside."""
        return _stamps_of(path for one in self._extra for path in _files_of(one))


def _stamps_of(paths: Iterable[str]) -> Stamps:
    found: dict[str, Stamp] = {}
    for path in paths:
        try:
            details = os.stat(path)
        except (OSError, ValueError):
            continue  # It was deleted, or it is between two saves of an editor.
        found[path] = (details.st_mtime_ns, details.st_size)
    return found


def file_of(module: Any) -> Optional[str]:
    """Return the file that a module was made from, if it is to be watched."""
    try:
        path = getattr(module, "__file__", None)
        name = getattr(module, "__name__", None)
    except Exception:
        return None  # Some put things there that are no modules.
    # The script that was started may be called as it likes.
    known = isinstance(path, str) and (path.endswith((*SOURCE, COMPILED)) or name == "__main__")
    if not isinstance(module, ModuleType) or not isinstance(path, str) or not known:
        return None
    path = os.path.abspath(path)
    return None if is_installed(path) else path


def is_installed(path: str) -> bool:
    """Say whether a file belongs to Python or to what is installed in it."""
    return path.startswith(_places()) or any(
        f"{os.sep}{name}{os.sep}" in path for name in _INSTALLED
    )


@cache
def _places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({os.path.join(paths[key], "") for key in keys})


def _files_of(place: str) -> Iterator[str]:
    """Yield the files that are in a folder, match a pattern, or are named."""
    if os.path.isdir(place):
        yield from _files_in(place)
    elif _PATTERN.intersection(place) and not os.path.exists(place):
        from glob import iglob

        yield from (path for path in iglob(place, recursive=True) if os.path.isfile(path))
    else:
        yield place


def _files_in(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one[0] != "." and one != "__pycache__"]
        yield from (os.path.join(parent, one) for one in names if one[0] != ".")


def problem_of(path: str) -> str:
    """Say what is wrong with a file of Python; empty: nothing, or it is another file.

    Raises:
        OSError: it cannot be read.
    """
    from importlib.util import MAGIC_NUMBER

    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(COMPILED):
        return "" if data.startswith(MAGIC_NUMBER) else "it is of another Python"
    try:
        compile(data, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return str(error)
    return ""
