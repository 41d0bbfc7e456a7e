"""The id of a request: taken or made, sent back, and found in the log."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import wsgiref.util
import wsgiref.validate

import pytest
from support import connect, fetch, receive_all, running
from wsclient import websocket

import hwebserver
from hwebserver.exchange import Answer
from hwebserver.protocol.http1 import Limits, parse_head
from hwebserver.web.requestid import given_id, make_id, with_id


def head(*lines):
    raw = "\r\n".join(("GET / HTTP/1.1", "Host: localhost", *lines)).encode("latin-1")
    return parse_head(raw, Limits())


@pytest.mark.parametrize(
    "value",
    ["a", "7b4a9e2c-1f0d-4c1b-9f57-0f5f3b1c2d3e", "Root=1-67891233-abcdef", "a/b+c==", "x" * 128],
)
def test_an_id_that_is_fit_for_a_log_is_taken(value):
    assert given_id(head(f"X-Request-ID: {value}")) == value
    assert given_id(head(f"x-request-id: {value}")) == value


@pytest.mark.parametrize(
    "value",
    ["", " ", "x" * 129, "a b", "a\tb", 'a"b', "a\\b", "a,b", "a;b", "<b>", "{a}", "a'b", "a`b",
     "caf\xe9", "a(b)", "a%b"],
)  # fmt: skip
def test_one_that_is_not_is_as_if_there_were_none(value):
    assert given_id(head(f"X-Request-ID: {value}")) == ""


def test_two_ids_are_none():
    assert given_id(head("X-Request-ID: a", "X-Request-ID: b")) == ""
    assert given_id(head()) == given_id(None) == ""


def test_an_id_that_is_made_is_new_and_one_that_would_be_taken():
    ids = {make_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)


FORK = """
import os
from hwebserver.web.requestid import make_id

make_id()
reading, writing = os.pipe()
if not os.fork():
    os.write(writing, " ".join(make_id() for _ in range(100)).encode())
    os._exit(0)
found = {make_id() for _ in range(100)}
os.wait()
print(len(found.union(os.read(reading, 65536).decode().split())))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system knows no fork")
def test_the_child_of_a_fork_does_not_make_the_ids_of_its_parent():
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "200\n"


def test_an_answer_that_has_an_id_keeps_it():
    own = Answer(200, (("x-request-id", "own"),))
    assert with_id(own, "other") is own
    assert with_id(Answer(200, ()), "").fields == ()
    assert with_id(Answer(200, ()), "other").fields == (("X-Request-ID", "other"),)


def build(server, folder):
    """Register what answers in every way there is."""
    server.urlHandler("/plain")(lambda request: "x")
    server.urlHandler("/asked")(lambda request: request.requestId() + " " + request.requestId())
    server.urlHandler("/fail")(lambda request: 1 / 0)
    server.urlHandler("/refuse")(lambda request: hwebserver.Response(b"", 418))
    server.urlHandler("/unsendable")(lambda request: {"a": object()})
    server.registerStaticFilesDirectory(str(folder), "/files")

    @server.urlHandler("/later")
    async def later(request):
        return request.requestId()

    @server.urlHandler("/stream")
    def stream(request):
        return hwebserver.Response(iter(["a", "b"]))

    @server.urlHandler("/hand")
    def by_hand(request):
        request.requestId()
        request.sendHeaders(hwebserver.Response("", 200))
        request.sendBody("x")

    @server.urlHandler("/late")
    def too_late(request):
        request.sendHeaders(hwebserver.Response("", 200))
        request.sendBody(request.requestId())

    def wsgi(environ, start_response):
        start_response("200 OK", [("X-Request-ID", "app")] if "own" in environ["PATH_INFO"] else [])
        return [environ.get("HTTP_X_REQUEST_ID", "none").encode()]

    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    server.registerWSGIApp(wsgi, "/wsgi")
    server.registerASGIApp(asgi, "/asgi")
    return server


@pytest.fixture
def full(server, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    return build(server, tmp_path)


PATHS = ["/plain", "/asked", "/fail", "/refuse", "/unsendable", "/files/a.txt", "/files/none",
         "/later", "/stream", "/hand", "/late", "/wsgi", "/asgi", "/nowhere"]  # fmt: skip


def test_an_id_that_was_sent_is_sent_back_with_every_answer(full):
    with running(full):
        for path in PATHS:
            answer = fetch(full, path, headers={"X-Request-ID": "from-client"})
            assert answer.headers.get_all("X-Request-ID") == ["from-client"], path
        answer = fetch(full, "/plain", "OPTIONS", headers={"X-Request-ID": "other"})
        assert answer.headers.get_all("X-Request-ID") == ["other"]


def test_one_that_is_not_fit_is_not_sent_back(full):
    with running(full):
        answer = fetch(full, "/plain", headers={"X-Request-ID": 'x"y'})
        assert "X-Request-ID" not in answer.headers
        made = fetch(full, "/asked", headers={"X-Request-ID": 'x"y'})
        assert re.fullmatch("[0-9a-f]{16}", made.headers["X-Request-ID"])


def test_an_id_that_nobody_asked_for_is_not_made(full):
    with running(full):
        for path in ("/plain", "/files/a.txt", "/fail", "/wsgi", "/nowhere"):
            assert "X-Request-ID" not in fetch(full, path).headers


@pytest.mark.parametrize("path", ["/asked", "/later", "/hand"])
def test_an_id_that_a_handler_asked_for_is_made_once_and_sent_back(full, path):
    with running(full):
        one, two = fetch(full, path), fetch(full, path)
    assert re.fullmatch("[0-9a-f]{16}", one.headers["X-Request-ID"])
    assert one.headers["X-Request-ID"] != two.headers["X-Request-ID"]
    if path != "/hand":
        assert set(one.text.split()) == {one.headers["X-Request-ID"]}


def test_an_id_that_is_asked_for_behind_the_head_is_not_sent(full):
    with running(full):
        answer = fetch(full, "/late")
    assert "X-Request-ID" not in answer.headers
    assert re.fullmatch("[0-9a-f]{16}", answer.text)


def test_a_mounted_application_sees_the_id_and_its_own_answer_wins(full):
    with running(full):
        answer = fetch(full, "/wsgi/own", headers={"X-Request-ID": "mine"})
    assert (answer.text, answer.headers.get_all("X-Request-ID")) == ("mine", ["app"])


def test_what_is_refused_has_the_id_in_its_answer_and_in_the_log(full, caplog):
    with running(full, settings={"MAX_REQUEST_SIZE": 10}), connect(full) as sock:
        sock.sendall(
            b"POST /plain HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: big-one\r\n"
            b"Content-Length: 11\r\n\r\nhello world"
        )
        assert b"\r\nX-Request-ID: big-one\r\n" in receive_all(sock)
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert line.startswith("127.0.0.1: 413: ")
    assert line.endswith(" (request big-one)")


def test_a_form_that_is_not_ended_is_answered_with_the_id(full, caplog):
    headers = {"X-Request-ID": "form", "Content-Type": "multipart/form-data; boundary=x"}
    with running(full):
        answer = fetch(full, "/plain", "POST", b"--x\r\n", headers)
    assert (answer.status, answer.headers["X-Request-ID"]) == (400, "form")
    assert "(request form)" in caplog.text


def test_a_handler_that_failed_is_found_by_the_id_of_its_request(full, caplog):
    with running(full):
        fetch(full, "/fail?x=1", headers={"X-Request-ID": "seen-by-user"})
        fetch(full, "/fail")
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert lines == [
        "the handler of GET /fail?x=1 failed (request seen-by-user)",
        "the handler of GET /fail failed",
    ]


@pytest.mark.parametrize("given", ["from-client", None])
def test_an_upgrade_is_answered_with_the_id(server, given):
    asked = []

    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            asked.append(req.requestId())
            await self.accept()

    server.webSocket("/")(Socket)
    fields = {"X-Request-ID": given} if given else {}
    with running(server), websocket(server, **fields) as client:
        assert f"\r\nX-Request-ID: {asked[0]}".encode() in client.answer
    assert given in (None, asked[0])


def test_another_server_sends_the_id_back_too(full):
    inner = full.wsgiApp()
    app = wsgiref.validate.validator(inner)
    environ = {"PATH_INFO": "/plain", "HTTP_HOST": "localhost", "HTTP_X_REQUEST_ID": "outside"}
    environ["QUERY_STRING"] = environ["SCRIPT_NAME"] = ""
    wsgiref.util.setup_testing_defaults(environ)
    found = []
    body = app(environ, lambda status, fields, exc=None: found.append(fields) or (lambda data: 0))
    list(body)
    body.close()
    inner.close()
    assert ("X-Request-ID", "outside") in found[0]


def test_an_id_stays_with_its_request_on_a_kept_connection(full):
    with running(full), connect(full) as sock:
        asked = b"GET /plain HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
        ids = (b"one", b"one", b"", b"two")
        lines = [b"X-Request-ID: %b\r\n" % one if one else b"" for one in ids]
        last = b"GET /plain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        sock.sendall(b"".join(asked % line for line in lines) + last)
        answers = receive_all(sock)
    assert answers.count(b"HTTP/1.1 200 OK") == 5
    found = [re.findall(rb"X-Request-ID: (\w+)", one) for one in answers.split(b"HTTP/1.1 200")[1:]]
    assert found == [[b"one"], [b"one"], [], [b"two"], []]
