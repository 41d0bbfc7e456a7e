"""ASGI applications in a server: mounted at a path, asked by requests and upgrades.

An application runs on the asyncio loop, as coroutine handlers do, from the moment that the head of
a request is complete; see ``asgicall``. A WebSocket goes the way of those that are classes: here is
its session. ``root_path`` is the part of the path that the application is mounted at, and ``path``
is all of it (version 2.3 of the specification says so; older frameworks cut it off themselves).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Optional, Union

from ..exchange import Answer, SocketChannel
from ..protocol.handshake import Handshake
from ..protocol.paths import decode
from ..protocol.response import RESERVED_FIELDS, Line
from .asgicall import HTTPCall, Inlet, ResponseStart, read_fields, read_start
from .lifespan import ASGIApplication, Event, Lifespans
from .mounts import AsyncMount, PathAnswer
from .request import Request


class ASGIMount(AsyncMount):
    """An application at a path.

    Args:
        application: The application.
    """

    def inlet(self, has_body: bool) -> Inlet:
        """Return what the application receives; see ``AsyncMount``."""
        return Inlet(has_body)

    async def respond(
        self, request: Request, depth: int, inlet: Inlet, lifespans: Lifespans
    ) -> Union[Answer, PathAnswer]:
        """Answer a request; see ``AsyncMount``."""
        state = await lifespans.state(self.application)
        scope = http_scope(request, depth, state)
        return await HTTPCall(self.application, scope, inlet).answer(lifespans)

    def session(
        self,
        request: Request,
        depth: int,
        handshake: Handshake,
        refusal: Answer,
        lifespans: Lifespans,
        dress: Callable[[Answer], Answer],
    ) -> Callable[[SocketChannel], Coroutine[Any, Any, None]]:
        """Return what runs a WebSocket with the application; see ``AsyncMount``."""
        arguments = (request, depth, handshake, refusal, lifespans, dress)
        return ASGISession(self.application, *arguments).run


def http_scope(request: Request, depth: int, state: dict[str, Any]) -> Event:
    """Return what an application is told of a request.

    Args:
        request: The request.
        depth: How many segments of its path the application is mounted at.
        state: What its lifespan has left.
    """
    return {
        "type": "http",
        "method": request.method(),
        "scheme": request.scheme(),
        "extensions": {"http.response.pathsend": {}},
        **_scope(request, depth, state),
    }


def _scope(request: Request, depth: int, state: dict[str, Any]) -> Event:
    """Return what the scopes of requests and WebSockets have in common."""
    head = request.head
    return {
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": f"1.{head.minor}",
        "path": request.path(),
        "raw_path": head.path.encode("latin-1"),
        "query_string": head.query.encode("latin-1"),
        "root_path": decode(_root(head.path, depth)),
        "headers": [_header(request, name.lower(), value) for name, value in head.fields],
        "client": request.clientAddress() if request.clientAddress()[0] else None,
        "server": _server(request.serverAddress()),
        "state": state,
    }


def _header(request: Request, name: str, value: str) -> tuple[bytes, bytes]:
    # An application is to see the host that ALLOWED_HOSTS was asked about: that of an absolute-form
    # target (RFC 9112 3.2.2), or what a believed proxy says, goes before the Host field.
    shown = request.host() if name == "host" else value
    return name.encode("latin-1"), shown.encode("latin-1")


def _server(address: tuple[str, int]) -> tuple[str, Optional[int]]:
    """Return an address as applications are told it: a Unix socket by its path alone."""
    host, number = address
    return (host, number) if number else (host.removeprefix("unix:"), None)


def _root(path: str, depth: int) -> str:
    """Return the first segments of a path that is not decoded."""
    end = 0
    for _ in range(depth):
        end = path.find("/", end + 1)
        if end < 0:
            return path
    return path[:end]


class ASGISession:
    """The life of one WebSocket with an application.

    Args:
        application: The application.
        request: The request for the upgrade.
        depth: How many segments of its path the application is mounted at.
        handshake: What the client asks for.
        refusal: What is answered when the application closes before it has accepted.
        lifespans: The applications of the server.
        dress: Adds what the server adds to an answer.
    """

    def __init__(
        self,
        application: ASGIApplication,
        request: Request,
        depth: int,
        handshake: Handshake,
        refusal: Answer,
        lifespans: Lifespans,
        dress: Callable[[Answer], Answer],
    ) -> None:
        self._application = application
        self._request = request
        self._depth = depth
        self._handshake = handshake
        self._refusal = refusal
        self._lifespans = lifespans
        self._dress = dress
        self._channel: Optional[SocketChannel] = None
        self._connected = False  # the application has been told of the upgrade
        self._start: Optional[ResponseStart] = None  # of a response that refuses it
        self._body: list[bytes] = []
        self._refused = False
        self._over = False  # the application has been told of the end
        self._receiving: Any = None

    async def run(self, channel: SocketChannel) -> None:
        """Run it; what the application raises goes on."""
        import asyncio

        self._channel = channel
        self._receiving = asyncio.Lock()
        state = await self._lifespans.state(self._application)
        try:
            await self._application(self._scope(state), self._receive, self._send)
        except BaseException as error:
            over = self._over or (channel.accepted and not channel.open)
            if channel.open and not self._over:
                from ..protocol.frames import CloseCode

                channel.close(CloseCode.INTERNAL_ERROR)
            if not (over and isinstance(error, ConnectionError)):
                raise  # else it wanted to send: the end of the connection is no fault

    def _scope(self, state: dict[str, Any]) -> Event:
        return {
            "type": "websocket",
            "scheme": "wss" if self._request.isSecure() else "ws",
            "subprotocols": list(self._handshake.subprotocols),
            "extensions": {"websocket.http.response": {}},
            **_scope(self._request, self._depth, state),
        }

    @property
    def _socket(self) -> SocketChannel:
        if self._channel is None:
            raise RuntimeError("the session has not begun")
        return self._channel

    async def _receive(self) -> Event:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        channel = self._socket
        async with self._receiving:  # The channel has one that waits.
            message = await channel.receive()
        if message is None:
            self._over = True
            code, reason = channel.close_code, channel.close_reason
            return {"type": "websocket.disconnect", "code": code, "reason": reason}
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def _send(self, event: Event) -> None:
        kind, channel = event["type"], self._socket
        if kind == "websocket.accept":
            channel.accept(event.get("subprotocol"), _accept_fields(event))
        elif kind == "websocket.close":
            self._close(int(event.get("code", 1000)), event.get("reason") or "")
        elif kind == "websocket.send":
            if not channel.accepted:
                raise RuntimeError("the WebSocket has not been accepted")
            self._check_open(channel)
            await channel.send(_message(event))
        elif kind in ("websocket.http.response.start", "websocket.http.response.body"):
            self._respond(kind, event)
        else:
            raise ValueError(f"{kind!r} is no event of a WebSocket")

    def _close(self, code: int, reason: str) -> None:
        channel = self._socket
        if not channel.accepted:
            if self._refused:
                raise ConnectionAbortedError("the upgrade has been refused already")
            self._refused = True
            channel.refuse(self._refusal)
        else:
            self._check_open(channel)
            channel.close(code, reason)

    def _check_open(self, channel: SocketChannel) -> None:
        if self._over or not channel.open:
            raise ConnectionAbortedError("the WebSocket is closed")

    def _respond(self, kind: str, event: Event) -> None:
        """Take a part of a response that refuses the upgrade; it goes out as a whole."""
        if self._socket.accepted or self._refused:
            raise RuntimeError("the upgrade has been answered already")
        if kind.endswith("start"):
            self._start = read_start(event)
            return
        if self._start is None:
            raise RuntimeError("the response has not been started")
        self._body.append(bytes(event.get("body", b"")))
        if not event.get("more_body"):
            self._refused = True
            answer = Answer(self._start.status, self._start.fields, b"".join(self._body))
            self._socket.refuse(self._dress(answer))


def _message(event: Event) -> Union[str, bytes]:
    """Return the message of an event.

    Raises:
        TypeError: there is none.
    """
    text, data = event.get("text"), event.get("bytes")
    if isinstance(text, str):
        return text
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError("websocket.send has neither text nor bytes")
    return bytes(data)


def _accept_fields(event: Event) -> list[Line]:
    """Return the headers of an acceptance, but for those that the server writes."""
    lines = read_fields(event.get("headers") or ())
    return [line for line in lines if line[0].lower() not in RESERVED_FIELDS]
