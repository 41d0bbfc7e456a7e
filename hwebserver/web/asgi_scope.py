"""The scope of ASGI, read as a request: what another server knows of one is written down as a head
again, and read by the same strict parser that reads those from sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from ..errors import ProtocolError
from ..exchange import ConnectionInfo, Port
from ..protocol import tokens
from ..protocol.http1 import Limits, RequestHead, parse_head
from ..protocol.response import Line
from ..settings import EVERY_PORT, MAIN_PORT
from .lifespan import Event

#: What a path may hold that is not encoded; a question mark would end it.
_PATH = "/:@!$&'()*+,;=-._~|[]^"

#: What makes a request an upgrade; servers keep some of it to themselves.
_HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def connection_info(scope: Event) -> ConnectionInfo:
    """Return what a scope says of the connection."""
    secure = scope.get("scheme") in ("https", "wss")
    server = scope.get("server") or ("", None)
    number = server[1] or (443 if secure else 80)
    name = str(server[0])
    keys = frozenset((MAIN_PORT, EVERY_PORT, str(number)))
    client = scope.get("client") or ("", 0)
    peer = str(client[0]), int(client[1] or 0)
    port = Port(MAIN_PORT, number, keys, secure, name)
    return ConnectionInfo(peer, (name, number), port, -1, secure)


def read_head(scope: Event, limits: Limits) -> RequestHead:
    """Return the head of the request that a scope describes.

    Args:
        scope: The scope of a request, or of a WebSocket.
        limits: What the head may cost.

    Raises:
        HTTPError: it is one that would be refused if it came over a socket.
    """
    minor = 0 if scope.get("http_version") == "1.0" else 1
    lines = [f"{scope.get('method', 'GET')} {_target(scope)} HTTP/1.{minor}"]
    for name, value in _fields(scope):
        if tokens.UNSAFE_VALUE.search(value):
            raise ProtocolError(400, "A header field holds a control character.")
        lines.append(f"{name}: {value}")
    return parse_head("\r\n".join(lines).encode("latin-1"), limits)


def _target(scope: Event) -> str:
    """Return the request target: as it was sent if the scope tells, else encoded again."""
    path: str = scope["path"]
    raw = (scope.get("raw_path") or b"").decode("latin-1").partition("?")[0]
    root = (scope.get("root_path") or "").rstrip("/")
    # Where something in front of us has changed the path, that counts.
    if not raw or unquote(raw, "utf-8", "replace") != path:
        raw = quote(path, _PATH)
    if root and f"{path}/".startswith(f"{root}/"):
        raw = _behind(raw, path, root)
    query = (scope.get("query_string") or b"").decode("latin-1")
    raw = raw or "/"
    return f"{raw}?{query}" if query else raw


def _behind(raw: str, path: str, root: str) -> str:
    """Return the part of a path behind that of the application, encoded as it was."""
    if raw.startswith(root):
        return raw[len(root) :]
    return quote(path[len(root) :], _PATH)


def _fields(scope: Event) -> Iterator[Line]:
    names = set()
    for name, value in scope.get("headers") or ():
        text = name.decode("latin-1")
        names.add(text)
        yield text, value.decode("latin-1")
    if scope["type"] == "websocket":
        yield from _handshake(scope, names)
    elif not {"content-length", "transfer-encoding"} & names and _may_have_body(scope):
        yield "transfer-encoding", "chunked"


def _handshake(scope: Event, names: set[str]) -> Iterator[Line]:
    for name, value in _HANDSHAKE.items():
        if name not in names:
            yield name, value
    offered = ", ".join(scope.get("subprotocols") or ())
    if offered and "sec-websocket-protocol" not in names:
        yield "sec-websocket-protocol", offered


def _may_have_body(scope: Event) -> bool:
    """Say whether a body may follow that no field tells of: from HTTP/2 on."""
    return not str(scope.get("http_version", "1.1")).startswith("1")


def bytes_of(lines: Any) -> list[tuple[bytes, bytes]]:
    """Return fields as ASGI has them."""
    return [(name.lower().encode("latin-1"), str(value).encode("latin-1")) for name, value in lines]
