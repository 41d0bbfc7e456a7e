"""A server behind real proxies that pass bytes on, and say by the PROXY protocol whose."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import zlib
from pathlib import Path

import pytest
from integration.components import find_module
from integration.haproxy import haproxy
from integration.nginx import nginx_stream
from support import PATIENCE, connect, receive_all, running, wait_until

import hwebserver

pytestmark = pytest.mark.integration

BLOB = bytes(range(256)) * 20000

#: An address of this machine that no proxy has: it tells a client from one.
CLIENT = "127.0.0.5"

VERSIONS = ["send-proxy", "send-proxy-v2"]

STREAM = """
    server {{
        listen 127.0.0.1:{ports[0]};
        proxy_pass {place};
        proxy_protocol on;
    }}
"""


@pytest.fixture
def proxied(server):
    """A server that expects the protocol; it does not run yet."""
    server.setSettingsForPort({"PROXY_PROTOCOL": True})

    @server.urlHandler("/who", methods=["GET"])
    def who(request):
        return [request.clientAddress(), request.serverAddress(), request.isSecure()]

    @server.urlHandler("/echo", methods=["POST"])
    def echo(request):
        return {"size": request.contentLength(), "checksum": zlib.crc32(request.body())}

    @server.webSocket("/socket")
    class Echo(hwebserver.WebSocket):
        async def connect(self, req):
            await self.accept()
            await self.send(req.clientAddress()[0])

        async def receive(self, text_data=None, bytes_data=None):
            await self.send(bytes_data if text_data is None else text_data)

    return server


@contextlib.contextmanager
def client_of(port, context=None):
    """Open a connection to a proxy from an address of its own; yield it and its address."""
    if context is None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", port, PATIENCE, source_address=(CLIENT, 0)
        )
    else:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE, source_address=(CLIENT, 0), context=context
        )
    with contextlib.closing(connection):
        connection.connect()
        yield connection, list(connection.sock.getsockname())


def ask(connection, path="/who", method="GET", body=None):
    """Make one request and return what JSON is answered."""
    connection.request(method, path, body, {"Host": "localhost"})
    response = connection.getresponse()
    assert response.status == 200
    return json.load(response)


def place_of(server):
    return f"127.0.0.1:{server.port()}"


@contextlib.contextmanager
def through(how, folder, server):
    """Run a proxy in front of a server, which is to say who connects in one way; yield its port."""
    if how == "nginx":
        with nginx_stream(folder, STREAM, place=place_of(server)) as port:
            yield port
    else:
        with haproxy(folder, place_of(server), how) as port:
            yield port


@pytest.mark.parametrize("how", [*VERSIONS, "nginx"])
def test_the_client_is_who_connected_to_the_proxy(proxied, tmp_path, how):
    with running(proxied), through(how, tmp_path, proxied) as port, client_of(port) as (one, name):
        for _ in range(2):
            assert ask(one) == [name, ["127.0.0.1", port], False]
        received = ask(one, "/echo", "POST", BLOB)
        assert received == {"size": len(BLOB), "checksum": zlib.crc32(BLOB)}


@pytest.mark.parametrize("how", [*VERSIONS, "nginx"])
def test_a_websocket_passes_and_knows_its_client(proxied, tmp_path, how):
    connect_to = find_module("websockets.sync.client").connect
    options = {"max_size": None, "proxy": None, "open_timeout": PATIENCE}
    with running(proxied), through(how, tmp_path, proxied) as port:
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE, (CLIENT, 0))
        with connect_to("ws://localhost/socket", sock=sock, **options) as client:
            assert client.recv(PATIENCE) == CLIENT
            for message in ["one", b"", BLOB]:
                client.send(message)
                assert client.recv(PATIENCE) == message


@pytest.mark.parametrize("how", [*VERSIONS, "nginx"])
def test_a_server_with_tls_reads_who_connected_before_the_handshake(
    proxied, tmp_path, certificates, how
):
    proxied.setSettingsForPort(
        {"SSL_CERTIFICATE": certificates.server, "SSL_CERTIFICATE_KEY": certificates.server_key}
    )
    context = certificates.client_context()
    with (
        running(proxied),
        through(how, tmp_path, proxied) as port,
        client_of(port, context) as (one, name),
    ):
        assert ask(one) == [name, ["127.0.0.1", port], True]


@pytest.mark.parametrize(("how", "secure"), [("send-proxy-v2-ssl", True), ("send-proxy-v2", False)])
def test_a_client_of_a_proxy_that_decrypts_is_secure_if_the_proxy_says_so(
    proxied, tmp_path, certificates, how, secure
):
    pair = tmp_path / "pair.pem"
    parts = [Path(one).read_text() for one in (certificates.server, certificates.server_key)]
    pair.write_text("".join(parts))
    with (
        running(proxied),
        haproxy(tmp_path, place_of(proxied), how, f"ssl crt {pair}") as port,
        client_of(port, certificates.client_context()) as (one, name),
    ):
        assert ask(one) == [name, ["127.0.0.1", port], secure]


def test_what_haproxy_notes_beside_the_addresses_is_passed_over(proxied, tmp_path):
    """It is a checksum, and the number that haproxy gives a connection."""
    options = "send-proxy-v2 proxy-v2-options crc32c,unique-id"
    with (
        running(proxied),
        haproxy(tmp_path, place_of(proxied), options) as port,
        client_of(port) as (one, name),
    ):
        assert ask(one)[0] == name


@pytest.mark.parametrize("version", VERSIONS)
def test_a_health_check_of_haproxy_is_nothing_to_log(proxied, tmp_path, caplog, version):
    """Its header says LOCAL or UNKNOWN: the proxy speaks for itself."""
    asked = []

    @proxied.urlHandler("/health")
    def health(request):
        asked.append(request.clientAddress()[0])
        return "well"

    check = (
        "check inter 50ms\n    option httpchk GET /health\n    http-check send hdr Host localhost"
    )
    with running(proxied), haproxy(tmp_path, place_of(proxied), f"{version} {check}") as port:
        wait_until(lambda: len(asked) > 1)
        with client_of(port) as (one, name):
            assert ask(one)[0] == name
    assert set(asked) == {"127.0.0.1"}
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_proxy_that_is_not_listed_gets_nothing(proxied, tmp_path, caplog, version):
    proxied.setSettingsForPort({"TRUSTED_PROXIES": ["192.0.2.1"]})
    with running(proxied), haproxy(tmp_path, place_of(proxied), version) as port:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert receive_all(sock) == b""
        wait_until(lambda: "TRUSTED_PROXIES" in caplog.text)


def test_a_client_cannot_say_so_a_second_time(proxied, tmp_path):
    """What a client sends itself comes behind the header of the proxy, and is no request."""
    request = b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        running(proxied),
        haproxy(tmp_path, place_of(proxied), "send-proxy-v2") as port,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as sock,
    ):
        sock.sendall(b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n" + request)
        assert receive_all(sock).startswith(b"HTTP/1.1 400 ")


def test_a_proxy_that_says_nothing_gets_nothing(proxied, tmp_path):
    with running(proxied), haproxy(tmp_path, place_of(proxied), "") as port:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert receive_all(sock) == b""
        with connect(proxied) as sock:
            sock.sendall(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert receive_all(sock) == b""
