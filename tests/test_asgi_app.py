"""What is registered, as an application in other ASGI servers: it answers as from ``run``."""

from __future__ import annotations

import logging
import threading

import pytest
import same_answers
from asgi_driver import Driver, answer_of, http_scope
from same_answers import FURTHER, HOST, REQUESTS, Ask
from support import PATIENCE, running

import hwebserver
from hwebserver.protocol.http1 import Limits
from hwebserver.web.asgi_scope import connection_info, read_head

# --- the same requests, the same answers ---


def ask(driver: Driver, asked: Ask):
    """Make a request without a socket, as http.client would make it with one."""
    headers = {"Host": HOST, "Accept-Encoding": "identity", **asked.headers}
    pieces = [asked.body or b""] if isinstance(asked.body, (bytes, type(None))) else asked.body
    if not isinstance(asked.body, (bytes, type(None))):
        headers["Transfer-Encoding"] = "chunked"
    elif asked.body is not None:
        headers["Content-Length"] = str(len(asked.body))
    pieces = [
        piece[start : start + 65536] for piece in pieces for start in range(0, len(piece), 65536)
    ]
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    events.append({"type": "http.request"})  # with the defaults of both
    call = driver.begin(http_scope(asked.path, asked.method, headers), *events)
    call.end()
    return answer_of(call.sent)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder that the program serves."""
    folder = tmp_path_factory.mktemp("same")
    same_answers.make_files(folder)
    return folder


@pytest.fixture
def places(files):
    """Where ``run`` serves, and where ASGI does."""
    app = same_answers.build(files).asgiApp()
    with running(same_answers.build(files)) as server, Driver(app) as driver:
        yield ("127.0.0.1", server.port()), driver


@pytest.mark.parametrize("asked", [*REQUESTS, *FURTHER], ids=str)
def test_another_server_gives_the_same_answer(places, asked):
    ours, driver = places
    same_answers.compare(same_answers.ask(ours, asked), ask(driver, asked))


# --- called by hand ---


@pytest.fixture
def server():
    return hwebserver.Server()


def get(driver, path="/", method="GET", body=b"", **more):
    headers = {"Host": "localhost", **({"Content-Length": str(len(body))} if body else {})}
    event = {"type": "http.request", "body": body}
    return driver.begin(http_scope(path, method, headers, **more), event)


class TestRequests:
    def test_what_is_registered_later_is_answered_too(self, server):
        with Driver(server.asgiApp()) as driver:
            server.urlHandler("/late")(lambda request: "late")
            call = get(driver, "/late")
            call.end()
        assert answer_of(call.sent).text == "late"

    def test_coroutines_run_on_the_loop_that_calls_and_functions_on_a_thread(self, server):
        threads = {}

        @server.urlHandler("/async")
        async def coroutine(request):
            threads["async"] = threading.current_thread()

        @server.urlHandler("/plain")
        def plain(request):
            threads["plain"] = threading.current_thread()

        with Driver(server.asgiApp()) as driver:
            for path in ("/async", "/plain"):
                call = get(driver, path)
                call.end()
                assert answer_of(call.sent).status == 204
            assert threads["async"] is driver._thread
        assert "worker" in threads["plain"].name

    def test_no_more_functions_run_at_once_than_threads_are_allowed(self, server):
        server.setSettingsForPort({"MAX_NUM_THREADS": 1})
        go_on, begun = threading.Event(), []

        @server.urlHandler("/")
        def wait(request):
            begun.append(1)
            assert go_on.wait(PATIENCE)
            return str(len(begun))

        with Driver(server.asgiApp()) as driver:
            calls = [get(driver) for _ in range(3)]
            go_on.set()
            for call in calls:
                call.end()
        assert sorted(answer_of(call.sent).text for call in calls) == ["1", "2", "3"]

    def test_a_body_that_says_no_length_is_measured(self, server):
        server.setSettingsForPort({"MAX_REQUEST_SIZE": 10})
        server.urlHandler("/")(lambda request: request.body())
        with Driver(server.asgiApp()) as driver:
            found = []
            for size in (10, 11):
                scope = http_scope("/", "POST", {"host": "x"}, http_version="2")
                call = driver.begin(scope, {"type": "http.request", "body": bytes(size)})
                call.end()
                found.append(answer_of(call.sent).status)
        assert found == [200, 413]

    def test_a_client_that_leaves_in_its_body_is_not_answered(self, server):
        server.urlHandler("/")(lambda request: pytest.fail("it is not asked"))
        with Driver(server.asgiApp()) as driver:
            scope = http_scope("/", "POST", {"host": "x", "content-length": "5"})
            event = {"type": "http.request", "body": b"ab", "more_body": True}
            call = driver.begin(scope, event, {"type": "http.disconnect"})
            call.end()
        assert call.sent == []

    def test_a_coroutine_whose_client_leaves_is_cancelled(self, server):
        import asyncio

        begun, ended = threading.Event(), threading.Event()

        @server.urlHandler("/")
        async def wait(request):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with Driver(server.asgiApp()) as driver:
            call = get(driver)
            assert begun.wait(PATIENCE)
            call.tell({"type": "http.disconnect"})
            call.end()
        assert ended.is_set()
        assert call.sent == []

    def test_a_request_is_logged_once(self, server, caplog):
        server.setSettingsForPort({"ACCESS_LOG": True})
        server.urlHandler("/")(lambda request: "hello")
        with caplog.at_level(logging.INFO, "hwebserver.access"), Driver(server.asgiApp()) as driver:
            get(driver).end()
        lines = [one.getMessage() for one in caplog.records if one.name == "hwebserver.access"]
        assert len(lines) == 1
        assert '"GET / HTTP/1.1" 200 5' in lines[0]

    def test_other_connections_are_refused(self, server):
        with Driver(server.asgiApp()) as driver, pytest.raises(ValueError, match="webtransport"):
            driver.begin({"type": "webtransport"}).end()


class TestStreams:
    def test_pieces_go_out_as_they_are_made(self, server):
        go_on = threading.Event()

        def pieces():
            yield "one"
            assert go_on.wait(PATIENCE)
            yield "two"

        server.urlHandler("/")(lambda request: pieces())
        with Driver(server.asgiApp()) as driver:
            call = get(driver)
            assert call.next()["type"] == "http.response.start"
            assert call.next()["body"] == b"one"
            go_on.set()
            call.end()
        assert answer_of(call.sent).body == b"onetwo"

    @pytest.mark.parametrize("kind", ["plain", "async"])
    def test_a_stream_that_fails_is_left_unfinished(self, server, kind, caplog):
        def pieces():
            yield "one"
            raise KeyError("late")

        async def async_pieces():
            for piece in pieces():
                yield piece

        server.urlHandler("/")(lambda request: pieces() if kind == "plain" else async_pieces())
        with Driver(server.asgiApp()) as driver:
            call = get(driver)
            with pytest.raises(KeyError):
                call.end()
        assert call.sent[-1] == {"type": "http.response.body", "body": b"one", "more_body": True}
        assert "failed" in caplog.text

    @pytest.mark.parametrize("size", ["4", "2"])
    def test_one_of_another_length_than_was_promised_is_left_unfinished(self, server, size, caplog):
        @server.urlHandler("/")
        def answer(request):
            response = hwebserver.Response(iter(["a", "bc"]))
            response.setHeader("Content-Length", size)
            return response

        with Driver(server.asgiApp()) as driver:
            call = get(driver)
            with pytest.raises(ValueError, match="Content-Length"):
                call.end()
        assert call.sent[-1]["more_body"]

    def test_events_come_with_heartbeats_and_end_with_the_client(self, server):
        ended, go_on = threading.Event(), threading.Event()

        def events():
            try:
                yield "one"
                assert go_on.wait(PATIENCE)
                yield "two"
            finally:
                ended.set()

        @server.urlHandler("/")
        def stream(request):
            return hwebserver.eventStreamResponse(events(), heartbeat=0.01)

        app = server.asgiApp()
        with Driver(app) as driver:
            call = get(driver)
            assert call.next()["status"] == 200
            seen = b""
            while b"data: one\n\n" not in seen or b"\n:" not in seen:
                seen += call.next()["body"]
            call.tell({"type": "http.disconnect"})
            call.end()
            go_on.set()
            assert ended.wait(PATIENCE)

    def test_an_async_stream_is_closed_when_the_client_leaves(self, server):
        import asyncio

        ended = threading.Event()

        async def pieces():
            try:
                yield "one"
                await asyncio.Event().wait()
            finally:
                ended.set()

        server.urlHandler("/")(lambda request: pieces())
        with Driver(server.asgiApp()) as driver:
            call = get(driver)
            assert call.next()["status"] == 200
            assert call.next()["body"] == b"one"
            call.tell({"type": "http.disconnect"})
            call.end()
        assert ended.is_set()

    def test_a_response_by_hand_that_is_not_completed_is_left_unfinished(self, server, caplog):
        @server.urlHandler("/")
        def by_hand(request):
            request.sendHeaders(hwebserver.Response(""))
            request.sendBody("one")
            raise KeyError("late")

        with Driver(server.asgiApp()) as driver:
            call = get(driver)
            with pytest.raises(RuntimeError, match="unfinished"):
                call.end()
        assert call.sent[-1] == {"type": "http.response.body", "body": b"one", "more_body": True}


class TestScope:
    def read(self, path, **more):
        return read_head(http_scope(path, headers={"host": "x"}, **more), Limits())

    def test_a_path_is_read_as_it_was_sent(self):
        head = self.read("/a%2Fb?q=%20")
        assert (head.path, head.query) == ("/a%2Fb", "q=%20")

    @pytest.mark.parametrize("raw", [None, b"", b"/other"])
    def test_one_that_was_changed_or_is_not_there_is_encoded_again(self, raw):
        assert self.read("/a%20b%3F", raw_path=raw).path == "/a%20b%3F"

    @pytest.mark.parametrize(
        ("path", "root", "behind"),
        [
            ("/app/a%20b", "/app", "/a%20b"),
            ("/app", "/app/", "/"),
            ("/%61pp/x", "/app", "/x"),
            ("/apple", "/app", "/apple"),
            ("/x", "/app", "/x"),
        ],
    )
    def test_the_root_path_is_not_ours(self, path, root, behind):
        assert self.read(path, root_path=root).path == behind

    def test_a_head_that_would_be_refused_is(self, server):
        with Driver(server.asgiApp()) as driver:
            call = driver.begin(http_scope("/", headers={"x": "no host"}))
            call.end()
            assert answer_of(call.sent).status == 400
            call = driver.begin(http_scope("/", headers={"host": "x", "y": "a\nb"}))
            call.end()
            assert answer_of(call.sent).status == 400

    def test_the_connection_is_known_as_far_as_the_server_tells(self):
        info = connection_info(http_scope("/", scheme="https", server=("x", 443)))
        assert info.peer == ("127.0.0.1", 50000)
        assert info.local == ("x", 443)
        assert info.port.secure
        info = connection_info({"type": "http", "client": None, "server": ("/run/socket", None)})
        assert info.peer == ("", 0)
        assert info.local == ("/run/socket", 80)


class TestLifespan:
    def test_mounted_applications_live_with_the_server(self, server):
        log = []

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                log.append((await receive())["type"])
                scope["state"]["x"] = 1
                await send({"type": "lifespan.startup.complete"})
                log.append((await receive())["type"])
                await send({"type": "lifespan.shutdown.complete"})
                return
            log.append((scope["path"], scope["root_path"], scope["state"]))
            body = b""
            more = True
            while more:
                event = await receive()
                body, more = body + event["body"], event["more_body"]
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": body})

        server.registerASGIApp(app, "/app")
        with Driver(server.asgiApp()) as driver:
            life = driver.begin({"type": "lifespan"}, {"type": "lifespan.startup"})
            assert life.next() == {"type": "lifespan.startup.complete"}
            call = get(driver, "/app/x", "POST", b"abc")
            call.end()
            assert answer_of(call.sent).body == b"abc"
            life.tell({"type": "lifespan.shutdown"})
            life.end()
        assert log == ["lifespan.startup", ("/app/x", "/app", {"x": 1}), "lifespan.shutdown"]
        assert life.sent[-1] == {"type": "lifespan.shutdown.complete"}

    def test_one_that_cannot_start_keeps_the_server_from_starting(self, server):
        async def app(scope, receive, send):
            await send({"type": "lifespan.startup.failed", "message": "no database"})

        server.registerASGIApp(app, "/")
        with Driver(server.asgiApp()) as driver:
            life = driver.begin({"type": "lifespan"}, {"type": "lifespan.startup"})
            life.end()
        assert life.sent[0]["type"] == "lifespan.startup.failed"
        assert "no database" in life.sent[0]["message"]


class TestSockets:
    scope = http_scope("/socket", headers={"host": "localhost"}, type="websocket", scheme="ws")

    def open(self, driver, **more):
        scope = {**self.scope, "subprotocols": ["one"], **more}
        return driver.begin(scope, {"type": "websocket.connect"})

    def test_messages_go_both_ways(self, server):
        codes = []

        @server.webSocket("/socket")
        class Echo(hwebserver.WebSocket):
            async def connect(self, req):
                await self.accept("one", [("X-One", "1")])

            async def receive(self, text_data=None, bytes_data=None):
                await self.send(bytes_data if text_data is None else text_data)

            async def disconnect(self, code):
                codes.append(code)

        with Driver(server.asgiApp()) as driver:
            call = self.open(driver)
            accepted = call.next()
            assert accepted["subprotocol"] == "one"
            assert accepted["headers"] == [(b"x-one", b"1")]
            call.tell({"type": "websocket.receive", "text": "é"})
            assert call.next() == {"type": "websocket.send", "text": "é"}
            call.tell({"type": "websocket.receive", "bytes": b"\0"})
            assert call.next() == {"type": "websocket.send", "bytes": b"\0"}
            assert len(server.webSockets("/socket")) == 1
            assert server.broadcast("/socket", "all") == 1
            assert call.next() == {"type": "websocket.send", "text": "all"}
            call.tell({"type": "websocket.disconnect", "code": 1001, "reason": ""})
            call.end()
        assert codes == [1001]
        assert server.webSockets("/socket") == []

    def test_plain_methods_run_on_a_thread(self, server):
        @server.webSocket("/socket")
        class Plain(hwebserver.WebSocket):
            def connect(self, req):
                self.accept()

            def receive(self, message):
                self.send(threading.current_thread().name)
                self.close(4000, "enough")

        with Driver(server.asgiApp()) as driver:
            call = self.open(driver)
            assert call.next()["type"] == "websocket.accept"
            call.tell({"type": "websocket.receive", "text": "x"})
            assert "worker" in call.next()["text"]
            close = {"type": "websocket.close", "code": 4000, "reason": "enough"}
            assert call.next() == close
            call.tell({"type": "websocket.disconnect", "code": 4000})
            call.end()

    @pytest.mark.parametrize("responds", [True, False])
    def test_a_refusal_is_a_response_where_the_server_can(self, server, responds):
        @server.webSocket("/socket")
        class Refuser(hwebserver.WebSocket):
            async def connect(self, req):
                await self.close()

        extensions = {"websocket.http.response": {}} if responds else None
        for path, status in (("/socket", 403), ("/none", 404)):
            with Driver(server.asgiApp()) as driver:
                call = self.open(driver, extensions=extensions, path=path, raw_path=path.encode())
                first = call.next()
                call.tell({"type": "websocket.disconnect", "code": 1006})
                call.end()
            if responds:
                assert first["status"] == status
                assert call.sent[1]["type"] == "websocket.http.response.body"
            else:
                assert first == {"type": "websocket.close"}

    def test_a_session_that_fails_closes_with_1011(self, server, caplog):
        @server.webSocket("/socket")
        class Failing(hwebserver.WebSocket):
            async def receive(self, text_data=None, bytes_data=None):
                raise KeyError("x")

        with Driver(server.asgiApp()) as driver:
            call = self.open(driver)
            call.tell({"type": "websocket.receive", "text": "x"})
            call.end()
        assert call.sent[-1]["code"] == 1011

    def test_one_that_fails_before_it_accepts_is_answered_500(self, server, caplog):
        @server.webSocket("/socket")
        class Failing(hwebserver.WebSocket):
            async def connect(self, req):
                raise KeyError("x")

        with Driver(server.asgiApp()) as driver:
            call = self.open(driver, extensions={"websocket.http.response": {}})
            call.end()
        assert call.sent[0]["status"] == 500

    def test_a_mounted_application_gets_upgrades_too(self, server):
        async def app(scope, receive, send):
            if scope["type"] == "websocket":
                assert await receive() == {"type": "websocket.connect"}
                await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
                await send({"type": "websocket.send", "text": scope["root_path"]})

        server.registerASGIApp(app, "/socket")
        with Driver(server.asgiApp()) as driver:
            call = self.open(driver)
            call.end()
        kinds = ["websocket.accept", "websocket.send", "websocket.close"]
        assert [event["type"] for event in call.sent] == kinds
        assert call.sent[1]["text"] == "/socket"

    def test_a_plain_get_gets_426(self, server):
        server.webSocket("/socket")(hwebserver.WebSocket)
        with Driver(server.asgiApp()) as driver:
            call = get(driver, "/socket")
            call.end()
        answer = answer_of(call.sent)
        assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
