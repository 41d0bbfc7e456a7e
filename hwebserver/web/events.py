"""Server-sent events: responses that last (WHATWG HTML 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from ..exchange import StreamBody
from .response import Response

#: What can be iterated, and is one event.
_EVENTS = (str, bytes, bytearray, memoryview, dict)


def eventStreamResponse(
    events: Any,
    retry: Optional[int] = None,
    heartbeat: float = 15.0,
    on_close: Optional[Callable[[], None]] = None,
) -> Response:
    """Return a response that sends events to an ``EventSource`` as they come.

    An event is text (its data), a dict with any of the keys ``data``, ``event``, ``id``, ``retry``
    and ``comment``, or anything that JSON can hold. A browser that lost the connection comes again
    and names the last ``id`` in the field ``Last-Event-ID``.

    A plain iterator runs on a thread of its own, an async iterator on the asyncio loop, so waiting
    for an event holds no worker. Either is closed when the client leaves: a generator's ``finally``
    runs then, at once in a coroutine, and behind the next event in a plain generator.

    Args:
        events: An iterable or an async iterable of events.
        retry: Milliseconds after which the browser connects again; None: it decides.
        heartbeat: Seconds of silence after which a comment is sent, so that nobody on the way takes
            the connection for dead; 0: never.
        on_close: Called once when the client has left before the end of the events, or gets none
            since there are too many streams, so that a generator that waits for one can be woken.

    Raises:
        TypeError: ``events`` is nothing that can be iterated, or is itself an event.
        ValueError: ``heartbeat`` or ``retry`` is negative.
    """
    asynchronous = hasattr(events, "__aiter__")
    if not asynchronous and (isinstance(events, _EVENTS) or not hasattr(events, "__iter__")):
        raise TypeError(f"events come from an iterator, not from {type(events).__name__}")
    if not heartbeat >= 0:
        raise ValueError(f"the heartbeat of an event stream is {heartbeat}, not at least 0")
    from ..protocol.events import HEARTBEAT, encode_event
    from .pieces import AsyncPieces, Pieces

    source: Any = (AsyncPieces if asynchronous else Pieces)(events, encode_event)
    opening = b"" if retry is None else encode_event({"retry": retry})
    response = Response(b"", 200, "text/event-stream")
    # A cache must not keep it, and nginx not collect it.
    response.setHeader("Cache-Control", "no-cache")
    response.setHeader("X-Accel-Buffering", "no")
    body = StreamBody(source, asynchronous, live=True, left=on_close)
    body.opening, body.heartbeat, body.pause = opening, HEARTBEAT, float(heartbeat)
    response.stream(body)
    return response
