"""The body of a request whose handler runs while it arrives: what is passed on, and deadlines."""

from __future__ import annotations

import pytest

from hwebserver.errors import ProtocolError
from hwebserver.net.endpoint import NEVER, Timeouts
from hwebserver.net.intake import Intake
from hwebserver.protocol.http1 import Limits, RequestReader


class Queue:
    def __init__(self):
        self.taken = []
        self.full = self.asked = False
        self.tell = lambda: None

    def put(self, data, last):
        self.taken.append((data, last))


def begin(fields=b"Content-Length: 10", body=b"", **timeouts):
    """An intake at the time 100, and what it is made of."""
    reader, queue = RequestReader(Limits()), Queue()
    reader.receive(b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n\r\n" + body)
    timeouts = Timeouts(**{"body": 20.0, "min_body_rate": 0.0, **timeouts})
    return Intake(reader.next_head(), reader, queue, timeouts, 100.0), reader, queue


def test_what_has_come_is_passed_on_and_the_end_with_the_last_of_it():
    intake, reader, queue = begin(body=b"abc")
    intake.move(100.0)
    assert (queue.taken, intake.complete, intake.missing) == ([(b"abc", False)], False, 7)
    intake.move(101.0)  # nothing has come
    reader.receive(b"defghij next")
    intake.move(102.0)
    assert queue.taken == [(b"abc", False), (b"defghij", True)]
    assert (intake.complete, intake.missing, intake.deadline) == (True, 0, NEVER)
    assert reader.take_rest() == b" next"


def test_the_end_of_chunks_is_passed_on_without_bytes():
    intake, reader, queue = begin(b"Transfer-Encoding: chunked", b"2\r\nab\r\n")
    intake.move(100.0)
    reader.receive(b"0\r\n\r\n")
    intake.move(100.0)
    assert queue.taken == [(b"ab", False), (b"", True)]
    assert intake.missing == 0


def test_what_is_no_body_is_refused():
    intake, _, _ = begin(b"Transfer-Encoding: chunked", b"zz\r\n")
    with pytest.raises(ProtocolError):
        intake.move(100.0)


def test_every_piece_gives_a_new_deadline():
    intake, reader, _ = begin()
    intake.move(100.0)
    assert intake.deadline == 120.0
    reader.receive(b"a")
    intake.move(115.0)
    assert intake.deadline == 135.0


def test_no_deadline_runs_while_the_queue_is_full():
    intake, _, queue = begin(body=b"abc")
    queue.full = True
    intake.move(100.0)
    assert not intake.has_room
    assert intake.deadline == NEVER
    queue.full = False
    intake.move(1000.0)
    assert intake.has_room
    assert intake.deadline == 1020.0


def test_the_time_that_we_did_not_read_is_not_the_clients():
    intake, reader, queue = begin(b"Content-Length: 9999", b"x" * 100, min_body_rate=10.0)
    intake.move(100.0)
    assert intake.deadline == 120.0  # 20 s, of 20 s and 10 s that were earned
    queue.full = True
    intake.move(110.0)
    queue.full = False
    reader.receive(b"x")
    intake.move(1110.0)
    assert intake.deadline == pytest.approx(1130.0)
    reader.receive(b"x")
    intake.move(1125.0)  # 25 s of its own have gone
    assert intake.deadline == pytest.approx(1100 + 20 + 10.2 + 0.0)


def test_a_client_that_waits_is_wanted_when_the_handler_asks():
    intake, reader, queue = begin(b"Content-Length: 2\r\nExpect: 100-continue")
    intake.move(100.0)
    assert (intake.uninvited, intake.wanted, intake.deadline) == (True, False, NEVER)
    queue.asked = True
    assert intake.wanted
    reader.receive(b"a")  # it has not waited
    intake.move(100.0)
    assert (intake.uninvited, intake.wanted, intake.deadline) == (False, False, 120.0)
