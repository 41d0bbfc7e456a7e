"""What a request and a connection cost, counted and not timed: what was won must not be lost again.

The clients here are in the process of the server, and allocate nothing that stays. What the system
is asked for by a server in a process of its own is in ``integration/test_system_calls.py``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import tracemalloc
from array import array
from collections import Counter

import pytest
from support import connect, running, wait_until

from hwebserver.net import poller, pool
from hwebserver.net.transport import Transport

REQUEST = b"GET %b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a\r\nAccept: */*\r\n\r\n"

#: Where the answers go; new room for each would be in the sums.
RECEIVED = bytearray(65536)

#: Requests that are counted, behind some that find out what is kept.
TIMES = 200

#: Bytes that a request needs at most, received into 128 of them; it was 380 to 450.
REQUEST_BYTES = 700

#: Bytes that a connection keeps while it waits for its next request; it was 2,250 with epoll.
IDLE_BYTES = 3_000

#: Calls that send a file of 4 KB.
FILE_SENDS = 1


class Counted:
    """Something whose methods are counted: each when it is called, and what a wait has found."""

    def __init__(self, counted, calls):
        self._counted = counted
        self._calls = calls

    def __getattr__(self, name):
        found = getattr(self._counted, name)
        if not callable(found) or name == "fileno":
            return found

        def call(*arguments):
            if name != "wait":
                self._calls[name] += 1
                return found(*arguments)
            ready = found(*arguments)
            self._calls["ready" if ready else "nothing ready"] += 1
            return ready

        return call


@pytest.fixture
def calls(monkeypatch):
    """Counts what servers ask of the system: their sockets, their watches and their threads."""
    counts = Counter()

    def count(owner, name):
        former = getattr(owner, name)

        def counting(*arguments):
            counts[name] += 1
            return former(*arguments)

        monkeypatch.setattr(owner, name, counting)

    begin_watch = poller.begin_watch
    monkeypatch.setattr(poller, "begin_watch", lambda: Counted(begin_watch(), counts))
    monkeypatch.setattr(poller, "Transport", lambda sock: Transport(Counted(sock, counts)))
    count(poller.Poller, "wake")
    count(pool._Worker, "rouse")
    # On a busy machine a handler lasts longer than a tick now and then, and is taken over.
    monkeypatch.setattr(pool, "TICK", 60.0)
    return counts


@pytest.fixture(params=["without a log", "with a log"])
def site(calls, request, server, tmp_path):
    """A server whose calls are counted."""
    (tmp_path / "file.bin").write_bytes(b"x" * 4091 + b"hello")
    server.urlHandler("/")(lambda request: "hello")
    server.registerStaticFilesDirectory(str(tmp_path), "/files")
    log = {"ACCESS_LOG_FILE": str(tmp_path / "access.log")}
    with running(server, settings=log if request.param == "with a log" else {}):
        yield server


def ask(sock, times, path="/"):
    """Make requests, one behind the other."""
    request = REQUEST % path.encode()
    for _ in range(times):
        sock.sendall(request)
        size = 0
        while not RECEIVED.startswith(b"hello", max(0, size - 5)):
            size += sock.recv_into(memoryview(RECEIVED)[size:])
        RECEIVED[size - 5 : size] = b"     "


@pytest.fixture
def client(site):
    """A connection that has made requests."""
    with connect(site) as sock:
        ask(sock, 20)
        yield sock


def cost(client, calls, path="/"):
    """Return what many equal requests ask of the system."""
    ask(client, 20, path)
    before = Counter(calls)
    ask(client, TIMES, path)
    return Counter(calls) - before


def test_a_request_is_waited_for_received_and_answered_and_nothing_else(client, calls):
    found = cost(client, calls)
    # At times deadlines are looked at; that is not for the request.
    assert found.pop("nothing ready", 0) < TIMES / 2
    assert found == {"ready": TIMES, "recv": TIMES, "send": TIMES}


def test_a_small_file_asks_no_more_of_its_socket(client, calls):
    found = cost(client, calls, "/files/file.bin")
    assert found.pop("nothing ready", 0) < TIMES / 2
    assert (found.pop("ready"), found.pop("recv")) == (TIMES, TIMES)
    assert sum(found.values()) <= FILE_SENDS * TIMES


def switches(thread):
    """Return how often a thread has waited for something."""
    with open(f"/proc/self/task/{thread.native_id}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary"))


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="this system has no /proc")
def test_requests_wake_no_thread_but_the_one_that_polls(site, client):
    polling, workers = site._pool._polling, site._pool._workers
    others = [worker.thread for worker in workers if worker is not polling]
    assert others
    before = [switches(thread) for thread in others]
    ask(client, 1000)
    after = [switches(thread) for thread in others]
    assert site._pool._polling is polling
    assert sum(after) - sum(before) < 20


# --- memory ---


@contextlib.contextmanager
def traced():
    """Have Python count what it allocates; nothing is collected that only a collector can find."""
    was_traced = tracemalloc.is_tracing()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield
    finally:
        gc.enable()
        if not was_traced:
            tracemalloc.stop()


def size():
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def plain(server):
    """A server whose calls nobody counts."""
    server.urlHandler("/")(lambda request: "hello")
    with running(server, settings={"KEEP_ALIVE_TIMEOUT": 600.0}):
        yield server


def test_requests_leave_nothing_behind(plain):
    growths = []
    with connect(plain) as sock, traced():
        ask(sock, 50)
        for _ in range(4):
            before = size()
            ask(sock, 1000)
            growths.append(size() - before)
    # The least: now and then a date is written anew, or other threads of the process do something.
    assert min(growths) < 1000, growths


class Weighed:
    """A watch; between two waits what was allocated at most is written down."""

    def __init__(self, watch, peaks):
        self._watch = watch
        self._peaks = peaks
        self._before = 0

    def __getattr__(self, name):
        return getattr(self._watch, name)

    def wait(self, seconds):
        self._peaks.append(tracemalloc.get_traced_memory()[1] - self._before)
        ready = self._watch.wait(seconds)
        self._before = size()
        tracemalloc.reset_peak()
        return ready


def test_a_request_needs_little_memory(server, monkeypatch):
    peaks = []
    begin_watch = poller.begin_watch
    monkeypatch.setattr(poller, "begin_watch", lambda: Weighed(begin_watch(), peaks))
    # Else nothing but the room that it is received into would be seen.
    monkeypatch.setattr(Transport.receive, "__defaults__", (128,))
    server.urlHandler("/")(lambda request: "hello")
    with traced(), running(server), connect(server) as sock:
        ask(sock, 50)
        del peaks[:]
        ask(sock, 50)
        found = sorted(peaks)
    assert found[len(found) // 2] < REQUEST_BYTES, found


def test_a_connection_that_waits_keeps_little(plain):
    def open_some(count):
        for _ in range(count):
            with connect(plain) as sock:
                ask(sock, 1)
                descriptors.append(sock.detach())
        wait_until(lambda: plain._pool._poller.connection_count == len(descriptors))

    descriptors = array("i")
    try:
        with traced():
            open_some(50)
            before = size()
            open_some(200)
            kept = (size() - before) / 200
    finally:
        for descriptor in descriptors:
            socket.socket(fileno=descriptor).close()
    assert kept < IDLE_BYTES
