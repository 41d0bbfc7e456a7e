"""Directories whose files are served, and that nothing else is."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support import PATIENCE, connect, fetch, receive_all, receive_response, running

import hwebserver
from hwebserver import OperationFailed
from hwebserver.web import static as static_module
from hwebserver.web.static import Places, StaticDirectory, is_file_name

SECRET = "what nobody may see"


@pytest.fixture
def site(tmp_path):
    """A directory with files, beside others that are secret."""
    root = tmp_path / "static"
    for name, text in {
        "static/a.txt": "a",
        "static/space and \u00fc.txt": "unicode",
        "static/50%.txt": "percent",
        "static/sub/index.html": "<p>index</p>",
        "static/sub/b.css": "p {}",
        "static/empty/keep.bin": "",
        "secret.txt": SECRET,
        "static-secret/a.txt": SECRET,
        "static-secret/index.html": SECRET,
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture
def serving(server, site):
    """A server of that directory."""
    server.registerStaticFilesDirectory(str(site))
    return server


def get_raw(server, target: bytes):
    """Ask for a target as it is, without what clients do to it."""
    with connect(server) as sock:
        sock.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return receive_response(sock)


# --- files ---


def test_a_file_is_served_below_its_prefix(serving):
    with running(serving):
        answer = fetch(serving, "/static/a.txt")
        assert (answer.status, answer.text) == (200, "a")
        assert answer.headers["Content-Length"] == "1"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert fetch(serving, "/static/sub/b.css").headers["Content-Type"].startswith("text/css")
        assert fetch(serving, "/static/empty/keep.bin").body == b""
        for path in ("/a.txt", "/static/none.txt", "/static/a.txt/more", "/static/A.TXT/x"):
            assert fetch(serving, path).status == 404


def test_names_are_decoded_once(serving):
    with running(serving):
        assert fetch(serving, "/static/space%20and%20%C3%BC.txt").text == "unicode"
        assert fetch(serving, "/static/50%25.txt").text == "percent"
        assert fetch(serving, "/static/%61.txt").text == "a"
        assert fetch(serving, "/static/%2561.txt").status == 404


def test_a_query_is_not_part_of_the_name(serving):
    with running(serving):
        assert fetch(serving, "/static/a.txt?v=1&x=/../..").text == "a"


@pytest.mark.parametrize("prefix", ["/", "", "/files", "/files/", "files", "/a/b"])
def test_the_prefix_may_be_any_path(server, site, prefix):
    server.registerStaticFilesDirectory(str(site), prefix)
    with running(server):
        base = "/" + prefix.strip("/")
        assert fetch(server, f"{base.rstrip('/')}/a.txt").text == "a"


def test_a_prefix_of_files_ends_at_a_segment(serving):
    with running(serving):
        assert fetch(serving, "/static-secret/a.txt").status == 404
        assert fetch(serving, "/statica.txt").status == 404


def test_files_that_change_are_served_as_they_are(serving, site):
    with running(serving):
        (site / "a.txt").write_text("changed")
        assert fetch(serving, "/static/a.txt").text == "changed"
        (site / "new.txt").write_text("new")
        assert fetch(serving, "/static/new.txt").text == "new"
        (site / "new.txt").unlink()
        assert fetch(serving, "/static/new.txt").status == 404


def test_a_large_file_arrives_intact(serving, site):
    data = os.urandom(1 << 20) * 9 + b"end"
    (site / "large.bin").write_bytes(data)
    with running(serving):
        answer = fetch(serving, "/static/large.bin")
    assert answer.headers["Content-Length"] == str(len(data))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(data).digest()


def test_large_files_and_others_share_a_connection(serving, site):
    (site / "large.bin").write_bytes(b"x" * 2_000_000)
    with running(serving):
        connection = http.client.HTTPConnection("127.0.0.1", serving.port(), timeout=PATIENCE)
        try:
            for path, size in (("large.bin", 2_000_000), ("a.txt", 1), ("large.bin", 2_000_000)):
                connection.request("GET", f"/static/{path}")
                assert len(connection.getresponse().read()) == size
        finally:
            connection.close()


@pytest.mark.parametrize("size", [0, 3, 300_000])
def test_head_tells_the_length_alone(serving, site, size):
    (site / "file.bin").write_bytes(b"x" * size)
    with running(serving), connect(serving) as sock:
        sock.sendall(b"HEAD /static/file.bin HTTP/1.1\r\nHost: localhost\r\n")
        sock.sendall(b"Connection: close\r\n\r\n")
        received = receive_all(sock)
    assert b"\r\nContent-Length: %d\r\n" % size in received
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PURGE"])
def test_a_file_is_only_read(serving, site, method):
    with running(serving):
        answer = fetch(serving, "/static/a.txt", method)
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert (site / "a.txt").read_text() == "a"


def test_options_says_what_a_file_can_do(serving):
    with running(serving):
        answer = fetch(serving, "/static/a.txt", "OPTIONS")
        assert (answer.status, answer.body) == (204, b"")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_a_file_that_is_not_there_is_not_found_by_any_method(serving, method):
    with running(serving):
        assert fetch(serving, "/static/none.txt", method).status == 404


# --- directories ---


def test_a_directory_shows_its_index_page(serving):
    with running(serving):
        answer = fetch(serving, "/static/sub/")
    assert (answer.status, answer.text) == (200, "<p>index</p>")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("asked", "location"),
    [("/static/sub", "/static/sub/"), ("/static/sub?x=//y", "/static/sub/?x=//y")],
)
def test_a_directory_without_its_slash_is_redirected_to_itself(serving, asked, location):
    with running(serving):
        answer = fetch(serving, asked)
        assert answer.status in (301, 302, 307, 308)
        assert answer.headers["Location"] == f"http://127.0.0.1:{serving.port()}{location}"


def test_the_prefix_itself_is_a_directory(server, site):
    (site / "index.html").write_text("home")
    server.registerStaticFilesDirectory(str(site), "/")
    server.registerStaticFilesDirectory(str(site), "/static")
    with running(server):
        assert fetch(server, "/").text == "home"
        assert fetch(server, "/static/").text == "home"
        assert fetch(server, "/static").headers["Location"].endswith("/static/")


def test_a_directory_without_an_index_page_is_not_found(serving):
    with running(serving):
        for path in ("/static", "/static/", "/static/empty", "/static/empty/"):
            assert fetch(serving, path).status == 404


@pytest.mark.parametrize(
    "target",
    [
        b"//evil.example", b"//evil.example/", b"//evil.example/..", b"//evil.example/../sub",
        b"//evil.example/%2e%2e/sub", b"///evil.example/sub/..", b"/%2fevil.example/sub",
        b"/%2f%2fevil.example", b"/\\evil.example/..", b"/%5cevil.example", b"/%09/evil.example",
        b"http://localhost//evil.example/..", b"/sub/..//evil.example", b"/./sub", b"//sub",
        b"/.//sub", b"/%2e/sub",
    ],
)  # fmt: skip
def test_no_redirect_leads_to_another_host(server, site, target):
    server.registerStaticFilesDirectory(str(site), "/")
    with running(server):
        answer = get_raw(server, target)
        location = answer.headers["Location"]
        assert answer.status in (301, 302, 307, 308, 404)
        assert location is None or location.startswith("http://localhost/sub/")


def test_a_directory_whose_name_looks_like_a_host_is_redirected_to_itself(server, site):
    (site / "evil.example").mkdir()
    (site / "evil.example" / "index.html").write_text("tame")
    server.registerStaticFilesDirectory(str(site), "/")
    with running(server):
        answer = get_raw(server, b"/evil.example")
        assert answer.headers["Location"] == "http://localhost/evil.example/"
        for target in (b"//evil.example", b"///evil.example"):
            location = get_raw(server, target).headers["Location"]
            assert location is None or location.startswith("http://localhost/")


# --- no path leaves the directory ---

ATTACKS = [
    # Dots, plain and encoded, in every mixture.
    "/static/..", "/static/../secret.txt", "/static/sub/../../secret.txt", "/static/sub/../a.txt",
    "/static/%2e%2e/secret.txt", "/static/%2E%2E/secret.txt", "/static/.%2e/secret.txt",
    "/static/%2e./secret.txt", "/static/./a.txt", "/static/%2e/a.txt", "/static/.../secret.txt",
    "/static/....//secret.txt", "/static/....\\/secret.txt", "/static/..;/secret.txt",
    "/static/sub/..%2f..%2fsecret.txt", "/static/..%00/secret.txt", "/static/..%20/secret.txt",
    "/static/..%c0%af..%c0%afsecret.txt", "/static/%c0%ae%c0%ae/secret.txt",
    "/static/\u2024\u2024/secret.txt",
    # Separators inside a segment.
    "/static/..%2fsecret.txt", "/static/..%2Fsecret.txt", "/static/%2e%2e%2fsecret.txt",
    "/static/..%5csecret.txt", "/static/..\\secret.txt", "/static/%2e%2e%5csecret.txt",
    "/static/sub%2fb.css", "/static/sub%5cb.css", "/static/sub\\b.css", "/static%2fa.txt",
    "/static/a.txt%2f", "/static/%2fa.txt",
    # Encoded twice.
    "/static/%252e%252e/secret.txt", "/static/..%252fsecret.txt", "/static/%252e%252e%252fsecret",
    "/static/%25252e%25252e/secret.txt", "/static/sub%252fb.css",
    # Absolute paths, drives, shares, streams, devices.
    "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static//a.txt", "/static///a.txt",
    "/static/sub//b.css", "/static/C:/a.txt", "/static/C:%5ca.txt", "/static/C%3a%5ca.txt",
    "/static/%5c%5chost%5cshare%5ca.txt", "/static/\\\\host\\share", "/static/%5c%5c%3f%5cC%3a",
    "/static/a.txt::$DATA", "/static/a.txt:ads", "/static/NUL", "/static/CON", "/static/COM1",
    "/static/COM%C2%B9", "/static/LPT1.txt", "/static/AUX.html", "/static/CONIN$",
    # Characters that end a name for some reader.
    "/static/%00", "/static/a.txt%00", "/static/a.txt%00.html", "/static/%00/a.txt",
    "/static/a.txt%0a", "/static/a.txt%0d%0a", "/static/a.txt%7f", "/static/a.txt%1f",
    "/static/a.txt%20", "/static/a.txt.", "/static/a.txt%2e", "/static/a.txt%20.",
    "/static/A~1.TXT", "/static/SECRET~1.TXT",
    # Names that no file system takes.
    "/static/" + "x" * 300, "/static/" + "x/" * 2500, "/static/%ff%fe.txt", "/static/%ed%a0%80",
    "/static/~", "/static/~root", "/static/$HOME", "/static/%24%7bx%7d", "/static/*.txt",
    "/static/a.tx?", "/static/%25SYSTEMROOT%25",
    # Prefix confusion.
    "/static/../static-secret/a.txt", "/static-secret/a.txt", "/static/../static/a.txt",
    "/static/..-secret/a.txt", "/static..%2fsecret.txt", "/static../secret.txt",
    "/%2e%2e/secret.txt", "/../secret.txt", "//static/a.txt", "/x/../static/a.txt",
]  # fmt: skip


def test_no_path_leaves_the_directory_and_every_one_of_these_is_a_404(serving):
    found = {}
    with running(serving):
        for path in ATTACKS:
            target = path.encode("ascii" if path.isascii() else "utf-8")
            if not path.isascii():
                target = b"".join(b"%%%02x" % c if c > 127 else bytes([c]) for c in target)
            answer = get_raw(serving, target)
            if answer.status != 404 or SECRET in answer.text:
                found[path] = answer.status
        assert fetch(serving, "/static/a.txt").text == "a"
    assert found == {}


def test_the_same_paths_lead_nowhere_when_the_files_are_at_the_root(server, site):
    server.registerStaticFilesDirectory(str(site), "/")
    found = []
    with running(server):
        for path in ATTACKS:
            if path.isascii() and path.startswith("/static/"):
                answer = get_raw(server, path[len("/static") :].encode())
                if answer.status != 404 or SECRET in answer.text:
                    found.append(path)
    assert found == []


@pytest.mark.parametrize("separator", ["\\", "/"])
def test_a_name_that_the_file_system_allows_but_holds_a_separator_is_not_served(site, separator):
    files = StaticDirectory(str(site))
    if separator == "\\" and os.name == "posix":
        (site / "..\\secret.txt").write_text(SECRET)
    assert files.find([f"..{separator}secret.txt"]) is None
    assert files.find(["sub", f"..{separator}a.txt"]) is None


UNSAFE = ["", ".", "..", "a/b", "a\\b", "/", "\\", "a\0", "\0", "a\n", "a\r", "\x1b", "\x7f",
          "..\\", "../"]  # fmt: skip
UNSAFE_ON_WINDOWS = [
    "C:", "C:a", "c:\\", "a.txt:ads", "a.txt::$DATA", ":", "a.", "a ", "a. ", "a .", "...", ". ",
    "CON", "con", "Con.txt", "PRN", "aux.tar.gz", "NUL", "nul ", "NUL .txt", "COM1", "com9.log",
    "COM0", "LPT1", "lpt5.x", "COM\u00b9", "com\u00b2.txt", "LPT\u00b3", "CONIN$", "conout$",
    "CONOUT$.txt",
]  # fmt: skip
SAFE = ["a", "a.txt", ".a", "..a", "a..b", "a b", "\u00fc", "con1", "console", "nul1", "com",
        "com10", "lptx.txt", "aux2", "a~1", "CONIN", "\U0001f600"]  # fmt: skip


@pytest.mark.parametrize("windows", [False, True])
def test_a_segment_names_a_file_or_nothing(windows):
    assert [name for name in SAFE if not is_file_name(name, windows)] == []
    assert [name for name in UNSAFE if is_file_name(name, windows)] == []


def test_what_windows_reads_as_something_else_is_no_name_there():
    assert [name for name in UNSAFE_ON_WINDOWS if is_file_name(name, True)] == []


# --- links, devices ---


def link(path, target) -> None:
    try:
        os.symlink(target, path)
    except (OSError, NotImplementedError):
        pytest.skip("links cannot be made here")


def test_a_link_that_leads_outside_is_not_found(serving, site):
    link(site / "file.txt", site.parent / "secret.txt")
    link(site / "dir", site.parent / "static-secret")
    link(site / "up", "..")
    link(site / "chain", "dir")
    (site / "has-index").mkdir()
    link(site / "has-index" / "index.html", site.parent / "secret.txt")
    with running(serving):
        for path in ("file.txt", "dir", "dir/", "dir/a.txt", "up/secret.txt", "chain/a.txt",
                     "up/static-secret/a.txt", "has-index", "has-index/"):  # fmt: skip
            answer = fetch(serving, f"/static/{path}")
            assert (path, answer.status) == (path, 404)
            assert SECRET not in answer.text


def test_a_link_that_stays_inside_is_followed(serving, site):
    link(site / "file.txt", "a.txt")
    link(site / "dir", site / "sub")
    link(site / "round", os.path.join("..", "static", "a.txt"))
    with running(serving):
        assert fetch(serving, "/static/file.txt").text == "a"
        assert fetch(serving, "/static/dir/b.css").text == "p {}"
        assert fetch(serving, "/static/round").text == "a"


def test_a_link_that_leads_nowhere_is_not_found(serving, site):
    link(site / "broken", "none.txt")
    link(site / "loop", "loop")
    with running(serving):
        assert fetch(serving, "/static/broken").status == 404
        assert fetch(serving, "/static/loop").status == 404
        assert fetch(serving, "/static/loop/a.txt").status == 404


def test_the_directory_itself_may_be_a_link(server, site):
    link(site.parent / "current", site)
    server.registerStaticFilesDirectory(str(site.parent / "current"))
    with running(server):
        assert fetch(server, "/static/a.txt").text == "a"
        assert fetch(server, "/static/../secret.txt").status == 404


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_not_found_and_blocks_nothing(serving, site):
    os.mkfifo(site / "fifo")
    (site / "sub2").mkdir()
    os.mkfifo(site / "sub2" / "index.html")
    with running(serving, max_num_threads=1):
        for path in ("fifo", "sub2", "sub2/"):
            assert fetch(serving, f"/static/{path}").status == 404
        assert fetch(serving, "/static/a.txt").text == "a"


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="this system has no such devices")
def test_a_device_is_not_found(server):
    server.registerStaticFilesDirectory("/dev", "/dev")
    with running(server):
        for name in ("null", "zero", "tty", "random"):
            assert fetch(server, f"/dev/{name}").status == 404


@pytest.mark.parametrize("what", ["file", "fifo"])
def test_a_file_that_is_replaced_before_it_is_opened_is_what_it_is_then(
    serving, site, monkeypatch, what
):
    opened = os.open

    def replace(path, *arguments, **options):
        if path == str(site / "a.txt"):
            monkeypatch.setattr(os, "open", opened)
            os.unlink(path)
            if what == "fifo":
                put_fifo(site / "a.txt")
            else:
                (site / "a.txt").write_text("replaced")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", replace)
    with running(serving):
        answer = fetch(serving, "/static/a.txt")
        if what == "fifo":
            assert answer.status == 404
        else:
            assert (answer.status, answer.text) == (200, "replaced")
        assert fetch(serving, "/static/sub/b.css").text == "p {}"


def test_a_file_is_of_the_type_of_the_name_it_is_asked_for_by(serving, site):
    (site / "store").write_text("let x;")
    link(site / "app.js", "store")
    with running(serving):
        answer = fetch(serving, "/static/app.js")
    assert (answer.text, answer.headers["Content-Type"]) == (
        "let x;",
        "text/javascript; charset=utf-8",
    )


@pytest.mark.parametrize("tag", [0, 0xA0000003])
def test_a_junction_of_windows_counts_as_a_link(site, monkeypatch, tag):
    looked = []

    def lstat(path):
        details = os.stat(path, follow_symlinks=False)
        return SimpleNamespace(st_mode=details.st_mode, st_reparse_tag=tag)

    def realpath(path):
        looked.append(path)
        return os.path.realpath(path)

    system = SimpleNamespace(**{**vars(os), "lstat": lstat})
    system.path = SimpleNamespace(**{**vars(os.path), "realpath": realpath})
    places = Places(str(site))
    assert places.find(["a.txt"]) is not None
    monkeypatch.setattr(static_module, "os", system)
    assert places.find(["a.txt"]) is not None
    assert looked == ([str(site), str(site / "a.txt")] if tag else [])


# --- links that are turned while the server runs ---


class Clock:
    """A time of the test's own."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(static_module, "time", made)
    return made


@pytest.fixture
def resolved(monkeypatch):
    """The paths that were resolved."""
    paths, realpath = [], os.path.realpath

    def count(path, **options):
        paths.append(path)
        return realpath(path, **options)

    monkeypatch.setattr(os.path, "realpath", count)
    return paths


def turn(path, target):
    """Let a link, or what is in its place, lead somewhere else."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    link(path, target)


def test_where_a_directory_is_is_looked_up_once_a_second(serving, clock, resolved):
    with running(serving):
        for _ in range(3):
            assert fetch(serving, "/static/sub/b.css").text == "p {}"
            assert fetch(serving, "/static/sub/").text == "<p>index</p>"
            assert fetch(serving, "/static/sub/none.css").status == 404
        assert len(resolved) == 4  # the directory of /static/sub, and what is in it
        clock.now += 1
        assert fetch(serving, "/static/sub/b.css").text == "p {}"
        assert len(resolved) == 6


@pytest.mark.parametrize("turned", ["sub", os.path.join("sub", "deep")])
def test_a_directory_that_becomes_a_link_to_outside_is_lost_at_once(serving, site, clock, turned):
    outside = site.parent / "static-secret"
    for below in (site / "sub", outside):
        (below / "deep").mkdir()
        (below / "deep" / "c.css").write_text(SECRET if below is outside else "c {}")
    (outside / "b.css").write_text(SECRET)
    with running(serving):
        assert fetch(serving, "/static/sub/b.css").text == "p {}"
        for _ in range(2):
            assert fetch(serving, "/static/sub/deep/c.css").text == "c {}"
        turn(site / turned, outside if turned == "sub" else outside / "deep")
        paths = ["sub/deep", "sub/deep/", "sub/deep/c.css"]
        if turned == "sub":
            paths += ["sub", "sub/", "sub/a.txt", "sub/index.html", "sub/b.css"]
        for _ in range(2):
            for path in paths:
                answer = fetch(serving, f"/static/{path}")
                assert (path, answer.status) == (path, 404)
                assert SECRET not in answer.text
            clock.now += 1


def test_a_directory_that_is_moved_outside_and_linked_to_is_lost_within_a_second(
    serving, site, clock
):
    with running(serving):
        assert fetch(serving, "/static/sub/b.css").text == "p {}"
        (site / "sub").rename(site.parent / "moved")
        link(site / "sub", site.parent / "moved")
        clock.now += 1
        for path in ("sub/b.css", "sub/", "sub/index.html"):
            assert fetch(serving, f"/static/{path}").status == 404


def test_a_file_that_becomes_a_link_to_outside_is_lost_at_once(serving, site, clock):
    (site / "other").mkdir()
    (site / "other" / "index.html").write_text("other")
    with running(serving):
        for path in ("a.txt", "sub/b.css", "sub/", "other/"):
            assert fetch(serving, f"/static/{path}").status == 200
        turn(site / "a.txt", site.parent / "secret.txt")
        turn(site / "sub" / "b.css", site.parent / "secret.txt")
        turn(site / "sub" / "index.html", os.path.join("..", "..", "secret.txt"))
        turn(site / "other" / "index.html", site.parent)
        for path in ("a.txt", "sub/b.css", "sub/", "sub/index.html", "other/"):
            answer = fetch(serving, f"/static/{path}")
            assert (path, answer.status) == (path, 404)
            assert SECRET not in answer.text


def test_a_link_that_is_turned_inside_leads_to_the_new_place(serving, site, clock):
    for name in ("one", "two"):
        (site / name).mkdir()
        (site / name / "a.txt").write_text(name)
    link(site / "dir", "one")
    link(site / "file", os.path.join("one", "a.txt"))
    with running(serving):
        assert fetch(serving, "/static/dir/a.txt").text == "one"
        assert fetch(serving, "/static/file").text == "one"
        turn(site / "dir", "two")
        turn(site / "file", os.path.join("two", "a.txt"))
        assert fetch(serving, "/static/file").text == "two"
        clock.now += 1
        assert fetch(serving, "/static/dir/a.txt").text == "two"


def test_when_the_directory_itself_is_turned_its_links_do_not_stay_behind(server, tmp_path, clock):
    for name in ("first", "second"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "a.txt").write_text(name)
        link(tmp_path / name / "b.txt", "a.txt")
    link(tmp_path / "current", "first")
    server.registerStaticFilesDirectory(str(tmp_path / "current"))
    with running(server):
        assert fetch(server, "/static/a.txt").text == fetch(server, "/static/b.txt").text == "first"
        turn(tmp_path / "current", "second")
        assert fetch(server, "/static/b.txt").text == "second"
        clock.now += 1
        assert (
            fetch(server, "/static/a.txt").text == fetch(server, "/static/b.txt").text == "second"
        )


def test_a_directory_that_comes_and_goes_is_seen_at_once(serving, site, clock):
    with running(serving):
        assert fetch(serving, "/static/new/a.txt").status == 404
        (site / "new").mkdir()
        (site / "new" / "a.txt").write_text("one")
        assert fetch(serving, "/static/new/a.txt").text == "one"
        shutil.rmtree(site / "new")
        assert fetch(serving, "/static/new/a.txt").status == 404
        (site / "new").write_text("a file now")
        assert fetch(serving, "/static/new/a.txt").status == 404
        assert fetch(serving, "/static/new").text == "a file now"


def test_what_one_thread_resolved_before_a_link_was_turned_is_not_what_others_get(
    site, clock, monkeypatch
):
    places, realpath = Places(str(site)), os.path.realpath

    def stall(path, **options):
        found = realpath(path, **options)
        if path == str(site / "sub"):
            monkeypatch.setattr(os.path, "realpath", realpath)
            turn(site / "sub", site.parent / "static-secret")
            clock.now += 1
            assert places.find(["a.txt"]) is not None  # by another thread, a second later
        return found

    monkeypatch.setattr(os.path, "realpath", stall)
    places.find(["sub", "index.html"])
    assert places.find(["sub", "index.html"]) is None


def test_many_names_of_a_directory_cost_no_memory(site, clock, monkeypatch):
    monkeypatch.setattr(static_module, "_MOST_DIRECTORIES", 8)
    link(site / "self", ".")
    places = Places(str(site))
    for depth in range(30):
        assert places.find([*["self"] * depth, "a.txt"]) is not None
        assert 1 <= len(places._known) <= 8


# --- directories that are not there, several of them, and what comes behind ---


def test_a_directory_that_is_not_there_yet_is_no_error_and_is_found_later(server, tmp_path, caplog):
    later = tmp_path / "later"
    with caplog.at_level(logging.WARNING, "hwebserver"):
        server.registerStaticFilesDirectory(str(later))
        with running(server):
            for _ in range(3):
                assert fetch(server, "/static/a.txt").status == 404
            later.mkdir()
            (later / "a.txt").write_text("here now")
            assert fetch(server, "/static/a.txt").text == "here now"
            shutil.rmtree(later)
            assert fetch(server, "/static/a.txt").status == 404
    lines = [one for one in caplog.records if str(later) in one.getMessage()]
    assert len(lines) == 1


def test_a_directory_whose_link_is_turned_to_another_is_looked_for_again(server, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    link(tmp_path / "current", tmp_path / "first")
    server.registerStaticFilesDirectory(str(tmp_path / "current"))
    with running(server):
        assert fetch(server, "/static/a.txt").text == "first"
        os.unlink(tmp_path / "current")
        link(tmp_path / "current", tmp_path / "second")
        shutil.rmtree(tmp_path / "first")
        assert fetch(server, "/static/a.txt").text == "second"


def test_a_file_in_the_place_of_the_directory_serves_nothing(server, tmp_path):
    (tmp_path / "file").write_text(SECRET)
    server.registerStaticFilesDirectory(str(tmp_path / "file"))
    with running(server):
        for path in ("/static", "/static/", "/static/a"):
            assert fetch(server, path).status == 404


def test_a_directory_in_whose_place_a_file_comes_is_gone_at_once(serving, site, clock):
    (site / "index.html").write_text("home")
    with running(serving):
        assert fetch(serving, "/static/").text == "home"
        shutil.rmtree(site)
        site.write_text(SECRET)
        for path in ("/static", "/static/", "/static/index.html"):
            assert fetch(serving, path).status == 404


def test_a_relative_directory_is_that_of_its_registration(server, site, monkeypatch):
    monkeypatch.chdir(site.parent)
    server.registerStaticFilesDirectory("static")
    monkeypatch.chdir(site / "sub")
    with running(server):
        assert fetch(server, "/static/a.txt").text == "a"


def test_a_directory_may_be_a_path_object(server, site):
    server.registerStaticFilesDirectory(site)
    with running(server):
        assert fetch(server, "/static/a.txt").text == "a"


def test_of_directories_that_share_a_prefix_the_first_that_holds_the_file_answers(server, tmp_path):
    for name, files in {"one": ["both", "one"], "two": ["both", "two", "x/y"]}.items():
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        server.registerStaticFilesDirectory(str(tmp_path / name), "/files")
    with running(server):
        assert fetch(server, "/files/both").text == "one"
        assert fetch(server, "/files/one").text == "one"
        assert fetch(server, "/files/two").text == "two"
        assert fetch(server, "/files/x/y").text == "two"
        assert fetch(server, "/files/none").status == 404
        assert fetch(server, "/files/two", "POST").status == 405


def test_a_file_that_is_not_there_leaves_the_path_to_the_next_match(serving):
    def page(request, **values):
        return f"{request.method()} {request.path()}"

    serving.urlHandler("/", is_prefix=True)(page)
    with running(serving):
        assert fetch(serving, "/static/a.txt").text == "a"
        assert fetch(serving, "/static/none").text == "GET /static/none"
        assert fetch(serving, "/static/empty/").text == "GET /static/empty/"
        assert fetch(serving, "/static/../x").text == "GET /static/../x"
        assert fetch(serving, "/static/none", "POST").text == "POST /static/none"
        assert fetch(serving, "/static/none", "OPTIONS").text == "OPTIONS /static/none"
        # A file takes GET and HEAD alone: other methods go on like those of any registration.
        assert fetch(serving, "/static/a.txt", "POST").text == "POST /static/a.txt"


def test_a_template_is_such_a_next_match(serving):
    serving.urlHandler("/{rest:path}")(lambda request, rest: rest)
    with running(serving):
        assert fetch(serving, "/static/a.txt").text == "a"
        assert fetch(serving, "/static/none").text == "static/none"


def test_a_file_that_is_not_there_does_not_hide_the_methods_of_the_next_match(serving):
    serving.urlHandler("/", is_prefix=True, methods=["POST"])(lambda request: "posted")
    with running(serving):
        assert fetch(serving, "/static/none", "POST").text == "posted"
        for path in ("/none", "/static/none"):
            answer = fetch(serving, path, "OPTIONS")
            assert (path, answer.status) == (path, 204)
            assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
            assert (path, fetch(serving, path).status) == (path, 405)


def test_whether_a_file_is_there_is_looked_at_for_each_request(serving, site):
    with running(serving):
        connection = http.client.HTTPConnection("127.0.0.1", serving.port(), timeout=PATIENCE)

        def post():
            connection.request("POST", "/static/new.txt")
            response = connection.getresponse()
            response.read()
            return response.status

        try:
            assert post() == 404
            (site / "new.txt").write_text("file")
            assert post() == 405
            (site / "new.txt").unlink()
            assert post() == 404
        finally:
            connection.close()


def test_files_belong_to_their_port(server, site):
    server.registerStaticFilesDirectory(str(site), "/default")
    server.registerStaticFilesDirectory(str(site), "/other", "other")
    server.registerStaticFilesDirectory(str(site), "/main", 0)
    with running(server, ports=[("other", 0)]):
        for prefix, port in (("default", "main"), ("other", "other"), ("main", "main")):
            assert fetch(server, f"/{prefix}/a.txt", port=port).text == "a"
        for prefix, port in (("default", "other"), ("other", "main"), ("main", "other")):
            assert fetch(server, f"/{prefix}/a.txt", port=port).status == 404


def test_what_is_no_port_is_refused_at_once(server, site):
    with pytest.raises(OperationFailed):
        server.registerStaticFilesDirectory(str(site), port=1.5)


# --- compressed siblings ---

TEXT = b"".join(b"line %d\n" % number for number in range(40_000))
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


def compressed(path, data, age=0.0):
    """Write a file and, beside it, the same compressed, so many seconds older."""
    packed = gzip.compress(data, 1, mtime=0)
    path.write_bytes(data)
    sibling = path.with_name(f"{path.name}.gz")
    sibling.write_bytes(packed)
    os.utime(path, (1e9, 1e9))
    os.utime(sibling, (1e9 - age, 1e9 - age))
    return packed


@pytest.mark.parametrize("data", [b"short", TEXT], ids=["small", "large"])
def test_a_compressed_sibling_is_for_those_who_accept_it(serving, site, data):
    packed = compressed(site / "c.txt", data)
    with running(serving):
        plain, coded = (
            fetch(serving, "/static/c.txt"),
            fetch(serving, "/static/c.txt", headers=GZIP),
        )
    assert (plain.status, plain.body) == (200, data)
    assert (coded.status, coded.body) == (200, packed)
    assert (plain.headers["Content-Encoding"], coded.headers["Content-Encoding"]) == (None, "gzip")
    assert coded.headers["Content-Length"] == str(len(packed))
    assert plain.headers["ETag"] != coded.headers["ETag"]
    for answer in (plain, coded):
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


WANTED = [
    "gzip", "GZIP", "x-gzip", "*", "gzip;q=0.1", "identity;q=0, gzip", "br, gzip;q=1.0",
    "deflate, *;q=0.1",
]  # fmt: skip
NOT_WANTED = [
    "", "identity", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *",
    "identity, gzip;q=0.5", "gzipped", "gzip;q=x", "gzip;q=2",
]  # fmt: skip


def test_gzip_is_sent_when_it_is_wanted(serving, site):
    packed = compressed(site / "c.txt", b"text")
    with running(serving):
        for accepted in WANTED + NOT_WANTED:
            answer = fetch(serving, "/static/c.txt", headers={"Accept-Encoding": accepted})
            coding = "gzip" if accepted in WANTED else None
            assert (accepted, answer.headers["Content-Encoding"]) == (accepted, coding)
            assert answer.body == (packed if coding else b"text")
            assert answer.headers["Vary"] == "Accept-Encoding"


def test_without_a_sibling_nothing_depends_on_what_is_accepted(serving):
    with running(serving):
        answer = fetch(serving, "/static/a.txt", headers=GZIP)
    assert answer.text == "a"
    assert answer.headers["Vary"] is None
    assert answer.headers["Content-Encoding"] is None


@pytest.mark.parametrize("data", [b"short", TEXT], ids=["small", "large"])
def test_head_tells_of_the_sibling_what_get_does(serving, site, data):
    compressed(site / "c.txt", data)
    with running(serving):
        for fields in ({}, GZIP):
            head = fetch(serving, "/static/c.txt", "HEAD", headers=fields)
            get = fetch(serving, "/static/c.txt", headers=fields)
            assert head.body == b""
            assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}


def test_ranges_are_of_the_bytes_that_are_sent(serving, site):
    packed = compressed(site / "c.txt", TEXT)
    size = len(packed)
    with running(serving):
        one = fetch(serving, "/static/c.txt", headers={**GZIP, "Range": "bytes=10-99"})
        two = fetch(serving, "/static/c.txt", headers={**GZIP, "Range": "bytes=0-1,-10"})
        none = fetch(serving, "/static/c.txt", headers={**GZIP, "Range": f"bytes={size}-"})
        plain = fetch(serving, "/static/c.txt", headers={"Range": f"bytes={size}-{size + 9}"})
    assert (one.status, one.body) == (206, packed[10:100])
    assert one.headers["Content-Range"] == f"bytes 10-99/{size}"
    assert two.status == 206
    assert packed[-10:] in two.body
    assert (none.status, none.headers["Content-Encoding"]) == (416, None)
    assert (plain.status, plain.body) == (206, TEXT[size : size + 10])
    for answer in (one, two):
        assert answer.headers["Content-Encoding"] == "gzip"
    for answer in (one, two, none, plain):
        assert answer.headers["Vary"] == "Accept-Encoding"


def test_a_tag_is_that_of_one_of_both(serving, site):
    packed = compressed(site / "c.txt", TEXT)
    with running(serving):
        plain = fetch(serving, "/static/c.txt").headers["ETag"]
        coded = fetch(serving, "/static/c.txt", headers=GZIP).headers["ETag"]
        for fields, own, other in (({}, plain, coded), (GZIP, coded, plain)):
            for name, value, status in (
                ("If-None-Match", own, 304), ("If-None-Match", other, 200),
                ("If-Match", own, 200), ("If-Match", other, 412),
            ):  # fmt: skip
                answer = fetch(serving, "/static/c.txt", headers={**fields, name: value})
                assert answer.status == status
                assert answer.headers["ETag"] == own
                assert answer.headers["Vary"] == "Accept-Encoding"
        resumed = {**GZIP, "Range": "bytes=5-", "If-Range": plain}
        assert fetch(serving, "/static/c.txt", headers=resumed).body == packed


@pytest.mark.parametrize(("age", "used"), [(-100.0, True), (0.0, True), (2.0, True), (2.5, False)])
def test_a_sibling_that_is_older_than_its_file_is_stale(serving, site, age, used):
    compressed(site / "c.txt", b"text", age)
    with running(serving):
        answer = fetch(serving, "/static/c.txt", headers=GZIP)
        assert (answer.headers["Content-Encoding"] == "gzip") is used
        assert (answer.headers["Vary"] is not None) is used
        os.utime(site / "c.txt", (1e9 - 100, 1e9 - 100))
        assert fetch(serving, "/static/c.txt", headers=GZIP).headers["Content-Encoding"] == "gzip"


def test_a_sibling_is_looked_for_at_each_request(serving, site):
    with running(serving):
        assert fetch(serving, "/static/a.txt", headers=GZIP).body == b"a"
        packed = compressed(site / "a.txt", b"a")
        assert fetch(serving, "/static/a.txt", headers=GZIP).body == packed
        (site / "a.txt.gz").unlink()
        answer = fetch(serving, "/static/a.txt", headers=GZIP)
        assert (answer.body, answer.headers["Vary"]) == (b"a", None)


def test_a_sibling_of_a_known_file_is_looked_for_at_each_request(serving, site, clock):
    packed = gzip.compress(b"a", 1, mtime=0)
    with running(serving):
        ask(serving, "/static/a.txt", headers=GZIP)
        (site / "a.txt.gz").write_bytes(packed)
        assert [answer[2] for answer in ask(serving, "/static/a.txt", headers=GZIP)] == [packed] * 3
        clock.now += 1
        for _, fields, body in ask(serving, "/static/a.txt"):
            assert (body, dict(fields)["Vary"]) == (b"a", "Accept-Encoding")


def put_directory(path):
    path.mkdir()


def put_fifo(path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no FIFOs")
    os.mkfifo(path)


def put_link_outside(path):
    link(path, path.parent.parent / "secret.txt")


def put_broken_link(path):
    link(path, "none")


@pytest.mark.parametrize("put", [put_directory, put_fifo, put_link_outside, put_broken_link])
def test_a_sibling_that_is_no_file_inside_is_none(serving, site, put):
    put(site / "a.txt.gz")
    with running(serving, max_num_threads=1):
        answer = fetch(serving, "/static/a.txt", headers=GZIP)
        assert (answer.status, answer.text) == (200, "a")
        assert answer.headers["Content-Encoding"] is None
        assert answer.headers["Vary"] is None


def test_a_sibling_may_be_a_link_that_stays_inside(serving, site):
    packed = compressed(site / "sub" / "c.txt", b"text")
    (site / "c.txt").write_bytes(b"text")
    os.utime(site / "c.txt", (1e9, 1e9))
    link(site / "c.txt.gz", os.path.join("sub", "c.txt.gz"))
    link(site / "d.txt", "c.txt")
    link(site / "d.txt.gz", "c.txt.gz")
    with running(serving):
        for path in ("c.txt", "d.txt", "sub/c.txt"):
            answer = fetch(serving, f"/static/{path}", headers=GZIP)
            assert (answer.body, answer.headers["Content-Encoding"]) == (packed, "gzip")
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_an_index_page_has_a_sibling_too(serving, site):
    packed = compressed(site / "sub" / "index.html", b"<p>index</p>")
    with running(serving):
        answer = fetch(serving, "/static/sub/", headers=GZIP)
        assert (answer.body, answer.headers["Content-Encoding"]) == (packed, "gzip")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        plain = fetch(serving, "/static/sub/")
        assert (plain.text, plain.headers["Vary"]) == ("<p>index</p>", "Accept-Encoding")


def test_a_sibling_without_its_file_is_only_itself(serving, site):
    packed = compressed(site / "c.txt", b"text")
    (site / "c.txt").unlink()
    (site / "sub" / "index.html").rename(site / "sub" / "index.html.gz")
    with running(serving):
        assert fetch(serving, "/static/c.txt", headers=GZIP).status == 404
        assert fetch(serving, "/static/sub/", headers=GZIP).status == 404
        assert fetch(serving, "/static/c.txt.gz", headers=GZIP).body == packed


@pytest.mark.parametrize("fields", [{}, GZIP])
def test_a_compressed_file_that_is_asked_for_is_not_encoded(serving, site, fields):
    packed = compressed(site / "c.txt", b"text")
    with running(serving):
        answer = fetch(serving, "/static/c.txt.gz", headers=fields)
    assert (answer.status, answer.body) == (200, packed)
    assert answer.headers["Content-Type"] == "application/gzip"
    assert answer.headers["Content-Encoding"] is None
    assert answer.headers["Vary"] is None


# --- files that are known from a request before ---


@pytest.fixture
def sought(monkeypatch):
    """The names of files that were looked for, since they were not known."""
    names, guess_type = [], static_module.guess_type

    def note(name):
        names.append(name)
        return guess_type(name)

    monkeypatch.setattr(static_module, "guess_type", note)
    return names


def ask(server, path, method="GET", headers=None, times=3):
    """Ask for a file several times over one connection; return the answers without their dates."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=PATIENCE)
    answers = []
    try:
        for _ in range(times):
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            del response.headers["Date"]
            answers.append((response.status, response.headers.items(), response.read()))
    finally:
        connection.close()
    return answers


def test_a_file_is_looked_for_once_a_second(serving, site, clock, sought):
    with running(serving):
        for _ in range(2):
            ask(serving, "/static/a.txt")
            ask(serving, "/static/sub/")
            ask(serving, "/static/sub/b.css?v=2")
            assert sought == ["a.txt", "index.html", "b.css"]
            sought.clear()
            clock.now += 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Range": "bytes=0-0"},
        {"Range": "bytes=65536-"},
        {"Range": "bytes=0-0, 300-300"},
        {"If-None-Match": "*"},
        {"If-Match": '"other"'},
        {"If-Modified-Since": "Sun, 09 Sep 2001 01:46:40 GMT"},
        {"If-Unmodified-Since": "Sun, 09 Sep 2001 01:46:39 GMT"},
        {"Range": "bytes=0-0", "If-Range": '"other"'},
        {"X-Request-ID": "an-id", "Origin": "https://a.example"},
    ],
    ids=",".join,
)
def test_a_known_file_is_answered_like_any_other(
    server, tmp_path, clock, sought, monkeypatch, fields
):
    monkeypatch.setattr(os, "urandom", bytes)  # Boundaries are alike.
    server.registerStaticFilesDirectory(str(tmp_path))
    server.setCORSWhitelist(["https://a.example"])
    with running(server):
        for size in (0, 1, 65_536, 65_537):
            (tmp_path / f"{size}.txt").write_bytes(b"x" * size)
            os.utime(tmp_path / f"{size}.txt", (1e9, 1e9))
            for method in ("GET", "HEAD"):
                path = f"/static/{size}.txt"
                first = ask(server, path, method, fields, times=1)
                ask(server, path, method)
                assert ask(server, path, method, fields) == first * 3
                assert sought == [f"{size}.txt"]
                clock.now += 1
                sought.clear()


def write_over(file):
    file.write_text("B")


def write_over_in_secret(file):
    """Write as many bytes, and set back the time at which that was."""
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # The system's clock may be coarse.
        file.write_text("B")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file):
    other = file.with_name("other")
    other.write_text("B")
    other.replace(file)


def become_a_link(file):
    file.with_name("other").write_text("B")
    turn(file, "other")


@pytest.mark.parametrize("change", [write_over, write_over_in_secret, replace, become_a_link])
def test_a_known_file_that_changes_is_sent_as_it_is_now(serving, site, clock, change):
    with running(serving):
        ask(serving, "/static/a.txt")
        change(site / "a.txt")
        assert [answer[2] for answer in ask(serving, "/static/a.txt")] == [b"B"] * 3


@pytest.mark.parametrize("change", [write_over_in_secret, replace])
def test_the_tag_of_a_known_file_that_changes_is_another(serving, site, clock, change):
    with running(serving):
        (before,) = {dict(fields)["ETag"] for _, fields, _ in ask(serving, "/static/a.txt")}
        change(site / "a.txt")
        kept = fetch(serving, "/static/a.txt", headers={"If-None-Match": before})
        (after,) = {dict(fields)["ETag"] for _, fields, _ in ask(serving, "/static/a.txt")}
    assert (kept.status, kept.text) == (200, "B")
    assert before != after


def remove(file):
    file.unlink()


def become_a_link_to_outside(file):
    turn(file, file.parent.parent / "secret.txt")


def move_outside(file):
    """Let a link in its place lead to the same file, which is outside now."""
    file.rename(file.parent.parent / "moved")
    link(file, file.parent.parent / "moved")


def become_a_directory(file):
    file.unlink()
    file.mkdir()


def become_a_fifo(file):
    file.unlink()
    put_fifo(file)


@pytest.mark.parametrize(
    "change",
    [remove, become_a_link_to_outside, move_outside, become_a_directory, become_a_fifo],
)
def test_a_known_file_that_is_none_any_more_is_not_found(serving, site, clock, change):
    with running(serving):
        ask(serving, "/static/a.txt")
        change(site / "a.txt")
        assert {answer[0] for answer in ask(serving, "/static/a.txt")} == {404}


def test_a_known_file_that_may_not_be_read_any_more_is_refused(serving, clock, monkeypatch):
    opened = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("a.txt"):
            raise PermissionError(13, "no")
        return opened(path, *arguments, **options)

    with running(serving):
        ask(serving, "/static/a.txt")
        monkeypatch.setattr(os, "open", refuse)  # root may read everything
        assert {answer[0] for answer in ask(serving, "/static/a.txt")} == {403}
        monkeypatch.undo()
        assert {answer[0] for answer in ask(serving, "/static/a.txt")} == {200}


def test_an_index_page_is_known_under_the_path_with_the_slash_alone(serving, clock):
    with running(serving):
        for _ in range(2):
            assert {answer[0] for answer in ask(serving, "/static/sub/")} == {200}
            assert {answer[0] for answer in ask(serving, "/static/sub")} == {301}


def test_a_file_that_a_link_names_is_not_known(serving, site, clock, sought):
    link(site / "b.txt", "a.txt")
    with running(serving):
        assert {answer[2] for answer in ask(serving, "/static/b.txt")} == {b"a"}
        assert len(sought) == 3


def test_a_known_file_is_one_of_its_directory_alone(server, tmp_path, clock):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        server.registerStaticFilesDirectory(str(tmp_path / name), "/static")
    with running(server):
        assert {answer[2] for answer in ask(server, "/static/a.txt")} == {b"first"}
        (tmp_path / "first" / "a.txt").unlink()
        assert {answer[2] for answer in ask(server, "/static/a.txt")} == {b"second"}
        (tmp_path / "first" / "a.txt").write_text("again")
        assert {answer[2] for answer in ask(server, "/static/a.txt")} == {b"again"}


def test_many_files_cost_no_memory(serving, site, clock, sought, monkeypatch):
    monkeypatch.setattr(static_module, "_MOST_FILES", 4)
    known = [f"{number}.txt" for number in range(6)]
    for name in known:
        (site / name).write_text(name)
    with running(serving):
        for name in known:
            ask(serving, f"/static/{name}", times=2)
        assert sought == known
        ask(serving, f"/static/{known[0]}", times=1)
        assert sought == [*known, known[0]]


# --- listings ---


def test_a_directory_is_listed_only_when_that_was_asked_for(server, site):
    (site / "a&b.txt").write_text("escaped")
    server.registerStaticFilesDirectory(str(site), "/listed", listing=True)
    with running(server):
        answer = fetch(server, "/listed/")
        assert answer.status == 200
        assert 'href="./a.txt"' in answer.text
        assert 'href="./sub/"' in answer.text
        assert ">a&amp;b.txt<" in answer.text
        assert fetch(server, "/listed/sub/").text == "<p>index</p>"
        assert fetch(server, "/listed/../").status == 404


def test_a_listing_has_what_nobody_can_open_too(server, site):
    link(site / "loop", "loop")
    link(site / "broken", "none")
    if os.name == "posix" and sys.platform != "darwin":
        (site / os.fsdecode(b"latin\xfc.txt")).write_text("x")
    server.registerStaticFilesDirectory(str(site), "/listed", listing=True)
    with running(server):
        answer = fetch(server, "/listed/")
    assert answer.status == 200
    assert 'href="./loop"' in answer.text
    assert 'href="./broken"' in answer.text
    assert 'href="./a.txt"' in answer.text


def test_a_directory_that_goes_before_it_is_listed_is_not_found(server, site, monkeypatch):
    listing = static_module._listing_page

    def vanish(request, path):
        shutil.rmtree(path)
        return listing(request, path)

    monkeypatch.setattr(static_module, "_listing_page", vanish)
    server.registerStaticFilesDirectory(str(site), "/listed", listing=True)
    with running(server):
        assert fetch(server, "/listed/empty/").status == 404
        assert fetch(server, "/listed/").status == 404


def test_a_directory_that_cannot_be_read_is_not_listed(server, site, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "no")

    server.registerStaticFilesDirectory(str(site), "/listed", listing=True)
    with running(server):
        monkeypatch.setattr(os, "scandir", refuse)
        answer = fetch(server, "/listed/")
        monkeypatch.undo()
    assert answer.status == 403
    assert str(site) not in answer.text


def test_a_missing_directory_is_said_on_the_console_of_a_server_that_runs_later(tmp_path):
    code = (
        "import hwebserver, urllib.request, urllib.error\n"
        "hwebserver.registerStaticFilesDirectory('nothere', '/s')\n"
        "hwebserver.run(0, in_background=True)\n"
        "for _ in range(3):\n"
        "    try: urllib.request.urlopen(hwebserver.url('/s/x'))\n"
        "    except urllib.error.HTTPError as error: error.close()\n"
    )
    root = os.path.dirname(os.path.dirname(hwebserver.__file__))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.count("nothere is not there") == 1


def test_the_methods_of_a_file_and_of_a_handler_on_its_path_are_told_together(serving):
    serving.urlHandler("/static/a.txt", methods=["POST"])(lambda request: "posted")
    with running(serving):
        assert fetch(serving, "/static/a.txt", "POST").text == "posted"
        assert fetch(serving, "/static/a.txt").text == "a"
        answer = fetch(serving, "/static/a.txt", "PUT")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
