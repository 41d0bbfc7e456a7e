"""WSGI applications in a server; those of the tests run under ``wsgiref.validate``."""

from __future__ import annotations

import contextlib
import contextvars
import gzip
import http.client
import io
import json
import os
import sys
import threading
from functools import partial
from wsgiref.validate import validator

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
from hwebserver.web.environ import FileWrapper
from hwebserver.web.wsgi import WSGIMount

PLAIN = [("Content-Type", "text/plain")]
LARGE = bytes(range(256)) * 65536  # more than the buffers of two sockets


def answering(*pieces, status="200 OK", headers=PLAIN):
    """An application that returns a list."""

    def application(environ, start_response):
        start_response(status, list(headers))
        return list(pieces)

    return application


class Closing:
    """An iterable that counts how often it is closed."""

    def __init__(self, pieces, *, fail=False):
        self.pieces = iter(pieces)
        self.closed = 0
        self.fail = fail

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def is_closed(self, times):
        return self.closed == times

    def close(self):
        self.closed += 1
        if self.fail:
            raise RuntimeError("close failed")


@contextlib.contextmanager
def mounted(server, application, path="/", **arguments):
    """Run a server with an application that is checked against PEP 3333."""
    complaints: list[str] = []
    server.registerWSGIApp(validated(application, complaints), path)
    with running(server, **arguments):
        yield server
    assert complaints == []


def validated(application, complaints):
    """Wrap an application in the validator; what it complains of fails the test, not the answer."""
    checked = validator(application)

    def call(environ, start_response):
        try:
            return checked(environ, start_response)
        except AssertionError as error:
            complaints.append(str(error))
            raise

    return call


def environ_for(server, request, path="/app", depth_path="/app", **arguments):
    """Return what an application sees of a request that is sent raw."""
    seen = {}

    def application(environ, start_response):
        seen.update(environ, body=environ["wsgi.input"].read(1 << 20))
        return answering(b"seen")(environ, start_response)

    server.setSettingsForPort({"ALLOWED_HOSTS": ["*"]})
    with mounted(server, application, depth_path, **arguments), connect(server) as sock:
        sock.sendall(request)
        answer = receive_response(sock)
        seen["client"] = sock.getsockname()
        seen["server"] = sock.getpeername()
    assert answer.status == 200, answer
    return seen


# --- the environ ---


@pytest.mark.parametrize(
    ("mount", "asked", "script", "path"),
    [
        ("/", "/", "", "/"),
        ("/", "/a/b/", "", "/a/b/"),
        ("/", "//a", "", "//a"),
        ("/app", "/app", "/app", ""),
        ("/app/", "/app/", "/app", "/"),
        ("/app", "/app//", "/app", "//"),
        ("/app", "/app/a%2Fb%C3%A9%20?x", "/app", "/a/b\xc3\xa9 "),
        ("/deep/app", "/deep/app/x", "/deep/app", "/x"),
        ("/my app", "/my%20app/x", "/my app", "/x"),
        ("/é", "/%C3%A9/%FF", "/\xc3\xa9", "/\xff"),
    ],
)
def test_the_path_is_split_where_the_application_is_mounted(server, mount, asked, script, path):
    request = f"GET {asked} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    seen = environ_for(server, request, depth_path=mount)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == (script, path)
    assert seen["RAW_URI"] == seen["REQUEST_URI"] == asked


def test_the_environ_has_all_that_is_known(server):
    request = (
        b"POST /app/x?a=1&b=%20 HTTP/1.1\r\nHost: example.org:8123\r\nContent-Type: text/x\r\n"
        b"Content-Length: 4\r\nX-Twice: one\r\nCookie: a=1\r\nX-Twice: two\r\nCookie: b=2\r\n"
        b"X_Role: admin\r\nX-R\xc3\xb4le: no\r\n\r\nbody"
    ).replace(b"X-R\xc3\xb4le: no", b"X-Text: r\xc3\xb4le")
    seen = environ_for(server, request)
    expected = {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "a=1&b=%20",
        "REQUEST_URI": "/app/x?a=1&b=%20",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8123",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "hwebserver",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "4",
        "HTTP_HOST": "example.org:8123",
        "HTTP_X_TWICE": "one, two",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_TEXT": "r\xc3\xb4le",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "body": b"body",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("127.0.0.1", str(seen["client"][1]))
    http = {name for name in seen if name.startswith("HTTP_")}
    assert http == {"HTTP_HOST", "HTTP_X_TWICE", "HTTP_COOKIE", "HTTP_X_TEXT"}


def test_without_a_host_the_server_is_where_the_client_connected_to(server):
    seen = environ_for(server, b"GET /app HTTP/1.0\r\n\r\n")
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", str(seen["server"][1]))
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "CONTENT_LENGTH" not in seen
    assert "CONTENT_TYPE" not in seen


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [("example.org", "example.org", "80"), ("[::1]:81", "[::1]", "81"), ("[::1]", "[::1]", "80")],
)
def test_the_server_is_named_as_the_client_knows_it(server, host, name, port):
    seen = environ_for(server, f"GET /app HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == (name, port)


def test_the_host_of_an_absolute_target_goes_before_the_field(server):
    seen = environ_for(server, b"GET http://a.test/app/x?y HTTP/1.1\r\nHost: b.test\r\n\r\n")
    assert (seen["SERVER_NAME"], seen["HTTP_HOST"]) == ("a.test", "a.test")
    assert (seen["PATH_INFO"], seen["RAW_URI"]) == ("/x", "/app/x?y")


def test_a_chunked_body_is_decoded_and_counted(server):
    request = (
        b"POST /app HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )
    seen = environ_for(server, request)
    assert (seen["body"], seen["CONTENT_LENGTH"]) == (b"abcdefg", "7")
    assert "HTTP_TRANSFER_ENCODING" not in seen


@pytest.mark.parametrize("in_memory", [10, 1 << 20])
def test_the_input_is_read_in_every_way_of_the_protocol(server, in_memory):
    results = []

    def application(environ, start_response):
        stream = environ["wsgi.input"]
        results.append(stream.read(4))
        results.append(stream.readline())
        results.append(stream.readline(3))
        results.append(next(iter(stream)))
        results.append(stream.readlines(1))
        results.append(stream.readlines())
        results.append(stream.read(10))
        return answering(b"")(environ, start_response)

    body = b"head-one\nline two\nthree\nfour\nfive"
    with mounted(server, application, max_in_memory_file_upload_size=in_memory):
        assert fetch(server, "/", "POST", body).status == 200
    assert results == [
        b"head",
        b"-one\n",
        b"lin",
        b"e two\n",
        [b"three\n"],
        [b"four\n", b"five"],
        b"",
    ]


@pytest.mark.parametrize("path", ["/app/form", "/files/none"])
def test_a_form_with_files_comes_as_it_was_sent(server, tmp_path, path):
    server.registerStaticFilesDirectory(str(tmp_path), "/files")
    bodies = []

    def application(environ, start_response):
        bodies.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        return answering(b"")(environ, start_response)

    body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n1\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with mounted(server, application, "/files" if "none" in path else "/app"):
        for method in ("POST", "GET"):
            assert fetch(server, path, method, body, headers).status == 200
    assert bodies == [body, body]


def test_a_handler_beside_an_application_still_gets_its_form_taken_apart(server):
    server.urlHandler("/form")(lambda request: request.POST())
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with mounted(server, answering(b"")):
        assert json.loads(fetch(server, "/form", "POST", body, headers).body) == {"a": "1"}


def test_errors_go_to_where_standard_error_leads(server, monkeypatch):
    def application(environ, start_response):
        environ["wsgi.errors"].write("a line\n")
        environ["wsgi.errors"].writelines(["two\n", "more\n"])
        environ["wsgi.errors"].flush()
        return answering(b"written")(environ, start_response)

    written = io.StringIO()
    with mounted(server, application):
        monkeypatch.setattr(sys, "stderr", written)
        assert fetch(server).body == b"written"
        monkeypatch.setattr(sys, "stderr", None)  # as in a graphical program on Windows
        assert fetch(server).body == b"written"
        monkeypatch.undo()
    assert written.getvalue().endswith("a line\ntwo\nmore\n")


# --- the head ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_every_method_reaches_the_application(server, method):
    def application(environ, start_response):
        return answering(environ["REQUEST_METHOD"].encode())(environ, start_response)

    with mounted(server, application):
        assert fetch(server, "/", method).text == method


def test_status_and_headers_are_sent_as_they_are(server):
    headers = [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    headers += [("Server", "mine"), ("X-Text", " r\xf4le ")]
    with mounted(server, answering(b"x", status="404 Nothing Here", headers=headers)):
        answer = fetch(server)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "text/plain"  # no charset is added
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers.get_all("Server") == ["mine"]
    assert answer.headers["X-Text"] == "r\xf4le"
    assert answer.headers["Date"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (b"200 OK", PLAIN),
        (200, PLAIN),
        ("", PLAIN),
        ("OK", PLAIN),
        ("20 OK", PLAIN),
        ("2000 OK", PLAIN),
        ("100 Continue", PLAIN),
        ("600 Six", PLAIN),
        ("\u0662\u0660\u0660 OK", PLAIN),
        ("200 OK\r\nX: y", PLAIN),
        ("200 OK\n", PLAIN),
        ("200 OK", tuple(PLAIN)),
        ("200 OK", dict(PLAIN)),
        ("200 OK", [["X", "y"]]),
        ("200 OK", [("X",)]),
        ("200 OK", [("X", 1)]),
        ("200 OK", [(b"X", "y")]),
        ("200 OK", [("X y", "z")]),
        ("200 OK", [("", "z")]),
        ("200 OK", [("X", "y\r\nZ: a")]),
        ("200 OK", [("X", "\u20ac")]),
        ("200 OK", [("Connection", "close")]),
        ("200 OK", [("transfer-encoding", "chunked")]),
        ("200 OK", [("Keep-Alive", "5")]),
        ("200 OK", [("Upgrade", "websocket")]),
        ("200 OK", [("TE", "trailers")]),
        ("200 OK", [("Proxy-Authenticate", "Basic")]),
        ("200 OK", [("Content-Length", "-1")]),
        ("200 OK", [("Content-Length", "x")]),
        ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")]),
    ],
)
def test_a_head_that_cannot_be_is_an_error_of_the_application(server, status, headers):
    raised = []

    def application(environ, start_response):
        try:
            start_response(status, headers)
        except (TypeError, ValueError) as error:
            raised.append(error)
            raise
        return [b"x"]

    server.registerWSGIApp(application, "/")
    with running(server):
        assert fetch(server).status == 500
    assert len(raised) == 1


def test_the_head_may_be_replaced_until_the_first_piece(server):
    def application(environ, start_response):
        start_response("200 OK", [*PLAIN, ("X-First", "1"), ("Content-Length", "99")])
        yield b""
        try:
            raise ValueError("too bad")
        except ValueError:
            start_response("500 Failed", list(PLAIN), sys.exc_info())
        yield b""
        yield b"failed"

    with mounted(server, application):
        answer = fetch(server)
    assert (answer.status, answer.body, answer.headers["X-First"]) == (500, b"failed", None)


def test_behind_the_first_piece_the_error_is_raised_again(server, caplog):
    caught = []

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        yield b"begun"
        try:
            raise ValueError("too bad")
        except ValueError:
            try:
                start_response("500 Failed", list(PLAIN), sys.exc_info())
            except ValueError as error:
                caught.append(error)
                raise

    with mounted(server, application), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = receive_all(sock)
    assert b"5\r\nbegun\r\n" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert len(caught) == 1
    assert "too bad" in caplog.text


def test_a_second_call_without_an_error_is_one(server, caplog):
    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        start_response("201 Created", list(PLAIN))
        return [b""]

    server.registerWSGIApp(application, "/")
    with running(server):
        assert fetch(server).status == 500
    assert "without exc_info" in caplog.text


@pytest.mark.parametrize("output", [[b"x"], [b""], [], iter([b"x"])])
def test_an_application_that_does_not_begin_is_an_error(server, output):
    server.registerWSGIApp(lambda environ, start_response: output, "/")
    with running(server):
        assert fetch(server).status == 500


@pytest.mark.parametrize("output", [None, 5, [None], ["text"], [1], b"bytes"])
def test_what_is_no_body_is_an_error(server, output):
    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return output

    server.registerWSGIApp(application, "/")
    with running(server):
        assert fetch(server).status == 500


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_an_application_that_raises_is_a_500(server, caplog, error):
    def application(environ, start_response):
        raise error("out of order")

    server.urlHandler("/fine")(lambda request: "fine")
    server.registerWSGIApp(application, "/")
    with running(server):
        assert fetch(server, "/x").status == 500
        assert fetch(server, "/fine").text == "fine"
    assert "out of order" in caplog.text
    assert "GET /x" in caplog.text


# --- the body ---


@pytest.mark.parametrize(
    ("pieces", "length"),
    [
        ([b"one piece"], "9"),
        ((b"one piece",), "9"),
        ([], "0"),
        ([b""], "0"),
        (iter(()), "0"),
        ([b"two ", b"pieces"], None),
        (iter([b"", b"a", b"", b"b"]), None),
        (Closing([b"one piece"]), None),
    ],
)
def test_the_length_is_sent_where_it_is_known(server, pieces, length):
    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return pieces

    server.registerWSGIApp(application, "/")
    with running(server):
        answer = fetch(server)
    assert answer.headers["Content-Length"] == length
    assert answer.headers["Transfer-Encoding"] == (None if length else "chunked")
    assert answer.body in (b"one piece", b"two pieces", b"ab", b"")
    assert len(answer.body) == int(length or len(answer.body))


def test_a_length_of_the_application_is_kept(server):
    headers = [*PLAIN, ("Content-Length", "6")]
    with mounted(server, answering(b"ab", b"cdef", headers=headers)):
        answer = fetch(server)
    assert (answer.headers.get_all("Content-Length"), answer.body) == (["6"], b"abcdef")


@pytest.mark.parametrize(
    ("pieces", "length"), [([b"abc"], 2), ([b"abc"], 4), ([], 1), ([b"abc", b"d"], 3)]
)
def test_a_body_of_another_length_never_passes_for_whole(server, pieces, length, caplog):
    headers = [*PLAIN, ("Content-Length", str(length))]
    with mounted(server, answering(*pieces, headers=headers)), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, body = receive_all(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ") or len(body) < length or pieces == [b"abc", b"d"]
    assert "its Content-Length" in caplog.text


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_some_answers_have_no_body(server, status, method):
    output = Closing([b"abc"])

    def application(environ, start_response):
        start_response(status, list(PLAIN) if status == "200 OK" else [("X-Y", "z")])
        return output

    with mounted(server, application), connect(server) as sock:
        for _ in range(2):
            output = Closing([b"abc"])
            sock.sendall(f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = receive_response(sock, method)
            expected = b"abc" if (status, method) == ("200 OK", "GET") else b""
            assert (answer.status, answer.body) == (int(status[:3]), expected)
            wait_until(partial(output.is_closed, 1))


@pytest.mark.parametrize(
    ("pieces", "headers", "length"),
    [
        ([], [("Content-Length", "12")], "12"),
        ([b"abc"], [("Content-Length", "3")], "3"),
        ([b"abc"], [], "3"),
        ([], [], None),
    ],
)
def test_the_answer_to_head_has_the_length_of_the_body(server, pieces, headers, length):
    server.registerWSGIApp(answering(*pieces, headers=[*PLAIN, *headers]), "/")
    with running(server):
        answer = fetch(server, "/", "HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, length)


def test_each_piece_is_sent_before_the_next_is_made(server):
    go_on = threading.Semaphore(0)

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        for piece in (b"first", b"second"):
            yield piece
            assert go_on.acquire(timeout=PATIENCE)

    with mounted(server, application), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for piece in (b"first", b"second"):
            receive_until(sock, piece)
            go_on.release()
        receive_until(sock, b"0\r\n\r\n")


def test_slow_clients_hold_no_worker(server):
    begun = threading.Event()

    def pieces():
        begun.set()
        yield LARGE
        yield LARGE

    output = Closing(pieces())

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return output if environ["PATH_INFO"] == "/large" else [b"quick"]

    with mounted(server, application, max_num_threads=1), connect(server) as slow:
        slow.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert begun.wait(PATIENCE)
        assert fetch(server, "/quick").body == b"quick"
        assert output.closed == 0
        assert receive_response(slow).body == LARGE * 2
        wait_until(lambda: output.closed == 1)


def test_the_request_is_there_while_the_body_is_made(server):
    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        yield b"<"
        while True:
            piece = environ["wsgi.input"].read(5)
            if not piece:
                return
            yield piece

    with mounted(server, application, max_in_memory_file_upload_size=3):
        assert fetch(server, "/", "POST", b"a body on disk").body == b"<a body on disk"


def test_all_pieces_are_made_in_one_context_on_any_thread(server):
    variable = contextvars.ContextVar("variable", default="nobody's")
    pieces: list[object] = []

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        token = variable.set("mine")
        try:
            yield b"first"
            yield variable.get().encode()
        finally:
            variable.reset(token)  # fails in another context
            pieces.append(variable.get())

    @server.urlHandler("/")
    def call(request):
        source = WSGIMount(application).respond(request, 0).body.source
        for _ in range(3):
            reader = threading.Thread(target=lambda: pieces.append(source.read()))
            reader.start()
            reader.join(PATIENCE)

    with running(server):
        assert fetch(server).status == 204
    assert pieces == [b"first", b"mine", "nobody's", None]


# --- write ---


def test_what_is_written_goes_before_what_is_returned(server):
    def application(environ, start_response):
        write = start_response("200 OK", list(PLAIN))
        write(b"")
        write(b"one, ")
        write(b"two, ")
        return [b"three, ", b"", b"four"]

    with mounted(server, application):
        assert fetch(server).body == b"one, two, three, four"
        assert fetch(server, "/", "HEAD").body == b""


def test_what_is_written_is_sent_at_once_and_settles_the_head(server):
    go_on = threading.Semaphore(0)
    raised = []

    def application(environ, start_response):
        write = start_response("200 OK", list(PLAIN))
        write(b"first")
        assert go_on.acquire(timeout=PATIENCE)
        try:
            raise ValueError("too bad")
        except ValueError:
            with pytest.raises(ValueError, match="too bad") as caught:
                start_response("500 Failed", list(PLAIN), sys.exc_info())
            raised.append(caught)
        return [b"last"]

    with mounted(server, application), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive_until(sock, b"first")
        go_on.release()
        assert b"last" in receive_until(sock, b"0\r\n\r\n")
    assert len(raised) == 1


def test_a_written_body_has_the_length_that_was_said(server, caplog):
    output = Closing([b"more"])

    def application(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "8")])(b"four")
        return output

    with mounted(server, application):
        assert fetch(server).body == b"fourmore"
        wait_until(lambda: output.closed == 1)
        output = Closing([b"too much"])
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert receive_all(sock).endswith(b"\r\n\r\nfour")
        wait_until(lambda: output.closed == 1)
    assert "Content-Length" in caplog.text


def test_write_takes_bytes_alone_and_only_while_the_application_runs(server):
    errors = []

    def application(environ, start_response):
        write = start_response("200 OK", list(PLAIN))
        for data in ("text", None, [b"x"]):
            try:
                write(data)
            except TypeError as error:
                errors.append(error)
        yield b"first"
        try:
            write(b"late")
        except RuntimeError as error:
            errors.append(error)
        yield b"last"

    server.registerWSGIApp(application, "/")
    with running(server):
        assert fetch(server).body == b"firstlast"
    assert len(errors) == 4


def test_an_application_may_write_before_its_first_piece(server):
    output = Closing(())

    def application(environ, start_response):
        def pieces():
            start_response("200 OK", list(PLAIN))(b"written, ")
            yield b"yielded"

        output.pieces = pieces()
        return output

    server.registerWSGIApp(application, "/")
    with running(server):
        assert fetch(server).body == b"written, yielded"
        wait_until(lambda: output.closed == 1)


# --- close ---


def failing(after):
    yield from after
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: [b"abc"], 200),
        (lambda: [], 200),
        (lambda: failing([]), 500),
        (lambda: failing([b""]), 500),
        (lambda: ["text"], 500),
        (lambda: [LARGE, LARGE], 200),
    ],
)
@pytest.mark.parametrize("fail", [False, True])
def test_what_was_returned_is_closed_once(server, make, status, fail):
    outputs = []

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        outputs.append(Closing(make(), fail=fail))
        return outputs[-1]

    server.registerWSGIApp(application, "/")
    with running(server):
        for _ in range(2):
            assert fetch(server).status == status
            wait_until(lambda: outputs[-1].closed)
    assert [one.closed for one in outputs] == [1, 1]


def test_it_is_closed_once_when_it_fails_in_the_middle(server, caplog):
    output = Closing(failing([b"abc"]))

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return output

    server.registerWSGIApp(application, "/")
    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert receive_all(sock).endswith(b"3\r\nabc\r\n")
        wait_until(lambda: output.closed)
    assert output.closed == 1
    assert "out of order" in caplog.text


def test_it_is_closed_once_when_it_never_began(server):
    output = Closing([b"abc"])
    server.registerWSGIApp(lambda environ, start_response: output, "/")
    with running(server):
        assert fetch(server).status == 500
    assert output.closed == 1


def test_it_is_closed_behind_the_last_byte(server):
    closing = threading.Event()
    received = threading.Event()

    class Late(Closing):
        def close(self):
            closing.set()
            assert received.wait(PATIENCE)
            super().close()

    output = Late([b"all of it"])

    def application(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "9")])
        return output

    server.registerWSGIApp(application, "/")
    with running(server):
        assert fetch(server).body == b"all of it"
        assert closing.wait(PATIENCE)
        received.set()
        wait_until(lambda: output.closed == 1)


def test_it_is_closed_where_handlers_run_when_the_client_leaves(server):
    output = Closing(LARGE for _ in range(100))

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return output

    with mounted(server, application):
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            receive_until(sock, b"\r\n\r\n")
        wait_until(lambda: output.closed)
    assert output.closed == 1


def test_it_is_closed_when_the_server_stops(server):
    output = Closing(LARGE for _ in iter(int, 1))

    def application(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return output

    with running(server, settings={"SHUTDOWN_TIMEOUT": 0.0}):
        server.registerWSGIApp(application, "/")
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            receive_until(sock, b"\r\n\r\n")
            server.requestShutdown()
            wait_until(lambda: output.closed)
    assert output.closed == 1


# --- wsgi.file_wrapper ---


class Recorder:
    """Counts what ``os.sendfile`` sends."""

    def __init__(self, monkeypatch):
        self.sent = 0
        self._own = os.sendfile
        monkeypatch.setattr(os, "sendfile", self)

    def __call__(self, *arguments):
        count = self._own(*arguments)
        self.sent += count
        return count


@pytest.fixture
def sendfile(monkeypatch):
    if not hasattr(os, "sendfile"):
        pytest.skip("there is no sendfile")
    return Recorder(monkeypatch)


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def sending(make, headers=(), closed=None):
    """An application that answers with what a function opens."""

    def application(environ, start_response):
        start_response("200 OK", [*PLAIN, *headers])
        file = make()
        if closed is not None:
            own = file.close

            def close():
                closed.append(threading.current_thread().name)
                own()

            file.close = close
        return environ["wsgi.file_wrapper"](file, 1000)

    return application


def opened(path, position=0):
    file = open(path, "rb")  # noqa: SIM115
    file.seek(position)
    return file


@pytest.mark.parametrize("position", [0, 1, 5_000_000, len(LARGE), len(LARGE) + 5])
@pytest.mark.parametrize("open_file", [opened, lambda *a: opened(*a).detach()])
def test_a_file_goes_out_by_sendfile_from_where_it_stands(
    server, sendfile, large, position, open_file
):
    closed: list[str] = []
    server.registerWSGIApp(sending(partial(opened, large, position), (), closed), "/")
    server.registerWSGIApp(sending(lambda: open_file(large, position)), "/raw")
    with running(server):
        for path in ("/", "/raw"):
            answer = fetch(server, path)
            assert answer.body == LARGE[position:]
            assert answer.headers["Content-Length"] == str(len(LARGE[position:]))
        wait_until(lambda: sendfile.sent == 2 * len(LARGE[position:]))
    assert len(closed) == 1


@pytest.mark.parametrize("length", [0, 1, 9_000_000])
def test_no_more_of_a_file_is_sent_than_the_length_says(server, sendfile, large, length):
    headers = [("Content-Length", str(length))]
    server.registerWSGIApp(sending(partial(opened, large, 7), headers), "/")
    server.registerWSGIApp(sending(lambda: io.BytesIO(LARGE[7:]), headers), "/memory")
    with running(server):
        assert fetch(server).body == LARGE[7 : 7 + length]
        wait_until(lambda: sendfile.sent == length)
        assert fetch(server, "/memory").body == LARGE[7 : 7 + length]
    assert sendfile.sent == length


def test_a_file_that_is_shorter_than_its_length_never_passes_for_whole(server, large, caplog):
    headers = [("Content-Length", str(len(LARGE) + 1))]
    server.registerWSGIApp(sending(partial(opened, large), headers), "/")
    with running(server), pytest.raises(http.client.IncompleteRead):
        fetch(server)
    assert "shorter than its Content-Length" in caplog.text


def zipped(path):
    with gzip.open(path, "wb") as file:
        file.write(b"unzipped")
    return gzip.open(path, "rb")


def piped(path):
    reader, writer = os.pipe()
    os.write(writer, b"unzipped")
    os.close(writer)
    return os.fdopen(reader, "rb")


class OnlyRead:
    """The least that a file-like object has."""

    def __init__(self, path):
        self.read = io.BytesIO(b"unzipped").read


@pytest.mark.parametrize("make", [zipped, piped, OnlyRead, lambda path: io.BytesIO(b"unzipped")])
def test_what_is_no_plain_file_is_read(server, sendfile, tmp_path, make):
    server.registerWSGIApp(sending(lambda: make(tmp_path / "file")), "/")
    with running(server):
        answer = fetch(server)
        assert (answer.status, answer.body) == (200, b"unzipped")
    assert sendfile.sent == 0


def test_the_wrapper_is_checked_like_anything_else(server, large):
    with mounted(server, sending(partial(opened, large))):
        assert fetch(server).body == LARGE


def test_a_wrapper_reads_in_blocks_and_closes_its_file():
    file = io.BytesIO(b"abcdefg")
    wrapper = FileWrapper(file, 3)
    assert list(wrapper) == [b"abc", b"def", b"g"]
    wrapper.close()
    assert file.closed
    FileWrapper(OnlyRead("")).close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_is_closed_when_it_was_sent(server, large, method):
    closed: list[str] = []
    server.registerWSGIApp(sending(partial(opened, large), (), closed), "/")
    with running(server):
        answer = fetch(server, "/", method)
        assert answer.headers["Content-Length"] == str(len(LARGE))
        wait_until(lambda: closed)
    assert len(closed) == 1


def test_a_file_is_closed_where_handlers_run_when_the_client_leaves(server, large, monkeypatch):
    closing = threading.Event()
    go_on = threading.Event()

    class Slow(io.BufferedReader):
        def close(self):
            if not self.closed:
                closing.set()
                assert go_on.wait(PATIENCE)
            super().close()

    server.urlHandler("/quick")(lambda request: "quick")
    server.registerWSGIApp(sending(lambda: Slow(io.FileIO(large))), "/")
    with running(server):
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            receive_until(sock, b"\r\n\r\n")
        assert closing.wait(PATIENCE)
        assert fetch(server, "/quick").text == "quick"  # nobody waits for the close
        go_on.set()


def test_a_file_whose_close_fails_was_sent(server, large, caplog):
    class Broken(io.BufferedReader):
        def close(self):
            super().close()
            raise RuntimeError("close failed")

    server.registerWSGIApp(sending(lambda: Broken(io.FileIO(large))), "/")
    with running(server):
        assert fetch(server).body == LARGE
        wait_until(lambda: "close failed" in caplog.text)


def test_a_closed_file_is_an_error(server, large):
    def make():
        file = opened(large)
        file.close()
        return file

    server.registerWSGIApp(sending(make), "/")
    with running(server):
        assert fetch(server).status == 500


# --- beside what else is registered ---


@pytest.fixture
def full(server, tmp_path):
    """A server with something of each kind on one port."""
    (tmp_path / "a.txt").write_text("static")
    (tmp_path / "own.txt").write_text("static")
    server.registerStaticFilesDirectory(str(tmp_path), "/")
    server.registerStaticFilesDirectory(str(tmp_path), "/deep/files")
    server.urlHandler("/own.txt")(lambda request: "handler")
    server.urlHandler("/get", methods=["GET"])(lambda request: "handler")
    server.urlHandler("/deep", is_prefix=True)(lambda request: "prefix")
    server.urlHandler("/item/{n:int}")(lambda request, n: "template")

    @server.apiFunction("ns")
    def call(request):
        return "api"

    server.registerWSGIApp(answering(b"root"), "/")
    server.registerWSGIApp(answering(b"deep"), "/deep/app")
    server.registerWSGIApp(answering(b"shadowed"), "/deep")
    return server


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "root"),
        ("/none/at/all", "root"),
        ("/none.txt", "root"),
        ("/a.txt", "static"),
        ("/a.txt/below", "root"),
        ("/own.txt", "handler"),
        ("/deep", "prefix"),
        ("/deep/x", "prefix"),
        ("/deep/files/a.txt", "static"),
        ("/deep/files/none", "prefix"),
        ("/deep/app", "deep"),
        ("/deep/app/x", "deep"),
        ("/deep/apple", "prefix"),
        ("/item/5", "template"),
        ("/item/x", "root"),
        ("/api", "root"),
        ("/api/x", "root"),
    ],
)
def test_each_wins_where_it_is_more_specific(full, path, text):
    with running(full):
        assert fetch(full, path).text == text


def test_methods_that_nothing_else_takes_reach_the_application(full):
    with running(full):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert fetch(full, "/api", "POST", "cmd_function=ns.call", form).text == '"api"'
        for path in ("/get", "/none.txt"):
            assert fetch(full, path, "POST", "x").text == "root"


def test_applications_have_their_ports(server):
    server.registerWSGIApp(answering(b"main"), "/")
    server.registerWSGIApp(answering(b"admin"), "/", ports=["admin"])
    server.registerWSGIApp(answering(b"all"), "/all", ports=[-1])
    with running(server, ports=[("admin", 0)]):
        for port in ("main", "admin"):
            assert fetch(server, "/x", port=port).text == port
            assert fetch(server, "/all", port=port).text == "all"


def test_a_second_application_of_a_path_replaces_the_first(server):
    server.registerWSGIApp(answering(b"first"), "/")
    with running(server):
        assert fetch(server).text == "first"
        server.registerWSGIApp(answering(b"second"), "/")
        assert fetch(server).text == "second"


def test_a_path_leads_to_the_application_itself(server):
    application = answering(b"")
    server.registerWSGIApp(application, "/app")
    assert server.findHandlerForPort("/app/x") is application
    assert server.findHandlerForPort("/x") is None


def test_what_is_no_application_is_refused(server):
    with pytest.raises(hwebserver.OperationFailed, match="can be called"):
        server.registerWSGIApp("application", "/")


def test_two_requests_on_one_connection_get_their_own_environ(server):
    def application(environ, start_response):
        environ["mine"] = environ.get("mine", 0) + 1
        return answering(f"{environ['PATH_INFO']} {environ['mine']}".encode())(
            environ, start_response
        )

    with mounted(server, application), connect(server) as sock:
        for _ in range(2):
            sock.sendall(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert receive_response(sock).text == "/a 1"
