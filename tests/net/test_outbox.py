"""The queue of what is to be sent: all of it goes out, in order, however little is taken."""

from __future__ import annotations

import os

import pytest

from hwebserver.exchange import FileBody, Span
from hwebserver.net.outbox import Outbox

CONTENT = bytes(range(256)) * 4


class Taking:
    """A transport that takes a bounded number of bytes at a time.

    Args:
        most: Bytes of one call.
        calls: Calls that take something between two that take nothing; 0: all do.
    """

    def __init__(self, most=1 << 20, calls=0):
        self.most = most
        self.calls = calls
        self.taken = b""
        self.more = []
        self.corked = False
        self._count = 0

    def send(self, data, more=False):
        self.more.append(more)
        return self._take(bytes(data))

    def cork(self, on):
        assert on is not self.corked  # on behind off, off behind on
        self.corked = on

    def send_file(self, descriptor, offset, size):
        data = os.pread(descriptor, size, offset)
        if not data:
            raise EOFError("the file is shorter")
        return self._take(data)

    def _take(self, data):
        self._count += 1
        if self.calls and self._count % (self.calls + 1) == 0:
            return 0
        self.taken += data[: self.most]
        return min(len(data), self.most)


@pytest.fixture
def file(tmp_path):
    """Return what makes a body of pieces of a file."""
    path = tmp_path / "content"
    path.write_bytes(CONTENT)

    def make(*pieces):
        return FileBody(os.open(path, os.O_RDONLY), pieces)

    return make


def drain(outbox):
    """Flush as often as it takes; return how many bytes went out each time."""
    counts = []
    while outbox:
        counts.append(outbox.flush())
        assert len(counts) < 10_000
    return counts


def test_an_outbox_is_empty_until_something_is_put_in():
    outbox = Outbox(Taking())
    assert not outbox
    assert outbox.size == outbox.flush() == 0
    outbox.put(b"")
    assert not outbox


@pytest.mark.parametrize("calls", [0, 1, 3])
@pytest.mark.parametrize("most", [1, 2, 7, 1000])
def test_everything_goes_out_in_order_however_little_is_taken(file, most, calls):
    transport = Taking(most, calls)
    outbox = Outbox(transport)
    outbox.put(b"head")
    outbox.put(memoryview(b"more"))
    outbox.put_file(file(b"<", Span(10, 100), b"|", Span(200, 0), Span(50, 30), b">"))
    outbox.put(b"tail")
    size = outbox.size
    assert sum(drain(outbox)) == size == len(transport.taken)
    assert transport.taken == b"headmore<" + CONTENT[10:110] + b"|" + CONTENT[50:80] + b">tail"
    outbox.clear()


def test_a_flush_ends_when_no_more_is_taken():
    outbox = Outbox(Taking(3))
    outbox.put(b"abcdef")
    outbox.put(b"ghi")
    assert outbox.flush() == 3
    assert outbox.size == 6
    assert outbox


def test_the_system_is_told_that_more_follows_but_for_the_last_piece(file):
    transport = Taking()
    outbox = Outbox(transport)
    outbox.put(b"head")
    outbox.put_file(file(Span(0, 4)))
    outbox.put(b"tail")
    outbox.flush()
    assert transport.more == [True, False]
    outbox.clear()


def test_a_file_that_has_become_shorter_is_told(file):
    transport = Taking()
    outbox = Outbox(transport)
    outbox.put(b"head")
    outbox.put_file(file(Span(len(CONTENT), 5)))
    with pytest.raises(EOFError):
        outbox.flush()
    assert transport.taken == b"head"
    outbox.clear()


@pytest.mark.parametrize("flush", [True, False])
def test_clear_forgets_what_waits_and_closes_the_file_once(file, flush):
    outbox = Outbox(Taking())
    body = file(Span(0, 5))
    outbox.put_file(body)
    if flush:
        outbox.flush()
    descriptor = body.descriptor
    outbox.clear()
    assert not outbox
    with pytest.raises(OSError, match="file descriptor"):
        os.fstat(descriptor)
    again = os.open(os.devnull, os.O_RDONLY)  # most likely the same number
    outbox.clear()
    os.fstat(again)
    os.close(again)


def test_a_file_without_bytes_is_held_until_clear(file):
    outbox = Outbox(Taking())
    body = file(Span(0, 0), b"")
    outbox.put_file(body)
    assert not outbox
    outbox.clear()
    assert body.descriptor == -1
