"""What is registered with a server at one moment, who has registered it, and how it is renewed.

Whoever answers a request takes the tables once, so it sees all of one moment. When modules are
imported again, what they register is collected, and new tables are made: what other modules have
registered, and what those register now. They take the place of the old ones in one assignment, so
no request finds a handler without its filter, or nothing.

A registration belongs to the module whose code registers it, that is run from its top when it is
imported: a function that this calls, of whatever module, registers for it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, ClassVar, Optional, Union
from weakref import WeakSet

from .api import API, API_PATH, APIFunction
from .filters import Filter, Filters
from .routing import Route, Router
from .websocket import SocketClass, inspect_class

Entry = Union[Route, Filter, APIFunction]

#: The variables of modules, by their names.
Variables = Mapping[str, Mapping[str, Any]]

#: Returns what a registered thing is to be from now on; None: nothing.
Renew = Callable[[Any], Optional[Any]]


class Tables:
    """All registrations.

    Attributes:
        version: Changes with every registration, so that what was looked up can be kept.
    """

    __slots__ = ("api", "filters", "router", "sockets", "version")

    def __init__(self, router: Router, sockets: Router, filters: Filters, api: API) -> None:
        self.router = router
        self.sockets = sockets
        self.filters = filters
        self.api = api
        self.version = 0

    def add(self, entry: Entry, upgrades: bool = False) -> None:
        """Add a registration.

        Args:
            entry: What is registered.
            upgrades: Whether it is a route of WebSockets.
        """
        if isinstance(entry, Filter):
            self.filters.add(entry)
        elif isinstance(entry, Route):
            (self.sockets if upgrades else self.router).add(entry)
        else:
            self.api.add(entry)
            handle = self.api.handle
            self.router.add(Route(API_PATH, handle, methods=["POST"], ports=entry.ports))
        self.version += 1

    def renewed(self, renew: Renew) -> Tables:
        """Return other tables, with what a function makes of each registration."""
        api = self.api.renewed(renew)

        def renew_route(route: Route) -> Optional[Route]:
            if getattr(route.target, "__self__", None) is not self.api:
                return renew(route)
            # It is there for the functions, whoever has registered them.
            return route.to(api.handle) if api.has_functions(route.ports) else None

        tables = Tables(
            self.router.renewed(renew_route),
            self.sockets.renewed(renew),
            self.filters.renewed(renew),
            api,
        )
        tables.version = self.version + 1
        return tables

    def owners(self) -> set[str]:
        """Return the names of the modules that have registered something."""
        entries = (*self.router, *self.sockets, *self.filters, *self.api)
        return {entry.owner for entry in entries} - {""}


class Registry:
    """The tables of a server, and the only way to change them.

    Attributes:
        tables: Those of now.
    """

    #: Those of all servers of the process, and who may change them.
    every: ClassVar[WeakSet[Registry]] = WeakSet()
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.tables = Tables(Router(), Router(), Filters(), API())
        with Registry.lock:
            Registry.every.add(self)

    def add(self, entry: Entry, upgrades: bool = False) -> None:
        """Register something, or have it collected if this thread imports modules again.

        Args:
            entry: What is registered.
            upgrades: Whether it is a route of WebSockets.
        """
        entry.owner = executing_module()
        renewal = Renewal.of_this_thread()
        if renewal is not None:
            renewal.collect(self, entry, upgrades)
            return
        with Registry.lock:
            self.tables.add(entry, upgrades)

    def add_own(self, route: Route) -> None:
        """Register something of the server's, which no module replaces."""
        with Registry.lock:
            self.tables.add(route)


def executing_module() -> str:
    """Return the name of the module whose code runs, from its top; empty: none does."""
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            return str(frame.f_globals.get("__name__", ""))
        frame = frame.f_back
    return ""


class Renewal:
    """What one thread registers while it imports modules again."""

    _current: ClassVar[Optional[Renewal]] = None

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._collected: dict[Registry, list[tuple[Entry, bool]]] = {}
        self._counts: dict[Any, int] = {}

    def __enter__(self) -> Renewal:
        Renewal._current = self
        return self

    def __exit__(self, *details: Any) -> None:
        Renewal._current = None

    @classmethod
    def of_this_thread(cls) -> Optional[Renewal]:
        """Return that of the calling thread; None: it imports nothing again."""
        current = cls._current
        mine = current is not None and current._thread == threading.get_ident()
        return current if mine else None

    def collect(self, registry: Registry, entry: Entry, upgrades: bool) -> None:
        """Take note of a registration."""
        self._collected.setdefault(registry, []).append((entry, upgrades))

    def count(self, key: Any) -> int:
        """Return how often this was asked for before, for the same key."""
        count = self._counts.get(key, 0)
        self._counts[key] = count + 1
        return count

    def owners(self) -> set[str]:
        """Return the names of the modules that have registered something."""
        with Registry.lock:
            registries = list(Registry.every)
            return set[str]().union(*(one.tables.owners() for one in registries))

    def commit(self, before: Variables) -> None:
        """Have what was collected replace what the same modules had registered.

        What others have registered stays, but where it is a function or a class of a module by its
        name, it is the one that has the name now.

        Args:
            before: The names of the modules, and what their variables were.

        Raises:
            OperationFailed: something cannot be what it is registered as; all stays as it was.
        """

        def renew(entry: Any) -> Any:
            return None if entry.owner in before else _with_successor(entry, before)

        with Registry.lock:
            renewed: dict[Registry, Tables] = {}
            for registry in {*Registry.every, *self._collected}:
                tables = renewed[registry] = registry.tables.renewed(renew)
                for entry, upgrades in self._collected.get(registry, ()):
                    tables.add(entry, upgrades)
            for registry, tables in renewed.items():
                registry.tables = tables


def _with_successor(entry: Any, before: Variables) -> Any:
    """Return a registration that leads to what has the name of its function or class now."""
    target = entry.target
    if isinstance(target, SocketClass):
        made = _successor(target.make, before)
        return entry if made is target.make else entry.to(inspect_class(made))
    from .mounts import Mount

    if isinstance(target, Mount):
        application = _successor(target.application, before)
        same = application is target.application
        return entry if same else entry.to(type(target)(application))
    found = _successor(target, before)
    return entry if found is target else entry.to(found)


def _successor(thing: Any, before: Variables) -> Any:
    """Return what stands in the place of something in its module; itself, if nothing does."""
    variables = before.get(getattr(thing, "__module__", None) or "")
    name = getattr(thing, "__qualname__", None)
    if variables is None or not isinstance(name, str) or _named(variables, name) is not thing:
        return thing
    found = _named(vars(sys.modules[thing.__module__]), name)
    return found if callable(found) else thing


def _named(variables: Mapping[str, Any], name: str) -> Any:
    first, *others = name.split(".")
    found = variables.get(first)
    for other in others:
        found = getattr(found, other, None)
    return found
