"""Sockets that another program has opened: which are taken, for which port, and what of them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE, fetch, receive_response, running

import hwebserver
from hwebserver.net import inherited

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are passed on POSIX alone")

ROOT = Path(__file__).resolve().parents[2]
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def listening():
    """A listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def ask(address):
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address)
        sock.sendall(GET)
        return receive_response(sock).text


def refused(server, **arguments):
    with pytest.raises(hwebserver.OperationFailed) as caught:
        server.run(0, in_background=True, **arguments)
    return str(caught.value)


# --- fd:N ---


def test_a_descriptor_is_listened_on_and_stays_open(server, listening):
    server.setSettingsForPort({"ADDRESS": f"fd:{listening.fileno()}"})
    server.urlHandler("/")(lambda request: "here")
    number = listening.getsockname()[1]
    for _ in range(2):
        with running(server):
            assert server.port() == number
            assert server.url() == f"http://127.0.0.1:{number}/"
            assert fetch(server).text == "here"
    assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_a_descriptor_is_not_passed_on(server, listening):
    listening.set_inheritable(True)
    server.setSettingsForPort({"ADDRESS": f"fd:{listening.fileno()}"})
    with running(server):
        assert not listening.get_inheritable()


def test_a_unix_socket_that_was_passed_is_not_removed(server, tmp_path):
    path = str(tmp_path / "passed.sock")
    server.urlHandler("/")(lambda request: repr(request.clientAddress()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(path)
        sock.listen()
        server.setSettingsForPort({"ADDRESS": f"fd:{sock.fileno()}"})
        with running(server):
            assert ask(path) == "('', 0)"
            assert server.url() == f"http://unix:{path}:/"
        assert os.path.exists(path)


@pytest.mark.parametrize("text", ["", "x", "-1", "3 ", "٣", "1000000", "99999999999999999999"])
def test_what_is_no_descriptor_is_told(server, text):
    server.setSettingsForPort({"ADDRESS": f"fd:{text}"})
    assert refused(server).startswith(f"cannot listen on 'fd:{text}': ")


def test_a_descriptor_of_a_file_is_told(server, tmp_path):
    with open(tmp_path / "file", "w") as file:
        server.setSettingsForPort({"ADDRESS": f"fd:{file.fileno()}"})
        assert "is no socket" in refused(server)


@pytest.mark.parametrize(
    ("kind", "what"),
    [(socket.SOCK_STREAM, "does not listen"), (socket.SOCK_DGRAM, "no stream")],
)
def test_a_socket_that_does_not_listen_is_told(server, kind, what):
    with socket.socket(socket.AF_INET, kind) as sock:
        server.setSettingsForPort({"ADDRESS": f"fd:{sock.fileno()}"})
        assert what in refused(server)
        assert sock.fileno() >= 0
        sock.getsockname()


# --- LISTEN_FDS ---


@pytest.fixture
def passing(monkeypatch):
    """Pass copies of sockets to this process, from a descriptor that is free on."""
    copies = []

    def hand_over(*sockets, names=None, pid=None):
        first = 200
        for index, sock in enumerate(sockets):
            os.dup2(sock.fileno(), first + index, inheritable=True)
            copies.append(first + index)
        monkeypatch.setattr(inherited, "_FIRST", first)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid() if pid is None else pid))
        monkeypatch.setenv("LISTEN_FDS", str(len(sockets)))
        if names is not None:
            monkeypatch.setenv("LISTEN_FDNAMES", ":".join(names))

    yield hand_over
    for descriptor in copies:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_a_passed_socket_is_the_main_port_once(server, listening, passing):
    passing(listening)
    server.urlHandler("/")(lambda request: "here")
    with running(server):
        assert server.port() == listening.getsockname()[1]
        assert not os.get_inheritable(200)
        assert fetch(server).text == "here"
        assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & set(os.environ)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(200)
    with running(server):
        assert server.port() != listening.getsockname()[1]


def test_sockets_go_to_the_ports_of_their_names(server, passing, tmp_path):
    path = str(tmp_path / "passed.sock")
    server.urlHandler("/", ports=[-1])(lambda request: request.portName())
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "12")
        unix = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        unix.bind(path)
        unix.listen()
        passing(first, second, unix, names=["web.socket", "admin", "unknown"])
        with running(server, ports=["admin"]):
            assert ask(first.getsockname()) == "main"
            assert ask(second.getsockname()) == "admin"
            assert ask(path) == "main"
            assert server.port("admin") == second.getsockname()[1]
        assert os.path.exists(path)


def test_a_port_without_a_socket_of_its_own_listens_by_itself(server, listening, passing):
    server.urlHandler("/", ports=[-1])(lambda request: request.portName())
    passing(listening, names=["admin"])
    with running(server, ports=["admin"]):
        assert fetch(server).text == "main"
        assert ask(listening.getsockname()) == "admin"


def test_sockets_for_another_process_are_left_alone(server, listening, passing):
    passing(listening, pid=os.getppid())
    with running(server):
        assert server.port() != listening.getsockname()[1]
        assert os.environ["LISTEN_FDS"] == "1"
    os.fstat(200)


def test_a_socket_of_another_kind_stops_the_start(server, listening, passing):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
        passing(listening, wrong)
        assert "LISTEN_FDS: the descriptor 201 is a socket of the type" in refused(server)
        assert "LISTEN_PID" not in os.environ


def test_a_number_that_is_none_stops_the_start(server, listening, passing, monkeypatch):
    passing(listening)
    monkeypatch.setenv("LISTEN_FDS", "many")
    assert refused(server) == "LISTEN_FDS is 'many', but must be a number"


def test_a_start_that_fails_closes_what_was_passed(server, listening, passing):
    server.setSettingsForPort({"SSL_CERTIFICATE": __file__})
    passing(listening)
    assert "cannot be used" in refused(server)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(200)


def test_a_program_gets_a_socket_from_its_starter(listening):
    code = (
        "import hwebserver, os\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"  # as the starter's exec would
        "server = hwebserver.Server('passed')\n"
        "@server.urlHandler('/')\n"
        "def page(request):\n"
        "    server.requestShutdown()\n"
        "    return f'{request.port()} {sorted(os.environ.keys() & {\"LISTEN_FDS\"})}'\n"
        "server.run(in_background=False)\n"
    )
    starter = f"import os, sys; os.dup2({listening.fileno()}, 3); os.set_inheritable(3, True); "
    starter += f"os.execv(sys.executable, [sys.executable, '-c', {code!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", starter],
        pass_fds=[listening.fileno()],
        env={**os.environ, "LISTEN_FDS": "1", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        assert ask(listening.getsockname()) == f"{listening.getsockname()[1]} []"
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
