"""Zip archives as directories: every byte of every member, and never a wrong one."""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import os
import re
import shutil
import socket
import threading
import tracemalloc
import zipfile
import zlib
from array import array

import pytest
from support import (
    PATIENCE,
    connect,
    fetch,
    receive_all,
    receive_response,
    running,
    wait_until,
)

import hwebserver
from hwebserver.exchange import Answer, FileBody
from hwebserver.protocol.headers import Fields
from hwebserver.protocol.http1 import RequestHead
from hwebserver.web import archive as archive_module
from hwebserver.web.archive import Archive, MemberContent

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
SMALL = 65536  # what is larger is not unpacked at once


keeps_open = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced there")


def numbered(size: int) -> bytes:
    """Return bytes of which no two stretches are alike, and that can be packed."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]


LARGE = numbered(300_000)

#: More than the buffers of a connection hold.
LONG = numbered(10 << 20)


def pack(path, members, method=DEFLATED, edit=None):
    """Make an archive.

    Args:
        path: Where.
        members: Name to content.
        method: How they are packed.
        edit: Is given what the directory is to say of each, before that is written.
    """
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if edit is not None:
            edit(*archive.infolist())
    return path


def replace(path, members, **how) -> None:
    """Put another archive in the place of one, in one step."""
    pack(path.with_suffix(".new"), members, **how)
    os.replace(path.with_suffix(".new"), path)


def damage(path, name, where=0.5) -> None:
    """Spoil some bytes of a member: at its begin (0), its end (1) or between."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    offset = info.header_offset + 30 + len(name) + int((info.compress_size - 8) * where)
    with open(path, "r+b") as file:
        file.seek(offset)
        spoilt = bytes(byte ^ 0xFF for byte in file.read(8))
        file.seek(offset)
        file.write(spoilt)


@pytest.fixture
def path(tmp_path):
    """Where the archive of a test is; it is not there yet."""
    return tmp_path / "site.zip"


@pytest.fixture
def serving(server, path):
    """A server of that archive."""
    server.registerArchiveFile(str(path), "/z")
    return server


def ask(sock, target: str, *lines: str, method="GET", version="1.1") -> None:
    """Send a request as it is, without what clients do to it."""
    head = "\r\n".join((f"{method} {target} HTTP/{version}", "Host: localhost", *lines, "", ""))
    sock.sendall(head.encode("latin-1"))


def get_raw(server, target: str):
    with connect(server) as sock:
        ask(sock, target)
        return receive_response(sock)


def download(server, target: str, *lines: str):
    """Return what comes before the connection ends: the status, the promised length, the body."""
    with connect(server) as sock:
        ask(sock, target, "Connection: close", *lines)
        head, _, body = receive_all(sock).partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return int(head[9:12]), int(length[1]) if length else -1, body


def begin(server, target: str) -> socket.socket:
    """Ask for a member with hardly a buffer, and read no more than the head."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.port()))
    ask(sock, target, "Connection: close")
    assert sock.recv(1, socket.MSG_PEEK), "the connection ended at once"
    return sock


def rest_of(sock: socket.socket) -> bytes:
    """Return the body of a download that was begun, as far as it comes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    received = bytearray()
    with sock, contextlib.suppress(ConnectionResetError):
        while True:
            piece = sock.recv(1 << 20)
            if not piece:
                break
            received += piece
    return bytes(received).partition(b"\r\n\r\n")[2]


def descriptors_on(path) -> int:
    """Return how many descriptors this process has on a file that may have been replaced."""
    found = 0
    for one in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{one}").startswith(str(path))
        except OSError:
            pass
    return found


# --- members, byte for byte ---

SIZES = (0, 1, 5000, SMALL, SMALL + 1, 200_000, 1 << 20)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """An archive with members of every size, packed in both ways, and what is in it."""
    path, found = tmp_path_factory.mktemp("packed") / "all.zip", {}
    with zipfile.ZipFile(path, "w", compresslevel=1) as archive:
        for method, ending in ((STORED, "stored"), (DEFLATED, "deflated")):
            for size in SIZES:
                found[f"{size}.{ending}"] = numbered(size)
                archive.writestr(f"{size}.{ending}", numbered(size), method)
    return path, found


@pytest.fixture
def members(packed, path):
    """What is in that archive, which stands at the test's path."""
    shutil.copy(packed[0], path)
    return packed[1]


def test_every_member_arrives_byte_for_byte(serving, members):
    with running(serving), connect(serving) as sock:
        for name, data in members.items():
            ask(sock, f"/z/{name}")
            answer = receive_response(sock)
            assert (name, answer.status) == (name, 200)
            assert answer.body == data
            assert answer.headers["Content-Length"] == str(len(data))
            assert answer.headers["Accept-Ranges"] == "bytes"


def test_head_tells_the_length_alone(serving, members):
    with running(serving), connect(serving) as sock:
        for name, data in members.items():
            ask(sock, f"/z/{name}", method="HEAD")
            answer = receive_response(sock, "HEAD")
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["Content-Length"] == str(len(data))


def test_a_client_of_the_former_version_gets_a_length_and_an_end(serving, members):
    with running(serving):
        for name in ("5000.stored", "1048576.stored", "1048576.deflated"):
            with connect(serving) as sock:
                ask(sock, f"/z/{name}", version="1.0")
                head, _, body = receive_all(sock).partition(b"\r\n\r\n")
            assert b"\r\nContent-Length: %d\r\n" % len(members[name]) in head + b"\r\n"
            assert body == members[name]


def test_the_type_follows_the_name_alone(serving, path):
    pack(path, {"x.js": "1", "x.js.gz": "packed", "page.HTML": "p", "none": "", "a.css": ""})
    with running(serving):
        types = {
            name: fetch(serving, f"/z/{name}", headers={"Accept-Encoding": "gzip"}).headers
            for name in ("x.js", "x.js.gz", "page.HTML", "none", "a.css")
        }
        assert fetch(serving, "/z/x.js", headers={"Accept-Encoding": "gzip"}).text == "1"
    assert types["x.js"]["Content-Type"] == "text/javascript; charset=utf-8"
    assert types["x.js.gz"]["Content-Type"] == "application/gzip"
    assert types["page.HTML"]["Content-Type"] == "text/html; charset=utf-8"
    assert types["none"]["Content-Type"] == "application/octet-stream"
    assert all(headers["Content-Encoding"] is None for headers in types.values())


def test_a_repetition_that_ends_behind_a_block_is_unpacked_to_its_end(path):
    sizes = (SMALL + 1, SMALL + 257, 2 * SMALL + 7)
    pack(path, {str(size): bytes(size) for size in sizes})
    for size in sizes:
        assert MemberContent(Archive(path), (str(size),), 1 << 30).read() == bytes(size)


def test_a_range_of_what_is_not_packed_is_a_stretch_of_the_archive(path):
    pack(path, {"a.bin": LARGE}, STORED)
    lines = {"host": "localhost", "range": "bytes=9-99"}
    head = RequestHead("GET", "/a.bin", 1, Fields(list(lines.items()), lines))
    content = MemberContent(Archive(path), ("a.bin",), 1 << 30)
    body = content.answer(Answer(200, ()), head).body
    body.close()
    assert isinstance(body, FileBody)
    assert [piece.size for piece in body.pieces] == [91]


def test_the_content_of_a_response_can_be_looked_at(path):
    pack(path, {"a.bin": LARGE})
    content = MemberContent(Archive(str(path)), ("a.bin",), 1 << 30)
    assert (content.size(), content.read()) == (len(LARGE), LARGE)
    whole = content.answer(Answer(200, ()), None)
    assert (whole.status, whole.fields, whole.length) == (200, (), len(LARGE))
    whole.body.close()
    content.discard()
    missing = MemberContent(Archive(str(path)), ("b.bin",), 1 << 30)
    for look in (missing.size, missing.read):
        with pytest.raises(FileNotFoundError):
            look()


# --- ranges ---


def parts_of(answer) -> list[tuple[int, int, bytes]]:
    """Return begin, end and bytes of each range in an answer."""
    kind = answer.headers["Content-Type"]
    if not kind.startswith("multipart/byteranges"):
        line = answer.headers["Content-Range"]
        start, last = re.fullmatch(r"bytes (\d+)-(\d+)/\d+", line).groups()
        return [(int(start), int(last) + 1, answer.body)]
    found = []
    delimiter = b"--" + kind.partition("boundary=")[2].encode()
    first, *pieces, end = (b"\r\n" + answer.body).split(b"\r\n" + delimiter)
    assert (first, end) == (b"", b"--\r\n")
    for piece in pieces:
        head, _, data = piece.partition(b"\r\n\r\n")
        start, last = re.search(rb"Content-Range: bytes (\d+)-(\d+)/\d+", head).groups()
        found.append((int(start), int(last) + 1, data))
    return found


def asked_for(ranges: str, size: int) -> list[tuple[int, int]]:
    """Return begin and end of each range in a Range field."""
    found = []
    for one in ranges.split(","):
        first, last = one.split("-")
        start = int(first) if first else max(0, size - int(last))
        found.append((start, min(size, int(last) + 1) if first and last else size))
    return found


RANGES = [
    "0-0", "0-", "-1", "-700", "17-4000", "4321-", "4999-4999", "0-4999", "0-99999999",
    "4990-70000",
    "0-9,1000-1009", "0-9,1000-1009,-5", "3000-3100,0-99", "-10,2000-2010,5-6", "0-2000,1000-3000",
    "100-200,0-4999", "0-1,4-5,8-9", "1-1,1-1,1-1",
]  # fmt: skip
LONG_RANGES = ["65535-65536", "65536-", "100000-165535", "190000-190009,70000-70009,5-9",
               "-100000", "0-65535,131072-196607", "65536-131071,150000-150001"]  # fmt: skip


def test_ranges_are_slices_of_the_member(serving, members):
    with running(serving), connect(serving) as sock:
        for name, data in members.items():
            for ranges in [*RANGES, *LONG_RANGES] if len(data) > 190_010 else RANGES:
                if len(data) < 5000:
                    continue
                ask(sock, f"/z/{name}", f"Range: bytes={ranges}")
                answer = receive_response(sock)
                assert (name, ranges, answer.status) == (name, ranges, 206)
                check_parts(parts_of(answer), ranges, data)


def check_parts(parts, ranges: str, data: bytes) -> None:
    position = 0
    for start, end, piece in parts:
        assert position <= start < end
        assert piece == data[start:end]
        position = end
    for first, behind in asked_for(ranges, len(data)):
        assert any(start <= first and behind <= end for start, end, _ in parts)


def test_a_range_that_the_member_has_not_is_said_so(serving, members):
    with running(serving), connect(serving) as sock:
        for name, data in members.items():
            for ranges in (f"{len(data)}-", f"{len(data)}-{len(data) + 5},{len(data) + 9}-", "-0"):
                ask(sock, f"/z/{name}", f"Range: bytes={ranges}")
                answer = receive_response(sock)
                assert (name, answer.status) == (name, 416)
                assert answer.headers["Content-Range"] == f"bytes */{len(data)}"


def test_a_range_counts_only_while_the_member_is_the_same(serving, members):
    with running(serving):
        for name in ("5000.deflated", "200000.stored", "200000.deflated"):
            first = fetch(serving, f"/z/{name}")
            for validator, status in (
                (first.headers["ETag"], 206),
                (first.headers["Last-Modified"], 206),
                ('"other"', 200),
                ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
            ):
                headers = {"Range": "bytes=10-19", "If-Range": validator}
                answer = fetch(serving, f"/z/{name}", headers=headers)
                assert answer.status == status
                assert answer.body == (members[name][10:20] if status == 206 else members[name])


def test_a_range_of_head_is_none(serving, members):
    with running(serving):
        answer = fetch(serving, "/z/200000.deflated", "HEAD", headers={"Range": "bytes=0-9"})
    assert (answer.status, answer.headers["Content-Length"]) == (200, "200000")


# --- conditions ---

LONG_AGO = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_a_client_has_is_not_sent_again(serving, members, method):
    with running(serving), connect(serving) as sock:
        for name in members:
            ask(sock, f"/z/{name}", method="HEAD")
            known = receive_response(sock, "HEAD").headers
            for line in (f"If-None-Match: {known['ETag']}", "If-None-Match: *",
                         f"If-Modified-Since: {known['Last-Modified']}"):  # fmt: skip
                ask(sock, f"/z/{name}", line, method=method)
                answer = receive_response(sock, method)
                assert (name, answer.status, answer.body) == (name, 304, b"")
                assert answer.headers["ETag"] == known["ETag"]


def test_what_a_client_has_of_another_state_is_sent(serving, members):
    with running(serving):
        for name in ("5000.stored", "200000.deflated"):
            for headers in ({"If-None-Match": '"other"'}, {"If-Modified-Since": LONG_AGO}):
                answer = fetch(serving, f"/z/{name}", headers=headers)
                assert (answer.status, answer.body) == (200, members[name])


def test_a_member_in_another_state_than_expected_is_not_sent(serving, members):
    with running(serving), connect(serving) as sock:
        for name in members:
            for line in ('If-Match: "other"', f"If-Unmodified-Since: {LONG_AGO}"):
                ask(sock, f"/z/{name}", line)
                answer = receive_response(sock)
                assert answer.status == 412
                assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_tag_tells_the_content_and_survives_a_new_archive(serving, path):
    pack(path, {"a.txt": "one", "b.txt": "same"})
    with running(serving):
        before = [fetch(serving, f"/z/{name}.txt").headers["ETag"] for name in "ab"]
        replace(path, {"b.txt": "same", "a.txt": "two"})
        after = [fetch(serving, f"/z/{name}.txt").headers["ETag"] for name in "ab"]
    assert before[0] != after[0]
    assert before[1] == after[1]


# --- folders ---


def test_a_folder_shows_its_index_page_below_a_slash(serving, path):
    pack(path, {"index.html": "home", "sub/index.html": "sub", "a/b/index.html": "deep"})
    with running(serving):
        for asked, text in (("/z/", "home"), ("/z/sub/", "sub"), ("/z/a/b/", "deep"),
                            ("/z/sub/index.html", "sub")):  # fmt: skip
            answer = fetch(serving, asked)
            assert (answer.status, answer.text) == (200, text)
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        for asked, location in (("/z", "/z/"), ("/z/sub?x=/y", "/z/sub/?x=/y")):
            answer = fetch(serving, asked)
            assert answer.status == 301
            assert answer.headers["Location"] == serving.url(location)


def test_a_folder_without_an_index_page_is_not_found(serving, path):
    pack(path, {"sub/a.txt": "a", "explicit/": "", "explicit/deep/": ""})
    with running(serving):
        for asked in ("/z", "/z/", "/z/sub", "/z/sub/", "/z/explicit", "/z/explicit/",
                      "/z/explicit/deep/", "/z/sub/a.txt/b"):  # fmt: skip
            assert fetch(serving, asked).status == 404


def test_of_a_file_and_a_folder_of_one_name_both_are_served(serving, path):
    pack(path, {"a": "file", "a/b": "inside", "a/index.html": "index", "c/": "", "c": "file"})
    with running(serving):
        for asked, text in (("a", "file"), ("a/b", "inside"), ("a/index.html", "index"),
                            ("c", "file")):  # fmt: skip
            assert fetch(serving, f"/z/{asked}").text == text


@pytest.mark.parametrize(
    "target", ["//evil.example", "//evil.example/..", "/%2fevil.example", "//sub"]
)
def test_no_redirect_leads_to_another_host(server, path, target):
    pack(path, {"index.html": "", "sub/index.html": "", "evil.example/index.html": ""})
    server.registerArchiveFile(path, "/")
    with running(server):
        location = get_raw(server, target).headers["Location"]
        assert location is None or location.startswith("http://localhost/")


# --- names ---


def test_names_are_decoded_once_and_taken_as_they_are(serving, path):
    names = {
        "space and \u00fc.txt": "space%20and%20%C3%BC.txt",
        "50%.txt": "50%25.txt",
        "%41.txt": "%2541.txt",
        "a+b.txt": "a+b.txt",
        "a#b?c&d.txt": "a%23b%3Fc%26d.txt",
        "\u65e5\u672c/\U0001f600": "%E6%97%A5%E6%9C%AC/%F0%9F%98%80",
        "...": "...",
        ".hidden/..a": ".hidden/..a",
        "deep/" * 40 + "end": "deep/" * 40 + "end",
    }
    pack(path, {name: name.encode() for name in names})
    with running(serving):
        for name, asked in names.items():
            assert (asked, get_raw(serving, f"/z/{asked}").text) == (asked, name)
        assert get_raw(serving, "/z/a+b.txt?v=1").text == "a+b.txt"
        assert get_raw(serving, "/z/%41.txt").status == 404
        assert get_raw(serving, "/z/a%20b.txt").status == 404


def test_names_that_differ_in_case_are_two(serving, path):
    pack(path, {"A.txt": "upper", "a.txt": "lower", "B.txt": "only"})
    with running(serving):
        assert fetch(serving, "/z/A.txt").text == "upper"
        assert fetch(serving, "/z/a.txt").text == "lower"
        assert fetch(serving, "/z/b.txt").status == 404


SECRET = "what nobody may see"

#: What an evil archive may hold, and paths that might lead to one of these or out of the archive.
EVIL_NAMES = ["../secret.txt", "..", ".", "/abs.txt", "C:\\x.txt", "a\\b.txt", "..\\secret.txt",
              "./dot.txt", "a//b.txt", "\\\\host\\share", "line\nend", "tab\t", "del\x7f",
              "sub/../up.txt"]  # fmt: skip
EVIL_PATHS = [
    "/z/../secret.txt", "/z/%2e%2e/secret.txt", "/z/..%2fsecret.txt", "/z/..%5csecret.txt",
    "/z/..\\secret.txt", "/z/%2e%2e%5csecret.txt", "/z/..", "/z/%2e%2e", "/z/.", "/z/%2e",
    "/z//abs.txt", "/z/%2fabs.txt", "/z/C:%5cx.txt", "/z/C:\\x.txt", "/z/a%5cb.txt", "/z/a\\b.txt",
    "/z/./dot.txt", "/z/%2e/dot.txt", "/z/a//b.txt", "/z/a%2f%2fb.txt", "/z/a%2fb.txt",
    "/z/%5c%5chost%5cshare", "/z/line%0aend", "/z/tab%09", "/z/del%7f", "/z/good.txt%00",
    "/z/%00", "/z/%00/good.txt", "/z/good.txt%00.html", "/z/sub/../up.txt", "/z/sub/../good.txt",
    "/z/%252e%252e/secret.txt", "/z/..%252fsecret.txt", "/z/%c0%ae%c0%ae/secret.txt", "/z/%ff",
    "/z/" + "x/" * 2000, "/z/" + "x" * 3000, "/z%2fgood.txt", "/zgood.txt", "/z/../z/good.txt",
]  # fmt: skip


def test_no_path_leaves_the_archive_and_every_one_of_these_is_a_404(serving, path, tmp_path):
    (tmp_path / "secret.txt").write_text(SECRET)
    pack(path, {**dict.fromkeys(EVIL_NAMES, SECRET), "good.txt": "good"})
    with running(serving):
        found = {target: get_raw(serving, target).status for target in EVIL_PATHS}
        assert fetch(serving, "/z/good.txt").text == "good"
    assert {target: status for target, status in found.items() if status != 404} == {}


def test_a_member_without_a_name_is_none(serving, path):
    def edit(nameless, cut, *_):
        nameless.filename, cut.filename = "", "cut\0.exe"

    pack(path, {"x": SECRET, "long.txt": "cut at the NUL", "good.txt": "good"}, edit=edit)
    with running(serving):
        for target in ("/z", "/z/", "/z/x", "/z/cut%00.exe"):
            assert get_raw(serving, target).status == 404
        assert fetch(serving, "/z/good.txt").text == "good"


def test_of_members_that_share_a_name_the_last_counts(serving, path):
    def edit(*infos):
        for info, name in zip(infos, ("a", "a", "b", "b")):
            info.filename = name
        infos[3].flag_bits |= 1

    pack(path, {"1": "old", "2": "new", "3": "old", "4": "encrypted"}, edit=edit)
    with running(serving):
        assert fetch(serving, "/z/a").text == "new"
        assert fetch(serving, "/z/b").status == 404


# --- what archives may be like ---


class Pipe(io.RawIOBase):
    """Takes an archive that is written without a look back."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += bytes(data)
        return len(data)


BOTH = {"small.txt": b"small", "large.bin": LARGE}


def check_both(server, prefix="/z") -> None:
    for name, data in BOTH.items():
        answer = fetch(server, f"{prefix}/{name}")
        assert (answer.status, answer.body) == (200, data)
        ranged = fetch(server, f"{prefix}/{name}", headers={"Range": "bytes=2-4"})
        assert (ranged.status, ranged.body) == (206, data[2:5])


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_archives_that_were_written_to_a_pipe_are_served(serving, path, method):
    pipe = Pipe()
    pack(pipe, BOTH, method)
    path.write_bytes(pipe.data)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("large.bin").flag_bits & 8  # its sizes stand behind it
    with running(serving):
        check_both(serving)


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_archives_with_wide_numbers_are_served(serving, path, method, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 3)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    pack(path, BOTH, method)
    assert b"PK\x06\x06" in path.read_bytes()  # the end of the directory is of the wide kind
    with running(serving):
        check_both(serving)


def test_an_archive_with_a_comment_or_behind_a_program_is_served(serving, path):
    with zipfile.ZipFile(path, "w", DEFLATED, compresslevel=1) as archive:
        archive.comment = b"what this is"
        for name, data in BOTH.items():
            archive.writestr(name, data)
    with running(serving):
        check_both(serving)
        path.write_bytes(b"#!/bin/sh\nexec unzip\n" * 99 + path.read_bytes())
        check_both(serving)


def test_an_empty_archive_has_nothing(serving, path, caplog):
    pack(path, {})
    with caplog.at_level(logging.WARNING), running(serving):
        assert fetch(serving, "/z/a").status == 404
    assert [one for one in caplog.records if str(path) in one.getMessage()] == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, "encrypted", "unknown"])
def test_what_we_cannot_unpack_is_not_found_and_the_rest_is(serving, path, method):
    def edit(*infos):
        if method == "encrypted":
            infos[0].flag_bits |= 1
        elif method == "unknown":
            infos[0].compress_type = 99
        infos[1].compress_type = DEFLATED

    known = method if isinstance(method, int) else DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", SECRET, known)
        archive.writestr("b.txt", "known", DEFLATED)
        edit(*archive.infolist())
    with running(serving):
        for verb in ("GET", "HEAD", "POST"):
            assert fetch(serving, "/z/a.txt", verb).status == 404
        assert fetch(serving, "/z/b.txt").text == "known"


def test_members_that_share_their_bytes_are_each_served(serving, path):
    def overlap(first, second):
        second.header_offset, second.CRC = first.header_offset, first.CRC
        second.file_size, second.compress_size = first.file_size, first.compress_size

    pack(path, {"a.txt": "shared", "b.txt": "own"}, edit=overlap)
    with running(serving):
        assert fetch(serving, "/z/a.txt").text == "shared"
        assert fetch(serving, "/z/b.txt").text == "shared"


def test_the_directory_is_read_once_however_large(serving, path, monkeypatch):
    reads = []
    read = archive_module._read_members
    monkeypatch.setattr(archive_module, "_read_members", lambda fd: reads.append(1) or read(fd))
    pack(path, {f"folder{i % 50}/{i}.txt": b"" for i in range(3000)})
    with running(serving):
        for i in (0, 1, 1500, 2999):
            assert fetch(serving, f"/z/folder{i % 50}/{i}.txt").status == 200
        assert fetch(serving, "/z/none").status == 404
        assert fetch(serving, "/z/none", "POST").status == 404
    assert len(reads) == 1


# --- archives that are not there, or are none ---


def lines_of(caplog, path) -> list[str]:
    return [one.getMessage() for one in caplog.records if str(path) in one.getMessage()]


def no_zip(path):
    path.write_bytes(b"no zip" * 1000)


def truncated(path):
    pack(path, BOTH)
    os.truncate(path, path.stat().st_size - 30)


def headless(path):
    pack(path, BOTH)
    path.write_bytes(path.read_bytes()[-40:])


def unreadable_name(path):
    pack(path, {"\u00fcad.txt": ""})
    # It is said to be UTF-8, which it is not.
    path.write_bytes(path.read_bytes().replace("\u00fcad.txt".encode(), b"\xff\xfead.txt"))


def of_the_future(path):
    pack(path, BOTH)
    data = path.read_bytes()
    version = data.index(b"PK\x01\x02") + 6
    path.write_bytes(data[:version] + b"\xff" + data[version + 1 :])


def a_directory(path):
    path.mkdir()


def a_fifo(path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no FIFOs")
    os.mkfifo(path)


def empty_file(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "make",
    [no_zip, truncated, headless, unreadable_name, of_the_future, a_directory, a_fifo, empty_file],
)
def test_what_is_no_archive_serves_nothing_and_is_logged_once(server, path, make, caplog):
    make(path)
    server.urlHandler("/other")(lambda request: "still here")
    with caplog.at_level(logging.WARNING):
        server.registerArchiveFile(path, "/z")
        with running(server, max_num_threads=1):
            for method in ("GET", "HEAD", "POST"):
                assert fetch(server, "/z/small.txt", method).status == 404
            assert fetch(server, "/other").text == "still here"
    assert ["cannot be read" in line for line in lines_of(caplog, path)] == [True]


def test_an_archive_may_come_later_change_and_go(server, path, caplog):
    caplog.set_level(logging.WARNING)
    server.registerArchiveFile(path, "/z")
    with running(server):
        for _ in range(3):
            assert fetch(server, "/z/a.txt").status == 404
        pack(path, {"a.txt": "first"})
        assert fetch(server, "/z/a.txt").text == "first"
        replace(path, {"b.txt": "second"})
        assert fetch(server, "/z/a.txt").status == 404
        assert fetch(server, "/z/b.txt").text == "second"
        os.unlink(path)
        for _ in range(3):
            assert fetch(server, "/z/b.txt").status == 404
        pack(path, {"b.txt": "third"})
        assert fetch(server, "/z/b.txt").text == "third"
    assert ["is not there" in line for line in lines_of(caplog, path)] == [True, True]


def test_a_bad_archive_that_is_put_right_is_served(serving, path):
    no_zip(path)
    with running(serving):
        assert fetch(serving, "/z/small.txt").status == 404
        replace(path, BOTH)
        check_both(serving)
        no_zip(path)
        assert fetch(serving, "/z/small.txt").status == 404
        replace(path, BOTH)
        check_both(serving)


@pytest.mark.skipif(os.name == "nt", reason="that system does not say when a file was changed")
def test_an_archive_of_the_same_size_and_date_is_a_new_one(serving, path):
    pack(path, {"a.txt": "before"}, STORED)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    with running(serving):
        assert fetch(serving, "/z/a.txt").text == "before"
        size, number = path.stat().st_size, path.stat().st_ino
        pack(path, {"a.txt": "behind"}, STORED)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        assert (path.stat().st_size, path.stat().st_ino) == (size, number)
        assert fetch(serving, "/z/a.txt").text == "behind"


def test_an_archive_that_is_replaced_before_a_member_is_opened_is_asked_anew(
    serving, path, monkeypatch
):
    pack(path, {"gone.txt": "gone", "both.txt": "before"})
    find = Archive.find

    def find_and_replace(self, rest):
        found = find(self, rest)
        replace(path, {"both.txt": "after"})
        return found

    monkeypatch.setattr(Archive, "find", find_and_replace)
    with running(serving):
        assert fetch(serving, "/z/gone.txt").status == 404
        assert fetch(serving, "/z/both.txt").text == "after"


def test_an_archive_may_be_a_path_object_and_a_relative_one_is_that_of_its_registration(
    server, path, monkeypatch
):
    pack(path, BOTH)
    monkeypatch.chdir(path.parent)
    server.registerArchiveFile(path, "/object")
    server.registerArchiveFile(path.name, "/relative")
    monkeypatch.chdir("/")
    with running(server):
        check_both(server, "/object")
        check_both(server, "/relative")


def test_a_path_that_no_file_can_have_is_no_error(server, caplog):
    caplog.set_level(logging.WARNING)
    server.registerArchiveFile("no\0file.zip", "/z")
    with running(server):
        assert fetch(server, "/z/a").status == 404
    assert len([one for one in caplog.messages if "no\0file.zip" in one]) == 1


# --- downloads that last ---


@keeps_open
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_download_goes_on_with_the_archive_that_it_began_with(serving, path, method):
    pack(path, {"long.bin": LONG}, method)
    with running(serving):
        sock = begin(serving, "/z/long.bin")
        replace(path, {"long.bin": b"new"})
        assert fetch(serving, "/z/long.bin").text == "new"
        os.unlink(path)
        assert fetch(serving, "/z/long.bin").status == 404
        assert rest_of(sock) == LONG


def cut_off(path):
    os.truncate(path, 1000)


def overwritten(path):
    with open(path, "r+b") as file:
        file.seek(-100_000, os.SEEK_END)
        file.write(bytes(90_000))


@keeps_open
@pytest.mark.parametrize("spoil", [cut_off, overwritten])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_download_from_an_archive_that_is_spoilt_meanwhile_is_cut(serving, path, method, spoil):
    pack(path, {"long.bin": LONG}, method)
    with running(serving):
        sock = begin(serving, "/z/long.bin")
        spoil(path)
        body = rest_of(sock)
    assert len(body) < len(LONG)


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_slow_reader_holds_no_worker_and_one_that_leaves_no_archive(serving, path, method):
    pack(path, {"long.bin": LONG, "a.txt": "quick"}, method)
    serving.urlHandler("/handler")(lambda request: "answered")
    with running(serving, max_num_threads=1):
        with begin(serving, "/z/long.bin"), begin(serving, "/z/long.bin"):
            for _ in range(3):
                assert fetch(serving, "/z/a.txt").text == "quick"
                assert fetch(serving, "/handler").text == "answered"
        if os.path.isdir("/proc/self/fd"):
            wait_until(lambda: descriptors_on(path) == 0)
        assert fetch(serving, "/z/a.txt").text == "quick"


def test_many_clients_share_an_archive(serving, members):
    names = ["1048576.stored", "1048576.deflated", "200000.deflated", "5000.deflated"] * 2
    start, wrong = threading.Barrier(len(names)), []

    def client(name):
        start.wait(PATIENCE)
        for _ in range(3):
            if fetch(serving, f"/z/{name}").body != members[name]:
                wrong.append(name)

    with running(serving, max_num_threads=8):
        threads = [threading.Thread(target=client, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert wrong == []


def make_bomb(path, megabytes: int) -> None:
    """Make an archive with a member of so many million zeros, without packing each."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = bytes(1 << 20)
    piece = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(megabytes):
        checksum = zlib.crc32(block, checksum)
    data = piece * megabytes + packer.flush()

    def lie(info):
        info.compress_type, info.CRC, info.file_size = DEFLATED, checksum, megabytes << 20

    pack(path, {"bomb": data}, STORED, lie)


def test_what_unpacks_to_very_much_costs_no_memory(serving, path):
    make_bomb(path, 300)
    buffer = bytearray(1 << 16)
    with running(serving):
        tracemalloc.start()
        try:
            with begin(serving, "/z/bomb"), begin(serving, "/z/bomb") as reader:
                received = 0
                while received < 24 << 20:
                    received += reader.recv_into(buffer)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        tail = fetch(serving, "/z/bomb", headers={"Range": f"bytes={300 << 20}-"})
        assert tail.status == 416
    assert peak < 6 << 20


def test_a_bomb_arrives_whole_with_its_end(serving, path):
    make_bomb(path, 20)
    with running(serving):
        assert fetch(serving, "/z/bomb").body == bytes(20 << 20)
        assert fetch(serving, "/z/bomb", headers={"Range": "bytes=-3"}).body == bytes(3)


def test_a_member_above_the_limit_is_not_found_and_logged(serving, path, caplog):
    pack(path, {"more.bin": bytes(100_001), "most.bin": bytes(100_000)})
    limit = {"MAX_ARCHIVE_FILE_SIZE": 100_000}
    with caplog.at_level(logging.WARNING), running(serving, settings=limit):
        for method in ("GET", "HEAD"):
            assert fetch(serving, "/z/more.bin", method).status == 404
        assert fetch(serving, "/z/most.bin").body == bytes(100_000)
    assert any("more.bin is too large" in line for line in caplog.messages)


# --- damage ---


@pytest.fixture
def quiet(caplog):
    """The log, with the tracebacks that damage leaves there."""
    caplog.set_level(logging.ERROR, "hwebserver")
    return caplog


def check_never_whole(server, name: str, size: int, *lines: str) -> None:
    """See that a damaged member is a 500 or cut before its end."""
    status, length, body = download(server, f"/z/{name}", *lines)
    if status == 500:
        assert b"damaged" not in body
    else:
        assert status in (200, 206)
        assert size > SMALL
        assert len(body) < length


def spoil_begin(path):
    damage(path, "x", 0)


def spoil_middle(path):
    damage(path, "x", 0.5)


def spoil_end(path):
    damage(path, "x", 1)


@pytest.mark.parametrize("spoil", [spoil_begin, spoil_middle, spoil_end])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("data", [LARGE[:6000], LARGE], ids=["small", "large"])
def test_a_spoilt_member_never_arrives_whole(serving, path, quiet, data, method, spoil):
    pack(path, {"x": data, "good.txt": "good"}, method)
    spoil(path)
    with running(serving):
        check_never_whole(serving, "x", len(data))
        check_never_whole(serving, "x", len(data), "Range: bytes=0-")
        assert fetch(serving, "/z/good.txt").text == "good"
    assert any("the handler of GET /z/x failed" in line for line in quiet.messages)


def wrong_checksum(info):
    info.CRC ^= 1


def too_large(info):
    info.file_size += 1


def much_too_large(info):
    info.file_size += 10_000_000


def too_small(info):
    info.file_size -= 1


def half(info):
    info.file_size //= 2


def at_a_block(info):
    info.file_size = max(SMALL * 2, info.file_size // 2) if info.file_size > SMALL else 1


def packed_too_small(info):
    info.compress_size -= 10


def packed_to_nothing(info):
    info.compress_size = 0


def both_too_small(info):
    info.file_size -= 10
    info.compress_size -= 10


def elsewhere(info):
    info.header_offset += 1


def behind_the_end(info):
    info.header_offset = 1 << 40


def nowhere(info):
    info.header_offset = (1 << 64) - 1


def packed_beyond(info):
    info.compress_size = (1 << 64) - 1


LIES = [wrong_checksum, too_large, much_too_large, too_small, half, at_a_block, packed_too_small,
        packed_to_nothing, both_too_small, elsewhere, behind_the_end, nowhere,
        packed_beyond]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_directory_that_lies_never_makes_wrong_bytes(server, tmp_path, quiet, lie):
    cases = []
    for method in (STORED, DEFLATED):
        for data in (LARGE[:6000], LARGE):
            archive = tmp_path / f"{method}-{len(data)}.zip"
            pack(archive, {"x": data}, method, lie)
            server.registerArchiveFile(archive, f"/z/{method}/{len(data)}")
            cases.append((f"{method}/{len(data)}/x", len(data)))
    with running(server):
        for name, size in cases:
            check_never_whole(server, name, max(size, SMALL + 1) if lie is much_too_large else size)
            assert fetch(server, f"/z/{name}", "POST").status == 405
            ranged = fetch(server, f"/z/{name}", headers={"Range": "bytes=2000-2009"})
            assert ranged.status in (416, 500) or ranged.body == LARGE[2000:2010]
    assert quiet.records


@pytest.mark.parametrize("lie", [too_large, much_too_large, half, packed_too_small])
def test_no_range_leads_out_of_a_member(serving, path, quiet, lie):
    pack(path, {"x": LARGE, "y": SECRET}, STORED, lambda x, y: lie(x))
    with running(serving):
        answer = fetch(serving, "/z/x", headers={"Range": "bytes=-100"})
    assert answer.status == 500
    assert SECRET not in answer.text


def test_damage_that_is_seen_in_time_is_an_error_on_a_connection_that_stays(serving, path, quiet):
    pack(path, {"x": LARGE}, DEFLATED)
    damage(path, "x", 0)
    with running(serving), connect(serving) as sock:
        for _ in range(2):
            ask(sock, "/z/x", "Range: bytes=200000-200009")
            assert receive_response(sock).status == 500


def test_what_stands_behind_the_packed_data_is_not_even_read(serving, path, monkeypatch):
    blocks = []
    packed = archive_module._Member._packed

    def counted(self):
        for block in packed(self):
            blocks.append(len(block))
            yield block

    monkeypatch.setattr(archive_module._Member, "_packed", counted)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)

    def restore(info):
        info.compress_type, info.CRC, info.file_size = DEFLATED, zlib.crc32(b"small"), 5

    padded = packer.compress(b"small") + packer.flush() + bytes(1 << 20)
    pack(path, {"x": padded}, STORED, restore)
    with running(serving):
        assert fetch(serving, "/z/x").text == "small"
    assert blocks == [SMALL]


# --- methods, ports, what else is on the path ---


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_member_is_only_read(serving, path, method):
    pack(path, BOTH)
    with running(serving):
        answer = fetch(serving, "/z/small.txt", method, body=b"x")
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
        assert fetch(serving, "/z/none.txt", method, body=b"x").status == 404
        check_both(serving)


def test_options_says_what_a_member_can_do(serving, path):
    pack(path, BOTH)
    with running(serving):
        answer = fetch(serving, "/z/small.txt", "OPTIONS")
        assert (answer.status, answer.body) == (204, b"")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
        assert fetch(serving, "/z/none.txt", "OPTIONS").status == 404


@pytest.mark.parametrize("archive_first", [True, False])
def test_an_archive_and_a_directory_share_a_prefix(server, path, tmp_path, archive_first):
    root = tmp_path / "static"
    root.mkdir()
    for name in ("both.txt", "file.txt"):
        (root / name).write_text("directory")
    pack(path, {"both.txt": "archive", "member.txt": "archive"})
    if archive_first:
        server.registerArchiveFile(path, "/f")
    server.registerStaticFilesDirectory(str(root), "/f")
    if not archive_first:
        server.registerArchiveFile(path, "/f")
    server.urlHandler("/", is_prefix=True)(lambda request: "handler")
    with running(server):
        assert fetch(server, "/f/both.txt").text == ("archive" if archive_first else "directory")
        assert fetch(server, "/f/file.txt").text == "directory"
        assert fetch(server, "/f/member.txt").text == "archive"
        assert fetch(server, "/f/none.txt").text == "handler"


def test_of_archives_that_share_a_prefix_the_first_that_holds_the_member_answers(server, tmp_path):
    server.registerArchiveFile(tmp_path / "later.zip", "/f")
    for name in ("one", "two"):
        archive = pack(tmp_path / f"{name}.zip", {"both.txt": name, f"{name}.txt": name})
        server.registerArchiveFile(archive, "/f")
    with running(server):
        for asked, text in (("both", "one"), ("one", "one"), ("two", "two")):
            assert fetch(server, f"/f/{asked}.txt").text == text
        pack(tmp_path / "later.zip", {"both.txt": "later"})
        assert fetch(server, "/f/both.txt").text == "later"


def test_an_archive_is_on_the_port_that_was_named(server, path):
    pack(path, BOTH)
    server.registerArchiveFile(path, "/main")
    server.registerArchiveFile(path, "/other", "other")
    with running(server, ports=[("other", 0)]):
        assert fetch(server, "/main/small.txt").text == "small"
        assert fetch(server, "/other/small.txt", port="other").text == "small"
        assert fetch(server, "/main/small.txt", port="other").status == 404
        assert fetch(server, "/other/small.txt").status == 404
    with pytest.raises(hwebserver.OperationFailed):
        server.registerArchiveFile(path, "/x", 1.5)


def test_members_of_every_kind_follow_one_another_on_a_connection(serving, members):
    connection = http.client.HTTPConnection
    with running(serving):
        client = connection("127.0.0.1", serving.port(), timeout=PATIENCE)
        try:
            for name in ("1048576.deflated", "1.stored", "0.deflated", "1048576.stored", "none"):
                client.request("GET", f"/z/{name}")
                answer = client.getresponse()
                assert answer.status == (404 if name == "none" else 200)
                assert answer.read() == members[name] if name in members else answer.read()
        finally:
            client.close()
