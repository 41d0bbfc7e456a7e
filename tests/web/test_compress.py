"""Compression: who gets it, of what, and that it is the same then."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib

import pytest
from support import (
    PATIENCE,
    connect,
    fetch,
    receive_response,
    receive_until,
    running,
)

from hwebserver import Response, errorResponse, eventStreamResponse
from hwebserver.web.compress import accepts_gzip

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"
GZIP = {"Accept-Encoding": "gzip"}
TEXT = "compressible " * 1000


def serve(server, data=TEXT, content_type="text/plain", fields=(), **options):
    @server.urlHandler("/")
    def answer(request):
        response = Response(data, 200, content_type, **options)
        for name, value in fields:
            response.setHeader(name, value)
        return response


def is_compressed(answer):
    return answer.headers["Content-Encoding"] == "gzip"


# --- who gets it ---


def test_a_body_is_compressed_for_those_who_accept_it(server):
    serve(server)
    with running(server):
        answer = fetch(server, headers=GZIP)
        plain = fetch(server)
    assert is_compressed(answer)
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert len(answer.body) < len(TEXT) / 10
    assert gzip.decompress(answer.body).decode() == plain.text == TEXT
    assert plain.headers["Content-Encoding"] is None
    assert plain.headers["Content-Length"] == str(len(TEXT))


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("br, gzip, deflate", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("*", True),
        ("identity;q=0.5, *;q=0.8", True),
        ("gzip;q=1.0, *;q=0", True),
        ("br;q=1.0, gzip;q=0.2", True),
        ("identity", False),
        ("br, deflate", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.5, identity", False),
        ("identity, *;q=0.1", False),
        ("*;q=0", False),
        ("gzip;q=nonsense", False),
        ("", False),
        (None, False),
    ],
)
def test_weights_say_what_a_client_would_rather_have(accept, accepted):
    assert accepts_gzip(accept) is accepted


def test_the_weights_of_a_request_count(server):
    serve(server)
    with running(server):
        assert not is_compressed(fetch(server, headers={"Accept-Encoding": "gzip;q=0"}))
        assert is_compressed(fetch(server, headers={"Accept-Encoding": "br, *;q=0.5"}))


# --- what is worth it ---


@pytest.mark.parametrize(
    ("content_type", "worth"),
    [
        ("text/html", True),
        ("text/css; charset=utf-8", True),
        ("TEXT/Plain", True),
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/javascript", True),
        ("application/ld+json", True),
        ("application/atom+xml", True),
        ("application/wasm", True),
        ("image/svg+xml", True),
        ("image/png", False),
        ("application/octet-stream", False),
        ("application/zip", False),
        ("application/jsonish", False),
        ("video/mp4", False),
        ("x; y=a+json", False),
        ("", False),
    ],
)
def test_types_that_are_text_are_worth_it(server, content_type, worth):
    serve(server, content_type=content_type)
    with running(server):
        answer = fetch(server, headers=GZIP)
    assert is_compressed(answer) is worth
    assert (answer.headers["Vary"] == "Accept-Encoding") is worth


@pytest.mark.parametrize(
    ("setting", "size", "worth"),
    [
        ({}, 1023, False),
        ({}, 1024, True),
        ({"COMPRESS_MIN_SIZE": 100}, 99, False),
        ({"COMPRESS_MIN_SIZE": 100}, 100, True),
        ({"COMPRESS_MIN_SIZE": 100}, 101, True),
        ({"COMPRESS_MIN_SIZE": 0}, 1, True),
        ({"COMPRESS_MIN_SIZE": None}, 100_000, False),
    ],
)
def test_bodies_from_a_size_on_are_worth_it(server, setting, size, worth):
    serve(server, "x" * size)
    server.setSettingsForPort(setting)
    with running(server):
        answer = fetch(server, headers=GZIP)
    assert is_compressed(answer) is worth
    assert (answer.headers["Vary"] is not None) is worth


def test_a_handler_may_ask_for_it_or_forbid_it(server):
    noise = bytes(range(256))
    server.urlHandler("/asked")(lambda request: Response(noise, 200, "image/x-raw", compress=True))
    server.urlHandler("/empty")(lambda request: Response(b"", compress=True))
    server.urlHandler("/never")(lambda request: Response(TEXT, compress=False))
    with running(server):
        answer = fetch(server, "/asked", headers=GZIP)
        assert is_compressed(answer)
        assert gzip.decompress(answer.body) == noise
        assert not is_compressed(fetch(server, "/empty", headers=GZIP))
        never = fetch(server, "/never", headers=GZIP)
    assert not is_compressed(never)
    assert never.headers["Vary"] is None


def test_none_means_never_whoever_asks(server):
    server.urlHandler("/bytes")(lambda request: Response(TEXT, compress=True))
    server.urlHandler("/stream")(lambda request: Response(iter([TEXT]), compress=True))
    server.setSettingsForPort({"COMPRESS_MIN_SIZE": None})
    with running(server):
        for path in ("/bytes", "/stream"):
            answer = fetch(server, path, headers=GZIP)
            assert not is_compressed(answer)
            assert answer.text == TEXT


@pytest.mark.parametrize(
    "fields",
    [
        [("Content-Encoding", "br")],
        [("content-encoding", "identity")],
        [("Cache-Control", "public, No-Transform")],
        [("Content-Range", "bytes 0-12999/20000")],
    ],
)
def test_what_is_encoded_or_not_to_be_changed_is_left_alone(server, fields):
    serve(server, fields=fields, compress=True)
    with running(server):
        answer = fetch(server, headers=GZIP)
    assert answer.text == TEXT
    assert answer.headers[fields[0][0]] == fields[0][1]
    assert "Accept-Encoding" not in answer.headers.get("Vary", "")


# --- what the head says ---


@pytest.mark.parametrize("headers", [GZIP, {}])
@pytest.mark.parametrize(
    ("own", "whole"),
    [
        ([], "Accept-Encoding"),
        ([("Vary", "Origin")], "Origin, Accept-Encoding"),
        ([("vary", "accept-encoding, Cookie")], "accept-encoding, Cookie"),
        ([("Vary", "*")], "*"),
    ],
)
def test_vary_is_said_to_everybody_and_joined_to_what_it_says(server, headers, own, whole):
    serve(server, fields=own)
    with running(server):
        answer = fetch(server, headers=headers)
    assert answer.headers.get_all("Vary") == [whole]


@pytest.mark.parametrize(
    ("tag", "compressed"), [('"abc"', 'W/"abc"'), ('W/"abc"', 'W/"abc"'), ("odd", "odd")]
)
def test_an_entity_tag_becomes_weak_when_the_bytes_are_others(server, tag, compressed):
    serve(server, fields=[("ETag", tag)])
    with running(server):
        assert fetch(server).headers["ETag"] == tag
        assert fetch(server, headers=GZIP).headers["ETag"] == compressed


def test_head_has_the_head_that_get_has(server):
    serve(server)
    with running(server):
        for headers in (GZIP, {}):
            get, head = (fetch(server, "/", method, None, headers) for method in ("GET", "HEAD"))
            assert head.body == b""
            for name in ("Content-Length", "Content-Encoding", "Vary", "Content-Type"):
                assert head.headers[name] == get.headers[name]


def test_an_old_client_may_have_it_too(server):
    serve(server)
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST.replace(b"1.1", b"1.0") % b"")
        answer = receive_response(sock)
    assert is_compressed(answer)
    assert gzip.decompress(answer.body).decode() == TEXT


def test_chunks_and_compression_go_together(server):
    serve(server, fields=[("Transfer-Encoding", "chunked")])
    with running(server):
        answer = fetch(server, headers=GZIP)
    assert answer.headers["Content-Length"] is None
    assert gzip.decompress(answer.body).decode() == TEXT


# --- streams ---


def plain(pieces):
    yield from pieces


async def asynchronous(pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@pytest.mark.parametrize("make", [plain, asynchronous])
def test_a_stream_is_compressed_when_that_is_asked_for(server, make):
    pieces = [TEXT, "", "x", TEXT]
    asked = {"asked": True, "not": None, "never": False}
    server.urlHandler("/{how}")(
        lambda request, how: Response(make(pieces), 200, "text/plain", compress=asked[how])
    )
    with running(server):
        answer = fetch(server, "/asked", headers=GZIP)
        assert is_compressed(answer)
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(answer.body).decode() == "".join(pieces)
        assert fetch(server, "/asked").text == "".join(pieces)
        for path in ("/not", "/never"):
            answer = fetch(server, path, headers=GZIP)
            assert not is_compressed(answer)
            assert answer.text == "".join(pieces)


@pytest.mark.parametrize("asynchronously", [False, True])
def test_each_piece_of_a_compressed_stream_can_be_read_when_it_arrives(server, asynchronously):
    arrived = threading.Semaphore(0)

    def pieces():
        for number in range(5):
            yield f"piece {number};"
            assert arrived.acquire(timeout=PATIENCE)

    async def async_pieces():
        for number in range(5):
            yield f"piece {number};"
            while not arrived.acquire(blocking=False):
                await asyncio.sleep(0.001)

    make = async_pieces if asynchronously else pieces
    server.urlHandler("/")(lambda request: Response(make(), compress=True))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"")
        decompressor, text = zlib.decompressobj(31), b""
        data = receive_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
        for number in range(5):
            chunk, data = first_chunk(sock, data)
            text += decompressor.decompress(chunk)
            assert text.endswith(b"piece %d;" % number)
            arrived.release()
        receive_until(sock, b"\r\n0\r\n\r\n")


def first_chunk(sock, data):
    """Receive the first chunk, of which some may be there; return it and what is behind it."""
    while True:
        size, mark, rest = data.partition(b"\r\n")
        if mark and len(rest) >= int(size, 16) + 2:
            return rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        data += sock.recv(65536)


def test_the_length_that_a_handler_knows_is_not_that_of_the_compressed_stream(server):
    fields = [("Content-Length", len(TEXT))]
    responses = []

    @server.urlHandler("/")
    def stream(request):
        response = Response(iter([TEXT]), compress=True)
        for name, value in fields:
            response.setHeader(name, value)
        responses.append(response)
        return response

    with running(server):
        answer = fetch(server, headers=GZIP)
        assert answer.headers["Content-Length"] is None
        assert gzip.decompress(answer.body).decode() == TEXT
        plain_answer = fetch(server)
    assert plain_answer.headers["Content-Length"] == str(len(TEXT))


class Closable:
    """Pieces that count how often they are closed."""

    closed = 0

    def __iter__(self):
        return plain(["a", "b"])

    def close(self):
        self.closed += 1


class AsyncClosable(Closable):
    def __aiter__(self):
        return asynchronous(["a", "b"])

    async def aclose(self):
        self.close()


@pytest.mark.parametrize("make", [Closable, AsyncClosable])
def test_a_compressed_stream_is_closed_with_its_source(server, make):
    source = make()
    server.urlHandler("/")(lambda request: Response(source, compress=True))
    with running(server):
        assert gzip.decompress(fetch(server, headers=GZIP).body) == b"ab"
    assert source.closed == 1


def test_event_streams_are_never_compressed(server):
    server.urlHandler("/")(lambda request: eventStreamResponse([TEXT]))
    with running(server):
        answer = fetch(server, headers=GZIP)
    assert not is_compressed(answer)
    assert answer.text == f"data: {TEXT}\n\n"


# --- whatever else is answered ---


def test_answers_of_functions_are_compressed(server):
    server.apiFunction("ns")(lists)
    with running(server):
        form = {"Content-Type": "application/x-www-form-urlencoded", **GZIP}
        answer = fetch(server, "/api", "POST", "json=[%22ns.lists%22,[],{}]", form)
    assert answer.status == 200
    assert is_compressed(answer)
    assert gzip.decompress(answer.body).startswith(b"[0")


def lists(request):
    return list(range(1000))


def test_an_error_page_of_a_handler_is_compressed_like_any_page(server):
    server.urlHandler("/")(lambda request: errorResponse(request, TEXT, 418))
    with running(server):
        answer = fetch(server, headers=GZIP)
    assert answer.status == 418
    assert is_compressed(answer)
    assert TEXT in gzip.decompress(answer.body).decode()


@pytest.mark.parametrize("debug", [False, True])
def test_the_page_of_an_error_can_be_read_whatever_is_accepted(server, debug, caplog):
    def fail(request):
        raise KeyError(TEXT)

    server.urlHandler("/")(fail)
    with running(server, debug=debug, reload_source_changes=False):
        for path, status in (("/", 500), ("/none", 404)):
            answer = fetch(server, path, headers=GZIP)
            assert answer.status == status
            body = gzip.decompress(answer.body) if is_compressed(answer) else answer.body
            assert b"</html>" in body
            assert answer.headers["Content-Length"] == str(len(answer.body))
