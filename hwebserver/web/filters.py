"""Filters: functions that see a request before its body is read, and may refuse it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import OperationFailed
from ..exchange import Pace
from ..protocol.target import split_path


class Filter(NamedTuple):
    """One filter.

    Attributes:
        segments: Those of the path that it guards, with all below it.
        function: Called with the request.
        ports: The keys of the ports it holds for.
        pace: What is known of how long it takes.
    """

    segments: tuple[str, ...]
    function: Callable[[Any], Any]
    ports: frozenset[str]
    pace: Pace


class Filters:
    """All filters of a server.

    Attributes:
        version: Changes with every registration, so that what was looked up can be kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._filters: tuple[Filter, ...] = ()
        self.version = 0

    def add(self, path: str, function: Callable[[Any], Any], ports: frozenset[str]) -> None:
        """Register a filter; the same function for the same path and ports counts once.

        Args:
            path: What it guards.
            function: The filter.
            ports: The keys of the ports it holds for.

        Raises:
            OperationFailed: the path or the function cannot be.
        """
        if "{" in path or "}" in path:
            raise OperationFailed(
                f"a filter guards a path and all below it: {path!r} is a template"
            )
        _check(function)
        inner = path.strip("/")
        new = Filter(tuple(inner.split("/")) if inner else (), function, ports, Pace())
        with self._lock:
            if any(one[:3] == new[:3] for one in self._filters):
                return
            # Of those for as general a path the one that was registered first comes first.
            self._filters = tuple(sorted((*self._filters, new), key=lambda one: len(one.segments)))
            self.version += 1

    def find(self, path: str, ports: frozenset[str]) -> tuple[Filter, ...]:
        """Return the filters of a path, the most general one first.

        Args:
            path: The path of a request, not decoded.
            ports: The keys of the port it came to.
        """
        if not self._filters:
            return ()
        segments = tuple(split_path(path))
        return tuple(
            one
            for one in self._filters
            if segments[: len(one.segments)] == one.segments and not ports.isdisjoint(one.ports)
        )


def _check(function: Any) -> None:
    """Refuse what cannot be a filter.

    Raises:
        OperationFailed: it cannot be called, or it is a coroutine function.
    """
    from inspect import iscoroutinefunction

    if not callable(function):
        raise OperationFailed(f"a filter is a function, not {function!r}")
    if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
        raise OperationFailed(
            f"a filter is a plain function, and {function!r} is a coroutine function: requests "
            "would wait for the loop before they are let in"
        )
