"""TLS: what is promised to clients that encrypt, to those that do not, and to those that stall."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import os
import random
import shutil
import socket
import ssl
import struct
import sys
import threading
from pathlib import Path

import pytest
from certificates import PASSWORD, connect_tls
from support import (
    PATIENCE,
    Answer,
    connect,
    receive_all,
    receive_response,
    receive_until,
    running,
    wait_until,
)
from wsclient import Client, close, head, text

import hwebserver
from hwebserver.net import tls as tls_module

GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = 6_000_000


@pytest.fixture
def secure(server, certificates):
    """A server with a certificate; it does not run yet."""
    server.setSettingsForPort(
        {"SSL_CERTIFICATE": certificates.server, "SSL_CERTIFICATE_KEY": certificates.server_key}
    )
    server.urlHandler("/hello")(lambda request: "hello")
    return server


@pytest.fixture
def context(certificates):
    """What a client needs that trusts the server."""
    return certificates.client_context()


def get(server, context, path="/hello", method="GET", body=None, port="main"):
    """Make one request with a client of the standard library."""
    connection = http.client.HTTPSConnection(
        "localhost", server.port(port), timeout=PATIENCE, context=context
    )
    with contextlib.closing(connection):
        connection.request(method, path, body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def closing(path=b"hello", minor=1):
    return b"GET /%s HTTP/1.%d\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (path, minor)


def refused(server, **settings):
    """Return why a server does not start with these settings."""
    server.setSettingsForPort(settings)
    with pytest.raises(hwebserver.OperationFailed) as caught:
        server.run(0, in_background=True)
    return str(caught.value)


class Memory:
    """A client whose records are seen and sent by the test, in pieces of its choice."""

    def __init__(self, sock, context):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def step(self, function, *arguments):
        """Call a method of TLS; return what it returns, or None when it waits for the server."""
        try:
            return function(*arguments)
        except ssl.SSLWantReadError:
            return None

    def flush(self, size=1 << 20):
        """Send what there is to send, in pieces."""
        data = self.outgoing.read()
        for start in range(0, len(data), size):
            self.sock.sendall(data[start : start + size])

    def fill(self):
        data = self.sock.recv(65536)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def shake_hands(self, size=1 << 20):
        while True:
            done = self.step(lambda: self.tls.do_handshake() or True)
            self.flush(size)
            if done:
                return
            self.fill()

    def read(self, mark=b""):
        """Read until a mark has come; to the end, if there is none."""
        data = b""
        while not mark or mark not in data:
            try:
                piece = self.step(self.tls.read, 65536)
            except ssl.SSLZeroReturnError:
                return data  # Both have said that they are done.
            if piece is None:
                self.fill()
            elif piece:
                data += piece
            else:
                return data
        return data


# --- requests ---


def test_a_request_is_answered_and_knows_that_it_is_secure(secure, context):
    secure.urlHandler("/where")(
        lambda request: [request.isSecure(), request.scheme(), request.absoluteURI("/x")]
    )
    with running(secure):
        port = secure.port()
        assert secure.url("/a") == f"https://127.0.0.1:{port}/a"
        answer = get(secure, context, "/where")
        assert answer.text == f'[true, "https", "https://localhost:{port}/x"]'


def test_a_redirect_stays_with_https(secure, context):
    secure.urlHandler("/go")(lambda request: hwebserver.redirect(request, "/there"))
    with running(secure):
        location = get(secure, context, "/go").headers["Location"]
        assert location == f"https://localhost:{secure.port()}/there"


def test_a_mounted_application_is_told(secure, context):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['wsgi.url_scheme']} {environ.get('HTTPS')}".encode()]

    async def asgi(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["scheme"].encode()})

    secure.registerWSGIApp(application, "/wsgi")
    secure.registerASGIApp(asgi, "/asgi")
    with running(secure):
        assert get(secure, context, "/wsgi").text == "https on"
        assert get(secure, context, "/asgi").text == "https"


def test_a_plain_port_beside_it_is_not_secure(secure, context):
    secure.setSettingsForPort({"PORT": 0}, "plain")
    own = {"SSL_CERTIFICATE": None, "SSL_CERTIFICATE_KEY": None}
    secure.setSettingsForPort(own, "plain")
    secure.urlHandler("/secure", ports=[-1])(lambda request: str(request.isSecure()))
    with running(secure, ports=["plain"]), connect(secure, "plain") as sock:
        sock.sendall(GET % b"secure")
        assert receive_response(sock).text == "False"
        assert get(secure, context, "/secure").text == "True"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_with_alpn(secure, context, version):
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with running(secure), connect_tls(secure, context) as sock:
        assert sock.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        assert sock.selected_alpn_protocol() == "http/1.1"
        sock.sendall(GET % b"hello")
        assert receive_response(sock).text == "hello"


def test_a_connection_is_kept_and_requests_may_come_at_once(secure, context):
    secure.urlHandler("/number")(lambda request: request.queryString())
    with running(secure), connect_tls(secure, context) as sock:
        for _ in range(3):
            sock.sendall(GET % b"hello")
            assert receive_response(sock).text == "hello"
        sock.sendall(b"".join(GET % b"number?%d" % n for n in range(100)))
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 100 or not data.endswith(b"\r\n\r\n99"):
            data += sock.recv(65536)
        assert [int(one.rpartition(b"\r\n\r\n")[2]) for one in data.split(b"HTTP/1.1")[1:]] == [
            *range(100)
        ]


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 65537, LARGE])
def test_a_body_of_any_size_arrives_as_it_is(secure, context, tmp_path, size):
    data = random.Random(size).randbytes(size)
    (tmp_path / "file.bin").write_bytes(data)
    secure.registerStaticFilesDirectory(str(tmp_path), "/files")
    secure.urlHandler("/memory")(lambda request: data)
    secure.urlHandler("/echo")(lambda request: request.body())
    secure.urlHandler("/stream")(
        lambda request: hwebserver.Response(iter([data[: size // 3], data[size // 3 :]]))
    )
    with running(secure):
        for path in ("/memory", "/files/file.bin", "/stream"):
            assert get(secure, context, path).body == data, path
        assert get(secure, context, "/echo", "POST", data).body == data


def test_a_large_upload_of_a_form_arrives_as_it_is(secure, context):
    data = random.Random(1).randbytes(LARGE)

    @secure.urlHandler("/upload")
    def upload(request):
        return hashlib.sha256(request.files()["file"].read()).hexdigest()

    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + data
    body += b"\r\n--x--\r\n"
    fields = b"Host: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    request = b"POST /upload HTTP/1.1\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body)
    with running(secure), connect_tls(secure, context) as sock:
        sock.sendall(request + body)
        assert receive_response(sock).text == hashlib.sha256(data).hexdigest()


@pytest.fixture
def small_buffers(monkeypatch):
    """Have the system take less than a record at a time; return what of each was not taken."""
    left = []
    begin, send = tls_module.TLSTransport.__init__, tls_module.TLSTransport.send

    def small(self, transport, context):
        transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        begin(self, transport, context)

    def count(self, data, more=False):
        sent = send(self, data, more)
        left.append(len(data) - sent)
        return sent

    monkeypatch.setattr(tls_module.TLSTransport, "__init__", small)
    monkeypatch.setattr(tls_module.TLSTransport, "send", count)
    return left


@pytest.mark.parametrize("path", ["memory", "files/file.bin", "stream", "hand"])
def test_what_the_system_takes_in_parts_arrives_whole(
    secure, context, tmp_path, small_buffers, path
):
    data = random.Random(2).randbytes(1_500_000)
    (tmp_path / "file.bin").write_bytes(data)
    secure.registerStaticFilesDirectory(str(tmp_path), "/files")
    secure.urlHandler("/memory")(lambda request: data)
    pieces = [data[start : start + 50_001] for start in range(0, len(data), 50_001)]
    secure.urlHandler("/stream")(lambda request: hwebserver.Response(iter(pieces)))

    @secure.urlHandler("/hand")
    def hand(request):
        response = hwebserver.Response("")
        response.setHeader("Content-Length", str(len(data)))
        response.sendHeaders(request)
        for piece in pieces:
            request.sendBody(piece)

    with running(secure), connect_tls(secure, context) as sock:
        sock.sendall(closing(path.encode()))
        answer = receive_all(sock)
    assert any(small_buffers)
    response, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in response:
        body = dechunk(body)
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()


def dechunk(data):
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            return body
        body += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]


def test_a_websocket_echoes_messages_of_all_sizes(secure, context):
    @secure.webSocket("/echo")
    class Echo(hwebserver.WebSocket):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(bytes_data if text_data is None else text_data)

    with running(secure), strict(context, connect(secure)) as sock:
        sock.sendall(head("/echo"))
        answer, _, rest = receive_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        client = Client(sock, answer, rest)
        for size in (0, 1, 20_000, 1_000_000):
            client.send(text("x" * size))
            assert client.message() == "x" * size
        client.send(close())
        assert client.ended().code == 1000


def test_a_coroutine_may_send_by_hand_while_its_client_sends_on(secure, context):
    data = random.Random(3).randbytes(400_000)

    @secure.urlHandler("/hand")
    async def hand(request):
        response = hwebserver.Response("")
        response.setHeader("Content-Length", str(len(data)))
        response.sendHeaders(request)
        for start in range(0, len(data), 1000):
            request.sendBody(data[start : start + 1000])

    with running(secure), connect_tls(secure, context) as sock:
        following = GET % b"hello"
        sock.sendall(GET % b"hand")
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < len(data):
            if len(following) > 1:
                sock.sendall(following[:1])
                following = following[1:]
            answer += sock.recv(5000)
        assert answer.partition(b"\r\n\r\n")[2] == data
        sock.sendall(following)
        assert receive_response(sock).text == "hello"


def test_a_coroutine_and_an_event_stream_answer(secure, context):
    @secure.urlHandler("/later")
    async def later(request):
        return "later"

    @secure.urlHandler("/events")
    def events(request):
        return hwebserver.eventStreamResponse(iter(["one", "two"]))

    with running(secure):
        assert get(secure, context, "/later").text == "later"
        assert b"data: two" in get(secure, context, "/events").body


# --- how it begins ---


def test_a_handshake_may_come_byte_by_byte(secure, context):
    with running(secure), contextlib.closing(connect(secure)) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Memory(plain, context)
        client.shake_hands(1)
        client.tls.write(GET % b"hello")
        client.flush(1)
        assert client.read(b"hello").startswith(b"HTTP/1.1 200 OK")


def test_clients_that_never_begin_hold_nobody_up(secure, context):
    with running(secure, max_num_threads=1), contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(contextlib.closing(connect(secure)))
        half = stack.enter_context(contextlib.closing(connect(secure)))
        half.sendall(b"\x16\x03\x01")
        for _ in range(3):
            assert get(secure, context).text == "hello"


@pytest.mark.parametrize("first", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
def test_a_handshake_has_a_deadline_that_does_not_move(secure, first):
    secure.setSettingsForPort({"SSL_HANDSHAKE_TIMEOUT": 0.1, "HEAD_TIMEOUT": 3600.0})
    with running(secure), connect(secure) as sock:
        sock.sendall(first)
        assert receive_all(sock) == b""


def test_a_head_behind_a_handshake_has_its_own_deadline(secure, context):
    secure.setSettingsForPort({"SSL_HANDSHAKE_TIMEOUT": 3600.0, "HEAD_TIMEOUT": 0.1})
    with running(secure), connect_tls(secure, context) as sock:
        assert receive_all(sock) == b""


def test_what_is_not_encrypted_is_told_to_be(secure, context, caplog):
    with running(secure), connect(secure) as sock:
        sock.sendall(GET % b"hello")
        answer = receive_all(sock).decode()
        assert answer.startswith("HTTP/1.1 400 Bad Request\r\n")
        assert "This port speaks https" in answer
        assert get(secure, context).text == "hello"
    lines = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert lines == ["127.0.0.1: 400: This port speaks https, and this was http."]


def test_what_is_encrypted_is_refused_by_a_plain_port(server, context, caplog):
    with running(server), connect(server) as sock, pytest.raises(ssl.SSLError):
        context.wrap_socket(sock, server_hostname="localhost")
    lines = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert lines == ["127.0.0.1: 400: This port speaks http, and this was the beginning of TLS."]


def test_garbage_gets_an_alert_and_a_line_in_the_log(secure, caplog):
    with running(secure):
        for _ in range(2):
            with connect(secure) as sock:
                sock.sendall(b"\x16\x03\x01\x00\x04abcd")
                assert receive_all(sock)[:1] == b"\x15"  # RFC 8446 5.1: an alert
    lines = [one.getMessage() for one in caplog.records if "handshake" in one.getMessage()]
    assert len(lines) == 2
    assert lines[0].startswith("127.0.0.1: the TLS handshake failed: ")


def test_an_alert_is_followed_by_no_reset(secure):
    with running(secure), connect(secure) as sock:
        sock.sendall(b"\x16\x03\x01\x00\x04abcd" + bytes(100_000))
        data = b""
        while piece := sock.recv(65536):
            data += piece
        assert data[:1] == b"\x15"


def test_a_client_that_resets_its_handshake_ends_nothing_else(secure, context, caplog):
    with running(secure):
        for first in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            sock = connect(secure)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(first)
            sock.close()
        assert get(secure, context).text == "hello"
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_an_old_version_is_refused_with_an_alert(secure, context):
    with running(secure), connect(secure) as sock:
        hello = b"\x03\x02" + bytes(32) + b"\0" + b"\0\x02\xc0\x13" + b"\x01\0"  # TLS 1.1
        message = b"\x01" + len(hello).to_bytes(3, "big") + hello
        sock.sendall(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
        alert = receive_all(sock)
        assert alert[0] == 21
        assert alert[-2:] == b"\x02\x46"  # fatal, protocol_version


def test_too_many_connections_close_without_plain_text(secure, context):
    secure.setSettingsForPort({"MAX_CONNECTIONS": 1})
    with running(secure), connect(secure) as first, connect(secure) as second:
        first.sendall(b"\x16")
        assert receive_all(second) == b""


def test_a_handshake_does_not_outlast_the_server(secure):
    with running(secure), connect(secure) as sock, connect(secure) as silent:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        secure.requestShutdown()
        assert receive_all(sock) == b""
        assert receive_all(silent) == b""


# --- how it ends ---


def strict(context, sock):
    """Return a client that tells an end without close_notify from one with it."""
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
    return context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)


def test_the_end_is_announced(secure, context):
    with running(secure), strict(context, connect(secure)) as sock:
        sock.sendall(closing())
        assert receive_all(sock).endswith(b"hello")


def test_the_end_of_an_idle_connection_is_announced(secure, context):
    secure.setSettingsForPort({"KEEP_ALIVE_TIMEOUT": 0.05})
    with running(secure), strict(context, connect(secure)) as sock:
        sock.sendall(GET % b"hello")
        assert receive_all(sock).endswith(b"hello")


def test_the_end_of_a_body_that_failed_is_not_announced(secure, context):
    @secure.urlHandler("/fails")
    def fails(request):
        def pieces():
            yield b"begun"
            raise RuntimeError("on purpose")

        return hwebserver.Response(pieces())

    with running(secure), strict(context, connect(secure)) as sock:
        sock.sendall(closing(b"fails", 0))
        with pytest.raises(ssl.SSLError):
            receive_all(sock)


def test_an_answer_behind_a_body_that_was_refused_is_not_lost(secure, context):
    secure.setSettingsForPort({"MAX_REQUEST_SIZE": 10})
    with running(secure), connect_tls(secure, context) as sock:
        start = b"POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
        sock.sendall(start + b"x" * 200_000)
        assert receive_all(sock).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_says_it_is_done_gets_its_answer(secure, context):
    with running(secure), contextlib.closing(connect(secure)) as plain:
        client = Memory(plain, context)
        client.shake_hands()
        client.tls.write(GET % b"hello")
        client.step(client.tls.unwrap)  # close_notify goes out with the request
        client.flush()
        plain.shutdown(socket.SHUT_WR)
        assert client.read(b"hello").startswith(b"HTTP/1.1 200 OK")


def test_the_end_of_a_client_that_stays_connected_is_noticed(secure, context):
    secure.setSettingsForPort({"KEEP_ALIVE_TIMEOUT": 3600.0})
    secure.urlHandler("/upload")(lambda request: str(len(request.body())))
    with running(secure), contextlib.closing(connect(secure)) as plain:
        client = Memory(plain, context)
        client.shake_hands()
        body = b"x" * 60_000  # whole records: what follows them is read in the same turn
        client.tls.write(
            b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n" + body
        )
        client.step(client.tls.unwrap)
        client.flush()
        assert b"60000" in client.read()


def test_a_client_that_vanishes_ends_an_upload_without_an_error(secure, context, caplog):
    secure.urlHandler("/upload")(lambda request: "never")
    with running(secure), connect_tls(secure, context) as sock:
        sock.sendall(
            b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n" + b"x" * 99
        )
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


@contextlib.contextmanager
def lone_transport(certificates):
    """A transport without a server, whose handshake is not done, and the other end."""
    ours, theirs = socket.socketpair()
    files = tls_module.TLSFiles(certificates.server, certificates.server_key)
    transport = tls_module.TLS(files).wrap(tls_module.Transport(ours), 0.0)
    with contextlib.closing(theirs), contextlib.closing(transport):
        yield transport, theirs


class Contrary:
    """An encrypted socket that wants the other thing than what it is asked for."""

    def recv(self, size):
        raise ssl.SSLWantWriteError

    def send(self, data):
        raise ssl.SSLWantReadError


def test_a_client_that_has_us_wait_for_it_both_ways_is_let_go_of(certificates):
    with lone_transport(certificates) as (transport, _):
        transport._tls = Contrary()
        assert transport.receive() == b""
        with pytest.raises(ssl.SSLError):
            transport.send(b"x")
        transport._tls = None


def test_reading_and_sending_wait_for_one_another(certificates):
    order = []

    class Slow:
        def recv(self, size):
            sender.start()
            sender.join(0.05)  # It ends only where it does not wait.
            order.append("received")
            return b"x"

        def send(self, data):
            order.append("sent")
            return len(data)

    with lone_transport(certificates) as (transport, _):
        transport._tls = Slow()
        sender = threading.Thread(target=transport.send, args=(b"x",))
        transport.receive()
        sender.join()
        transport._tls = None
    assert order == ["received", "sent"]


def test_nothing_is_ever_sent_in_plain(certificates, monkeypatch):
    with lone_transport(certificates) as (transport, theirs):
        with monkeypatch.context() as patched:
            # Another thread may send between the two halves of ending a connection.
            patched.setattr(socket.socket, "shutdown", lambda sock, how: None)
            transport.abort()
            with pytest.raises(ssl.SSLError):
                transport.send(b"secret")
        transport.end_sending()
        with pytest.raises(ConnectionError):
            transport.send(b"secret")
        transport.abort()
        transport.take_leave()
        with pytest.raises(ConnectionError):
            transport.send(b"secret")
        transport.close()
        assert receive_all(theirs) == b""


# --- certificates of clients ---


def ask(server, certificates, **settings):
    server.setSettingsForPort({"SSL_CLIENT_CA": certificates.ca, **settings})

    @server.urlHandler("/who")
    def who(request):
        certificate = request.clientCertificate()
        if certificate is None:
            return "nobody"
        return dict(pair for part in certificate["subject"] for pair in part)["commonName"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_with_a_certificate_is_known(secure, certificates, version):
    ask(secure, certificates)
    context = certificates.client_context("client", maximum_version=version)
    with running(secure), connect_tls(secure, context) as sock:
        for _ in range(2):
            sock.sendall(GET % b"who")
            assert receive_response(sock).text == "Ada"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("client", "alert"), [("", "CERTIFICATE|HANDSHAKE"), ("stranger", "CA")])
def test_a_client_without_one_is_told_in_an_alert(secure, certificates, version, client, alert):
    ask(secure, certificates)
    context = certificates.client_context(client, maximum_version=version)
    with running(secure), pytest.raises(ssl.SSLError, match=f"ALERT.*({alert})"):
        get(secure, context, "/who")


@pytest.mark.parametrize(("client", "name"), [("", "nobody"), ("client", "Ada")])
def test_a_certificate_may_be_optional(secure, certificates, client, name):
    ask(secure, certificates, SSL_VERIFY_PEER=False)
    with running(secure):
        assert get(secure, certificates.client_context(client), "/who").text == name


def test_a_wrong_certificate_is_refused_where_it_is_optional(secure, certificates):
    ask(secure, certificates, SSL_VERIFY_PEER=False)
    with running(secure), pytest.raises(ssl.SSLError):
        get(secure, certificates.client_context("stranger"), "/who")


def test_no_certificate_is_asked_for_without_an_authority(secure, certificates):
    secure.urlHandler("/who")(lambda request: repr(request.clientCertificate()))
    with running(secure):
        assert get(secure, certificates.client_context("client"), "/who").text == "None"


# --- certificates that change ---


@pytest.fixture
def renewable(secure, certificates, tmp_path, monkeypatch):
    """A server whose certificate and key are copies, looked at whenever a connection comes."""
    monkeypatch.setattr(tls_module, "_LOOK_PAUSE", 0.0)
    paths = [tmp_path / "certificate.pem", tmp_path / "key.pem"]
    shutil.copy(certificates.server, paths[0])
    shutil.copy(certificates.server_key, paths[1])
    secure.setSettingsForPort(
        {"SSL_CERTIFICATE": str(paths[0]), "SSL_CERTIFICATE_KEY": str(paths[1])}
    )
    return paths


def shown(server, context):
    with connect_tls(server, context) as sock:
        certificate = sock.getpeercert()
        return dict(pair for part in certificate["subject"] for pair in part)["commonName"]


def test_a_certificate_that_is_replaced_is_read_again(secure, certificates, renewable, context):
    with running(secure), connect_tls(secure, context) as kept:
        assert shown(secure, context) == "localhost"
        shutil.copy(certificates.renewed_key, renewable[1])
        shutil.copy(certificates.renewed, renewable[0])
        wait_until(lambda: shown(secure, context) == "renewed")
        kept.sendall(GET % b"hello")
        assert receive_response(kept).text == "hello"


def test_a_bad_certificate_leaves_the_old_one_and_is_logged_once(
    secure, certificates, renewable, context, caplog
):
    def warnings():
        return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]

    with running(secure):
        renewable[0].write_text("no certificate")
        wait_until(lambda: shown(secure, context) == "localhost" and warnings())
        for _ in range(5):
            assert shown(secure, context) == "localhost"
        assert len(warnings()) == 1
        assert "SSL_CERTIFICATE" in warnings()[0]
        shutil.copy(certificates.renewed_key, renewable[1])
        shutil.copy(certificates.renewed, renewable[0])
        wait_until(lambda: shown(secure, context) == "renewed")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_file_that_cannot_be_read_to_its_end_holds_nobody_up(secure, renewable, context):
    with running(secure):
        renewable[0].unlink()
        os.mkfifo(renewable[0])
        try:
            for _ in range(5):
                assert shown(secure, context) == "localhost"
        finally:
            # Whoever waits for a writer is let go.
            wait_until(lambda: opens(renewable[0]))


def opens(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


# --- what is wrong with the files ---


def test_a_chain_is_shown_whole(server, certificates, context):
    server.setSettingsForPort(
        {"SSL_CERTIFICATE": certificates.chain, "SSL_CERTIFICATE_KEY": certificates.chain_key}
    )
    with running(server):
        assert shown(server, context) == "chained"


def test_a_certificate_and_its_key_may_share_a_file(server, certificates, context, tmp_path):
    both = tmp_path / "both.pem"
    parts = [Path(path).read_text() for path in (certificates.server_key, certificates.server)]
    both.write_text("".join(parts))
    server.setSettingsForPort({"SSL_CERTIFICATE": str(both)})
    with running(server):
        assert shown(server, context) == "localhost"


def test_an_encrypted_key_is_opened_with_its_password(secure, certificates, context):
    secure.setSettingsForPort(
        {
            "SSL_CERTIFICATE_KEY": certificates.encrypted_key,
            "SSL_CERTIFICATE_KEY_PASSWORD": PASSWORD,
        }
    )
    with running(secure):
        assert shown(secure, context) == "localhost"


def test_parameters_for_diffie_hellman_are_used(secure, certificates, context, tmp_path):
    path = tmp_path / "dh.pem"
    path.write_text(FFDHE2048)
    secure.setSettingsForPort(
        {
            "SSL_CERTIFICATE": certificates.rsa,
            "SSL_CERTIFICATE_KEY": certificates.rsa_key,
            "SSL_DH_PARAMS": str(path),
        }
    )
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE")
    with running(secure), connect_tls(secure, context) as sock:
        assert sock.cipher()[0].startswith("DHE-")


#: RFC 7919 A.1, as ``openssl dhparam`` writes it.
FFDHE2048 = """-----BEGIN DH PARAMETERS-----
MIIBDAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAgICAOE=
-----END DH PARAMETERS-----
"""


def test_a_file_that_is_not_there_any_more_is_told(secure, tmp_path):
    path = tmp_path / "vanishes.pem"
    for name in ("SSL_CLIENT_CA", "SSL_DH_PARAMS", "SSL_CERTIFICATE_KEY", "SSL_CERTIFICATE"):
        path.write_text("")
        secure.setSettingsForPort({name: str(path)})
        path.unlink()
        reason = refused(secure)
        assert reason == f"{name} '{path}' cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("SSL_CERTIFICATE", "a certificate"),
        ("SSL_CERTIFICATE_KEY", "a private key"),
        ("SSL_CLIENT_CA", "a certificate"),
        ("SSL_DH_PARAMS", "Diffie-Hellman parameters"),
    ],
)
def test_a_file_of_another_kind_is_told(secure, tmp_path, name, what):
    path = tmp_path / "other.pem"
    path.write_text("something else")
    reason = f"{name} '{path}' cannot be used: it is no PEM file that holds {what}"
    assert refused(secure, **{name: str(path)}) == reason


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SSL_CERTIFICATE", "CERTIFICATE"),
        ("SSL_CERTIFICATE_KEY", "PRIVATE KEY"),
        ("SSL_CLIENT_CA", "CERTIFICATE"),
        ("SSL_DH_PARAMS", "DH PARAMETERS"),
    ],
)
def test_a_damaged_file_is_told(secure, tmp_path, name, kind):
    path = tmp_path / "damaged.pem"
    path.write_text(f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n")
    assert refused(secure, **{name: str(path)}).startswith(f"{name} '{path}' cannot be used: ")


def test_a_key_that_is_another_certificate_s_is_told(secure, certificates):
    reason = refused(secure, SSL_CERTIFICATE_KEY=certificates.renewed_key)
    assert certificates.renewed_key in reason
    assert f"the key is not that of SSL_CERTIFICATE '{certificates.server}'" in reason


def test_a_wrong_password_is_told_without_it(secure, certificates):
    own = {"SSL_CERTIFICATE_KEY_PASSWORD": "a wrong one"}
    reason = refused(secure, SSL_CERTIFICATE_KEY=certificates.encrypted_key, **own)
    assert "SSL_CERTIFICATE_KEY_PASSWORD does not open it" in reason
    assert "a wrong one" not in reason


def test_a_missing_password_is_told_and_nobody_is_asked(secure, certificates):
    reason = refused(secure, SSL_CERTIFICATE_KEY=certificates.encrypted_key)
    assert certificates.encrypted_key in reason
    assert "the key is encrypted, and SSL_CERTIFICATE_KEY_PASSWORD is not set" in reason


def test_a_certificate_without_a_key_is_told(server, certificates):
    reason = refused(server, SSL_CERTIFICATE=certificates.server)
    assert "no PEM file that holds a private key too (SSL_CERTIFICATE_KEY is not set)" in reason


@pytest.mark.parametrize("name", ["SSL_CERTIFICATE_KEY", "SSL_CLIENT_CA", "SSL_DH_PARAMS"])
def test_what_would_encrypt_nothing_is_told(server, certificates, name):
    reason = refused(server, **{name: certificates.ca})
    assert reason.startswith(f"{name} is ")
    assert "SSL_CERTIFICATE is not set" in reason


def test_what_is_sent_encrypted_is_counted_too(secure, context):
    with running(secure):
        assert get(secure, context).text == "hello"
        wait_until(lambda: secure.statistics()["connections"] == 0)
        numbers = secure.statistics()
    assert numbers["received"] > len("GET / HTTP/1.1")
    assert numbers["sent"] > len("hello")
