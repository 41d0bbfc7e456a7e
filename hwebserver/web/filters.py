"""Filters: functions that see a request before its body is read, and may refuse it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Optional

from ..errors import OperationFailed
from ..exchange import Pace
from ..protocol.paths import split_path


class Filter:
    """One filter.

    Args:
        path: What it guards, with all below it.
        function: Called with the request.
        ports: The keys of the ports it holds for.

    Attributes:
        segments: Those of the path.
        pace: What is known of how long it takes.
        owner: The name of the module that has registered it; empty: none has.

    Raises:
        OperationFailed: the path or the function cannot be.
    """

    __slots__ = ("function", "owner", "pace", "ports", "segments")

    def __init__(self, path: str, function: Callable[[Any], Any], ports: frozenset[str]) -> None:
        if "{" in path or "}" in path:
            raise OperationFailed(
                f"a filter guards a path and all below it: {path!r} is a template"
            )
        _check(function)
        inner = path.strip("/")
        self.segments = tuple(inner.split("/")) if inner else ()
        self.function = function
        self.ports = ports
        self.pace = Pace()
        self.owner = ""

    @property
    def target(self) -> Callable[[Any], Any]:
        """The function."""
        return self.function

    def to(self, target: Callable[[Any], Any]) -> Filter:
        """Return a filter that is the same, but for the function."""
        _check(target)
        from copy import copy

        other = copy(self)
        other.function = target
        other.pace = Pace()
        return other

    def same_as(self, other: Filter) -> bool:
        """Whether it is the same function for the same path and ports."""
        return (self.segments, self.function, self.ports) == (
            other.segments,
            other.function,
            other.ports,
        )


class Filters:
    """All filters of a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._filters: tuple[Filter, ...] = ()

    def add(self, new: Filter) -> None:
        """Register a filter; one that is there already counts once."""
        with self._lock:
            if any(one.same_as(new) and one.owner == new.owner for one in self._filters):
                return
            # Of those for as general a path the one that was registered first comes first.
            self._filters = tuple(sorted((*self._filters, new), key=lambda one: len(one.segments)))

    def __iter__(self) -> Iterator[Filter]:
        """Yield all filters."""
        return iter(self._filters)

    def renewed(self, renew: Callable[[Filter], Optional[Filter]]) -> Filters:
        """Return others, with what a function makes of each filter."""
        other = Filters()
        with self._lock:
            renewed = [renew(one) for one in self._filters]
            other._filters = tuple(one for one in renewed if one is not None)
        return other

    def find(self, path: str, ports: frozenset[str]) -> tuple[Filter, ...]:
        """Return the filters of a path, the most general one first.

        Args:
            path: The path of a request, not decoded.
            ports: The keys of the port it came to.
        """
        if not self._filters:
            return ()
        segments = tuple(split_path(path))
        found: list[Filter] = []
        for one in self._filters:
            guards = segments[: len(one.segments)] == one.segments
            known = any(one.same_as(other) for other in found)  # of another module
            if guards and not known and not ports.isdisjoint(one.ports):
                found.append(one)
        return tuple(found)


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
