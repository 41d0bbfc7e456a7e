"""Which handler answers a path: a tree of path segments.

Of all registrations that match, the one whose own segments are most wins; at equal length an exact
path goes before templates (those with more literal segments first), prefixes, ``{name:path}``,
files and mounted applications. A prefix, a ``{name:path}``, a directory and a mounted application
count with the segments in front of what they leave open. Looking a path up costs a dictionary
access a segment, however many routes there are.

A tree is changed under a lock and read without one: whatever a reader may see is complete.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Optional, Union

from ..errors import OperationFailed
from ..exchange import Pace
from ..protocol.paths import split_path
from ..protocol.tokens import TOKEN
from ..settings import EVERY_PORT, MAIN_PORT, port_key

_MAX_DIGITS = 300


class Kind(IntEnum):
    """What a registration matches, in the order of precedence at equal length."""

    EXACT = 0
    TEMPLATE = 1
    PREFIX = 2
    PATH = 3
    FILES = 4
    MOUNT = 5


class _Parameter(NamedTuple):
    """A segment of a template that is not literal."""

    position: int
    name: str
    converter: str


class Route:
    """One registration.

    Args:
        path: As registered: literal segments and ``{name}``, ``{name:int}``, ``{name:path}``.
        target: What answers: called with the request and the values of the template; for FILES
            something that has ``respond``, ``again`` and ``find``, for MOUNT something that has
            ``respond``.
        methods: The methods it takes; None: all of them.
        ports: The keys of the ports it holds for.
        kind: PREFIX, FILES or MOUNT for those; else found out from the path.

    Attributes:
        owner: The name of the module that has registered it; empty: none has.

    Raises:
        OperationFailed: the path is no template, or a method is none.
    """

    __slots__ = (
        "kind",
        "methods",
        "owner",
        "pace",
        "parameters",
        "path",
        "ports",
        "segments",
        "target",
    )

    def __init__(
        self,
        path: str,
        target: Any,
        *,
        methods: Optional[Iterable[str]] = None,
        ports: frozenset[str] = frozenset((MAIN_PORT,)),
        kind: Kind = Kind.EXACT,
    ) -> None:
        self.target = target
        self.ports = ports
        self.methods = None if methods is None else _method_set(methods)
        self.owner = ""
        self.pace = Pace()
        self.path = "/" + path.strip("/")
        self.segments = self.path[1:].split("/") if self.path != "/" else []
        self.parameters = _parameters(self.segments, path)
        self.kind = self._kind_of(kind)
        if self.kind is Kind.PATH:
            self.segments = self.segments[:-1]

    def _kind_of(self, kind: Kind) -> Kind:
        converters = [parameter.converter for parameter in self.parameters]
        if "path" in converters:
            last = self.parameters[-1]
            if (
                converters.count("path") > 1
                or last.converter != "path"
                or last.position != len(self.segments) - 1
                or kind is not Kind.EXACT
            ):
                raise OperationFailed(f"a path parameter stands at the end: {self.path}")
            return Kind.PATH
        return Kind.TEMPLATE if converters and kind is Kind.EXACT else kind

    @property
    def literals(self) -> int:
        """How many of its segments are literal."""
        inner = [one for one in self.parameters if one.converter != "path"]
        return len(self.segments) - len(inner)

    def same_as(self, other: Route) -> bool:
        """Whether a registration replaces another: same path, kind, methods and ports.

        That of another module goes before it, too, but leaves it there: the one may be gone when
        the other module is imported again.
        """
        return (self.path, self.kind, self.methods, self.ports, self.owner) == (
            other.path,
            other.kind,
            other.methods,
            other.ports,
            other.owner,
        )

    def to(self, target: Any) -> Route:
        """Return a route that is the same, but for what answers."""
        from copy import copy

        other = copy(self)
        other.target = target
        other.pace = Pace()
        return other

    def allows(self, method: str) -> bool:
        """Whether requests with the method reach the target."""
        return self.methods is None or method in self.methods

    def values(self, segments: Sequence[str]) -> dict[str, Any]:
        """Return the values of the template's parameters in a path that matches."""
        found: dict[str, Any] = {}
        for index, name, converter in self.parameters:
            if converter == "path":
                found[name] = "/".join(segments[index:])
            else:
                found[name] = int(segments[index]) if converter == "int" else segments[index]
        return found


def _method_set(methods: Iterable[str]) -> frozenset[str]:
    if isinstance(methods, str):
        raise OperationFailed(f"methods is a list of methods, not the text {methods!r}")
    names = {str(method).upper() for method in methods}
    if not names or any(TOKEN.match(name) is None for name in names):
        raise OperationFailed(f"{sorted(names)} are not the methods of a handler")
    # RFC 9110 9.3.2: what GET answers, HEAD answers too, without the body.
    return frozenset(names | {"HEAD"} if "GET" in names else names)


def _parameters(segments: Sequence[str], path: str) -> list[_Parameter]:
    found: list[_Parameter] = []
    for index, segment in enumerate(segments):
        if "{" not in segment and "}" not in segment:
            continue
        name, _, converter = segment[1:-1].partition(":")
        whole = segment[0] == "{" and segment[-1] == "}" and name.isidentifier()
        if not whole or converter not in ("", "int", "path"):
            raise OperationFailed(
                f"{segment!r} in the path {path!r} is none of {{name}}, {{name:int}}, {{name:path}}"
            )
        found.append(_Parameter(index, name, converter))
    names = [parameter.name for parameter in found]
    if len(set(names)) != len(names):
        raise OperationFailed(f"the path {path!r} names a parameter twice")
    return found


#: Returns what a route is to be from now on; None: nothing.
Renew = Callable[[Route], Optional[Route]]


class _Node:
    """What may follow a sequence of segments."""

    __slots__ = ("ends", "literals", "number", "opens", "text")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.number: Optional[_Node] = None
        self.text: Optional[_Node] = None
        self.ends: list[Route] = []  # routes that match here and nothing longer
        self.opens: list[Route] = []  # routes that match whatever follows

    def child(self, converter: Optional[str], segment: str) -> _Node:
        """Return the node behind a segment of a registration; made if it is not there."""
        if converter is None:
            return self.literals.setdefault(segment, _Node())
        if converter == "int":
            self.number = self.number or _Node()
            return self.number
        self.text = self.text or _Node()
        return self.text

    def renewed(self, renew: Renew) -> _Node:
        """Return a copy of it, and of all behind it, with other routes."""
        node = _Node()
        node.literals = {name: one.renewed(renew) for name, one in self.literals.items()}
        node.number = self.number and self.number.renewed(renew)
        node.text = self.text and self.text.renewed(renew)
        node.ends = [route for route in map(renew, self.ends) if route is not None]
        node.opens = [route for route in map(renew, self.opens) if route is not None]
        return node

    def behind(self, segment: str) -> list[_Node]:
        """Return the nodes behind a segment of a request."""
        found: list[_Node] = []
        literal = self.literals.get(segment)
        if literal is not None:
            found.append(literal)
        if self.number is not None and _is_number(segment):
            found.append(self.number)
        if self.text is not None and segment:
            found.append(self.text)
        return found


def _is_number(segment: str) -> bool:
    return segment.isascii() and segment.isdecimal() and len(segment) <= _MAX_DIGITS


class Match(NamedTuple):
    """A registration that matches a request's path."""

    route: Route
    depth: int
    segments: list[str]

    @property
    def rest(self) -> list[str]:
        """The segments behind those that the registration names."""
        return self.segments[self.depth :]


class Router:
    """All registrations of a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._root = _Node()

    def add(self, route: Route) -> None:
        """Register a route; it replaces one that is the same."""
        converters = {parameter.position: parameter.converter for parameter in route.parameters}
        with self._lock:
            node = self._root
            for index, segment in enumerate(route.segments):
                node = node.child(converters.get(index), segment)
            ends = route.kind in (Kind.EXACT, Kind.TEMPLATE)
            routes = node.ends if ends else node.opens
            # Several directories may share a prefix: files never replace one another.
            if route.kind is not Kind.FILES:
                routes = [one for one in routes if not one.same_as(route)]
                routes = [route, *routes]  # of two that match alike the later one wins
            else:
                routes = [*routes, route]
            if ends:
                node.ends = routes
            else:
                node.opens = routes

    def __iter__(self) -> Iterator[Route]:
        """Yield all registrations."""
        nodes = [self._root]
        while nodes:
            node = nodes.pop()
            yield from node.ends
            yield from node.opens
            with self._lock:  # A dictionary must not grow while it is read.
                nodes += node.literals.values()
            nodes += [one for one in (node.number, node.text) if one is not None]

    def renewed(self, renew: Renew) -> Router:
        """Return another router, with what a function makes of each registration."""
        other = Router()
        with self._lock:
            other._root = self._root.renewed(renew)
        return other

    def find(self, path: str, ports: frozenset[str]) -> list[Match]:
        """Return the registrations that match a path, the one that wins first.

        Args:
            path: The path of a request, not decoded.
            ports: The keys of the port it came to.
        """
        segments = split_path(path)
        found: list[tuple[int, Route]] = []
        nodes = [self._root]
        for depth, segment in enumerate(segments):
            found += [(depth, route) for node in nodes for route in node.opens]
            nodes = [child for node in nodes for child in node.behind(segment)]
            if not nodes:
                break
        depth = len(segments)
        for node in nodes:
            found += [(depth, route) for route in node.ends]
            # A path parameter is not empty.
            found += [(depth, route) for route in node.opens if route.kind is not Kind.PATH]
        matches = [
            Match(route, depth, segments)
            for depth, route in found
            if not ports.isdisjoint(route.ports)
        ]
        if len(matches) > 1:
            matches.sort(key=precedence)
        return matches


def precedence(match: Match) -> tuple[int, int, int, bool]:
    """Return what sorts matches of one path, the one that wins first."""
    route = match.route
    return -match.depth, route.kind, -route.literals, route.methods is None


def port_keys(ports: Iterable[Union[int, str]]) -> frozenset[str]:
    """Return the keys of a ``ports`` argument; an empty one means the main port, -1 every port.

    Raises:
        OperationFailed: something in it is no port.
    """
    if isinstance(ports, (int, str)) or ports is None:
        ports = [] if ports is None else [ports]
    keys = frozenset(EVERY_PORT if port == -1 else port_key(port) for port in ports)
    return keys or frozenset((MAIN_PORT,))
