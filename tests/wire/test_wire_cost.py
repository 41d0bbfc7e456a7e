"""What a message costs grows with its size and no faster: counted, not timed."""

from __future__ import annotations

import sys
from itertools import count

import pytest
from wire.replay import each_byte, replay

from hwebserver.protocol import grammar
from hwebserver.protocol.http1 import Limits

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Counting:
    """A pattern that counts the bytes it looks at."""

    scanned = 0

    def __init__(self, pattern):
        self._pattern = pattern

    def _look(self, find, text, start, end):
        match = find(text, start, end)
        stop = min(end, len(text)) if match is None else match.end()
        Counting.scanned += max(0, stop - start)
        return match

    def match(self, text, start=0, end=sys.maxsize):
        return self._look(self._pattern.match, text, start, end)

    def search(self, text, start=0, end=sys.maxsize):
        return self._look(self._pattern.search, text, start, end)


@pytest.fixture
def scanned(monkeypatch):
    """Return how many bytes the patterns of the grammar look at while a message is read."""
    for name, pattern in vars(grammar).copy().items():
        if hasattr(pattern, "search"):
            monkeypatch.setattr(grammar, name, Counting(pattern))

    def cost(pieces, limits):
        Counting.scanned = 0
        replay(pieces, limits)
        return Counting.scanned

    return cost


def steps(pieces, limits):
    """Return how many functions are called while a message is read."""
    counter = count()
    sys.setprofile(lambda frame, event, argument: next(counter) if "call" in event else None)
    try:
        replay(pieces, limits)
    finally:
        sys.setprofile(None)
    return next(counter)


def head(size):
    return b"GET /" + b"a" * (size // 2) + b" HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * (size // 2)


MESSAGES = {
    "a request line": lambda size: b"GET /" + b"a" * size,
    "a head": head,
    "fields": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: 1\r\n" * (size // 8) + b"\r\n",
    "other fields": lambda size: (
        b"GET / HTTP/1.1\r\nHost: a\r\n"
        + b"".join(b"X-%05d: 1\r\n" % n for n in range(size // 12))
        + b"\r\n"
    ),
    "a body": lambda size: (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(size))
    ),
    "chunks": lambda size: CHUNKED + b"1\r\nx\r\n" * (size // 6) + b"0\r\n\r\n",
    "extensions": lambda size: CHUNKED + b"1;a=b\r\nx\r\n" * (size // 10) + b"0\r\n\r\n",
    "a trailer": lambda size: CHUNKED + b"0\r\nX-A: " + b"a" * size,
    "trailers": lambda size: CHUNKED + b"0\r\n" + b"X-A: 1\r\n" * (size // 8),
    "requests": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * (size // 27),
    "other requests": lambda size: b"".join(
        b"GET /%05d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(size // 32)
    ),
}

#: Nothing is refused, however long it is.
WIDE = Limits(*[1 << 30] * len(Limits._fields))

each_message = pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)


@each_message
@pytest.mark.parametrize("cut", [each_byte, lambda message: [message]], ids=["bytes", "whole"])
def test_four_times_the_message_is_looked_at_four_times_as_long(scanned, message, cut):
    small, large = (scanned(cut(message(size)), WIDE) for size in (2000, 8000))
    assert large < 5 * small + 100


@each_message
@pytest.mark.parametrize("cut", [each_byte, lambda message: [message]], ids=["bytes", "whole"])
def test_four_times_the_message_takes_four_times_the_steps(message, cut):
    small, large = (steps(cut(message(size)), WIDE) for size in (2000, 8000))
    assert large < 5 * small + 100
