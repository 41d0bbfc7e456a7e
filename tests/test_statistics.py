"""``Server.statistics``: what a server has done, in numbers."""

from __future__ import annotations

import json
import threading
import time

import pytest
from support import connect, fetch, receive_all, receive_response, running, wait_until
from wsclient import close, text, websocket

import hwebserver
from hwebserver.server import default_server

ANSWERS = {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}


@pytest.fixture
def busy(server):
    """A server with something to count."""
    server.urlHandler("/", ports=[-1])(lambda request: "hello")
    server.urlHandler("/x")(lambda request: "hello")
    server.urlHandler("/fail", ports=[-1])(lambda request: 1 / 0)
    server.urlHandler("/away", ports=[-1])(lambda request: hwebserver.redirect(request, "/"))
    server.urlHandler("/get", methods=["GET"])(lambda request: "got")
    return server


def test_before_the_first_run_there_are_zeros(server):
    numbers = server.statistics()
    assert numbers == {
        "since": None,
        "connections": 0,
        "accepted": 0,
        "websockets": 0,
        "requests": 0,
        "running": 0,
        "queued": 0,
        "idle_workers": 0,
        "received": 0,
        "sent": 0,
        "answers": ANSWERS,
        "refused": 0,
        "ports": {},
    }


def test_requests_are_counted_by_the_class_of_their_status(busy):
    began = time.time()
    with running(busy, max_num_threads=3):
        for path, method in [("/", "GET"), ("/x", "POST"), ("/fail", "GET"), ("/away", "GET"),
                             ("/get", "DELETE")]:  # fmt: skip
            fetch(busy, path, method)
        wait_until(lambda: busy.statistics()["requests"] == 5)
        numbers = busy.statistics()
        assert numbers["answers"] == {"1xx": 0, "2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1}
        assert numbers["accepted"] == 5
        assert numbers["refused"] == 0
        assert (numbers["running"], numbers["queued"], numbers["idle_workers"]) == (0, 0, 3)
        assert began - 1 <= numbers["since"] <= time.time()
        assert json.loads(json.dumps(numbers)) == numbers
        wait_until(lambda: busy.statistics()["connections"] == 0)


def test_bytes_are_those_of_the_connections(busy):
    request = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with running(busy), connect(busy) as sock:
        for _ in range(3):
            sock.sendall(request + b"x" * 100_000)
            receive_response(sock)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answered = len(receive_all(sock))
        wait_until(lambda: busy.statistics()["connections"] == 0)
        numbers = busy.statistics()
    assert numbers["received"] == 3 * (len(request) + 100_000) + 54
    assert numbers["sent"] > 3 * answered
    assert numbers["requests"] == 4


def test_the_bytes_of_a_file_are_counted(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * 500_000)
    server.registerStaticFilesDirectory(str(tmp_path), "/")
    with running(server):
        fetch(server, "/a.bin")
        wait_until(lambda: server.statistics()["requests"] == 1)
        assert 500_000 < server.statistics()["sent"] < 501_000


def test_each_port_has_numbers_of_its_own(busy):
    with running(busy, ports=[("other", 0)]):
        fetch(busy)
        fetch(busy, "/fail", port="other")
        fetch(busy, "/fail", port="other")
        wait_until(lambda: busy.statistics()["requests"] == 3)
        numbers = busy.statistics()
    ports = numbers["ports"]
    assert list(ports) == ["main", "other"]
    assert ports["main"]["answers"] == {**ANSWERS, "2xx": 1}
    assert ports["other"]["answers"] == {**ANSWERS, "5xx": 2}
    assert numbers["answers"] == {**ANSWERS, "2xx": 1, "5xx": 2}
    assert numbers["sent"] == ports["main"]["sent"] + ports["other"]["sent"]
    assert set(numbers) - set(ports["main"]) == {
        "since", "running", "queued", "idle_workers", "ports"
    }  # fmt: skip


def test_a_handler_sees_itself_run(server):
    server.urlHandler("/")(lambda request: server.statistics())
    with running(server, max_num_threads=2):
        numbers = json.loads(fetch(server).body)
    assert (numbers["running"], numbers["queued"], numbers["idle_workers"]) == (1, 0, 1)
    assert (numbers["connections"], numbers["requests"]) == (1, 0)


def test_what_waits_for_a_worker_is_queued(server):
    begun, go_on = [], threading.Event()

    @server.urlHandler("/")
    def wait(request):
        begun.append(True)
        go_on.wait(20)
        return ""

    with running(server, max_num_threads=2):
        threads = [threading.Thread(target=fetch, args=(server,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        wait_until(lambda: server.statistics()["queued"] == 3)
        numbers = server.statistics()
        go_on.set()
        for thread in threads:
            thread.join()
    assert (numbers["running"], numbers["idle_workers"], len(begun)) == (2, 0, 5)


def test_an_open_websocket_is_counted(server):
    server.webSocket("/")(type("Echo", (hwebserver.WebSocket,), {}))
    with running(server):
        with websocket(server) as client:
            wait_until(lambda: server.statistics()["websockets"] == 1)
            numbers = server.statistics()
            assert (numbers["connections"], numbers["answers"]["1xx"]) == (1, 1)
            client.send(text("x" * 1000))
            wait_until(lambda: server.statistics()["received"] > numbers["received"] + 1000)
            client.send(close())
            client.ended()
        wait_until(lambda: server.statistics()["connections"] == 0)
        numbers = server.statistics()
    assert (numbers["websockets"], numbers["requests"], numbers["accepted"]) == (0, 1, 1)


def test_what_is_refused_is_counted(busy):
    with running(busy):
        for _ in range(3):
            with connect(busy) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                receive_all(sock)
        wait_until(lambda: busy.statistics()["requests"] == 3)
        assert busy.statistics()["refused"] == 3
        assert busy.statistics()["answers"] == {**ANSWERS, "4xx": 3}


def test_a_client_that_leaves_has_a_request_without_an_answer(server):
    begun, go_on = [], threading.Event()

    @server.urlHandler("/")
    async def wait(request):
        import asyncio

        begun.append(True)
        await asyncio.sleep(3600)

    with running(server):
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: begun)
        wait_until(lambda: server.statistics()["requests"] == 1)
        assert server.statistics()["answers"] == ANSWERS
    go_on.set()


def test_nothing_is_lost_when_many_threads_answer(server):
    """Slow handlers go to workers, so several threads end requests at the same time."""
    server.urlHandler("/slow")(lambda request: time.sleep(0.006) or "")
    server.urlHandler("/")(lambda request: "")
    asked = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def ask():
        with connect(server) as sock:
            for number in range(60):
                sock.sendall(asked % (b"/" if number % 10 else b"/slow"))
                receive_response(sock)

    with running(server):
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            server.statistics()
        wait_until(lambda: server.statistics()["connections"] == 0)
        assert server.statistics()["answers"] == {**ANSWERS, "2xx": 360}


def test_the_numbers_of_a_run_stay_until_the_next(busy):
    with running(busy):
        fetch(busy)
    numbers = busy.statistics()
    assert (numbers["requests"], numbers["connections"], numbers["idle_workers"]) == (1, 0, 0)
    with running(busy):
        assert busy.statistics()["requests"] == 0
        assert busy.statistics()["since"] >= numbers["since"]


def test_the_module_has_those_of_its_own_server():
    assert hwebserver.statistics == default_server.statistics
    assert "statistics" in hwebserver.__all__
