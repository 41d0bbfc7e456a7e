"""Bodies that are made while they are sent: how they are framed, and how they fail."""

from __future__ import annotations

import io
import itertools
import logging
import threading

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
from hwebserver import Response, eventStreamResponse
from hwebserver.errors import HTTPError
from hwebserver.exchange import StreamBody
from hwebserver.net.delivery import Delivery, Progress
from hwebserver.protocol.response import Framing
from hwebserver.web.pieces import Pieces

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST_REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
OLD_REQUEST = b"GET /%b HTTP/1.0\r\nHost: localhost\r\n%b\r\n"
CHUNKED = Framing(None, True, True, False)
LAST_CHUNK = b"\r\n0\r\n\r\n"

KINDS = ("plain", "async")


class Source:
    """An iterator, plain or asynchronous, that counts how often it is read and closed."""

    def __init__(self, pieces):
        self._pieces = iter(pieces)
        self.steps = self.closed = 0

    def _next(self, end):
        self.steps += 1
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                raise piece
            return piece
        raise end

    def _close(self):
        self.closed += 1


class Plain(Source):
    def __iter__(self):
        return self

    def __next__(self):
        return self._next(StopIteration)

    def close(self):
        self._close()


class Asynchronous(Source):
    def __aiter__(self):
        return self

    async def __anext__(self):
        return self._next(StopAsyncIteration)

    async def aclose(self):
        self._close()


def source_of(kind, pieces):
    return (Asynchronous if kind == "async" else Plain)(pieces)


def serve(server, kind, pieces, fields=(), **options):
    """Serve a stream at ``/stream``; return what it is made of."""
    source = source_of(kind, pieces)
    make = eventStreamResponse if kind == "events" else Response
    response = make(source, **options)
    for name, value in fields:
        response.setHeader(name, value)
    server.urlHandler("/stream")(lambda request: response)
    server.urlHandler("/quick")(lambda request: "quick")
    return source


class Incoming(io.BufferedReader):
    """What comes on a connection, for several responses that come at once."""

    class _Raw(io.RawIOBase):
        def __init__(self, sock):
            self._sock = sock

        def readable(self):
            return True

        def readinto(self, buffer):
            return self._sock.recv_into(buffer)

    def __init__(self, sock):
        super().__init__(self._Raw(sock))

    def makefile(self, mode):
        return self

    def close(self):
        pass  # http.client closes it behind each response.


def ask(server, request):
    """Send a request and return all that comes until the connection ends."""
    with connect(server) as sock:
        sock.sendall(request)
        return receive_all(sock)


def problems(caplog):
    """Return what was logged, but for what is no reason to worry."""
    return [one for one in caplog.records if one.levelno >= logging.WARNING]


# --- framing ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_goes_in_chunks_and_the_connection_is_kept(server, kind):
    source = serve(server, kind, ["one", b"two", "", b"", "\u00fc"])
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stream" + REQUEST % b"quick")
        incoming = Incoming(sock)
        answer = receive_response(incoming)
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Length"] is None
        assert answer.text == "onetwo\u00fc"
        assert source.closed == 1
        assert receive_response(incoming).body == b"quick"


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_nothing_is_an_empty_body(server, kind):
    serve(server, kind, ["", b""])
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stream" + REQUEST % b"quick")
        incoming = Incoming(sock)
        assert receive_response(incoming).body == b""
        assert receive_response(incoming).body == b"quick"


@pytest.mark.parametrize("field", [b"", b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_old_client_gets_no_chunks_and_the_connection_ends(server, kind, field):
    source = serve(server, kind, ["one", "two"])
    with running(server):
        head, _, body = ask(server, OLD_REQUEST % (b"stream", field)).partition(b"\r\n\r\n")
        assert body == b"onetwo"
        assert b"chunked" not in head
        assert b"Content-Length" not in head
        assert b"Connection: close" in head
    assert source.closed == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_whose_length_the_handler_knows_has_it(server, kind):
    serve(server, kind, ["one", "two"], [("Content-Length", "6")])
    with running(server), connect(server) as sock:
        sock.sendall(OLD_REQUEST % (b"stream", b"Connection: keep-alive\r\n"))
        answer = receive_response(sock)
        assert answer.headers["Content-Length"] == "6"
        assert answer.body == b"onetwo"
        sock.sendall(REQUEST % b"quick")
        incoming = Incoming(sock)
        assert receive_response(incoming).body == b"quick"


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_are_the_handlers_to_wish_though_the_length_is_known(server, kind):
    fields = [("Content-Length", "6"), ("Transfer-Encoding", "chunked")]
    serve(server, kind, ["one", "two"], fields)
    with running(server):
        answer = fetch(server, "/stream")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers["Content-Length"] is None
    assert answer.body == b"onetwo"


@pytest.mark.parametrize("length", ["5", "7", "1000000"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_length_ends_the_connection(server, kind, length, caplog):
    """What was promised is never made up for with other bytes, nor the next response."""
    source = serve(server, kind, ["one", "two"], [("Content-Length", length)])
    with running(server):
        received = ask(server, REQUEST % b"stream" + LAST_REQUEST % b"quick")
        head, _, body = received.partition(b"\r\n\r\n")
        if b" 500 " not in head:  # Two pieces that came at once are seen to be too long in time.
            assert b"Content-Length: %b" % length.encode() in head
            assert b"onetwo".startswith(body)
            assert len(body) != int(length)
    assert source.closed == 1
    assert len(problems(caplog)) == 1
    assert "Content-Length" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_length_that_is_seen_in_time_is_answered_with_an_error(server, kind):
    serve(server, kind, ["too long"], [("Content-Length", "3")])
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stream" + REQUEST % b"quick")
        incoming = Incoming(sock)
        assert receive_response(incoming).status == 500
        assert receive_response(incoming).body == b"quick"


@pytest.mark.parametrize("kind", KINDS)
def test_head_gets_the_head_alone_and_the_stream_is_closed_unread(server, kind):
    source = serve(server, kind, ["one"], [("X-Own", "kept")])
    with running(server), connect(server) as sock:
        sock.sendall(b"HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n" + REQUEST % b"quick")
        incoming = Incoming(sock)
        head = receive_response(incoming, "HEAD")
        assert (head.status, head.headers["X-Own"]) == (200, "kept")
        assert receive_response(incoming).body == b"quick"
        wait_until(lambda: source.closed, 2.0)
    assert (source.steps, source.closed) == (0, 1)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body_has_none_and_the_stream_is_closed_unread(server, status):
    source = serve(server, "plain", ["one"], status=status)
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stream" + REQUEST % b"quick")
        incoming = Incoming(sock)
        answer = receive_response(incoming)
        assert (answer.status, answer.body) == (status, b"")
        assert receive_response(incoming).body == b"quick"
    assert (source.steps, source.closed) == (0, 1)


def test_a_stream_behind_fields_that_cannot_be_sent_is_closed_unread(server):
    source = serve(server, "plain", ["one"], status=99)
    with running(server):
        assert fetch(server, "/stream").status == 500
    assert (source.steps, source.closed) == (0, 1)


# --- order ---


@pytest.mark.parametrize("kind", [*KINDS, "events"])
def test_pipelined_requests_are_answered_in_order_behind_a_stream(server, kind):
    go_on = threading.Event()

    @server.urlHandler("/{number:int}")
    def stream(request, number):
        if kind == "events":
            return eventStreamResponse(waiting(go_on, number))
        pieces = [str(number), " ", "end"]
        return Response(source_of(kind, pieces))

    with running(server), connect(server) as sock:
        sock.sendall(b"".join(REQUEST % (b"%d" % number) for number in range(40)))
        go_on.set()
        incoming = Incoming(sock)
        for number in range(40):
            body = receive_response(incoming).body
            assert body in (b"%d end" % number, b"data: %d\n\n" % number)


def waiting(go_on, event):
    assert go_on.wait(PATIENCE)
    yield event


@pytest.mark.parametrize("kind", ["async", "events"])
def test_what_is_pipelined_behind_a_stream_waits_however_much_it_is(server, kind):
    """More than is read ahead: the rest stays with the system until its turn comes."""
    go_on = threading.Event()

    async def waits():
        import asyncio

        while not go_on.is_set():
            await asyncio.sleep(0.001)
        yield "data: last\n\n"

    @server.urlHandler("/stream")
    def stream(request):
        return Response(waits()) if kind == "async" else eventStreamResponse(waiting(go_on, "last"))

    server.urlHandler("/upload")(lambda request: str(len(request.body())))
    upload = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n\r\n"
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"stream")
        receive = threading.Thread(target=sock.sendall, args=((upload + b"x" * 40000) * 20,))
        receive.start()
        wait_until(lambda: any(one._reader.size > 65536 for one in connections(server)))
        for _ in range(3):
            fetch(server, "/none")  # The polling thread has had its turn.
        assert all(one._reader.size <= 3 * 65536 for one in connections(server))
        go_on.set()
        incoming = Incoming(sock)
        assert receive_response(incoming).body == b"data: last\n\n"
        for _ in range(20):
            assert receive_response(incoming).body == b"40000"
        receive.join()


def connections(server):
    return list(server._pool._poller._connections)


# --- failures ---


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_before_the_first_piece_is_answered_with_500(server, kind, debug, caplog):
    source = serve(server, kind, ["", KeyError("a secret")])
    with running(server, debug=debug, reload_source_changes=False):
        answer = fetch(server, "/stream")
        assert fetch(server, "/quick").text == "quick"
    assert answer.status == 500
    assert ("a secret" in answer.text) == ("Traceback" in answer.text) == debug
    assert source.closed == 1
    assert len(problems(caplog)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_http_error_before_the_first_piece_is_answered_as_it_says(server, kind, caplog):
    source = serve(server, kind, [HTTPError(404, "There is no such shot.")])
    with running(server):
        answer = fetch(server, "/stream")
    assert answer.status == 404
    assert "There is no such shot." in answer.text
    assert source.closed == 1
    assert not problems(caplog)


@pytest.mark.parametrize("error", [KeyError("late"), HTTPError(404, "late")])
@pytest.mark.parametrize("kind", [*KINDS, "events"])
def test_an_error_behind_the_first_piece_cuts_the_response_and_is_logged(
    server, kind, error, caplog
):
    source = serve(server, kind, ["first", error])
    with running(server):
        received = ask(server, REQUEST % b"stream" + REQUEST % b"quick")
        assert b"first" in received
        assert LAST_CHUNK not in received
        assert b"quick" not in received
        assert fetch(server, "/quick").text == "quick"
    assert source.closed == 1
    assert len(problems(caplog)) == 1
    assert "late" in caplog.text


@pytest.mark.parametrize("piece", [1, None, ["text"], object()])
@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_that_is_neither_text_nor_bytes_is_an_error(server, kind, piece, caplog):
    serve(server, kind, [piece])
    with running(server):
        assert fetch(server, "/stream").status == 500
    assert f"a piece of a body is text or bytes, not {type(piece).__name__}" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_sent_only_once(server, kind, caplog):
    serve(server, kind, ["one"])
    with running(server):
        assert fetch(server, "/stream").text == "one"
        answer = fetch(server, "/stream")
    assert answer.status == 500
    assert "a response whose body is an iterator can be sent only once" in answer.text
    assert len(problems(caplog)) == 1


def test_a_response_of_bytes_may_be_sent_again_and_again(server):
    response = Response(b"bytes")
    server.urlHandler("/")(lambda request: response)
    with running(server):
        assert {fetch(server).body for _ in range(3)} == {b"bytes"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stream_raises_when_it_is_closed_is_logged_and_harms_nothing(server, kind, caplog):
    class Failing(Asynchronous if kind == "async" else Plain):
        def _close(self):
            raise KeyError("in close")

    server.urlHandler("/stream")(lambda request: Response(Failing(["one"])))
    with running(server), connect(server) as sock:
        for _ in range(2):
            sock.sendall(REQUEST % b"stream")
            assert receive_response(sock).body == b"one"
    assert len(problems(caplog)) == 2
    assert "in close" in caplog.text


# --- the access log ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [["first", "second"], ["first", "second", KeyError("late")]])
def test_the_access_log_has_the_bytes_that_were_sent(server, kind, pieces, caplog):
    serve(server, kind, pieces)
    with running(server, verbosity=1):
        ask(server, LAST_REQUEST % b"stream")
        wait_until(lambda: "GET /stream" in caplog.text)
    line = next(one for one in caplog.messages if '"GET /stream' in one)
    assert line.endswith('" 200 11')


# --- turns ---


class Taking:
    """A transport that takes up to so many bytes."""

    def __init__(self, most):
        self.left = most

    def send(self, data, more=False):
        count = min(self.left, len(data))
        self.left -= count
        return count


class Feeding:
    """In place of producers: what is made is always there."""

    def __init__(self, pieces):
        self.producer = None
        self._pieces = pieces

    def start(self, body, tell):
        return self

    def take(self):
        return self._pieces.read()

    def take_error(self):
        return None

    def cancel(self):
        pass


def begin(most, pieces, asynchronous):
    """Return a delivery of pieces to a client that takes so many bytes."""
    delivery = Delivery(Taking(most))
    source = Pieces(pieces)
    body = StreamBody(source, asynchronous)
    delivery.begin(b"head", CHUNKED, body, Feeding(source), lambda: None)
    return delivery


@pytest.mark.parametrize("step", ["advance", "pull"])
def test_a_stream_that_could_go_on_for_ever_gives_others_their_turn(step):
    delivery = begin(1 << 40, itertools.repeat(b"x", 500_000), step == "advance")
    assert getattr(delivery, step)() is Progress.BLOCKED
    assert delivery.streams
    assert delivery.moved


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_client_moves_as_long_as_it_takes_anything(asynchronous):
    """A client that takes nothing of a new piece, but took the one before, is no dead one."""
    delivery = begin(len(b"head1\r\nx\r\n"), [b"x", b"yy"], asynchronous)
    step = delivery.advance if asynchronous else delivery.pull
    assert step() is Progress.BLOCKED
    assert delivery.moved
    assert delivery.advance() is Progress.BLOCKED
    assert not delivery.moved
    delivery.clear()


# --- by hand ---


@pytest.mark.parametrize("length", [None, 16 << 20])
def test_a_handler_that_goes_on_when_its_client_was_lost_sends_nothing_more(server, length):
    """Bytes behind a gap would be taken for those that are missing."""
    lost, go_on = threading.Event(), threading.Event()

    def send(request, piece):
        try:
            request.sendBody(piece)
        except ConnectionError:
            lost.set()
            assert go_on.wait(PATIENCE)

    @server.urlHandler("/by-hand")
    def by_hand(request):
        response = Response()
        if length is not None:
            response.setHeader("Content-Length", length)
        request.sendHeaders(response)
        for _ in range(256):
            send(request, (b"y" if lost.is_set() else b"x") * 65536)

    server.setSettingsForPort({"SEND_TIMEOUT": 0.05, "KEEP_ALIVE_TIMEOUT": 60.0})
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % b"by-hand")
        assert lost.wait(PATIENCE)
        received = receive_until(sock, b"\r\n\r\nx" if length else b"\r\nxxx")
        go_on.set()
        received += receive_all(sock)
    assert b"y" not in received.partition(b"\r\n\r\n")[2]
    assert received.endswith(b"x")
    assert len(received) < 16 << 20


def test_a_handler_may_send_by_hand_what_it_reads(server):
    @server.urlHandler("/by-hand")
    def by_hand(request):
        request.sendHeaders(hwebserver.Response(content_type="text/plain"))
        for piece in ("one", b"", b"two"):
            request.sendBody(piece)

    with running(server), connect(server) as sock:
        for _ in range(2):
            sock.sendall(REQUEST % b"by-hand")
            assert receive_response(sock).body == b"onetwo"
