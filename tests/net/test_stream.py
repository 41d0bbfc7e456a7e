"""Streams out: slow readers, clients that leave, and what is closed when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import random
import selectors
import socket
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import (
    PATIENCE,
    connect,
    fetch,
    receive_all,
    receive_response,
    receive_until,
    running,
    wait_until,
)

from hwebserver import Response, eventStreamResponse
from hwebserver.net.poller import Poller
from hwebserver.net.stream import FEED_SIZE, Feed

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
PIECE = "x" * 65536

#: What a client that takes nothing may have made: what the system's buffers hold (4 MB to send and
#: as much to receive are usual most), and a little.
AHEAD = 12 << 20

KINDS = ("plain", "async", "events", "async events")


class Watched:
    """Makes streams of pieces of each kind, and counts what becomes of them."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.made = 0
        self.finished = 0

    def response(self, kind, **options):
        pieces = self.asynchronous() if "async" in kind else self.plain()
        if "events" in kind:
            return eventStreamResponse(pieces, **options)
        return Response(pieces, 200, "text/plain")

    def plain(self):
        try:
            for piece in self.pieces:
                self.made += 1
                yield piece
        finally:
            self.finished += 1

    async def asynchronous(self):
        try:
            for piece in self.pieces:
                self.made += 1
                yield piece
        finally:
            self.finished += 1


class Closed:
    """An iterator of no more than its interface, plain and asynchronous; counts its closing."""

    def __init__(self, piece=PIECE):
        self.piece = piece
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        return self.piece

    def close(self):
        self.closed += 1


class AsyncClosed:
    def __init__(self, piece=PIECE):
        self.piece = piece
        self.closed = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        return self.piece

    async def aclose(self):
        self.closed += 1


def endless(piece=PIECE):
    while True:
        yield piece


def made_by(kind):
    """Return an endless iterator that counts how often it is closed, and a response with it."""
    source = AsyncClosed() if "async" in kind else Closed()
    return source, eventStreamResponse(source) if "events" in kind else Response(source)


def reset(sock):
    """Close a connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def let_it_stall(server, watched):
    """Wait until a stream is made no further, though the server has had its turns."""
    seen = []

    def stalled():
        assert fetch(server, "/quick").text == "quick"
        seen.append(watched.made)
        return len(seen) > 10 and seen[-1] and len(set(seen[-10:])) == 1

    wait_until(stalled)


@pytest.fixture
def quick(server):
    """A server that also has a handler of no duration."""
    server.urlHandler("/quick")(lambda request: "quick")
    return server


@pytest.fixture
def soon(monkeypatch):
    """Have the grace of endless streams be short."""
    monkeypatch.setattr("hwebserver.net.endpoint._STREAM_GRACE", 0.05)


# --- slow readers ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_reader_holds_no_worker_and_little_memory(quick, kind):
    watched = Watched([PIECE] * 400)
    quick.urlHandler("/stream")(lambda request: watched.response(kind))
    with running(quick, max_num_threads=1), connect(quick) as sock:
        sock.sendall(REQUEST % b"stream")
        let_it_stall(quick, watched)
        assert watched.made * len(PIECE) < AHEAD
        body = receive_response(sock).text
    wait_until(lambda: watched.finished == 1)
    if "events" not in kind:
        assert body == PIECE * 400
    else:
        assert body == f"data: {PIECE}\n\n" * 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_takes_nothing_is_left_and_its_stream_closed(quick, kind):
    source, response = made_by(kind)
    quick.urlHandler("/stream")(lambda request: response)
    quick.setSettingsForPort({"SEND_TIMEOUT": 0.05})
    with running(quick, max_num_threads=1), connect(quick) as sock:
        sock.sendall(REQUEST % b"stream")
        wait_until(lambda: source.closed)
        assert not receive_all(sock).endswith(b"\r\n0\r\n\r\n")
        assert fetch(quick, "/quick").text == "quick"
    assert source.closed == 1


@pytest.mark.parametrize("kind", KINDS)
def test_fast_streams_leave_others_their_turn(quick, kind):
    """A stream that is never at its end and never waits, and a client as fast."""
    quick.urlHandler("/stream")(lambda request: Watched(endless("x" * 1000)).response(kind))
    with running(quick, max_num_threads=1), connect(quick) as sock:
        sock.sendall(REQUEST % b"stream")
        ends = threading.Event()

        def read():
            while not ends.is_set():
                sock.recv(1 << 20)

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(5):
            assert fetch(quick, "/quick").text == "quick"
        ends.set()
        reader.join()


@pytest.mark.usefixtures("soon")
def test_a_coroutine_that_never_waits_leaves_others_their_turn(server, monkeypatch):
    monkeypatch.setattr("hwebserver.net.stream.FEED_SIZE", 1 << 18)  # far more than a turn makes

    done = threading.Event()

    async def greedy():
        while not done.is_set():
            yield "x"

    server.urlHandler("/greedy")(lambda request: Response(greedy()))
    server.urlHandler("/short")(lambda request: Watched(["a", "b"]).response("async"))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"greedy")
        drained = threading.Thread(target=drain, args=(sock,))
        drained.start()
        try:
            assert fetch(server, "/short").text == "ab"
        finally:
            done.set()
        server.requestShutdown()
        drained.join(PATIENCE)
        assert not drained.is_alive()


def test_many_waiting_streams_leave_the_workers_free(quick):
    waiting = threading.Event()

    def events():
        yield "first"
        waiting.wait(PATIENCE)

    async def pieces():
        yield "data: first\n\n"
        while not waiting.is_set():
            await asyncio.sleep(0.01)

    quick.urlHandler("/events")(lambda request: eventStreamResponse(events()))
    quick.urlHandler("/async")(lambda request: Response(pieces()))
    with running(quick, max_num_threads=2):
        clients = [connect(quick) for _ in range(50)]
        for number, sock in enumerate(clients):
            sock.sendall(REQUEST % (b"async" if number % 2 else b"events"))
        for sock in clients:
            receive_until(sock, b"data: first\n\n")
        for _ in range(5):
            assert fetch(quick, "/quick").text == "quick"
        waiting.set()
        for sock in clients:
            receive_until(sock, b"0\r\n\r\n")
            sock.close()


def test_a_generator_that_waits_holds_its_worker_and_no_event_stream(server):
    go_on = threading.Event()

    def waits():
        yield "before"
        assert go_on.wait(PATIENCE)
        yield "behind"

    server.urlHandler("/waits")(lambda request: Response(waits()))
    told = queue.Queue()
    server.urlHandler("/events")(lambda request: eventStreamResponse(iter(told.get, None)))
    with running(server, max_num_threads=1), connect(server) as events, connect(server) as sock:
        events.sendall(REQUEST % b"events")
        receive_until(events, b"\r\n\r\n")
        sock.sendall(REQUEST % b"waits")
        receive_until(sock, b"before")
        for number in range(3):
            told.put(number)
            receive_until(events, b"data: %d" % number)
        go_on.set()
        receive_until(sock, b"behind\r\n0\r\n\r\n")
        told.put(None)
        receive_until(events, b"0\r\n\r\n")


# --- clients that leave ---


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_closed_once_when_its_client_leaves_in_the_middle(quick, kind, leave):
    source, response = made_by(kind)
    quick.urlHandler("/stream")(lambda request: response)
    with running(quick, max_num_threads=1):
        sock = connect(quick)
        sock.sendall(REQUEST % b"stream")
        receive_until(sock, b"xxxx")
        leave(sock)
        wait_until(lambda: source.closed)
        assert fetch(quick, "/quick").text == "quick"
    assert source.closed == 1


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_closed_once_when_its_client_leaves_at_once(server, kind, leave):
    sources = []

    @server.urlHandler("/stream")
    def stream(request):
        source, response = made_by(kind)
        sources.append(source)
        return response

    with running(server):
        for _ in range(20):
            sock = connect(server)
            sock.sendall(REQUEST % b"stream")
            leave(sock)
    wait_until(lambda: all(source.closed for source in sources))
    assert all(source.closed == 1 for source in sources)


def test_a_generator_that_waits_is_closed_when_it_goes_on_for_nobody(server, caplog):
    go_on, left = threading.Event(), threading.Event()

    def pieces():
        try:
            yield "first"
            go_on.wait(PATIENCE)
            yield from endless()
        finally:
            left.set()

    server.urlHandler("/stream")(lambda request: Response(pieces()))
    with running(server):
        with connect(server) as sock:
            sock.sendall(REQUEST % b"stream")
            receive_until(sock, b"first")
        go_on.set()
        assert left.wait(PATIENCE)
    assert not problems(caplog)


def test_on_close_wakes_an_event_stream_whose_client_has_left(server, caplog):
    told, calls, left = queue.Queue(), [], threading.Event()

    def close():
        calls.append(threading.current_thread().name)
        told.put(None)

    def events():
        try:
            yield from iter(told.get, None)
        finally:
            left.set()

    server.urlHandler("/events")(lambda request: eventStreamResponse(events(), on_close=close))
    with running(server):
        with connect(server) as sock:
            sock.sendall(REQUEST % b"events")
            told.put("first")
            receive_until(sock, b"data: first")
        assert left.wait(PATIENCE)
    assert len(calls) == 1
    assert not problems(caplog)


def test_on_close_is_not_called_at_the_end_of_the_events(server):
    calls = []
    server.urlHandler("/events")(
        lambda request: eventStreamResponse(iter("ab"), on_close=lambda: calls.append(1))
    )
    with running(server):
        assert fetch(server, "/events").text == "data: a\n\ndata: b\n\n"
    assert not calls


@pytest.mark.parametrize("kind", ["async", "async events"])
def test_a_coroutine_that_waits_is_cancelled_when_its_client_leaves(server, kind, caplog):
    seen, waits, left = [], threading.Event(), threading.Event()

    async def pieces():
        try:
            yield "first"
            waits.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("finally")
            left.set()

    server.urlHandler("/stream")(
        lambda request: (eventStreamResponse if "events" in kind else Response)(pieces())
    )
    with running(server):
        with connect(server) as sock:
            sock.sendall(REQUEST % b"stream")
            assert waits.wait(PATIENCE)
        assert left.wait(PATIENCE)
    assert seen == ["cancelled", "finally"]
    assert not problems(caplog)


def test_a_coroutine_that_swallows_its_cancellation_is_read_no_further(server):
    made, waits, left = [], threading.Event(), threading.Event()

    async def pieces():
        yield "first"
        waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        try:
            for number in range(1000):
                made.append(number)
                yield "unwanted"
        finally:
            left.set()

    server.urlHandler("/stream")(lambda request: Response(pieces()))
    with running(server):
        with connect(server) as sock:
            sock.sendall(REQUEST % b"stream")
            assert waits.wait(PATIENCE)
        assert left.wait(PATIENCE)
    assert made == [0]


def failing_when_closed(waits, left, when_left):
    """Return a plain and an async generator that fail when the client has left."""

    def plain():
        try:
            yield "first"
            waits.set()
            left.wait(PATIENCE)
            if when_left:
                raise KeyError("told to nobody")
            yield from endless()
        finally:
            if not when_left:
                raise KeyError("told to nobody")

    async def asynchronous():
        try:
            yield "first"
            waits.set()
            await asyncio.Event().wait()
        finally:
            raise KeyError("told to nobody")

    return plain(), asynchronous()


@pytest.mark.parametrize("when_left", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_when_the_client_has_left_is_logged_once(quick, kind, when_left, caplog):
    waits, left = threading.Event(), threading.Event()
    generator = failing_when_closed(waits, left, when_left)["async" in kind]
    if "events" in kind:
        response = eventStreamResponse(generator, on_close=left.set)
    else:
        response = Response(generator)
    quick.urlHandler("/stream")(lambda request: response)
    with running(quick):
        with connect(quick) as sock:
            sock.sendall(REQUEST % b"stream")
            assert waits.wait(PATIENCE)
        left.set()
        wait_until(lambda: problems(caplog))
        assert fetch(quick, "/quick").text == "quick"
    assert len(problems(caplog)) == 1
    assert "told to nobody" in caplog.text


def test_an_on_close_that_fails_is_logged_and_harms_nothing(quick, caplog):
    told = queue.Queue()

    def fail():
        told.put(None)
        raise KeyError("on_close")

    quick.urlHandler("/events")(
        lambda request: eventStreamResponse(iter(told.get, None), on_close=fail)
    )
    with running(quick):
        with connect(quick) as sock:
            sock.sendall(REQUEST % b"events")
            receive_until(sock, b"\r\n\r\n")
        wait_until(lambda: "on_close" in caplog.text)
        assert fetch(quick, "/quick").text == "quick"
    assert len(problems(caplog)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_ends_a_thread_ends_only_its_response(quick, kind, caplog):
    def plain():
        yield "first"
        raise SystemExit(1)

    async def asynchronous():
        yield "first"
        raise SystemExit(1)

    @quick.urlHandler("/stream")
    def stream(request):
        generator = asynchronous() if "async" in kind else plain()
        return eventStreamResponse(generator) if "events" in kind else Response(generator)

    with running(quick):
        for _ in range(2):
            with connect(quick) as sock:
                sock.sendall(REQUEST % b"stream")
                body = receive_all(sock)
                assert b"first" in body
                assert not body.endswith(b"\r\n0\r\n\r\n")
        assert fetch(quick, "/quick").text == "quick"
    assert len(problems(caplog)) == 2


# --- the end of the server ---


def problems(caplog):
    """Return what was logged, but for what is no reason to worry."""
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def drain(sock):
    """Read to the end of the connection."""
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(1 << 20):
            pass


def stop(server):
    server.requestShutdown()
    wait_until(lambda: not server.isRunning())


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_endless_stream_ends_when_the_server_stops(server, kind, reads):
    source, response = made_by(kind)
    server.urlHandler("/stream")(lambda request: response)
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": None, "LINGER_TIMEOUT": 0.02})
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stream")
        receive_until(sock, b"xxxx")
        reader = threading.Thread(target=drain, args=(sock,))
        if reads:
            reader.start()
        stop(server)
        if reads:
            reader.join(PATIENCE)
            assert not reader.is_alive()
    wait_until(lambda: source.closed)
    assert source.closed == 1


def test_event_streams_that_wait_end_at_once_when_the_server_stops(server, monkeypatch):
    monkeypatch.setattr("hwebserver.net.endpoint._STREAM_GRACE", 3600.0)
    told = queue.Queue()

    async def waits():
        await asyncio.Event().wait()
        yield "never"

    server.urlHandler("/events")(
        lambda request: eventStreamResponse(
            iter(told.get, None), heartbeat=0, on_close=lambda: told.put(None)
        )
    )
    server.urlHandler("/async")(lambda request: eventStreamResponse(waits(), heartbeat=0))
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": None})
    with running(server), connect(server) as one, connect(server) as other:
        for sock, path in ((one, b"events"), (other, b"async")):
            sock.sendall(REQUEST % path)
            receive_until(sock, b"\r\n\r\n")
        stop(server)
        for sock in (one, other):
            assert receive_all(sock) == b""


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_stream_that_comes_to_its_end_is_completed_when_the_server_stops(server, kind):
    asked, go_on = threading.Event(), threading.Event()

    def plain():
        yield "a"
        asked.set()
        assert go_on.wait(PATIENCE)
        yield from "bc"

    async def asynchronous():
        yield "a"
        asked.set()
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        yield "bc"

    server.urlHandler("/stream")(
        lambda request: Response(plain() if kind == "plain" else asynchronous())
    )
    server.setSettingsForPort({"LINGER_TIMEOUT": 0.02})
    with running(server), connect(server) as sock, connect(server) as idle:
        sock.sendall(REQUEST % b"stream")
        assert asked.wait(PATIENCE)
        server.requestShutdown()
        assert receive_all(idle) == b""  # So far has the stop come.
        go_on.set()
        assert receive_response(sock).body == b"abc"
        assert receive_all(sock) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_runs_again_streams_again(server, kind):
    server.urlHandler("/stream")(lambda request: Watched("ab").response(kind))
    for _ in range(2):
        with running(server):
            assert fetch(server, "/stream").text in ("ab", "data: a\n\ndata: b\n\n")


@pytest.mark.parametrize("kind", ["plain", "events"])
def test_a_source_that_does_not_return_does_not_keep_the_server_running(server, kind):
    stuck, go_on = threading.Event(), threading.Event()

    def pieces():
        stuck.set()
        go_on.wait(2 * PATIENCE)
        yield "too late"

    make = eventStreamResponse if kind == "events" else Response
    server.urlHandler("/stream")(lambda request: make(pieces()))
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.01})
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stream")
        assert stuck.wait(PATIENCE)
        try:
            stop(server)
        finally:
            go_on.set()


def busy_handler(server):
    """Serve a handler that keeps its worker; return what says that it does, and what ends it."""
    busy, go_on = threading.Event(), threading.Event()

    @server.urlHandler("/busy")
    def wait(request):
        busy.set()
        go_on.wait(2 * PATIENCE)

    return busy, go_on


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("kind", ["async", "events", "async events"])
def test_streams_that_need_no_worker_end_though_all_workers_are_busy(server, kind):
    busy, go_on = busy_handler(server)
    source, response = made_by(kind)
    server.urlHandler("/stream")(lambda request: response)
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": None, "LINGER_TIMEOUT": 0.02})
    with running(server, max_num_threads=1), connect(server) as sock, connect(server) as other:
        sock.sendall(REQUEST % b"stream")
        receive_until(sock, b"xxxx")
        other.sendall(REQUEST % b"busy")
        assert busy.wait(PATIENCE)
        server.requestShutdown()
        try:
            drain(sock)
        finally:
            go_on.set()
    wait_until(lambda: source.closed == 1)


def test_on_close_waits_for_no_worker(server):
    busy, go_on = busy_handler(server)
    told, closed = queue.Queue(), threading.Event()

    def close():
        closed.set()
        told.put(None)

    server.urlHandler("/events")(
        lambda request: eventStreamResponse(iter(told.get, None), on_close=close)
    )
    with running(server, max_num_threads=1), connect(server) as other:
        with connect(server) as sock:
            sock.sendall(REQUEST % b"events")
            receive_until(sock, b"\r\n\r\n")
            other.sendall(REQUEST % b"busy")
            assert busy.wait(PATIENCE)
        try:
            assert closed.wait(PATIENCE)
        finally:
            go_on.set()


def test_an_on_close_that_blocks_delays_nobody(quick):
    go_on = threading.Event()

    @quick.urlHandler("/events")
    def events(request):
        told = queue.Queue()

        def block():
            told.put(None)
            go_on.wait(2 * PATIENCE)

        return eventStreamResponse(iter(told.get, None), on_close=block)

    with running(quick, max_num_threads=1):
        for _ in range(3):
            with connect(quick) as sock:
                sock.sendall(REQUEST % b"events")
                receive_until(sock, b"\r\n\r\n")
        assert fetch(quick, "/quick").text == "quick"
        go_on.set()


# --- races ---


def test_a_feed_that_nobody_wants_keeps_nothing():
    feed = Feed(lambda: None)
    feed.put(b"before")
    feed.cancel()
    assert feed.put(b"x" * FEED_SIZE)  # A producer that waited for room would do so for ever.
    assert feed.take() == b""


@pytest.mark.parametrize("first", ["end", "cancel"])
def test_an_error_that_no_response_is_left_to_fail_with_is_logged_once(first, caplog):
    feed = Feed(lambda: None)
    assert feed.take() == b""
    if first == "cancel":
        feed.cancel()
    feed.end(KeyError("told to nobody"))
    feed.cancel()
    feed.cancel()
    assert problems(caplog) == ["what made a response failed when the client had left"]
    assert "told to nobody" in caplog.text


def test_an_error_that_the_response_fails_with_is_not_logged_again(caplog):
    feed = Feed(lambda: None)
    error = KeyError("told")
    feed.end(error)
    assert feed.take() is None
    assert feed.take_error() is error
    assert feed.take_error() is None
    feed.cancel()
    assert not problems(caplog)


@pytest.fixture
def impatient():
    """Have threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def random_pieces(number):
    chance = random.Random(number)
    return [chance.choice("abc") * chance.choice((0, 1, 10, 1000, 70000)) for _ in range(6)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", KINDS)
def test_streams_arrive_as_they_are_made_whatever_thread_is_faster(server, kind):
    @server.urlHandler("/stream/{number:int}")
    def stream(request, number):
        return Watched(random_pieces(number)).response(kind)

    def ask(first):
        with connect(server) as sock:
            for number in range(first, first + 25):
                sock.sendall(REQUEST % b"stream/%d" % number)
                yield number, receive_response(sock).text

    def check(first):
        for number, text in ask(first):
            pieces = random_pieces(number)
            if "events" in kind:
                assert text == "".join(f"data: {piece}\n\n" for piece in pieces)
            else:
                assert text == "".join(pieces)

    with running(server), ThreadPoolExecutor(8) as clients:
        list(clients.map(check, range(0, 200, 25)))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["async", "events", "async events"])
def test_a_stream_may_end_in_the_moment_its_client_leaves(quick, kind, caplog):
    streams = []

    @quick.urlHandler("/stream")
    def stream(request):
        watched = Watched("ab")
        streams.append(watched)
        return watched.response(kind)

    def come_and_go(number):
        sock = connect(quick)
        sock.sendall(REQUEST % b"stream")
        if number % 3:
            receive_until(sock, b"\r\n\r\n")
        (reset if number % 2 else socket.socket.close)(sock)

    with running(quick), ThreadPoolExecutor(8) as clients:
        list(clients.map(come_and_go, range(100)))
        assert fetch(quick, "/quick").text == "quick"
    wait_until(lambda: all(one.finished == bool(one.made) for one in streams))
    assert not problems(caplog)


def short_stream(server, end):
    """Serve an event stream that ends, or fails, at a signal; heartbeats come quickly."""
    go_on = threading.Event()

    def events():
        assert go_on.wait(PATIENCE)
        if end is not None:
            raise end
        yield "last"

    server.setSettingsForPort({"LINGER_TIMEOUT": 0.02})
    server.urlHandler("/events")(lambda request: eventStreamResponse(events(), heartbeat=0.01))
    return go_on


def test_a_nudge_that_comes_late_does_not_disturb_the_next_request(server, monkeypatch):
    """A heartbeat found the end of the stream before the thread that tells of it was run again."""
    go_on = short_stream(server, None)
    server.urlHandler("/upload")(lambda request: request.body())
    with running(server), connect(server) as sock:
        with monkeypatch.context() as patch:
            patch.setattr(Poller, "nudge", lambda poller, connection: None)
            sock.sendall(REQUEST % b"events")
            receive_until(sock, b"\r\n\r\n")
            go_on.set()
            receive_until(sock, b"\r\n0\r\n\r\n")
        poller = server._pool._poller
        (connection,) = poller._connections
        sock.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        wait_until(lambda: not connection.idle)
        poller.nudge(connection)
        fetch(server, "/none")  # The polling thread has had its turn.
        sock.sendall(b"cd")
        assert receive_until(sock, b"abcd").startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_error_that_a_heartbeat_finds_is_logged_as_the_handlers(server, monkeypatch, caplog):
    monkeypatch.setattr(Poller, "nudge", lambda poller, connection: None)
    go_on = short_stream(server, KeyError("the handler's own"))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"events")
        receive_until(sock, b"\r\n\r\n")
        go_on.set()
        assert not receive_all(sock).endswith(b"\r\n0\r\n\r\n")
    assert "the handler's own" in caplog.text
    assert "error in the server" not in caplog.text


# --- other systems ---


@pytest.mark.parametrize("kind", KINDS)
def test_streams_need_neither_sendfile_nor_epoll(quick, kind, monkeypatch):
    monkeypatch.delattr(os, "sendfile", raising=False)
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    watched = Watched([PIECE] * 100)
    quick.urlHandler("/stream")(lambda request: watched.response(kind))
    with running(quick, max_num_threads=1), connect(quick) as sock:
        sock.sendall(REQUEST % b"stream" + REQUEST % b"quick")
        body = receive_response(sock).text
        assert body.count(PIECE) == 100
    wait_until(lambda: watched.finished == 1)


# --- bounds ---


def test_event_streams_have_a_bound_and_places_come_free_again(server, caplog):
    told, closed = queue.Queue(), []

    @server.urlHandler("/events")
    def events(request):
        return eventStreamResponse(iter(told.get, None), on_close=lambda: closed.append(1))

    server.setSettingsForPort({"MAX_EVENT_STREAMS": 2})
    with running(server), connect(server) as one, connect(server) as other:
        for sock in (one, other):
            sock.sendall(REQUEST % b"events")
            receive_until(sock, b"\r\n\r\n")
        for number in (1, 2):
            answer = fetch(server, "/events")
            assert answer.status == 503
            assert "2 event streams" in answer.text
            assert len(closed) == number  # What the handler began to wait for is told.
        told.put(None)
        wait_until(lambda: free_again(server, told))
        told.put(None)
        told.put(None)
    assert problems(caplog) == ["there are 2 event streams, the most allowed"]


def free_again(server, told):
    """Open an event stream and have it end; return whether that was possible."""
    with connect(server) as sock:
        sock.sendall(REQUEST % b"events")
        head = receive_until(sock, b"\r\n\r\n")
        if b" 200 " not in head:
            return False
        told.put(None)
        return True
