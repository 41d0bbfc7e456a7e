"""Server-sent events: a response that goes on, written event by event (WHATWG HTML 9.2).

A page opens ``new EventSource(url)``; the server answers with the type ``text/event-stream`` and
keeps the response open. The stream is text in UTF-8 and made of blocks. A block is some lines and
an empty line behind them, and a line is a field: its name, a colon, a space that the reader drops,
its value. There are four fields. ``data`` is the payload, ``event`` names the kind of event that
the page listens for, ``id`` is what the browser sends as ``Last-Event-ID`` when it connects again,
and ``retry`` tells it how many milliseconds to wait before it does. A line without a name is a
comment. Nothing reads it, but it keeps the connection alive through proxies that drop quiet ones.

Line ends are all that can go wrong, and they are CR LF, CR and LF, for every reader. A payload
that holds one must become several lines of ``data``, which the reader joins with LF again; so CR
and CR LF come out as LF, and no encoding could prevent that but JSON. A line end in ``event`` or
``id`` would begin a field of the sender's choice, so it is refused. Python's ``splitlines`` must
not be used here: it also splits at VT, FF, NEL, U+2028 and others, which are plain characters to
the reader, and the payload would come out changed.

A block without ``data`` makes no event in the browser. An ``id`` or a ``retry`` in it still counts;
an ``event`` alone does nothing.
"""

from __future__ import annotations

from typing import Any

#: A comment with nothing in it, for times when there is nothing to tell.
HEARTBEAT: bytes = b":\n\n"

_KEYS = frozenset(("comment", "data", "event", "id", "retry"))


def encode_event(event: Any) -> bytes:
    r"""Return an event as a block of an event stream.

    Args:
        event: What to tell. Text or bytes (in UTF-8) are its data as they are; a dict has any of
            the keys ``data``, ``event``, ``id`` (text or a whole number), ``retry`` (milliseconds)
            and ``comment``; None is a heartbeat; anything else is its data as JSON. So is the
            ``data`` of a dict that is neither text nor bytes.

    Returns:
        The lines of the block and the empty line that ends it.

    Raises:
        ValueError: a dict is empty or has another key, ``event`` or ``id`` holds a line end,
            ``retry`` is negative, bytes are no UTF-8, or JSON cannot hold the data.
        TypeError: a field is not of its type, or JSON cannot hold the data.
    """
    if event is None:
        return HEARTBEAT
    block = _fields(event) if isinstance(event, dict) else _lines("data: ", _data(event))
    # A lone surrogate has no UTF-8; one broken character must not end the whole stream.
    return f"{block}\n".encode("utf-8", "replace")


def _fields(event: dict[Any, Any]) -> str:
    """Return the lines for a dict. The data comes last, to be read when all else is known."""
    if not event:
        raise ValueError('an event must not be empty: put a payload under "data"')
    for key in event:
        if key not in _KEYS:
            raise ValueError(f'an event has no field {key!r}: put a payload under "data"')
    block = ""
    if "comment" in event:
        block += _lines(": ", _text("comment", event["comment"]))
    if "retry" in event:
        block += f"retry: {_milliseconds(event['retry'])}\n"
    if "event" in event:
        block += f"event: {_one_line('event', event['event'])}\n"
    if "id" in event:
        block += f"id: {_identifier(event['id'])}\n"
    if "data" in event:
        block += _lines("data: ", _data(event["data"]))
    return block


def _lines(prefix: str, text: str) -> str:
    """Put a prefix before each line of a text; 9.2.5 knows three line ends and no others."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return prefix + text.replace("\n", "\n" + prefix) + "\n"


def _data(value: Any) -> str:
    """Return a payload as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError("the data of an event is bytes that are not UTF-8") from error
    import json

    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError("the data of an event is nested too deeply for JSON") from error


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the {key} of an event must be a str, not {type(value).__name__}")
    # A member of an enum that is a str too would be written as its name, which nobody checked.
    return str.__str__(value)


def _one_line(key: str, value: object) -> str:
    text = _text(key, value)
    if "\r" in text or "\n" in text:
        raise ValueError(f"the {key} of an event must not hold a line end")
    return text


def _identifier(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    text = _one_line("id", value)
    # 9.2.6: a reader ignores an id with a NUL in it.
    if "\0" in text:
        raise ValueError("the id of an event must not hold NUL")
    return text


def _milliseconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"the retry of an event must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError("the retry of an event must not be negative")
    return int(value)
