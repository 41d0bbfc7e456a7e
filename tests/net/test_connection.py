"""A connection: what goes wrong on one costs the others nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
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
from hwebserver.net.transport import Transport

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_sent_file_that_cannot_be_deleted_stops_nothing(server, tmp_path, caplog, monkeypatch):
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * (16 << 20))

    def refuse(name, **options):
        raise PermissionError(13, "in use", name)

    server.urlHandler("/file")(lambda request: hwebserver.fileResponse(path, delete_file=True))
    server.urlHandler("/quick")(lambda request: "quick")
    with running(server):
        with connect(server) as sock:
            sock.sendall(REQUEST % b"file")
            receive_until(sock, b"\r\n\r\n")
            monkeypatch.setattr(os, "unlink", refuse)
        wait_until(lambda: "cannot be deleted" in caplog.text)
        monkeypatch.undo()
        assert fetch(server, "/quick").body == b"quick"


def test_a_log_handler_that_raises_stops_nothing(server):
    class Broken(logging.Filter):
        def filter(self, record):
            raise RuntimeError("no")

    server.urlHandler("/large")(lambda request: b"x" * (16 << 20))
    server.urlHandler("/quick")(lambda request: "quick")
    access, broken = logging.getLogger("hwebserver.access"), Broken()
    with running(server, verbosity=1):
        access.addFilter(broken)
        with connect(server) as sock:
            sock.sendall(REQUEST % b"large")
            receive_until(sock, b"\r\n\r\n")
        with connect(server) as sock:
            sock.sendall(REQUEST % b"quick")
            receive_all(sock)
        access.removeFilter(broken)
        assert fetch(server, "/quick").body == b"quick"


def test_a_request_that_is_over_cannot_write_into_the_next_response(server):
    kept = []

    @server.urlHandler("/hand")
    def hand(request):
        kept.append(request)
        request.sendHeaders(hwebserver.Response("", 200, "text/plain"))
        request.sendBody("by hand")

    @server.urlHandler("/next")
    def following(request):
        for call in (
            lambda: kept[0].sendBody("INJECTED"),
            lambda: kept[0].sendHeaders(hwebserver.Response("INJECTED")),
        ):
            with pytest.raises(RuntimeError):
                call()
        return "next"

    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"hand")
        assert receive_response(sock).body == b"by hand"
        sock.sendall(REQUEST % b"next")
        assert receive_response(sock).body == b"next"


def test_a_handler_that_waits_for_its_client_hears_of_the_end_of_the_server(server):
    heard = []

    @server.urlHandler("/hand")
    def hand(request):
        request.sendHeaders(hwebserver.Response("", 200, "text/plain"))
        try:
            while True:
                request.sendBody(b"x" * 1_000_000)
        except ConnectionError as error:
            heard.append(error)
            raise

    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.05, "SEND_TIMEOUT": 600.0})
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"hand")
        receive_until(sock, b"\r\n\r\n")
        server.requestShutdown()
        wait_until(lambda: heard)
    assert len(heard) == 1


def test_a_request_has_one_line_in_the_access_log_though_it_is_refused_half_way(server, caplog):
    server.urlHandler("/")(lambda request: "never")
    chunks = b"5\r\nhello\r\n" * 4
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(server, verbosity=1, max_request_size=10), connect(server) as sock:
        sock.sendall(head + chunks)
        assert receive_all(sock).startswith(b"HTTP/1.1 413 ")
    lines = [one for one in caplog.messages if '"POST / HTTP/1.1"' in one]
    assert [line.split()[-2] for line in lines] == ["413"]


def test_a_server_header_that_cannot_be_sent_is_told_and_the_port_is_free_again(server):
    server.setSettingsForPort({"SERVER_HEADER": "a\r\nb"})
    with pytest.raises(hwebserver.OperationFailed, match="SERVER_HEADER"):
        server.run(0, in_background=True)
    server.setSettingsForPort({"SERVER_HEADER": "mine"})
    with running(server):
        assert fetch(server).headers["Server"] == "mine"


def test_a_shutdown_asked_for_as_soon_as_it_serves_is_heard(server):
    """The first request may come before ``run`` returns."""
    asked = threading.Event()

    @server.urlHandler("/")
    def stop(request):
        request.requestServerShutdown()
        asked.set()
        return "bye"

    def callback(name, number):
        assert fetch(server).body == b"bye"

    with running(server, port_callback=callback):
        assert asked.wait(PATIENCE)
        wait_until(lambda: not server.isRunning())


@contextlib.contextmanager
def held(monkeypatch, owner, name):
    """Have a function wait for leave before it goes on; yields that, and whether it waits."""
    leave, waits = threading.Event(), threading.Event()
    own = getattr(owner, name)

    def wait(*arguments, **options):
        waits.set()
        assert leave.wait(PATIENCE)
        return own(*arguments, **options)

    monkeypatch.setattr(owner, name, wait)
    try:
        yield leave, waits
    finally:
        leave.set()


def test_a_disk_that_is_slow_to_take_an_upload_delays_no_other_client(server, monkeypatch):
    server.urlHandler("/size")(lambda request: str(len(request.body())))
    server.urlHandler("/quick")(lambda request: "quick")
    body = b"x" * 3_000_000
    with (
        running(server, max_in_memory_file_upload_size=1000),
        connect(server) as sock,
        held(monkeypatch, tempfile, "TemporaryFile") as (leave, waits),
    ):
        sock.sendall(b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n")
        sock.sendall(body[:500_000])
        assert waits.wait(PATIENCE)
        for _ in range(3):
            assert fetch(server, "/quick").body == b"quick"
        leave.set()
        sock.sendall(body[500_000:])
        assert receive_response(sock).body == b"3000000"


def test_a_disk_that_is_slow_to_give_a_file_delays_no_other_client(server, tmp_path, monkeypatch):
    data = os.urandom(24 << 20)
    (tmp_path / "large.bin").write_bytes(data)
    server.registerStaticFilesDirectory(str(tmp_path), "/files")
    server.urlHandler("/quick")(lambda request: "quick")
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"files/large.bin")
        begun = sock.recv(65536)
        with held(monkeypatch, Transport, "send_file") as (leave, waits):
            rest = b""
            while not waits.is_set():  # what is under way comes without the disk
                rest += sock.recv(1 << 20)
            for _ in range(3):
                assert fetch(server, "/quick").body == b"quick"
            leave.set()
        head, _, body = (begun + rest).partition(b"\r\n\r\n")
        assert b"200 OK" in head
        while len(body) < len(data):
            body += sock.recv(1 << 20)
        assert body == data
