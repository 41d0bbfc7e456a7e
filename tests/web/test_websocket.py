"""The class WebSocket: both generations of its methods, on the loop and on workers."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from support import PATIENCE, connect, fetch, receive_response, running, wait_until
from wsclient import BINARY, CLOSE, TEXT, Frame, close, frame, head, text, websocket

import hwebserver
from hwebserver import OperationFailed, WebSocket


def exchange(server, *messages, path="/", **fields):
    """Send messages and return as many answers."""
    with running(server), websocket(server, path, **fields) as client:
        client.send(*messages)
        return [client.message() for _ in messages]


def upgrade(server, path="/", **fields):
    """Ask for an upgrade that is refused, and return the answer."""
    with running(server), connect(server) as sock:
        sock.sendall(head(path, **fields))
        return receive_response(sock)


def logged(caplog, name="hwebserver.app"):
    return [one for one in caplog.records if one.name == name and one.levelno >= logging.WARNING]


# --- the methods ---


class New(WebSocket):
    async def connect(self, req):
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(repr((text_data, bytes_data)))


class NewPlain(WebSocket):
    def connect(self, req):
        self.accept()

    def receive(self, text_data=None, bytes_data=None):
        self.send(repr((text_data, bytes_data)))


class Old(WebSocket):
    async def connect(self):
        await self.accept()

    async def receive(self, message):
        await self.send(message)


class OldPlain(WebSocket):
    def connect(self):
        self.accept()

    def receive(self, message):
        self.send(message)


class Mixed(WebSocket):
    def connect(self):
        self.accept()

    async def receive(self, message):
        await self.send(message)


class Keywords(WebSocket):
    async def receive(self, **given):
        await self.send(repr((given.get("text_data"), given.get("bytes_data"))))


@pytest.mark.parametrize("made", [New, NewPlain, Keywords])
def test_receive_takes_text_and_bytes_apart(server, made):
    server.webSocket("/")(made)
    assert exchange(server, text("a"), frame(BINARY, b"b")) == ["('a', None)", "(None, b'b')"]


@pytest.mark.parametrize("made", [Old, OldPlain, Mixed])
def test_the_older_methods_take_the_message_and_no_request(server, made):
    server.webSocket("/")(made)
    assert exchange(server, text("a"), frame(BINARY, b"b")) == ["a", b"b"]


def test_a_class_without_methods_accepts_and_listens(server):
    server.webSocket("/")(type("Silent", (WebSocket,), {}))
    with running(server), websocket(server) as client:
        client.send(text("a"), close())
        assert client.ended() == Frame(CLOSE, b"\x03\xe8")


def test_plain_methods_run_on_a_worker_and_coroutines_on_the_loop(server):
    names = {}

    @server.webSocket("/")
    class Socket(WebSocket):
        def connect(self, req):
            names["connect"] = threading.current_thread().name
            self.accept()

        async def receive(self, message):
            names["receive"] = threading.current_thread().name
            await self.send(message)

        def disconnect(self, code):
            names["disconnect"] = threading.current_thread().name

    exchange(server, text("a"))
    assert len(names) == 3
    assert names["receive"].endswith("-asyncio")
    assert not any(names[name].endswith("-asyncio") for name in ("connect", "disconnect"))


@pytest.mark.parametrize("plain", [False, True])
def test_messages_come_one_at_a_time_and_in_order(server, plain):
    seen, inside = [], []

    class Plain(WebSocket):
        def receive(self, message):
            inside.append(1)
            threading.Event().wait(0.001)
            seen.append((message, len(inside)))
            inside.pop()

    class Coroutine(WebSocket):
        async def receive(self, message):
            inside.append(1)
            await asyncio.sleep(0.001)
            seen.append((message, len(inside)))
            inside.pop()

    server.webSocket("/")(Plain if plain else Coroutine)
    with running(server), websocket(server) as client:
        client.send(*[text(str(number)) for number in range(100)])
        wait_until(lambda: len(seen) == 100)
    assert seen == [(str(number), 1) for number in range(100)]


def test_a_plain_method_that_takes_long_delays_no_other_socket(server):
    go_on = threading.Event()

    @server.webSocket("/slow")
    class Slow(WebSocket):
        def receive(self, message):
            go_on.wait(PATIENCE)
            self.send(message)

    server.webSocket("/")(Old)
    server.urlHandler("/page")(lambda request: "page")
    with running(server), websocket(server, "/slow") as slow, websocket(server) as quick:
        slow.send(text("slow"))
        quick.send(text("quick"))
        assert quick.message() == "quick"
        assert fetch(server, "/page").text == "page"
        go_on.set()
        assert slow.message() == "slow"


def test_what_plain_methods_send_at_length_waits_for_the_client_between_messages(server):
    server.webSocket("/")(OldPlain)
    settings = {"MAX_WEBSOCKET_QUEUE_SIZE": 65536}
    with running(server, settings=settings), websocket(server) as client:
        sender = threading.Thread(target=client.send, args=[frame(BINARY, bytes(1 << 20))] * 12)
        sender.start()
        wait_until(lambda: server.webSockets("/"))
        channel = server.webSockets("/")[0]._channel
        wait_until(lambda: not channel._reading)  # No more is read until something is taken.
        assert channel.open
        for _ in range(12):
            assert client.message() == bytes(1 << 20)
        sender.join()


def test_decorated_coroutines_are_awaited(server):
    def decorated(function):
        def wrapper(*arguments, **named):
            return function(*arguments, **named)

        return wrapper

    class Socket(WebSocket):
        @decorated
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data)

    server.webSocket("/")(Socket)
    assert exchange(server, text("a")) == ["a"]


@pytest.mark.parametrize(
    ("data", "is_binary", "sent"),
    [
        ("gr\u00fcn", None, Frame(TEXT, "gr\u00fcn".encode())),
        ("gr\u00fcn", False, Frame(TEXT, "gr\u00fcn".encode())),
        ("gr\u00fcn", True, Frame(BINARY, "gr\u00fcn".encode())),
        (b"\xff", None, Frame(BINARY, b"\xff")),
        (bytearray(b"ab"), None, Frame(BINARY, b"ab")),
        (memoryview(b"ab"), None, Frame(BINARY, b"ab")),
        (b"ab", True, Frame(BINARY, b"ab")),
        (b"ab", False, Frame(TEXT, b"ab")),
        ("", None, Frame(TEXT, b"")),
    ],
)
def test_data_is_sent_by_its_type_or_as_was_asked(server, data, is_binary, sent):
    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            await self.accept()
            await self.send(None)  # is no message
            await self.send(data, is_binary)

    with running(server), websocket(server) as client:
        assert client.receive() == sent


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1,), TypeError),
        (({},), TypeError),
        (("\ud800",), ValueError),
        ((b"\xff", False), ValueError),
    ],
)
def test_what_is_no_message_is_refused_and_nothing_is_sent(server, arguments, error):
    errors = []

    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            await self.accept()
            try:
                await self.send(*arguments)
            except error as raised:
                errors.append(raised)
            await self.send("behind")

    with running(server), websocket(server) as client:
        assert client.message() == "behind"
    assert len(errors) == 1


# --- the upgrade ---


def test_connect_sees_the_request(server):
    seen = {}

    @server.webSocket("/room/{name}")
    class Socket(WebSocket):
        async def connect(self, req):
            seen.update(
                path=req.path(), name=req.pathParameters()["name"], query=req.GET(),
                cookies=req.cookies(), protocols=req.headers()["sec-websocket-protocol"],
                address=req.clientAddress()[0], method=req.method(),
            )  # fmt: skip
            await self.accept()

    fields = {"Cookie": "a=b", "Sec_WebSocket_Protocol": "x"}
    with running(server), websocket(server, "/room/a%20b?q=1", **fields):
        pass
    assert seen == {
        "path": "/room/a b", "name": "a b", "query": {"q": "1"}, "cookies": {"a": "b"},
        "protocols": "x", "address": "127.0.0.1", "method": "GET",
    }  # fmt: skip


def test_accept_names_a_subprotocol_and_adds_fields(server):
    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            await self.accept("chat.2", headers=[("Set-Cookie", "a=b"), ("X-Own", "1")])

    with running(server), websocket(server, Sec_WebSocket_Protocol="chat.1, chat.2") as client:
        lines = client.answer.decode().split("\r\n")
    assert {"Sec-WebSocket-Protocol: chat.2", "Set-Cookie: a=b", "X-Own: 1"} <= set(lines)


@pytest.mark.parametrize(
    ("subprotocol", "headers"),
    [
        ("other", ()),
        (None, [("X", "a\r\nb")]),
        (None, [("Sec-WebSocket-Accept", "x")]),
        (None, [("Content-Length", "1")]),
    ],
)
def test_what_cannot_be_accepted_is_a_500_and_logged_as_what_it_is(
    server, subprotocol, headers, caplog
):
    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            await self.accept(subprotocol, headers)

    assert upgrade(server, Sec_WebSocket_Protocol="chat").status == 500
    (record,) = logged(caplog)
    assert record.exc_info[0] is ValueError
    assert "GET /" in record.getMessage()


@pytest.mark.parametrize("plain", [False, True])
def test_close_before_accept_is_a_403(server, plain):
    events = []

    class Coroutine(WebSocket):
        async def connect(self, req):
            await self.close()
            await self.close(4000, "again")

        async def disconnect(self, code):
            events.append(code)

    class Plain(WebSocket):
        def connect(self):
            self.close()

    server.webSocket("/")(Plain if plain else Coroutine)
    answer = upgrade(server)
    assert (answer.status, answer.headers["Connection"]) == (403, "close")
    assert events == []


def test_a_connect_that_does_neither_refuses(server):
    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            pass

    assert upgrade(server).status == 403


def test_a_refusal_is_json_for_who_wants_that(server):
    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            await self.close()

    answer = upgrade(server, Accept="application/json")
    assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("error", [RuntimeError("broken"), ConnectionResetError("another's")])
@pytest.mark.parametrize("plain", [False, True])
def test_an_error_in_connect_is_a_500_with_its_own_traceback(server, error, plain, caplog):
    class Coroutine(WebSocket):
        async def connect(self, req):
            raise error

    class Plain(WebSocket):
        def connect(self, req):
            raise error

    server.webSocket("/")(Plain if plain else Coroutine)
    assert upgrade(server).status == 500
    assert [one.exc_info[1] for one in logged(caplog)] == [error]


def test_an_http_error_in_connect_is_its_status(server):
    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            raise hwebserver.HTTPError(401, "Who are you?")

    answer = upgrade(server)
    assert (answer.status, "Who are you?" in answer.text) == (401, True)


def test_an_upgrade_finds_its_class_as_a_request_its_handler(server):
    def named(name):
        class Socket(WebSocket):
            async def connect(self, req):
                await self.accept()
                await self.send(name)

        return Socket

    server.webSocket("/a")(named("exact"))
    server.webSocket("/a", is_prefix=True)(named("prefix"))
    server.webSocket("/a/{b}")(named("template"))
    server.insertWebSocketForPort(named("inserted"), "/inserted")
    server.urlHandler("/a")(lambda request: "page")
    with running(server):
        for path, name in [
            ("/a", "exact"), ("/a/", "exact"), ("/a/b", "template"), ("/a/b/c", "prefix"),
            ("/inserted", "inserted"),
        ]:  # fmt: skip
            with websocket(server, path) as client:
                assert client.message() == name
        assert fetch(server, "/a").text == "page"


def test_a_plain_request_to_a_websocket_is_told_to_upgrade_when_nothing_else_matches(server):
    server.webSocket("/")(Old)
    server.webSocket("/both")(Old)
    server.urlHandler("/both")(lambda request: "page")
    server.urlHandler("/page")(lambda request: "page")
    with running(server):
        answer = fetch(server, "/")
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
        assert fetch(server, "/both").status == 200
        with connect(server) as sock:
            sock.sendall(head("/page"))
            assert receive_response(sock).status == 404


def test_a_class_belongs_to_its_ports(server):
    server.webSocket("/", ports=["other"])(Old)
    with running(server, ports=[("other", 0)]) as server, connect(server) as sock:
        sock.sendall(head())
        assert receive_response(sock).status == 404
        with connect(server, "other") as other:
            other.sendall(head())
            assert other.recv(12) == b"HTTP/1.1 101"


def test_a_second_registration_replaces_the_first_even_while_the_server_runs(server):
    server.webSocket("/")(Old)
    with running(server), websocket(server) as first:
        server.webSocket("/")(New)
        with websocket(server) as second:
            for client in (first, second):
                client.send(text("a"))
            assert (first.message(), second.message()) == ("a", "('a', None)")


def test_what_is_no_class_of_websockets_is_refused_at_once(server):
    for wrong in (object, WebSocket(), lambda: None):
        with pytest.raises(OperationFailed):
            server.webSocket("/")(wrong)

    class Connect(WebSocket):
        async def connect(self, one, two):
            pass

    class Receive(WebSocket):
        async def receive(self):
            pass

    for made in (Connect, Receive):
        with pytest.raises(OperationFailed, match=made.__name__):
            server.webSocket("/")(made)
    with pytest.raises(OperationFailed, match="made by the server"):
        WebSocket().send("a")


# --- the end of a session ---


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    "error", [RuntimeError, SystemExit, ConnectionResetError, KeyboardInterrupt]
)
def test_an_error_in_receive_closes_with_1011_and_ends_nobody_else(server, plain, error, caplog):
    codes = []

    class Coroutine(WebSocket):
        async def receive(self, message):
            raise error("broken")

        async def disconnect(self, code):
            codes.append(code)

    class Plain(WebSocket):
        def receive(self, message):
            raise error("broken")

        def disconnect(self, code):
            codes.append(code)

    server.webSocket("/")(Plain if plain else Coroutine)
    server.webSocket("/other")(Old)
    with running(server), websocket(server, "/other") as other:
        with websocket(server) as client:
            client.send(text("a"))
            assert client.receive().code == 1011
            client.send(close(1011))
            assert client.receive() is None
        other.send(text("fine"))
        assert other.message() == "fine"
        wait_until(lambda: codes)
    assert codes == [1011]
    assert [one.exc_info[0] for one in logged(caplog)] == [error]


def test_an_error_in_disconnect_is_logged(server, caplog):
    @server.webSocket("/")
    class Socket(WebSocket):
        async def disconnect(self, code):
            raise RuntimeError("broken")

    with running(server), websocket(server) as client:
        client.send(close(1000))
        client.ended()
    assert "broken" in caplog.text


def test_a_constructor_that_fails_is_a_500(server, caplog):
    @server.webSocket("/")
    class Socket(WebSocket):
        def __init__(self):
            raise RuntimeError("broken")

    assert upgrade(server).status == 500
    assert "broken" in caplog.text


@pytest.mark.parametrize("plain", [False, True])
def test_close_sends_its_code_and_disconnect_hears_it(server, plain):
    codes = []

    class Coroutine(WebSocket):
        async def receive(self, message):
            await self.close(4002, "gr\u00fcn" + "x" * 200)
            await self.close(4003)

        async def disconnect(self, code):
            codes.append(code)

    class Plain(WebSocket):
        def receive(self, message):
            self.close(4002, "gr\u00fcn" + "x" * 200)

        def disconnect(self, code):
            codes.append(code)

    server.webSocket("/")(Plain if plain else Coroutine)
    with running(server), websocket(server) as client:
        client.send(text("a"))
        got = client.receive()
        assert got.code == 4002
        assert got.payload[2:].decode() == "gr\u00fcn" + "x" * 118
        client.send(close(4002))
        assert client.receive() is None
        wait_until(lambda: codes)
    assert codes == [4002]


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 5000, "1000"])
def test_a_code_that_no_close_frame_can_carry_is_refused(server, code):
    errors = []

    @server.webSocket("/")
    class Socket(WebSocket):
        async def receive(self, message):
            try:
                await self.close(code)
            except (ValueError, TypeError) as error:
                errors.append(error)
            await self.send("open")

    assert exchange(server, text("a")) == ["open"]
    assert len(errors) == 1


def test_sending_to_a_client_that_has_left_raises_and_is_no_fault(server, caplog):
    go_on, ended = threading.Event(), threading.Event()

    @server.webSocket("/")
    class Socket(WebSocket):
        def receive(self, message):
            go_on.wait(PATIENCE)
            self.send("into nothing")

        def disconnect(self, code):
            ended.set()

    with running(server):
        with websocket(server) as client:
            client.send(text("a"), close(1000))
        go_on.set()
        assert ended.wait(PATIENCE)
    assert logged(caplog) == []


def test_answers_to_what_came_before_a_close_frame_go_out(server):
    server.webSocket("/")(OldPlain)
    with running(server), websocket(server) as client:
        client.send(*[text(str(number)) for number in range(10)], close(1000))
        assert [client.message() for _ in range(10)] == [str(number) for number in range(10)]
        assert client.ended().code == 1000


# --- from elsewhere ---


def test_open_sockets_are_known_by_their_path_from_accept_to_the_end(server):
    went_on = threading.Event()

    @server.webSocket("/room", is_prefix=True)
    class Socket(WebSocket):  # noqa: PLW1641
        async def connect(self, req):
            assert server.webSockets(req.path()) == []
            await self.accept()
            assert self in server.webSockets(req.path())
            await asyncio.get_running_loop().run_in_executor(None, went_on.wait, PATIENCE)

        def __eq__(self, other):  # and no __hash__
            return True

    with running(server):
        with websocket(server, "/room/1"), websocket(server, "/room/2/"):
            wait_until(lambda: len(server.webSockets("/room/1")) == 1)
            wait_until(lambda: len(server.webSockets("/room/2")) == 1)
            assert server.webSockets("/room") == []
            went_on.set()
        wait_until(lambda: not server.webSockets("/room/1") and not server.webSockets("/room/2"))


def test_any_thread_sends_and_closes(server):
    server.webSocket("/")(Old)
    with running(server), websocket(server) as client:
        wait_until(lambda: server.webSockets("/"))
        (socket,) = server.webSockets("/")
        socket.send("from a thread")
        socket.send(b"again", False)
        assert (client.message(), client.message()) == ("from a thread", "again")
        with pytest.raises(ValueError, match="999"):
            socket.close(999)
        socket.close(4000)
        assert client.receive().code == 4000
        with pytest.raises(ConnectionError):
            socket.send("too late")


def test_a_coroutine_of_another_socket_sends_with_await(server):
    @server.webSocket("/chat")
    class Chat(WebSocket):
        async def receive(self, message):
            for socket in server.webSockets("/chat"):
                await socket.send(message)

    with running(server), websocket(server, "/chat") as one, websocket(server, "/chat") as two:
        wait_until(lambda: len(server.webSockets("/chat")) == 2)
        one.send(text("hello"))
        assert (one.message(), two.message()) == ("hello", "hello")


def test_broadcast_says_to_how_many_and_refuses_what_is_no_message(server):
    server.webSocket("/")(Old)
    assert server.broadcast("/", "nobody") == 0
    with running(server), websocket(server) as one, websocket(server) as two:
        wait_until(lambda: len(server.webSockets("/")) == 2)
        assert server.broadcast("/", "all") == 2
        assert server.broadcast("/other", "nobody") == 0
        assert (one.message(), two.message()) == ("all", "all")
        for wrong, error in ((1, TypeError), (None, TypeError), ("\ud800", UnicodeEncodeError)):
            with pytest.raises(error):
                server.broadcast("/", wrong)


def test_broadcasts_of_many_threads_come_in_the_order_of_each(server):
    server.webSocket("/")(Old)

    def shout(name):
        for number in range(50):
            server.broadcast("/", f"{name} {number}")

    with running(server), websocket(server) as client:
        wait_until(lambda: server.webSockets("/"))
        threads = [threading.Thread(target=shout, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        messages = [client.message() for _ in range(150)]
        for thread in threads:
            thread.join()
    for name in "abc":
        assert [one for one in messages if one[0] == name] == [f"{name} {n}" for n in range(50)]


def test_the_module_has_the_functions_and_the_old_name():
    assert hwebserver.PyWebSocket is WebSocket
    for name in ("webSocket", "webSockets", "broadcast", "insertWebSocketForPort"):
        assert getattr(hwebserver, name).__self__ is hwebserver.urlHandler.__self__


def test_the_log_has_a_line_when_a_socket_has_ended(server, caplog):
    server.webSocket("/")(Old)
    with caplog.at_level(logging.INFO, "hwebserver.access"):
        exchange(server, text("a"), path="/?q=1")
    (record,) = [one for one in caplog.records if one.name == "hwebserver.access"]
    assert '"GET /?q=1 HTTP/1.1" 101 ' in record.getMessage()
