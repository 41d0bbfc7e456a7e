"""Filters: they see a request before its body is read, and may refuse it."""

from __future__ import annotations

import io
import logging
import threading
from functools import partial

import pytest
import wsclient
from asgi_driver import Driver, answer_of, http_scope
from support import (
    connect,
    fetch,
    receive_all,
    receive_response,
    receive_until,
    running,
    wait_until,
)

import hwebserver
from hwebserver.errors import OperationFailed
from hwebserver.web.filters import Filter, Filters

MAIN = frozenset(("main",))


def found(path, *guarded):
    filters = Filters()
    functions = {}
    for one in guarded:
        functions[one] = partial(str, one)
        filters.add(Filter(one, functions[one], MAIN))
    return [one.function.args[0] for one in filters.find(path, MAIN)]


@pytest.mark.parametrize("guarded", ["/node", "/node/", "node", "//node"])
@pytest.mark.parametrize(
    "path", ["/node", "/node/", "/node/a", "/node//", "/n%6Fde/a", "/node/../b"]
)
def test_a_filter_guards_a_path_and_all_below_it(guarded, path):
    assert found(path, guarded) == [guarded]


@pytest.mark.parametrize("path", ["/", "/nodes", "/nod", "/a/node", "//node", "*", "/node%2Fa"])
def test_a_filter_guards_nothing_else(path):
    assert found(path, "/node") == []


@pytest.mark.parametrize("path", ["/", "/a", "/a/b", "*", "//"])
def test_the_filter_of_the_root_guards_everything(path):
    assert found(path, "/") == ["/"]


def test_the_most_general_filter_comes_first_and_of_two_the_one_that_was_first():
    filters = Filters()
    order = []
    for name, path in (("c", "/a/b"), ("a", "/"), ("d", "/a/b"), ("b", "/a"), ("x", "/b")):
        filters.add(Filter(path, partial(order.append, name), MAIN))
    for one in filters.find("/a/b/c", MAIN):
        one.function()
    assert order == ["a", "b", "c", "d"]


def test_the_same_filter_counts_once_and_another_port_has_its_own():
    filters = Filters()
    filters.add(Filter("/", print, MAIN))
    filters.add(Filter("/", print, MAIN))
    assert len(list(filters)) == 1
    filters.add(Filter("/", print, frozenset(("other",))))
    assert len(filters.find("/", MAIN)) == 1
    assert len(filters.find("/", MAIN | {"other"})) == 2


async def asynchronous(request):
    """A filter that cannot be."""


class AsynchronousToo:
    async def __call__(self, request):
        """A filter that cannot be."""


@pytest.mark.parametrize("function", [asynchronous, AsynchronousToo(), partial(asynchronous), None])
def test_what_cannot_be_called_at_once_is_no_filter(server, function):
    with pytest.raises(OperationFailed, match="a filter is a"):
        server.requestFilter()(function)


def test_a_template_is_no_path_of_a_filter(server):
    with pytest.raises(OperationFailed, match="template"):
        server.requestFilter("/node/{name}")(print)


def test_the_decorator_returns_the_function():
    def guard(request):
        """A filter."""

    assert hwebserver.Server().requestFilter("/x")(guard) is guard
    assert callable(hwebserver.requestFilter)


# --- over sockets ---


class Site:
    """A server with one of everything behind a filter, and what they have seen."""

    def __init__(self):
        self.seen = []
        self.calls = []
        self.server = server = hwebserver.Server("filters")
        server.requestFilter()(self._guard)
        server.urlHandler("/")(self._handle)
        server.apiFunction()(self.act)
        server.registerStaticFilesDirectory(".", "/files")
        server.registerWSGIApp(self._wsgi, "/wsgi")
        server.registerASGIApp(self._asgi, "/asgi")
        server.insertWebSocketForPort(hwebserver.WebSocket, "/socket")
        server.urlHandler("/only", methods=["GET"])(self._handle)

    def _guard(self, request):
        self.seen.append((request.method(), request.path(), request.body()))
        if request.headers().get("X-Let") == "in":
            return None
        return hwebserver.Response("refused", 418)

    def _handle(self, request):
        self.calls.append(request.body())
        return request.body() or "handled"

    def act(self, request):
        self.calls.append("act")

    def _wsgi(self, environ, start_response):
        self.calls.append("wsgi")
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    async def _asgi(self, scope, receive, send):
        if scope["type"] == "http":
            self.calls.append("asgi")
            event = await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": event["body"]})


@pytest.fixture
def site():
    made = Site()
    with running(made.server):
        yield made


REQUESTS = [
    ("GET", "/"), ("GET", "/files/pyproject.toml"), ("GET", "/wsgi/a"), ("GET", "/asgi/a"),
    ("POST", "/"), ("POST", "/api"), ("POST", "/wsgi"), ("POST", "/asgi"), ("POST", "/files/a"),
    ("DELETE", "/only"), ("OPTIONS", "/only"), ("GET", "/socket"),
]  # fmt: skip


def test_a_filter_refuses_whatever_would_answer(site):
    for method, path in REQUESTS:
        answer = fetch(site.server, path, method, b"cmd_function=act" if method == "POST" else None)
        assert (answer.status, answer.text) == (418, "refused")
    assert site.calls == []
    assert site.seen == [(method, path, b"") for method, path in REQUESTS]


def test_a_filter_lets_in_whatever_answers(site):
    expected = [200, 200, 200, 200, 200, 200, 200, 200, 404, 405, 204, 426]
    for (method, path), status in zip(REQUESTS, expected):
        body = b"cmd_function=act" if method == "POST" else None
        form = {"Content-Type": "application/x-www-form-urlencoded", "X-Let": "in"}
        answer = fetch(site.server, path, method, body, form)
        assert answer.status == status, (method, path, answer)
        if path in ("/", "/wsgi", "/asgi") and body:
            assert answer.body == body
    assert len(site.seen) == len(REQUESTS)


def test_a_filter_sees_an_upgrade(site):
    for fields, status in (({}, b"418"), ({"X-Let": "in"}, b"101")):
        with connect(site.server) as sock:
            sock.sendall(wsclient.head("/socket", **fields))
            assert receive_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 " + status)
    assert [path for _, path, _ in site.seen] == ["/socket"] * 2


def test_a_filter_refuses_before_the_body_has_come(site):
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%b\r\n"
    with connect(site.server) as sock:
        sock.sendall(head % (1 << 30, b""))
        answer = receive_response(sock)
        assert (answer.status, answer.headers["Connection"]) == (418, "close")
    with connect(site.server) as sock:
        sock.sendall(head % (5, b"Expect: 100-continue\r\n"))
        assert receive_all(sock).startswith(b"HTTP/1.1 418 ")


def test_a_body_that_is_let_in_is_asked_for_behind_the_filter(site):
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    with connect(site.server) as sock:
        sock.sendall(head + b"X-Let: in\r\nExpect: 100-continue\r\n\r\n")
        assert receive_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        assert len(site.seen) == 1
        sock.sendall(b"hello")
        assert receive_response(sock).body == b"hello"


@pytest.mark.parametrize("let", [b"", b"X-Let: in\r\n"])
def test_a_small_body_that_is_refused_costs_no_connection(site, let):
    request = b"POST /%b HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: 5\r\n\r\nhello"
    with connect(site.server) as sock:
        for path in (b"", b"wsgi", b"asgi", b""):
            sock.sendall(request % (path, let))
            assert receive_response(sock).body == (b"hello" if let else b"refused")
        last = request % (b"", let + b"Connection: close\r\n")
        sock.sendall(request % (b"", let) * 2 + last)
        assert receive_all(sock).count(b"hello" if let else b"refused") == 3
    assert len(site.seen) == 7


def test_a_large_body_passes_a_filter_too(site):
    body = b"0123456789" * 500_000
    assert fetch(site.server, "/", "POST", body, {"X-Let": "in"}).body == body


def test_a_filter_that_takes_its_time_holds_nobody_up(server):
    held, let_go = threading.Event(), threading.Event()

    @server.requestFilter("/slow")
    def guard(request):
        held.set()
        assert let_go.wait(20)

    server.urlHandler("/slow")(lambda request: request.body())
    server.urlHandler("/")(lambda request: "quick")
    head = b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
    with running(server), connect(server) as sock:
        sock.sendall(head + b"body")
        assert held.wait(20)
        for _ in range(5):
            assert fetch(server).text == "quick"
        let_go.set()
        assert receive_response(sock).body == b"body"


def test_a_client_that_leaves_while_a_filter_looks_leaves_nothing_behind(server):
    held, let_go = threading.Event(), threading.Event()
    calls = []

    @server.requestFilter()
    def guard(request):
        held.set()
        assert let_go.wait(20)

    server.urlHandler("/")(calls.append)
    with running(server):
        with connect(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbo")
            assert held.wait(20)
        let_go.set()
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
    assert calls == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("on purpose"), 500),
        (SystemExit(), 500),
        (hwebserver.HTTPError(403, "No."), 403),
    ],
)
def test_what_a_filter_raises_refuses_the_request(server, caplog, error, status, method):
    calls = []

    @server.requestFilter()
    def guard(request):
        raise error

    server.urlHandler("/")(calls.append)
    with running(server), caplog.at_level(logging.ERROR):
        assert fetch(server, "/", method, b"body" if method == "POST" else None).status == status
    assert calls == []
    assert ("the filter of" in caplog.text) is (status == 500)


@pytest.mark.parametrize(
    ("result", "kind", "body"),
    [
        ("text", "text/html; charset=utf-8", b"text"),
        (b"bytes", "application/octet-stream", b"bytes"),
        ({"a": 1}, "application/json", b'{"a":1}'),
        ("", "text/html; charset=utf-8", b""),
        (False, "application/json", b"false"),
    ],
)
def test_a_filter_answers_as_a_handler_does(server, result, kind, body):
    server.requestFilter()(lambda request: result)
    with running(server):
        answer = fetch(server)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.body.replace(b" ", b"") == body


def test_a_filter_may_send_its_answer_but_no_head(server):
    def guard(request):
        if request.path() == "/head":
            request.sendHeaders(hwebserver.Response())
        request.send(hwebserver.Response("sent", 403))

    server.requestFilter()(guard)
    with running(server):
        assert (fetch(server).status, fetch(server, "/head").status) == (403, 500)


def test_a_filter_may_answer_with_a_file(server, tmp_path):
    (tmp_path / "page.html").write_text("page")
    server.requestFilter()(lambda request: hwebserver.fileResponse(str(tmp_path / "page.html")))
    with running(server):
        assert fetch(server, "/", "POST", b"body").text == "page"
        head = wsclient.head("/")
        with connect(server) as sock:
            sock.sendall(head)
            assert receive_until(sock, b"page").startswith(b"HTTP/1.1 200 ")


def test_a_filter_that_comes_later_sees_requests_on_open_connections(server):
    server.urlHandler("/")(lambda request: "in")
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(server), connect(server) as sock:
        sock.sendall(request)
        assert receive_response(sock).status == 200
        server.requestFilter()(lambda request: hwebserver.Response("out", 403))
        sock.sendall(request)
        assert receive_response(sock).status == 403


def test_who_may_not_come_in_reaches_no_filter(site):
    assert fetch(site.server, headers={"Host": "evil.example"}).status == 400
    assert fetch(site.server, "/api", "POST", b"", {"Origin": "null"}).status == 403
    assert site.seen == []


# --- in other servers ---


def test_filters_hold_in_an_asgi_server():
    site = Site()
    with Driver(site.server.asgiApp()) as driver:
        for fields, body in (({}, b"refused"), ({"x-let": "in"}, b"body")):
            scope = http_scope("/", "POST", {"host": "a", "content-length": "4", **fields})
            event = {"type": "http.request", "body": b"body", "more_body": False}
            call = driver.begin(scope, event)
            call.end()
            assert answer_of(call.sent).body == body
        upgrade = http_scope("/socket", headers={"host": "a"}, type="websocket", scheme="ws")
        call = driver.begin(upgrade, {"type": "websocket.connect"})
        call.end()
        assert [event["type"] for event in call.sent] == ["websocket.close"]
    assert [path for _, path, _ in site.seen] == ["/", "/", "/socket"]


def test_filters_hold_in_a_wsgi_server():
    site = Site()
    app = site.server.wsgiApp()
    statuses = []

    def ask(body, **fields):
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "a", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http", "SERVER_NAME": "a", "SERVER_PORT": "80", **fields,
        }  # fmt: skip
        result = app(environ, lambda status, lines: statuses.append(status[:3]))
        content = b"".join(result)
        result.close()
        return content

    try:
        assert ask(b"body") == b"refused"
        assert site.calls == []
        assert ask(b"body", HTTP_X_LET="in") == b"body"
        assert ask(b"", HTTP_X_LET="in") == b"handled"
        assert statuses == ["418", "200", "200"]
    finally:
        app.close()
