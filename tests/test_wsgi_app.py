"""What is registered, as an application in other WSGI servers: it answers as from ``run``."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import threading
import wsgiref.handlers
import wsgiref.simple_server
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
import same_answers
from same_answers import REQUESTS
from support import PATIENCE, fetch, running, wait_until

import hwebserver
from hwebserver.protocol.http1 import Limits
from hwebserver.web.environ import read_head

LARGE = bytes(range(256)) * 1000


# --- the same requests, the same answers ---


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    """That of the standard library, but that it makes up no type and tells the target as sent."""

    def get_environ(self):
        environ = super().get_environ()
        environ["RAW_URI"] = self.path
        environ["CONTENT_TYPE"] = self.headers["Content-Type"] or ""
        return environ

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def wsgiref_serving(app):
    """Serve an application with the server of the standard library; yield its place."""
    with wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder that the program serves."""
    folder = tmp_path_factory.mktemp("same")
    same_answers.make_files(folder)
    return folder


@pytest.fixture
def places(files):
    """Where ``run`` serves, and where another server does."""
    app = same_answers.build(files).wsgiApp()
    with running(same_answers.build(files)) as server, wsgiref_serving(app) as other:
        yield ("127.0.0.1", server.port()), other
    app.close()


@pytest.mark.parametrize("asked", REQUESTS, ids=str)
def test_another_server_gives_the_same_answer(places, asked):
    ours, other = places
    same_answers.compare(same_answers.ask(ours, asked), same_answers.ask(other, asked))


# --- called by hand ---


class Called:
    """What an application did with a request."""

    def __init__(self, app, environ):
        self.status = 0
        self.headers: dict[str, str] = {}
        self.written: list[bytes] = []
        self.iterable = app(environ, self.start_response)

    def start_response(self, status, headers, exc_info=None):
        assert type(headers) is list
        self.status = int(status[:3])
        self.headers = dict(headers)
        return self.written.append

    def read(self):
        """Return all of the body, and close it."""
        try:
            return b"".join((*self.written, *self.iterable))
        finally:
            if hasattr(self.iterable, "close"):
                self.iterable.close()


def environ_of(path="/", method="GET", body=b"", **variables):
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    environ.update({name.replace("wsgi_", "wsgi."): value for name, value in variables.items()})
    environ.setdefault("SERVER_PROTOCOL", "HTTP/1.1")
    setup_testing_defaults(environ)
    return {name: value for name, value in environ.items() if value is not None}


@pytest.fixture
def app(server):
    """The application of a server."""
    made = server.wsgiApp()
    yield made
    made.close()


def call(app, path="/", method="GET", body=b"", **variables):
    called = Called(app, environ_of(path, method, body, **variables))
    return called.status, called.headers, called.read()


def head_of(**variables):
    return read_head(environ_of(**variables), Limits())


@pytest.mark.parametrize(
    ("variables", "target"),
    [
        ({"path": "/a b/\xc3\xa9"}, "/a%20b/%C3%A9"),
        ({"path": "/a%b?c#d"}, "/a%25b%3Fc%23d"),
        ({"path": ""}, "/"),
        ({"path": "", "SCRIPT_NAME": "/app"}, "/"),
        ({"path": "/a/b", "RAW_URI": "/a%2Fb"}, "/a%2Fb"),
        ({"path": "/a/b", "REQUEST_URI": "/a%2Fb?x=1", "QUERY_STRING": "x=1"}, "/a%2Fb?x=1"),
        ({"path": "/a/b", "RAW_URI": "/other"}, "/a/b"),
        ({"path": "/b", "RAW_URI": "/app/b", "SCRIPT_NAME": "/app"}, "/b"),
        ({"path": "/", "QUERY_STRING": "a=%20&&b"}, "/?a=%20&&b"),
        ({"path": "*", "method": "OPTIONS"}, "*"),
    ],
)
def test_the_target_is_as_sent_where_the_environ_tells(variables, target):
    assert head_of(**variables).target == target


def test_the_fields_are_named_as_clients_do(server):
    head = head_of(HTTP_X_ONE_TWO="a", HTTP_COOKIE="b", CONTENT_TYPE="c/d", HTTP_HOST="e")
    assert dict(head.fields) == {
        "X-One-Two": "a",
        "Cookie": "b",
        "Content-Type": "c/d",
        "Host": "e",
    }


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({"HTTP_X_A": "b\r\nHost: evil"}, 400),
        ({"HTTP_X_A": "b\0"}, 400),
        ({"HTTP_X_A": "\u20ac"}, 400),
        ({"HTTP_X A": "b"}, 400),
        ({"HTTP_HOST": "a, b"}, 400),
        ({"HTTP_HOST": None}, 400),
        ({"path": "no/slash"}, 400),
        ({"QUERY_STRING": "a b"}, 400),
        ({"QUERY_STRING": "\xe9"}, 400),
        ({"path": "/\xe9", "RAW_URI": "/\xe9"}, 400),
        ({"method": "get"}, 501),
        ({"method": "G E T"}, 400),
        ({"method": "CONNECT"}, 501),
        ({"CONTENT_LENGTH": "x"}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"HTTP_EXPECT": "more"}, 417),
        ({"path": "/" + "x" * 8192}, 414),
        ({"HTTP_X_A": "x" * 8192}, 431),
        ({f"HTTP_X_{n}": "x" for n in range(101)}, 431),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411),
        ({"HTTP_TRANSFER_ENCODING": "gzip", "wsgi_input_terminated": True}, 501),
    ],
)
def test_what_run_refuses_is_refused(server, app, variables, status):
    server.urlHandler("/", is_prefix=True)(lambda request: "answered")
    assert call(app, **variables)[0] == status


@pytest.mark.parametrize("length", [None, "5"])
def test_a_chunked_body_is_read_to_its_end(server, app, length):
    server.urlHandler("/")(lambda request: [request.contentLength(), request.body().decode()])
    answer = call(app, "/", "POST", b"", wsgi_input=io.BytesIO(b"12345"), CONTENT_LENGTH=length,
                  HTTP_TRANSFER_ENCODING="chunked",
                  wsgi_input_terminated=length is None)  # fmt: skip
    assert answer[2] == b'[5, "12345"]'


class Failing(io.BytesIO):
    def read(self, *arguments):
        raise OSError("the client has left")


@pytest.mark.parametrize(
    ("stream", "variables", "status"),
    [
        (io.BytesIO(b"1234"), {"CONTENT_LENGTH": "5"}, 400),
        (Failing(), {"CONTENT_LENGTH": "5"}, 400),
        (io.BytesIO(), {"CONTENT_LENGTH": "11"}, 413),
        (io.BytesIO(b"x" * 11), {"HTTP_TRANSFER_ENCODING": "chunked"}, 413),
        (io.BytesIO(b"x" * 10), {"HTTP_TRANSFER_ENCODING": "chunked"}, 200),
        (io.BytesIO(b"x" * 10 + b"more"), {"CONTENT_LENGTH": "10"}, 200),
    ],
)
def test_a_body_is_what_was_promised_or_refused(server, stream, variables, status):
    calls = []
    server.setSettingsForPort({"MAX_REQUEST_SIZE": 10})
    server.urlHandler("/")(lambda request: calls.append(request.body()) or "fine")
    app = server.wsgiApp()
    answer = call(app, "/", "POST", wsgi_input=stream, wsgi_input_terminated=True,
                  **variables)  # fmt: skip
    app.close()
    assert answer[0] == status
    assert calls == ([b"x" * 10] if status == 200 else [])


@pytest.mark.parametrize(("size", "left"), [(65536, 0), (65537, 65537)])
def test_of_a_refused_body_a_little_is_read_and_dropped(app, size, left):
    stream = io.BytesIO(b"x" * size)
    assert call(app, "/none", "POST", wsgi_input=stream, CONTENT_LENGTH=str(size))[0] == 404
    assert len(stream.read()) == left


def test_the_request_tells_of_the_connection_what_the_environ_does(server, app):
    @server.urlHandler("/")
    def show(request):
        return [request.clientAddress(), request.serverAddress(), request.port(),
                request.isSecure(), request.socketFD(), request.portName()]  # fmt: skip

    variables = {"REMOTE_ADDR": "10.0.0.1", "REMOTE_PORT": "99", "SERVER_NAME": "[::1]",
                 "SERVER_PORT": "8443", "wsgi_url_scheme": "https"}  # fmt: skip
    assert call(app, **variables)[2] == (
        b'[["10.0.0.1", 99], ["::1", 8443], 8443, true, -1, "main"]'
    )
    assert call(app, REMOTE_ADDR="", SERVER_PORT="")[2].startswith(b'[["", 0], ["127.0.0.1", 80]')


def test_handlers_of_the_main_port_answer(server, app):
    server.urlHandler("/main", ports=["main"])(lambda request: "main")
    server.urlHandler("/every", ports=[-1])(lambda request: "every")
    server.urlHandler("/number", ports=[8123])(lambda request: "number")
    server.urlHandler("/admin", ports=["admin"])(lambda request: "admin")
    statuses = [call(app, f"/{name}", SERVER_PORT="8123")[0] for name in
                ("main", "every", "number", "admin")]  # fmt: skip
    assert statuses == [200, 200, 200, 404]


def test_what_is_registered_later_is_answered(server, app):
    assert call(app, "/later")[0] == 404
    server.urlHandler("/later")(lambda request: "later")
    assert call(app, "/later")[0] == 200


@pytest.mark.parametrize("debug", [True, False])
def test_tracebacks_are_shown_to_local_clients_in_debug_mode(server, debug):
    server.setSettingsForPort({"DEBUG": debug})
    server.urlHandler("/")(lambda request: {}["missing"])
    app = server.wsgiApp()
    local = call(app, REMOTE_ADDR="127.0.0.1", HTTP_HOST="localhost")
    assert (b"KeyError" in local[2]) is debug
    proxied = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "10.0.0.1"}
    for variables in ({"REMOTE_ADDR": ""}, {"REMOTE_ADDR": "10.0.0.1"}, proxied):
        assert b"KeyError" not in call(app, HTTP_HOST="localhost", **variables)[2]
    app.close()


def test_errors_of_handlers_are_to_be_seen_without_any_set_up(server, monkeypatch):
    for logger in (logging.getLogger(), logging.getLogger("hwebserver")):
        monkeypatch.setattr(logger, "handlers", [])
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    server.urlHandler("/")(lambda request: {}["missing"])
    app = server.wsgiApp()
    assert call(app)[0] == 500
    assert "KeyError: 'missing'" in written.getvalue()
    app.close()
    app.close()
    assert logging.getLogger("hwebserver").handlers == []


def test_the_protocol_is_kept_to_the_letter(server, app, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(LARGE)

    @server.urlHandler("/hand")
    def hand(request):
        request.sendHeaders(hwebserver.Response("", 200, "text/plain"))
        request.sendBody("hand")

    server.urlHandler("/")(lambda request: request.body() or "text")
    server.urlHandler("/stream")(lambda request: iter(["a", "b"]))
    server.urlHandler("/file")(lambda request: hwebserver.fileResponse(path))
    server.urlHandler("/events")(lambda request: hwebserver.eventStreamResponse([1]))
    checked = validator(app)
    for method in ("GET", "POST", "HEAD"):
        for name in ("/", "/stream", "/file", "/hand", "/events", "/none"):
            for variables in ({}, {"wsgi_file_wrapper": FileWrapper}):
                environ = environ_of(
                    name, method, b"body", QUERY_STRING="", SCRIPT_NAME="", **variables
                )
                environ["wsgi.input"] = io.BytesIO(b"body")
                called = Called(checked, environ)
                assert called.status == (404 if name == "/none" else 200)
                assert (called.read() == b"") is (method == "HEAD")


# --- the end of a response ---


def logged(caplog):
    return [one.getMessage().split('"')[-1].split() for one in caplog.records
            if one.name == "hwebserver.access"]  # fmt: skip


def test_each_response_is_logged_once_with_what_was_sent(server, app, tmp_path, caplog):
    path = tmp_path / "large"
    path.write_bytes(LARGE)

    @server.urlHandler("/hand")
    def hand(request):
        request.sendHeaders(hwebserver.Response("", 200, "text/plain"))
        request.sendBody("hand")

    server.urlHandler("/text")(lambda request: "text")
    server.urlHandler("/stream")(lambda request: iter(["a", "b"]))
    server.urlHandler("/file")(lambda request: hwebserver.fileResponse(path))
    with caplog.at_level(logging.INFO, "hwebserver.access"):
        for name in ("/text", "/stream", "/hand", "/none", "/file"):
            call(app, name)
        call(app, "/file", HTTP_RANGE="bytes=0-9")
        called = Called(app, environ_of("/file", wsgi_file_wrapper=FileWrapper))
        called.read()
        called.iterable.close()
        call(app, "/text", "HEAD")
    size = str(len(LARGE))
    assert [(status, sent) for status, sent in logged(caplog) if status != "404"] == [
        ("200", "4"), ("200", "2"), ("200", "4"), ("200", size), ("206", "10"), ("200", size),
        ("200", "-"),
    ]  # fmt: skip
    assert len(logged(caplog)) == 8


def test_uploads_are_gone_with_the_response(server, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    @server.urlHandler("/", methods=["POST"])
    def upload(request):
        seen.append(os.path.exists(request.files()["f"].temporaryFilePath()))
        return iter(["a", "b"])

    server.setSettingsForPort({"MAX_IN_MEMORY_FILE_UPLOAD_SIZE": 10})
    app = server.wsgiApp()
    body = same_answers.multipart(("f", "n.txt", b"x" * 1000))
    called = Called(
        app, environ_of("/", "POST", body, CONTENT_TYPE="multipart/form-data; boundary=x")
    )
    assert len(os.listdir(tmp_path)) == 1
    assert called.read() == b"ab"
    assert os.listdir(tmp_path) == []
    body = body[:-20]  # its end is missing
    assert call(app, "/", "POST", body, CONTENT_TYPE="multipart/form-data; boundary=x")[0] == 400
    assert os.listdir(tmp_path) == []
    assert seen == [True]
    app.close()


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_stream_is_closed_however_far_it_was_read(server, app, pieces):
    closed = []

    def stream():
        try:
            yield "a"
            yield "b"
            yield "c"
        finally:
            closed.append(True)

    server.urlHandler("/")(lambda request: stream())
    called = Called(app, environ_of())
    assert [next(called.iterable) for _ in range(pieces)] == [b"a", b"b"][:pieces]
    called.iterable.close()
    called.iterable.close()
    assert closed == [True]


def test_a_stream_that_fails_in_the_middle_is_left_unfinished(server, app, caplog):
    def stream():
        yield "a"
        raise ValueError("out of order")

    server.urlHandler("/")(lambda request: stream())
    called = Called(app, environ_of())
    assert next(called.iterable) == b"a"
    with pytest.raises(ValueError, match="out of order"):
        next(called.iterable)
    called.iterable.close()
    assert caplog.text.count("the handler of GET / failed") == 1


@pytest.mark.parametrize(("length", "status"), [("1", 500), ("2", 200), ("3", 200)])
def test_a_stream_of_another_length_never_passes_for_whole(server, app, length, status, caplog):
    @server.urlHandler("/")
    def stream(request):
        response = hwebserver.Response(iter(["ab"]))
        response.setHeader("Content-Length", length)
        return response

    called = Called(app, environ_of())
    assert called.status == status
    if length == "3":
        with pytest.raises(ValueError, match="shorter than its Content-Length"):
            called.read()
    else:
        called.read()
    assert ("Content-Length" in caplog.text) is (length != "2")


def test_what_is_sent_by_hand_and_not_whole_is_left_unfinished(server, app):
    @server.urlHandler("/", is_prefix=True)
    def hand(request):
        response = hwebserver.Response("", 200, "text/plain")
        response.setHeader("Content-Length", "8")
        request.sendHeaders(response)
        request.sendBody("four")
        if request.path() == "/raises":
            raise ValueError("out of order")
        if request.path() == "/long":
            request.sendBody("more than four")

    for path in ("/short", "/raises", "/long"):
        with pytest.raises(RuntimeError):
            Called(app, environ_of(path))
    assert Called(app, environ_of("/short", "HEAD")).written == []


def test_a_client_that_leaves_what_is_sent_by_hand_is_the_servers_to_hear_of(server, app):
    raised = []

    @server.urlHandler("/")
    def hand(request):
        request.sendHeaders(hwebserver.Response("", 200, "text/plain"))
        try:
            request.sendBody("body")
        except ConnectionError as error:
            raised.append(error)
            raise

    def start_response(status, headers):
        def write(data):
            raise BrokenPipeError("gone")

        return write

    with pytest.raises(BrokenPipeError):
        app(environ_of(), start_response)
    assert len(raised) == 1


def test_a_head_that_cannot_be_sent_is_a_500(server, app):
    server.urlHandler("/")(lambda request: hwebserver.Response(iter(["a"]), 999))
    assert call(app)[0] == 500


# --- files ---


def test_a_whole_file_goes_to_the_wrapper_of_the_server(server, app, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    wrapped = []

    def wrapper(file, size):
        wrapped.append((os.fstat(file.fileno()).st_size, file.tell()))
        return FileWrapper(file, size)

    server.urlHandler("/")(lambda request: hwebserver.fileResponse(path))
    for method, variables, body in (
        ("GET", {}, LARGE),
        ("HEAD", {}, b""),
        ("GET", {"HTTP_RANGE": "bytes=5-"}, LARGE[5:]),
        ("GET", {"HTTP_RANGE": "bytes=0-9"}, LARGE[:10]),
    ):
        answer = call(app, "/", method, wsgi_file_wrapper=wrapper, **variables)
        assert answer[2] == body
        assert answer[1]["Content-Length"] == str(len(body or LARGE))
    assert wrapped == [(len(LARGE), 0)]


def test_a_file_is_deleted_when_the_server_closes_it(server, app, tmp_path):
    path = tmp_path / "large"
    server.urlHandler("/")(lambda request: hwebserver.fileResponse(path, delete_file=True))
    for variables in ({}, {"wsgi_file_wrapper": FileWrapper}):
        path.write_bytes(LARGE)
        called = Called(app, environ_of(**variables))
        assert path.exists()
        assert called.read() == LARGE
        assert not path.exists()


def test_a_file_that_becomes_shorter_is_left_unfinished(server, app, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    server.urlHandler("/")(lambda request: hwebserver.fileResponse(path))
    called = Called(app, environ_of())
    path.write_bytes(b"short")
    with pytest.raises(EOFError):
        called.read()


# --- streams that are made elsewhere ---


def test_the_head_of_an_event_stream_goes_out_before_its_first_event(server, app):
    go_on = threading.Event()
    left = []

    def events():
        go_on.wait(PATIENCE)
        yield "news"

    server.urlHandler("/")(
        lambda request: hwebserver.eventStreamResponse(events(), on_close=lambda: left.append(1))
    )
    called = Called(app, environ_of())
    assert (called.status, called.written) == (200, [b""])
    go_on.set()
    assert called.read() == b"data: news\n\n"
    assert left == []


def test_silence_is_filled_with_heartbeats(server, app):
    go_on = threading.Event()

    async def events():
        import asyncio

        while not go_on.is_set():
            await asyncio.sleep(0)
        yield "news"

    server.urlHandler("/")(
        lambda request: hwebserver.eventStreamResponse(events(), heartbeat=0.001)
    )
    called = Called(app, environ_of())
    assert next(called.iterable) == b":\n\n"
    go_on.set()
    assert called.read().endswith(b"data: news\n\n")


@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_event_stream_hears_that_the_client_has_left(server, app, asynchronous):
    left = threading.Event()
    closed = []

    def events():
        try:
            while not left.is_set():
                yield "news"
        finally:
            closed.append(True)

    async def async_events():
        try:
            while True:
                yield "news"
        finally:
            closed.append(True)

    server.urlHandler("/")(
        lambda request: hwebserver.eventStreamResponse(
            async_events() if asynchronous else events(), on_close=left.set
        )
    )
    called = Called(app, environ_of())
    assert next(called.iterable).startswith(b"data: news\n\n")
    called.iterable.close()
    assert left.is_set()
    wait_until(lambda: closed == [True])


def test_too_many_event_streams_are_refused(server):
    server.setSettingsForPort({"MAX_EVENT_STREAMS": 0})
    server.urlHandler("/")(lambda request: hwebserver.eventStreamResponse(["news"]))
    app = server.wsgiApp()
    assert call(app)[0] == 503
    app.close()


# --- around it ---


def test_it_can_be_mounted_in_another_server(server):
    inner = hwebserver.Server("inner")
    inner.urlHandler("/page")(lambda request: [request.path(), request.POST()])
    app = inner.wsgiApp()
    server.registerWSGIApp(app, "/inner")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with running(server):
        assert fetch(server, "/inner/page", "POST", "a=1", form).body == b'["/page", {"a": "1"}]'
        assert fetch(server, "/inner/none").status == 404
    app.close()


def test_a_request_to_stop_stops_nothing_here(server, app):
    server.urlHandler("/")(lambda request: request.requestServerShutdown() or "fine")
    assert call(app)[0] == 200
    assert call(app)[0] == 200


def test_the_default_server_is_an_application_too():
    app = hwebserver.wsgiApp()
    assert call(app, "/none")[0] == 404
    app.close()


def test_a_wrong_setting_is_said_at_once(server):
    with pytest.raises(hwebserver.OperationFailed):
        server.setSettingsForPort({"MAX_REQUEST_SIZE": "many"})


# --- what WSGI itself does not know ---


def test_a_coroutine_handler_and_an_asgi_application_answer_too():
    server = hwebserver.Server()

    @server.urlHandler("/coroutine")
    async def coroutine(request):
        return "from a coroutine"

    async def asgi(scope, receive, send):
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["root_path"].encode() + body})

    server.registerASGIApp(asgi, "/asgi")
    app = server.wsgiApp()
    with wsgiref_serving(app) as place:
        found = [
            same_answers.ask(place, same_answers.Ask("/coroutine")).body,
            same_answers.ask(place, same_answers.Ask("/asgi", "POST", {}, b" body")).body,
        ]
    app.close()
    assert found == [b"from a coroutine", b"/asgi body"]
