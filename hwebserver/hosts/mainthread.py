"""What programs call to have something done on the host's main thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Optional, Union

from .dispatcher import TURN, Dispatcher

#: The dispatcher of the process.
dispatcher = Dispatcher()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=dispatcher.forget)


def callInMainThread(
    function: Callable[..., Any], *args: Any, timeout: Optional[float] = None, **kwargs: Any
) -> Any:
    """Call a function on the main thread of the process, where hosts let themselves be touched.

    On the main thread itself it is called at once. On another one this waits until the event loop
    of the host, or a ``run`` in the foreground, or ``processMainThreadCalls`` has called it. A
    coroutine that calls this keeps the asyncio loop meanwhile.

    Args:
        function: The function.
        args: What it is called with.
        timeout: Seconds in which it is to begin; None: MAIN_THREAD_TIMEOUT, as the last ``run``
            had it. Once it has begun it may take its time.
        kwargs: What it is called with by name.

    Returns:
        What the function returns.

    Raises:
        OperationFailed: it has not begun in time, or the main thread waits for this server (in
            our own client, or for the end): it will not be called.
        BaseException: what the function raises.
    """
    seconds = dispatcher.timeout if timeout is None else timeout
    return dispatcher.call(partial(function, *args, **kwargs), seconds)


def processMainThreadCalls(max_seconds: float = TURN) -> int:
    """Run what other threads want called on the main thread; for loops that no adapter knows.

    Args:
        max_seconds: When to leave the rest for the next time; one call is always run.

    Returns:
        How many calls were run.

    Raises:
        OperationFailed: the calling thread is not the main thread.
    """
    return dispatcher.process(max_seconds)


def setMainThreadAdapter(
    adapter: Union[str, Callable[[Callable[[], None]], object], None],
) -> None:
    """Say how the main thread is reached from other threads.

    Mostly nothing need be said: what the process has imported tells.

    Args:
        adapter: ``"tk"``, ``"qt"``, ``"asyncio"``, ``"houdini"``, ``"maya"``, ``"blender"`` or
            ``"nuke"``; or a function that gets another one and has the main thread call it soon
            (``loop.call_soon_threadsafe`` is one); any thread may call it. None: find it.

    Raises:
        OperationFailed: there is no adapter of that name, or its host is not there.
    """
    dispatcher.set_adapter(adapter)
