"""An ASGI server without sockets: calls an application, and takes down what it sends."""

from __future__ import annotations

import asyncio
import email.message
import threading
from typing import Any
from urllib.parse import unquote

from support import PATIENCE, Answer


class Driver:
    """An asyncio loop on a thread, on which an application is called.

    Args:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> Driver:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.app.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the loop, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def begin(self, scope: dict[str, Any], *events: dict[str, Any]) -> Call:
        """Begin a connection."""
        return Call(self, scope, events)


class Call:
    """One connection to an application.

    Attributes:
        sent: The events that the application has sent.
    """

    def __init__(self, driver: Driver, scope: dict[str, Any], events: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self._driver = driver
        self._incoming: asyncio.Queue[dict[str, Any]] = driver.run(self._make_queue())
        self._outgoing: asyncio.Queue[dict[str, Any]] = driver.run(self._make_queue())
        for event in events:
            self.tell(event)
        call = driver.app(scope, self._incoming.get, self._send)
        self._future = asyncio.run_coroutine_threadsafe(call, driver.loop)

    async def _make_queue(self) -> Any:
        return asyncio.Queue()

    async def _send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)
        await self._outgoing.put(event)

    def tell(self, event: dict[str, Any]) -> None:
        """Give the application an event."""
        self._driver.loop.call_soon_threadsafe(self._incoming.put_nowait, event)

    def next(self) -> dict[str, Any]:
        """Return the next event that the application sends."""
        return self._driver.run(self._outgoing.get())

    def end(self) -> None:
        """Wait until the application has returned, and raise what it raises."""
        self._future.result(PATIENCE)


def http_scope(path: str, method: str = "GET", headers: Any = (), **more: Any) -> dict[str, Any]:
    """The scope of a request, as a server makes it."""
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path, "utf-8", "replace"),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in dict(headers).items()
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8008),
        **more,
    }


def answer_of(sent: list[dict[str, Any]]) -> Answer:
    """Return a response as ``support.fetch`` does."""
    start, *bodies = sent
    assert start["type"] == "http.response.start"
    assert [one["more_body"] for one in bodies] == [True] * (len(bodies) - 1) + [False]
    headers: Any = email.message.Message()
    for name, value in start["headers"]:
        assert name == name.lower()
        headers[name.decode()] = value.decode("latin-1")
    return Answer(start["status"], headers, b"".join(one["body"] for one in bodies))
