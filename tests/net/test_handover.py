"""Listening sockets that outlive a server, for the program that the process becomes."""

from __future__ import annotations

import os
import socket

import pytest
from support import PATIENCE, connect, fetch, receive_all, receive_response, wait_until

import hwebserver
from hwebserver.net import poller
from hwebserver.ports import hand_over_ports, hold, let_go
from hwebserver.settings import RESTARTED_SOCKETS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are passed on POSIX alone")

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def first(server):
    """A server that answers with its name, and ends behind the test."""
    yield answering(server, "first")
    server.requestShutdown()
    wait_until(lambda: not server.isRunning())
    let_go(server._open)


@pytest.fixture
def second():
    """One of the same name, as the restarted program has it."""
    server = answering(hwebserver.Server("test"), "second")
    yield server
    server.requestShutdown()
    wait_until(lambda: not server.isRunning())


def answering(server, name):
    server.urlHandler("/", ports=[-1])(lambda request: name)
    return server


def end_held(server):
    """End a server that is to be restarted."""
    hold(server._open)
    server._pool.stop(None)
    wait_until(lambda: not server.isRunning())


@pytest.fixture
def restart(monkeypatch):
    """End a server and leave its sockets to whoever runs next."""

    def end(server):
        end_held(server)
        (value,) = hand_over_ports(server._open, server.name()).values()
        for one in server._open:
            for listener in one.listeners:
                listener.held = False
                if listener.fileno() in descriptors(value):
                    assert os.get_inheritable(listener.fileno())
                    listener.socket.detach()  # It is the next program's.
                else:
                    listener.server_close()
        monkeypatch.setenv(RESTARTED_SOCKETS, value)
        return value

    return end


def descriptors(value):
    entries = value.split("/")[2].split(",")
    return [int(entry.split(":")[1]) for entry in entries if entry]


def ask(place):
    family = socket.AF_INET if isinstance(place, tuple) else socket.AF_UNIX
    with socket.socket(family) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(place)
        sock.sendall(GET)
        return receive_response(sock).text


# --- the end of the first ---


def test_who_comes_between_two_programs_is_answered_by_the_second(first, second, restart):
    first.run(0, in_background=True)
    number = first.port()
    restart(first)
    with socket.create_connection(("127.0.0.1", number), timeout=PATIENCE) as between:
        between.sendall(GET)
        second.run(0, in_background=True)
        assert receive_response(between).text == "second"
    assert second.port() == number
    assert RESTARTED_SOCKETS not in os.environ
    assert not any(os.get_inheritable(one.fileno()) for one in second._open[0].listeners)


@pytest.mark.parametrize(("grace", "answered"), [(PATIENCE, True), (0.0, False)])
def test_who_was_let_in_but_has_not_asked_yet_may_still(first, monkeypatch, grace, answered):
    monkeypatch.setattr(poller, "_RESTART_GRACE", grace)
    first.run(0, in_background=True)
    with connect(first) as kept, connect(first) as fresh:
        kept.sendall(GET)
        receive_response(kept)
        wait_until(lambda: first.statistics()["accepted"] == 2)
        hold(first._open)
        first._pool.stop(None)
        assert receive_all(kept) == b""
        if answered:
            fresh.sendall(GET)
            answer = receive_response(fresh)
            assert (answer.text, answer.headers["Connection"]) == ("first", "close")
        else:
            assert receive_all(fresh) == b""
    wait_until(lambda: not first.isRunning())


def test_who_never_asks_delays_it_but_for_a_moment(first):
    first.run(0, in_background=True)
    with connect(first) as idle:
        wait_until(lambda: first.statistics()["accepted"] == 1)
        end_held(first)
        assert receive_all(idle) == b""


# --- which the second takes ---


def test_sockets_of_all_kinds_are_taken(first, second, restart, tmp_path):
    path = str(tmp_path / "local.sock")
    settings = {
        "PORTS": {
            "local, and=odd/ % ü:": {"ADDRESS": f"unix:{path}"},
            "open": {"PORT": 0, "ADDRESS": "0.0.0.0"},
            "v4": {"PORT": 0, "IPV6": False},
        }
    }
    arguments = {"settings": settings, "ports": [-1], "in_background": True}
    first.run(0, **arguments)
    before = {one.port.name: (one.port.number, len(one.listeners)) for one in first._open}
    assert len(descriptors(restart(first))) == sum(number for _, number in before.values())
    second.run(0, **arguments)
    after = {one.port.name: (one.port.number, len(one.listeners)) for one in second._open}
    assert after == before
    assert ask(path) == ask(("127.0.0.1", after["open"][0])) == "second"
    second.requestShutdown()
    wait_until(lambda: not second.isRunning())
    assert not os.path.exists(path)  # It is as much its own as the first one's.


def test_one_that_another_program_had_opened_stays_and_is_told(first, second, restart, caplog):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number = sock.getsockname()[1]
        for server in (first, second):
            server.setSettingsForPort({"ADDRESS": f"fd:{sock.fileno()}"})
        first.run(in_background=True)
        restart(first)
        assert sock.get_inheritable()
        second.run(in_background=True)
        assert second.port() == number
        assert ask(("127.0.0.1", number)) == "second"
    assert caplog.text.count("a socket that was passed to this process") == 2


@pytest.mark.parametrize(
    "changed",
    [{"ADDRESS": "0.0.0.0"}, {"ADDRESS": "unix:{}"}, {"PORT": 0, "IPV6": False}],
    ids=str,
)
def test_one_that_is_to_be_another_is_closed_and_opened_anew(
    first, second, restart, tmp_path, changed
):
    first.run(0, in_background=True)
    number = first.port()
    restart(first)
    path = str(tmp_path / "new.sock")
    text = {k: v.format(path) if isinstance(v, str) else v for k, v in changed.items()}
    second.run(-1, settings={"PORT": number, **text}, in_background=True)
    if text.get("ADDRESS", "").startswith("unix:"):
        assert ask(path) == "second"
        with pytest.raises(ConnectionRefusedError):
            ask(("127.0.0.1", number))
    else:
        assert fetch(second).text == "second"
        assert len(second._open[0].listeners) == 1


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        ({"port": 0}, True),
        ({"port": "wanted"}, True),
        ({"port": "other"}, False),
        ({"port": "other", "up_to_port": 65535}, None),
        ({"port": "other", "use_free_port_on_failure": True}, True),
    ],
)
def test_the_number_is_kept_where_it_may_be_the_ports(first, second, restart, arguments, same):
    first.run(0, in_background=True)
    number = first.port()
    restart(first)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        other = sock.getsockname()[1]
    given = {"wanted": number, "other": other}.get(arguments["port"], 0)
    second.run(**{**arguments, "port": given}, in_background=True)
    kept = same if same is not None else other <= number
    assert (second.port() == number) is kept


def test_a_socket_of_a_port_that_is_no_more_is_closed(first, second, restart):
    first.run(0, ports=[("gone", 0)], in_background=True)
    number = first.port("gone")
    restart(first)
    second.run(0, in_background=True)
    with pytest.raises(ConnectionRefusedError):
        ask(("127.0.0.1", number))


def test_a_unix_socket_whose_path_is_anothers_by_now_is_not_handed_on(
    first, second, restart, tmp_path
):
    path = str(tmp_path / "local.sock")
    arguments = {"settings": {"ADDRESS": f"unix:{path}"}, "in_background": True}
    first.run(**arguments)
    os.unlink(path)
    assert descriptors(restart(first)) == []
    second.run(**arguments)
    assert ask(path) == "second"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "1/test/own:{fd}:main",
        "{pid}/another/own:{fd}:main",
        "{pid}/test",
        "{pid}/test/x,own:",
    ],
)
def test_what_is_not_for_this_server_is_left_alone(second, monkeypatch, value):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        text = value.format(pid=os.getpid(), fd=sock.fileno())
        monkeypatch.setenv(RESTARTED_SOCKETS, text)
        second.run(0, in_background=True)
        assert second.port() != sock.getsockname()[1]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_a_descriptor_that_is_no_listening_socket_is_left_alone(second, monkeypatch, caplog):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        value = f"{os.getpid()}/test/own:{ours.fileno()}:main,own:1000000:main"
        monkeypatch.setenv(RESTARTED_SOCKETS, value)
        second.run(0, in_background=True)
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"
    assert caplog.text.count("the port is opened anew") == 2
