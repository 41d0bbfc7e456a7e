"""The server that the raw requests of the corpus are sent to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import hwebserver


class Call(NamedTuple):
    """A request that has reached a handler; ``body`` is None where the handler did not look."""

    method: str
    target: str
    body: bytes | None
    host: str


class Site:
    """A server whose handlers write down what reaches them.

    Args:
        settings: Settings of its main port.
    """

    def __init__(self, settings: Mapping[str, int] | None = None) -> None:
        self.server = hwebserver.Server("wire")
        own = {"LINGER_TIMEOUT": 20.0, "ALLOWED_HOSTS": ["*"]}
        self.server.setSettingsForPort({**own, **(settings or {})})
        self.calls: list[Call] = []
        handle = self.server.urlHandler
        handle("/echo")(self._echo)
        handle("/smuggled")(self._echo)
        handle("/ignore")(self._ignore)
        handle("/empty")(self._empty)
        handle("/unchanged")(self._unchanged)
        handle("/raise")(self._raise)
        handle("/get", methods=["GET"])(self._ignore)
        handle("/post", methods=["POST"])(self._ignore)
        handle("/probe")(lambda request: "probe")

    def _note(self, request: hwebserver.Request, body: bytes | None = None) -> None:
        target = request.pathWithQueryString()
        self.calls.append(Call(request.method(), target, body, request.host()))

    def _echo(self, request: hwebserver.Request) -> str:
        self._note(request, request.body())
        return f"{request.method()} {request.pathWithQueryString()} {request.body()!r}"

    def _ignore(self, request: hwebserver.Request) -> str:
        self._note(request)
        return "ignored"

    def _empty(self, request: hwebserver.Request) -> None:
        self._note(request)

    def _unchanged(self, request: hwebserver.Request) -> hwebserver.Response:
        self._note(request)
        return hwebserver.Response("never sent", 304)

    def _raise(self, request: hwebserver.Request) -> None:
        self._note(request)
        raise RuntimeError("on purpose")
