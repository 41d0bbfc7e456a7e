"""The limits at their defaults: one below, at and one above; and what is larger than any of them.

The corpus has the same with small limits, cut at every byte. Here the messages are made by code,
go to a running server in one write, and through the parser in pieces.
"""

from __future__ import annotations

import pytest
from support import running
from wire.corpus import Case, Expected
from wire.rawhttp import Client
from wire.replay import replay
from wire.site import Site

HOST = "Host: a\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
MB = 1 << 20


def line(size):
    """Return a request whose request line has that size."""
    target = "/echo?" + "a" * (size - len("GET /echo? HTTP/1.1"))
    return f"GET {target} HTTP/1.1\r\n{HOST}\r\n".encode()


def fields(*lines):
    return "\r\n".join(("GET /echo HTTP/1.1", "Host: a", *lines, "", "")).encode()


def field(size):
    return fields("X-A: " + "a" * (size - 5))


def head(size):
    """Return a request whose head has that size, the empty line counted."""
    rest = size - len(fields())
    lines = []
    while rest:
        length = min(rest, 8002)
        if rest - length in range(1, 20):
            length -= 20
        lines.append("X-A: " + "a" * (length - 7))
        rest -= length
    return fields(*lines)


def chunk_line(size):
    return CHUNKED + b"1;" + b"a" * (size - 2) + b"\r\nx\r\n0\r\n\r\n"


def extensions(size, count):
    """Return a chunked request with extensions of a size on each of many chunks."""
    return CHUNKED + (b"1;" + b"a" * (size - 1) + b"\r\nx\r\n") * count + b"0\r\n\r\n"


def trailers(size):
    return CHUNKED + b"0\r\nX-A: " + b"a" * (size - 7) + b"\r\n\r\n"


def trailer_count(count):
    return CHUNKED + b"0\r\n" + b"X-A: 1\r\n" * count + b"\r\n"


def good(name, message):
    return pytest.param(message, 200, id=name)


def bad(name, message, status):
    return pytest.param(message, status, id=name)


MESSAGES = [
    good("line 8191", line(8191)),
    good("line 8192", line(8192)),
    bad("line 8193", line(8193), 414),
    good("field 8191", field(8191)),
    good("field 8192", field(8192)),
    bad("field 8193", field(8193), 431),
    good("99 fields", fields(*["X: 1"] * 98)),
    good("100 fields", fields(*["X: 1"] * 99)),
    bad("101 fields", fields(*["X: 1"] * 100), 431),
    good("head 65535", head(65535)),
    good("head 65536", head(65536)),
    bad("head 65537", head(65537), 431),
    good("chunk line 255", chunk_line(255)),
    good("chunk line 256", chunk_line(256)),
    bad("chunk line 257", chunk_line(257), 400),
    good("extensions in proportion", extensions(16, 5000)),
    # What one full line costs may be spent beyond that, and no more.
    good("extensions, 240 times one byte above it", extensions(17, 240)),
    bad("extensions, 241 times one byte above it", extensions(17, 241), 400),
    bad("extensions that hide a body", extensions(255, 5000), 400),
    good("trailers 8191", trailers(8191)),
    good("trailers 8192", trailers(8192)),
    bad("trailers 8193", trailers(8193), 431),
    good("15 trailers", trailer_count(15)),
    good("16 trailers", trailer_count(16)),
    bad("17 trailers", trailer_count(17), 431),
    # Far above every limit.
    bad("line of 100 KB", line(100_000), 414),
    bad("line of 100 KB that does not end", line(100_000)[:90_000], 414),
    bad("bytes that are no line", b"A" * 100_000, 414),
    bad("field of 100 KB", field(100_000), 431),
    bad("field of 100 KB that does not end", field(100_000)[:90_000], 431),
    bad("head of 2 MB", fields(*["X-A: " + "a" * 1000] * 2000), 431),
    bad("head of 2 MB in one field", field(2 * MB), 431),
    bad("1000 fields", fields(*[f"X-{n}: 1" for n in range(1000)]), 431),
    bad("20,000 fields", fields(*[f"X-{n}: 1" for n in range(20_000)]), 431),
    bad("the same field 10,000 times", fields(*["X: 1"] * 10_000), 431),
    bad("a folded line of 100 KB", fields("X: 1\r\n " + "a" * 100_000), 431),
    bad("chunk extension of 1 MB", CHUNKED + b"1;" + b"a" * MB + b"\r\nx\r\n0\r\n\r\n", 400),
    bad("chunk size of 1 MB", CHUNKED + b"0" * MB + b"1\r\nx\r\n0\r\n\r\n", 400),
    bad("trailer of 2 MB", trailers(2 * MB), 431),
    bad("20,000 trailers", trailer_count(20_000), 431),
    # Costly where it is read carelessly.
    good("white space in a field", fields("X-A:" + " " * 8000 + "1")),
    good("white space in protocols", fields("Sec-WebSocket-Protocol: a" + " " * 8000 + "b")),
    good("backslashes in a cookie", fields('Cookie: a="' + "\\" * 8000 + '"')),
    good("commas in a list", fields("Connection: " + "," * 8000)),
    good("many options", fields("Connection: " + "a," * 4000)),
    good("many ranges", fields("Range: bytes=" + "0-1," * 2000)),
    good("percent signs", b"GET /echo?" + b"%" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    bad("a host of 8 KB", b"GET /echo HTTP/1.1\r\nHost: " + b"a" * 8000 + b"\r\n\r\n", 400),
    bad("a host of colons", b"GET /echo HTTP/1.1\r\nHost: [" + b":" * 8000 + b"]\r\n\r\n", 400),
    bad("a length of 8 KB", fields("Content-Length: " + "1" * 8000), 400),
    bad("a coding of 8 KB", fields("Transfer-Encoding: " + "chunked, " * 800 + "x"), 501),
]  # fmt: skip


@pytest.mark.parametrize(("message", "status"), MESSAGES)
def test_a_running_server_holds_its_limits(message, status):
    site = Site()
    with running(site.server), Client(site.server) as client:
        client.send(message)
        answer = client.answer()
        assert (answer.status, answer.says_close) == (status, status != 200)
        if status == 200:
            client.check_open()
        else:
            assert client.rest() == b""
            assert not client.reset
    assert len(site.calls) == (status == 200)


@pytest.mark.parametrize(("message", "status"), MESSAGES)
def test_the_parser_holds_its_limits_however_the_message_is_cut(message, status):
    case = Case("", (message,), (), "")
    for step in (len(message), 65536, 8191, 509):
        pieces = [message[at : at + step] for at in range(0, len(message), step)]
        outcome = replay(pieces, case.limits)
        assert outcome.fault == (None if status == 200 else status), step
        assert len(outcome.requests) == (status == 200)


def post(path, length, body=b"", *lines):
    more = "".join(one + "\r\n" for one in lines)
    text = f"POST {path} HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n{more}\r\n"
    return text.encode() + body


@pytest.mark.parametrize("size", [999, 1000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_up_to_the_limit_of_run_is_taken(size, chunked):
    site = Site()
    body = b"x" * size
    message = (
        CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked else post("/echo", size, body)
    )
    with running(site.server, max_request_size=1000), Client(site.server) as client:
        assert client.ask(message).status == 200
        client.check_open()
    assert [call.body for call in site.calls] == [body]


@pytest.mark.parametrize(
    "message",
    [post("/echo", 1001), CHUNKED + b"3e9\r\n", CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\n"],
    ids=["length", "chunk", "sum of chunks"],
)
def test_a_body_above_the_limit_of_run_is_refused_before_it_comes(message):
    site = Site()
    with running(site.server, max_request_size=1000), Client(site.server) as client:
        answer = client.ask(message)
        assert (answer.status, answer.says_close, client.rest()) == (413, True, b"")
    assert site.calls == []


def test_three_gigabytes_are_wanted_and_a_byte_more_is_not():
    site = Site()
    with running(site.server):
        for length, status in ((3 << 30, 100), ((3 << 30) + 1, 413)):
            with Client(site.server) as client:
                client.send(post("/echo", length, b"", "Expect: 100-continue"))
                assert client.answer().status == status


def test_a_limit_is_that_of_its_own_port():
    site = Site({"MAX_REQUEST_LINE_SIZE": 40})
    site.server.setSettingsForPort({"PORT": 0, "ALLOWED_HOSTS": ["*"]}, "other")
    site.server.urlHandler("/", ports=["other"])(lambda request: "other")
    message = b"GET /?" + b"a" * 40 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    with running(site.server, ports=["other"]):
        with Client(site.server) as client:
            assert client.ask(message).status == 414
        with Client(site.server, "other") as client:
            assert client.ask(message).body == b"other"


def test_a_million_chunks_of_one_byte_are_read():
    """CVE-2025-69229: each chunk costs a little, and the next one no more."""
    site = Site()
    site.server.urlHandler("/size")(lambda request: str(len(request.body())))
    head = CHUNKED.replace(b"/echo", b"/size")
    with running(site.server), Client(site.server) as client:
        client.send(head + b"1\r\nx\r\n" * 1_000_000 + b"0\r\n\r\n")
        assert client.answer().body == b"1000000"
        client.check_open()


def test_a_head_of_one_byte_segments_is_read():
    message = fields(*["X-A: " + "a" * 100] * 20)
    site = Site()
    with running(site.server), Client(site.server) as client:
        client.send_each(message[at : at + 1] for at in range(len(message)))
        assert client.answer().status == 200
        client.check_open()
    assert [Expected(*call[:3]) for call in site.calls] == [Expected("GET", "/echo", b"")]


def test_a_head_of_2_mb_in_many_segments_is_refused_once():
    message = fields(*["X-A: " + "a" * 1000] * 2000)
    site = Site()
    with running(site.server), Client(site.server) as client:
        client.send_each(message[at : at + 1400] for at in range(0, len(message), 1400))
        assert client.answer().status == 431
        assert client.rest() == b""
        assert not client.reset
