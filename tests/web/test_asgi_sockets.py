"""ASGI applications mounted in a running server: WebSockets."""

from __future__ import annotations

import base64
import os
import struct
import threading

import pytest
from support import PATIENCE, connect, fetch, receive_all, receive_until, running

import hwebserver


class Client:
    """A WebSocket client of the simplest kind, with frames of fewer than 126 bytes."""

    def __init__(self, sock, path, fields=()):
        self.sock = sock
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *fields,
        ]
        sock.sendall("\r\n".join((*lines, "", "")).encode())

    def head(self):
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += self._take(1)
        return data.decode()

    def send(self, opcode, data):
        mask = b"\1\2\3\4"
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self.sock.sendall(bytes((0x80 | opcode, 0x80 | len(data))) + mask + masked)

    def receive(self):
        first, size = self._take(2)
        return first & 15, self._take(size)

    def _take(self, count):
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            assert piece, "the connection ended"
            data += piece
        return data


def mounted(behaviour, path="/app"):
    """A server with an application that keeps what it is told."""
    server = hwebserver.Server()
    told = []
    ended = threading.Event()

    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            raise RuntimeError("it knows WebSockets alone")
        told.append(scope)
        try:
            await behaviour(receive, send)
        except BaseException as error:
            told.append(error)
            raise
        finally:
            ended.set()

    server.registerASGIApp(app, path)
    return server, told, ended


async def echo(receive, send):
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({**event, "type": "websocket.send"})


def test_an_upgrade_is_told_of_as_the_specification_says():
    server, told, _ = mounted(echo)
    with running(server), connect(server) as sock:
        client = Client(sock, "/app/a%20b?x=1", ["Sec-WebSocket-Protocol: one, two"])
        assert "101 Switching Protocols" in client.head()
    scope = told[0]
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
    assert (scope["path"], scope["root_path"]) == ("/app/a b", "/app")
    assert scope["query_string"] == b"x=1"
    assert scope["subprotocols"] == ["one", "two"]
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert "method" not in scope


def test_messages_go_both_ways():
    server, _, ended = mounted(echo)
    with running(server), connect(server) as sock:
        client = Client(sock, "/app")
        client.head()
        client.send(1, "é".encode())
        assert client.receive() == (1, "é".encode())
        client.send(2, b"\0\1")
        assert client.receive() == (2, b"\0\1")
        client.send(8, struct.pack("!H", 1000))
        assert client.receive() == (8, struct.pack("!H", 1000))
        assert ended.wait(PATIENCE)


def test_an_acceptance_names_a_subprotocol_and_fields():
    async def accept(receive, send):
        await receive()
        fields = [(b"x-one", b"1"), (b"connection", b"close")]
        await send({"type": "websocket.accept", "subprotocol": "two", "headers": fields})

    server, _, _ = mounted(accept)
    with running(server), connect(server) as sock:
        client = Client(sock, "/app", ["Sec-WebSocket-Protocol: one, two"])
        head = client.head()
        assert client.receive() == (8, struct.pack("!H", 1000))  # it has returned
    assert "Sec-WebSocket-Protocol: two\r\n" in head
    assert "x-one: 1\r\n" in head
    assert "close" not in head


def test_the_close_of_an_application_reaches_the_client():
    async def close(receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001, "reason": "so"})
        event = await receive()
        assert event == {"type": "websocket.disconnect", "code": 4001, "reason": "so"}

    server, told, ended = mounted(close)
    with running(server), connect(server) as sock:
        client = Client(sock, "/app")
        client.head()
        assert client.receive() == (8, struct.pack("!H", 4001) + b"so")
        client.send(8, struct.pack("!H", 4001))
        assert ended.wait(PATIENCE)
    assert len(told) == 1


@pytest.mark.parametrize(
    "event",
    [{"type": "websocket.send", "text": "x"}, {"type": "websocket.close", "code": 1000}],
)
def test_what_is_sent_behind_the_end_raises_oserror(event):
    async def late(receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1001
        await send(event)

    server, told, ended = mounted(late)
    with running(server), connect(server) as sock:
        client = Client(sock, "/app")
        client.head()
        client.send(8, struct.pack("!H", 1001))
        assert client.receive() == (8, struct.pack("!H", 1001))
        assert ended.wait(PATIENCE)
    assert isinstance(told[1], OSError)


def test_a_client_that_leaves_without_a_word_is_told_of():
    async def wait(receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1006
        assert (await receive())["code"] == 1006

    server, told, ended = mounted(wait)
    with running(server):
        with connect(server) as sock:
            Client(sock, "/app").head()
        assert ended.wait(PATIENCE)
    assert len(told) == 1


def test_a_close_before_the_acceptance_refuses_with_403():
    async def refuse(receive, send):
        await receive()
        await send({"type": "websocket.close"})

    server, _, _ = mounted(refuse)
    with running(server), connect(server) as sock:
        Client(sock, "/app")
        assert receive_all(sock).startswith(b"HTTP/1.1 403 ")


def test_an_application_refuses_with_a_response_of_its_own():
    async def refuse(receive, send):
        await receive()
        fields = [(b"x-why", b"so"), (b"content-length", b"5")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": fields})
        await send({"type": "websocket.http.response.body", "body": b"not", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"ok"})

    server, _, _ = mounted(refuse)
    with running(server), connect(server) as sock:
        Client(sock, "/app")
        answer = receive_all(sock)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"x-why: so\r\n" in answer
    assert answer.endswith(b"\r\n\r\nnotok")


@pytest.mark.parametrize("raises", [True, False])
def test_an_application_that_ends_before_it_accepts_is_answered_500(raises, caplog):
    async def fail(receive, send):
        if raises:
            raise KeyError("x")

    server, _, _ = mounted(fail)
    with running(server), connect(server) as sock:
        Client(sock, "/app")
        assert receive_all(sock).startswith(b"HTTP/1.1 500 ")


def test_an_application_that_raises_closes_with_1011(caplog):
    async def fail(receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        raise KeyError("x")

    server, _, _ = mounted(fail)
    with running(server), connect(server) as sock:
        client = Client(sock, "/app")
        client.head()
        assert client.receive() == (8, struct.pack("!H", 1011))


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "websocket.send", "text": "too early"}],
        [{"type": "websocket.accept"}, {"type": "websocket.send"}],
        [{"type": "websocket.accept"}, {"type": "websocket.accept"}],
        [{"type": "websocket.accept", "subprotocol": "unasked"}],
        [{"type": "websocket.http.response.body"}],
        [{"type": "websocket.accept"}, {"type": "websocket.http.response.start", "status": 200}],
        [{"type": "websocket.what"}],
    ],
)
def test_events_that_cannot_be_are_refused(events, caplog):
    async def send_all(receive, send):
        for event in events:
            await send(event)

    server, told, ended = mounted(send_all)
    with running(server), connect(server) as sock:
        Client(sock, "/app")
        assert ended.wait(PATIENCE)
    assert isinstance(told[1], (RuntimeError, ValueError, TypeError, ConnectionError))


def test_the_end_of_the_server_is_told_with_1001():
    codes = []

    async def wait(receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        codes.append((await receive())["code"])

    server, _, ended = mounted(wait)
    with running(server), connect(server) as sock:
        client = Client(sock, "/app")
        client.head()
        server.requestShutdown()
        opcode, data = client.receive()
        assert (opcode, data[:2]) == (8, struct.pack("!H", 1001))
        assert ended.wait(PATIENCE)
    assert codes == [1001]


class Refuser(hwebserver.WebSocket):
    async def connect(self, req):
        await self.accept(headers=[("X-Class", "yes")])


def test_a_class_at_the_same_path_goes_before_an_application_and_a_longer_path_before_both():
    server, told, _ = mounted(echo, "/")
    server.webSocket("/")(Refuser)
    server.webSocket("/app", is_prefix=True)(Refuser)

    with running(server):
        for path, by_class in (("/", True), ("/app/x", True), ("/else", False)):
            with connect(server) as sock:
                assert ("X-Class" in Client(sock, path).head()) == by_class, path
    assert [scope["path"] for scope in told] == ["/else"]


def test_an_upgrade_where_nothing_takes_one_is_404():
    server, told, _ = mounted(echo)
    server.registerWSGIApp(lambda environ, start: [], "/wsgi")
    with running(server):
        for path in ("/wsgi", "/apps"):
            with connect(server) as sock:
                Client(sock, path)
                assert receive_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert not told


def test_a_plain_get_gets_426_only_where_nothing_else_answers():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"app"})

    server = hwebserver.Server()
    server.webSocket("/app/socket")(Refuser)
    server.webSocket("/socket")(Refuser)
    server.registerASGIApp(app, "/app")
    with running(server):
        assert fetch(server, "/app/socket").body == b"app"
        assert fetch(server, "/socket").status == 426
