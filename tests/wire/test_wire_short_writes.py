"""A system that takes only some of what it is handed: the bytes of an answer stay the same."""

from __future__ import annotations

import pytest
from support import running
from wire.corpus import CASES
from wire.rawhttp import Client
from wire.site import Site

import hwebserver
from hwebserver.net.transport import Transport

#: One case of each kind of answer.
NAMES = (
    "base/get",
    "base/head",
    "base/pipeline_mixed",
    "base/raises",
    "base/empty",
    "connection/http10",
    "expect/expect100",
    "expect/twice",
    "expect/not_found",
    "framing/cl_and_te",
    "unread/not_found_cl",
    "target/options_star",
)


@pytest.fixture(params=[1, 7, 24])
def short(monkeypatch, request):
    """Have the system take a few bytes at a time, and now and then none."""
    calls = []

    def send(self, data, more=False, _send=Transport.send):
        calls.append(len(data))
        return _send(self, data[: request.param], more) if len(calls) % 3 else 0

    monkeypatch.setattr(Transport, "send", send)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in NAMES], ids=lambda case: case.name
)
def test_answers_are_whole(case):
    site = Site(case.settings)
    methods = [one.method for one in case.requests]
    with running(site.server), Client(site.server) as client:
        seen = []
        for part in case.parts:
            client.send(part)
            while len(seen) < len(case.answers):
                done = sum(status >= 200 for status in seen)
                answer = client.answer(methods[done] if done < len(methods) else "GET")
                seen.append(answer.status)
                if answer.status == 100:
                    break
        assert seen == list(case.answers)
        if case.after == "open":
            client.check_open()
        else:
            assert client.rest() == b""


@pytest.mark.usefixtures("short")
def test_answers_by_hand_are_whole(server):
    @server.urlHandler("/")
    def handler(request):
        request.sendHeaders(hwebserver.Response())
        for _ in range(3):
            request.sendBody(b"piece")

    server.urlHandler("/probe")(lambda request: "probe")
    with running(server), Client(server) as client:
        assert client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"piecepiecepiece"
        client.check_open()


@pytest.mark.usefixtures("short")
def test_files_are_whole(server, tmp_path):
    content = bytes(range(256)) * 400
    (tmp_path / "file").write_bytes(content)
    server.urlHandler("/")(lambda request: hwebserver.fileResponse(tmp_path / "file"))
    server.urlHandler("/probe")(lambda request: "probe")
    with running(server), Client(server) as client:
        assert client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == content
        client.check_open()


def test_half_a_head_that_was_sent_by_hand_is_followed_by_no_other(server, monkeypatch):
    """The client took ten bytes of the head and then nothing for too long."""
    state = {"stuck": False}

    def send(self, data, more=False, _send=Transport.send):
        if state["stuck"]:
            return 0
        state["stuck"] = True
        return _send(self, data[:10], more)

    def wait_writable(self, seconds):
        state["stuck"] = False  # the client goes on, just too late
        monkeypatch.undo()
        return False

    monkeypatch.setattr(Transport, "send", send)
    monkeypatch.setattr(Transport, "wait_writable", wait_writable)
    server.urlHandler("/")(lambda request: request.sendHeaders(hwebserver.Response("x")))
    with running(server), Client(server) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.rest() == b"HTTP/1.1 2"
