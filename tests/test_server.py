"""The life of a server: ports, start, stop, restart."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
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

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def taken():
    """A port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_answers_a_handler(server):
    server.urlHandler("/")(lambda request: "hello")
    with running(server):
        answer = fetch(server)
    assert (answer.status, answer.body) == (200, b"hello")


def test_runs_with_nothing_registered(server):
    with running(server):
        assert fetch(server).status == 404


# --- ports ---


def test_port_0_lets_the_system_choose(server):
    with running(server, port=0):
        assert server.port() > 1023
        assert server.url() == f"http://127.0.0.1:{server.port()}/"
        assert server.url("a/b") == f"http://127.0.0.1:{server.port()}/a/b"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_listens_on_both_loopback_addresses_and_nowhere_else(server):
    server.urlHandler("/")(lambda request: request.serverAddress()[0])
    with running(server):
        with socket.create_connection(("::1", server.port()), timeout=PATIENCE) as sock:
            sock.sendall(REQUEST)
            assert receive_response(sock).body == b"::1"
        assert fetch(server).body == b"127.0.0.1"
        with pytest.raises(OSError):  # noqa: PT011
            socket.create_connection(("127.0.0.2", server.port()), timeout=PATIENCE)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_port_in_use_on_the_other_loopback_address_is_in_use(server):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        number = other.getsockname()[1]
        with pytest.raises(hwebserver.OperationFailed, match=f"{number} of ::1"):
            server.run(number, in_background=True)
        server.setSettingsForPort({"IPV6": False})
        with running(server, port=number):
            assert server.port() == number


def test_a_port_in_use_raises_in_the_callers_thread_and_says_which_and_why(server, taken):
    with pytest.raises(hwebserver.OperationFailed, match=rf"{taken} of 127.0.0.1: .*in use"):
        server.run(taken, in_background=True)
    assert not server.isRunning()


def test_a_port_that_is_not_permitted_raises(server, monkeypatch):
    def refuse(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hwebserver.net.listener.Listener.server_bind", lambda self: refuse(1, 2))
    with pytest.raises(hwebserver.OperationFailed, match=r"80 of 127.0.0.1: Permission denied"):
        server.run(80, in_background=True)


@pytest.mark.parametrize("number", [-2, 65536, 1 << 40])
def test_a_number_that_is_no_port_raises(server, number):
    with pytest.raises(hwebserver.OperationFailed, match=r"must be at (least|most)"):
        server.run(number, in_background=True)


def test_the_next_ports_are_tried_in_order(server, taken):
    with running(server, port=taken, up_to_port=min(taken + 50, 65535)):
        assert taken < server.port() <= taken + 50


def test_without_a_port_left_the_first_failure_is_told(server, taken):
    with pytest.raises(hwebserver.OperationFailed, match=str(taken)):
        server.run(taken, up_to_port=taken, in_background=True)


def test_the_system_chooses_when_the_others_fail(server, taken):
    with running(server, port=taken, up_to_port=taken, use_free_port_on_failure=True):
        assert server.port() not in (0, taken)


def test_the_settings_give_the_port_when_run_does_not(server, taken):
    server.setSettingsForPort({"PORT": taken, "ALLOW_SYSTEM_PORT": True})
    with running(server, port=-1):
        assert server.port() != taken


def test_further_ports_by_number_and_by_name(server, taken):
    server.setSettingsForPort({"PORT": 0}, "render")
    server.urlHandler("/", ports=["render"])(lambda request: "render")
    server.urlHandler("/", ports=[""])(lambda request: "main")
    server.urlHandler("/all", ports=[-1])(lambda request: request.portName())
    with running(server, ports=["render", ("farm", 0)]):
        assert len({server.port(), server.port("render"), server.port("farm")}) == 3
        assert fetch(server).body == b"main"
        assert fetch(server, port="render").body == b"render"
        assert fetch(server, "/all", port="farm").body == b"farm"
        assert fetch(server, port="farm").status == 404


def test_the_number_of_the_main_port_means_the_main_port(server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    server.urlHandler("/", ports=[number])(lambda request: "main")
    with running(server, port=number, ports=[number, 0, "main"]):
        assert fetch(server).body == b"main"


def test_what_is_said_of_the_number_of_the_main_port_is_said_of_the_main_port(server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    server.setSettingsForPort({"SERVER_HEADER": "by number"}, number)
    server.urlHandler("/")(lambda request: "old")
    server.urlHandler("/", ports=[number])(lambda request: "new")
    server.urlHandler("/n")(str)
    with running(server, port=number):
        answer = fetch(server)
        assert (answer.body, answer.headers["Server"]) == (b"new", "by number")
        assert server.findHandlerForPort("/n", number) is str


@pytest.mark.parametrize(
    "arguments",
    [
        {"ports": [("x", "8130")]},
        {"ports": [("x", 8130, 1)]},
        {"ports": [None]},
        {"port_callback": 5},
        {"verbosity": 7},
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_listens(server, arguments):
    with pytest.raises(hwebserver.OperationFailed):
        server.run(0, in_background=True, **arguments)
    assert not server.isRunning()


def test_truth_values_may_be_numbers_as_in_old_programs(server):
    with running(server, debug=1, use_free_port_on_failure=0):
        assert server.isInDebugMode() is True


def test_a_named_port_without_a_number_raises_and_leaves_nothing_open(server, taken):
    with pytest.raises(hwebserver.OperationFailed, match="'render' has no number"):
        server.run(0, ports=["render"], in_background=True)
    with pytest.raises(hwebserver.OperationFailed, match=str(taken)):
        server.run(0, ports=[("render", taken)], in_background=True)


def test_a_port_that_is_not_open_has_no_number(server):
    with pytest.raises(hwebserver.OperationFailed, match="not open"):
        server.port()
    with running(server), pytest.raises(hwebserver.OperationFailed, match="'render' is not open"):
        server.url("/", "render")


def test_the_callback_hears_of_every_port_when_it_listens(server):
    server.urlHandler("/")(lambda request: "there")
    heard = []

    def callback(name, number):
        heard.append((name, number, fetch(server, port=name).status))

    with running(server, ports=[("other", 0)], port_callback=callback):
        expected = [("main", server.port(), 200), ("other", server.port("other"), 404)]
        assert heard == expected


def test_a_callback_of_one_argument_hears_the_number_of_the_main_port(server):
    heard = []
    with running(server, ports=[("other", 0)], port_callback=heard.append):
        assert heard == [server.port()]


def test_a_callback_without_a_signature_gets_both(server):
    heard: dict[str, int] = {}
    with running(server, port_callback=heard.__setitem__):
        assert heard == {"main": server.port()}


def test_a_callback_that_raises_stops_nothing(server, caplog):
    def callback(name, number):
        raise ValueError("no")

    with running(server, port_callback=callback):
        assert fetch(server).status == 404
    assert "port_callback" in caplog.text


def test_a_callback_that_ends_the_program_leaves_no_server_behind(server):
    def callback(name, number):
        raise SystemExit(3)

    for arguments in ({"in_background": True}, {"in_background": False, "debug": True}):
        with pytest.raises(SystemExit):
            server.run(0, port_callback=callback, **arguments)
        wait_until(lambda: not server.isRunning())
    assert not [one for one in threading.enumerate() if one.name == "hwebserver-reload"]
    with running(server):
        assert fetch(server).status == 404


# --- start, stop, restart ---


def test_a_second_run_while_running_raises(server):
    with running(server), pytest.raises(hwebserver.OperationFailed, match="running already"):
        server.run(0, in_background=True)


def test_runs_again_on_the_same_port(server):
    server.urlHandler("/")(lambda request: "again")
    with running(server):
        number = server.port()
        with connect(server) as kept:
            kept.sendall(REQUEST)
            receive_response(kept)
            server.requestShutdown()
            assert receive_all(kept) == b""
    for _ in range(3):
        with running(server, port=number):
            assert (server.port(), fetch(server).body) == (number, b"again")


def test_registration_works_while_running_and_from_any_thread(server):
    with running(server):
        assert fetch(server, "/late").status == 404
        thread = threading.Thread(target=lambda: server.urlHandler("/late")(lambda request: "late"))
        thread.start()
        thread.join()
        assert fetch(server, "/late").body == b"late"


def test_a_kept_connection_sees_what_was_registered_meanwhile(server):
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST)
        assert receive_response(sock).status == 404
        server.urlHandler("/")(lambda request: "now")
        sock.sendall(REQUEST)
        assert receive_response(sock).body == b"now"


def test_two_servers_run_side_by_side():
    one, two = hwebserver.Server("one"), hwebserver.Server("two")
    one.urlHandler("/")(lambda request: "one")
    two.urlHandler("/")(lambda request: "two")
    with running(one), running(two):
        assert (fetch(one).body, fetch(two).body) == (b"one", b"two")


def test_shutdown_before_start_and_twice_is_no_error(server):
    server.requestShutdown()
    with running(server):
        server.requestShutdown()
        server.requestShutdown()
    server.requestShutdown()
    assert not server.isRunning()


def test_shutdown_from_a_handler_still_answers_it(server):
    @server.urlHandler("/")
    def stop(request):
        request.requestServerShutdown()
        server.requestShutdown()
        return "bye"

    with running(server):
        with connect(server) as sock:
            sock.sendall(REQUEST)
            answer = receive_response(sock)
            assert (answer.body, answer.headers["Connection"]) == (b"bye", "close")
            assert receive_all(sock) == b""
        wait_until(lambda: not server.isRunning())


def test_running_and_queued_requests_are_answered_at_shutdown_and_idle_ones_closed(server):
    begun, go = threading.Event(), threading.Event()

    @server.urlHandler("/")
    def slow(request):
        begun.set()
        assert go.wait(PATIENCE)
        return "done"

    with running(server, max_num_threads=1):
        idle, half, first, second = (connect(server) for _ in range(4))
        half.sendall(REQUEST[:20])
        first.sendall(REQUEST)
        assert begun.wait(PATIENCE)
        second.sendall(REQUEST)
        number = server.port()
        server.requestShutdown()
        assert receive_all(idle) == receive_all(half) == b""
        with pytest.raises(OSError):  # noqa: PT011
            socket.create_connection(("127.0.0.1", number), timeout=PATIENCE)
        assert server.isRunning()
        go.set()
        for sock in (first, second):
            assert receive_response(sock).body == b"done"
        for sock in (idle, half, first, second):
            sock.close()


def test_handlers_that_do_not_return_are_left_behind_after_the_timeout(server):
    begun, go = threading.Event(), threading.Event()

    @server.urlHandler("/")
    def hang(request):
        begun.set()
        go.wait(PATIENCE)
        return "late"

    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.05})
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST)
        assert begun.wait(PATIENCE)
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        assert receive_all(sock) == b""
        go.set()


def test_a_slow_reader_does_not_outlast_the_shutdown_timeout(server):
    server.urlHandler("/")(lambda request: b"x" * (16 << 20))
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.05})
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST)
        receive_until(sock, b"\r\n\r\n")
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        assert len(receive_all(sock)) < 16 << 20


def test_a_foreground_run_returns_after_a_shutdown_and_leaves_signals_alone(server):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def callback(name, number):
        threading.Thread(target=server.requestShutdown).start()

    server.run(0, in_background=False, port_callback=callback)
    assert not server.isRunning()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_foreground_run_works_off_the_main_thread(server):
    server.urlHandler("/")(lambda request: "side")
    thread = threading.Thread(target=server.run, args=(0,), kwargs={"in_background": False})
    thread.start()
    wait_until(server.isRunning)
    wait_until(lambda: server._open)
    assert fetch(server).body == b"side"
    server.requestShutdown()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_signal_handlers_are_not_touched_by_a_background_run(server):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with running(server):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_process_ends_though_a_background_server_runs():
    code = (
        "import hwebserver\n"
        "hwebserver.urlHandler('/')(lambda request: 'x')\n"
        "hwebserver.run(0, in_background=True)\n"
        "import urllib.request; urllib.request.urlopen(hwebserver.url()).read()\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "end")
    assert "Traceback" not in done.stderr


def test_starts_and_stops_many_times_without_leaving_anything(server):
    server.urlHandler("/")(lambda request: "x")
    for _ in range(50):
        with running(server):
            assert fetch(server).body == b"x"


def test_a_machine_that_has_no_thread_left_is_told_and_keeps_its_port(server, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(hwebserver.OperationFailed, match="thread"):
            server.run(0, in_background=True)
    assert not server.isRunning()
    with running(server):
        assert fetch(server).status == 404


# --- the functions of the module ---


def test_the_module_speaks_of_one_default_server():
    @hwebserver.urlHandler("/module-test")
    def handler(request):
        return request.isInDebugMode()

    hwebserver.run(0, in_background=True)
    try:
        assert hwebserver.isRunning()
        assert hwebserver.url("/x").endswith(f":{hwebserver.port()}/x")
        assert fetch(hwebserver.default_server, "/module-test").body == b"false"
        assert not hwebserver.isInDebugMode()
    finally:
        hwebserver.requestShutdown()
    wait_until(lambda: not hwebserver.isRunning())


def test_old_names_are_there():
    assert hwebserver.runServer == hwebserver.run
    assert hwebserver.PyServer is hwebserver.Server
    assert hwebserver.webServerVerbosity.Medium == hwebserver.Medium == 1
    assert hwebserver.HTTPStatus.Ok == 200
