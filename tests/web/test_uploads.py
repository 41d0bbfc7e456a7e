"""Where bodies are kept: in memory, in temporary files, and not a moment too long."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import warnings
from pathlib import Path

import pytest
from support import (
    PATIENCE,
    Answer,
    connect,
    fetch,
    receive_all,
    receive_response,
    receive_until,
    running,
    wait_until,
)

from hwebserver import HTTPError, Response, fileResponse
from hwebserver.protocol.formlimits import FormLimits
from hwebserver.web.uploads import BodyBuffer, FormUpload, UploadedFile

KIND = "multipart/form-data; boundary=xYz"
MULTIPART = {"Content-Type": KIND}
END = b"--xYz--\r\n"


def part(data: bytes, *fields: bytes) -> bytes:
    """A part of a form with these header fields."""
    return b"--xYz\r\n" + b"".join(one + b"\r\n" for one in fields) + b"\r\n" + data + b"\r\n"


def field(value: bytes, name: bytes = b"field") -> bytes:
    """A part that is no file."""
    return part(value, b'Content-Disposition: form-data; name="%b"' % name)


def file(data: bytes, file_name: str = "a.bin", name: bytes = b"file") -> bytes:
    """A part that is a file."""
    values = (name, file_name.encode())
    return part(data, b'Content-Disposition: form-data; name="%b"; filename="%b"' % values)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + END


def post(server, *parts: bytes, path="/") -> Answer:
    return fetch(server, path, "POST", form(*parts), MULTIPART)


def head(length: int | None, kind: str = KIND, extra: bytes = b"", path: bytes = b"/") -> bytes:
    """The head of a POST; its body is chunked if no length is given."""
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    lines = (b"POST %b HTTP/1.1" % path, b"Host: localhost", b"Content-Type: " + kind.encode())
    return b"\r\n".join((*lines, framing)) + b"\r\n" + extra + b"\r\n"


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


def reset(sock: socket.socket) -> None:
    """End a connection as a client does that crashes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def upload_of(data: bytes, in_memory: int, name: str = "a.bin") -> UploadedFile:
    """A file as a form makes it."""
    upload = UploadedFile(name, "", in_memory)
    upload.write(data)
    upload.end()
    return upload


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An own directory for temporary files, which is empty in the end."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    wait_until(lambda: os.listdir(directory) == [])


@pytest.fixture
def full_disk(monkeypatch):
    """No temporary file takes anything; a list of what was asked for."""
    asked = []

    def fail(*arguments, **options):
        asked.append(arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    monkeypatch.setattr(tempfile, "mkstemp", fail)
    return asked


@pytest.fixture
def small_disk(monkeypatch):
    """A disk that takes ten thousand bytes, of each write a thousand at most."""
    left = [10_000]
    write = os.write

    def take(descriptor, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, data[: min(left[0], 1000)])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", take)


@pytest.fixture
def refusals(caplog):
    """The lines that the log has of requests that were refused, and of everything worse."""
    caplog.set_level(logging.WARNING)
    return lambda: [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.fixture
def descriptors():
    """How many files the process has open."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("the system does not say")
    return lambda: len(os.listdir("/proc/self/fd"))


# --- a plain body ---


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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_a_disk_that_fills_up_is_a_507_at_the_end_of_the_body_at_the_latest(size, monkeypatch):
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("r+b"))
    buffer = BodyBuffer(0)

    def take():
        buffer.write(b"x" * size)
        buffer.finish()

    with pytest.raises(HTTPError) as caught:
        take()
    assert caught.value.status == 507
    buffer.close()


@pytest.mark.parametrize("in_memory", [100, 5])
def test_a_body_can_be_read_as_a_file_as_often_as_one_likes(in_memory):
    buffer = BodyBuffer(in_memory)
    buffer.write(b"0123456789")
    buffer.finish()
    first = buffer.open()
    assert first.read(4) == b"0123"
    assert buffer.read() == b"0123456789"
    assert first.read(4) == b"4567"  # what reads the whole of it moves nobody else on
    assert buffer.open().read() == b"0123456789"
    buffer.close()


@pytest.mark.parametrize("in_memory", [100, 5])
def test_a_handler_may_close_the_file_of_a_body_and_ask_for_another(in_memory):
    buffer = BodyBuffer(in_memory)
    buffer.write(b"0123456789")
    buffer.finish()
    for _ in range(2):
        with buffer.open() as opened:
            assert opened.read(3) == b"012"
    assert buffer.read() == b"0123456789"
    buffer.close()


@pytest.mark.parametrize("in_memory", [100, 5])
def test_a_body_that_is_gone_says_so_instead_of_being_empty(in_memory):
    buffer = BodyBuffer(in_memory)
    buffer.write(b"0123456789")
    opened = buffer.open()
    buffer.close()
    for read in (buffer.read, buffer.open):
        with pytest.raises(ValueError, match="gone"):
            read()
    if in_memory < 10:
        with pytest.raises(ValueError, match="closed"):
            opened.read()  # its descriptor may be another file's by now


# --- an uploaded file ---


@pytest.mark.parametrize("in_memory", [100, 5])
@pytest.mark.parametrize("ask", [-1, None])
def test_a_file_is_read_on_from_where_the_last_read_ended(temporary, in_memory, ask):
    upload = upload_of(b"0123456789", in_memory)
    assert upload.isInMemory() == (in_memory == 100)
    reads = [upload.read(size) for size in (0, 1, 2, 0, 4)]
    assert reads == [b"", b"0", b"12", b"", b"3456"]
    assert upload.read(ask) == b"789"
    assert [upload.read(), upload.read(5), upload.read(0)] == [b"", b"", b""]
    upload.close()


@pytest.mark.parametrize("in_memory", [100, 5])
def test_a_read_may_ask_for_more_than_there_is(temporary, in_memory):
    upload = upload_of(b"0123456789", in_memory)
    assert upload.read(1 << 40) == b"0123456789"
    assert upload.read(1) == b""
    assert upload.size() == 10
    upload.close()


@pytest.mark.parametrize("taken", [0, 3, 10])
def test_a_file_can_be_saved_to_disk_and_is_read_on_from_there(temporary, taken):
    upload = upload_of(b"0123456789", 100, "a.exr")
    assert (upload.isInMemory(), upload.temporaryFilePath()) == (True, "")
    before = upload.read(taken)
    upload.saveToDisk()
    path = upload.temporaryFilePath()
    assert not upload.isInMemory()
    assert Path(path).read_bytes() == b"0123456789"
    upload.saveToDisk()
    assert upload.temporaryFilePath() == path
    assert [str(one) for one in temporary.iterdir()] == [path]
    assert before + upload.read() == b"0123456789"
    assert upload.size() == 10
    upload.close()
    upload.close()


def test_an_empty_file_can_be_saved_to_disk_too(temporary):
    upload = upload_of(b"", 0)
    assert (upload.isInMemory(), upload.size(), upload.read()) == (True, 0, b"")
    upload.saveToDisk()
    assert os.path.getsize(upload.temporaryFilePath()) == 0
    assert upload.read() == b""
    upload.close()


def test_a_file_that_the_disk_does_not_take_stays_in_memory_whole(temporary, small_disk):
    data = bytes(range(256)) * 100
    upload = upload_of(data, len(data))
    assert upload.read(10) == data[:10]
    with pytest.raises(OSError, match="No space"):
        upload.saveToDisk()
    assert os.listdir(temporary) == []
    assert (upload.isInMemory(), upload.temporaryFilePath()) == (True, "")
    assert upload.read() == data[10:]
    upload.close()


@pytest.mark.parametrize("in_memory", [100, 5])
def test_a_file_that_is_gone_says_so_instead_of_being_empty(temporary, in_memory):
    upload = upload_of(b"0123456789", in_memory)
    upload.read(1)
    upload.close()
    assert os.listdir(temporary) == []
    for call in (upload.read, upload.saveToDisk):
        with pytest.raises(ValueError, match="gone"):
            call()
    assert os.listdir(temporary) == []
    assert (upload.name(), upload.size()) == ("a.bin", 10)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such rights")
def test_a_temporary_file_is_for_its_owner_alone(temporary):
    upload = upload_of(b"secret", 0)
    assert stat.S_IMODE(os.stat(upload.temporaryFilePath()).st_mode) == 0o600
    upload.close()


def test_a_file_that_nobody_holds_any_more_is_deleted(temporary):
    upload = upload_of(b"0123456789", 0)
    assert os.listdir(temporary) != []
    del upload
    assert os.listdir(temporary) == []


def test_files_that_were_read_to_their_end_are_not_kept_open(temporary, descriptors):
    before = descriptors()
    uploads = [upload_of(b"0123456789", 0) for _ in range(20)]
    assert descriptors() == before
    for upload in uploads:
        assert upload.read(6) + upload.read(6) == b"0123456789"
        assert descriptors() == before
    for upload in uploads:
        upload.close()


@pytest.mark.parametrize(
    ("name", "ending"), [("a.0001.bgeo.sc", ".bgeo.sc"), ("a.exr", ".exr"), ("a.e;xr", "")]
)
def test_a_temporary_file_keeps_the_ending_of_the_clients(temporary, name, ending):
    upload = upload_of(b"data", 0, name)
    made = os.path.basename(upload.temporaryFilePath())
    assert os.listdir(temporary) == [made]
    assert made.partition(".")[1] + made.partition(".")[2] == ending
    upload.close()


# --- a form as it arrives ---


def taken_apart(body: bytes, in_memory: int, step: int = 1 << 20) -> FormUpload:
    upload = FormUpload(b"xYz", FormLimits(), in_memory)
    for start in range(0, len(body), step):
        upload.write(body[start : start + step])
    upload.finish()
    return upload


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 5000])
def test_a_file_stays_in_memory_up_to_the_bound(temporary, size, step):
    data = (bytes(range(256)) * 20)[:size]
    upload = taken_apart(form(field(b"value"), file(data), field(b"more")), 1000, step)
    (name, one), values = upload.files[0], upload.fields
    assert values == [("field", "value"), ("field", "more")]
    assert (name, one.name(), one.size()) == ("file", "a.bin", size)
    assert one.isInMemory() == (size <= 1000)
    assert one.read() == data
    upload.close()


@pytest.mark.parametrize("size", [1 << 17, (1 << 17) + 1, 300_000, 300_001])
def test_a_file_that_waited_on_disk_is_in_memory_if_it_is_small_enough(temporary, size):
    data = os.urandom(size)
    upload = taken_apart(form(file(data)), 300_000, 10_000)
    one = upload.files[0][1]
    assert one.isInMemory() == (size <= 300_000)
    assert os.listdir(temporary) == [] or size > 300_000
    assert one.read() == data
    upload.close()


@pytest.mark.parametrize(("in_memory", "size"), [(1000, 1001), (1 << 20, (1 << 17) + 1)])
def test_a_file_goes_on_on_disk_before_it_has_arrived(temporary, in_memory, size):
    upload = FormUpload(b"xYz", FormLimits(), in_memory)
    upload.write(file(b"x" * size)[:-2])
    (made,) = temporary.iterdir()
    upload.write(b"y" * 5000)
    assert made.stat().st_size > size
    upload.close()


def test_the_files_of_a_form_share_the_memory_of_four(temporary):
    sizes = [900] * 6 + [300, 200, 50, 1001]
    parts = [file(b"%d" % (number % 10) * size) for number, size in enumerate(sizes)]
    upload = taken_apart(form(*parts), 1000)
    files = [one for _, one in upload.files]
    in_memory = [one.isInMemory() for one in files]
    assert in_memory == [True] * 4 + [False, False, True, False, True, False]
    assert sum(one.size() for one in files if one.isInMemory()) <= 4 * 1000
    assert [len(one.read()) for one in files] == sizes
    upload.close()


def test_with_no_memory_every_file_is_on_disk(temporary):
    upload = taken_apart(form(*[file(b"x")] * 50, file(b"")), 0)
    assert [one.isInMemory() for _, one in upload.files] == [False] * 50 + [True]
    assert len(os.listdir(temporary)) == 50
    upload.close()


def test_what_need_not_go_to_the_disk_can_do_without_it(full_disk):
    data = os.urandom(1_000_000)
    upload = taken_apart(form(file(data), file(data)), 1_000_000, 65536)
    assert len(full_disk) == 2  # each asks once
    assert [one.read() for _, one in upload.files] == [data, data]
    with pytest.raises(HTTPError) as caught:
        taken_apart(form(file(data)), 999_999, 65536)
    assert caught.value.status == 507
    upload.close()


def test_a_disk_that_fills_up_costs_nothing_of_a_file_that_may_be_in_memory(
    temporary, monkeypatch, small_disk
):
    monkeypatch.setattr("hwebserver.web.uploads._WAITING", 2000)
    data = os.urandom(30_000)
    upload = taken_apart(form(file(data)), 30_000, 700)
    assert os.listdir(temporary) == []
    assert upload.files[0][1].read() == data
    upload.close()


def test_a_disk_that_takes_a_part_of_each_write_gets_the_rest_too(temporary, small_disk):
    data = os.urandom(9_000)
    upload = taken_apart(form(file(data)), 1)
    assert Path(upload.files[0][1].temporaryFilePath()).read_bytes() == data
    upload.close()


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_a_file_input_in_which_nothing_was_chosen_is_no_file(temporary, in_memory):
    body = form(
        file(b"", ""), file(b"data", ""), file(b"", "a.txt"), file(b"", ""), file(b"", "..")
    )
    upload = taken_apart(body, in_memory)
    assert [(one.name(), one.read()) for _, one in upload.files] == [("", b"data"), ("a.txt", b"")]
    upload.close()


def flood(write, count=15_000) -> int:
    """Bytes of memory that are taken by this many writes of two bytes."""
    pieces = [b"ab", b"cd"]
    tracemalloc.start()
    try:
        for number in range(count):
            write(pieces[number % 2][:1] + b"x")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("begin", [file(b"")[:-2], field(b"")[:-2]])
def test_a_flood_of_tiny_pieces_of_a_form_takes_the_memory_of_its_bytes(begin):
    upload = FormUpload(b"xYz", FormLimits(), 1 << 20)
    upload.write(begin)
    assert flood(upload.write) < 5 * 30_000
    upload.close()


def test_a_flood_of_tiny_pieces_of_a_body_takes_the_memory_of_its_bytes():
    buffer = BodyBuffer(1 << 20)
    assert flood(buffer.write) < 5 * 30_000
    assert buffer.size == 30_000
    buffer.close()


# --- through a server: what a handler gets ---


def sizes(request):
    body = request.body()
    return [len(body), body[:3].decode(), body[-3:].decode()]


def describe(request):
    """What a form was made of."""
    files = {
        name: [one.name(), one.contentType(), one.size(), one.isInMemory(), len(one.read())]
        for name, one in request.files().items()
    }
    return {"fields": request.POST(), "files": files, "length": request.contentLength()}


@pytest.fixture
def forms(server):
    """A server that says what it got, and one page more."""
    server.urlHandler("/")(describe)
    server.urlHandler("/other")(lambda request: "other")
    return server


def test_a_large_body_arrives_and_its_file_is_gone_with_the_answer(server, temporary):
    server.urlHandler("/")(sizes)
    body = b"abc" + b"x" * 3_000_000 + b"xyz"
    with running(server, max_in_memory_file_upload_size=1000):
        for _ in range(3):
            answer = fetch(server, "/", "POST", body)
            assert json.loads(answer.body) == [len(body), "abc", "xyz"]
        wait_until(lambda: os.listdir(temporary) == [])


def test_a_form_arrives_and_its_files_are_gone_with_the_answer(forms, temporary):
    data = os.urandom(3_000_000)
    with running(forms):
        for _ in range(3):
            answer = post(forms, field(b"\xc3\xbc", b"x"), file(data), file(b"abc", name=b"small"))
            found = json.loads(answer.body)
            assert found["fields"] == {"x": "\u00fc"}
            assert found["files"] == {
                "file": ["a.bin", "", 3_000_000, False, 3_000_000],
                "small": ["a.bin", "", 3, True, 3],
            }
            wait_until(lambda: os.listdir(temporary) == [])


@pytest.mark.parametrize(("size", "in_memory"), [(999, True), (1000, True), (1001, False)])
def test_the_bound_of_memory_is_the_one_that_run_was_given(forms, temporary, size, in_memory):
    with running(forms, max_in_memory_file_upload_size=1000):
        found = json.loads(post(forms, file(b"x" * size)).body)
    assert found["files"] == {"file": ["a.bin", "", size, in_memory, size]}


def test_the_bound_of_memory_is_two_and_a_half_megabytes_unless_told(forms, temporary):
    with running(forms):
        for size, in_memory in ((2_621_440, True), (2_621_441, False)):
            found = json.loads(post(forms, file(b"x" * size)).body)
            assert found["files"]["file"][2:4] == [size, in_memory]


@pytest.mark.parametrize(("size", "count"), [(1, 30), (100, 30_000), (70_000, 30_000)])
def test_a_form_may_come_in_chunks(forms, temporary, size, count):
    body = form(field(b"1", b"x"), file(b"\r\n--xY" * count))
    with running(forms, max_in_memory_file_upload_size=100), connect(forms) as sock:
        for _ in range(2):
            sock.sendall(head(None) + chunked(body, size))
            found = json.loads(receive_response(sock).body)
            assert found["fields"] == {"x": "1"}
            assert found["files"] == {"file": ["a.bin", "", 6 * count, False, 6 * count]}
            assert found["length"] == len(body)


def test_a_form_may_come_byte_by_byte(forms, temporary):
    body = form(field(b"1", b"x"), file(b"\r\n--xY" * 20, "a.txt"), file(b"", "b.txt", b"empty"))
    with running(forms, max_in_memory_file_upload_size=50), connect(forms) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head(len(body)) + body:
            sock.sendall(bytes([byte]))
        found = json.loads(receive_response(sock).body)
    assert found["fields"] == {"x": "1"}
    assert found["files"] == {
        "file": ["a.txt", "", 120, False, 120],
        "empty": ["b.txt", "", 0, True, 0],
    }


def test_a_client_may_ask_before_it_sends_a_form(forms, temporary):
    body = form(file(b"x" * 100))
    with running(forms), connect(forms) as sock:
        sock.sendall(head(len(body), extra=b"Expect: 100-continue\r\n"))
        assert receive_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert json.loads(receive_response(sock).body)["files"]["file"][2] == 100


def test_the_form_behind_a_form_is_its_own(forms, temporary):
    bodies = [form(file(b"x" * 2000)), form(field(b"1")), form(file(b"y", "b.txt"))]
    extras = [b"", b"", b"Connection: close\r\n"]
    with running(forms, max_in_memory_file_upload_size=1000), connect(forms) as sock:
        pairs = zip(bodies, extras)
        sock.sendall(b"".join(head(len(body), extra=extra) + body for body, extra in pairs))
        _, *answers = receive_all(sock).split(b"HTTP/1.1 200 OK\r\n")
    found = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    assert [one["fields"] for one in found] == [{}, {"field": "1"}, {}]
    names = [[one[0] for one in each["files"].values()] for each in found]
    assert names == [["a.bin"], [], ["b.txt"]]


def test_a_file_that_a_handler_moves_away_is_the_handlers(server, temporary, tmp_path):
    kept = tmp_path / "kept.exr"

    @server.urlHandler("/")
    def keep(request):
        upload = request.files()["file"]
        upload.saveToDisk()
        shutil.move(upload.temporaryFilePath(), kept)

    with running(server, max_in_memory_file_upload_size=1000):
        for data in (b"small", b"large" * 1000):
            assert post(server, file(data)).status == 204
            wait_until(lambda: os.listdir(temporary) == [])
            assert kept.read_bytes() == data


def pieces(upload):
    """A generator that reads a file bit by bit."""
    while True:
        piece = upload.read(1000)
        if not piece:
            return
        yield piece


async def async_pieces(upload):
    for piece in pieces(upload):
        await asyncio.sleep(0)
        yield piece


STREAMS = {
    "generator": lambda upload: Response(pieces(upload)),
    "coroutine": lambda upload: Response(async_pieces(upload)),
    "call": lambda upload: Response(iter(lambda: upload.read(1000), b"")),
    "itself": Response,
    "file": lambda upload: fileResponse(upload.temporaryFilePath()),
    "delete": lambda upload: fileResponse(upload.temporaryFilePath(), delete_file=True),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_response_that_is_made_of_a_file_has_all_of_it(server, temporary, stream, refusals):
    data = os.urandom(300_000)

    @server.urlHandler("/")
    def give_back(request):
        upload = request.files()["file"]
        upload.saveToDisk()
        return STREAMS[stream](upload)

    with running(server):
        assert post(server, file(data)).body == data
        wait_until(lambda: os.listdir(temporary) == [])
    assert refusals() == []


def test_a_client_that_leaves_a_stream_of_its_file_leaves_no_file(server, temporary):
    @server.urlHandler("/")
    def give_back(request):
        upload = request.files()["file"]
        return Response(piece for _ in range(1 << 20) for piece in [upload.read(1) + b"x" * 9999])

    body = form(file(b"x" * 5000))
    with running(server, max_in_memory_file_upload_size=1000):
        with connect(server) as sock:
            sock.sendall(head(len(body)) + body)
            receive_until(sock, b"xxx")
            assert os.listdir(temporary) != []
            reset(sock)
        wait_until(lambda: os.listdir(temporary) == [])


# --- through a server: files go with their exchange ---


def test_the_file_is_gone_when_the_handler_raised(server, temporary):
    @server.urlHandler("/")
    def fail(request):
        raise RuntimeError(len(request.body()))

    with running(server, max_in_memory_file_upload_size=10):
        assert fetch(server, "/", "POST", b"x" * 100_000).status == 500
        wait_until(lambda: os.listdir(temporary) == [])


@pytest.mark.parametrize("error", [RuntimeError, HTTPError, SystemExit, KeyboardInterrupt])
def test_the_files_of_a_form_are_gone_when_the_handler_raised(server, temporary, error):
    seen = []

    @server.urlHandler("/")
    def fail(request):
        seen.extend(os.listdir(temporary))
        request.files()["file"].read(10)
        raise error(409, "no") if error is HTTPError else error()

    with running(server, max_in_memory_file_upload_size=10):
        status = post(server, file(b"x" * 100_000), file(b"y" * 100_000)).status
        assert status == (409 if error is HTTPError else 500)
        wait_until(lambda: os.listdir(temporary) == [])
    assert len(seen) == 2


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


@pytest.mark.parametrize("leave", [reset, socket.socket.close])
@pytest.mark.parametrize("begun", [file(b"x" * 5000)[:-2], file(b"x" * 5000), field(b"1")[:-2]])
def test_the_files_are_gone_when_the_client_left_in_the_middle(
    server, temporary, refusals, begun, leave
):
    calls = []
    server.urlHandler("/")(calls.append)
    with running(server, max_in_memory_file_upload_size=1000):
        sock = connect(server)
        sock.sendall(head(1_000_000) + file(b"y" * 5000, "first.txt") + begun)
        expected = 1 + begun.count(b"filename")
        wait_until(lambda: len(os.listdir(temporary)) == expected)
        leave(sock)
        wait_until(lambda: os.listdir(temporary) == [])
    assert calls == []
    assert refusals() == []  # that clients leave is no event


def test_the_files_are_gone_when_the_client_sends_no_more(server, temporary):
    calls = []
    server.urlHandler("/")(calls.append)
    arguments = {"max_in_memory_file_upload_size": 1000, "settings": {"BODY_TIMEOUT": 0.05}}
    with running(server, **arguments), connect(server) as sock:
        sock.sendall(head(10_000) + file(b"x" * 5000)[:-2])
        assert receive_response(sock).status == 408
        wait_until(lambda: os.listdir(temporary) == [])
    assert calls == []


class Held:
    """A handler that holds an upload until it is let go."""

    def __init__(self, server, temporary):
        self.let_go = threading.Event()
        self.began = threading.Event()
        self.reads = []
        self._temporary = temporary
        server.urlHandler("/")(self)

    def __call__(self, request):
        self.began.set()
        assert self.let_go.wait(PATIENCE)
        self.reads.append((len(os.listdir(self._temporary)), request.files()["file"].read()))
        return "done"

    def begin(self, server) -> socket.socket:
        """Send a form and wait until the handler has it."""
        sock = connect(server)
        body = form(file(b"x" * 5000))
        sock.sendall(head(len(body)) + body)
        assert self.began.wait(PATIENCE)
        return sock


@pytest.fixture
def held(server, temporary):
    handler = Held(server, temporary)
    yield handler
    handler.let_go.set()


@pytest.mark.parametrize("leave", [reset, socket.socket.close])
def test_a_handler_has_its_files_though_the_client_has_left(server, temporary, held, leave):
    with running(server, max_in_memory_file_upload_size=1000):
        leave(held.begin(server))
        assert fetch(server, "/none").status == 404  # the server has seen everything before this
        assert len(os.listdir(temporary)) == 1
        held.let_go.set()
        wait_until(lambda: os.listdir(temporary) == [])
    assert held.reads == [(1, b"x" * 5000)]


def test_a_shutdown_lets_a_handler_have_its_files(server, temporary, held):
    with running(server, max_in_memory_file_upload_size=1000):
        with held.begin(server) as sock:
            server.requestShutdown()
            held.let_go.set()
            assert receive_response(sock).text == "done"
        wait_until(lambda: os.listdir(temporary) == [])
    assert held.reads == [(1, b"x" * 5000)]


def test_a_handler_that_outlasts_the_shutdown_has_its_files_until_it_returns(
    server, temporary, held
):
    arguments = {"max_in_memory_file_upload_size": 1000, "settings": {"SHUTDOWN_TIMEOUT": 0.05}}
    with running(server, **arguments), held.begin(server) as sock:
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        assert receive_all(sock) == b""
        assert len(os.listdir(temporary)) == 1
        held.let_go.set()
        wait_until(lambda: os.listdir(temporary) == [])
    assert held.reads == [(1, b"x" * 5000)]


def test_an_upload_that_arrives_during_the_shutdown_is_still_answered(server, temporary):
    server.urlHandler("/")(describe)
    body = form(file(b"x" * 5000))
    with running(server, max_in_memory_file_upload_size=1000), connect(server) as sock:
        sock.sendall(head(len(body)) + body[:3000])
        wait_until(lambda: os.listdir(temporary))
        server.requestShutdown()
        sock.sendall(body[3000:])
        assert json.loads(receive_response(sock).body)["files"]["file"][2] == 5000
        wait_until(lambda: not server.isRunning())


def test_an_upload_that_does_not_end_before_the_shutdown_leaves_nothing(server, temporary):
    calls = []
    server.urlHandler("/")(calls.append)
    arguments = {"max_in_memory_file_upload_size": 1000, "settings": {"SHUTDOWN_TIMEOUT": 0.05}}
    with running(server, **arguments), connect(server) as sock:
        sock.sendall(head(10_000) + file(b"x" * 5000)[:-2])
        wait_until(lambda: os.listdir(temporary))
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        assert os.listdir(temporary) == []
        receive_all(sock)
    assert calls == []


PROGRAM = """
import os, sys, threading
import hwebserver

@hwebserver.urlHandler("/")
def hold(request):
    print("held", flush=True)
    threading.Event().wait()

hwebserver.run(0, in_background=True, max_in_memory_file_upload_size=1000)
print(hwebserver.port(), flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def program(temporary, text=PROGRAM):
    """A process of a server; its output so far is its port."""
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.getcwd()}
    script = temporary.parent / "program.py"
    script.write_text(text)
    started = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with started:
            assert started.stdout is not None
            yield started, int(started.stdout.readline())
    finally:
        started.kill()


@pytest.mark.parametrize("complete", [True, False])
def test_a_process_that_ends_leaves_no_file_of_a_handler_that_never_returns(temporary, complete):
    body = form(file(b"x" * 5000))
    with program(temporary) as (started, port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            sock.sendall(head(len(body)) + (body if complete else body[:-10]))
            wait_until(lambda: os.listdir(temporary))
            assert not complete or started.stdout.readline() == "held\n"
            started.communicate("end\n", timeout=PATIENCE)
        assert started.returncode == 0
    assert os.listdir(temporary) == []


def test_a_process_that_ends_makes_no_more_files(temporary):
    late = """
import atexit, sys
def late():
    print("late", flush=True)
    sys.stdin.readline()
atexit.register(late)
"""
    bodies = [form(file(b"x" * 5000)), form(file(b"x" * 100))]
    with program(temporary, late + PROGRAM) as (started, port):
        started.stdin.write("end\n")
        started.stdin.flush()
        assert started.stdout.readline() == "late\n"  # threads serve on meanwhile
        for body, status in zip(bodies, (507, 0)):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
                sock.sendall(head(len(body)) + body)
                assert not status or receive_response(sock).status == status
        assert started.stdout.readline() == "held\n"  # what needs no file is served
        started.communicate("end\n", timeout=PATIENCE)
        assert started.returncode == 0
    assert os.listdir(temporary) == []


def test_a_process_that_is_restarted_leaves_no_file_of_such_a_handler_either(temporary):
    restart = """
from hwebserver.reloader import restart
if "RESTARTED" not in os.environ:
    restart({"RESTARTED": "1"})
"""
    body = form(file(b"x" * 5000))
    with program(temporary, PROGRAM + restart) as (started, port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            sock.sendall(head(len(body)) + body)
            assert started.stdout.readline() == "held\n"
            started.stdin.write("restart\n")
            started.stdin.flush()
            assert int(started.stdout.readline())  # it serves again
        assert os.listdir(temporary) == []
        started.communicate("end\n", timeout=PATIENCE)


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without its knowledge")
def test_a_process_that_is_interrupted_leaves_no_file_of_such_a_handler_either(temporary):
    told = """port_callback=lambda number: print(number, flush=True), in_background=False,
        settings={"SHUTDOWN_TIMEOUT": 0.05}"""
    text = PROGRAM.replace("in_background=True", told).partition("print(hwebserver.port()")[0]
    body = form(file(b"x" * 5000))
    with program(temporary, text) as (started, port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            sock.sendall(head(len(body)) + body)
            assert started.stdout.readline() == "held\n"
            assert len(os.listdir(temporary)) == 1
            started.send_signal(signal.SIGINT)
            receive_all(sock)
        assert started.wait(PATIENCE) == 0
    assert os.listdir(temporary) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system knows no fork")
def test_a_child_that_a_handler_forks_does_not_delete_the_parents_file(server, temporary):
    @server.urlHandler("/")
    def split(request):
        upload = request.files()["file"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads
            child = os.fork()
        if not child:
            upload.close()
            os._exit(0)
        os.waitpid(child, 0)
        return [os.path.exists(upload.temporaryFilePath()), len(upload.read())]

    with running(server, max_in_memory_file_upload_size=1000):
        assert json.loads(post(server, file(b"x" * 5000)).body) == [True, 5000]


# --- through a server: a disk that is full ---


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


def test_a_form_that_the_disk_does_not_take_is_a_507_and_calls_no_handler(
    forms, full_disk, refusals
):
    with running(forms, max_in_memory_file_upload_size=100):
        answer = post(forms, field(b"1"), file(b"x" * 101), file(b"y" * 100_000))
        assert answer.status == 507
        assert "stored" in answer.text
        assert post(forms, file(b"x" * 100)).status == 200
    assert [line.partition(": ")[2][:4] for line in refusals()] == ["507:"]


@pytest.mark.parametrize("before", [[], [file(b"y" * 5000)], [file(b"y" * 5000)] * 2])
def test_a_disk_that_fills_up_in_the_middle_is_a_507_and_leaves_nothing(
    forms, temporary, small_disk, refusals, before
):
    with running(forms, max_in_memory_file_upload_size=1000):
        assert post(forms, *before, file(b"x" * 11_000)).status == 507
        assert os.listdir(temporary) == []  # at once: who answers has let go of them before
        assert fetch(forms, "/other").text == "other"
    assert len(refusals()) == 1


def test_a_place_for_temporary_files_that_is_not_there_is_a_507(forms, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with running(forms, max_in_memory_file_upload_size=1000):
        assert post(forms, file(b"x" * 2000)).status == 507
        assert fetch(forms, "/", "POST", b"x" * 2000).status == 507
        assert post(forms, file(b"x" * 1000)).status == 200


def test_a_disk_that_is_slow_delays_nobody_else(forms, temporary, monkeypatch):
    asked, go_on = threading.Event(), threading.Event()
    make = tempfile.mkstemp

    def wait(*arguments):
        asked.set()
        assert go_on.wait(PATIENCE)
        return make(*arguments)

    monkeypatch.setattr(tempfile, "mkstemp", wait)
    body = form(file(b"x" * 5000))
    with running(forms, max_in_memory_file_upload_size=1000), connect(forms) as sock:
        sock.sendall(head(len(body)) + body)
        assert asked.wait(PATIENCE)
        assert fetch(forms, "/other").text == "other"
        assert post(forms, file(b"x" * 1000)).status == 200
        go_on.set()
        assert json.loads(receive_response(sock).body)["files"]["file"][2:4] == [5000, False]


def test_a_handler_hears_of_a_disk_that_does_not_take_its_file(server, temporary, small_disk):
    @server.urlHandler("/")
    def save(request):
        upload = request.files()["file"]
        try:
            upload.saveToDisk()
        except OSError:
            return str(len(upload.read()))

    with running(server):
        assert post(server, file(b"x" * 20_000)).text == "20000"


# --- limits ---


def heads(count: int) -> bytes:
    """A part with this many header fields."""
    others = [b"X-%d: 1" % number for number in range(count - 1)]
    return part(b"1", b'Content-Disposition: form-data; name="x"', *others)


def long_head(size: int) -> bytes:
    """A part with a header field line of that length."""
    return part(b"1", b'Content-Disposition: form-data; name="x"', b"X: ".ljust(size, b"x"))


LIMITS = {
    "MAX_FORM_PARTS": (3, lambda size: form(*[field(b"1")] * size)),
    "MAX_PART_FIELD_COUNT": (4, lambda size: form(heads(size))),
    "MAX_PART_FIELD_LINE_SIZE": (64, lambda size: form(long_head(size))),
    "MAX_FORM_FIELD_SIZE": (10, lambda size: form(field(b"x" * 5), field(b"x" * size))),
    "MAX_FORM_FIELDS_SIZE": (20, lambda size: form(field(b"x" * 15), field(b"x" * (size - 15)))),
    "MAX_REQUEST_SIZE": (1000, lambda size: form(file(b"x" * (size - len(form(file(b""))))))),
}


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("setting", LIMITS)
def test_a_form_may_cost_what_the_settings_say_and_no_more(
    forms, temporary, refusals, setting, in_chunks
):
    limit, make = LIMITS[setting]
    statuses = []
    with running(forms, settings={setting: limit, "MAX_IN_MEMORY_FILE_UPLOAD_SIZE": 100}):
        for size in (limit - 1, limit, limit + 1):
            body = make(size)
            with connect(forms) as sock:
                framed = head(None) + chunked(body, 50) if in_chunks else head(len(body)) + body
                sock.sendall(framed)
                statuses.append(receive_response(sock).status)
        wait_until(lambda: os.listdir(temporary) == [])
    assert statuses == [200, 200, 413]
    (line,) = refusals()
    assert str(limit) in line


def test_files_are_bounded_by_the_request_alone(forms, temporary):
    settings = {"MAX_FORM_FIELD_SIZE": 10, "MAX_FORM_FIELDS_SIZE": 10}
    with running(forms, settings=settings):
        assert post(forms, file(b"x" * 100_000), field(b"x" * 10)).status == 200
        assert post(forms, file(b"x" * 100_000), field(b"x" * 11)).status == 413


def test_a_form_that_is_too_large_is_refused_before_it_comes(forms, temporary):
    extra = b"Expect: 100-continue\r\n"
    with running(forms, max_request_size=1000), connect(forms) as sock:
        sock.sendall(head(1001, extra=extra))
        answer = receive_response(sock)  # a 100 would be skipped, but none is to come
        assert answer.status == 413
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("kind", [KIND, "application/octet-stream"])
def test_who_sends_too_much_blindly_still_reads_why_it_is_refused(
    forms, temporary, refusals, kind, in_chunks
):
    block = b"x" * (1 << 20)
    begin = file(b"")[:-2]
    with running(forms, max_request_size=3 << 20), connect(forms) as sock:
        sock.sendall(head(None if in_chunks else (20 << 20) + len(begin), kind))
        sock.sendall(b"%x\r\n%b\r\n" % (len(begin), begin) if in_chunks else begin)
        for _ in range(20):
            sock.sendall(b"%x\r\n%b\r\n" % (len(block), block) if in_chunks else block)
        answer = receive_response(sock)
        assert answer.status == 413
        assert str(3 << 20) in answer.text
        assert fetch(forms, "/other").text == "other"
    assert len(refusals()) == 1


# --- what attacked our peers ---


def refused(server, kind: str, body: bytes, in_chunks: bool = False) -> int:
    """The status that a form is refused with; after it the server serves others."""
    with connect(server) as sock:
        framing = head(None, kind) if in_chunks else head(len(body), kind)
        sock.sendall(framing + (chunked(body, 60_000) if in_chunks else body))
        status = receive_response(sock).status
        assert fetch(server, "/other").text == "other"
    return status


def disposition(text: str) -> bytes:
    """A form with a part of that disposition."""
    return form(part(b"data", b"Content-Disposition: " + text.encode("latin-1")))


REFUSED = {
    "no boundary": (400, "multipart/form-data", form()),
    "empty boundary": (400, "multipart/form-data; boundary=", form()),
    "quoted nothing": (400, 'multipart/form-data; boundary=""', form()),
    "boundary of 71": (400, "multipart/form-data; boundary=" + "x" * 71, form()),
    "boundary ends in a space": (400, 'multipart/form-data; boundary="xYz "', form()),
    "boundary with a control": (400, 'multipart/form-data; boundary="x\x0bz"', form()),
    "boundary with a tab": (400, 'multipart/form-data; boundary="x\tz"', form()),
    "boundary beyond ASCII": (400, "multipart/form-data; boundary=\u00fc", form()),
    "two boundaries": (400, "multipart/form-data; boundary=xYz; boundary=abc", form()),
    "another boundary": (400, "multipart/form-data; boundary=abc", form(field(b"1"))),
    "closing boundary missing": (400, KIND, field(b"1") + file(b"x" * 5000)),
    "cut in a file": (400, KIND, file(b"x" * 5000)[:-10]),
    "cut in a field": (400, KIND, field(b"x" * 5000)[:-10]),
    "cut in a head": (400, KIND, file(b"")[:30]),
    "cut in the boundary": (400, KIND, form(file(b"x"))[:-5]),
    "no form at all": (400, KIND, b"x=1&y=2"),
    "line feeds alone": (400, KIND, form(field(b"1")).replace(b"\r\n", b"\n")),
    "preamble": (400, KIND, b"x" * 4100 + b"\r\n" + form(field(b"1"))),
    "epilogue": (400, KIND, form(field(b"1")) + b"x" * 4200),
    "20000 parts": (413, KIND, form(*[field(b"1", b"same")] * 20_000)),
    "a field of 16 MB": (413, KIND, form(field(b"x" * (16 << 20)))),
    "a head of 4 MB": (413, KIND, form(long_head(4 << 20))),
    "50000 header fields": (413, KIND, form(heads(50_000))),
    "no disposition": (400, KIND, form(part(b"data", b"Content-Type: text/plain"))),
    "no header field": (400, KIND, form(part(b"data"))),
    "another disposition": (400, KIND, disposition('attachment; name="x"')),
    "no name": (400, KIND, disposition("form-data")),
    "two names": (400, KIND, disposition('form-data; name="x"; name="y"')),
    "two file names": (400, KIND, disposition('form-data; name="x"; filename=a; filename=b')),
    "name with NUL": (400, KIND, disposition('form-data; name="x\0"')),
    "quote without end": (400, KIND, disposition('form-data; name="x')),
    "bad filename*": (400, KIND, disposition("form-data; name=x; filename*=utf-16''a")),
    "folded head": (400, KIND, disposition('form-data;\r\n name="x"')),
    "bare line feed in a head": (400, KIND, disposition('form-data; name="x"\nX: 1')),
    "space before the colon": (400, KIND, form(part(b"", b"Content-Disposition : form-data"))),
    "base64": (400, KIND, form(part(b"", b"Content-Transfer-Encoding: base64"))),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_form_that_is_none_costs_its_client_the_answer_and_the_log_one_line(
    forms, temporary, refusals, case
):
    status, kind, body = REFUSED[case]
    with running(forms, max_in_memory_file_upload_size=1000):
        assert refused(forms, kind, body) == status
    assert len(refusals()) == 1, refusals()
    assert all(line.isprintable() and len(line) < 200 for line in refusals())


def test_a_form_in_chunks_of_which_nothing_comes_is_an_error_and_not_empty(forms, refusals):
    with running(forms):
        assert refused(forms, KIND, b"", in_chunks=True) == 400
    assert len(refusals()) == 1


def test_a_boundary_with_a_line_end_is_refused_with_its_head(forms, refusals):
    with running(forms):
        for end in ("\r\n", "\r", "\n"):
            assert refused(forms, f'multipart/form-data; boundary="x{end}Yz"', form()) == 400
    assert len(refusals()) == 3


def test_a_bad_boundary_is_refused_before_the_body_is_asked_for(forms, refusals):
    with running(forms), connect(forms) as sock:
        sock.sendall(head(1 << 30, "multipart/form-data", b"Expect: 100-continue\r\n"))
        assert receive_all(sock).startswith(b"HTTP/1.1 400 ")
    assert len(refusals()) == 1


def test_what_comes_behind_a_form_that_was_refused_is_no_request(forms, refusals):
    smuggled = b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = form(part(smuggled))
    with running(forms), connect(forms) as sock:
        sock.sendall(head(len(body)) + body + smuggled)
        sock.shutdown(socket.SHUT_WR)
        received = receive_all(sock)
    assert received.count(b"HTTP/1.1 ") == 1
    assert len(refusals()) == 1


def test_a_form_that_lacks_its_end_only_leaves_the_connection_as_it_was(forms, refusals):
    body = file(b"x" * 5000)
    with running(forms, max_in_memory_file_upload_size=1000), connect(forms) as sock:
        for _ in range(3):
            sock.sendall(head(len(body)) + body)
            assert receive_response(sock).status == 400
        sock.sendall(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert receive_response(sock).text == "other"
    assert len(refusals()) == 3


def test_a_refused_call_of_the_api_is_told_so_in_json(forms):
    forms.apiFunction()(_named("take", lambda request: 1))
    body = field(b"take", b"cmd_function")
    with running(forms):
        answer = fetch(forms, "/api", "POST", body, MULTIPART)
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
    assert "boundary" in json.loads(answer.body)["error"]


def _named(name, function):
    function.__name__ = name
    return function


MEGABYTES = 8
FLOODS = {
    "NUL": b"\0" * 1024,
    "CRLF": b"\r\n" * 512,
    "CR": b"\r" * 1024,
    "LF": b"\n" * 1024,
    "near-boundaries": (b"\r\n--xY" * 171)[:1024],
    "nearer boundaries": (b"\r\n--xYzA" * 128)[:1024],
    "dashes": b"\r\n--" * 256,
}


@pytest.mark.parametrize("case", FLOODS)
def test_a_file_made_to_be_slow_is_a_file(server, temporary, case):
    sizes = []

    @server.urlHandler("/")
    def note(request):
        upload = request.files()["file"]
        sizes.append(upload.size())
        return Response(upload)

    data = FLOODS[case] * (1024 * MEGABYTES)
    with running(server):
        assert post(server, file(data)).body == data
    assert sizes == [MEGABYTES << 20]


def test_a_name_may_be_there_as_often_as_there_may_be_parts(server, temporary):
    @server.urlHandler("/")
    def count(request):
        return [len(request.POSTList("same")), len(request.filesList("same")), request.POST()]

    parts = [file(b"x", "a.txt", b"same"), field(b"1", b"same")] * 500
    with running(server):
        assert json.loads(post(server, *parts).body) == [500, 500, {"same": "1"}]
        assert post(server, *parts, field(b"1", b"same")).status == 413


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("..\\\\..\\\\etc/passwd", "passwd"), ("../../etc/passwd", "passwd"), ("..", ""),
        ("C:\\dir\\a.txt", "a.txt"), ("C:a.txt", "a.txt"), ("/abs/a.txt", "a.txt"),
        ('a\\"b.txt', 'a"b.txt'), ("a%22b.txt", 'a"b.txt'), ("a%0D%0Ab.txt", "ab.txt"),
        ("x" * 300 + ".exr", "x" * 251 + ".exr"), ("\u00fc.txt", "\u00fc.txt"),
        ("a.txt. . .", "a.txt. . ."), ("~/.ssh/id", "id"), ("\\\\host\\share\\a", "a"),
    ],
)  # fmt: skip
def test_the_name_of_a_file_has_no_path_of_its_client(server, temporary, sent, name):
    server.urlHandler("/")(lambda request: [request.files()["file"].name()])
    with running(server, max_in_memory_file_upload_size=0):
        assert json.loads(post(server, file(b"data", sent)).body) == [name]


def test_an_extended_name_and_a_type_are_read(server, temporary):
    @server.urlHandler("/")
    def look(request):
        one = request.files()["x"]
        return [one.name(), one.contentType(), repr(one)]

    kinds = b"Content-Type: image/x-exr; layers=2"
    name = b"Content-Disposition: form-data; name=x; filename*=utf-8''%e2%82%ac%2f..%2fb.exr"
    with running(server):
        answer = post(server, part(b"data", name, kinds))
    assert json.loads(answer.body) == [
        "b.exr",
        "image/x-exr; layers=2",
        "<UploadedFile 'b.exr' of 4 bytes>",
    ]


def test_a_form_within_a_part_is_data(forms, temporary):
    inner = b"--abc\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--abc--\r\n"
    kind = b"Content-Type: multipart/mixed; boundary=abc"
    nested = part(inner, b"Content-Disposition: form-data; name=x; filename=a", kind)
    with running(forms):
        found = json.loads(post(forms, nested).body)
    assert found["fields"] == {}
    assert found["files"]["x"][1:3] == ["multipart/mixed; boundary=abc", len(inner)]


def test_a_preamble_and_an_epilogue_are_passed_over(forms):
    body = b"x" * 4000 + b"\r\n" + form(field(b"1")) + b"y" * 4000
    with running(forms):
        answer = fetch(forms, "/", "POST", body, MULTIPART)
    assert json.loads(answer.body)["fields"] == {"field": "1"}


def test_a_form_that_no_handler_takes_is_not_stored(server, temporary, monkeypatch):
    made = []
    monkeypatch.setattr(tempfile, "mkstemp", made.append)
    server.urlHandler("/", methods=["GET"])(lambda request: "got")
    body = form(file(b"x" * 50_000))
    with running(server, max_in_memory_file_upload_size=0), connect(server) as sock:
        for path, status in ((b"/", 405), (b"/none", 404)):
            sock.sendall(head(len(body), path=path) + body)
            assert receive_response(sock).status == status
    assert made == []


def test_many_clients_may_upload_at_once(forms, temporary):
    body = form(field(b"1", b"x"), file(b"x" * 5000))
    half = len(body) // 2
    with running(forms, max_in_memory_file_upload_size=1000), contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(forms)) for _ in range(50)]
        for sock in socks:
            sock.sendall(head(len(body)) + body[:half])
        wait_until(lambda: len(os.listdir(temporary)) == 50)
        for sock in socks:
            sock.sendall(body[half:])
        found = [json.loads(receive_response(sock).body) for sock in socks]
    assert all(one["files"]["file"][2:] == [5000, False, 5000] for one in found)
