"""Responses, and the functions that make the usual ones."""

from __future__ import annotations

import hashlib
import html
import json
import os

import pytest
from support import connect, fetch, receive_all, receive_until, running, wait_until

from hwebserver import (
    HTTPStatus,
    Response,
    errorResponse,
    fileResponse,
    notFoundResponse,
    redirect,
)
from hwebserver.exchange import Answer
from hwebserver.web import content as content_module
from hwebserver.web.content import open_file
from hwebserver.web.files import content_disposition
from hwebserver.web.pages import prefers_json


def sent(server, make, path="/", method="GET", **headers):
    """What a client gets of a response that a handler makes."""
    server.urlHandler("/", is_prefix=True)(make)
    with running(server):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return fetch(server, path, method, headers=names)


def sent_raw(server, make, request=b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
    """The bytes of such a response on the last request of a connection."""
    server.urlHandler("/", is_prefix=True)(make)
    with running(server), connect(server) as sock:
        sock.sendall(request + b"Connection: close\r\n\r\n")
        return receive_all(sock)


# --- status ---


@pytest.mark.parametrize(
    ("status", "label"),
    [(200, "200 OK"), (404, "404 Not Found"), (422, "422 "), (299, "299"),
     (HTTPStatus.NotFound, "404 Not Found")],
)  # fmt: skip
def test_a_status_has_a_label(status, label):
    assert Response("", status).statusLabel().startswith(label)


@pytest.mark.parametrize("status", [200, 201, 299, 404, 599, HTTPStatus.Created])
def test_a_status_is_sent(server, status):
    assert Response("", status).status() == int(status)
    assert sent(server, lambda request: Response("x", status)).status == int(status)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 1000, -200, "200", None, 200.5])
def test_what_is_no_status_of_a_response_is_a_500(server, status):
    answer = sent(server, lambda request: Response("x", status))
    assert (answer.status, answer.text == "x") == (500, False)


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_gets_none(server, status):
    received = sent_raw(server, lambda request: Response("never", status))
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert received.endswith(b"\r\n\r\n")


def test_head_gets_the_head_alone(server):
    request = b"HEAD / HTTP/1.1\r\nHost: localhost\r\n"
    received = sent_raw(server, lambda request: Response("hello"), request)
    assert received.endswith(b"\r\n\r\n")
    assert b"Content-Length: 5\r\n" in received


# --- body and type ---


def test_the_defaults_are_an_empty_page():
    response = Response()
    assert (response.statusLabel(), response.body()) == ("200 OK", b"")
    assert response.headers() == {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("given", "sent_type"),
    [
        ("text/html", "text/html; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("Text/CSS", "Text/CSS; charset=utf-8"),
        ("text/plain; format=flowed", "text/plain; format=flowed; charset=utf-8"),
        ("text/plain; charset=latin-1", "text/plain; charset=latin-1"),
        ("text/plain; CHARSET=UTF-16", "text/plain; CHARSET=UTF-16"),
        ("text/event-stream", "text/event-stream"),
        ("application/json", "application/json"),
        ("application/xhtml+xml", "application/xhtml+xml"),
        ("image/png", "image/png"),
        ("x-Own/Type; a=b", "x-Own/Type; a=b"),
    ],
)
def test_text_without_a_charset_gets_one_and_other_types_stay_as_given(server, given, sent_type):
    def make(request):
        if request.path() == "/set":
            response = Response("x", 200, "image/png")
            response.setHeader("content-type", given)
            return response
        if request.path() == "/body":
            response = Response("x", 200, "image/png")
            response.setBody("y", given)
            return response
        return Response("x", 200, given)

    server.urlHandler("/", is_prefix=True)(make)
    with running(server):
        for path in ("/", "/set", "/body"):
            assert fetch(server, path).headers.get_all("Content-Type") == [sent_type]


def test_text_is_sent_as_utf_8(server):
    answer = sent(server, lambda request: Response("gr\u00fcn \U0001f600"))
    assert answer.body == "gr\u00fcn \U0001f600".encode()


@pytest.mark.parametrize("data", [b"ab", bytearray(b"ab"), memoryview(b"ab"), "ab"])
def test_a_body_is_text_or_bytes(data):
    response = Response(data)
    assert (response.body(), response.contentLength()) == (b"ab", 2)
    response.setBody(data, "text/plain")
    assert response.body() == b"ab"


@pytest.mark.parametrize("data", [None, 5, ["a"], {"a": 1}])
def test_another_body_is_a_type_error_that_names_it(data):
    with pytest.raises(TypeError, match=type(data).__name__):
        Response(data)
    with pytest.raises(TypeError, match=type(data).__name__):
        Response("").setBody(data, "text/plain")


def test_a_body_can_be_replaced_with_its_type():
    response = Response("a", 200, "text/plain")
    response.setBody("\u00fc", "application/x-thing")
    assert (response.body(), response.contentLength()) == ("\u00fc".encode(), 2)
    assert response.headers()["Content-Type"] == "application/x-thing"


def test_a_file_can_be_replaced_by_a_body(server, tmp_path):
    (tmp_path / "a.txt").write_text("file")

    def make(request):
        response = fileResponse(tmp_path / "a.txt")
        response.setBody("body", "text/plain")
        return response

    assert sent(server, make).text == "body"


@pytest.mark.parametrize("size", [0, 65_536, 65_537, 3_000_000])
def test_bodies_of_any_size_arrive(server, size):
    data = os.urandom(1000) * (size // 1000 + 1)
    data = data[:size]
    answer = sent(server, lambda request: Response(data, 200, "application/x-thing"))
    assert answer.headers["Content-Length"] == str(size)
    assert answer.body == data


# --- header fields ---


def test_a_header_replaces_one_of_that_name_in_any_case(server):
    def make(request):
        response = Response("")
        response.setHeader("X-One", "first")
        response.setHeader("x-one", 2)
        return response

    assert sent(server, make).headers.get_all("X-One") == ["2"]


def test_set_cookie_repeats(server):
    def make(request):
        response = Response("")
        response.setHeader("Set-Cookie", "a=1")
        response.setHeader("set-cookie", "b=2; Path=/")
        response.setHeader("Set-Cookie", "a=3")
        return response

    assert sent(server, make).headers.get_all("Set-Cookie") == ["a=1", "b=2; Path=/", "a=3"]


def test_headers_are_a_copy():
    response = Response("", 200, "text/plain")
    response.setHeader("X-One", "1")
    headers = response.headers()
    assert headers == {"Content-Type": "text/plain; charset=utf-8", "X-One": "1"}
    headers["X-One"] = "2"
    assert response.headers()["X-One"] == "1"


def test_responses_share_no_headers():
    one, two = Response("", 200, "text/plain"), Response("", 200, "text/plain")
    one.setHeader("X-One", "1")
    assert "X-One" not in two.headers()


def test_the_server_field_of_a_handler_wins(server):
    def make(request):
        response = Response("")
        if request.path() == "/own":
            response.setHeader("Server", "mine")
            response.setHeader("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
        return response

    server.urlHandler("/", is_prefix=True)(make)
    with running(server):
        own, other = fetch(server, "/own"), fetch(server, "/other")
    assert own.headers.get_all("Server") == ["mine"]
    assert own.headers.get_all("Date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert other.headers.get_all("Server") == ["hwebserver"]
    assert len(other.headers.get_all("Date")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-One", "a\r\nX-Evil: 1"), ("X-One", "a\nb"), ("X-One", "a\rb"), ("X-One", "a\0b"),
        ("X-One", "\x0bb\x7f"), ("X-One", "\u20ac"), ("X-One\r\nX-Evil", "1"), ("X One", "1"),
        ("X-One:", "1"), ("", "1"), ("X-\u00fc", "1"), ("Set-Cookie", "a=1\r\nX-Evil: 1"),
        ("Content-Type", "text/html\r\nX-Evil: 1"), ("Location", "/\nX-Evil: 1"),
    ],
)  # fmt: skip
def test_a_header_cannot_hold_a_line_end(server, name, value):
    with pytest.raises(ValueError, match="header"):
        Response("").setHeader(name, value)

    def make(request):
        response = Response("never")
        response.setHeader(name, value)
        return response

    received = sent_raw(server, make)
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"X-Evil" not in received


@pytest.mark.parametrize("kind", ["text/plain\r\nX-Evil: 1", "text/plain\0", "\u20ac/x"])
def test_a_content_type_cannot_hold_a_line_end(kind):
    with pytest.raises(ValueError, match="Content-Type"):
        Response("", 200, kind)
    with pytest.raises(ValueError, match="Content-Type"):
        Response("").setBody("", kind)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "chunked, chunked"),
        ("Content-Length", "-1"), ("Content-Length", "5, 5"), ("Content-Length", "\u0665"),
        ("Upgrade", "websocket"), ("TE", "trailers"), ("Trailer", "X-One"),
        ("Proxy-Connection", "close"),
    ],
)  # fmt: skip
def test_the_fields_that_frame_a_message_are_the_servers(name, value):
    with pytest.raises(ValueError, match="header"):
        Response("").setHeader(name, value)


@pytest.mark.parametrize("length", [0, 2, 500])
def test_the_length_of_a_whole_body_is_what_it_is(server, length):
    def make(request):
        response = Response("hello")
        response.setHeader("Content-Length", length)
        return response

    received = sent_raw(server, make)
    assert received.count(b"Content-Length: 5\r\n") == 1
    assert received.lower().count(b"content-length") == 1
    assert received.endswith(b"\r\n\r\nhello")


def test_chunks_are_sent_to_those_who_asked_for_them(server):
    def make(request):
        response = Response("hello")
        response.setHeader("Transfer-Encoding", "chunked")
        assert response.isChunked()
        return response

    received = sent_raw(server, make)
    assert b"Transfer-Encoding: chunked\r\n" in received
    assert b"Content-Length" not in received
    assert received.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert not Response("hello").isChunked()


@pytest.mark.parametrize("size", [5, 200_000])
def test_a_file_goes_in_chunks_too(server, tmp_path, size):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * size)

    def make(request):
        response = fileResponse(file)
        response.setHeader("Transfer-Encoding", "chunked")
        return response

    answer = sent(server, make)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers["Content-Length"] is None
    assert answer.body == b"x" * size


def test_an_old_client_gets_no_chunks(server):
    def make(request):
        response = Response("hello")
        response.setHeader("Transfer-Encoding", "chunked")
        return response

    received = sent_raw(server, make, b"GET / HTTP/1.0\r\n")
    assert b"chunked" not in received
    assert received.endswith(b"\r\n\r\nhello")


def test_a_handler_cannot_promise_to_keep_the_connection(server):
    def make(request):
        response = Response("hello")
        response.setHeader("Keep-Alive", "timeout=5000")
        response.setHeader("Connection", "keep-alive")
        return response

    received = sent_raw(server, make)
    assert b"5000" not in received
    assert received.lower().count(b"\nconnection: ") == 1


def test_a_handler_may_end_the_connection(server):
    def make(request):
        response = Response("hello")
        response.setHeader("Connection", "close")
        return response

    server.urlHandler("/")(make)
    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = receive_all(sock)
    assert b"Connection: close\r\n" in received


# --- files ---


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 5_000_000])
def test_a_file_is_sent_whole(server, tmp_path, size):
    file = tmp_path / "a.bin"
    block = os.urandom(997)
    file.write_bytes((block * (size // 997 + 1))[:size])
    answer = sent(server, lambda request: fileResponse(str(file)))
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(size))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(file.read_bytes()).digest()


def test_the_type_of_a_file_follows_its_name_unless_it_is_said(server, tmp_path):
    file = tmp_path / "a.css"
    file.write_text("p {}")
    kinds = {"/": None, "/said": "application/x-thing"}
    server.urlHandler("/", is_prefix=True)(lambda r: fileResponse(file, kinds[r.path()]))
    with running(server):
        assert fetch(server, "/").headers["Content-Type"] == "text/css; charset=utf-8"
        assert fetch(server, "/said").headers["Content-Type"] == "application/x-thing"


def test_a_file_response_knows_its_body(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("hello")
    response = fileResponse(file)
    assert (response.body(), response.contentLength()) == (b"hello", 5)


def test_a_response_can_be_given_the_name_of_a_file(server, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("hello")
    answer = sent(server, lambda r: Response(str(file), 201, "text/plain", is_file_name=True))
    assert (answer.status, answer.text) == (201, "hello")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", ["none.txt", "", ".", "sub", "a\0b", "x" * 5000, "\ud800"])
@pytest.mark.parametrize("way", ["fileResponse", "is_file_name"])
def test_a_missing_file_is_a_404_and_never_a_traceback(server, tmp_path, name, way):
    (tmp_path / "sub").mkdir()
    path = os.path.join(str(tmp_path), name)

    def make(request):
        if way == "fileResponse":
            return fileResponse(path)
        return Response(path, 200, "text/plain", True)

    server.urlHandler("/", is_prefix=True)(make)
    with running(server, debug=True):
        answer = fetch(server)
    assert answer.status == 404
    assert "Traceback" not in answer.text


def test_a_file_that_vanishes_before_it_is_sent_is_a_404(server, tmp_path):
    file = tmp_path / "a.txt"

    def make(request):
        file.write_text("x")
        response = fileResponse(file)
        file.unlink()
        return response

    assert sent(server, make).status == 404


@pytest.mark.parametrize(
    ("error", "statuses"), [(PermissionError(13, "no"), {403, 404}), (OSError(5, "broken"), {500})]
)
def test_a_file_that_cannot_be_read_is_an_error_without_its_name(
    server, tmp_path, monkeypatch, error, statuses
):
    file = tmp_path / "private.txt"
    file.write_text("x")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(content_module, "open_file", fail)
    answer = sent(server, lambda request: fileResponse(file))
    assert answer.status in statuses
    assert "private" not in answer.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_no_file_and_blocks_nothing(server, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    path = str(tmp_path / "fifo")
    with pytest.raises(FileNotFoundError):
        open_file(path, Answer(200, ()))

    def make(request):
        return Response(path, 200, "", True) if "r" in request.GET() else fileResponse(path)

    server.urlHandler("/")(make)
    with running(server):
        assert fetch(server, "/").status == fetch(server, "/?r").status == 404


@pytest.mark.parametrize("size", [5, 200_000])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_is_deleted_once_it_was_sent(server, tmp_path, size, method):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * size)
    answer = sent(server, lambda request: fileResponse(file, delete_file=True), method=method)
    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(size)
    assert answer.body == (b"x" * size if method == "GET" else b"")
    wait_until(lambda: not file.exists())


def test_a_file_is_kept_unless_it_is_to_be_deleted(server, tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x")
    sent(server, lambda request: fileResponse(file))
    assert file.exists()


@pytest.mark.parametrize(("status", "method"), [(700, "GET"), (304, "GET"), (204, "HEAD")])
def test_a_file_that_is_not_sent_is_deleted_too(server, tmp_path, status, method):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * 100_000)
    sent(server, lambda r: Response(str(file), status, "text/plain", True, True), method=method)
    wait_until(lambda: not file.exists())


def test_a_file_is_deleted_when_the_client_leaves(server, tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * 30_000_000)
    server.urlHandler("/")(lambda request: fileResponse(file, delete_file=True))
    with running(server):
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            receive_until(sock, b"xxx")
        wait_until(lambda: not file.exists())


def test_a_directory_is_never_deleted(server, tmp_path):
    (tmp_path / "sub").mkdir()
    sub = str(tmp_path / "sub")
    assert sent(server, lambda r: Response(sub, 200, "text/plain", True, True)).status == 404
    assert os.path.isdir(sub)


def test_the_request_may_be_passed_first(server, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("hello")

    def make(request):
        return fileResponse(request, str(file), "text/x-own", download_as_filename="b.txt")

    answer = sent(server, make)
    assert (answer.status, answer.text) == (200, "hello")
    assert answer.headers["Content-Type"] == "text/x-own; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="b.txt"'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.txt", 'attachment; filename="a.txt"'),
        ("two words.txt", 'attachment; filename="two words.txt"'),
        ("a;b=c.txt", 'attachment; filename="a;b=c.txt"'),
        (
            "r\u00e9sum\u00e9.pdf",
            "attachment; filename=\"r_sum_.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf",
        ),
        ("\u20ac", "attachment; filename=\"_\"; filename*=UTF-8''%E2%82%AC"),
        ('a"b.txt', 'attachment; filename="a_b.txt"'),
        ("../../a.txt", 'attachment; filename=".._.._a.txt"'),
        ("C:\\a.txt", 'attachment; filename="C:_a.txt"'),
        ("a\r\nX-Evil: 1", 'attachment; filename="a__X-Evil: 1"'),
        ("a\0b\x7f", 'attachment; filename="a_b_"'),
    ],
)
def test_a_download_name_is_written_as_rfc_6266_says(server, tmp_path, name, value):
    file = tmp_path / "a.bin"
    file.write_text("x")
    answer = sent(server, lambda request: fileResponse(file, download_as_filename=name))
    assert answer.headers.get_all("Content-Disposition") == [value]
    assert answer.headers["X-Evil"] is None


def test_a_download_name_may_come_from_a_file_system_that_knows_no_unicode():
    value = content_disposition("a\udcff\ud800.txt")
    assert value.isascii()
    assert value.startswith('attachment; filename="a__.txt"')


def test_without_a_download_name_there_is_no_disposition(server, tmp_path):
    file = tmp_path / "a.bin"
    file.write_text("x")
    assert sent(server, lambda r: fileResponse(file)).headers["Content-Disposition"] is None


# --- errors ---

JSON_WANTED = [
    "application/json",
    "APPLICATION/JSON",
    "application/json, text/plain, */*",
    "application/json; charset=utf-8",
    "application/problem+json",
    "application/json;q=0.1",
    "text/html, application/json",
    "text/html;q=0.5, application/json;q=0.5",
    "text/html;q=0.4, application/vnd.api+json;q=0.5",
    "image/png, application/json;q=0.001",
]
PAGE_WANTED = [
    None,
    "",
    "*/*",
    "text/html",
    "application/*",
    "text/html, */*;q=0.8",
    "application/json;q=0",
    "application/json;q=0.0, */*",
    "text/html, application/json;q=0.9",
    "application/json;q=0.5, text/html;q=0.6",
    "application/json;q=nonsense",
    "application/jsonlines",
    "text/json-ish",
    ",,,;;;===",
    '"application/json',
]


@pytest.mark.parametrize("accept", JSON_WANTED)
def test_an_error_is_json_for_those_who_name_it(server, accept):
    answer = sent(server, lambda r: errorResponse(r, "a <b> \u00fc", 418), Accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (418, "application/json")
    assert json.loads(answer.body) == {"error": "a <b> \u00fc"}


@pytest.mark.parametrize("accept", PAGE_WANTED)
def test_an_error_is_a_page_for_everybody_else(server, accept):
    headers = {} if accept is None else {"Accept": accept}
    answer = sent(server, lambda r: errorResponse(r, "a <b> \u00fc", 418), **headers)
    assert (answer.status, answer.headers["Content-Type"]) == (418, "text/html; charset=utf-8")
    assert "<h1>a &lt;b&gt; \u00fc</h1>" in answer.text


def test_an_error_page_can_do_without_a_heading(server):
    answer = sent(server, lambda r: errorResponse(r, "a <b>", 400, use_heading=False))
    assert "<h1>" not in answer.text
    assert "a &lt;b&gt;" in answer.text


def test_many_members_in_accept_cost_nothing():
    assert not prefers_json("text/html;q=0.9," * 10_000 + "application/json;q=0.8")
    assert not prefers_json('application/json;q="' * 10_000)


def test_not_found_is_a_404(server):
    server.urlHandler("/", is_prefix=True)(notFoundResponse)
    with running(server):
        page, data = fetch(server), fetch(server, headers={"Accept": "application/json"})
    assert page.status == data.status == 404
    assert page.headers["Content-Type"].startswith("text/html")
    assert list(json.loads(data.body)) == ["error"]


def test_a_path_that_leads_nowhere_is_such_an_error_too(server):
    with running(server):
        page = fetch(server, "/<script>")
        data = fetch(server, "/none", headers={"Accept": "application/json"})
    assert page.status == data.status == 404
    assert "<script>" not in page.text
    assert list(json.loads(data.body)) == ["error"]


# --- redirects ---


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/x", "http://localhost:81/x"),
        ("/x?y=z#part", "http://localhost:81/x?y=z#part"),
        ("next", "http://localhost:81/a/next"),
        ("../x", "http://localhost:81/x"),
        ("https://example.com/x?y", "https://example.com/x?y"),
        ("//evil.example/x", "http://localhost:81//evil.example/x"),
        ("/\u00fc b", "http://localhost:81/%C3%BC%20b"),
        ("/a%2Fb", "http://localhost:81/a%2Fb"),
        ("/\\evil.example", "http://localhost:81/%5Cevil.example"),
    ],
)
def test_a_redirect_is_absolute_by_the_host_that_was_asked_for(server, path, location):
    answer = sent(server, lambda r: redirect(r, path), "/a/b?c", Host="localhost:81")
    assert answer.status == 302
    assert answer.headers.get_all("Location") == [location]


def test_a_redirect_may_be_permanent(server):
    answer = sent(server, lambda request: redirect(request, "/x", permanent=True))
    assert answer.status == 301
    assert answer.headers["Location"].endswith("/x")


@pytest.mark.parametrize("path", ["/x\r\nX-Evil: 1", "/x\nX-Evil: 1", "x\r\n\r\n<script>", "/\0"])
def test_a_redirect_cannot_be_split(server, path):
    received = sent_raw(server, lambda request: redirect(request, path))
    assert received.startswith((b"HTTP/1.1 500 ", b"HTTP/1.1 302 "))
    head = received.partition(b"\r\n\r\n")[0]
    assert b"\nX-Evil" not in head
    assert b"\0" not in received
    assert b"<script>" not in received


def test_an_error_page_escapes_what_it_shows():
    page = errorResponse(None, "<script>alert('x')</script>", 400).body().decode()
    assert "<script>" not in page
    assert "<script>alert('x')</script>" in html.unescape(page)


# --- the names of statuses ---


def test_statuses_have_the_vendors_names():
    names = """
        Null=0 Continue=100 SwitchProtocol=101 Ok=200 Created=201 Accepted=202
        NonAuthoritativeInfo=203 NoContent=204 ResetContent=205 PartitionContent=206
        MultipleChoice=300 MovedPermanently=301 Found=302 SeeOther=303 NotModified=304
        TempRedirect=307 PermRedirect=308 BadRequest=400 Unauthorized=401 PaymentRequired=402
        Forbidden=403 NotFound=404 MethodNotAllowed=405 NotAcceptable=406 ProxyAuthRequired=407
        RequestTimeout=408 Conflict=409 Gone=410 LengthRequired=411 PreconditionFailed=412
        PayloadLarge=413 URITooLong=414 UnsupportedMedia=415 RangeNotSatisfiable=416
        ExpectationFailed=417 UnprocessableEntity=422 TooEarly=425 UpgradeRequired=426
        PreconditionRequired=428 TooManyRequests=429 HeaderFieldsTooLarge=431 LegalReasons=451
        InternalServerError=500 NotImplemented=501 BadGateway=502 ServiceUnavailable=503
        GatewayTimeout=504 VersionNotSupported=505 NetworkAuthRequired=511
    """
    expected = {name: int(value) for name, _, value in (x.partition("=") for x in names.split())}
    assert {one.name: one.value for one in HTTPStatus} == expected
