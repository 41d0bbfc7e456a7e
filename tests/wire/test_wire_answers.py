"""What handlers cannot do to the bytes of an answer: split it, or get its length wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import running
from wire.rawhttp import PROBE, Client, Ended

import hwebserver
from hwebserver.net.transport import Transport

EVIL = "X-Injected: 1"

#: Some small file.
FILE = Path(__file__).with_name("replay.py")

LINE_ENDS = ["\r\n", "\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\x7f"]


@pytest.fixture
def site(server):
    server.setSettingsForPort({"LINGER_TIMEOUT": 20.0})
    server.urlHandler("/probe")(lambda request: "probe")
    return server


def get(path="/", method="GET", version="HTTP/1.1"):
    return f"{method} {path} {version}\r\nHost: a.example\r\n\r\n".encode()


def ask(site, handler, method="GET"):
    """Have a handler answer a request; the connection must be as good as before."""
    site.urlHandler("/")(handler)
    with running(site), Client(site) as client:
        answer = client.ask(get(method=method), method)
        assert "x-injected" not in answer.fields
        assert EVIL.encode() not in answer.body
        client.check_open()
    return answer


def with_field(name, value):
    def handler(request):
        response = hwebserver.Response("fine")
        response.setHeader(name, value)
        return response

    return handler


def in_chunks(request):
    response = hwebserver.Response("body")
    response.setHeader("Transfer-Encoding", "chunked")
    return response


# --- nothing splits a head ---


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_field_value_cannot_end_its_line(site, end):
    assert ask(site, with_field("X-A", f"1{end}{EVIL}")).status == 500


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_field_name_cannot_end_its_line(site, end):
    assert ask(site, with_field(f"X-A: 1{end}X-Injected", "1")).status == 500


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_content_type_cannot_end_its_line(site, end):
    answer = ask(site, lambda request: hwebserver.Response("", 200, f"text/plain{end}{EVIL}"))
    assert answer.status == 500


def test_the_type_of_a_body_that_is_set_later_cannot_end_its_line(site):
    def handler(request):
        response = hwebserver.Response("")
        response.setBody("x", f"text/plain\r\n{EVIL}")
        return response

    assert ask(site, handler).status == 500


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_cookie_cannot_end_its_line(site, end):
    assert ask(site, with_field("Set-Cookie", f"a=b; Path=/{end}{EVIL}")).status == 500


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("base", ["/next", "next", "http://b.example/next"])
def test_a_redirection_cannot_end_its_line(site, base, end):
    answer = ask(site, lambda request: hwebserver.redirect(request, f"{base}{end}{EVIL}"))
    # The others are percent-encoded, which does no harm.
    assert answer.status == (500 if end in ("\r\n", "\n", "\r", "\0") else 302)


@pytest.mark.parametrize("end", ["%0d%0a", "%0a", "%0d", "%00"])
def test_what_a_client_encodes_cannot_end_a_line(site, end):
    @site.urlHandler("/go")
    def go(request):
        return hwebserver.redirect(request, request.GET()["to"])

    @site.urlHandler("/field/{text}")
    def field(request, text):
        return with_field("X-A", text)(request)

    evil = f"{end}X-Injected:%201"
    with running(site), Client(site) as client:
        for path in (f"/go?to=/next{evil}", f"/field/1{evil}"):
            answer = client.ask(get(path))
            assert (answer.status, answer.fields.get("x-injected")) == (500, None)
        client.check_open()


@pytest.mark.parametrize("end", LINE_ENDS)
def test_the_name_of_a_download_cannot_end_its_line_or_its_quotes(site, tmp_path, end):
    (tmp_path / "file").write_bytes(b"content")

    def handler(request):
        name = f'a"{end}{EVIL}"\\.txt'
        return hwebserver.fileResponse(tmp_path / "file", download_as_filename=name)

    answer = ask(site, handler)
    assert (answer.status, answer.body) == (200, b"content")
    name = "a_" + "_" * len(end) + EVIL + "__.txt"
    plain, _, _ = (answer.field("content-disposition") or "").partition("; filename*")
    assert plain == f'attachment; filename="{name}"'


@pytest.mark.parametrize(
    "name", ["", " ", "X A", "X:A", "X-\xc4", "X-A:", "(X)", ":X", "\tX", '"X"']
)
def test_a_field_name_is_a_token(site, name):
    assert ask(site, with_field(name, "1")).status == 500


@pytest.mark.parametrize("value", ["\u0100", "\u010d\u010a", "\u2603", "\udc80"])
def test_a_field_value_holds_only_what_its_bytes_can(site, value):
    """U+010D and U+010A are CR and LF to whoever only keeps the low byte."""
    assert ask(site, with_field("X-A", value)).status == 500


def test_bytes_above_ascii_go_out_as_they_are(site):
    assert ask(site, with_field("X-A", "\xe4\xff")).field("x-a") == "\xe4\xff"


@pytest.mark.parametrize(
    "status",
    [99, 100, 101, 103, 199, 600, 999, 1000, -200, 0, 200.5, "200", f"200 OK\r\n{EVIL}", None],
)
def test_what_is_no_status_of_a_final_answer_is_500(site, status):
    assert ask(site, lambda request: hwebserver.Response("", status)).status == 500


@pytest.mark.parametrize("status", [200, 299, 418, 451, 599])
def test_any_status_of_a_final_answer_goes_out(site, status):
    assert ask(site, lambda request: hwebserver.Response("", status)).status == status


def test_the_message_of_an_error_is_no_reason_phrase(site):
    def handler(request):
        raise hwebserver.HTTPError(403, f"no\r\nX-Other: 1\r\n\r\n{EVIL[:1]}")

    answer = ask(site, handler)
    assert answer.status == 403
    assert "x-other" not in answer.fields


def test_a_field_that_was_refused_is_not_sent_by_a_handler_that_goes_on(site):
    def handler(request):
        response = hwebserver.Response("fine")
        with pytest.raises(ValueError, match="X-A"):
            response.setHeader("X-A", f"1\r\n{EVIL}")
        return response

    answer = ask(site, handler)
    assert answer.status == 200
    assert "x-a" not in answer.fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Transfer-Encoding", "gzip"),
        ("Transfer-Encoding", "chunked, chunked"),
        ("Content-Length", "+5"),
        ("Content-Length", "-5"),
        ("Content-Length", "5, 5"),
        ("Content-Length", "\u0665"),
        ("Content-Length", ""),
        ("Upgrade", "h2c"),
        ("Trailer", "X-A"),
        ("TE", "trailers"),
    ],
)
def test_a_field_that_frames_the_answer_is_the_servers(site, name, value):
    assert ask(site, with_field(name, value)).status == 500


# --- lengths ---


def test_a_length_that_a_handler_makes_up_is_not_believed(site):
    answer = ask(site, with_field("Content-Length", "2"))
    assert (answer.field("content-length"), answer.body) == ("4", b"fine")


def test_a_length_and_chunks_do_not_go_together(site):
    def handler(request):
        response = with_field("Content-Length", "4")(request)
        response.setHeader("Transfer-Encoding", "chunked")
        return response

    answer = ask(site, handler)
    assert (answer.field("content-length"), answer.body) == (None, b"fine")


ANSWERS = {
    "text": lambda request: "text",
    "unicode": lambda request: "t\xebxt \u2603",
    "bytes": lambda request: b"\0\1\2",
    "empty": lambda request: b"",
    "json": lambda request: {"a": [1]},
    "large": lambda request: b"x" * 1_000_000,
    "created": lambda request: hwebserver.Response("made", 201),
    "redirect": lambda request: hwebserver.redirect(request, "/b"),
    "error": lambda request: 1 // 0,
    "refusal": lambda request: hwebserver.errorResponse(request, "no", 403),
    "file": lambda request: hwebserver.fileResponse(FILE),
    "no file": lambda request: hwebserver.fileResponse(FILE.with_suffix(".none")),
    "wrong": lambda request: object(),
}


@pytest.mark.parametrize("handler", ANSWERS.values(), ids=ANSWERS)
def test_head_has_the_fields_of_get_and_no_body(site, handler):
    site.urlHandler("/")(handler)
    with running(site), Client(site) as client:
        full = client.ask(get())
        head = client.ask(get(method="HEAD"), "HEAD")
        client.check_open()
    assert head.status == full.status
    assert head.field("content-length") == str(len(full.body))
    del full.fields["date"], head.fields["date"]
    assert head.fields == full.fields


def test_head_of_what_is_not_there_has_the_fields_of_get_and_no_body(site):
    site.urlHandler("/post", methods=["POST"])(lambda request: "")
    with running(site), Client(site) as client:
        for path, status in (("/none", 404), ("/post", 405)):
            full = client.ask(get(path))
            head = client.ask(get(path, "HEAD"), "HEAD")
            assert (full.status, head.status) == (status, status)
            assert head.field("content-length") == str(len(full.body))
        client.check_open()


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_an_answer_that_has_no_body_gets_none(site, status, method):
    answer = ask(site, lambda request: hwebserver.Response("a body", status), method)
    assert answer.status == status
    assert "transfer-encoding" not in answer.fields
    assert answer.field("content-length") is None


def test_an_answer_of_205_has_an_empty_body(site):
    answer = ask(site, lambda request: hwebserver.Response("a body", 205))
    assert (answer.status, answer.field("content-length"), answer.body) == (205, "0", b"")


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_without_a_body_stays_so_when_chunks_are_wanted(site, status):
    def handler(request):
        response = hwebserver.Response("a body", status)
        response.setHeader("Transfer-Encoding", "chunked")
        return response

    answer = ask(site, handler)
    assert (answer.status, answer.field("transfer-encoding")) == (status, None)


@pytest.mark.parametrize("body", [b"", b"a", b"0\r\n\r\n", b"x" * 100_000])
def test_chunks_hold_the_body_and_end(site, body):
    def handler(request):
        response = hwebserver.Response(body)
        response.setHeader("Transfer-Encoding", "chunked")
        return response

    answer = ask(site, handler)
    assert (answer.field("transfer-encoding"), answer.body) == ("chunked", body)
    assert ask(site, handler, "HEAD").field("transfer-encoding") == "chunked"


def test_http_1_0_gets_no_chunks(site):
    site.urlHandler("/")(in_chunks)
    with running(site), Client(site) as client:
        answer = client.ask(get(version="HTTP/1.0"))
        assert client.rest() == b""
    assert (answer.field("content-length"), answer.body) == ("4", b"body")


def test_a_body_that_is_no_string_of_bytes_is_500(site):
    assert ask(site, lambda request: hwebserver.Response(5)).status == 500


# --- answers that are sent by hand ---


def by_hand(*pieces, length=None, status=200, fault=None):
    """Return a handler that sends a head and pieces of a body, and then maybe raises."""

    def handler(request):
        response = hwebserver.Response("", status, "text/plain")
        if length is not None:
            response.setHeader("Content-Length", length)
        request.sendHeaders(response)
        for piece in pieces:
            request.sendBody(piece)
        if fault is not None:
            raise fault
        return hwebserver.Response("never sent", 500)

    return handler


def everything(site, handler, request):
    """Return all bytes that come back until the server hangs up."""
    site.urlHandler("/")(handler)
    with running(site), Client(site) as client:
        client.send(request)
        return client.rest()


def test_pieces_without_a_length_go_in_chunks_and_the_connection_is_kept(site):
    answer = ask(site, by_hand("one ", b"two ", b"", "", "three"))
    assert (answer.status, answer.body) == (200, b"one two three")
    assert answer.field("transfer-encoding") == "chunked"


def test_pieces_with_a_length_go_as_they_are_and_the_connection_is_kept(site):
    answer = ask(site, by_hand(b"one ", b"two", length=7))
    assert (answer.field("content-length"), answer.body) == ("7", b"one two")


def test_no_piece_at_all_is_an_empty_body(site):
    assert ask(site, by_hand()).body == b""
    assert ask(site, by_hand(length=0)).body == b""


@pytest.mark.parametrize("length", [None, 3])
def test_pieces_for_head_are_not_sent(site, length):
    answer = ask(site, by_hand(b"one", length=length), "HEAD")
    assert answer.field("content-length") == (None if length is None else "3")


@pytest.mark.parametrize("status", [204, 304])
def test_pieces_of_an_answer_without_a_body_are_not_sent(site, status):
    assert ask(site, by_hand(b"one", status=status)).status == status


def test_pieces_for_http_1_0_end_with_the_connection(site):
    data = everything(site, by_hand(b"one ", b"two"), get(version="HTTP/1.0"))
    head, _, body = data.partition(b"\r\n\r\n")
    assert body == b"one two"
    assert b"\r\nConnection: close" in head
    assert b"Transfer-Encoding" not in head


def test_fewer_bytes_than_the_length_said_end_the_connection(site):
    data = everything(site, by_hand(b"one", length=10), get() + PROBE)
    assert data.endswith(b"\r\n\r\none")
    assert data.count(b"HTTP/1.1") == 1


def test_more_bytes_than_the_length_said_are_not_sent(site):
    data = everything(site, by_hand(b"one", b"HTTP/1.1 200 OK\r\n\r\n", length=3), get() + PROBE)
    assert data.endswith(b"\r\n\r\none")
    assert data.count(b"HTTP/1.1") == 1


FAULTS = [RuntimeError("on purpose"), SystemExit(1), hwebserver.HTTPError(404, "too late")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("length", [None, 10])
def test_an_error_half_way_cuts_the_answer_off(site, length, fault):
    data = everything(site, by_hand(b"one", length=length, fault=fault), get() + PROBE)
    assert data.count(b"HTTP/1.1") == 1
    assert b"one" in data
    assert b"\r\n0\r\n" not in data  # the chunk that would make it look whole


def test_an_error_behind_the_head_sends_no_second_one(site):
    data = everything(site, by_hand(fault=RuntimeError("on purpose")), get() + PROBE)
    assert data.count(b"HTTP/1.1") == 1
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_an_error_before_the_head_is_an_answer(site, fault):
    def handler(request):
        raise fault

    assert ask(site, handler).status in (404, 500)


def test_a_second_head_is_an_error(site):
    def handler(request):
        request.sendHeaders(hwebserver.Response("", 200))
        request.sendHeaders(hwebserver.Response("", 404))

    data = everything(site, handler, get() + PROBE)
    assert data.count(b"HTTP/1.1") == 1


def test_a_head_that_cannot_be_sent_is_500(site):
    def handler(request):
        request.sendHeaders(hwebserver.Response("", 999))

    assert ask(site, handler).status == 500


def test_a_body_without_a_head_is_500(site):
    assert ask(site, lambda request: request.sendBody("x")).status == 500


def test_a_piece_that_is_no_bytes_cuts_the_answer_off(site):
    site.urlHandler("/")(by_hand(b"one", object()))
    with running(site), Client(site) as client, pytest.raises(Ended):
        client.ask(get())


# --- on the wire ---


@pytest.fixture
def sends(monkeypatch):
    """What is handed to the system, call by call."""
    calls = []

    def send(self, data, more=False, _send=Transport.send):
        calls.append(bytes(data))
        return _send(self, data, more)

    monkeypatch.setattr(Transport, "send", send)
    return calls


SMALL = {
    "text": ANSWERS["text"],
    "chunks": in_chunks,
    "json": ANSWERS["json"],
    "error": ANSWERS["error"],
    "small file": ANSWERS["file"],
    "nothing": lambda request: None,
}


@pytest.mark.parametrize("handler", SMALL.values(), ids=SMALL)
def test_a_small_answer_goes_out_in_one_write(site, sends, handler):
    ask(site, handler)
    assert len(sends) == 2  # one for the answer, one for that to the probe
    assert sends[0].startswith(b"HTTP/1.1 ")


def test_a_refusal_goes_out_in_one_write(site, sends):
    with running(site), Client(site) as client:
        client.ask(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        client.ask(b"\0")
        assert client.rest() == b""
    assert len(sends) == 2


def test_a_date_of_the_handlers_own_is_the_only_one(site):
    date = "Tue, 15 Nov 1994 08:12:31 GMT"
    assert ask(site, with_field("date", date)).field("date") == date


def test_every_kind_of_answer_has_its_date(site):
    """The client of these tests checks it; here are the kinds that no other test has."""
    site.urlHandler("/")(by_hand(b"x"))
    with running(site), Client(site) as client:
        assert client.ask(get()).field("date")
        assert client.ask(get("/none")).field("date")
        assert client.ask(get("*", "OPTIONS"), "OPTIONS").field("date")
        assert client.ask(b"\0").field("date")
