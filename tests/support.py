"""What several tests need: a running server, raw connections, responses taken apart."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import hwebserver

#: How long a test waits for what must happen; only a failing test waits that long.
PATIENCE = 20.0


@contextlib.contextmanager
def running(server: hwebserver.Server, **arguments: Any) -> Iterator[hwebserver.Server]:
    """Run a server on a free port, and see that it stops behind the block."""
    arguments.setdefault("port", 0)
    server.run(in_background=True, **arguments)
    try:
        yield server
    finally:
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; fail when it does not come to."""
    end = time.monotonic() + seconds
    pause = select.select
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        pause([], [], [], 0.002)


class Answer(NamedTuple):
    """A response as http.client reads it."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def fetch(
    server: hwebserver.Server,
    path: str = "/",
    method: str = "GET",
    body: Any = None,
    headers: dict[str, str] | None = None,
    port: str = "main",
) -> Answer:
    """Make one request with a client of the standard library."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port(port), timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def connect(server: hwebserver.Server, port: str = "main") -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", server.port(port)), timeout=PATIENCE)


def receive_until(sock: socket.socket, mark: bytes) -> bytes:
    """Receive until a mark has come; fail if the connection ends before it."""
    data = b""
    while mark not in data:
        piece = sock.recv(65536)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def receive_all(sock: socket.socket) -> bytes:
    """Receive to the end of the connection; a reset ends it too."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            data += piece
    return data


def receive_response(sock: socket.socket, method: str = "GET") -> Answer:
    """Read exactly one response from a connection that stays open."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())
