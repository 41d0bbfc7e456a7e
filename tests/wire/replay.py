"""The corpus without sockets: bytes through the parser, cut in any way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hwebserver.errors import ProtocolError
from hwebserver.protocol.http1 import Limits, RequestHead, RequestReader


class Seen(NamedTuple):
    """A request that the parser has found."""

    method: str
    target: str
    authority: str | None
    body: bytes


class Outcome(NamedTuple):
    """What the parser makes of some bytes.

    Attributes:
        requests: The requests that are whole.
        begun: The one of which the head alone is whole.
        fault: The status that refuses what comes next, None if nothing is wrong.
        left: Whether bytes are left that are no whole head yet.
    """

    requests: list[Seen]
    begun: Seen | None
    fault: int | None
    left: bool


def replay(pieces: Iterable[bytes], limits: Limits) -> Outcome:
    """Feed a parser with pieces and take all that it has to give after each."""
    reader = RequestReader(limits)
    requests: list[Seen] = []
    head: RequestHead | None = None
    body = bytearray()
    fault: int | None = None
    try:
        for piece in pieces:
            reader.receive(piece)
            while True:
                if head is None:
                    head = reader.next_head()
                    if head is None:
                        break
                    body.clear()
                body += reader.take_body()
                if not reader.body_complete:
                    break
                requests.append(_seen(head, bytes(body)))
                head = None
    except ProtocolError as error:
        fault = error.status
    begun = None if head is None else _seen(head, b"")
    return Outcome(requests, begun, fault, fault is None and head is None and not reader.empty)


def _seen(head: RequestHead, body: bytes) -> Seen:
    target = f"{head.path}?{head.query}" if head.query else head.path
    return Seen(head.method, target, head.authority, body)


def each_byte(message: bytes) -> Iterator[bytes]:
    """Yield a message byte by byte."""
    return (message[i : i + 1] for i in range(len(message)))


def two_pieces(message: bytes) -> Iterator[list[bytes]]:
    """Yield a message cut in two at every place; a long one at some hundred of them."""
    step = 1 + len(message) // 1000
    for cut in range(1, len(message), step):
        yield [message[:cut], message[cut:]]
