"""The asyncio loop of a server: one for all, from the first coroutine to the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import pytest
from support import PATIENCE, connect, fetch, receive_all, receive_until, running, wait_until

from hwebserver import Response
from hwebserver.net import loop as loop_module
from hwebserver.net.loop import LoopThread

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def loop_threads():
    return [one for one in threading.enumerate() if one.name.endswith("-asyncio")]


def problems(caplog):
    """Return what was logged, but for what is no reason to worry."""
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.fixture
def loop():
    """A loop of the test's own; it is stopped behind the test."""
    loop = LoopThread("hwebserver-test-asyncio")
    yield loop
    loop.stop()
    loop.join()


# --- in a server ---


def test_all_coroutines_share_one_thread_that_the_first_one_starts(server):
    threads = set()

    async def pieces():
        threads.add(threading.current_thread())
        await asyncio.sleep(0)
        yield "piece"

    server.urlHandler("/async")(lambda request: Response(pieces()))
    server.urlHandler("/plain")(lambda request: Response(iter(["piece"])))
    with running(server):
        fetch(server, "/plain")
        assert not loop_threads()
        for _ in range(3):
            assert fetch(server, "/async").text == "piece"
        assert set(loop_threads()) == threads
        assert len(threads) == 1
    assert not loop_threads()


def test_a_task_that_exits_or_stops_the_loop_ends_nobody_elses(server, caplog):
    go_on = threading.Event()

    async def leave():
        raise SystemExit(1)

    async def rude():
        asyncio.get_running_loop().create_task(leave())
        yield "a"
        asyncio.get_running_loop().stop()
        yield "b"

    async def waits():
        yield "before"
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        yield "behind"

    server.urlHandler("/waits")(lambda request: Response(waits()))
    server.urlHandler("/rude")(lambda request: Response(rude()))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"waits")
        receive_until(sock, b"before")
        assert fetch(server, "/rude").text == "ab"
        go_on.set()
        receive_until(sock, b"behind")
    wait_until(lambda: "a coroutine tried to end the asyncio loop" in problems(caplog))


def test_a_coroutine_that_swallows_its_cancellation_does_not_hang_the_stop(
    server, caplog, monkeypatch
):
    monkeypatch.setattr(loop_module, "FAREWELL", 0.05)
    cancelled, waits = [], threading.Event()

    async def stubborn():
        yield "first"
        waits.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(1)

    server.urlHandler("/stubborn")(lambda request: Response(stubborn()))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stubborn")
        assert waits.wait(PATIENCE)
        monkeypatch.setattr("hwebserver.net.endpoint._STREAM_GRACE", 0.0)
        server.requestShutdown()
        receive_all(sock)
    assert cancelled
    gc.collect()  # What asyncio says of it, it says now.
    assert any("did not end when they were cancelled" in one for one in problems(caplog))


def test_a_coroutine_that_blocks_the_loop_does_not_keep_the_server_running(server, monkeypatch):
    monkeypatch.setattr(loop_module, "FAREWELL", 0.02)
    monkeypatch.setattr(loop_module, "_BLOCKED", 0.02)
    monkeypatch.setattr("hwebserver.net.endpoint._STREAM_GRACE", 0.0)
    waits, go_on = threading.Event(), threading.Event()

    async def blocks():
        yield "first"
        waits.set()
        go_on.wait(PATIENCE)

    server.urlHandler("/blocks")(lambda request: Response(blocks()))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"blocks")
        assert waits.wait(PATIENCE)
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        assert loop_threads()
        go_on.set()


# --- by itself ---


def test_what_was_submitted_begins_though_the_stop_comes_at_once(loop):
    seen = []

    async def begin(number):
        try:
            seen.append(number)
            await asyncio.Event().wait()
        finally:
            seen.append(-number)

    for number in range(1, 20):
        loop.submit(begin(number))
    loop.stop()
    loop.join()
    assert sorted(seen) == sorted([*range(1, 20), *range(-19, 0)])
    assert not loop.alive


def test_a_coroutine_that_is_cancelled_at_once_lets_go_of_what_it_holds(loop):
    seen = []

    async def begin():
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(1)

    for _ in range(100):
        loop.submit(begin()).cancel()
    wait_until(lambda: len(seen) == 100)


def test_nothing_is_submitted_behind_the_stop(loop):
    async def nothing():
        pass

    loop.stop()
    loop.stop()
    coroutine = nothing()
    with pytest.raises(RuntimeError, match="stopped"):
        loop.submit(coroutine)
    with pytest.raises(RuntimeError):
        coroutine.send(None)  # It was closed, so nothing warns of it.
    with pytest.raises(RuntimeError, match="stopped"):
        loop.start()
    assert not loop.alive
    loop.join()


def test_a_task_may_be_called_when_its_loop_is_closed(loop):
    async def nothing():
        pass

    task = loop.submit(nothing())
    loop.stop()
    loop.join()
    task.cancel()
    task.call(lambda: None)


def test_a_loop_whose_thread_cannot_be_started_is_tried_again(loop, monkeypatch):
    done = threading.Event()

    async def work():
        done.set()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            loop.submit(work())
    loop.submit(work())
    assert done.wait(PATIENCE)


def test_async_generators_that_nobody_reads_any_more_are_closed(loop):
    seen, read = [], threading.Event()

    async def generator():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    kept = generator()

    async def read_one():
        await kept.__anext__()
        read.set()

    loop.submit(read_one())
    assert read.wait(PATIENCE)
    loop.stop()
    loop.join()
    assert seen == ["closed"]


def test_submitting_from_many_threads_loses_nothing(loop):
    done = []

    async def work(number):
        await asyncio.sleep(0)
        done.append(number)

    def submit(first):
        for number in range(first, first + 50):
            loop.submit(work(number))

    threads = [threading.Thread(target=submit, args=(first,)) for first in range(0, 400, 50)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    wait_until(lambda: len(done) == 400)
    assert sorted(done) == list(range(400))
