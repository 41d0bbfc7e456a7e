"""Files as responses: which file, of what type, under what name it is saved."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

import pytest
from support import connect, fetch, receive_all, running

import hwebserver
from hwebserver import fileResponse
from hwebserver.web.files import content_disposition


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("hello")
    return path


#: RFC 6266 4.1 with RFC 9110 5.6.4 for the plain form and RFC 8187 3.2 for the other.
DISPOSITION = re.compile(
    r'attachment; filename="([ !#-\[\]-~]*)"'
    r"(?:; filename\*=UTF-8''((?:[0-9A-Za-z!#$&+.^_`|~-]|%[0-9A-F]{2})+))?\Z"
)


def plain_name(value: str) -> str:
    """Return the name that a client reads which knows the plain form alone."""
    match = DISPOSITION.match(value)
    assert match is not None, value
    return match[1]


def saved_name(value: str) -> str:
    """Return the name that a client reads which prefers the other form (RFC 6266 4.3)."""
    match = DISPOSITION.match(value)
    assert match is not None, value
    return match[1] if match[2] is None else unquote(match[2], errors="strict")


# --- the name under which a file is saved ---


@pytest.mark.parametrize(
    ("name", "saved", "plain"),
    [
        ("a.txt", "a.txt", "a.txt"),
        ("two words.txt", "two words.txt", "two words.txt"),
        ("a;b=c, d.txt", "a;b=c, d.txt", "a;b=c, d.txt"),
        ("it's.txt", "it's.txt", "it's.txt"),
        ("r\u00e9sum\u00e9.pdf", "r\u00e9sum\u00e9.pdf", "r_sum_.pdf"),
        ("\u0440\u0435\u043d.exr", "\u0440\u0435\u043d.exr", "___.exr"),
        ("\U0001f600.png", "\U0001f600.png", "_.png"),
        ("50%.txt", "50%.txt", "50_.txt"),
        ("a%20b%0d%0a.txt", "a%20b%0d%0a.txt", "a_20b_0d_0a.txt"),
        ('"quoted".txt', "_quoted_.txt", "_quoted_.txt"),
        ("back\\slash.txt", "back_slash.txt", "back_slash.txt"),
        ('\\";x=.txt', "__;x=.txt", "__;x=.txt"),
        ("../../etc/passwd", ".._.._etc_passwd", ".._.._etc_passwd"),
        ("C:\\x\\a.txt", "C:_x_a.txt", "C:_x_a.txt"),
        ("a\r\nSet-Cookie: x=1", "a__Set-Cookie: x=1", "a__Set-Cookie: x=1"),
        ("'; filename*=UTF-8''x", "'; filename*=UTF-8''x", "'; filename*=UTF-8''x"),
        (".hidden", ".hidden", ".hidden"),
        ("?", "?", "_"),
    ],
)  # fmt: skip
def test_clients_old_and_new_read_the_name(server, file, name, saved, plain):
    server.urlHandler("/")(lambda request: fileResponse(file, download_as_filename=name))
    with running(server):
        values = fetch(server).headers.get_all("Content-Disposition")
    assert len(values) == 1
    assert (saved_name(values[0]), plain_name(values[0])) == (saved, plain)


@pytest.mark.parametrize("number", [*range(32), 127])
def test_control_characters_become_underscores(number):
    value = content_disposition(f"a{chr(number)}b\u00fc")
    assert saved_name(value) == "a_b\u00fc"
    assert plain_name(value) == "a_b_"


@pytest.mark.parametrize("character", ["\x80", "\x85", "\u2028", "\u202e", "\ufeff", "\udcff"])
def test_what_is_no_ascii_never_stands_in_the_field_itself(character):
    value = content_disposition(f"a{character}.txt")
    assert value.isascii()
    assert value.isprintable()
    assert plain_name(value) == "a_.txt"


def test_no_line_end_in_a_name_begins_another_field(server, file):
    name = "x\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\n\x0bX-Evil: 2\u2028X-Evil: 3"
    server.urlHandler("/")(lambda request: fileResponse(file, download_as_filename=name))
    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = receive_all(sock)
    assert received.endswith(b"\r\n\r\nhello")
    assert received.count(b"\r\n\r\n") == 1
    assert not any(line.lower().startswith(b"x-evil") for line in received.splitlines())


@pytest.mark.parametrize("letter", ["x", "\u00fc", "\U0001f600"])
@pytest.mark.parametrize("length", [251, 252, 1000, 100_000])
def test_a_long_name_is_cut_in_front_of_its_ending(letter, length):
    value = content_disposition(letter * length + ".txt")
    assert saved_name(value) == letter * 251 + ".txt"
    assert len(value) < 8000  # more than that is more than proxies take


def test_an_ending_may_be_too_long_too():
    assert saved_name(content_disposition("a." + "x" * 9999)) == "a." + "x" * 31
    assert saved_name(content_disposition("." + "x" * 9999)) == "." + "x" * 254


@pytest.mark.parametrize("name", ["", None])
def test_no_name_is_no_field(server, file, name):
    server.urlHandler("/")(lambda request: fileResponse(file, download_as_filename=name))
    with running(server):
        assert fetch(server).headers["Content-Disposition"] is None


def test_the_name_does_not_change_the_type(server, file):
    server.urlHandler("/")(lambda request: fileResponse(file, download_as_filename="a.png"))
    with running(server):
        assert fetch(server).headers["Content-Type"] == "text/plain; charset=utf-8"


# --- which file, and of what type ---


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("a.html", None, "text/html; charset=utf-8"),
        ("a.TXT", None, "text/plain; charset=utf-8"),
        ("a.js", None, "text/javascript; charset=utf-8"),
        ("a.json", None, "application/json"),
        ("a.svg", None, "image/svg+xml"),
        ("a.tar.gz", None, "application/gzip"),
        ("a", None, "application/octet-stream"),
        ("a.unheard-of", None, "application/octet-stream"),
        ("a.bin", "text/plain", "text/plain; charset=utf-8"),
        ("a.txt", "text/plain; charset=latin-1", "text/plain; charset=latin-1"),
        ("a.txt", "application/x-own", "application/x-own"),
        ("a.txt", "", "text/plain; charset=utf-8"),
    ],
)
def test_the_type_is_that_of_the_ending_unless_it_is_said(server, tmp_path, name, given, kind):
    path = tmp_path / name
    path.write_bytes(b"hello")
    server.urlHandler("/")(lambda request: fileResponse(str(path), given))
    with running(server):
        for fields in ({}, {"Range": "bytes=0-1"}):
            answer = fetch(server, headers=fields)
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Content-Encoding"] is None


def test_a_file_is_found_from_the_current_directory(server, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    server.urlHandler("/")(lambda request: fileResponse("file.txt"))
    with running(server):
        assert fetch(server).text == "hello"


def test_a_handler_may_follow_a_link_where_it_likes(server, file, tmp_path):
    try:
        os.symlink(file, tmp_path / "link.json")
    except (OSError, NotImplementedError):
        pytest.skip("links cannot be made here")
    server.urlHandler("/")(lambda request: fileResponse(tmp_path / "link.json"))
    with running(server):
        answer = fetch(server)
    assert (answer.text, answer.headers["Content-Type"]) == ("hello", "application/json")


@pytest.mark.parametrize(
    "path", ["none.txt", "file.txt/", "file.txt/x", "", ".", "a\0b", "x" * 999]
)
@pytest.mark.parametrize("options", [{}, {"delete_file": True}, {"download_as_filename": "a"}])
def test_what_is_no_file_is_not_found_and_nothing_happens_to_it(server, file, path, options):
    full = f"{file.parent}/{path}"
    server.urlHandler("/")(lambda request: fileResponse(full, **options))
    with running(server):
        for method in ("GET", "HEAD", "POST"):
            answer = fetch(server, "/", method, headers={"Range": "bytes=0-1", "If-Match": "*"})
            assert answer.status == 404
            assert answer.headers["Content-Disposition"] is None
    assert file.read_text() == "hello"


def test_a_handler_may_change_what_is_sent(server, file):
    def handler(request):
        response = fileResponse(file, delete_file=True)
        response.setBody("another body", "text/x-own")
        return response

    server.urlHandler("/")(handler)
    with running(server):
        answer = fetch(server)
    assert (answer.status, answer.text) == (200, "another body")
    assert answer.headers["ETag"] is None
    assert not file.exists()  # It was to be sent, and never will be.


def test_the_same_response_may_be_sent_again(server, file):
    response = fileResponse(file, download_as_filename="a.txt")
    server.urlHandler("/")(lambda request: response)
    with running(server):
        assert fetch(server, headers={"Range": "bytes=1-2"}).text == "el"
        assert fetch(server, headers={"If-None-Match": "*"}).status == 304
        answer = fetch(server)
    assert (answer.status, answer.text) == (200, "hello")
    assert answer.headers.get_all("ETag") == [answer.headers["ETag"]]


def test_the_request_may_stand_first_with_names_behind_it(server, file):
    server.urlHandler("/")(
        lambda request: fileResponse(request, file_path=file, content_type="a/b")
    )
    with running(server):
        answer = fetch(server)
    assert (answer.text, answer.headers["Content-Type"]) == ("hello", "a/b")


@pytest.mark.parametrize("wrong", [None, 5, 1.5, ["a"]])
def test_what_is_no_path_is_an_error_of_the_program(wrong):
    with pytest.raises(TypeError):
        hwebserver.fileResponse(wrong)
