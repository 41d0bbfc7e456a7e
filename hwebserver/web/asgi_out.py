"""A server's handlers as an ASGI application, for whoever outgrows one process.

Another server (uvicorn, hypercorn, granian) has the sockets and calls us on its asyncio loop. A
request goes the way that it goes under ``run``: its scope is read as a head by the same parser, the
body is received into the same sink with the same limits, and the answer is framed by the same
rules. What only the server of sockets can do is its own: Date, Server, the connection, the chunked
coding, deadlines.

Coroutine handlers and async iterators run on the loop that calls us; handlers that are plain
functions run on threads of our own, at most ``MAX_NUM_THREADS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

from ..errors import OperationFailed
from .asgi_inside import Inside, Receive, Send
from .asgi_reply import Reply
from .asgi_session import serve_socket
from .lifespan import Event


class ASGIApp:
    """The handlers of a server, as something that an ASGI server calls.

    Args:
        inside: What is behind it.
    """

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._end: Optional[Callable[[], None]] = inside.end

    def close(self) -> None:
        """End the threads of the application, as the end of its lifespan does."""
        end, self._end = self._end, None
        if end is not None:
            end()
        self._inside.workers.stop()

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve a connection; see the ASGI specification."""
        kind = scope["type"]
        if kind == "http":
            await Reply(self._inside, scope, receive, send).run()
        elif kind == "websocket":
            inside = self._inside
            await serve_socket(
                inside.application,
                inside.limits,
                inside.queue,
                inside.workers.run,
                scope,
                receive,
                send,
            )
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"hwebserver knows no ASGI connections of the type {kind!r}")

    async def _live(self, receive: Receive, send: Send) -> None:
        inside = self._inside
        await receive()
        try:
            await inside.lifespans.start(inside.mounted())
        except OperationFailed as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await inside.lifespans.stop()
        await inside.workers.run(self.close)
        await send({"type": "lifespan.shutdown.complete"})
