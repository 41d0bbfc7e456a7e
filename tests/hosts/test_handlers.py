"""Handlers on the main thread: they hold no worker, and are dropped with their clients."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import time

import pytest
from asgi_driver import Driver, answer_of, http_scope
from hosts.mainloop import Beside, Loop, on_main
from support import PATIENCE, connect, fetch, receive_all, running, wait_until
from test_wsgi_app import wsgiref_serving

import hwebserver
from hwebserver import OperationFailed, setMainThreadAdapter
from hwebserver.hosts.mainthread import dispatcher

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def nothing_waits():
    """See that a test leaves no call behind."""
    yield
    setMainThreadAdapter(None)
    dispatcher.timeout = 30.0
    assert not dispatcher._calls


def queued(count=1):
    wait_until(lambda: len(dispatcher._calls) == count)


def ask(server, path="/", **arguments):
    """Make a request beside the main thread, and serve that until there is an answer."""
    return Beside(lambda: fetch(server, path, **arguments)).served()


def call(server, body):
    return ask(server, "/api", method="POST", body=body, headers=FORM)


# --- where they run ---


def test_a_handler_runs_on_the_main_thread(server):
    server.urlHandler("/{name}/{number:int}", main_thread=True)(
        lambda request, name, number: [on_main(), name, number, request.GET()["q"]]
    )
    with running(server):
        assert ask(server, "/a/3?q=x").body == b'[true, "a", 3, "x"]'


def test_a_handler_gets_its_body_there(server):
    server.urlHandler("/", main_thread=True)(lambda request: [on_main(), len(request.body())])
    with running(server):
        assert ask(server, method="POST", body=b"x" * 300_000).body == b"[true, 300000]"


def test_an_api_function_runs_on_the_main_thread(server):
    @server.apiFunction("ns", arg_types={"x": int}, main_thread=True)
    def double(request, x):
        return [on_main(), 2 * x]

    with running(server):
        assert call(server, "cmd_function=ns.double&x=4").body == b"[true, 8]"
        wrong = call(server, "cmd_function=ns.double&x=four")
    assert wrong.status == 422
    assert "argument 'x'" in wrong.text


def test_others_run_beside_it(server):
    server.urlHandler("/main", main_thread=True)(lambda request: [on_main()])
    server.urlHandler("/other")(lambda request: [on_main()])
    with running(server):
        assert ask(server, "/main").body == b"[true]"
        assert ask(server, "/other").body == b"[false]"


def test_what_it_returns_is_made_a_response_of_on_a_worker(server):
    class Data:
        pass

    def written(data):
        return [on_main()]

    @server.apiFunction(main_thread=True, json_default=written)
    def data(request):
        return Data()

    with running(server):
        assert call(server, "cmd_function=data").body == b"[false]"


def test_the_decorator_returns_the_function_and_it_is_found(server):
    def handler(request):
        return "found"

    assert server.urlHandler("/here", main_thread=True)(handler) is handler
    assert server.findHandlerForPort("/here") is handler


async def coroutine(request):
    return "never"


class CoroutineObject:
    async def __call__(self, request):
        return "never"


@pytest.mark.parametrize("function", [coroutine, CoroutineObject()])
def test_a_coroutine_function_on_the_main_thread_is_refused(server, function):
    with pytest.raises(OperationFailed, match="coroutine function, which runs on the asyncio"):
        server.urlHandler("/", main_thread=True)(function)


def test_a_coroutine_api_function_on_the_main_thread_is_refused(server):
    with pytest.raises(OperationFailed, match="coroutine function, which runs on the asyncio"):
        server.registerAPIFunction(coroutine, main_thread=True)


# --- all of them ---


@pytest.fixture
def all_on_main(server, tmp_path):
    """A server whose plain handlers all run on the main thread, with one of each kind."""
    (tmp_path / "file.txt").write_text("a file")

    class Where(hwebserver.URLHandler):
        def handle(self, request):
            return [on_main()]

    def mounted(environ, start_response):
        start_response("200 OK", [])
        return [b"[true]" if on_main() else b"[false]"]

    async def waiting(request):
        return [on_main()]

    server.urlHandler("/plain")(lambda request: [on_main()])
    server.urlHandler("/named/{name}")(lambda request, name: [on_main()])
    server.urlHandler("/both", main_thread=True)(lambda request: [on_main()])
    server.insertHandlerForPort(Where("/object"))
    server.urlHandler("/coroutine")(waiting)
    server.registerWSGIApp(mounted, "/mounted")
    server.registerStaticFilesDirectory(str(tmp_path), "/files")
    server.registerAPIFunction(lambda_named("plain_api", lambda request: [on_main()]))
    server.registerAPIFunction(waiting)
    server.setSettingsForPort({"MAIN_THREAD_HANDLERS": True})
    with running(server):
        yield server


def lambda_named(name, function):
    function.__name__ = name
    return function


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/plain", b"[true]"),
        ("/named/a", b"[true]"),
        ("/both", b"[true]"),
        ("/object", b"[true]"),
        ("/coroutine", b"[false]"),
        ("/mounted", b"[false]"),
        ("/files/file.txt", b"a file"),
    ],
)
def test_the_setting_means_plain_handlers_alone(all_on_main, path, there):
    assert ask(all_on_main, path).body == there


@pytest.mark.parametrize(("name", "there"), [("plain_api", b"[true]"), ("waiting", b"[false]")])
def test_the_setting_means_plain_api_functions_alone(all_on_main, name, there):
    assert call(all_on_main, f"cmd_function={name}").body == there


# --- nobody waits for it ---


def test_what_waits_for_the_main_thread_holds_no_worker(server):
    server.urlHandler("/main", main_thread=True)(lambda request: "main")
    server.urlHandler("/other")(lambda request: "other")
    with running(server, max_num_threads=1):
        waiting = [Beside(lambda: fetch(server, "/main")) for _ in range(5)]
        queued(5)
        assert fetch(server, "/other").body == b"other"
        assert [one.served().body for one in waiting] == [b"main"] * 5


def test_requests_of_one_connection_are_answered_in_their_order(server):
    server.urlHandler("/main", main_thread=True)(lambda request: "one")
    server.urlHandler("/other")(lambda request: "two")
    with running(server), connect(server) as sock:
        sock.sendall(b"GET /main HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sock.sendall(b"GET /other HTTP/1.0\r\nHost: localhost\r\n\r\n")
        queued()
        dispatcher.process()
        answers = receive_all(sock)
    assert answers.index(b"one") < answers.index(b"two")


def test_a_client_that_leaves_takes_what_has_not_begun_along(server):
    ran = []
    server.urlHandler("/", main_thread=True)(lambda request: ran.append(1))
    with running(server):
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            queued()
        queued(0)
        assert dispatcher.process() == 0
        wait_until(lambda: not server.statistics()["connections"])
    assert ran == []


def test_what_has_begun_ends_though_its_client_has_left(server):
    seen = []

    def handler(request):
        sock.close()
        wait_until(lambda: connection()._left)
        seen.append(request.headers()["Host"])
        return "nobody reads this"

    def connection():
        return next(iter(server._pool._poller._connections))

    server.urlHandler("/", main_thread=True)(handler)
    with running(server):
        sock = connect(server)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        queued()
        dispatcher.process()
        assert seen == ["localhost"]
        wait_until(lambda: not server.statistics()["connections"])


def test_the_end_of_the_server_drops_what_has_not_begun(server):
    ran = []
    server.urlHandler("/", main_thread=True)(lambda request: ran.append(1))
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.05})
    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        queued()
        server.requestShutdown()
        assert receive_all(sock) == b""
    assert dispatcher.process() == 0
    assert ran == []


def test_a_server_that_ends_waits_for_what_the_main_thread_does_in_time(server):
    server.urlHandler("/", main_thread=True)(lambda request: "in time")
    with running(server):
        asked = Beside(lambda: fetch(server))
        queued()
        server.requestShutdown()
        assert asked.served().body == b"in time"


# --- what goes wrong ---


def test_a_handler_that_the_main_thread_does_not_take_in_time_gets_503(server, caplog):
    def slow_to_begin(request):
        raise AssertionError("it was called")

    server.urlHandler("/late", main_thread=True)(slow_to_begin)
    server.setSettingsForPort({"MAIN_THREAD_TIMEOUT": 0.04})
    with running(server), caplog.at_level(logging.WARNING):
        answer = fetch(server, "/late")
        assert (answer.status, "main thread" in answer.text) == (503, True)
        wait_until(lambda: "GET /late got 503" in caplog.text)
    assert "slow_to_begin has not begun on the main thread" in caplog.text
    assert dispatcher.process() == 0


def test_a_call_in_a_handler_that_comes_too_late_is_503_as_well(server):
    server.urlHandler("/")(lambda request: hwebserver.callInMainThread(int, timeout=0.01))
    with running(server):
        assert fetch(server).status == 503


def test_while_the_main_thread_waits_for_us_such_a_handler_gets_503_at_once(server):
    server.urlHandler("/", main_thread=True)(lambda request: "never")
    with running(server), dispatcher.hold("an answer of this server"):
        assert fetch(server).status == 503


def fail(error):
    def handler(request):
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("broken"), 500), (hwebserver.HTTPError(409, "taken"), 409), (SystemExit(1), 500)],
)
def test_what_a_handler_raises_there_is_answered_as_ever(server, error, status, caplog):
    server.urlHandler("/", main_thread=True)(fail(error))
    with running(server):
        assert ask(server).status == status


def test_what_an_api_function_raises_there_is_answered_as_ever(server):
    server.registerAPIFunction(
        lambda_named("refuse", fail(hwebserver.APIError("no"))), main_thread=True
    )
    with running(server):
        answer = call(server, "cmd_function=refuse")
    assert (answer.status, answer.body) == (422, b'{"error": "no"}')


def test_a_function_that_returns_a_coroutine_there_gets_500(server, caplog):
    server.urlHandler("/", main_thread=True)(lambda request: coroutine(request))  # noqa: PLW0108
    with running(server):
        assert ask(server).status == 500
    assert "plain function, not a coroutine" in caplog.text


# --- by hand ---


def test_a_handler_may_send_its_response_from_there(server):
    server.urlHandler("/", main_thread=True)(
        lambda request: request.send(hwebserver.Response(f"sent {on_main()}"))
    )
    with running(server):
        assert ask(server).body == b"sent True"


def test_a_handler_may_send_piece_by_piece_from_there(server):
    def handler(request):
        response = hwebserver.Response("")
        response.setHeader("Transfer-Encoding", "chunked")
        request.sendHeaders(response)
        for piece in (b"one ", b"two"):
            request.sendBody(piece)

    server.urlHandler("/", main_thread=True)(handler)
    with running(server):
        assert ask(server).body == b"one two"


def test_an_iterator_that_is_returned_is_read_by_workers(server):
    def pieces():
        yield f"{on_main()}"

    server.urlHandler("/", main_thread=True)(lambda request: pieces())
    with running(server):
        assert ask(server).body == b"False"


# --- a run that holds the main thread ---


@pytest.fixture
def foreground(server, monkeypatch):
    """Run a server on the main thread, with something else beside that ends it."""
    # Looking around now and then would do in the end, but late: nothing may rely on it.
    monkeypatch.setattr("hwebserver.hosts.dispatcher._LOOK", PATIENCE)

    def run(beside, **arguments):
        def visit():
            wait_until(server.isRunning)
            try:
                return beside()
            finally:
                server.requestShutdown()

        visitor, began = Beside(visit), time.monotonic()
        server.run(0, in_background=False, **arguments)
        assert time.monotonic() - began < PATIENCE, "it was not woken"
        return visitor.join()

    return run


def test_a_run_in_the_foreground_runs_the_calls_itself(server, foreground):
    server.urlHandler("/main", main_thread=True)(lambda request: [on_main()])
    server.urlHandler("/call")(lambda request: [hwebserver.callInMainThread(on_main)])
    bodies = foreground(lambda: [fetch(server, path).body for path in ("/main", "/call")])
    assert bodies == [b"[true]", b"[true]"]
    assert not dispatcher._waits


def test_such_a_run_takes_what_was_called_before_it_came_to_wait(server, foreground):
    got = []

    def early(port):
        asked.append(Beside(lambda: got.append(hwebserver.callInMainThread(on_main))))
        queued()

    asked = []
    foreground(lambda: wait_until(lambda: got), port_callback=early)
    asked[0].join()
    assert got == [True]


def test_such_a_run_ends_while_a_handler_waits_for_its_call(server, foreground):
    def handler(request):
        server.requestShutdown()
        return [hwebserver.callInMainThread(on_main)]

    server.urlHandler("/")(handler)
    assert foreground(lambda: fetch(server).body) == b"[true]"


def test_a_coroutine_that_wants_the_main_thread_at_the_end_does_not_hang(server, foreground):
    outcome = []

    async def handler(request):
        try:
            await asyncio.Event().wait()
        finally:  # The loop ends it, and the main thread comes to wait for the loop.
            while not any(one.why for one in dispatcher._waits):
                with contextlib.suppress(asyncio.CancelledError):  # more than once
                    await asyncio.sleep(0.001)
            try:
                hwebserver.callInMainThread(on_main)
            except OperationFailed as error:
                outcome.append(str(error))

    server.urlHandler("/")(handler)
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.05})

    def leave_one_waiting():
        sock = connect(server)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: any(one._awaited for one in list(server._pool._poller._connections)))
        return sock

    foreground(leave_one_waiting).close()
    assert ["waits for the end of the server" in one for one in outcome] == [True]


# --- in other servers ---


@pytest.fixture
def outside(server):
    """A server of which others serve the handlers."""
    server.urlHandler("/main", main_thread=True)(lambda request: [on_main()])
    server.urlHandler("/fail", main_thread=True)(fail(ValueError("broken")))
    return server


def wsgi_get(place, path):
    connection = http.client.HTTPConnection(*place, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()


def test_under_wsgi_it_runs_where_it_is_if_nothing_serves_the_main_thread(outside, caplog):
    app = outside.wsgiApp()
    with wsgiref_serving(app) as place:
        assert wsgi_get(place, "/main") == (200, b"[false]")
        assert wsgi_get(place, "/fail")[0] == 500
    app.close()


def test_under_wsgi_it_runs_on_the_main_thread_if_that_is_served(outside):
    loop = Loop()
    setMainThreadAdapter(loop.post)
    app = outside.wsgiApp()
    with wsgiref_serving(app) as place:
        asked = Beside(lambda: wsgi_get(place, "/main"))
        loop.until(lambda: asked.over)
        assert asked.join() == (200, b"[true]")
    app.close()


def test_under_wsgi_it_gets_503_when_it_is_not_taken_in_time(outside):
    setMainThreadAdapter(Loop().post)
    outside.setSettingsForPort({"MAIN_THREAD_TIMEOUT": 0.02})
    app = outside.wsgiApp()
    with wsgiref_serving(app) as place:
        assert wsgi_get(place, "/main")[0] == 503
    app.close()


def asgi_get(driver, path):
    call = driver.begin(http_scope(path, headers={"Host": "localhost"}), {"type": "http.request"})
    call.end()
    return answer_of(call.sent)


def test_under_asgi_it_runs_where_it_is_if_nothing_serves_the_main_thread(outside, caplog):
    with Driver(outside.asgiApp()) as driver:
        assert asgi_get(driver, "/main").body == b"[false]"
        assert asgi_get(driver, "/fail").status == 500


def test_under_asgi_it_runs_on_the_main_thread_if_that_is_served(outside):
    loop = Loop()
    setMainThreadAdapter(loop.post)
    with Driver(outside.asgiApp()) as driver:
        asked = Beside(lambda: asgi_get(driver, "/main"))
        loop.until(lambda: asked.over)
        assert asked.join().body == b"[true]"


def test_under_asgi_it_gets_503_when_it_is_not_taken_in_time(outside):
    setMainThreadAdapter(Loop().post)
    outside.setSettingsForPort({"MAIN_THREAD_TIMEOUT": 0.02})
    with Driver(outside.asgiApp()) as driver:
        assert asgi_get(driver, "/main").status == 503


def test_under_asgi_a_client_that_leaves_takes_what_has_not_begun_along(outside):
    setMainThreadAdapter(Loop().post)
    with Driver(outside.asgiApp()) as driver:
        scope = http_scope("/main", headers={"Host": "localhost"})
        call = driver.begin(scope, {"type": "http.request"})
        queued()
        call.tell({"type": "http.disconnect"})
        call.end()
    assert dispatcher.process() == 0


def test_under_asgi_it_runs_on_a_loop_that_is_the_main_threads(outside):
    app = outside.asgiApp()
    sent = []

    async def program():
        events = asyncio.Queue()
        events.put_nowait({"type": "http.request"})

        async def send(event):
            sent.append(event)

        await app(http_scope("/main", headers={"Host": "localhost"}), events.get, send)

    asyncio.run(program())
    app.close()
    assert answer_of(sent).body == b"[true]"
