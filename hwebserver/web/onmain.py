"""Handlers that run on the host's main thread.

What was registered so is called with a request on a worker, like any handler, and returns an
``OnMain``: what is to be called on the main thread, and what is made of its result on a worker.
Nothing waits meanwhile, so such a handler costs others nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Optional

from ..errors import OperationFailed, UnsendableError

#: Makes what a handler returns of what was returned, or raised, on the main thread.
Then = Callable[[Any, Optional[BaseException]], Any]


class OnMain:
    """What a handler returns that wants the main thread.

    Attributes:
        function: What is called there.
        then: Makes what the handler returns of its outcome; may raise.
    """

    __slots__ = (
        "function",
        "then",
    )

    def __init__(
        self,
        function: Callable[[], Any],
        then: Then,
    ) -> None:
        self.function = function
        self.then = then


def _outcome(result: Any, error: Optional[BaseException]) -> Any:
    if error is not None:
        raise error
    return result


class OnMainThread:
    """A handler that is called on the main thread.

    Args:
        function: The handler.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, request: Any, **parameters: Any) -> OnMain:
        """Say what is to be called."""
        return OnMain(partial(self.function, request, **parameters), _outcome)


def on_main_thread(function: Callable[..., Any]) -> OnMainThread:
    """Return a handler for the main thread.

    Raises:
        OperationFailed: it is a coroutine function: those run on the asyncio loop.
    """
    if is_coroutine_function(function):
        raise OperationFailed(
            f"{function!r} is a coroutine function, which runs on the asyncio loop: "
            "main_thread=True is for plain functions"
        )
    return OnMainThread(function)


def for_setting(handler: Any) -> Any:
    """Return a handler as MAIN_THREAD_HANDLERS wants it.

    Coroutine functions stay on the loop, and what is on the main thread already, or decides
    that by itself, is as it was.

    Args:
        handler: Any handler.
    """
    decides = isinstance(handler, OnMainThread) or hasattr(
        getattr(handler, "__self__", None), "decides_thread"
    )
    return handler if decides or is_coroutine_function(handler) else OnMainThread(handler)


def is_coroutine_function(function: Any) -> bool:
    """Return whether what is called runs on the asyncio loop."""
    from inspect import iscoroutinefunction

    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def plain(result: Any) -> Any:
    """Return what a function returned on the main thread.

    Raises:
        UnsendableError: it is a coroutine, which belongs on the asyncio loop.
    """
    if not hasattr(result, "__await__"):
        return result
    if hasattr(result, "close"):
        result.close()
    raise UnsendableError("a handler on the main thread is a plain function, not a coroutine")
