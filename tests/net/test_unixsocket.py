"""Unix sockets: whom they let in, what they leave behind, and what they leave alone."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys

import pytest
from support import PATIENCE, receive_response, running, wait_until

import hwebserver
from hwebserver.net import unixsocket

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has it")

GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def path(tmp_path):
    """Where the socket is to be."""
    return tmp_path / "server.sock"


@pytest.fixture
def local(server, path):
    """A server on a Unix socket; it does not run yet."""
    server.setSettingsForPort({"ADDRESS": f"unix:{path}"})
    server.urlHandler("/hello")(lambda request: "hello")
    return server


@contextlib.contextmanager
def connected(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        yield sock


def get(path, name=b"hello"):
    with connected(path) as sock:
        sock.sendall(GET % name)
        return receive_response(sock)


def refused(server):
    with pytest.raises(hwebserver.OperationFailed) as caught:
        server.run(0, in_background=True)
    return str(caught.value)


def test_requests_are_answered_and_the_file_goes_with_the_server(local, path):
    for _ in range(2):  # The same process may run it again.
        with running(local):
            assert get(path).text == "hello"
        assert not path.exists()


def test_a_handler_is_told_where_a_request_came_from(local, path, caplog):
    @local.urlHandler("/who")
    def who(request):
        return [request.clientAddress(), request.serverAddress(), request.port(), request.host()]

    with running(local, verbosity=1):
        assert get(path, b"who").text == f'[["", 0], ["unix:{path}", 0], 0, "localhost"]'
    assert "unix: - - [" in caplog.text


def test_a_request_that_names_no_host_is_for_localhost(local, path):
    local.urlHandler("/uri")(lambda request: request.absoluteURI())
    with running(local), connected(path) as sock:
        sock.sendall(b"GET /uri HTTP/1.0\r\n\r\n")
        assert receive_response(sock).text == "http://localhost/uri"


def test_an_error_is_shown_in_debug_mode_to_local_clients(local, path):
    @local.urlHandler("/fails")
    def fails(request):
        raise RuntimeError("on purpose")

    with running(local, debug=True, reload_source_changes=False):
        assert "on purpose" in get(path, b"fails").text


def test_a_mounted_application_is_told(local, path):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [repr([environ["REMOTE_ADDR"], environ["SERVER_NAME"]]).encode()]

    async def asgi(scope, receive, send):
        if scope["type"] == "http":
            body = repr([scope["client"], scope["server"]]).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    local.registerWSGIApp(application, "/wsgi")
    local.registerASGIApp(asgi, "/asgi")
    with running(local):
        assert get(path, b"wsgi").text == "['', 'localhost']"
        assert get(path, b"asgi").text == f"[None, ('{path}', None)]"


def test_it_has_a_url_as_nginx_writes_it_and_no_number(local, path, caplog):
    caplog.set_level("INFO")
    told = []
    with running(local, port_callback=lambda name, number: told.append((name, number))):
        assert local.url("/a") == f"http://unix:{path}:/a"
        assert local.port() == 0
    assert told == [("main", 0)]
    assert f"Serving on http://unix:{path}:/" in caplog.text


def test_it_may_be_encrypted(local, path, certificates):
    local.setSettingsForPort(
        {"SSL_CERTIFICATE": certificates.server, "SSL_CERTIFICATE_KEY": certificates.server_key}
    )
    context = certificates.client_context()
    with running(local), connected(path) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(GET % b"hello")
            assert receive_response(sock).text == "hello"
        assert local.url() == f"https://unix:{path}:/"


def test_a_port_of_its_own_needs_no_number(server, path):
    server.setSettingsForPort({"ADDRESS": f"unix:{path}"}, "local")
    server.urlHandler("/hello", ports=["local"])(lambda request: request.portName())
    with running(server, ports=["local"]):
        assert get(path).text == "local"


@pytest.mark.parametrize("mode", [None, 0o600, 0o660, 0o666])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_its_permissions_are_those_that_are_set(local, path, mode, umask):
    if mode is not None:
        local.setSettingsForPort({"UNIX_SOCKET_MODE": mode})
    before = os.umask(umask)
    try:
        with running(local):
            assert stat.S_IMODE(path.stat().st_mode) == (0o600 if mode is None else mode)
    finally:
        os.umask(before)


def test_nobody_can_connect_before_the_permissions_are_set(local, path, monkeypatch):
    tried = []

    def look(name, mode, chmod=os.chmod):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            tried.append(sock.connect_ex(str(path)))
        chmod(name, mode)

    monkeypatch.setattr(unixsocket.os, "chmod", look)
    with running(local):
        monkeypatch.undo()
        assert len(tried) == 1
        assert tried[0] != 0


def test_a_socket_that_nobody_listens_on_is_replaced(local, path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()
    with running(local):
        assert get(path).text == "hello"


def test_a_server_that_runs_is_left_alone(local, path):
    other = hwebserver.Server("other")
    other.setSettingsForPort({"ADDRESS": f"unix:{path}"})
    with running(local):
        assert refused(other) == f"cannot listen on 'unix:{path}': Address already in use"
        assert get(path).text == "hello"


def test_a_busy_server_whose_queue_is_full_is_left_alone(local, path):
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.setblocking(False)
            client.connect_ex(str(path))
        assert "already in use" in refused(local)
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(local, path, kind):
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.with_name("elsewhere"))
    before = path.lstat()
    assert "there is something that is no socket" in refused(local)
    assert path.lstat() == before


def test_what_has_taken_its_place_is_left_alone(local, path):
    with running(local):
        path.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as successor:
            successor.bind(str(path))
    assert path.exists()


def test_a_file_that_is_gone_already_is_no_error(local, path, caplog):
    with running(local):
        path.unlink()
    assert [one for one in caplog.records if one.levelname in ("WARNING", "ERROR")] == []


def test_a_failed_start_leaves_no_file(local, path):
    local.setSettingsForPort({"PORT": 0, "ADDRESS": "no such host"}, "other")
    with pytest.raises(hwebserver.OperationFailed):
        local.run(in_background=True, ports=["other"])
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")
def test_a_forked_process_that_closes_its_copy_removes_nothing(path):
    listener = unixsocket.UnixListener(f"unix:{path}", 0o600, 5)
    listener._maker += 1  # as it is in a child
    listener.server_close()
    assert path.exists()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("unix:", "it names no path"),
        ("unix:@", "it names no path"),
        ("unix:/no/such/folder/x.sock", "No such file or directory"),
        ("unix:/" + 200 * "x", "AF_UNIX path too long"),
    ],
)
def test_an_address_that_cannot_be_is_told(server, address, reason):
    server.setSettingsForPort({"ADDRESS": address})
    assert refused(server) == f"cannot listen on {address!r}: {reason}"


def test_a_system_without_unix_sockets_is_told(local, monkeypatch):
    monkeypatch.setattr(unixsocket, "_FAMILY", None)
    assert "this system has no Unix sockets" in refused(local)


def test_a_system_without_names_that_are_no_files_is_told(server, monkeypatch):
    monkeypatch.setattr(unixsocket.sys, "platform", "darwin")
    server.setSettingsForPort({"ADDRESS": "unix:@name"})
    assert "only Linux has such names" in refused(server)


@linux
def test_a_name_that_is_no_file_is_listened_on(server, caplog):
    caplog.set_level("INFO")
    name = f"hwebserver-test-{os.getpid()}"
    server.setSettingsForPort({"ADDRESS": f"unix:@{name}"})
    server.urlHandler("/where")(lambda request: request.serverAddress()[0])
    with running(server):
        assert get(f"\0{name}", b"where").text == f"unix:@{name}"
        assert server.url() == f"http://unix:@{name}:/"
        other = hwebserver.Server("other")
        other.setSettingsForPort({"ADDRESS": f"unix:@{name}"})
        assert "already in use" in refused(other)
    assert "open to every user of this machine" in caplog.text
    wait_until(lambda: not server.isRunning())
