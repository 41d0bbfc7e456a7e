"""ASGI applications mounted in a running server: requests."""

from __future__ import annotations

import asyncio
import logging
import threading

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
from hwebserver.web.asgicall import INLET_SIZE


class App:
    """An application of which each test says what it does with a request."""

    def __init__(self, behaviour):
        self.behaviour = behaviour
        self.scopes = []
        self.ended = threading.Event()
        self.error = None

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("it knows no lifespan")
        self.scopes.append(scope)
        try:
            await self.behaviour(scope, receive, send)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()

    def wait(self):
        assert self.ended.wait(PATIENCE)


def mounted(behaviour, path="/"):
    server = hwebserver.Server()
    app = App(behaviour)
    server.registerASGIApp(app, path)
    return server, app


async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def body(send, data=b"", more=False):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def read(receive):
    """All of the body of a request."""
    data = b""
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return data
        data += event["body"]
        if not event["more_body"]:
            return data


async def hello(scope, receive, send):
    await start(send, 200, [(b"content-type", b"text/plain")])
    await body(send, b"hello")


async def echo(scope, receive, send):
    """Answers while the body arrives."""
    await start(send)
    more = True
    while more:
        event = await receive()
        more = event["more_body"]
        await body(send, event["body"], more)


class TestScope:
    def test_a_request_is_told_of_as_the_specification_says(self):
        server, app = mounted(hello, "/app")
        with running(server):
            fetch(server, "/app/a%20b/c?x=%31", headers={"X-One": "1"})
            port = server.port()
        scope = app.scopes[0]
        assert scope["type"] == "http"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
        assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "GET", "http")
        assert (scope["root_path"], scope["path"]) == ("/app", "/app/a b/c")
        assert (scope["raw_path"], scope["query_string"]) == (b"/app/a%20b/c", b"x=%31")
        assert (b"x-one", b"1") in scope["headers"]
        assert scope["client"][0] == "127.0.0.1"
        assert scope["server"] == ("127.0.0.1", port)
        assert scope["state"] == {}
        assert "http.response.pathsend" in scope["extensions"]

    def test_at_the_root_there_is_no_root_path(self):
        server, app = mounted(hello)
        with running(server):
            fetch(server, "/")
        assert (app.scopes[0]["root_path"], app.scopes[0]["path"]) == ("", "/")

    def test_an_application_answers_its_path_and_all_below_and_nothing_beside(self):
        server, _ = mounted(hello, "/app")
        with running(server):
            found = [fetch(server, path).status for path in ("/app", "/app/", "/app/x", "/apps")]
        assert found == [200, 200, 200, 404]

    def test_every_method_reaches_it(self):
        server, app = mounted(hello)
        with running(server):
            for method in ("DELETE", "OPTIONS", "PATCH", "BREW"):
                assert fetch(server, "/x", method).status == 200
        assert [scope["method"] for scope in app.scopes] == ["DELETE", "OPTIONS", "PATCH", "BREW"]

    def test_handlers_and_files_go_before_an_application_at_the_same_path(self, tmp_path):
        (tmp_path / "here.txt").write_text("file")
        server, _ = mounted(hello)
        server.registerStaticFilesDirectory(str(tmp_path), "/")
        server.urlHandler("/handler")(lambda request: "handler")
        with running(server):
            found = [fetch(server, path).text for path in ("/handler", "/here.txt", "/else")]
        assert found == ["handler", "file", "hello"]

    def test_a_body_reaches_an_application_behind_files(self, tmp_path):
        async def answer(scope, receive, send):
            await start(send)
            await body(send, await read(receive))

        server, _ = mounted(answer)
        server.registerStaticFilesDirectory(str(tmp_path), "/")
        with running(server):
            assert fetch(server, "/x", "POST", b"abc").body == b"abc"
            assert fetch(server, "/x", "GET", b"abc").body == b"abc"

    def test_what_cannot_be_called_is_refused(self):
        with pytest.raises(hwebserver.OperationFailed, match="can be called"):
            hwebserver.Server().registerASGIApp("app", "/")


class TestRequestBody:
    def test_a_request_without_a_body_has_an_empty_one(self):
        events = []

        async def take(scope, receive, send):
            events.append(await receive())
            await hello(scope, receive, send)
            events.append(await receive())

        server, app = mounted(take)
        with running(server):
            fetch(server)
            app.wait()
        assert events == [
            {"type": "http.request", "body": b"", "more_body": False},
            {"type": "http.disconnect"},
        ]

    def test_a_body_is_received_before_all_of_it_has_come(self):
        arrived = threading.Event()

        async def take(scope, receive, send):
            first = await receive()
            assert first == {"type": "http.request", "body": b"abc", "more_body": True}
            arrived.set()
            await start(send)
            await body(send, first["body"] + await read(receive))

        server, app = mounted(take)
        with running(server), connect(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc")
            assert arrived.wait(PATIENCE)
            sock.sendall(b"def")
            assert receive_response(sock).body == b"abcdef"
        assert app.error is None

    def test_a_chunked_body_is_decoded(self):
        async def take(scope, receive, send):
            await start(send)
            await body(send, await read(receive))

        server, _ = mounted(take)
        with running(server):
            chunks = iter([b"abc", b"def"])
            assert fetch(server, "/", "POST", chunks).body == b"abcdef"

    def test_an_answer_goes_out_while_the_body_arrives(self):
        server, _ = mounted(echo)
        with running(server), connect(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc")
            receive_until(sock, b"3\r\nabc\r\n")
            sock.sendall(b"def")
            assert receive_until(sock, b"0\r\n\r\n") == b"3\r\ndef\r\n0\r\n\r\n"
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi")
            assert receive_response(sock).body == b"hi"  # the connection is kept

    def test_a_large_body_goes_through_while_the_client_sends_all_before_it_reads(self):
        data = bytes(range(256)) * 40_000

        async def take(scope, receive, send):
            received = await read(receive)
            await start(send)
            await body(send, received)

        server, _ = mounted(take)
        with running(server):
            assert fetch(server, "/", "POST", data).body == data

    def test_a_body_goes_on_arriving_while_the_client_does_not_read_the_answer(self):
        size = 20_000_000

        async def both(scope, receive, send):
            async def take():
                more = True
                while more:
                    more = (await receive())["more_body"]

            taking = asyncio.ensure_future(take())
            await start(send)
            for _ in range(size // 100_000):
                await body(send, bytes(100_000), True)
            await taking
            await body(send)

        server, _ = mounted(both)
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
        with running(server), connect(server) as sock:
            sock.sendall(head + bytes(size))  # and nothing is read before that is done
            assert len(receive_response(sock).body) == size

    def test_an_application_that_does_not_read_stops_the_client(self):
        size = 20_000_000
        go_on = threading.Event()
        inlets = []

        async def take(scope, receive, send):
            inlets.append(receive.__self__)
            await asyncio.get_running_loop().run_in_executor(None, go_on.wait)
            count, more = 0, True
            while more:
                event = await receive()
                count += len(event["body"])
                more = event["more_body"]
            await start(send)
            await body(send, str(count).encode())

        server, _ = mounted(take, "/app")
        server.urlHandler("/")(lambda request: "hello")
        head = b"POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
        with running(server), connect(server) as sock:
            sender = threading.Thread(target=sock.sendall, args=(head + bytes(size),))
            sender.start()
            wait_until(lambda: inlets and inlets[0].full)
            for _ in range(10):  # meanwhile more would be received
                fetch(server)
            waiting = inlets[0].size
            go_on.set()
            assert receive_response(sock).body == str(size).encode()
            sender.join()
        assert waiting <= 3 * INLET_SIZE

    def test_a_client_that_waits_to_be_invited_is_when_the_application_asks(self):
        asked = threading.Event()

        async def take(scope, receive, send):
            await asyncio.get_running_loop().run_in_executor(None, asked.wait)
            await start(send)
            await body(send, await read(receive))

        server, _ = mounted(take)
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue"
        with running(server), connect(server) as sock:
            sock.sendall(head + b"\r\n\r\n")
            asked.set()
            assert receive_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"hi")
            assert receive_response(sock).body == b"hi"

    def test_a_client_that_waits_is_answered_uninvited_when_nothing_is_asked_for(self):
        server, _ = mounted(hello)
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue"
        with running(server), connect(server) as sock:
            sock.sendall(head + b"\r\n\r\n")
            answer = receive_all(sock)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in answer

    def test_an_unread_body_is_dropped_and_the_connection_kept(self):
        server, _ = mounted(hello)
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
        with running(server), connect(server) as sock:
            sock.sendall(head + b"ab")
            assert receive_response(sock).body == b"hello"
            sock.sendall(b"cde" + head + b"abcde")
            assert receive_response(sock).body == b"hello"

    def test_an_unread_large_body_ends_the_connection(self):
        server, _ = mounted(hello)
        with running(server), connect(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\nab")
            answer = receive_all(sock)
        assert b"Connection: close" in answer
        assert answer.endswith(b"hello")

    def test_a_broken_body_is_refused_and_ends_the_call(self):
        has_begun = threading.Event()

        async def take(scope, receive, send):
            assert (await receive())["body"] == b"ab"
            has_begun.set()
            assert await receive() == {"type": "http.disconnect"}

        server, app = mounted(take)
        with running(server), connect(server) as sock:
            sock.sendall(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            sock.sendall(b"2\r\nab\r\n")
            assert has_begun.wait(PATIENCE)
            sock.sendall(b"zz\r\n")
            assert receive_all(sock).startswith(b"HTTP/1.1 400 ")
            app.wait()
        assert app.error is None

    def test_a_body_that_is_too_large_is_refused(self):
        server, app = mounted(hello)
        with running(server, max_request_size=10):
            assert fetch(server, "/", "POST", bytes(11)).status == 413
        assert not app.scopes

    def test_a_body_that_stalls_is_refused(self):
        async def take(scope, receive, send):
            await read(receive)

        server, app = mounted(take)
        server.setSettingsForPort({"BODY_TIMEOUT": 0.05})
        with running(server), connect(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab")
            assert receive_all(sock).startswith(b"HTTP/1.1 408 ")
            app.wait()


class TestResponse:
    def test_a_body_in_one_event_has_a_length(self):
        server, _ = mounted(hello)
        with running(server):
            answer = fetch(server)
        assert answer.headers["content-length"] == "5"
        assert answer.headers["content-type"] == "text/plain"
        assert answer.body == b"hello"

    def test_a_body_in_several_goes_in_chunks(self):
        async def stream(scope, receive, send):
            await start(send)
            for piece in (b"a", b"", b"b"):
                await body(send, piece, True)
            await body(send)

        server, _ = mounted(stream)
        with running(server):
            answer = fetch(server)
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == b"ab"

    def test_the_length_that_an_application_tells_is_sent(self):
        async def stream(scope, receive, send):
            await start(send, 200, [(b"content-length", b"2")])
            await body(send, b"a", True)
            await body(send, b"b")

        server, _ = mounted(stream)
        with running(server):
            answer = fetch(server)
        assert answer.headers["content-length"] == "2"
        assert answer.body == b"ab"

    def test_the_head_goes_out_before_there_is_a_piece(self):
        go_on = threading.Event()

        async def stream(scope, receive, send):
            await start(send)
            await body(send, b"", True)
            await asyncio.get_running_loop().run_in_executor(None, go_on.wait)
            await body(send, b"end")

        server, _ = mounted(stream)
        with running(server), connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            receive_until(sock, b"\r\n\r\n")
            go_on.set()
            receive_until(sock, b"3\r\nend\r\n0\r\n\r\n")

    def test_a_client_that_does_not_read_stops_the_application(self):
        sent = []

        async def stream(scope, receive, send):
            await start(send)
            try:
                for _ in range(1000):
                    await body(send, bytes(100_000), True)
                    sent.append(1)
            finally:
                await body(send)

        server, app = mounted(stream)
        server.setSettingsForPort({"SEND_TIMEOUT": 0.2})
        with running(server), connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            app.wait()
        assert isinstance(app.error, OSError)
        assert len(sent) < 300

    def test_fields_of_the_connection_are_not_the_applications(self):
        async def answer(scope, receive, send):
            fields = [(b"transfer-encoding", b"chunked"), (b"keep-alive", b"1"), (b"x", b"y")]
            await start(send, 200, fields)
            await body(send, b"hello")

        server, _ = mounted(answer)
        with running(server):
            headers = fetch(server).headers
        assert "transfer-encoding" not in headers
        assert "keep-alive" not in headers
        assert headers["x"] == "y"

    def test_a_repeated_field_stays_repeated(self):
        async def answer(scope, receive, send):
            await start(send, 200, [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])
            await body(send)

        server, _ = mounted(answer)
        with running(server):
            assert fetch(server).headers.get_all("set-cookie") == ["a=1", "b=2"]

    def test_the_wish_to_close_is_heard(self):
        async def answer(scope, receive, send):
            await start(send, 200, [(b"connection", b"close")])
            await body(send, b"hello")

        server, _ = mounted(answer)
        with running(server), connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert receive_all(sock).endswith(b"hello")

    @pytest.mark.parametrize("more", [False, True])
    @pytest.mark.parametrize("length", [True, False])
    def test_head_gets_no_body_and_the_application_does_not_notice(self, length, more):
        async def answer(scope, receive, send):
            await start(send, 200, [(b"content-length", b"3")] if length else [])
            await body(send, b"abc", more)
            if more:
                await body(send)

        server, app = mounted(answer)
        with running(server), connect(server) as sock:
            for _ in range(2):  # the connection is kept
                sock.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                received = receive_response(sock, "HEAD")
                expected = "3" if length or not more else None
                assert received.headers["content-length"] == expected
            app.wait()
        assert app.error is None

    @pytest.mark.parametrize("status", [204, 304])
    def test_a_status_without_a_body_has_none(self, status):
        async def answer(scope, receive, send):
            await start(send, status)
            await body(send, b"abc")

        server, app = mounted(answer)
        with running(server), connect(server) as sock:
            for _ in range(2):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert receive_response(sock).status == status
        assert app.error is None

    def test_a_file_is_sent_by_its_path(self, tmp_path):
        path = tmp_path / "file.bin"
        path.write_bytes(bytes(200_000))

        async def answer(scope, receive, send):
            await start(send, 200, [(b"content-type", b"a/b"), (b"etag", b'"x"')])
            await send({"type": "http.response.pathsend", "path": str(path)})

        server, app = mounted(answer)
        with running(server):
            answer = fetch(server, headers={"Range": "bytes=0-1"})
            assert fetch(server, "/", "HEAD").headers["content-length"] == "200000"
        assert (answer.status, answer.headers["content-type"]) == (200, "a/b")
        assert answer.headers.get_all("etag") == ['"x"']
        assert answer.body == bytes(200_000)
        assert app.error is None

    def test_a_file_that_is_not_there_is_the_servers_failure(self, tmp_path, caplog):
        async def answer(scope, receive, send):
            await start(send)
            await send({"type": "http.response.pathsend", "path": str(tmp_path / "none")})

        server, _ = mounted(answer)
        with running(server):
            assert fetch(server).status == 500

    def test_an_application_may_go_on_behind_its_response(self):
        go_on, ended = threading.Event(), []

        async def answer(scope, receive, send):
            await hello(scope, receive, send)
            await asyncio.get_running_loop().run_in_executor(None, go_on.wait)
            ended.append(1)

        server, _ = mounted(answer)
        with running(server):
            assert fetch(server).body == b"hello"
            server.requestShutdown()
            assert server.isRunning()
            go_on.set()
        assert ended == [1]  # the server has waited for it

    def test_one_that_outlasts_the_shutdown_is_cancelled(self):
        async def answer(scope, receive, send):
            await hello(scope, receive, send)
            await asyncio.Event().wait()

        server, app = mounted(answer)
        server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.05})
        with running(server):
            fetch(server)
        assert isinstance(app.error, asyncio.CancelledError)


class TestFailures:
    def test_an_application_that_raises_is_answered_500(self, caplog):
        async def fail(scope, receive, send):
            raise KeyError("secret")

        server, _ = mounted(fail)
        with running(server):
            answer = fetch(server)
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert "secret" in caplog.text

    def test_in_debug_mode_the_traceback_is_shown(self, caplog):
        async def fail(scope, receive, send):
            await start(send)
            raise KeyError("secret")

        server, _ = mounted(fail)
        with running(server, debug=True, reload_source_changes=False):
            assert b"secret" in fetch(server).body

    def test_one_that_returns_without_an_answer_is_answered_500(self, caplog):
        async def nothing(scope, receive, send):
            return

        server, _ = mounted(nothing)
        with running(server):
            assert fetch(server).status == 500
        assert "returned before its response was complete" in caplog.text

    @pytest.mark.parametrize("ends", ["raises", "returns"])
    def test_a_response_that_has_begun_is_cut(self, ends, caplog):
        async def fail(scope, receive, send):
            await start(send)
            await body(send, b"abc", True)
            if ends == "raises":
                raise KeyError("late")

        server, _ = mounted(fail)
        with running(server), connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = receive_all(sock)
        assert answer.endswith(b"3\r\nabc\r\n")  # and no end
        assert "failed" in caplog.text

    @pytest.mark.parametrize(
        "events",
        [
            [{"type": "http.response.body", "body": b""}],
            [{"type": "http.response.start", "status": 200}] * 2,
            [{"type": "http.response.start", "status": 99}],
            [{"type": "http.response.start", "status": 200, "headers": [(b"a b", b"")]}],
            [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"\r\nb: c")]}],
            [{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}],
            [
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"x")],
                }
            ],
            [
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"2")],
                },
                {"type": "http.response.body", "body": b"abc"},
            ],
            [
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"2")],
                },
                {"type": "http.response.body", "body": b"a"},
            ],
            [{"type": "http.response.what"}],
        ],
    )
    def test_events_that_cannot_be_are_refused(self, events, caplog):
        async def answer(scope, receive, send):
            for event in events:
                await send(event)

        server, app = mounted(answer)
        with running(server):
            assert fetch(server).status == 500
        assert isinstance(app.error, (RuntimeError, ValueError, TypeError))

    def test_what_is_sent_behind_the_end_is_refused(self, caplog):
        async def answer(scope, receive, send):
            await hello(scope, receive, send)
            await body(send, b"more")

        server, app = mounted(answer)
        with running(server):
            assert fetch(server).body == b"hello"
            app.wait()
        assert isinstance(app.error, RuntimeError)
        assert "failed behind its response" in caplog.text

    def test_one_that_tries_to_end_the_process_ends_its_request(self, caplog):
        async def leave(scope, receive, send):
            raise SystemExit(3)

        server, _ = mounted(leave)
        with running(server):
            assert fetch(server).status == 500
            assert fetch(server).status == 500


class TestDisconnect:
    def test_a_client_that_leaves_before_the_answer_is_told_of(self, caplog):
        waits = threading.Event()
        events = []

        async def answer(scope, receive, send):
            await receive()
            waits.set()
            events.append(await receive())
            events.append(await receive())
            await start(send)

        server, app = mounted(answer)
        with running(server):
            with connect(server) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert waits.wait(PATIENCE)
            app.wait()
        assert events == [{"type": "http.disconnect"}] * 2
        assert isinstance(app.error, OSError)
        assert not [one for one in caplog.records if one.levelno >= logging.ERROR]

    def test_a_client_that_leaves_in_the_middle_is_told_of(self, caplog):
        async def stream(scope, receive, send):
            await receive()
            await start(send)
            await body(send, b"abc", True)
            assert await receive() == {"type": "http.disconnect"}
            await body(send, b"def", True)

        server, app = mounted(stream)
        with running(server):
            with connect(server) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                receive_until(sock, b"abc")
            app.wait()
        assert isinstance(app.error, OSError)
        assert not [one for one in caplog.records if one.levelno >= logging.ERROR]

    def test_a_client_that_leaves_in_its_body_is_told_of(self):
        has_begun = threading.Event()

        async def take(scope, receive, send):
            assert (await receive())["body"] == b"ab"
            has_begun.set()
            assert await receive() == {"type": "http.disconnect"}

        server, app = mounted(take)
        with running(server):
            with connect(server) as sock:
                sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab")
                assert has_begun.wait(PATIENCE)
            app.wait()
        assert app.error is None

    def test_polling_for_the_disconnect_leaves_nothing_behind(self):
        async def answer(scope, receive, send):
            await receive()
            for _ in range(100):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(receive(), 0.0001)
            assert receive.__self__.gate._waiters == []
            task = asyncio.ensure_future(receive())
            await hello(scope, receive, send)
            assert await task == {"type": "http.disconnect"}

        server, app = mounted(answer)
        with running(server):
            fetch(server)
            app.wait()
        assert app.error is None

    def test_an_endless_stream_ends_with_the_server(self):
        async def stream(scope, receive, send):
            await start(send)
            await body(send, b"abc", True)
            await receive()
            assert await receive() == {"type": "http.disconnect"}

        server, app = mounted(stream)
        with running(server), connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            receive_until(sock, b"abc")
            server.requestShutdown()
            assert receive_all(sock) == b""  # and not the chunk that would be its end
            app.wait()
        assert app.error is None
