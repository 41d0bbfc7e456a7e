"""Several requests on one connection: order, ends, and clients that do not listen."""

from __future__ import annotations

import select
import threading

import pytest
from support import PATIENCE, running, wait_until
from wire.rawhttp import Client, Ended

import hwebserver


@pytest.fixture
def site(server):
    server.setSettingsForPort({"LINGER_TIMEOUT": 20.0})
    server.urlHandler("/probe")(lambda request: "probe")
    return server


def get(path, *fields):
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: a", *fields, "", "")).encode()


def post(path, body, *fields):
    head = (f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *fields, "", "")
    return "\r\n".join(head).encode() + body


class Gate:
    """A handler that begins, says so, and waits to be let on."""

    def __init__(self):
        self.begun = threading.Event()
        self.open = threading.Event()
        self.events = []

    def __call__(self, request):
        name = request.queryString()
        self.events.append(f"{name} begins")
        self.begun.set()
        assert self.open.wait(PATIENCE)
        self.events.append(f"{name} ends")
        return name


@pytest.fixture
def gate(site):
    gate = Gate()
    site.urlHandler("/gate")(gate)
    return gate


def test_many_requests_in_one_write_are_answered_in_their_order(site):
    site.urlHandler("/n/{number}")(lambda request, number: number)
    with running(site), Client(site) as client:
        client.send(b"".join(get(f"/n/{n}") for n in range(1000)))
        assert [client.answer().body for _ in range(1000)] == [b"%d" % n for n in range(1000)]
        client.check_open()


def test_a_request_waits_for_the_one_before_it(site, gate):
    with running(site), Client(site) as client:
        client.send(get("/gate?1"))
        gate.begun.wait(PATIENCE)
        client.send(get("/gate?2") + get("/gate?3"))
        gate.open.set()
        assert [client.answer().body for _ in range(3)] == [b"1", b"2", b"3"]
        client.check_open()
    assert gate.events == [f"{n} {what}" for n in "123" for what in ("begins", "ends")]


def test_a_quick_request_does_not_overtake_a_slow_one(site, gate):
    site.urlHandler("/quick")(lambda request: "quick")
    with running(site), Client(site) as client:
        client.send(get("/gate?slow") + get("/quick"))
        gate.begun.wait(PATIENCE)
        with Client(site) as other:  # which is served meanwhile
            assert other.ask(get("/quick")).body == b"quick"
        gate.open.set()
        assert [client.answer().body for _ in range(2)] == [b"slow", b"quick"]


def test_a_refusal_waits_for_the_request_before_it(site, gate):
    with running(site), Client(site) as client:
        client.send(get("/gate?1") + b"\0")
        gate.begun.wait(PATIENCE)
        gate.open.set()
        assert [client.answer().status for _ in range(2)] == [200, 400]
        assert client.rest() == b""


def test_a_body_in_pieces_belongs_to_its_own_request(site):
    site.urlHandler("/echo")(lambda request: request.body())
    first, second = post("/echo", b"first body"), post("/echo", b"second body")
    with running(site), Client(site) as client:
        client.send(first[:-5])
        client.send(first[-5:] + second[:-5])
        assert client.answer().body == b"first body"
        client.send(second[-5:])
        assert client.answer().body == b"second body"


def test_nothing_behind_a_request_that_closes_is_run(site, gate):
    """The look-ahead race of waitress: GHSA-9298-4cf8-g4wj."""
    calls = []
    site.urlHandler("/after")(lambda request: calls.append(request.path()))
    with running(site), Client(site) as client:
        client.send(get("/gate?1", "Connection: close") + get("/after"))
        gate.begun.wait(PATIENCE)
        client.send(get("/after"))
        gate.open.set()
        answer = client.answer()
        assert (answer.body, answer.says_close, client.rest()) == (b"1", True, b"")
    assert calls == []


def closing(request):
    response = hwebserver.Response("the last")
    response.setHeader("Connection", "close")
    return response


def test_nothing_behind_an_answer_that_closes_is_run(site):
    calls = []
    site.urlHandler("/")(closing)
    site.urlHandler("/after")(lambda request: calls.append(request.path()))
    with running(site), Client(site) as client:
        client.send(get("/") + get("/after"))
        answer = client.answer()
        assert (answer.body, answer.says_close, client.rest()) == (b"the last", True, b"")
    assert calls == []


def test_an_answer_that_closes_is_not_reset_by_what_the_client_sent_meanwhile(site, gate):
    """RFC 9112 9.6: a close over unread bytes is a reset, and may take the answer with it."""

    @site.urlHandler("/last")
    def last(request):
        gate(request)
        return closing(request)

    with running(site), Client(site) as client:
        client.send(get("/last"))
        gate.begun.wait(PATIENCE)
        client.send(get("/after"))
        gate.open.set()
        assert client.answer().body == b"the last"
        assert client.rest() == b""
        assert not client.reset


def test_nothing_behind_an_answer_that_is_cut_off_is_run(site):
    calls = []

    @site.urlHandler("/")
    def handler(request):
        request.sendHeaders(hwebserver.Response())
        request.sendBody("half")
        raise RuntimeError("on purpose")

    site.urlHandler("/after")(lambda request: calls.append(request.path()))
    with running(site), Client(site) as client:
        client.send(get("/") + get("/after"))
        with pytest.raises(Ended):
            client.answer()
    assert calls == []


def test_a_client_that_ends_its_half_still_gets_every_answer(site, gate):
    with running(site), Client(site) as client:
        client.send(get("/gate?1") + get("/gate?2"))
        client.end()
        gate.open.set()
        assert [client.answer().body for _ in range(2)] == [b"1", b"2"]
        assert client.rest() == b""


def test_requests_of_a_client_that_reads_nothing_are_not_taken_for_ever(site):
    """Its answers fill the buffers of the system; then the server stops to read (GHSA, queues)."""
    calls = []

    @site.urlHandler("/large")
    def large(request):
        calls.append(len(calls))
        return b"%08d" % calls[-1] + bytes(200_000)

    with running(site), Client(site) as client:
        one = get("/large", "X-Padding: " + "x" * 5000)
        data = memoryview(one * 20_000)  # 100 MB
        sent = 0
        client.socket.setblocking(False)
        while sent < len(data) and select.select([], [client.socket], [], 0.5)[1]:
            sent += client.socket.send(data[sent : sent + (1 << 20)])
        assert sent < len(data) / 2
        client.socket.settimeout(PATIENCE)
        whole = sent // len(one)
        for n in range(whole):
            assert client.answer().body[:8] == b"%08d" % n
        wait_until(lambda: len(calls) == whole)


def test_a_kept_connection_serves_as_many_requests_as_it_likes(site):
    with running(site), Client(site) as client:
        for _ in range(500):
            assert client.ask(get("/probe")).body == b"probe"


def test_many_connections_do_not_mix_their_answers(site):
    site.urlHandler("/n/{number}")(lambda request, number: number)
    with running(site):
        clients = [Client(site) for _ in range(50)]
        for n, client in enumerate(clients):
            client.send(get(f"/n/{n}")[:20])
        for n, client in reversed(list(enumerate(clients))):
            client.send(get(f"/n/{n}")[20:] + get(f"/n/{n + 1000}"))
        for n, client in enumerate(clients):
            assert [client.answer().body for _ in range(2)] == [b"%d" % n, b"%d" % (n + 1000)]
            client.socket.close()


def test_the_draining_of_a_large_refused_body_ends(site):
    """More than is read over: the server says that it closes, and reads no more than it must."""
    with running(site), Client(site) as client:
        client.send(post("/none", b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n" * 40_000))
        answer = client.answer()
        assert (answer.status, answer.says_close, client.rest()) == (404, True, b"")


def test_a_refused_body_just_small_enough_is_read_over(site):
    body = b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n" * 2048
    with running(site), Client(site) as client:
        answer = client.ask(post("/none", body[:65536]))
        assert (answer.status, answer.says_close) == (404, False)
        client.check_open()


def test_a_large_refused_chunked_body_runs_nothing(site):
    calls = []
    site.urlHandler("/smuggled")(lambda request: calls.append(request.path()))
    chunk = get("/smuggled") * 1000
    head = b"POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(site), Client(site) as client:
        client.send(head + b"%x\r\n%b\r\n" % (len(chunk), chunk) * 20 + b"0\r\n\r\n" + chunk)
        assert client.answer().status == 404
        assert client.rest() == b""
        assert not client.reset
    assert calls == []
