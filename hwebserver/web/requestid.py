"""The id of a request, by which what the client saw is found in the log.

One that the client or a proxy gave it is kept; one is made when somebody asks for it: a handler,
or a log that has a place for it. The answer carries it if the request did, or if a handler asked
before the head of the answer was written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

from ..exchange import Answer
from ..protocol import tokens
from ..protocol.response import Line

if TYPE_CHECKING:
    from ..protocol.http1 import RequestHead

NAME = "X-Request-ID"

#: Ids that were made ahead; asking the system for each costs 0.6 us, and 0.1 for many at once.
_ahead: list[str] = []

#: How many are.
_AT_ONCE = 64

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ahead.clear)  # The parent gives those out.


def given_id(head: Optional[RequestHead]) -> str:
    """Return the id that a request brings; empty: none, or one that is not fit for a log.

    Args:
        head: The head of the request; None: it was not one.
    """
    value = None if head is None else head.fields.combined.get("x-request-id")
    return value if value and tokens.REQUEST_ID.match(value) else ""


def make_id() -> str:
    """Return a new id: 16 hexadecimal digits."""
    try:
        return _ahead.pop()
    except IndexError:
        digits = os.urandom(8 * _AT_ONCE).hex()
    _ahead.extend(digits[start : start + 16] for start in range(16, len(digits), 16))
    return digits[:16]


def id_lines(request_id: str) -> tuple[Line, ...]:
    """Return the field that sends an id back; none for an empty one."""
    return ((NAME, request_id),) if request_id else ()


def with_id(answer: Answer, request_id: str) -> Answer:
    """Return an answer that sends an id back, unless the application's own does.

    Args:
        answer: The answer.
        request_id: The id; empty: there is none to send.
    """
    if not request_id or any(name.lower() == "x-request-id" for name, _ in answer.fields):
        return answer
    return answer._replace(fields=(*answer.fields, *id_lines(request_id)))
