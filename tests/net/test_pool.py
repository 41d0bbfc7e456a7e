"""Threads: who runs handlers, how many at once, and who is never delayed."""

from __future__ import annotations

import http.client
import os
import random
import selectors
import socket
import sys
import threading
from collections.abc import Callable

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

import hwebserver

ONE_REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Gate:
    """A handler that waits until it is let go, and counts who is in it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.inside = 0
        self.most = 0
        self.done = 0

    def __call__(self, request: hwebserver.Request) -> str:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(PATIENCE)
        with self.lock:
            self.inside -= 1
            self.done += 1
        return "through"


@pytest.fixture(params=["default", "select"])
def selector(request, monkeypatch):
    """Everything here works with the best selector of the system, and with select alone."""
    if request.param == "select":
        monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)


@pytest.fixture
def gate(server):
    gate = Gate()
    server.urlHandler("/gate")(gate)
    server.urlHandler("/quick")(lambda request: "quick")
    yield gate
    gate.open.set()


def ask(server: hwebserver.Server, path: bytes) -> socket.socket:
    """Send a request and do not wait for its answer."""
    sock = connect(server)
    sock.sendall(ONE_REQUEST % path)
    return sock


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run something in several threads; an error in one of them is the test's."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.usefixtures("selector")
@pytest.mark.parametrize("most", [1, 2, 4])
def test_no_more_handlers_run_at_once_than_allowed(server, gate, most):
    with running(server, max_num_threads=most):
        socks = [ask(server, b"gate") for _ in range(most + 3)]
        wait_until(lambda: gate.inside == most)
        gate.open.set()
        for sock in socks:
            with sock:
                assert receive_response(sock).body == b"through"
    assert gate.most == most
    assert gate.done == most + 3


@pytest.mark.usefixtures("selector")
def test_handlers_that_block_delay_nobody_while_a_worker_is_free(server, gate):
    with running(server, max_num_threads=4):
        socks = [ask(server, b"gate") for _ in range(3)]
        wait_until(lambda: gate.inside == 3)
        assert [fetch(server, "/quick").body for _ in range(5)] == [b"quick"] * 5
        assert gate.done == 0
        gate.open.set()
        for sock in socks:
            with sock:
                assert receive_response(sock).status == 200


def test_a_request_that_finds_every_worker_busy_is_answered_when_one_is_free(server, gate):
    with running(server, max_num_threads=1), ask(server, b"gate") as first:
        wait_until(lambda: gate.inside == 1)
        with ask(server, b"quick") as second:
            gate.open.set()
            assert receive_response(first).body == b"through"
            assert receive_response(second).body == b"quick"


@pytest.mark.usefixtures("selector")
def test_slow_receivers_hold_no_worker(server):
    body = b"x" * (8 << 20)
    server.urlHandler("/large")(lambda request: body)
    server.urlHandler("/quick")(lambda request: "quick")
    with running(server, max_num_threads=1):
        socks = [ask(server, b"large") for _ in range(4)]
        for sock in socks:
            receive_until(sock, b"\r\n\r\n")  # the answer is under way, and nobody takes it
        assert fetch(server, "/quick").body == b"quick"
        for sock in socks:
            sock.close()


@pytest.mark.usefixtures("selector")
def test_slow_senders_hold_no_worker(server):
    server.urlHandler("/echo")(lambda request: request.body())
    with running(server, max_num_threads=1):
        socks = [connect(server) for _ in range(8)]
        for sock in socks:
            sock.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        assert fetch(server, "/echo", "POST", b"quick").body == b"quick"
        for sock in socks:
            sock.sendall(b"cd")
        for sock in socks:
            with sock:
                assert receive_response(sock).body == b"abcd"


def test_idle_and_half_sent_requests_delay_nobody(server, gate):
    idle_count, half_count = (1000, 50) if _descriptors_for(1200) else (300, 50)
    gate.open.set()
    server.setSettingsForPort({"BACKLOG": 2048})  # they connect faster than any server accepts
    with running(server, max_num_threads=2):
        idle = [connect(server) for _ in range(idle_count)]
        half = [connect(server) for _ in range(half_count)]
        try:
            for sock in half:
                sock.sendall(b"GET /quick HTTP/1.1\r\nHos")
            with ask(server, b"gate") as slow:
                assert fetch(server, "/quick").body == b"quick"
                assert receive_response(slow).body == b"through"
            half[0].sendall(b"t: localhost\r\n\r\n")
            assert receive_response(half[0]).body == b"quick"
            idle[-1].sendall(ONE_REQUEST % b"quick")
            assert receive_response(idle[-1]).body == b"quick"
        finally:
            for sock in idle + half:
                sock.close()


def _descriptors_for(count: int) -> bool:
    try:
        import resource
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 2 * count + 200


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, Exception])
def test_whatever_a_handler_raises_costs_only_its_own_answer(server, error, caplog):
    @server.urlHandler("/raise")
    def fail(request):
        raise error("no")

    server.urlHandler("/quick")(lambda request: "quick")
    with running(server, max_num_threads=1):
        for _ in range(3):
            assert fetch(server, "/raise").status == 500
        assert fetch(server, "/quick").body == b"quick"


def test_a_slow_handler_goes_to_a_worker_and_a_quick_one_stays_on_the_polling_thread(server):
    wait = threading.Event()
    names: list[str] = []

    @server.urlHandler("/slow")
    def slow(request):
        names.append(threading.current_thread().name)
        wait.wait(0.03)
        return ""

    @server.urlHandler("/quick")
    def quick(request):
        names.append(threading.current_thread().name)
        return ""

    with running(server):
        for _ in range(3):
            fetch(server, "/slow")
        names.clear()
        fetch(server, "/slow")
        fetch(server, "/quick")
        slow_one, quick_one = names
        assert slow_one != quick_one
        wait.set()  # from now on it is quick, and is found out to be
        for _ in range(2):
            fetch(server, "/slow")
        names.clear()
        fetch(server, "/slow")
        fetch(server, "/quick")
        assert names[0] == names[1]


def test_pipelined_requests_are_answered_in_order_though_the_first_is_slow(server, gate):
    with running(server), connect(server) as sock:
        sock.sendall(ONE_REQUEST % b"gate" + ONE_REQUEST % b"quick" * 40)
        wait_until(lambda: gate.inside == 1)
        gate.open.set()
        bodies = _bodies(sock, 41)
    assert bodies == [b"through"] + [b"quick"] * 40


def _bodies(sock: socket.socket, count: int) -> list[bytes]:
    data = b""
    while data.count(b"HTTP/1.1 200") < count or not data.endswith((b"quick", b"through")):
        data += sock.recv(65536)
    return [part.split(b"\r\n\r\n", 1)[1] for part in data.split(b"HTTP/1.1 200")[1:]]


def test_many_pipelined_requests_do_not_keep_others_waiting(server, gate):
    with running(server, max_num_threads=1), connect(server) as greedy:
        greedy.sendall(ONE_REQUEST % b"quick" * 5000)
        assert fetch(server, "/quick").body == b"quick"
        assert len(_bodies(greedy, 5000)) == 5000


def test_answers_are_right_whatever_the_threads_do(server):
    """A long look for races: the interpreter switches threads as often as it can."""

    @server.urlHandler("/{kind}/{milliseconds:int}/{tag}")
    def handler(request, kind, milliseconds, tag):
        with lock:
            inside.append(tag)
            most.append(len(inside))
        threading.Event().wait(milliseconds / 1000)
        with lock:
            inside.remove(tag)
        return f"{tag} {len(request.body())}"

    def client(number: int) -> None:
        choice = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=PATIENCE)
        for turn in range(40):
            body = b"x" * choice.choice([0, 0, 10, 70_000])
            pause = choice.choice([0] * 8 + [1, 5, 6, 12])
            tag = f"{number}-{turn}"
            path = f"/{choice.choice('ab')}/{pause}/{tag}"
            connection.request("POST" if body else "GET", path, body or None)
            assert connection.getresponse().read().decode() == f"{tag} {len(body)}"
        connection.close()

    lock = threading.Lock()
    inside: list[str] = []
    most: list[int] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with running(server, max_num_threads=3):
            in_threads(16, client)
    finally:
        sys.setswitchinterval(interval)
    assert max(most) == 3
    assert inside == []


def test_connections_beyond_the_limit_hear_503_and_idle_ones_make_room(server):
    server.setSettingsForPort({"MAX_CONNECTIONS": 3})
    server.urlHandler("/")(lambda request: "in")
    with running(server):
        fresh = [connect(server) for _ in range(3)]
        with connect(server) as refused:
            assert receive_all(refused).startswith(b"HTTP/1.1 503 ")
        fresh[1].sendall(ONE_REQUEST % b"")
        assert receive_response(fresh[1]).body == b"in"
        with connect(server) as late:  # takes the place of the one that was answered
            late.sendall(ONE_REQUEST % b"")
            assert receive_response(late).body == b"in"
            assert receive_all(fresh[1]) == b""
        for sock in fresh:
            sock.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of descriptors to set")
def test_running_out_of_descriptors_stops_nothing(server, caplog):
    import resource

    server.urlHandler("/")(lambda request: "in")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running(server):
        used = max(int(name) for name in os.listdir("/dev/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
        held: list[socket.socket] = []
        try:
            while len(held) < 40:
                held.append(connect(server))
        except OSError:
            pass  # The clients have none left either: they are in this process.
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wait_until(lambda: fetch(server).body == b"in")
        for sock in held:
            sock.close()
    exhausted = [one for one in caplog.messages if "accepted" in one]
    assert len(exhausted) <= len(held)


def test_clients_that_reset_the_connection_leave_nothing_behind(server):
    server.urlHandler("/")(lambda request: b"x" * 100_000)
    reset = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
    server.setSettingsForPort({"BACKLOG": 1024})
    with running(server):
        for number in range(300):
            with connect(server) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                if number % 3:
                    sock.sendall((ONE_REQUEST % b"")[: 10 * (number % 7)])
        assert fetch(server).status == 200
