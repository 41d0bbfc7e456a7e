"""Where bodies are kept."""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile

import pytest
from support import connect, fetch, receive_until, running, wait_until

from hwebserver import HTTPError
from hwebserver.web.uploads import BodyBuffer


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An own directory for temporary files."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def full_disk(monkeypatch):
    """No temporary file takes anything."""

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)


@pytest.mark.parametrize("pieces", [[], [b""], [b"ab"], [b"a", b"b"], [b"x" * 100] * 100])
@pytest.mark.parametrize("in_memory", [0, 1, 2, 5000, 1 << 20])
def test_a_body_is_what_was_written(pieces, in_memory):
    buffer = BodyBuffer(in_memory)
    for piece in pieces:
        buffer.write(piece)
    assert buffer.read() == b"".join(pieces)
    assert buffer.read() == b"".join(pieces)
    buffer.close()
    buffer.close()


@pytest.mark.parametrize(("size", "files"), [(9, 0), (10, 0), (11, 1)])
def test_a_body_is_kept_in_memory_up_to_the_bound(size, files, monkeypatch):
    made = []
    own = tempfile.TemporaryFile

    def make(*arguments, **options):
        made.append(own(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    buffer = BodyBuffer(10)
    for _ in range(size):
        buffer.write(b"x")
    assert len(made) == files
    assert buffer.read() == b"x" * size
    buffer.close()
    assert all(file.closed for file in made)


@pytest.mark.skipif(os.name == "nt", reason="an open file has a name on Windows")
def test_a_temporary_file_has_no_name(temporary):
    buffer = BodyBuffer(0)
    buffer.write(b"x" * 100)
    assert os.listdir(temporary) == []
    buffer.close()


def test_a_disk_that_takes_nothing_is_a_507(full_disk):
    buffer = BodyBuffer(3)
    buffer.write(b"abc")
    with pytest.raises(HTTPError) as caught:
        buffer.write(b"d")
    assert caught.value.status == 507
    buffer.close()


# --- through a server ---


def sizes(request):
    body = request.body()
    return [len(body), body[:3].decode(), body[-3:].decode()]


def test_a_large_body_arrives_and_its_file_is_gone_with_the_answer(server, temporary):
    server.urlHandler("/")(sizes)
    body = b"abc" + b"x" * 3_000_000 + b"xyz"
    with running(server, max_in_memory_file_upload_size=1000):
        for _ in range(3):
            answer = fetch(server, "/", "POST", body)
            assert json.loads(answer.body) == [len(body), "abc", "xyz"]
        wait_until(lambda: os.listdir(temporary) == [])


def test_the_file_is_gone_when_the_handler_raised(server, temporary):
    @server.urlHandler("/")
    def fail(request):
        raise RuntimeError(len(request.body()))

    with running(server, max_in_memory_file_upload_size=10):
        assert fetch(server, "/", "POST", b"x" * 100_000).status == 500
        wait_until(lambda: os.listdir(temporary) == [])


def test_the_file_is_gone_when_the_client_left(server, temporary):
    calls = []
    server.urlHandler("/")(calls.append)
    with running(server, max_in_memory_file_upload_size=10):
        with connect(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
            sock.sendall(b"x" * 50_000)
            sock.shutdown(socket.SHUT_WR)
            receive_until(sock, b"\r\n\r\n")
        wait_until(lambda: os.listdir(temporary) == [])
    assert calls == []


def test_a_full_disk_is_a_507_and_calls_no_handler(server, full_disk):
    calls = []

    @server.urlHandler("/")
    def note(request):
        calls.append(len(request.body()))
        return "noted"

    with running(server, max_in_memory_file_upload_size=100):
        answer = fetch(server, "/", "POST", b"x" * 1000, {"Accept": "application/json"})
        assert answer.status == 507
        assert list(json.loads(answer.body)) == ["error"]
        assert calls == []
        assert fetch(server, "/", "POST", b"x" * 100).text == "noted"
    assert calls == [100]
