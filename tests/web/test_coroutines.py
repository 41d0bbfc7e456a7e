"""Handlers that are coroutines: what they may return, who waits for them, and where they run."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import re
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
from wsclient import close, head, text, websocket

import hwebserver
from hwebserver import (
    APIError,
    AsyncURLCallbackHandler,
    AsyncURLHandler,
    HTTPError,
    OperationFailed,
    Response,
    Server,
)
from hwebserver.net import watchdog

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def get(path=""):
    return REQUEST % path.encode()


def call(server, name, **arguments):
    return fetch(
        server, "/api", "POST", json.dumps([name, [], arguments]),
        {"Content-Type": "application/json"},
    )  # fmt: skip


def loop_threads():
    return [one for one in threading.enumerate() if one.name.endswith("-asyncio")]


def logged(caplog):
    return [one for one in caplog.records if one.levelno >= logging.WARNING]


# --- results ---


@pytest.mark.parametrize(
    ("value", "status", "kind", "body"),
    [
        ("gr\u00fcn", 200, "text/html; charset=utf-8", "gr\u00fcn".encode()),
        (b"\xff", 200, "application/octet-stream", b"\xff"),
        ({"a": 1}, 200, "application/json", b'{"a": 1}'),
        (7, 200, "application/json", b"7"),
        (None, 204, None, b""),
        (Response("made", 201, "text/plain"), 201, "text/plain; charset=utf-8", b"made"),
        (iter(["a", "b"]), 200, "text/html; charset=utf-8", b"ab"),
    ],
)
def test_a_coroutine_returns_what_a_function_does(server, value, status, kind, body):
    @server.urlHandler("/{name}")
    async def handler(request, name):
        await asyncio.sleep(0)
        assert name == request.pathParameters()["name"] == "x"
        return value

    with running(server):
        answer = fetch(server, "/x")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (status, kind, body)


def test_an_async_generator_function_is_a_stream(server):
    @server.urlHandler("/")
    async def handler(request):
        for piece in ("a", "b"):
            await asyncio.sleep(0)
            yield piece

    with running(server):
        answer = fetch(server)
    assert (answer.body, answer.headers["Transfer-Encoding"]) == (b"ab", "chunked")


def test_a_coroutine_returns_streams_of_all_kinds(server, tmp_path):
    (tmp_path / "file").write_bytes(b"in a file")

    async def pieces():
        yield b"piece"

    async def events():
        yield {"data": "event"}

    made = {
        "/async": lambda: Response(pieces()),
        "/plain": lambda: Response(iter(["piece"])),
        "/events": lambda: hwebserver.eventStreamResponse(events()),
        "/file": lambda: hwebserver.fileResponse(str(tmp_path / "file")),
    }

    @server.urlHandler("/", is_prefix=True)
    async def handler(request):
        return made[request.path()]()

    with running(server):
        bodies = {path: fetch(server, path).text for path in made}
    assert bodies["/async"] == bodies["/plain"] == "piece"
    assert "data: event" in bodies["/events"]
    assert bodies["/file"] == "in a file"


def test_head_runs_the_coroutine_and_drops_the_body(server):
    @server.urlHandler("/")
    async def handler(request):
        return "body"

    with running(server):
        answer = fetch(server, method="HEAD")
    assert (answer.body, answer.headers["Content-Length"]) == (b"", "4")


def test_a_plain_function_may_return_what_can_be_awaited(server):
    class Later:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "later"

    server.urlHandler("/")(lambda request: Later())
    with running(server):
        assert fetch(server).text == "later"


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "error",
    [RuntimeError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, StopAsyncIteration],
)
def test_whatever_a_coroutine_raises_is_a_500_and_costs_nobody_else_anything(
    server, error, debug, caplog
):
    @server.urlHandler("/fail")
    async def fail(request):
        await asyncio.sleep(0)
        raise error("the secret")

    @server.urlHandler("/")
    async def fine(request):
        return "fine"

    with running(server, debug=debug):
        answer = fetch(server, "/fail")
        assert fetch(server).text == "fine"
    assert answer.status == 500
    assert ("the secret" in answer.text) is debug
    (record,) = [one for one in caplog.records if one.name == "hwebserver.app"]
    assert "GET /fail" in record.getMessage()
    assert "the secret" in caplog.text


def test_an_http_error_of_a_coroutine_is_its_status(server):
    @server.urlHandler("/")
    async def handler(request):
        raise HTTPError(418, "I am a teapot.")

    with running(server):
        assert fetch(server).status == 418


def test_what_cannot_be_sent_is_a_500_that_names_it(server):
    @server.urlHandler("/")
    async def handler(request):
        return {"a": {1}}

    with running(server):
        answer = fetch(server, headers={"Accept": "application/json"})
    assert answer.status == 500
    assert "result['a'] is of type set" in answer.text


# --- API functions ---


def test_api_functions_may_be_coroutines(server):
    @server.apiFunction("ns", arg_types={"x": int})
    async def add(request, x, y=1):
        await asyncio.sleep(0)
        return x + y

    @server.apiFunction("ns", return_binary=True)
    async def binary(request):
        return b"\xff"

    with running(server):
        assert call(server, "ns.add", x=1, y=2).body == b"3"
        answer = fetch(server, "/api", "POST", "cmd_function=ns.add&x=4", {
            "Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip
        assert answer.body == b"5"
        assert call(server, "ns.binary").body == b"\xff"
        wrong = call(server, "ns.add", z=1)
        assert (wrong.status, "ns.add" in wrong.text) == (422, True)


def test_errors_of_api_functions_are_those_of_plain_ones(server):
    @server.apiFunction()
    async def refuse(request):
        raise APIError({"why": "no"})

    @server.apiFunction()
    async def fail(request):
        raise RuntimeError("the secret")

    @server.apiFunction()
    async def unsendable(request):
        return {1, 2}

    with running(server):
        refused = call(server, "refuse")
        assert (refused.status, json.loads(refused.body)) == (422, {"error": {"why": "no"}})
        assert call(server, "fail").status == 500
        answer = call(server, "unsendable")
        assert (answer.status, "set" in answer.text) == (500, True)


# --- handler objects ---


def test_a_handler_object_answers_with_send_or_by_returning(server):
    class Sends(AsyncURLHandler):
        async def handle(self, request):
            await asyncio.sleep(0)
            request.send(Response("sent", 201))

    class Returns(AsyncURLHandler):
        async def handle(self, request):
            return Response("returned", 202)

    server.insertHandlerForPort(Sends("/sends"))
    server.insertHandlerForPort(Returns("/returns", methods=["PUT"], allows_partial=True))
    with running(server):
        answer = fetch(server, "/sends")
        assert (answer.status, answer.text) == (201, "sent")
        assert fetch(server, "/returns/below", "PUT").status == 202
        assert fetch(server, "/returns").status == 405


@pytest.mark.parametrize("plain", [False, True])
def test_a_callback_handler_is_one_around_a_function(server, plain):
    names = []

    async def coroutine(request, name):
        names.append(threading.current_thread().name)
        return name

    def function(request, name):
        names.append(threading.current_thread().name)
        return name

    callback = function if plain else coroutine
    server.insertHandlerForPort(AsyncURLCallbackHandler("/{name}", callback))
    with running(server):
        assert fetch(server, "/a").text == "a"
    assert names[0].endswith("-asyncio")
    with pytest.raises(OperationFailed):
        AsyncURLCallbackHandler("/", "no function")


def test_a_handler_object_without_a_handle_of_its_own_is_a_500(server):
    server.insertHandlerForPort(AsyncURLHandler("/"))
    with running(server):
        assert fetch(server).status == 500


def test_a_coroutine_sends_by_hand(server):
    @server.urlHandler("/")
    async def handler(request):
        response = Response(b"", 201, "text/plain")
        request.sendHeaders(response)
        for piece in ("a", b"b"):
            await asyncio.sleep(0)
            request.sendBody(piece)

    with running(server), connect(server) as sock:
        for _ in range(2):
            sock.sendall(get())
            answer = receive_response(sock)
            assert (answer.status, answer.body) == (201, b"ab")


def test_a_coroutine_that_fails_behind_the_head_leaves_the_response_unfinished(server, caplog):
    @server.urlHandler("/")
    async def handler(request):
        request.sendHeaders(Response(b"", 200, "text/plain"))
        request.sendBody("a")
        await asyncio.sleep(0)
        raise RuntimeError("broken")

    with running(server), pytest.raises(http.client.IncompleteRead):
        fetch(server)
    assert "broken" in caplog.text


# --- who waits ---


def test_all_run_on_one_thread_that_the_first_one_starts(server):
    threads = set()

    @server.urlHandler("/")
    async def handler(request):
        threads.add(threading.current_thread())

    server.urlHandler("/plain")(lambda request: "plain")
    with running(server):
        fetch(server, "/plain")
        assert not loop_threads()
        for _ in range(3):
            fetch(server)
        assert set(loop_threads()) == threads
        assert len(threads) == 1


def test_200_coroutines_wait_and_hold_no_worker(server):
    waiting, release = [], []

    @server.urlHandler("/wait")
    async def wait(request):
        event = asyncio.Event()
        release.append((asyncio.get_running_loop(), event))
        waiting.append(request)
        await event.wait()
        return "waited"

    server.urlHandler("/page")(lambda request: "page")
    settings = {"BACKLOG": 256}
    with running(server, max_num_threads=1, settings=settings), contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(server)) for _ in range(200)]
        for sock in socks:
            sock.sendall(get("wait"))
        wait_until(lambda: len(waiting) == 200)
        assert fetch(server, "/page").text == "page"
        for loop, event in release:
            loop.call_soon_threadsafe(event.set)
        assert {receive_response(sock).body for sock in socks} == {b"waited"}


def test_requests_behind_a_coroutine_are_answered_in_order(server):
    @server.urlHandler("/wait/{n:int}")
    async def wait(request, n):
        await asyncio.sleep(0.001 * (4 - n))
        return str(n)

    server.urlHandler("/page")(lambda request: "page")
    with running(server), connect(server) as sock:
        paths = ["wait/1", "page", "wait/2", "wait/3", "page"]
        sock.sendall(b"".join(map(get, paths)))
        data = receive_until(sock, b"\r\n\r\n3")
        sock.sendall(get("wait/4").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        data += receive_all(sock)
    assert re.findall(rb"\r\n\r\n(page|\d)", data) == [b"1", b"page", b"2", b"3", b"page", b"4"]


def test_a_coroutine_whose_client_has_left_is_cancelled(server, caplog):
    began, ended = threading.Event(), []

    @server.urlHandler("/")
    async def handler(request):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with running(server):
        with connect(server) as sock:
            sock.sendall(get())
            assert began.wait(PATIENCE)
        wait_until(lambda: ended)
    assert logged(caplog) == []


def test_a_coroutine_that_is_not_cancelled_in_its_cleaning_up_keeps_its_upload(server, caplog):
    began, ended = threading.Event(), []

    @server.urlHandler("/", methods=["POST"])
    async def handler(request):
        path = request.files()["a"].temporaryFilePath()
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            ended.append((path, os.path.exists(path)))
            raise RuntimeError("while cleaning up") from None

    body = (
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n12345\r\n--x--\r\n'
    )
    with running(server, max_in_memory_file_upload_size=1):
        with connect(server) as sock:
            sock.sendall(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n%b" % (len(body), body)
            )
            assert began.wait(PATIENCE)
        wait_until(lambda: ended)
        path, was_there = ended[0]
        assert was_there
        wait_until(lambda: not os.path.exists(path))
    assert "while cleaning up" in caplog.text


def test_what_a_coroutine_returns_for_a_client_that_has_left_is_let_go_of(server):
    began, closed = threading.Event(), threading.Event()

    class Pieces:
        def __iter__(self):
            return self

        def __next__(self):
            raise StopIteration

        def close(self):
            closed.set()

    @server.urlHandler("/")
    async def handler(request):
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Response(Pieces())

    with running(server):
        with connect(server) as sock:
            sock.sendall(get())
            assert began.wait(PATIENCE)
        assert closed.wait(PATIENCE)


def test_a_body_is_there_for_the_coroutine_and_gone_behind_it(server):
    paths = []

    @server.urlHandler("/", methods=["POST"])
    async def handler(request):
        upload = request.files()["a"]
        paths.append(upload.temporaryFilePath())
        await asyncio.sleep(0.001)
        return upload.read()

    body = (
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n12345\r\n--x--\r\n'
    )
    fields = {"Content-Type": "multipart/form-data; boundary=x"}
    with running(server, max_in_memory_file_upload_size=1):
        assert fetch(server, "/", "POST", body, fields).body == b"12345"
        wait_until(lambda: not os.path.exists(paths[0]))


# --- the end of the server ---


def test_coroutines_that_wait_finish_at_the_shutdown(server):
    began, events = threading.Event(), []

    @server.urlHandler("/")
    async def handler(request):
        events.append((asyncio.get_running_loop(), asyncio.Event()))
        began.set()
        await events[0][1].wait()
        return "finished"

    with running(server), connect(server) as sock:
        sock.sendall(get())
        assert began.wait(PATIENCE)
        server.requestShutdown()
        wait_until(lambda: is_refused(server))
        loop, event = events[0]
        loop.call_soon_threadsafe(event.set)
        answer = receive_response(sock)
        assert (answer.body, answer.headers["Connection"]) == (b"finished", "close")


def is_refused(server):
    try:
        connect(server).close()
    except (ConnectionError, OperationFailed):
        return True
    return False


def test_coroutines_that_do_not_finish_are_cancelled_behind_the_timeout(server):
    began, ended = threading.Event(), []

    @server.urlHandler("/")
    async def handler(request):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with running(server, settings={"SHUTDOWN_TIMEOUT": 0.05}), connect(server) as sock:
        sock.sendall(get())
        assert began.wait(PATIENCE)
        server.requestShutdown()
        assert receive_all(sock) == b""
        wait_until(lambda: not server.isRunning())
        assert ended == ["cancelled"]


def test_a_second_run_has_a_new_loop(server):
    loops = []

    @server.urlHandler("/")
    async def handler(request):
        loops.append(asyncio.get_running_loop())

    for _ in range(2):
        with running(server):
            fetch(server)
    assert loops[0] is not loops[1]
    assert loops[0].is_closed()


# --- the host's own loop ---


@pytest.fixture
def host_loop():
    """A loop that runs on a thread of the test's, as a host's does."""
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever, name="host")
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_everything_runs_on_a_loop_that_was_given(server, host_loop):
    names = set()

    def here():
        names.add(threading.current_thread().name)

    @server.urlHandler("/")
    async def handler(request):
        here()
        return "answer"

    @server.urlHandler("/stream")
    async def stream(request):
        here()
        yield "piece"

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def receive(self, message):
            here()
            await self.send(message)

    server.setAsyncioLoop(host_loop)
    for _ in range(2):
        with running(server):
            assert fetch(server).text == "answer"
            assert fetch(server, "/stream").text == "piece"
            with websocket(server) as client:
                client.send(text("a"), close())
                assert client.message() == "a"
                client.ended()
        assert host_loop.is_running()
    assert names == {"host"}
    assert not loop_threads()


def test_the_stop_cancels_what_is_ours_on_the_loop_and_nothing_else(server, host_loop):
    began, ended = threading.Event(), []

    async def host_task():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("host")

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def receive(self, message):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("ours")

    task = asyncio.run_coroutine_threadsafe(host_task(), host_loop)
    server.setAsyncioLoop(host_loop)
    with running(server, settings={"SHUTDOWN_TIMEOUT": 0.05}), websocket(server) as client:
        client.send(text("a"))
        assert began.wait(PATIENCE)
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        assert ended == ["ours"]
    assert host_loop.is_running()
    task.cancel()
    wait_until(lambda: ended == ["ours", "host"])


def test_the_host_may_ask_from_its_own_loop(server, host_loop):
    """The server is started and stopped, and a socket is sent to, on the thread of the loop."""
    server.webSocket("/")(type("Socket", (hwebserver.WebSocket,), {}))
    server.setAsyncioLoop(host_loop)

    async def start():
        server.run(port=0, in_background=True)

    async def send():
        for socket in server.webSockets("/"):
            await socket.send("from the host")

    async def stop():
        server.requestShutdown()
        while server.isRunning():
            await asyncio.sleep(0.001)

    def on_loop(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, host_loop).result(PATIENCE)

    on_loop(start())
    with websocket(server) as client:
        wait_until(lambda: server.webSockets("/"))
        on_loop(send())
        assert client.message() == "from the host"
    on_loop(stop())
    assert not server.isRunning()


def test_a_loop_that_is_closed_under_a_running_server_costs_answers_and_nothing_else(server):
    @server.urlHandler("/")
    async def handler(request):
        return "answer"

    server.urlHandler("/page")(lambda request: "page")
    loop = asyncio.SelectorEventLoop()
    server.setAsyncioLoop(loop)
    with running(server):
        loop.close()
        answer = fetch(server)
        assert (answer.status, "closed" in answer.text) == (503, True)
        assert fetch(server, "/page").text == "page"
    with pytest.raises(OperationFailed, match="closed"):
        server.run(port=0, in_background=True)


class NoSockets(asyncio.SelectorEventLoop):
    """A loop that watches no sockets, as Windows' own does not."""

    add_reader = asyncio.AbstractEventLoop.add_reader


def test_a_loop_that_watches_no_sockets_serves_no_websockets_and_the_log_says_why(server, caplog):
    server.webSocket("/")(type("Socket", (hwebserver.WebSocket,), {}))

    @server.urlHandler("/")
    async def handler(request):
        return "answer"

    loop = NoSockets()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server.setAsyncioLoop(loop)
        with running(server):
            with connect(server) as sock:
                sock.sendall(head())
                assert receive_response(sock).status == 500
            assert fetch(server).text == "answer"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert "NoSockets, watches no sockets" in caplog.text


def test_what_is_no_loop_is_refused_and_so_is_a_loop_for_a_server_that_runs(server):
    closed = asyncio.SelectorEventLoop()
    closed.close()
    for wrong in (closed, object(), "loop"):
        with pytest.raises(OperationFailed, match="setAsyncioLoop"):
            server.setAsyncioLoop(wrong)
    with running(server), pytest.raises(OperationFailed, match="before run"):
        server.setAsyncioLoop(None)
    server.setAsyncioLoop(None)
    assert server.isAsyncioEnabled() is hwebserver.isAsyncioEnabled() is True
    assert hwebserver.setAsyncioLoop.__func__ is Server.setAsyncioLoop


# --- a loop that is blocked ---


@pytest.fixture
def looks(monkeypatch):
    """The times at which somebody looked whether a loop is alive."""
    times = []
    look = watchdog.Watchdog.look

    def counted(self, now):
        look(self, now)
        times.append(now)

    monkeypatch.setattr(watchdog.Watchdog, "look", counted)
    return times


def wait_for_looks(looks, count=8):
    seen = len(looks)
    wait_until(lambda: len(looks) >= seen + count)


@pytest.fixture
def impatient(server, monkeypatch):
    """A server that says soon what blocks its loop."""
    monkeypatch.setattr(watchdog, "SILENCE", 0.03)
    server.setSettingsForPort({"LINGER_TIMEOUT": 0.02})  # so deadlines are looked at often
    return server


def test_a_coroutine_that_blocks_the_loop_is_named_in_the_log_once(impatient, caplog, looks):
    go_on = threading.Event()

    def computes_long():
        go_on.wait(PATIENCE)

    @impatient.urlHandler("/")
    async def rude(request):
        computes_long()
        return "answer"

    def said():
        return [one.getMessage() for one in caplog.records if "blocked" in one.getMessage()]

    with running(impatient), connect(impatient) as sock:
        sock.sendall(get())
        wait_until(said)
        wait_for_looks(looks)  # It is not said again.
        go_on.set()
        assert receive_response(sock).body == b"answer"
    (message,) = said()
    line = rude.__code__.co_firstlineno + 2
    assert re.search(
        rf"blocked for [\d.]+ s by .*rude \({re.escape(__file__)}, line {line}\)", message
    )


def test_a_callback_that_blocks_the_loop_is_named_too(impatient, caplog):
    go_on = threading.Event()

    def callback():
        go_on.wait(PATIENCE)

    @impatient.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            await self.accept()
            asyncio.get_running_loop().call_soon(callback)

    with running(impatient), websocket(impatient):
        wait_until(lambda: "callback" in caplog.text)
        go_on.set()


def test_a_coroutine_is_found_on_a_loop_of_another_kind():
    """Not every loop is written in Python, or has what asyncio's has."""
    began, go_on = threading.Event(), threading.Event()

    def block():
        began.set()
        go_on.wait(PATIENCE)

    async def rude():
        block()

    def run(function):
        with contextlib.suppress(StopIteration):
            function()

    for function, name in ((lambda: rude().send(None), "rude ("), (block, "")):
        began.clear()
        go_on.clear()
        thread = threading.Thread(target=run, args=(function,))
        thread.start()
        assert began.wait(PATIENCE)
        place = watchdog._find_place(thread.ident)
        go_on.set()
        thread.join()
        assert name in place if name else not place


def test_a_loop_that_only_waits_is_not_blamed(impatient, caplog, looks):
    @impatient.webSocket("/")
    class Socket(hwebserver.WebSocket):
        pass

    with running(impatient), websocket(impatient):
        wait_for_looks(looks)
    assert logged(caplog) == []


def test_a_loop_that_nobody_runs_is_not_blamed(impatient, caplog, looks):
    loop = asyncio.SelectorEventLoop()

    @impatient.urlHandler("/")
    async def handler(request):
        return "answer"

    impatient.setAsyncioLoop(loop)
    with running(impatient), connect(impatient) as sock:
        sock.sendall(get())
        wait_for_looks(looks)
        loop.call_later(0.05, loop.stop)
        loop.run_forever()  # as hosts do now and then
        receive_until(sock, b"answer")
        impatient.requestShutdown()
        wait_until(lambda: pumped(loop) and not impatient.isRunning())
    loop.close()
    assert logged(caplog) == []


def pumped(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()
    return True
