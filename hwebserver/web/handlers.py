"""Handlers: functions, and objects with a ``handle`` method; and what they may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import OperationFailed, UnsendableError
from .request import Request
from .response import Response

Handler = Callable[..., Any]


class URLHandler:
    """A handler as an object: override ``handle`` and register it by ``insertHandlerForPort``.

    Args:
        path: The path it answers, as for ``urlHandler``.
        methods: The methods it takes.
        allows_partial: Whether it answers every path below, too.
    """

    def __init__(
        self, path: str, methods: Iterable[str] = ("GET", "POST"), allows_partial: bool = False
    ) -> None:
        self._path = path
        self._methods = list(methods)
        self._allows_partial = allows_partial

    def path(self) -> str:
        """Return the path it answers."""
        return self._path

    def methods(self) -> list[str]:
        """Return the methods it takes."""
        return list(self._methods)

    def allowsPartial(self) -> bool:
        """Return whether it answers every path below, too."""
        return self._allows_partial

    def handle(self, request: Request, **parameters: Any) -> Any:
        """Answer a request.

        Args:
            request: The request.
            parameters: The values of the path's template.

        Returns:
            A response, or what ``as_response`` makes one of.
        """
        raise OperationFailed(f"{type(self).__name__} has no method handle of its own")


class URLCallbackHandler(URLHandler):
    """A handler around a function.

    Args:
        path: The path it answers, as for ``urlHandler``.
        callback: Called with the request and the values of the path's template.
        methods: The methods it takes.
        allows_partial: Whether it answers every path below, too.
    """

    def __init__(
        self,
        path: str,
        callback: Handler,
        methods: Iterable[str] = ("GET", "POST"),
        allows_partial: bool = False,
    ) -> None:
        super().__init__(path, methods, allows_partial)
        check_callable(callback)
        self._callback = callback

    def handle(self, request: Request, **parameters: Any) -> Any:
        """Answer a request with what the function returns."""
        return self._callback(request, **parameters)


class AsyncURLHandler(URLHandler):
    """A handler whose ``handle`` is a coroutine; it runs on the asyncio loop.

    It answers with ``request.send(response)``, or returns the response.

    Args:
        path: As for ``URLHandler``.
        methods: As for ``URLHandler``.
        allows_partial: As for ``URLHandler``.
    """

    async def handle(self, request: Request, **parameters: Any) -> Any:
        """Answer a request.

        Args:
            request: The request.
            parameters: The values of the path's template.
        """
        raise OperationFailed(f"{type(self).__name__} has no method handle of its own")


class AsyncURLCallbackHandler(AsyncURLHandler):
    """A handler around a function that runs on the asyncio loop, mostly a coroutine function.

    Args:
        path: As for ``URLHandler``.
        callback: Called with the request and the values of the path's template.
        methods: As for ``URLHandler``.
        allows_partial: As for ``URLHandler``.
    """

    def __init__(
        self,
        path: str,
        callback: Handler,
        methods: Iterable[str] = ("GET", "POST"),
        allows_partial: bool = False,
    ) -> None:
        super().__init__(path, methods, allows_partial)
        check_callable(callback)
        self._callback = callback

    async def handle(self, request: Request, **parameters: Any) -> Any:
        """Answer a request with what the function returns, a coroutine function or not."""
        result = self._callback(request, **parameters)
        return await result if hasattr(result, "__await__") else result


def check_callable(function: Any) -> None:
    """Refuse what cannot be a handler.

    Raises:
        OperationFailed: it cannot be called.
    """
    if not callable(function):
        raise OperationFailed(f"a handler is a function, not {function!r}")


def as_response(result: Any) -> Response:
    """Return a response for what a handler returned.

    Text is HTML, bytes are ``application/octet-stream``, dicts, lists, numbers and truth values
    are JSON, and None is 204 (No Content). An iterator, which is what a generator function returns,
    is HTML that is sent piece by piece.

    Raises:
        UnsendableError: it is none of these, or JSON cannot hold it.
    """
    if isinstance(result, Response):
        return result
    if isinstance(result, str):
        return Response(result)
    if isinstance(result, (bytes, bytearray, memoryview)):
        return Response(result, 200, "application/octet-stream")
    if result is None:
        return Response(b"", 204, "")
    if isinstance(result, (dict, list, tuple, int, float)):
        from .jsontext import write_json

        return Response(write_json(result), 200, "application/json")
    if hasattr(result, "__next__") or hasattr(result, "__anext__"):
        return Response(result)
    raise UnsendableError(
        f"a handler returns a Response, text, bytes, data for JSON, an iterator or None, not "
        f"{type(result).__name__}"
    )
