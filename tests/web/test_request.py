"""The request as a handler sees it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile

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

from hwebserver import OperationFailed, Response
from hwebserver.web.request import is_loopback

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=xYz"}


def seen(server, look, path="/", method="GET", body=None, headers=None, **arguments):
    """What a handler reads from a request that a real client makes."""
    server.urlHandler("/", is_prefix=True)(lambda request: {"seen": look(request)})
    with running(server, **arguments):
        answer = fetch(server, path, method, body, headers)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)["seen"]


def seen_raw(server, look, request: bytes):
    """What a handler reads from a request that is sent as it is."""
    server.urlHandler("/", is_prefix=True)(lambda request: {"seen": look(request)})
    with running(server), connect(server) as sock:
        sock.sendall(request.replace(b"PORT", b"%d" % server.port()))
        answer = receive_response(sock)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)["seen"]


# --- the request line ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_the_method_is_as_sent(server, method):
    assert seen(server, lambda request: request.method(), method=method) == method


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("//a//b", "//a//b"),
        ("/a/../b/./c", "/a/../b/./c"),
        ("/a%20b/%C3%A9", "/a b/\u00e9"),
        ("/a%2Fb", "/a/b"),
        ("/%2e%2e/x", "/../x"),
        ("/a%2541", "/a%41"),
        ("/100%", "/100%"),
        ("/%zz%4", "/%zz%4"),
        ("/%ff%fe", "/\ufffd\ufffd"),
        ("/a+b", "/a+b"),
        ("/a;x=1", "/a;x=1"),
        ("/a?b", "/a"),
        ("/a%3Fb", "/a?b"),
        ("/a%00b", "/a\0b"),
    ],
)
def test_the_path_is_decoded_once_and_not_normalised(server, sent, path):
    assert seen(server, lambda request: request.path(), sent) == path


@pytest.mark.parametrize(
    ("sent", "query"),
    [
        ("/a", ""), ("/a?", ""), ("/a?x=1&y=%20", "x=1&y=%20"), ("/a?x?y", "x?y"),
        ("/a?/b/../c", "/b/../c"),
    ],
)  # fmt: skip
def test_the_query_is_as_sent(server, sent, query):
    assert seen(server, lambda request: request.queryString(), sent) == query


@pytest.mark.parametrize("sent", ["/", "/a%20b/", "/a?x=1&y=%20", "/../a%2Fb?c=/d"])
def test_path_and_query_are_as_sent(server, sent):
    assert seen(server, lambda request: request.pathWithQueryString(), sent) == sent


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_the_protocol_is_that_of_the_client(server, version):
    request = f"GET / {version}\r\nHost: localhost\r\n\r\n".encode()
    assert seen_raw(server, lambda request: request.protocol(), request) == version


# --- host, addresses, ports ---


@pytest.mark.parametrize("host", ["localhost", "localhost:8008", "127.0.0.1:80", "[::1]:9000"])
def test_the_host_is_the_one_that_the_client_asked_for(server, host):
    found = seen(server, lambda request: request.host(), headers={"Host": host})
    assert found == host


def test_a_whole_uri_as_the_target_says_the_host(server):
    request = b"GET http://localhost:81/a?b=c HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    def look(request):
        return [request.host(), request.path(), request.queryString(), request.absoluteURI()]

    expected = ["localhost:81", "/a", "b=c", "http://localhost:81/a?b=c"]
    assert seen_raw(server, look, request) == expected


def test_without_a_host_it_is_the_address_that_was_connected_to(server):
    server.urlHandler("/")(lambda request: request.host())
    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert receive_response(sock).text == f"127.0.0.1:{server.port()}"


@pytest.mark.parametrize(
    ("location", "uri"),
    [
        (None, "http://localhost:80/a/b%20c?d=e"),
        ("/x", "http://localhost:80/x"),
        ("/", "http://localhost:80/"),
        ("//evil.example/x", "http://localhost:80//evil.example/x"),
        ("x", "http://localhost:80/a/x"),
        ("../x?y=1", "http://localhost:80/x?y=1"),
        ("https://example.com/x", "https://example.com/x"),
    ],
)
def test_an_absolute_uri_is_made_of_the_host_and_a_location(server, location, uri):
    found = seen(
        server,
        lambda request: request.absoluteURI(location),
        "/a/b%20c?d=e",
        headers={"Host": "localhost:80"},
    )
    assert found == uri


def test_the_absolute_uri_of_this_request_is_the_default(server):
    def look(request):
        return [request.absoluteURI(), request.absoluteURI(location="/x")]

    found = seen(server, look, "/a?b", headers={"Host": "localhost"})
    assert found == ["http://localhost/a?b", "http://localhost/x"]


def test_a_plain_connection_is_http(server):
    assert seen(server, lambda r: [r.isSecure(), r.scheme()]) == [False, "http"]


def test_addresses_and_the_descriptor_are_those_of_the_connection(server):
    found = []

    @server.urlHandler("/")
    def look(request):
        found.append((request.clientAddress(), request.serverAddress(), request.port()))
        found.append(os.fstat(request.socketFD()))

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive_response(sock)
        assert found[0] == (sock.getsockname(), sock.getpeername(), server.port())


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python knows no IPv6")
def test_an_address_of_ipv6_is_a_pair_too(server):
    found = []

    @server.urlHandler("/")
    def look(request):
        found.append((request.clientAddress(), request.serverAddress(), request.host()))

    with running(server):
        try:
            sock = socket.create_connection(("::1", server.port()), PATIENCE)
        except OSError:
            pytest.skip("this machine has no ::1")
        with sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            receive_response(sock)
            assert found[0] == (
                sock.getsockname()[:2],
                sock.getpeername()[:2],
                f"[::1]:{server.port()}",
            )


def test_the_port_has_a_number_and_a_name(server):
    server.urlHandler("/", ports=[-1])(lambda request: [request.port(), request.portName()])
    with running(server, ports=[("files", 0)]):
        for name in ("main", "files"):
            assert json.loads(fetch(server, port=name).body) == [server.port(name), name]


# --- header fields ---


def test_header_names_are_as_sent_and_looked_up_in_any_case(server):
    def look(request):
        headers = request.headers()
        return [
            isinstance(headers, dict),
            "X-mIxEd" in list(headers),
            headers["x-mixed"],
            headers["X-MIXED"],
            headers.get("x-Mixed"),
            "x-mixed" in headers,
            "x-other" in headers,
            headers.get("x-other"),
            headers.get("x-other", "default"),
            dict(headers)["X-mIxEd"],
        ]

    found = seen(server, look, headers={"X-mIxEd": "value"})
    assert found == [True, True, "value", "value", "value", True, False, None, "default", "value"]


def test_a_header_that_is_not_there_is_a_key_error(server):
    def look(request):
        with pytest.raises(KeyError):
            request.headers()["x-other"]
        return True

    assert seen(server, look)


def test_a_repeated_header_is_joined(server):
    request = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nx-a: 2\r\n"
        b"Cookie: a=1\r\nCookie: b=2\r\n\r\n"
    )
    found = seen_raw(server, lambda r: [r.headers()["X-A"], r.cookies()], request)
    assert found == ["1, 2", {"a": "1", "b": "2"}]


def test_spaces_around_a_header_value_are_not_part_of_it(server):
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A:\t a b \t\r\nX-B:\r\n\r\n"
    found = seen_raw(server, lambda r: [r.headers()["X-A"], r.headers()["X-B"]], request)
    assert found == ["a b", ""]


def test_cookies_are_a_dict(server):
    headers = {"Cookie": 'session=abc; theme="da rk"; session=def; broken; =none'}
    found = seen(server, lambda request: request.cookies(), headers=headers)
    assert found == {"session": "def", "theme": "da rk"}
    assert isinstance(found, dict)


def test_without_a_cookie_there_are_none(server):
    assert seen(server, lambda request: request.cookies()) == {}


# --- query and form ---


def test_the_query_is_a_dict_of_which_a_repeated_name_has_the_last_value(server):
    def look(request):
        return [request.GET(), request.GETList("a"), request.GETList("none")]

    found = seen(server, look, "/?a=1&b=x+y%26z&a=2&c=&d")
    assert found == [{"a": "2", "b": "x y&z", "c": "", "d": ""}, ["1", "2"], []]


def test_the_form_is_a_dict_of_which_a_repeated_name_has_the_last_value(server):
    def look(request):
        return [request.POST(), request.POSTList("a"), request.POSTList("none"), request.GET()]

    body = "a=1&b=%C3%BC+%2B&a=2&c="
    found = seen(server, look, "/?q=1", "POST", body, FORM)
    assert found == [{"a": "2", "b": "\u00fc +", "c": ""}, ["1", "2"], [], {"q": "1"}]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded; charset=UTF-8",
                                  "Application/X-WWW-Form-URLEncoded"])  # fmt: skip
def test_the_type_of_a_form_may_have_parameters_and_any_case(server, kind):
    found = seen(server, lambda r: r.POST(), "/", "POST", "a=1", {"Content-Type": kind})
    assert found == {"a": "1"}


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "x/y; a=form-urlencoded"])
def test_another_body_is_no_form(server, kind):
    found = seen(server, lambda r: r.POST(), "/", "POST", "a=1", {"Content-Type": kind})
    assert found == {}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a=%2541", {"a": "%41"}),  # decoded once, not twice
        ("a=1;b=2", {"a": "1;b=2"}),  # only & separates
        ("a=%ff%fe&b=%C3", {"a": "\ufffd\ufffd", "b": "\ufffd"}),  # no UTF-8 is replaced
        ("%61=%zz&&b", {"a": "%zz", "b": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("=x", {"": "x"}),
        ("a=%00", {"a": "\0"}),
    ],
)
def test_queries_and_forms_are_decoded_once_and_never_fail(server, text, fields):
    found = seen(server, lambda r: [r.GET(), r.POST()], f"/?{text}", "POST", text, FORM)
    assert found == [fields, fields]


def test_bytes_in_a_form_that_are_no_text_are_replaced(server):
    found = seen(server, lambda r: r.POST(), "/", "POST", b"a=\xff\xfe&b=\xc3\xa9", FORM)
    assert found == {"a": "\ufffd\ufffd", "b": "\u00e9"}


def test_a_form_has_a_most_of_fields(server):
    server.urlHandler("/")(lambda request: str(len(request.POST())))
    with running(server, settings={"MAX_FORM_FIELDS": 5}):
        most = "&".join(f"f{n}=1" for n in range(5))
        assert fetch(server, "/", "POST", most, FORM).text == "5"
        refused = fetch(server, "/", "POST", most + "&f=1", FORM)
        assert refused.status == 400
        assert "5" in refused.text


def test_a_query_has_a_most_of_fields(server):
    server.urlHandler("/")(lambda request: str(len(request.GET())))
    with running(server, settings={"MAX_FORM_FIELDS": 5}):
        assert fetch(server, "/?a&b&c&d&e").text == "5"
        assert fetch(server, "/?a&b&c&d&e&f").status == 400


def test_what_a_handler_changes_in_a_form_changes_nothing(server):
    def look(request):
        request.GET()["a"] = "changed"
        request.GETList("a").append("more")
        return [request.GET(), request.GETList("a")]

    assert seen(server, look, "/?a=1") == [{"a": "1"}, ["1"]]


# --- the body ---


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_the_body_is_bytes_and_can_be_read_again(server, size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    bodies = []

    def look(request):
        bodies.extend([request.body(), request.body()])
        return [request.contentLength(), request.contentType()]

    headers = {"Content-Type": "application/x-thing"}
    assert seen(server, look, "/", "PUT", data, headers) == [size, "application/x-thing"]
    assert bodies == [data, data]


def test_without_a_body_there_is_an_empty_one(server):
    def look(request):
        return [request.body().decode(), request.contentLength(), request.contentType()]

    assert seen(server, look) == ["", 0, ""]


def test_a_chunked_body_is_whole_and_counted(server):
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    found = seen_raw(server, lambda r: [r.body().decode(), r.contentLength()], request)
    assert found == ["abcde", 5]


def test_json_in_the_body_is_read(server):
    found = seen(server, lambda r: r.json(), "/", "POST", '{"a": [1, "\u00e9"]}'.encode())
    assert found == {"a": [1, "\u00e9"]}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[NaN]", b"[" * 100_000, b"9" * 5000, b"{'a': 1}"]
)
def test_bad_json_in_the_body_is_a_400(server, body):
    server.urlHandler("/")(lambda request: request.json())
    with running(server):
        answer = fetch(server, "/", "POST", body, {"Accept": "application/json"})
        assert answer.status == 400
        assert "JSON" in json.loads(answer.body)["error"]
        assert fetch(server, "/", "POST", b"[1]").body == b"[1]"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An own directory for temporary files, which is empty in the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    wait_until(lambda: os.listdir(tmp_path) == [])


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 300_000])
def test_the_body_as_a_file_is_at_its_beginning(server, temporary, size):
    data = (bytes(range(256)) * 1200)[:size]
    bodies = []

    def look(request):
        first = request.bodyFile()
        bodies.extend([first.read(10) + first.read(), first.read(), request.body()])
        bodies.append(request.bodyFile().read())
        return request.contentLength()

    limit = {"max_in_memory_file_upload_size": 1000}
    assert seen(server, look, "/", "PUT", data, {"Content-Type": "x/y"}, **limit) == size
    assert bodies == [data, b"", data, data]


@pytest.mark.parametrize("size", [10, 5000])
def test_a_handler_may_close_the_file_of_the_body(server, temporary, size):
    def look(request):
        lengths = []
        for _ in range(2):
            with request.bodyFile() as file:
                lengths.append(len(file.read()))
        return [*lengths, len(request.body())]

    found = seen(server, look, "/", "POST", b"x" * size, max_in_memory_file_upload_size=1000)
    assert found == [size] * 3


@pytest.mark.parametrize("size", [10, 5000])
def test_the_file_of_the_body_can_be_copied_and_sent_back(server, temporary, size):
    data = os.urandom(size)
    copy = temporary / "copy"

    @server.urlHandler("/")
    def copy_back(request):
        with copy.open("wb") as target:
            shutil.copyfileobj(request.bodyFile(), target)
        return Response(request.bodyFile())

    with running(server, max_in_memory_file_upload_size=1000):
        assert fetch(server, "/", "POST", data).body == data
    assert copy.read_bytes() == data
    copy.unlink()


def test_without_a_body_its_file_is_empty(server):
    assert seen(server, lambda request: request.bodyFile().read().decode()) == ""


@pytest.mark.parametrize("size", [10, 5000])
def test_a_body_that_is_asked_for_too_late_is_an_error_and_not_empty(server, temporary, size):
    requests = []

    @server.urlHandler("/")
    def keep(request):
        requests.append(request)

    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
    with running(server, max_in_memory_file_upload_size=1000), connect(server) as sock:
        sock.sendall(head + b"x" * size)
        assert receive_response(sock).status == 204
        sock.sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert receive_response(sock).status == 404  # so the first exchange is over
        for read in (requests[0].body, requests[0].bodyFile):
            with pytest.raises(ValueError, match="gone"):
                read()


# --- a form with files ---


def part(name, value, file_name=None):
    """A part of a form: a text, or a file where it has a file name."""
    shown = "" if file_name is None else f'; filename="{file_name}"'
    return f'--xYz\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n{value}\r\n'


def form(*parts):
    return "".join(parts).encode() + b"--xYz--\r\n"


def test_the_fields_of_a_form_with_files_are_a_dict_of_which_the_last_value_counts(server):
    def look(request):
        return [request.POST(), request.POSTList("a"), request.POSTList("none"), request.GET()]

    fields = part("a", "1"), part("b", "\u00fc +%41"), part("f", "x", "f"), part("a", "2")
    found = seen(server, look, "/?q=1", "POST", form(*fields, part("c", "")), MULTIPART)
    assert found == [{"a": "2", "b": "\u00fc +%41", "c": ""}, ["1", "2"], [], {"q": "1"}]


def test_the_files_of_a_form_are_a_dict_of_which_the_last_counts(server, temporary):
    def look(request):
        return [
            {name: file.name() for name, file in request.files().items()},
            [file.name() for file in request.filesList("a")],
            [file.name() for file in request.filesList("b")],
            [file.name() for file in request.filesList("field")],
        ]

    parts = part("a", "1", "1.txt"), part("b", "2", "2.txt"), part("a", "3", "3.txt")
    body = form(*parts, part("field", "x"))
    found = seen(server, look, "/", "POST", body, MULTIPART, max_in_memory_file_upload_size=0)
    assert found == [{"a": "3.txt", "b": "2.txt"}, ["1.txt", "3.txt"], ["2.txt"], []]


def test_a_file_is_the_same_however_one_asks_for_it(server):
    def look(request):
        first = request.files()["a"].read(2)
        rest = request.filesList("a")[0].read()
        request.files().clear()
        return [first.decode(), rest.decode(), list(request.files())]

    body = form(part("a", "abcd", "a.txt"))
    assert seen(server, look, "/", "POST", body, MULTIPART) == ["ab", "cd", ["a"]]


def test_a_form_with_files_may_have_nothing_in_it(server):
    def look(request):
        return [request.POST(), request.files(), request.filesList("a"), request.contentLength()]

    assert seen(server, look, "/", "POST", form(), MULTIPART) == [{}, {}, [], 9]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_another_body_has_no_files(server, kind):
    def look(request):
        return [request.files(), request.filesList("a")]

    assert seen(server, look, "/", "POST", "a=1", {"Content-Type": kind}) == [{}, []]
    assert seen(server, look) == [{}, []]


def test_a_multipart_body_that_is_no_form_is_a_plain_one(server):
    body = form(part("a", "1"))

    def look(request):
        return [request.body().decode(), request.POST(), request.files()]

    for kind in ("multipart/mixed", "multipart/related"):
        headers = {"Content-Type": f"{kind}; boundary=xYz"}
        assert seen(server, look, "/", "POST", body, headers) == [body.decode(), {}, {}]


def test_the_length_of_a_form_in_chunks_is_counted(server):
    body = form(part("a", "1"), part("b", "x" * 300, "b.txt"))
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=xYz\r\n\r\n"
    )
    for start in range(0, len(body), 100):
        piece = body[start : start + 100]
        request += b"%x\r\n%b\r\n" % (len(piece), piece)
    found = seen_raw(server, lambda r: [r.contentLength(), r.POST()], request + b"0\r\n\r\n")
    assert found == [len(body), {"a": "1"}]


def test_a_form_with_files_was_taken_apart_so_it_has_no_body(server):
    def look(request):
        messages = []
        for read in (request.body, request.bodyFile):
            with pytest.raises(OperationFailed) as caught:
                read()
            messages.append(str(caught.value))
        return [*messages, request.POST()]

    *messages, fields = seen(server, look, "/", "POST", form(part("a", "1")), MULTIPART)
    assert all("files()" in message and "POST()" in message for message in messages)
    assert fields == {"a": "1"}


def test_a_form_with_files_is_no_json_and_a_400(server, caplog):
    server.urlHandler("/")(lambda request: request.json())
    with running(server):
        headers = {**MULTIPART, "Accept": "application/json"}
        answer = fetch(server, "/", "POST", form(part("a", "1")), headers)
    assert answer.status == 400
    assert "JSON" in json.loads(answer.body)["error"]
    assert not [one for one in caplog.records if one.name == "hwebserver.app"]


# --- the server ---


@pytest.mark.parametrize("debug", [False, True])
def test_the_request_knows_whether_the_server_debugs(server, debug):
    assert seen(server, lambda request: request.isInDebugMode(), debug=debug) is debug


def test_a_handler_may_ask_the_server_to_stop_and_is_still_answered(server):
    @server.urlHandler("/")
    def stop(request):
        request.requestServerShutdown()
        return "stopping"

    with running(server):
        assert fetch(server).text == "stopping"
        wait_until(lambda: not server.isRunning())


# --- a response that is sent by hand ---


def test_a_response_that_was_sent_counts_and_not_what_is_returned(server):
    @server.urlHandler("/")
    def send(request):
        request.send(Response("sent", 201))
        return "returned"

    with running(server):
        answer = fetch(server)
    assert (answer.status, answer.text) == (201, "sent")


def test_a_second_response_is_an_error(server):
    @server.urlHandler("/")
    def send(request):
        request.send(Response("first"))
        request.send(Response("second"))

    with running(server):
        assert fetch(server).status == 500


def test_what_is_no_response_cannot_be_sent(server):
    @server.urlHandler("/")
    def send(request):
        request.send({"no": "response"})

    with running(server):
        assert fetch(server).status == 500


def test_a_body_of_known_length_is_sent_by_hand(server):
    @server.urlHandler("/")
    def send(request):
        response = Response("", 202, "text/plain")
        response.setHeader("Content-Length", 9)
        request.sendHeaders(response)
        for piece in (b"one", "two", bytearray(b"six")):
            request.sendBody(piece)
        return "is not looked at"

    with running(server), connect(server) as sock:
        for _ in range(2):  # the connection is kept
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = receive_response(sock)
            assert (answer.status, answer.body) == (202, b"onetwosix")
            assert answer.headers["Content-Length"] == "9"
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_body_of_a_response_whose_head_is_sent_says_the_length(server):
    @server.urlHandler("/")
    def send(request):
        response = Response("hello")
        response.sendHeaders(request)
        request.sendBody(response.body())

    with running(server):
        answer = fetch(server)
    assert (answer.headers["Content-Length"], answer.text) == ("5", "hello")


def test_a_body_of_unknown_length_goes_in_chunks(server):
    @server.urlHandler("/")
    def send(request):
        Response("").sendHeaders(request)
        for piece in ("one", "", "two"):
            request.sendBody(piece)

    with running(server), connect(server) as sock:
        for _ in range(2):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = receive_response(sock)
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert answer.headers["Content-Length"] is None
            assert answer.body == b"onetwo"


def test_the_end_of_the_connection_ends_a_body_for_an_old_client(server):
    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response(""))
        request.sendBody("onetwo")

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = receive_all(sock).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"onetwo"


def test_the_pieces_of_a_body_arrive_as_they_are_sent(server):
    go_on = []

    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response(""))
        request.sendBody("first")
        wait_until(lambda: go_on)
        request.sendBody("last")

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive_until(sock, b"first")
        go_on.append(True)
        receive_until(sock, b"last\r\n0\r\n\r\n")


def test_head_gets_no_body_by_hand_either(server):
    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response(""))
        request.sendBody("never seen")

    with running(server), connect(server) as sock:
        sock.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert receive_all(sock).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none_by_hand_either(server, status):
    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response("", status))
        request.sendBody("never seen")

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = receive_all(sock)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert received.endswith(b"\r\n\r\n")
    assert b"chunked" not in received


def test_a_body_that_is_longer_than_its_length_is_an_error_and_does_not_get_out(server):
    errors = []

    @server.urlHandler("/")
    def send(request):
        response = Response("")
        response.setHeader("Content-Length", 5)
        request.sendHeaders(response)
        request.sendBody("hello")
        try:
            request.sendBody("HTTP/1.1 200 OK")
        except ValueError as error:
            errors.append(error)

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = receive_all(sock)
    assert received.endswith(b"\r\n\r\nhello")
    assert errors


def test_a_body_that_is_shorter_than_its_length_ends_the_connection(server):
    @server.urlHandler("/")
    def send(request):
        response = Response("")
        response.setHeader("Content-Length", 10)
        request.sendHeaders(response)
        request.sendBody("short")

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        received = receive_all(sock)
    assert received.endswith(b"\r\n\r\nshort")
    assert received.count(b"HTTP/1.1 200") == 1


def test_a_handler_that_raises_after_the_head_ends_the_connection_without_a_second_response(
    server,
):
    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response(""))
        request.sendBody("begun")
        raise RuntimeError("too late")

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = receive_all(sock)
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"5\r\nbegun\r\n")


def test_a_body_without_a_head_is_an_error(server):
    @server.urlHandler("/")
    def send(request):
        request.sendBody("body")

    with running(server):
        assert fetch(server).status == 500


@pytest.mark.parametrize("second", ["sendHeaders", "send"])
def test_a_second_head_is_an_error_and_is_not_sent(server, second):
    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response(""))
        getattr(request, second)(Response("second"))

    with running(server), connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert receive_all(sock).count(b"HTTP/1.1") == 1


def test_a_head_that_cannot_be_sent_leaves_room_for_another_answer(server):
    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response("", 99))

    with running(server):
        assert fetch(server).status == 500


def test_a_client_that_leaves_is_a_connection_error_for_the_handler(server, caplog):
    errors = []

    @server.urlHandler("/")
    def send(request):
        request.sendHeaders(Response(""))
        try:
            while True:
                request.sendBody(b"x" * 100_000)
        except ConnectionError as error:
            errors.append(error)
            raise

    with running(server):
        sock = connect(server)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive_until(sock, b"xxx")
        sock.close()
        wait_until(lambda: errors)
    assert not [one for one in caplog.records if one.name == "hwebserver.app"]


# --- who is local ---


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "a.b.localhost", "localhost.", "127.0.0.1", "127.8.9.1",
             "::1", "[::1]"],
)  # fmt: skip
def test_names_of_this_machine_alone_are_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "example.com", "localhost.example.com", "notlocalhost", "127.0.0.1.example.com",
             "127.example.com", "128.0.0.1", "0.0.0.0", "::", "[::2]", "127.0.0", "1.127.0.0",
             "127.0.0.x"],
)  # fmt: skip
def test_other_names_are_not_loopback(host):
    assert not is_loopback(host)


# --- what is read into memory ---


@pytest.mark.parametrize(("size", "status"), [(19, 200), (20, 200), (21, 413)])
def test_an_url_encoded_form_is_read_up_to_its_limit(server, size, status):
    server.urlHandler("/")(lambda request: str(len(request.POST()["x"])))
    server.setSettingsForPort({"MAX_FORM_FIELDS_SIZE": 20})
    with running(server):
        answer = fetch(server, "/", "POST", b"x=" + b"y" * (size - 2))
    assert answer.status == status


def _length(request, text):
    return len(text)


@pytest.mark.parametrize(("size", "status"), [(39, 200), (40, 200), (41, 413)])
@pytest.mark.parametrize("path", ["/", "/api"])
def test_json_is_read_up_to_its_limit(server, path, size, status):
    server.urlHandler("/")(lambda request: request.json())
    server.registerAPIFunction(_length)
    server.setSettingsForPort({"MAX_JSON_SIZE": 40})
    body = b'["_length", ["%b"], {}]' % (b"y" * (size - 21))
    assert len(body) == size
    with running(server):
        answer = fetch(server, path, "POST", body, {"Content-Type": "application/json"})
    assert answer.status == status


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=B", "multipart/form-data"])
def test_a_form_with_files_of_no_bytes_is_not_ended_and_a_400(server, kind):
    calls = []
    server.urlHandler("/")(calls.append)
    with running(server):
        headers = {"Content-Type": kind, "Content-Length": "0"}
        assert fetch(server, "/", "POST", b"", headers).status == 400
    assert calls == []


def test_two_types_of_one_body_are_a_400(server):
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 0\r\n\r\n"
    )
    server.urlHandler("/")(lambda request: "read")
    with running(server), connect(server) as sock:
        sock.sendall(request)
        assert receive_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
