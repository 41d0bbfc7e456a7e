"""Clients that are slow, or silent: each is told, or left, and none is waited for."""

from __future__ import annotations

import itertools
import select
import threading
import time

import pytest
from support import PATIENCE, running, wait_until
from wire.rawhttp import PROBE, Client
from wire.replay import each_byte

import hwebserver
from hwebserver.net.transport import Transport

#: A deadline that the tests wait out; all others are far away.
SOON = 0.05

FAR = {
    "HEAD_TIMEOUT": 60.0,
    "BODY_TIMEOUT": 60.0,
    "KEEP_ALIVE_TIMEOUT": 60.0,
    "SEND_TIMEOUT": 60.0,
    "LINGER_TIMEOUT": 60.0,
    "MIN_BODY_RATE": 0.0,
}

POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def site(server):
    server.urlHandler("/probe")(lambda request: "probe")
    server.urlHandler("/echo")(lambda request: request.body())
    return server


@pytest.fixture
def closed(monkeypatch):
    """Set when the server has closed the socket of a connection."""
    event = threading.Event()

    def close(self, _close=Transport.close):
        _close(self)
        event.set()

    monkeypatch.setattr(Transport, "close", close)
    return event


def with_settings(site, **settings):
    site.setSettingsForPort({**FAR, **settings})
    return running(site)


def dribble(client, pieces):
    """Send one piece after another, over and over, until the server says something."""
    end = time.monotonic() + PATIENCE
    for piece in itertools.cycle(pieces):
        if select.select([client.socket], [], [], 0.002)[0]:
            return
        assert time.monotonic() < end, "the server takes all of it"
        client.send(piece)


def check_timed_out(client):
    answer = client.answer()
    assert (answer.status, answer.says_close) == (408, True)
    assert client.rest() == b""


def test_a_client_that_says_nothing_is_left_without_a_word(site):
    with with_settings(site, HEAD_TIMEOUT=SOON), Client(site) as client:
        assert client.rest() == b""
        assert not client.reset


@pytest.mark.parametrize(
    "part",
    [b"G", b"GET /probe HTTP/1.1", b"GET /probe HTTP/1.1\r\n", PROBE[:-2], PROBE[:-1]],
)
def test_half_a_head_is_408(site, part):
    with with_settings(site, HEAD_TIMEOUT=SOON), Client(site) as client:
        client.send(part)
        check_timed_out(client)


def test_a_head_that_dribbles_is_408(site):
    """The deadline holds for the head as a whole: a byte gives no new one."""
    with with_settings(site, HEAD_TIMEOUT=SOON), Client(site) as client:
        client.send(PROBE[:-2])
        dribble(client, each_byte(b"X-Field: 1\r\n"))
        check_timed_out(client)


def test_a_second_head_that_stops_is_408(site):
    with with_settings(site, HEAD_TIMEOUT=SOON), Client(site) as client:
        assert client.ask(PROBE).body == b"probe"
        client.send(PROBE[:10])
        check_timed_out(client)


def test_half_a_second_head_in_the_same_write_is_408(site):
    with with_settings(site, HEAD_TIMEOUT=SOON), Client(site) as client:
        assert client.ask(PROBE + PROBE[:10]).body == b"probe"
        check_timed_out(client)


def test_a_client_that_is_idle_behind_an_answer_is_left_without_a_word(site):
    with with_settings(site, KEEP_ALIVE_TIMEOUT=SOON), Client(site) as client:
        assert client.ask(PROBE).body == b"probe"
        assert client.rest() == b""
        assert not client.reset


def test_a_client_that_is_idle_behind_a_refusal_is_left_without_a_word(site):
    with with_settings(site, KEEP_ALIVE_TIMEOUT=SOON), Client(site) as client:
        assert client.ask(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n").status == 404
        assert client.rest() == b""


@pytest.mark.parametrize("head", [POST, CHUNKED])
def test_a_body_that_never_begins_is_408(site, head):
    with with_settings(site, BODY_TIMEOUT=SOON), Client(site) as client:
        client.send(head)
        check_timed_out(client)


@pytest.mark.parametrize("part", [POST + b"half", CHUNKED + b"5\r\nhal", CHUNKED + b"0\r\n"])
def test_a_body_that_stops_is_408(site, part):
    with with_settings(site, BODY_TIMEOUT=SOON), Client(site) as client:
        client.send(part)
        check_timed_out(client)


def test_a_body_that_does_not_come_after_100_is_408(site):
    with with_settings(site, BODY_TIMEOUT=SOON), Client(site) as client:
        client.send(POST[:-2] + b"Expect: 100-continue\r\n\r\n")
        assert client.answer().status == 100
        check_timed_out(client)


def test_a_body_below_the_lowest_rate_is_408(site):
    """Each byte comes in time, but all of them together would take for ever."""
    with with_settings(site, BODY_TIMEOUT=SOON, MIN_BODY_RATE=1e6), Client(site) as client:
        client.send(POST)
        dribble(client, [b"x"])
        check_timed_out(client)


def test_a_chunked_body_of_lines_alone_is_below_the_lowest_rate(site):
    """What counts is the data, not what is written around it."""
    with with_settings(site, BODY_TIMEOUT=SOON, MIN_BODY_RATE=1e6), Client(site) as client:
        client.send(CHUNKED)
        dribble(client, [b"1\r\nx\r\n"])
        check_timed_out(client)


def test_trailers_that_dribble_are_408(site):
    with with_settings(site, BODY_TIMEOUT=SOON, MIN_BODY_RATE=240.0), Client(site) as client:
        client.send(CHUNKED + b"0\r\n")
        dribble(client, each_byte(b"X-Field: 1\r\n"))
        assert client.answer().status in (408, 431)


def test_the_body_of_a_refused_request_is_not_awaited(site):
    with with_settings(site, BODY_TIMEOUT=SOON), Client(site) as client:
        client.send(b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        assert client.answer().status == 404
        assert client.rest() == b""


def test_a_handler_may_take_longer_than_any_deadline(site):
    gate = threading.Event()

    @site.urlHandler("/slow")
    def slow(request):
        return str(gate.wait(PATIENCE))

    soon = dict.fromkeys(("HEAD_TIMEOUT", "BODY_TIMEOUT", "SEND_TIMEOUT"), SOON)
    with with_settings(site, **soon), Client(site) as client, Client(site) as silent:
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert silent.rest() == b""  # so the deadlines have passed
        gate.set()
        assert client.answer().body == b"True"


def test_a_client_that_takes_nothing_of_its_answer_is_left(site, closed):
    size = 50_000_000
    site.urlHandler("/large")(lambda request: bytes(size))
    with with_settings(site, SEND_TIMEOUT=SOON), Client(site) as client:
        client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(closed.is_set)
        assert len(client.rest()) < size


def test_a_handler_whose_client_takes_nothing_hears_of_it(site):
    heard = []

    @site.urlHandler("/stream")
    def stream(request):
        request.sendHeaders(hwebserver.Response())
        try:
            while True:
                request.sendBody(bytes(1_000_000))
        except ConnectionError as error:
            heard.append(error)
            raise

    with with_settings(site, SEND_TIMEOUT=SOON), Client(site) as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: heard)


def test_a_refused_client_that_neither_sends_nor_leaves_is_left(site, closed):
    with with_settings(site, LINGER_TIMEOUT=SOON), Client(site) as client:
        client.send(b"\0")
        assert client.answer().status == 400
        assert client.rest() == b""  # the server has ended its half, and soon the other
        wait_until(closed.is_set)


def test_one_slow_client_does_not_delay_another(site):
    with with_settings(site), Client(site) as slow, Client(site) as half, Client(site) as quick:
        slow.send(PROBE[:10])
        half.send(POST)
        assert quick.ask(PROBE).body == b"probe"
