"""A greeting, a nap and a stream on hwebserver."""

from __future__ import annotations

import time
from collections.abc import Iterator

from on_ours import hwebserver, serve
from work import GREETING, NAP_SECONDS, PIECE, PIECES, be_busy, is_beside_host

#: By default a connection that is idle for 15 seconds is closed.
SETTINGS = {"KEEP_ALIVE_TIMEOUT": 600.0, "MAX_CONNECTIONS": 100_000}

server = hwebserver.Server()


@server.urlHandler("/")
def hello(request: hwebserver.Request) -> hwebserver.Response:
    """Answer with a greeting."""
    return hwebserver.Response(GREETING, content_type="text/plain")


@server.urlHandler("/sleep")
def sleep(request: hwebserver.Request) -> hwebserver.Response:
    """Answer with a greeting after a nap."""
    time.sleep(NAP_SECONDS)
    return hello(request)


def pieces() -> Iterator[bytes]:
    """Make a body while it is sent."""
    for _ in range(PIECES):
        yield PIECE


@server.urlHandler("/stream")
def stream(request: hwebserver.Request) -> hwebserver.Response:
    """Answer piece by piece."""
    return hwebserver.Response(pieces(), content_type="text/plain")


if __name__ == "__main__":
    beside_host = is_beside_host()
    serve(server, in_background=beside_host, settings=SETTINGS)
    if beside_host:
        be_busy()
