"""What a request gets of a file: conditions, ranges, and files that change under the server."""

from __future__ import annotations

import contextlib
import email.parser
import http.client
import os
import random
import socket
import threading
from types import SimpleNamespace

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

from hwebserver import Response, fileResponse
from hwebserver.exchange import Answer as Outgoing
from hwebserver.protocol.headers import Fields
from hwebserver.protocol.http1 import RequestHead
from hwebserver.web import content as content_module
from hwebserver.web.content import KnownFile, open_file

SIZES = [0, 1, 65_535, 65_536, 65_537, 1 << 20]
SMALL, LARGE = 65_536, 200_000
OLD = 784_111_777  # when files were modified that are to be old: the date that RFC 9110 writes
OLD_TEXT, BEFORE_TEXT = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT"
MANY = 16_000_000  # bytes that no pair of socket buffers holds

#: Elsewhere a file that is open keeps its name, and one with a hole has all of its bytes on disk.
on_posix = pytest.mark.skipif(os.name != "posix", reason="files are another thing here")

BLOCK = random.Random(9110).randbytes(1 << 20)


@pytest.fixture
def make(tmp_path):
    """Make a file of a size."""

    def write(size: int, name: str = "file.bin", modified: float = OLD):
        path = tmp_path / name
        path.write_bytes(BLOCK[:size])
        os.utime(path, (modified, modified))
        return path

    return write


def publish(server, path, prepare=lambda response: None, status=200, **options):
    """Answer every request with a file."""

    def handler(request):
        if status == 200:
            response = fileResponse(path, **options)
        else:
            response = Response(str(path), status, "application/octet-stream", True, **options)
        prepare(response)
        return response

    server.urlHandler("/", is_prefix=True)(handler)
    return server


@contextlib.contextmanager
def session(server):
    """Ask over one connection; fail when it is not kept."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=PATIENCE)
    connection.connect()
    connection.auto_open = 0

    def ask(method="GET", **fields) -> Answer:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, "/", None, named)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    try:
        yield ask
    finally:
        connection.close()


def ask_raw(sock, *fields, method="GET", version="1.1"):
    lines = (f"{method} / HTTP/{version}", "Host: localhost", *fields, "", "")
    sock.sendall("\r\n".join(lines).encode())


def parts_of(answer):
    """Take a multipart/byteranges body apart."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    parsed = email.parser.BytesParser().parsebytes(head + answer.body)
    assert parsed.get_content_type() == "multipart/byteranges"
    assert (parsed.defects, parsed.preamble, parsed.epilogue) == ([], None, "")
    return [
        (part["Content-Range"], part["Content-Type"], part.get_payload(decode=True))
        for part in parsed.get_payload()
    ]


def single(spec: str, size: int):
    """Return the first and last position that a valid range selects; None: nothing."""
    first, last = spec.split("-")
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    return (start, end - 1) if start < end else None


# --- all of it ---


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_sent_with_what_identifies_it(server, make, size):
    with running(publish(server, make(size))), session(server) as ask:
        answer, again = ask(), ask()
    assert (answer.status, answer.body) == (200, BLOCK[:size])
    assert answer.headers["Content-Length"] == str(size)
    assert answer.headers["Last-Modified"] == OLD_TEXT
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["ETag"] == again.headers["ETag"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fields", [{}, {"range": "bytes=0-0"}, {"if_none_match": '"other"'}])
def test_head_has_the_fields_of_get(server, make, size, fields):
    with running(publish(server, make(size))), session(server) as ask:
        head, get = ask("HEAD", **fields), ask()
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}


def test_chunks_that_the_handler_wants_hold_the_same_bytes(server, make):
    chunked = publish(
        server, make(LARGE), lambda response: response.setHeader("Transfer-Encoding", "chunked")
    )
    with running(chunked), session(server) as ask:
        assert ask().body == BLOCK[:LARGE]
        for spec, body in (("5-9", BLOCK[5:10]), ("100-150000", BLOCK[100:150_001])):
            answer = ask(range=f"bytes={spec}")
            assert (answer.status, answer.body) == (206, body)
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert answer.headers["Content-Length"] is None
        assert ask(if_none_match="*").status == 304


# --- one range ---


@pytest.mark.parametrize("size", SIZES)
def test_a_range_is_that_slice_of_the_file(server, make, size):
    positions = [0, 1, 4095, size // 2, size - 2, size - 1, size, size + 1]
    specs = [f"{first}-" for first in positions if first >= 0]
    specs += [
        f"-{length}" for length in (0, 1, 2, size - 1, size, size + 1, 1 << 30) if length >= 0
    ]
    specs += [f"{a}-{b}" for a in positions for b in (*positions, 1 << 62) if 0 <= a <= b]
    with running(publish(server, make(size))), session(server) as ask:
        for spec in specs:
            answer = ask(range=f"bytes={spec}")
            bounds = single(spec, size)
            if bounds is None:
                assert (spec, answer.status) == (spec, 416)
                assert answer.headers["Content-Range"] == f"bytes */{size}"
                continue
            assert (spec, answer.status) == (spec, 206)
            assert answer.body == BLOCK[bounds[0] : bounds[1] + 1]
            assert answer.headers["Content-Range"] == f"bytes {bounds[0]}-{bounds[1]}/{size}"
            assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_numbers_beyond_all_measure_are_beyond_the_end(server, make, size):
    huge = "9" * 4000
    with running(publish(server, make(size))), session(server) as ask:
        assert ask(range=f"bytes=5-{huge}").body == BLOCK[5:size]
        assert ask(range=f"bytes=-{huge}").body == BLOCK[:size]
        assert ask(range=f"bytes={huge}-").status == 416
        assert ask(range=f"bytes={huge}-{huge}").status == 416
        assert ask(range=f"bytes=000{'0' * 4000}5-6").body == BLOCK[5:7]


NO_RANGES = [
    "bytes", "bytes=", "bytes=-", "bytes=x-y", "bytes=5-4", "bytes=1-2-3", "bytes= 1-2",
    "bytes=1 -2", "bytes=+1-2", "bytes=0x1-2", "bytes=1.0-2", "bytes=1-2;q=1", "lines=1-2",
    "bytes=0-1,x", "bytes=0-1,5-4", "bytes:0-1", "0-1", "bytes=\u0661-2", "bytes=--1", "items",
    "bytes=" + "0-0," * 1000 + "1-1", "bytes=" + ",".join(f"{n * 500}-" for n in range(1000)),
]  # fmt: skip


@pytest.mark.parametrize("size", [5, LARGE])
def test_a_range_that_is_none_is_ignored(server, make, size):
    with running(publish(server, make(size))), connect(server) as sock:
        for value in NO_RANGES:
            head = f"GET / HTTP/1.1\r\nHost: localhost\r\nRange: {value}\r\n\r\n"
            sock.sendall(head.encode())
            answer = receive_response(sock)
            assert (value, answer.status) == (value, 200)
            assert answer.body == BLOCK[:size]
            assert answer.headers["Content-Range"] is None


@on_posix
def test_ranges_reach_behind_four_gigabytes(server, tmp_path):
    path, size = tmp_path / "huge.bin", (5 << 30) + 10
    with open(path, "wb") as file:
        file.seek(size - 10)
        file.write(b"0123456789")
    with running(publish(server, path)), session(server) as ask:
        assert int(ask("HEAD").headers["Content-Length"]) == size
        for spec in (f"{size - 10}-", "-10", f"{size - 10}-{size - 1}"):
            answer = ask(range=f"bytes={spec}")
            assert (answer.status, answer.body) == (206, b"0123456789")
            assert answer.headers["Content-Range"] == f"bytes {size - 10}-{size - 1}/{size}"
        parts = parts_of(ask(range=f"bytes=0-1,{1 << 32}-{(1 << 32) + 1},-2"))
    assert [body for _, _, body in parts] == [b"\0\0", b"\0\0", b"89"]


# --- several ranges ---


SEVERAL = [
    "0-0,1000-1999", "0-9,-10", "-10,0-9", "4000-,200-300,1000-1001",
    "0-0,2000-9999999999,99999999-",
]  # fmt: skip


@pytest.mark.parametrize("size", [5000, SMALL, SMALL + 1, 1 << 20])
def test_several_ranges_are_the_parts_of_one_body(server, make, size):
    kind = "text/plain; charset=utf-8"
    with running(publish(server, make(size, "file.txt"))), session(server) as ask:
        for specs in SEVERAL:
            answer = ask(range=f"bytes={specs}")
            assert (answer.status, answer.headers["Content-Range"]) == (206, None)
            assert answer.headers["Content-Length"] == str(len(answer.body))
            wanted = [pair for pair in (single(spec, size) for spec in specs.split(",")) if pair]
            assert parts_of(answer) == [
                (f"bytes {a}-{b}/{size}", kind, BLOCK[a : b + 1]) for a, b in wanted
            ]
        assert ask().body == BLOCK[:size]


MERGED = {
    "0-99,50-149": (0, 149),
    "50-149,0-99": (0, 149),
    "0-0,1-1,2-2": (0, 2),
    "0-99,0-99,0-99": (0, 99),
    "0-9,20-29": (0, 29),
    "100-199,999999-": (100, 199),
    ",,100-199,,": (100, 199),
    ",".join(["0-4999"] * 100): (0, 4999),
    ",".join(f"{n}-{n}" for n in range(100)): (0, 99),
}


@pytest.mark.parametrize("size", [5000, LARGE])
def test_ranges_that_touch_are_sent_as_one(server, make, size):
    with running(publish(server, make(size))), session(server) as ask:
        for specs, (first, last) in MERGED.items():
            answer = ask(range=f"bytes={specs}")
            assert (answer.status, answer.body) == (206, BLOCK[first : last + 1])
            assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
            assert answer.headers["Content-Type"] == "application/octet-stream"


def test_no_request_gets_more_of_a_file_than_the_file(server, make):
    specs = ",".join(f"{n * 2000}-{n * 2000 + 1999}" for n in range(100))
    overlapping = ",".join(f"{n}-" for n in range(0, 1_000_000, 10_000))
    with running(publish(server, make(1 << 20))), session(server) as ask:
        for asked in (specs, overlapping, "0-,-1000000,5-"):
            answer = ask(range=f"bytes={asked}")
            assert answer.status == 206
            assert len(answer.body) <= 1 << 20


def test_none_of_several_ranges_can_be_had(server, make):
    with running(publish(server, make(100))):
        answer = fetch(server, headers={"Range": "bytes=100-,200-300,-0"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */100")


# --- which requests have ranges and conditions ---


@pytest.mark.parametrize("size", [5, LARGE])
def test_only_get_has_ranges_and_only_reading_has_conditions(server, make, size):
    fields = {"range": "bytes=0-1", "if_none_match": "*", "if_match": '"other"'}
    with running(publish(server, make(size))), session(server) as ask:
        for method in ("POST", "PUT", "DELETE"):
            answer = ask(method, **fields)
            assert (answer.status, answer.body) == (200, BLOCK[:size])
            names = ("ETag", "Last-Modified", "Accept-Ranges", "Content-Range")
            assert [answer.headers[name] for name in names] == [None] * 4
        assert ask("HEAD", range="bytes=999999-").status == 200


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize("status", [201, 203, 404, 500])
def test_a_file_with_another_status_is_sent_whole(server, make, size, status):
    fields = {"range": "bytes=0-1", "if_none_match": "*", "if_match": '"other"'}
    with running(publish(server, make(size), status=status)), session(server) as ask:
        answer = ask(**fields)
    assert (answer.status, answer.body) == (status, BLOCK[:size])
    assert answer.headers["ETag"] is None


@pytest.mark.parametrize("size", [5000, LARGE])
@pytest.mark.parametrize("kept", [(), ("Connection: keep-alive",)])
def test_ranges_and_conditions_hold_for_http_1_0(server, make, size, kept):
    with running(publish(server, make(size))):
        for fields, status in (
            (("Range: bytes=2-4",), 206),
            (("Range: bytes=0-0,1000-1001",), 206),
            (("Range: bytes=999999-",), 416),
            (("If-None-Match: *",), 304),
        ):
            with connect(server) as sock:
                ask_raw(sock, *kept, *fields, version="1.0")
                answer = receive_response(sock)
                assert answer.status == status
                if status == 206:
                    assert answer.headers["Content-Length"] == str(len(answer.body))
                if kept:
                    ask_raw(sock, version="1.0")
                assert receive_all(sock).endswith(BLOCK[:size] if kept else b"")


# --- conditions ---


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_decide_what_is_sent(server, make, size, method):
    with running(publish(server, make(size))), session(server) as ask:
        tag = ask().headers["ETag"]
        for fields, status in (
            ({"if_none_match": tag}, 304),
            ({"if_none_match": f'"other", W/{tag}'}, 304),
            ({"if_none_match": "*"}, 304),
            ({"if_none_match": '"other"', "if_modified_since": OLD_TEXT}, 200),
            ({"if_modified_since": OLD_TEXT}, 304),
            ({"if_modified_since": BEFORE_TEXT}, 200),
            ({"if_modified_since": "yesterday"}, 200),
            ({"if_match": tag}, 200),
            ({"if_match": "*"}, 200),
            ({"if_match": f"W/{tag}"}, 412),
            ({"if_match": '"other"'}, 412),
            ({"if_match": tag, "if_none_match": tag}, 304),
            ({"if_unmodified_since": OLD_TEXT}, 200),
            ({"if_unmodified_since": BEFORE_TEXT}, 412),
        ):
            answer = ask(method, **fields)
            assert (fields, answer.status) == (fields, status)
            if status == 200 and method == "GET":
                assert answer.body == BLOCK[:size]


@pytest.mark.parametrize("size", [5000, LARGE])
def test_if_range_sends_the_range_of_the_same_file_or_all_of_another(server, make, size):
    with running(publish(server, make(size))), session(server) as ask:
        tag = ask().headers["ETag"]
        for validator, same in (
            (tag, True), (OLD_TEXT, True), (f"W/{tag}", False), ('"other"', False),
            (BEFORE_TEXT, False), ("Sun, 06 Nov 1994 08:49:38 GMT", False), ("x", False),
        ):  # fmt: skip
            answer = ask(range="bytes=1000-1009", if_range=validator)
            assert (validator, answer.status) == (validator, 206 if same else 200)
            assert answer.body == (BLOCK[1000:1010] if same else BLOCK[:size])
            # No range of another file counts, not even one that it does not have.
            beyond = ask(range="bytes=999999-", if_range=validator)
            assert beyond.status == (416 if same else 200)


def dressed(response):
    """Give a response the fields that a handler may."""
    response.setHeader("Cache-Control", "max-age=60")
    response.setHeader("Expires", OLD_TEXT)
    response.setHeader("Vary", "Cookie")
    response.setHeader("Content-Language", "en")
    response.setCookie("a", "1")
    response.setCookie("b", "2")


@pytest.mark.parametrize("size", [5, LARGE])
def test_not_modified_has_what_a_cache_is_to_know_and_no_body(server, make, size):
    serving = publish(server, make(size, "a.txt"), dressed, download_as_filename="b.txt")
    with running(serving), connect(server) as sock:
        ask_raw(sock, "If-None-Match: *", "Connection: close")
        received = receive_all(sock)
    head, _, body = received.partition(b"\r\n\r\n")
    assert body == b""
    names = sorted(line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 304 ")
    assert names == [
        b"accept-ranges", b"cache-control", b"connection", b"date", b"etag", b"expires",
        b"last-modified", b"server", b"set-cookie", b"set-cookie", b"vary",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize(
    ("fields", "status"), [({"if_match": '"x"'}, 412), ({"range": "bytes=999999-"}, 416)]
)
def test_a_refusal_says_why_and_is_not_kept_by_caches(server, make, size, fields, status):
    serving = publish(server, make(size, "a.html"), dressed, download_as_filename="b.html")
    with running(serving), session(server) as ask:
        answer = ask(**fields)
        assert ask().headers["Cache-Control"] == "max-age=60"
    assert answer.status == status
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.body
    gone = ("Cache-Control", "Expires", "Content-Disposition", "Content-Language")
    assert [answer.headers[name] for name in gone] == [None] * 4
    assert answer.headers["Vary"] == "Cookie, Origin"
    assert answer.headers.get_all("Set-Cookie")


def test_a_part_keeps_the_fields_of_the_whole(server, make):
    serving = publish(server, make(LARGE, "a.txt"), dressed, download_as_filename="b.txt")
    with running(serving), session(server) as ask:
        whole, one, two = ask(), ask(range="bytes=1-2"), ask(range="bytes=1-2,1000-1001")
    for name in ("ETag", "Last-Modified", "Vary", "Cache-Control", "Content-Disposition"):
        assert whole.headers[name] == one.headers[name] == two.headers[name]
    assert one.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert [kind for _, kind, _ in parts_of(two)] == ["text/plain; charset=utf-8"] * 2


@pytest.mark.parametrize("size", [5, LARGE])
def test_the_validators_of_the_handler_win(server, make, size):
    def prepare(response):
        response.setHeader("etag", '"own"')
        response.setHeader("last-modified", BEFORE_TEXT)
        response.setHeader("accept-ranges", "none")

    with running(publish(server, make(size), prepare)), session(server) as ask:
        answer = ask()
        assert answer.headers.get_all("ETag") == ['"own"']
        assert answer.headers.get_all("Last-Modified") == [BEFORE_TEXT]
        assert answer.headers.get_all("Accept-Ranges") == ["none"]
        assert ask(if_none_match='"own"').status == 304
        assert ask(if_match='"own"').status == 200
        assert ask(if_modified_since=BEFORE_TEXT).status == 304
        assert ask(range="bytes=0-0", if_range='"own"').status == 206
        assert ask(range="bytes=0-0", if_range=BEFORE_TEXT).status == 206


def test_a_weak_tag_of_the_handler_is_the_same_for_reading_only(server, make):
    serving = publish(server, make(5), lambda response: response.setHeader("ETag", 'W/"own"'))
    with running(serving), session(server) as ask:
        assert ask(if_none_match='"own"').status == 304
        assert ask(if_match='W/"own"').status == 412
        assert ask(range="bytes=0-0", if_range='W/"own"').status == 200


@pytest.mark.parametrize("size", [5, LARGE])
def test_one_connection_carries_all_of_these(server, make, size):
    with running(publish(server, make(size))), session(server) as ask:
        for _ in range(3):
            assert ask(range="bytes=1-2").status == 206
            assert ask(if_none_match="*").status == 304
            assert ask(range="bytes=1-2,999999-").status == 206
            assert ask(range="bytes=999999-").status == 416
            assert ask("HEAD", if_none_match="*").status == 304
            assert ask("HEAD").body == b""
            assert ask(if_match='"x"').status == 412
            assert ask().body == BLOCK[:size]


def test_answers_to_requests_that_came_at_once_follow_one_another(server, make):
    with running(publish(server, make(LARGE))), connect(server) as sock:
        for fields in ("Range: bytes=0-1", "If-None-Match: *", "Range: bytes=150000-199999"):
            ask_raw(sock, fields)
        ask_raw(sock, "Range: bytes=-3", "Connection: close")
        received = receive_all(sock)
    first, second, third, fourth = received.split(b"HTTP/1.1 ")[1:]
    assert first.endswith(b"\r\n\r\n" + BLOCK[:2])
    assert second.startswith(b"304")
    assert third.endswith(b"\r\n\r\n" + BLOCK[150_000:LARGE])
    assert fourth.endswith(b"\r\n\r\n" + BLOCK[LARGE - 3 : LARGE])


# --- when a file was modified ---


def modified_header(server, path):
    with running(publish(server, path)), session(server) as ask:
        answer = ask()
        unchanged = ask(if_modified_since="Fri, 31 Dec 9999 23:59:59 GMT")
    assert answer.status == 200
    return answer.headers["Last-Modified"], unchanged.status


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1_500_000_000, "Wed, 31 Dec 1969 23:59:58 GMT"),
        (-86_400_000_000_000, "Wed, 31 Dec 1969 00:00:00 GMT"),
        (784_111_777_999_999_999, OLD_TEXT),
    ],
)
def test_the_date_of_a_file_is_the_second_it_was_modified_in(server, make, nanoseconds, text):
    path = make(5)
    with contextlib.suppress(OSError, OverflowError):
        os.utime(path, ns=(nanoseconds, nanoseconds))
    if path.stat().st_mtime_ns != nanoseconds:
        pytest.skip("this file system cannot have such a time")
    assert modified_header(server, path) == (text, 304)


@pytest.mark.parametrize("seconds", [4_000_000_000, 9_000_000_000, 400_000_000_000])
def test_a_date_to_come_is_not_told(server, make, seconds):
    path = make(5)
    with contextlib.suppress(OSError, OverflowError):
        os.utime(path, (seconds, seconds))
    if path.stat().st_mtime < 3_000_000_000:
        pytest.skip("this file system cannot have such a time")
    assert modified_header(server, path) == (None, 200)


# --- files that change ---


def replace(path, data, like=None):
    """Put another file in the place of one."""
    other = path.with_name("other")
    other.write_bytes(data)
    if like is not None:
        os.utime(other, ns=(like.st_atime_ns, like.st_mtime_ns))
    os.replace(other, path)


@on_posix
@pytest.mark.parametrize("size", [5, LARGE])
def test_a_file_in_the_place_of_another_has_another_tag(server, make, size):
    path = make(size)
    before = path.stat()
    with running(publish(server, path)), session(server) as ask:
        tag = ask().headers["ETag"]
        # Same size, same time: as from an archive that gives all of its files one time.
        replace(path, b"x" * size, before)
        answer = ask(if_none_match=tag, range="bytes=0-1", if_range=tag)
        assert (answer.status, answer.body) == (200, b"x" * size)
        assert answer.headers["ETag"] != tag
        assert answer.headers["Last-Modified"] == OLD_TEXT
        replace(path, b"y" * (size + 1), before)
        assert ask(if_none_match=answer.headers["ETag"]).body == b"y" * (size + 1)


@contextlib.contextmanager
def slow_client(server, *fields):
    """Ask for a large file, take its head and no more."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", server.port()))
        ask_raw(sock, *fields)
        head, _, body = receive_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
        yield sock, head, body


def sparse(path, size=MANY):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def drain(sock):
    """Receive to the end; return how many bytes came, and the last of them."""
    count, tail = 0, b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1 << 20):
            count += len(piece)
            tail = (tail + piece)[-200:]
    return count, tail


def promised(head):
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Range: bytes=1000-",),
        (f"Range: bytes=0-9,1000-{MANY - 2000},-10",),
        (f"Range: bytes=0-{MANY // 2},-10",),
    ],
)
def test_a_file_that_shrinks_ends_the_connection(server, tmp_path, fields):
    path = sparse(tmp_path / "file.bin")
    with running(publish(server, path)):
        with slow_client(server, *fields) as (sock, head, body):
            os.truncate(path, 1000)
            assert len(body) + drain(sock)[0] < promised(head)
        assert fetch(server).headers["Content-Length"] == "1000"


def test_a_part_that_is_gone_when_its_turn_comes_ends_the_connection(server, tmp_path):
    path = sparse(tmp_path / "file.bin")
    specs = f"Range: bytes=0-{MANY // 2},-10"
    with running(publish(server, path)), slow_client(server, specs) as (sock, head, body):
        os.truncate(path, MANY // 2 + 1)
        count, tail = drain(sock)
    assert MANY // 2 < len(body) + count < promised(head)
    assert tail.endswith(f"bytes {MANY - 10}-{MANY - 1}/{MANY}\r\n\r\n".encode())


def test_chunks_of_a_file_that_shrinks_do_not_end_well(server, tmp_path):
    path = sparse(tmp_path / "file.bin")
    chunked = publish(
        server, path, lambda response: response.setHeader("Transfer-Encoding", "chunked")
    )
    with running(chunked), slow_client(server) as (sock, head, _):
        os.truncate(path, 1000)
        count, tail = drain(sock)
    assert b"Transfer-Encoding: chunked" in head
    assert count < MANY
    assert not tail.endswith(b"0\r\n\r\n")


@on_posix
@pytest.mark.parametrize("change", ["grow", "vanish", "replace"])
def test_a_file_that_changes_its_name_or_its_end_is_sent_as_it_was(server, tmp_path, change):
    path = sparse(tmp_path / "file.bin")
    with running(publish(server, path)), slow_client(server) as (sock, head, body):
        if change == "grow":
            os.truncate(path, MANY + 1000)
        elif change == "vanish":
            path.unlink()
        else:
            replace(path, b"x")
        assert promised(head) == MANY
        left = MANY - len(body)
        while left:
            left -= len(sock.recv(min(left, 1 << 20)))
        ask_raw(sock)  # The connection is kept: what was promised is what came.
        status = receive_until(sock, b"\r\n\r\n")[:12]
    assert status == (b"HTTP/1.1 404" if change == "vanish" else b"HTTP/1.1 200")


def test_a_small_file_that_shrinks_before_it_is_read_is_sent_as_it_is(server, make, monkeypatch):
    path, open_regular = make(SMALL), content_module.open_regular

    def shrink(name):
        found = open_regular(name)
        os.truncate(name, 10)
        return found

    monkeypatch.setattr(content_module, "open_regular", shrink)
    with running(publish(server, path)), session(server) as ask:
        answer = ask()
        assert (answer.headers["Content-Length"], answer.body) == ("10", BLOCK[:10])
        os.truncate(path, SMALL)
        assert ask(range="bytes=5-99").headers["Content-Range"] == "bytes 5-9/10"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs reads that give less")
def test_a_file_that_comes_in_pieces_is_read_to_its_end(monkeypatch):
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        for piece in (b"ab", b"cd", b"e"):
            one.send(piece)
        details = SimpleNamespace(st_size=5, st_mtime_ns=0, st_ctime_ns=0)
        opened = (os.dup(other.fileno()), details)
        monkeypatch.setattr(content_module, "open_regular", lambda path: opened)
        assert open_file("file", Outgoing(200, ())).body == b"abcde"


def test_a_slow_reader_of_a_range_holds_no_worker(server, tmp_path):
    path = sparse(tmp_path / "file.bin")
    fields = f"Range: bytes=0-9,1000-{MANY - 2000}"
    with running(publish(server, path), max_num_threads=1), contextlib.ExitStack() as clients:
        for _ in range(3):
            clients.enter_context(slow_client(server, "Range: bytes=1000-"))
            clients.enter_context(slow_client(server, fields))
        for _ in range(3):
            assert fetch(server, headers={"Range": "bytes=0-4"}).body == bytes(5)


# --- files that are deleted ---


@pytest.mark.parametrize("size", [0, 5, LARGE])
@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", {}, 200),
        ("HEAD", {}, 200),
        ("POST", {}, 200),
        ("GET", {"Range": "bytes=0-1"}, 206),
        ("GET", {"Range": "bytes=0-1,3000-"}, 206),
        ("GET", {"Range": "bytes=999999-"}, 416),
        ("GET", {"If-None-Match": "*"}, 304),
        ("HEAD", {"If-None-Match": "*"}, 304),
        ("GET", {"If-Match": '"x"'}, 412),
    ],
)
def test_a_file_is_deleted_whatever_is_sent_of_it(server, make, size, method, fields, status):
    path = make(size)
    with running(publish(server, path, delete_file=True)):
        answer = fetch(server, "/", method, headers=fields)
        assert answer.status == (416 if status == 206 and not size else status)
        wait_until(lambda: not path.exists())
        assert fetch(server).status == 404


@pytest.mark.parametrize("fields", [(), ("Range: bytes=10-",), ("Range: bytes=0-9,1000-",)])
def test_a_file_is_deleted_when_the_client_leaves_in_the_middle(server, tmp_path, fields):
    path = sparse(tmp_path / "file.bin")
    with running(publish(server, path, delete_file=True)):
        with slow_client(server, *fields):
            assert path.exists()
        wait_until(lambda: not path.exists())


def test_a_file_is_deleted_when_the_client_left_before_the_answer(server, make):
    path, asked, left = make(LARGE), threading.Event(), threading.Event()

    def handler(request):
        asked.set()
        assert left.wait(PATIENCE)
        return fileResponse(path, delete_file=True)

    server.urlHandler("/")(handler)
    with running(server):
        with connect(server) as sock:
            ask_raw(sock)
            assert asked.wait(PATIENCE)
        left.set()
        wait_until(lambda: not path.exists())


def test_a_file_is_deleted_when_the_server_stops_in_the_middle(server, tmp_path):
    path = sparse(tmp_path / "file.bin")
    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0})
    with running(publish(server, path, delete_file=True)), slow_client(server):
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        assert not path.exists()


def test_a_file_that_is_deleted_is_not_asked_for_by_another_name(server, make, tmp_path):
    path, name = make(5), tmp_path / "link"
    try:
        os.symlink(path, name)
    except (OSError, NotImplementedError):
        pytest.skip("links cannot be made here")
    with running(publish(server, name, delete_file=True)):
        assert fetch(server).body == BLOCK[:5]
        wait_until(lambda: not os.path.lexists(name))
    assert path.exists()


# --- files that are known ---


TIMES = ("st_mtime_ns", "st_ctime_ns")


def whole_of(file):
    """Return what a request without conditions gets of a known file."""
    return file.answer(RequestHead("GET", "/", 1, Fields([], {"host": "localhost"})), True)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("differs", ["inode", "device", "size", *TIMES, "nothing"])
def test_a_known_file_is_the_same_or_is_not_sent(make, monkeypatch, size, differs):
    path = make(size)
    file, details = KnownFile(str(path), os.lstat(path), Outgoing(200, ())), os.stat(path)
    answers = [whole_of(file)]

    now = [*details]
    for index, name in ((1, "inode"), (2, "device"), (6, "size")):
        now[index] += name == differs
    times = {name: getattr(details, name) + (name == differs) for name in TIMES}

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", lambda descriptor: os.stat_result(now, times))
        answers.append(whole_of(file))
    for answer in answers:
        if answer is not None and size == LARGE:
            answer.body.close()
    assert answers[0] is not None
    assert (answers[1] is not None) == (differs == "nothing")


def test_a_known_file_that_becomes_shorter_while_it_is_read_is_not_sent(make, monkeypatch):
    path = make(5)
    file = KnownFile(str(path), os.lstat(path), Outgoing(200, ()))
    assert whole_of(file).body == BLOCK[:5]
    with monkeypatch.context() as patched:
        patched.setattr(os, "read", lambda descriptor, size: BLOCK[: size - 1])
        assert whole_of(file) is None
    assert whole_of(file).body == BLOCK[:5]
