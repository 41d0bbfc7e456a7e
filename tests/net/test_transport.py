"""Sending: everything arrives, with sendfile and without it."""

from __future__ import annotations

import hashlib
import os
import random
import selectors

import pytest
from support import connect, fetch, receive_response, receive_until, running

import hwebserver

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(params=["sendfile", "no sendfile", "select alone"])
def system(request, monkeypatch):
    """What the system has: Windows has neither sendfile nor anything but select."""
    if request.param != "sendfile":
        monkeypatch.delattr(os, "sendfile", raising=False)
    if request.param == "select alone":
        monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)


@pytest.mark.usefixtures("system")
def test_a_large_file_arrives_as_it_is(server, tmp_path):
    data = random.Random(1).randbytes(5 << 20)
    (tmp_path / "large.bin").write_bytes(data)
    server.registerStaticFilesDirectory(str(tmp_path), "/files")
    with running(server), connect(server) as sock:
        for _ in range(2):
            sock.sendall(REQUEST % b"files/large.bin")
            answer = receive_response(sock)
            assert answer.headers["Content-Length"] == str(len(data))
            assert hashlib.sha256(answer.body).digest() == hashlib.sha256(data).digest()


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3 << 20])
def test_a_body_of_any_size_arrives_as_it_is(server, size):
    data = random.Random(size).randbytes(size)
    server.urlHandler("/data")(lambda request: data)
    with running(server):
        assert fetch(server, "/data").body == data


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(server, tmp_path):
    path = tmp_path / "shrinks.bin"
    path.write_bytes(b"x" * (64 << 20))
    server.registerStaticFilesDirectory(str(tmp_path), "/files")
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"files/shrinks.bin")
        received = len(receive_until(sock, b"\r\n\r\n"))
        os.truncate(path, 0)
        while True:
            piece = sock.recv(1 << 20)
            if not piece:
                break
            received += len(piece)
    assert received < 64 << 20


def test_a_temporary_file_is_deleted_though_the_client_leaves(server, tmp_path):
    path = tmp_path / "large.bin"

    @server.urlHandler("/once")
    def once(request):
        path.write_bytes(b"x" * (16 << 20))
        return hwebserver.fileResponse(str(path), delete_file=True)

    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"once")
        receive_until(sock, b"\r\n\r\n")
    assert not path.exists()
