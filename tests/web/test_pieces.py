"""What may be a body that is sent piece by piece, and that it is closed in the end."""

from __future__ import annotations

import asyncio
import collections
import io
import threading

import pytest
from support import connect, fetch, receive_response, receive_until, running

from hwebserver import Response, eventStreamResponse
from hwebserver.web.pieces import AsyncPieces, Pieces, encode_piece, is_stream

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def generator(*pieces):
    yield from pieces


async def async_generator(*pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


class NextOnly:
    """What ``next`` takes, and ``iter`` does not."""

    def __init__(self):
        self._pieces = iter(["one", "two"])

    def __next__(self):
        return next(self._pieces)


class Container:
    """Can be iterated again and again; what it is iterated with has no more than it needs."""

    def __iter__(self):
        return NextOnly()


class AsyncNextOnly(NextOnly):
    async def __anext__(self):
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class AsyncContainer:
    def __aiter__(self):
        return AsyncNextOnly()


class Readable:
    """A file of no more than ``read``."""

    def __init__(self, data):
        self._file = io.BytesIO(data)
        self.asked = []

    def read(self, size):
        self.asked.append(size)
        return self._file.read(size)


STREAMS = {
    "generator": lambda: generator("one", "two"),
    "iterator": lambda: iter(["one", "two"]),
    "map": lambda: map(str.lower, ("ONE", "TWO")),
    "deque": lambda: collections.deque(["one", "two"]),
    "next alone": NextOnly,
    "container": Container,
    "bytes": lambda: generator(b"one", b"two"),
    "bytearray": lambda: generator(bytearray(b"one"), memoryview(b"two")),
    "empty pieces": lambda: generator("", "one", b"", "two", bytearray()),
    "bytes file": lambda: io.BytesIO(b"onetwo"),
    "text file": lambda: io.StringIO("onetwo"),
    "read alone": lambda: Readable(b"onetwo"),
    "async generator": lambda: async_generator("one", b"two"),
    "async empty pieces": lambda: async_generator("", "one", b"", "two", ""),
    "async container": AsyncContainer,
}


@pytest.mark.parametrize("kind", STREAMS)
def test_anything_that_yields_text_or_bytes_is_a_body(server, kind):
    server.urlHandler("/")(lambda request: Response(STREAMS[kind](), 200, "text/plain"))
    with running(server):
        answer = fetch(server)
    assert (answer.status, answer.text) == (200, "onetwo")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_an_open_file_is_sent_and_closed(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 2000)
    opened = []

    @server.urlHandler("/")
    def send(request):
        opened.append(open(path, "rb"))  # noqa: SIM115 (the server closes it)
        return Response(opened[-1], content_type="application/octet-stream")

    with running(server):
        assert fetch(server).body == path.read_bytes()
    assert opened[0].closed


def test_a_file_is_read_in_blocks_and_not_by_lines():
    file = Readable(b"line\n" * 50000)
    pieces = Pieces(file)
    assert len(pieces.read()) == 65536
    assert set(file.asked) == {65536}


def test_an_uploaded_file_can_be_sent_back(server):
    @server.urlHandler("/")
    def back(request):
        return Response(request.files()["file"], 200, "image/png")

    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        b"%b\r\n--x--\r\n"
    )
    data = bytes(range(256)) * 1000
    with running(server, max_in_memory_file_upload_size=1000):
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        assert fetch(server, "/", "POST", form % data, kind).body == data


@pytest.mark.parametrize(
    "data", ["text", b"bytes", bytearray(b"x"), memoryview(b"x"), {}, [], (), set(), frozenset()]
)
def test_what_is_meant_as_a_whole_is_no_stream(data):
    assert not is_stream(data)


@pytest.mark.parametrize("data", [1, None, 1.5, object(), ["one"], {"a": 1}, generator])
def test_what_can_be_neither_sent_nor_iterated_is_refused_with_its_type(data):
    with pytest.raises(TypeError, match=type(data).__name__):
        Response(data)


def test_set_body_takes_a_stream_and_closes_the_one_before(server):
    before = Closable()

    @server.urlHandler("/")
    def replace(request):
        response = Response(before)
        response.setBody(generator("one", "two"), "text/css")
        return response

    with running(server):
        answer = fetch(server)
    assert answer.text == "onetwo"
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert before.closed == 1


def test_a_response_says_that_it_is_a_stream():
    response = Response(generator())
    assert response.isChunked()
    assert response.contentLength() == -1
    with pytest.raises(ValueError, match="made while it is sent"):
        response.body()
    response.setHeader("Content-Length", 7)
    assert not response.isChunked()
    assert response.contentLength() == 7


def test_a_stream_runs_while_the_request_is_there(server):
    """A generator may ask the request for what it needs when it comes to it."""

    @server.urlHandler("/", methods=["POST"])
    def echo(request):
        def pieces():
            yield request.method()
            yield request.body()

        return Response(pieces())

    with running(server):
        assert fetch(server, "/", "POST", b"body").body == b"POSTbody"


# --- closing ---


class Closable:
    """An iterator that counts how often it is closed."""

    def __init__(self):
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        return "x"

    def close(self):
        self.closed += 1


class Generating(Closable):
    """Something that can be closed and iterates with a generator, which can be closed too."""

    finished = 0

    def __iter__(self):
        try:
            yield "one"
            yield "two"
        finally:
            self.finished += 1


class AsyncGenerating(Closable):
    finished = 0

    async def __aiter__(self):
        try:
            yield "one"
            yield "two"
        finally:
            self.finished += 1

    async def aclose(self):
        self.close()


class AsyncFile(AsyncGenerating):
    """What closes like a file: by a coroutine, but not one of that name."""

    aclose = None

    async def close(self):
        self.closed += 1


def test_an_iterator_is_closed_once():
    data = Closable()
    pieces = Pieces(data)
    pieces.read()
    pieces.close()
    pieces.close()
    assert data.closed == 1


def test_what_was_never_read_is_closed_too():
    data = Closable()
    Pieces(data).close()
    assert data.closed == 1


def test_the_iterator_is_closed_with_what_it_came_from():
    data = Generating()
    pieces = Pieces(data)
    pieces.read()
    pieces.close()
    assert (data.closed, data.finished) == (1, 1)


def test_the_data_is_closed_though_the_iterator_fails_to():
    class Failing(Closable):
        def __iter__(self):
            try:
                yield "one"
            finally:
                raise KeyError("in finally")

    data = Failing()
    pieces = Pieces(data)
    pieces.read()
    with pytest.raises(KeyError, match="in finally"):
        pieces.close()
    assert data.closed == 1


@pytest.mark.parametrize("make", [AsyncGenerating, AsyncFile])
@pytest.mark.parametrize("reads", [True, False])
def test_an_async_iterator_is_closed_once_with_what_it_came_from(make, reads):
    data = make()

    async def use():
        pieces = AsyncPieces(data)
        if reads:
            await pieces.read()
        await pieces.close()
        await pieces.close()

    asyncio.run(use())
    assert (data.closed, data.finished) == (1, int(reads))


def test_nothing_comes_behind_the_end():
    pieces = Pieces(iter(["one"]))
    assert [pieces.read(), pieces.read(), pieces.read()] == [b"one", None, None]
    pieces.close()
    assert pieces.read() is None


@pytest.mark.parametrize("piece", ["\u00e4", b"\xc3\xa4", bytearray(b"\xc3\xa4")])
def test_text_is_sent_as_utf_8_and_bytes_as_they_are(piece):
    assert encode_piece(piece) == b"\xc3\xa4"
    assert type(encode_piece(piece)) is bytes


def test_text_that_has_no_utf_8_is_an_error_of_the_handler(server, caplog):
    server.urlHandler("/")(lambda request: Response(generator("\ud800")))
    with running(server):
        assert fetch(server).status == 500
    assert "UnicodeEncodeError" in caplog.text


# --- pieces come as they are made ---


@pytest.mark.parametrize("kind", ["plain", "async", "events"])
def test_a_piece_is_sent_before_the_next_is_made(server, kind):
    arrived = threading.Semaphore(0)

    def pieces():
        for number in range(3):
            yield f"piece {number}"
            assert arrived.acquire(timeout=10)

    async def async_pieces():
        for number in range(3):
            yield f"piece {number}"
            while not arrived.acquire(blocking=False):
                await asyncio.sleep(0.001)

    @server.urlHandler("/")
    def stream(request):
        if kind == "events":
            return eventStreamResponse(pieces())
        return Response(pieces() if kind == "plain" else async_pieces())

    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"")
        for number in range(3):
            receive_until(sock, b"piece %d" % number)
            arrived.release()
        receive_until(sock, b"0\r\n\r\n")
        sock.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert receive_response(sock, "HEAD").status == 200
