"""What is refused, written down without flooding the log; the time is passed in."""

from __future__ import annotations

import logging
import threading

import pytest

from hwebserver.exchange import Port
from hwebserver.journal import PORT_ATTRIBUTE, Refusals, of_port, printable

PORT = Port("main", 8008, frozenset(), False, "127.0.0.1")


@pytest.fixture
def lines(caplog):
    """The lines that have been logged since this was called last."""
    caplog.set_level(logging.INFO, "hwebserver.server")

    def take():
        found = [one.getMessage() for one in caplog.records]
        caplog.clear()
        return found

    return take


def flood(refusals, count, now, client="192.0.2.1"):
    for number in range(count):
        refusals.note(client, f"400: number {number}", now=now)


def test_ten_refusals_of_a_second_are_logged_in_full(lines):
    refusals = Refusals()
    flood(refusals, 10, now=5.0)
    assert lines() == [f"192.0.2.1: 400: number {number}" for number in range(10)]


def test_the_eleventh_is_only_counted(lines):
    refusals = Refusals()
    flood(refusals, 11, now=5.0)
    assert len(lines()) == 10
    assert refusals.pending


def test_refusals_that_come_slowly_are_all_logged(lines):
    refusals = Refusals()
    for second in range(60):
        flood(refusals, 10, now=float(second))
    assert len(lines()) == 600
    assert not refusals.pending


def test_what_was_counted_is_summed_up_after_ten_seconds(lines):
    refusals = Refusals()
    flood(refusals, 1000, now=5.0)
    refusals.note("192.0.2.2", "400: the last", now=13.0)
    assert len(lines()) == 10
    refusals.look(14.9)
    assert lines() == []
    refusals.look(15.0)
    assert lines() == [
        "... and 991 more were refused within 8 s, the last: 192.0.2.2: 400: the last"
    ]
    assert not refusals.pending


def test_a_refusal_that_comes_when_a_sum_is_due_brings_it_and_is_shown(lines):
    refusals = Refusals()
    flood(refusals, 12, now=5.0)
    lines()
    refusals.note("192.0.2.2", "400: later", now=15.0)
    found = lines()
    assert found[0].startswith("... and 2 more were refused within 1 s")
    assert found[1:] == ["192.0.2.2: 400: later"]


def test_a_flood_that_goes_on_makes_eleven_lines_in_ten_seconds(lines):
    refusals = Refusals()
    for tenth in range(1000):
        flood(refusals, 20, now=tenth / 10)
    assert len(lines()) <= 11 * 10 + 10
    assert refusals.count == 20_000


def test_the_end_of_the_port_sums_up_at_once(lines):
    refusals = Refusals()
    flood(refusals, 11, now=5.0)
    lines()
    refusals.close()
    assert len(lines()) == 1
    refusals.close()
    refusals.look(1000.0)
    assert lines() == []


def test_what_something_else_tells_of_is_counted_and_a_debug_message(lines, caplog):
    refusals = Refusals()
    refusals.note("192.0.2.1", "503: full", quiet=True, now=5.0)
    assert lines() == []
    caplog.set_level(logging.DEBUG, "hwebserver.server")
    refusals.note("192.0.2.1", "503: full", quiet=True, now=5.0)
    assert lines() == ["192.0.2.1: 503: full"]
    assert refusals.count == 2


def test_no_count_is_lost_among_threads(lines):
    refusals = Refusals()
    threads = [threading.Thread(target=flood, args=(refusals, 2000, 5.0)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals.count == 8000
    refusals.close()
    found = lines()
    assert len(found) == 11
    assert sum("... and 7990 more" in line for line in found) == 1


@pytest.mark.parametrize(
    "reason", ["a\nb", "a\r\nb", "a\0b", "a\x1b[2Jb", "a\u2028b", "a\x85b", "a\ud800b", "a\u202eb"]
)
def test_no_reason_can_break_a_line(lines, reason):
    Refusals().note("192.0.2.1", reason)
    (line,) = lines()
    assert line.isprintable()
    assert line.startswith("192.0.2.1: a\\")


def test_a_client_without_an_address_has_come_by_a_unix_socket(lines):
    Refusals().note("", "400: nothing")
    assert lines() == ["unix: 400: nothing"]


def test_records_say_of_which_port_they_are(lines, caplog):
    refusals = Refusals(PORT)
    flood(refusals, 11, now=5.0)
    refusals.close()
    assert {getattr(record, PORT_ATTRIBUTE) for record in caplog.records} == {PORT}
    assert of_port(None) is None


def test_printable_text_is_left_as_it_is():
    assert printable("grüße, 世界: 'x' \"y\" \\") == "grüße, 世界: 'x' \"y\" \\"
