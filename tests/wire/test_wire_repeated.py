"""The same request again and again on one connection: what is remembered of it changes nothing."""

from __future__ import annotations

import time

import pytest
from support import connect, receive_response, running

import hwebserver
from hwebserver.net.clock import http_clock

HEAD = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def site():
    server = hwebserver.Server("repeated")
    answers: list[hwebserver.Response] = []
    requests: list[hwebserver.Request] = []

    @server.urlHandler("/next")
    def next_answer(request):
        return answers.pop(0)

    @server.urlHandler("/id")
    def ask_for_id(request):
        requests.append(request)
        return request.requestId() if len(requests) == 1 else "none"

    @server.urlHandler("/kept")
    def keep(request):
        requests.append(request)
        return str(len(requests))

    @server.urlHandler("/send")
    def send(request):
        if answers:
            request.send(answers.pop(0))
        return "returned"

    @server.urlHandler("/hand")
    def by_hand(request):
        if not answers:
            return "returned"
        request.sendHeaders(answers.pop(0))
        request.sendBody("by hand")

    with running(server):
        yield server, answers, requests


@pytest.fixture
def client(site):
    server, answers, requests = site
    answers.clear()
    requests.clear()
    with connect(server) as sock:
        yield sock


def ask(sock, path):
    sock.sendall(HEAD % path)
    return receive_response(sock)


def test_each_answer_has_its_own_status_length_and_fields(site, client):
    _, answers, _ = site
    marked = hwebserver.Response("marked", 200, "text/plain")
    marked.setHeader("X-Mark", "1")
    made = [
        hwebserver.Response("one", 200, "text/plain"),
        hwebserver.Response("one", 200, "text/plain"),
        hwebserver.Response("longer", 200, "text/plain"),
        hwebserver.Response("longer", 404, "text/plain"),
        hwebserver.Response("longer", 200, "text/css"),
        marked,
        hwebserver.Response("longer", 200, "text/plain"),
        hwebserver.Response(b"", 204, ""),
        hwebserver.Response(iter(["in ", "pieces"]), 200, "text/plain"),
        hwebserver.Response("longer", 200, "text/plain"),
    ]
    answers += made
    got = [ask(client, b"next") for _ in made]
    assert [one.status for one in got] == [200, 200, 200, 404, 200, 200, 200, 204, 200, 200]
    assert [one.text for one in got] == [
        "one", "one", "longer", "longer", "longer", "marked", "longer", "", "in pieces", "longer",
    ]  # fmt: skip
    assert [one.headers["X-Mark"] for one in got] == [None] * 5 + ["1"] + [None] * 4
    assert got[4].headers["Content-Type"] == "text/css; charset=utf-8"
    assert got[8].headers["Transfer-Encoding"] == "chunked"
    assert [one.headers["Content-Length"] for one in got[:3]] == ["3", "3", "6"]


def test_an_answer_that_closes_the_connection_says_so(site, client):
    _, answers, _ = site
    last = hwebserver.Response("one", 200, "text/plain")
    last.setHeader("Connection", "close")
    answers += [hwebserver.Response("one", 200, "text/plain"), last]
    assert ask(client, b"next").headers["Connection"] is None
    assert ask(client, b"next").headers["Connection"] == "close"
    assert client.recv(1) == b""


def test_the_date_of_a_new_second_is_sent(site, client, monkeypatch):
    _, answers, _ = site
    answers += [hwebserver.Response("x") for _ in range(3)]
    ask(client, b"next")
    first = ask(client, b"next").headers["Date"]
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(http_clock, "until", 0.0)
    # What a connection has kept is right until the second ends, and no longer.
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 2)
    assert ask(client, b"next").headers["Date"] != first


def test_an_id_that_a_handler_asked_for_belongs_to_one_answer(site, client):
    first, second = ask(client, b"id"), ask(client, b"id")
    assert first.headers["X-Request-ID"] == first.text
    assert second.headers["X-Request-ID"] is None


def test_a_request_that_was_kept_stays_what_it_was(site, client):
    _, _, requests = site
    ask(client, b"kept")
    mine = requests[0]
    asked = mine.requestId()
    ask(client, b"kept")
    assert requests[1] is not mine
    assert mine.requestId() == asked != requests[1].requestId()
    assert mine.path() == "/kept"
    with pytest.raises(RuntimeError):
        mine.sendHeaders(hwebserver.Response("late"))


def test_what_was_sent_before_is_not_sent_again(site, client):
    _, answers, _ = site
    answers.append(hwebserver.Response("sent", 201, "text/plain"))
    first, second = ask(client, b"send"), ask(client, b"send")
    assert (first.status, first.text) == (201, "sent")
    assert (second.status, second.text) == (200, "returned")


def test_an_answer_by_hand_comes_between_two_others(site, client):
    _, answers, _ = site
    assert ask(client, b"hand").text == "returned"
    answers.append(hwebserver.Response("", 200, "text/plain"))
    assert ask(client, b"hand").text == "by hand"
    assert ask(client, b"hand").text == "returned"


def test_a_handler_that_is_registered_meanwhile_answers_the_next_request(site, client):
    server, _, _ = site
    assert ask(client, b"new").status == 404
    assert ask(client, b"new").status == 404

    @server.urlHandler("/new")
    def new(request):
        return "new"

    assert ask(client, b"new").text == "new"
    server.urlHandler("/new")(lambda request: "newer")
    assert ask(client, b"new").text == "newer"
