"""Import changed modules again in a process that lives on.

The code of a module is run once more in the same module object, so whoever has that sees what is
new; so is the code of the program's own modules that import it, directly or not, the imported one
before its importers. What that cannot do: the state in the variables of a module begins anew, names
that its code no longer sets stay, objects that were made before keep their old classes, and what
threads of the module do goes on. The script that was started, and a module whose code has not ended
yet, are not run again.

When one of them fails, the variables of all of them are put back.
"""

from __future__ import annotations

import ast
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any, ClassVar, Optional, Protocol

from .sources import COMPILED, SOURCE, Stamp, Stamps, file_of

logger = logging.getLogger("hwebserver.reload")

#: The variables of modules, by their names.
Variables = Mapping[str, Mapping[str, Any]]


#: What looks like a statement that imports.
_IMPORT = re.compile(rb"\b(?:import|from)\b[^\n(]*(?:\([^)]*\)|[^\n]*)")


class _Last:
    """What was tried last, whoever had seen the change."""

    lock = threading.Lock()
    tried: ClassVar[dict[str, Stamp]] = {}
    failure: Optional[str] = None


class Renewal(Protocol):
    """What collects registrations while modules are imported again; see ``web.tables``."""

    def __enter__(self) -> Any:
        """Collect what this thread registers from now on."""

    def __exit__(self, *details: Any) -> None:
        """Collect no more."""

    def owners(self) -> set[str]:
        """Return the names of the modules that have registered something."""

    def commit(self, before: Variables) -> None:
        """Have what was collected replace what the same modules had registered."""


def reimport(changed: Stamps, renewal: Renewal) -> Optional[str]:
    """Import the modules of changed files again, and what imports them.

    Several servers may see the same change; the modules are imported for the first of them, and
    for all.

    Args:
        changed: The files.
        renewal: Collects what they register.

    Returns:
        What is wrong; None: nothing. If something is, all is as it was before.
    """
    with _Last.lock:
        if any(_Last.tried.get(path) != stamp for path, stamp in changed.items()):
            _Last.tried.update(changed)
            _Last.failure = _import_again(changed, renewal)
        return _Last.failure


def _import_again(changed: Iterable[str], renewal: Renewal) -> Optional[str]:
    own = {name: module for name, module in list(sys.modules.items()) if file_of(module)}
    again = _in_order(own, _modules_of(changed, own, renewal))
    names = ", ".join(again)
    before = {name: dict(vars(own[name])) for name in again}
    try:
        codes = {name: _code_of(own[name]) for name in again}
        with renewal:
            for name in again:
                exec(codes[name], vars(own[name]))
        renewal.commit(before)
    except BaseException as error:
        for name in again:
            _put_back(vars(own[name]), before[name])
        logger.error("%s cannot be imported again: the old code goes on", names, exc_info=error)
        from traceback import format_exception

        return "".join(format_exception(type(error), error, error.__traceback__))
    if again:
        logger.info("imported again: %s", names)
    return None


def _modules_of(
    changed: Iterable[str], own: Mapping[str, ModuleType], renewal: Renewal
) -> set[str]:
    """Return the modules that files mean; that a module of its own cannot be run again is logged.

    What is no module's concerns those that have registered something.
    """
    files = {name: file_of(module) for name, module in own.items()}
    found: set[str] = set()
    for path in changed:
        named = {name for name, file in files.items() if file == path}
        for name in named:
            why = _must_stay(name, own[name])
            if why:
                logger.warning("%s changed, but %s: start the program again", path, why)
        found |= named or renewal.owners() & own.keys()
    return {name for name in found if not _must_stay(name, own[name])}


def _put_back(variables: dict[str, Any], before: Mapping[str, Any]) -> None:
    # Never empty meanwhile: handlers run.
    variables.update(before)
    for name in variables.keys() - before.keys():
        del variables[name]


def _must_stay(name: str, module: ModuleType) -> str:
    """Say why the code of a module cannot be run again here; empty: it can."""
    if name == "__main__":
        return "it is the script that was started"
    if _is_ours(name):
        return "it is a part of the server"
    return "its code has not ended yet" if getattr(module.__spec__, "_initializing", False) else ""


def _code_of(module: ModuleType) -> CodeType:
    path = str(module.__file__)
    if path.endswith(COMPILED):
        loader: Any = module.__loader__
        found: CodeType = loader.get_code(module.__name__)
        return found
    with open(path, "rb") as file:
        return compile(file.read(), path, "exec", dont_inherit=True)


# --- who imports whom ---


def _in_order(own: Mapping[str, ModuleType], changed: set[str]) -> list[str]:
    """Return the modules that are to be run again, each behind those that it imports.

    Args:
        own: The program's modules.
        changed: The names of those that have changed.
    """
    imported = _imports_of(own, changed)
    wanted = set(changed)
    before = 0
    while len(wanted) != before:
        before = len(wanted)
        wanted |= {name for name, found in imported.items() if not wanted.isdisjoint(found)}
    order: dict[int, str] = {}  # a module may have several names
    seen: set[str] = set()

    def follow(name: str) -> None:
        if name in wanted and name not in seen:
            seen.add(name)
            for one in sorted(imported.get(name, ())):
                follow(one)
            order.setdefault(id(own[name]), name)

    for name in own:
        follow(name)
    return [name for name in order.values() if name in changed or not _must_stay(name, own[name])]


def _imports_of(own: Mapping[str, ModuleType], changed: set[str]) -> dict[str, set[str]]:
    """Return which modules each of the program's imports at its top level.

    Only those are parsed that may import a changed one, or one that does: it takes long.
    """
    found: dict[str, set[str]] = {}
    texts = {name: _text_of(own[name]) for name in own if not _is_ours(name)}
    statements = {name: b" ".join(_IMPORT.findall(text)) for name, text in texts.items()}
    sought = changed
    while sought:
        last = {re.escape(name.rpartition(".")[2].encode()) for name in sought}
        words = re.compile(rb"\b(?:%s)\b" % b"|".join(last))
        sought = {name for name, text in statements.items() if words.search(text)}
        for name in sought:
            del statements[name]
            found[name] = set(_imported(texts[name], own[name]))
    return found


def _is_ours(name: str) -> bool:
    package = __name__.rpartition(".")[0]
    return name == package or name.startswith(f"{package}.")


def _text_of(module: ModuleType) -> bytes:
    path = str(module.__file__)
    if not path.endswith(SOURCE):
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _imported(text: bytes, module: ModuleType) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # One that has not changed and was compiled before; it is seen when it is run.
    package = (getattr(module, "__package__", None) or "").split(".")
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                yield from (".".join(parts[: end + 1]) for end in range(len(parts)))
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else []
            place = ".".join([*around, *([node.module] if node.module else [])])
            yield place
            yield from (f"{place}.{alias.name}" for alias in node.names)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            # What functions import is new when they are called.
            nodes += ast.iter_child_nodes(node)
