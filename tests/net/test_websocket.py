"""WebSockets on the wire: frames, limits, deadlines, order, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
import time
import zlib

import pytest
from support import PATIENCE, connect, fetch, receive_all, receive_response, running, wait_until
from wsclient import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    frame,
    head,
    text,
    websocket,
)

import hwebserver

DEFLATE = "permessage-deflate"


class Echo(hwebserver.WebSocket):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(bytes_data if text_data is None else text_data)


@pytest.fixture
def echo(server):
    """A server that has an echo at its root; it does not run yet."""
    server.webSocket("/")(Echo)
    return server


def packed(data):
    """Return data as a message of permessage-deflate."""
    compressor = zlib.compressobj(wbits=-12)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def unpacked(data):
    return zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


# --- frames ---


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ([text("gr\u00fcn")], [Frame(TEXT, "gr\u00fcn".encode())]),
        ([text("")], [Frame(TEXT, b"")]),
        ([frame(BINARY, b"\0\xff")], [Frame(BINARY, b"\0\xff")]),
        ([frame(TEXT, b"a", False), frame(0, b"b", False), frame(0, b"c")], [Frame(TEXT, b"abc")]),
        ([frame(TEXT, b"\xc3", False), frame(0, b"\xbc")], [Frame(TEXT, b"\xc3\xbc")]),
        ([frame(PING, b"p")], [Frame(PONG, b"p")]),
        ([frame(PING, b"x" * 125)], [Frame(PONG, b"x" * 125)]),
        ([frame(PING, b"%d" % n) for n in range(16)], [Frame(PONG, b"%d" % n) for n in range(16)]),
        ([frame(PONG, b"p"), text("a")], [Frame(TEXT, b"a")]),
        (
            [frame(TEXT, b"a", False), frame(PING, b"p"), frame(0, b"b")],
            [Frame(PONG, b"p"), Frame(TEXT, b"ab")],
        ),
        ([text("x" * 125)], [Frame(TEXT, b"x" * 125)]),
        ([text("x" * 126)], [Frame(TEXT, b"x" * 126)]),
        ([text("x" * 65535)], [Frame(TEXT, b"x" * 65535)]),
        ([text("x" * 65536)], [Frame(TEXT, b"x" * 65536)]),
        ([frame(BINARY, b"x" * (2 << 20))], [Frame(BINARY, b"x" * (2 << 20))]),
    ],
)
def test_messages_and_pings_come_back(echo, sent, received):
    with running(echo), websocket(echo) as client:
        client.send(*sent)
        assert [client.receive() for _ in received] == received
        client.send(close(1000))
        assert client.ended() == Frame(CLOSE, b"\x03\xe8")


FAULTS = {
    "unmasked": (frame(TEXT, b"a", masked=False), 1002),
    "unmasked ping": (frame(PING, b"a", masked=False), 1002),
    "rsv1 without the extension": (frame(TEXT, b"a", rsv=4), 1002),
    "rsv2": (frame(TEXT, b"a", rsv=2), 1002),
    "rsv3": (frame(TEXT, b"a", rsv=1), 1002),
    "opcode 3": (frame(3, b"a"), 1002),
    "opcode 11": (frame(11), 1002),
    "ping over 125": (frame(PING, b"x" * 126), 1002),
    "ping in fragments": (frame(PING, b"a", False), 1002),
    "close in fragments": (frame(CLOSE, b"\x03\xe8", False), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "text in a fragmented message": (frame(TEXT, b"a", False) + text("b"), 1002),
    "no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "no UTF-8 in a message that goes on": (frame(TEXT, b"a\xff", False), 1007),
    "no UTF-8 in a frame that goes on": (frame(TEXT, b"a\xff", length=1000), 1007),
    "a character that is not complete": (frame(TEXT, b"\xc3"), 1007),
    "close of 1 byte": (frame(CLOSE, b"\x03"), 1002),
    "close 999": (close(999), 1002),
    "close 1005": (close(1005), 1002),
    "close 1006": (close(1006), 1002),
    "close 5000": (close(5000), 1002),
    "close with a reason that is no UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "length with the highest bit": (frame(BINARY, length=1 << 63), 1002),
    "length 2^40": (frame(BINARY, length=1 << 40), 1009),
    "length of 2 in 16 bits": (b"\x81\xfe\0\x02" + bytes(4) + b"hi", 1002),
    "length of 2 in 64 bits": (b"\x81\xff" + bytes(7) + b"\x02" + bytes(4) + b"hi", 1002),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_answered_with_its_code_behind_the_good_message_before_it(echo, name):
    sent, code = FAULTS[name]
    with running(echo), websocket(echo) as client:
        client.send(text("good"), sent)
        assert client.message() == "good"
        got = client.ended()
    assert got.code == code
    assert got.payload.endswith(b".")  # a sentence says why


def test_messages_are_the_same_wherever_they_are_split(echo):
    data = text("gr\u00fcn") + frame(PING, b"p") + frame(BINARY, b"x" * 200)
    with running(echo), websocket(echo) as client:
        for byte in data:
            client.send(bytes([byte]))
        received = {client.receive() for _ in range(3)}
    assert received == {
        Frame(TEXT, "gr\u00fcn".encode()), Frame(PONG, b"p"), Frame(BINARY, b"x" * 200),
    }  # fmt: skip


def test_what_is_sent_behind_a_close_frame_is_passed_over(echo):
    with running(echo), websocket(echo) as client:
        client.send(text("a"), close(1001, "bye"), text("b"), frame(3))
        assert client.message() == "a"
        assert client.ended() == Frame(CLOSE, b"\x03\xe9")


@pytest.mark.parametrize("code", [None, 1000, 1001, 1003, 1011, 1014, 3000, 4999])
def test_the_code_of_a_client_is_given_back_to_it_and_to_the_session(server, code):
    codes = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def disconnect(self, code):
            codes.append(code)

    with running(server):
        with websocket(server) as client:
            client.send(close(code))
            assert client.ended().payload == (b"" if code is None else code.to_bytes(2, "big"))
        wait_until(lambda: codes)
    assert codes == [code or 1005]


# --- the handshake ---


def test_an_upgrade_is_answered_as_the_rfc_shows_it(echo):
    with running(echo), websocket(echo) as client:
        lines = client.answer.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert {"Upgrade: websocket", "Connection: Upgrade"} <= set(lines)
    assert f"Sec-WebSocket-Accept: {ACCEPT}" in lines
    assert not any(one.startswith("Sec-WebSocket-Ext") for one in lines)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(Sec_WebSocket_Key=None), 400),
        (head(Sec_WebSocket_Key="c2hvcnQ="), 400),
        (head(Sec_WebSocket_Key="!" * 22 + "=="), 400),
        (head().replace(b"\r\n\r\n", f"\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()), 400),
        (head(Sec_WebSocket_Version="12"), 426),
        (head(Sec_WebSocket_Version=None), 426),
        (head(Upgrade="h2c"), 426),
        (head(Connection="keep-alive"), 426),
        (head().replace(b"GET", b"POST"), 405),
        (head().replace(b"HTTP/1.1", b"HTTP/1.0"), 426),
        (head(Host=None), 400),
        (head(Content_Length="4") + b"body", 400),
        (head(Transfer_Encoding="chunked") + b"0\r\n\r\n", 400),
        (head(Sec_WebSocket_Protocol="a b"), 400),
        (head(Sec_WebSocket_Protocol="a, a"), 400),
        (head(Sec_WebSocket_Extensions="a;;="), 400),
        (head("/nothing"), 404),
    ],
)
def test_an_upgrade_that_is_none_is_refused(echo, request_head, status):
    with running(echo), connect(echo) as sock:
        sock.sendall(request_head)
        answer = receive_response(sock)
    assert answer.status == status
    if status == 426:
        assert answer.headers["Upgrade"] == "websocket"
        assert answer.headers["Sec-WebSocket-Version"] == "13"


@pytest.mark.parametrize(
    "fields",
    [
        {"Connection": "keep-alive, Upgrade"},
        {"Upgrade": "WebSocket"},
        {"Connection": "UPGRADE"},
        {"Content-Length": "0"},
        {"Sec-WebSocket-Protocol": " ,a,\t, b ,"},
        {"Sec-WebSocket-Extensions": 'x-unknown; a="b"'},
        {"Origin": "http://localhost"},
    ],
)
def test_an_upgrade_may_say_it_in_other_ways(echo, fields):
    with running(echo), websocket(echo, **fields) as client:
        client.send(text("a"))
        assert client.message() == "a"


def test_frames_in_the_packet_of_the_handshake_are_not_lost(echo):
    with running(echo), websocket(echo, early=text("early") + frame(PING, b"p")) as client:
        assert [client.receive(), client.receive()] == [Frame(PONG, b"p"), Frame(TEXT, b"early")]
        client.send(text("later"))
        assert client.message() == "later"


def test_an_upgrade_may_come_behind_another_request(echo):
    echo.urlHandler("/page")(lambda request: "page")
    with running(echo), connect(echo) as sock:
        sock.sendall(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n" + head() + text("a"))
        data = b""
        while not data.endswith(b"\x81\x01a"):
            data += sock.recv(65536)
    assert data.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 101 " in data


def test_a_connection_goes_on_behind_an_upgrade_that_was_refused(echo):
    with running(echo), connect(echo) as sock:
        sock.sendall(head("/nothing"))
        assert receive_response(sock).status == 404
        sock.sendall(head(Sec_WebSocket_Version="8"))
        assert receive_response(sock).status == 426


# --- compression ---


def test_messages_are_compressed_for_clients_that_offer_it(echo):
    with running(echo), websocket(echo, Sec_WebSocket_Extensions=DEFLATE) as client:
        assert b"Sec-WebSocket-Extensions: permessage-deflate" in client.answer
        for message in (b"hello " * 100, b"", b"\xc3\xbc" * 50):
            client.send(frame(TEXT, packed(message), rsv=4))
        first, second, third = (client.receive() for _ in range(3))
    assert first.rsv1
    assert len(first.payload) < 100
    assert unpacked(first.payload) == b"hello " * 100
    assert second.rsv1
    assert third.rsv1


def test_messages_that_are_not_compressed_may_come_all_the_same(echo):
    with running(echo), websocket(echo, Sec_WebSocket_Extensions=DEFLATE) as client:
        client.send(text("plain"))
        assert unpacked(client.receive().payload) == b"plain"


def test_compression_can_be_switched_off(echo):
    settings = {"WEBSOCKET_COMPRESSION": False}
    fields = {"Sec_WebSocket_Extensions": DEFLATE}
    with running(echo, settings=settings), websocket(echo, **fields) as client:
        assert b"Extensions" not in client.answer
        client.send(frame(TEXT, packed(b"a"), rsv=4))
        assert client.ended().code == 1002


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"\xff\xff garbage \xff", rsv=4), 1007),
        (frame(PING, b"a", rsv=4), 1002),
        (frame(TEXT, packed(b"a" * 99), False, rsv=4) + frame(0, b"b", rsv=4), 1002),
        (frame(BINARY, packed(bytes(40 << 20)), rsv=4), 1009),
        (frame(TEXT, packed(b"\xff"), rsv=4), 1007),
    ],
)
def test_compressed_faults_are_answered_with_their_code(echo, sent, code):
    with running(echo), websocket(echo, Sec_WebSocket_Extensions=DEFLATE) as client:
        client.send(frame(TEXT, packed(b"good"), rsv=4), sent)
        assert unpacked(client.receive().payload) == b"good"
        assert client.ended().code == code


# --- limits ---


@pytest.mark.parametrize("fields", [{}, {"Sec_WebSocket_Extensions": DEFLATE}])
@pytest.mark.parametrize("size", [999, 1000, 1001])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_size_of_a_message_has_a_limit(echo, fields, size, parts):
    pack = packed if fields else bytes
    payload, rsv = pack(b"x" * size), 4 if fields else 0
    sent = frame(TEXT, payload, rsv=rsv)
    if parts == 2:
        sent = frame(TEXT, payload[:3], False, rsv) + frame(0, payload[3:])
    settings = {"MAX_WEBSOCKET_MESSAGE_SIZE": 1000}
    with running(echo, settings=settings), websocket(echo, **fields) as client:
        client.send(sent)
        if size > 1000:
            assert client.ended().code == 1009
        else:
            answer = client.receive().payload
            assert (unpacked(answer) if fields else answer) == b"x" * size


def test_the_limit_is_16_mib_and_told_by_the_head_of_the_frame(echo):
    with running(echo):
        with websocket(echo) as client:
            client.send(frame(BINARY, length=(16 << 20) + 1))
            assert client.ended().code == 1009
        with websocket(echo) as client:
            client.send(frame(BINARY, length=16 << 20), frame(PING))
            client.sock.settimeout(0.01)
            with pytest.raises(socket.timeout):
                client.sock.recv(1)


@pytest.mark.parametrize("count", [10, 11, 12])
def test_the_number_of_frames_that_continue_a_message_has_a_limit(echo, count):
    with running(echo, settings={"MAX_WEBSOCKET_FRAGMENTS": 10}), websocket(echo) as client:
        client.send(frame(TEXT, b"a", False), *[frame(0, b"", False)] * (count - 2), frame(0))
        if count > 11:
            assert client.ended().code == 1009
        else:
            assert client.message() == "a"


def test_4_mib_may_come_in_frames_of_64_bytes(echo):
    pieces = [frame(0, b"x" * 64, False)] * 65535
    with running(echo), websocket(echo) as client:
        client.send(frame(BINARY, b"x" * 64, False), *pieces, frame(0))
        assert client.message() == b"x" * (4 << 20)


def test_very_many_empty_fragments_are_too_many(echo):
    with running(echo), websocket(echo) as client:
        client.send(frame(TEXT, b"", False))
        with contextlib.suppress(ConnectionError):
            client.send(frame(0, b"", False) * 100_000)
        assert client.ended().code == 1009


def test_a_flood_of_pings_is_answered_with_few_pongs_and_the_last(echo):
    pings = [frame(PING, b"%d" % number) for number in range(5000)]
    with running(echo), websocket(echo) as client:
        client.send(*pings, text("behind"))
        frames = [client.receive()]
        while Frame(PONG, b"4999") not in frames:
            frames.append(client.receive())
        assert len(frames) < 1000
        assert {one.opcode for one in frames} <= {PONG, TEXT}


def test_pings_of_a_client_that_does_not_read_fill_no_memory(server):
    seen = threading.Event()
    sockets = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            await self.accept()
            sockets.append(self)
            self.send(bytes(8 << 20))

        async def receive(self, message):
            seen.set()

    with running(server), websocket(server) as client:
        wait_until(lambda: sockets)
        queued = sockets[0]._channel
        for number in range(2000):
            client.send(frame(PING, b"%d" % number))
        client.send(text("end"))
        assert seen.wait(PATIENCE)
        assert len(queued._outgoing) < 10
        assert len(client.message()) == 8 << 20
        pongs = [client.receive()]
        while pongs[-1].payload != b"1999":
            pongs.append(client.receive())
        assert len(pongs) < 20


def test_messages_that_wait_for_a_busy_session_are_bounded(server):
    go_on = threading.Event()
    sockets, sizes = [], []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        def connect(self):
            sockets.append(self)
            self.accept()

        def receive(self, message):
            go_on.wait(PATIENCE)
            sizes.append(len(message))

    with running(server), websocket(server) as client:
        for _ in range(30):
            client.sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send(frame(BINARY, bytes(500_000)))
        inbox = sockets[0]._channel
        wait_until(lambda: inbox._inbox and not inbox._reading)
        assert sum(map(len, inbox._inbox)) <= 1 << 20
        go_on.set()
        wait_until(lambda: len(sizes) > 2)
    assert set(sizes) == {500_000}


# --- clients that do not read ---


def slow_client(server, path="/"):
    """Return a connection with a small buffer, on which an upgrade is asked for."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", server.port()))
    sock.sendall(head(path))
    return sock


def test_a_client_that_does_not_read_is_closed_with_1013_and_delays_no_other(server, caplog):
    codes = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def disconnect(self, code):
            codes.append(code)

    settings = {"MAX_WEBSOCKET_QUEUE_SIZE": 1 << 20, "WEBSOCKET_CLOSE_TIMEOUT": 0.05}
    with running(server, settings=settings), contextlib.closing(slow_client(server)) as slow:
        with websocket(server) as quick:
            wait_until(lambda: len(server.webSockets("/")) == 2)
            channels = [one._channel for one in server.webSockets("/")]
            while 1013 not in codes:
                server.broadcast("/", bytes(500_000))
                assert quick.message() == bytes(500_000)
            assert codes == [1013]
            server.broadcast("/", "last")
            assert quick.message() == "last"
            # It is cut off behind the close deadline: it never sees the end of what waited.
            wait_until(lambda: any(one._gone for one in channels))
        data = receive_all(slow)
        assert not data.endswith(b"\x03\xf5the client does not read")
    assert warnings(caplog).count("a WebSocket is closed: its client does not read") == 1


def test_a_client_that_reads_again_in_time_sees_1013(server):
    sockets = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            await self.accept()
            sockets.append(self)

    with running(server, settings={"MAX_WEBSOCKET_QUEUE_SIZE": 0}), websocket(server) as client:
        wait_until(lambda: sockets)
        with contextlib.suppress(ConnectionError):
            while True:
                sockets[0].send(bytes(1 << 20))
        assert client.message() == bytes(1 << 20)
        got = client.receive()
        while got.opcode != CLOSE:
            got = client.receive()
        assert got.code == 1013
        client.send(close(1013))
        assert client.receive() is None


def test_a_coroutine_that_awaits_send_waits_for_its_client_and_holds_up_nobody(server):
    sent = []

    @server.webSocket("/much")
    class Much(hwebserver.WebSocket):
        async def connect(self, req):
            await self.accept()
            for number in range(12):
                await self.send(bytes(1 << 20))
                sent.append(number)

    server.webSocket("/")(Echo)
    with running(server), contextlib.closing(slow_client(server, "/much")) as slow:
        wait_until(lambda: sent)
        with websocket(server) as quick:
            quick.send(text("quick"))
            assert quick.message() == "quick"
        assert len(sent) < 12
        total = 0
        while total < 12 << 20:
            total += len(slow.recv(1 << 20))
        wait_until(lambda: len(sent) == 12)


def test_cancelling_one_task_that_awaits_send_leaves_the_others_waiting(server):
    ended = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            await self.accept()
            self.send(bytes(8 << 20))
            first, second = [asyncio.ensure_future(self.later()) for _ in range(2)]
            await asyncio.sleep(0)
            first.cancel()
            results = await asyncio.gather(first, second, return_exceptions=True)
            ended.extend(type(one) for one in results)

        async def later(self):
            await self.send("x")

    with running(server), websocket(server) as client:
        assert len(client.message()) == 8 << 20
        assert [client.message(), client.message()] == ["x", "x"]
        wait_until(lambda: ended)
    assert ended == [asyncio.CancelledError, type(None)]


# --- deadlines ---


def test_a_silent_client_is_pinged_and_stays_while_it_answers(echo):
    with running(echo, settings={"WEBSOCKET_PING_INTERVAL": 0.02}), websocket(echo) as client:
        for _ in range(3):
            assert client.receive() == Frame(PING, b"")
            client.send(frame(PONG))
        client.send(text("still here"))
        assert client.receive().opcode in (TEXT, PING)


def test_a_client_that_answers_no_ping_is_dropped(server):
    codes = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def disconnect(self, code):
            codes.append(code)

    settings = {"WEBSOCKET_PING_INTERVAL": 0.02, "WEBSOCKET_PING_TIMEOUT": 0.02}
    with running(server, settings=settings), websocket(server) as client:
        assert client.receive() == Frame(PING, b"")
        assert client.receive() is None
        wait_until(lambda: codes)
    assert codes == [1006]


def test_any_byte_is_a_sign_of_life(echo):
    settings = {"WEBSOCKET_PING_INTERVAL": 0.02, "WEBSOCKET_PING_TIMEOUT": 0.3}
    message = text("x" * 100)
    with running(echo, settings=settings), websocket(echo) as client:
        for number in range(5):
            while client.receive() != Frame(PING, b""):
                pass
            client.send(message[number : number + 1])  # a part of a frame, and no pong
        client.send(message[5:])
        got = client.receive()
        while got.opcode == PING:
            got = client.receive()
        assert got.payload == b"x" * 100


def test_without_an_interval_nobody_is_pinged(echo):
    settings = {"WEBSOCKET_PING_INTERVAL": 0, "WEBSOCKET_PING_TIMEOUT": 0.01}
    with running(echo, settings=settings), websocket(echo) as client:
        client.sock.settimeout(0.05)
        with pytest.raises(socket.timeout):
            client.sock.recv(1)


def test_a_loop_that_was_held_up_kills_no_client_that_has_sent_something(server):
    blocked = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def receive(self, message):
            if message == "block":
                blocked.append(message)
                time.sleep(0.3)  # what this test is about
            await self.send(message)

    settings = {"WEBSOCKET_PING_INTERVAL": 0.05, "WEBSOCKET_PING_TIMEOUT": 0.05}
    with running(server, settings=settings), websocket(server) as one, websocket(server) as two:
        for client in (one, two):
            assert client.receive() == Frame(PING, b"")
        one.send(text("block"))
        wait_until(lambda: blocked)
        two.send(text("alive"))
        for client, message in ((two, b"alive"), (one, b"block")):
            got = client.receive()
            while got.opcode == PING:
                client.send(frame(PONG))
                got = client.receive()
            assert got == Frame(TEXT, message)


def test_a_client_whose_session_is_behind_is_not_blamed_for_what_is_not_read(server):
    go_on, pinged = threading.Event(), []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        def receive(self, message):
            go_on.wait(PATIENCE)

        async def disconnect(self, code):
            pinged.append(code)

    settings = {"WEBSOCKET_PING_INTERVAL": 0.02, "WEBSOCKET_PING_TIMEOUT": 0.02}
    with running(server, settings=settings), websocket(server) as client:
        client.send(*[text("x")] * 40)
        for _ in range(4):  # Nothing is read of it, yet it is pinged and stays.
            assert client.receive() == Frame(PING, b"")
        go_on.set()
        client.send(close(1000))
        while client.receive().opcode == PING:
            pass
        wait_until(lambda: pinged == [1000])


def test_an_upgrade_that_is_not_accepted_in_time_is_answered_503(server, caplog):
    cancelled = threading.Event()

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    with running(server, settings={"WEBSOCKET_OPEN_TIMEOUT": 0.02}), connect(server) as sock:
        sock.sendall(head())
        assert receive_response(sock).status == 503
        assert sock.recv(1) == b""
        assert cancelled.wait(PATIENCE)
    assert warnings(caplog) == ["an upgrade was not accepted in 0.02 s"]


def test_a_client_that_does_not_answer_a_close_frame_is_cut_off(server):
    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def receive(self, message):
            await self.close(4001, "enough")

    with running(server, settings={"WEBSOCKET_CLOSE_TIMEOUT": 0.02}), websocket(server) as client:
        client.send(text("a"))
        assert client.receive() == Frame(CLOSE, b"\x0f\xa1enough")
        assert client.receive() is None
        wait_until(lambda: not server.webSockets("/"))


def test_a_client_that_does_not_close_the_connection_is_cut_off(echo):
    with running(echo, settings={"WEBSOCKET_CLOSE_TIMEOUT": 0.02}), websocket(echo) as client:
        client.send(close())
        assert client.ended().code == 1000
        wait_until(lambda: is_reset(client.sock))


def is_reset(sock):
    try:
        sock.send(b"x")
    except ConnectionError:
        return True
    return False


def test_the_beginning_of_a_frame_holds_no_client_that_is_pinged(echo):
    settings = {"WEBSOCKET_PING_INTERVAL": 0.02, "WEBSOCKET_PING_TIMEOUT": 0.02}
    with running(echo, settings=settings), websocket(echo) as client:
        client.send(text("whole")[:3])
        assert client.receive() == Frame(PING, b"")
        assert client.receive() is None


# --- clients that leave ---


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_vanishes_ends_its_session_with_1006(server, reset):
    codes = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def disconnect(self, code):
            codes.append((code, len(server.webSockets("/"))))

    with running(server):
        with websocket(server) as client:
            wait_until(lambda: server.webSockets("/"))
            if reset:
                linger = struct.pack("ii", 1, 0)
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wait_until(lambda: codes)
    assert codes == [(1006, 0)]


def test_a_client_that_only_stops_sending_has_left(server):
    codes = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def disconnect(self, code):
            codes.append(code)

    with running(server), websocket(server) as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert client.receive() is None
        wait_until(lambda: codes)
    assert codes == [1006]


def test_a_client_that_leaves_before_the_accept_has_its_connect_cancelled(server, caplog):
    began, ended = threading.Event(), []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        async def disconnect(self, code):
            ended.append("disconnect")

    # What a client sends before its upgrade is accepted waits in the system, its end with it.
    with running(server, settings={"WEBSOCKET_OPEN_TIMEOUT": 0.05}):
        with connect(server) as sock:
            sock.sendall(head())
            assert began.wait(PATIENCE)
        wait_until(lambda: ended)
    assert ended == ["cancelled"]
    assert "session" not in "".join(warnings(caplog))


# --- many ---


def test_many_open_sockets_hold_no_worker(echo):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * 2000 + 200
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    count = min(2000, (max(limit, soft) - 200) // 2)
    echo.urlHandler("/page")(lambda request: "page")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, soft), hard))
    try:
        with running(echo, max_num_threads=1), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(websocket(echo)) for _ in range(count)]
            assert fetch(echo, "/page").text == "page"
            wait_until(lambda: len(echo.webSockets("/")) == count)
            assert echo.broadcast("/", "all") == count
            assert {client.message() for client in clients} == {"all"}
            assert sum(one.name.startswith("hwebserver") for one in threading.enumerate()) <= 3
            assert fetch(echo, "/page").text == "page"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_open_sockets_count_as_connections(echo):
    with running(echo, settings={"MAX_CONNECTIONS": 2}):
        with websocket(echo), websocket(echo), connect(echo) as third:
            third.sendall(head())
            assert receive_response(third).status == 503
        wait_until(lambda: not echo.webSockets("/"))
        with websocket(echo) as client:
            client.send(text("room again"))
            assert client.message() == "room again"


# --- the end of the server ---


def test_open_sockets_are_closed_with_1001_at_the_shutdown(server):
    codes = []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def disconnect(self, code):
            await asyncio.sleep(0.01)
            codes.append(code)

    @server.webSocket("/plain")
    class Plain(hwebserver.WebSocket):
        def disconnect(self, code):
            time.sleep(0.01)
            codes.append(code)

    with running(server), websocket(server) as one, websocket(server, "/plain") as two:
        server.requestShutdown()
        for client in (one, two):
            assert client.receive().code == 1001
            client.send(close(1001))
            assert client.receive() is None
            client.sock.close()
        wait_until(lambda: not server.isRunning())
        assert codes == [1001, 1001]


def test_a_client_that_does_not_answer_outlasts_no_shutdown(echo):
    settings = {"WEBSOCKET_CLOSE_TIMEOUT": 0.05}
    with running(echo, settings=settings), websocket(echo) as client:
        echo.requestShutdown()
        assert client.receive().code == 1001
        wait_until(lambda: not echo.isRunning())
        assert client.receive() is None


@pytest.mark.parametrize("plain", [False, True])
def test_a_session_that_is_stuck_in_receive_outlasts_no_shutdown(server, plain, caplog):
    stuck, go_on = threading.Event(), threading.Event()

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def receive(self, message):
            stuck.set()
            await asyncio.Event().wait()

    @server.webSocket("/plain")
    class Plain(hwebserver.WebSocket):
        def receive(self, message):
            stuck.set()
            go_on.wait(PATIENCE)

        def disconnect(self, code):
            raise AssertionError("the server has stopped")

    settings = {"SHUTDOWN_TIMEOUT": 0.05, "WEBSOCKET_CLOSE_TIMEOUT": 0.02}
    with running(server, settings=settings):
        with websocket(server, "/plain" if plain else "/") as client:
            client.send(text("a"))
            assert stuck.wait(PATIENCE)
            server.requestShutdown()
            assert client.receive().code == 1001
            assert client.receive() is None
            wait_until(lambda: not server.isRunning())
        go_on.set()
    assert warnings(caplog) == []


def test_a_plain_method_that_sends_when_the_server_has_stopped_is_told_so(server):
    stuck, go_on, errors = threading.Event(), threading.Event(), []

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        def receive(self, message):
            stuck.set()
            go_on.wait(PATIENCE)
            try:
                self.send("late")
            except ConnectionError as error:
                errors.append(error)

    with running(server, settings={"SHUTDOWN_TIMEOUT": 0.0}), websocket(server) as client:
        client.send(text("a"))
        assert stuck.wait(PATIENCE)
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        go_on.set()
        wait_until(lambda: errors)


def test_an_upgrade_that_waits_is_refused_at_the_shutdown(server):
    began = threading.Event()

    @server.webSocket("/")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            began.set()
            await asyncio.Event().wait()

    with running(server), connect(server) as sock:
        sock.sendall(head())
        assert began.wait(PATIENCE)
        server.requestShutdown()
        assert receive_response(sock).status == 503
        sock.close()
        wait_until(lambda: not server.isRunning())


def test_a_second_run_serves_new_sockets(echo):
    for number in range(2):
        with running(echo), websocket(echo) as client:
            client.send(text(str(number)))
            assert client.message() == str(number)
        assert echo.webSockets("/") == []
