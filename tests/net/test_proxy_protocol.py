"""The PROXY protocol before connections: who is believed, and what begins without it."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from functools import partial

import pytest
from support import (
    PATIENCE,
    connect,
    receive_all,
    receive_response,
    receive_until,
    running,
    wait_until,
)
from wsclient import Client, head, text

import hwebserver
from hwebserver.net.connection import Connection

GET = b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n"
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ADDRESSES = bytes([203, 0, 113, 7, 192, 0, 2, 1]) + struct.pack("!HH", 40000, 443)
TLS_NOTE = b"\x20\0\5\1\0\0\0\0"
BLOCK = SIGNATURE + b"\x21\x11\0\x0c" + ADDRESSES
TLS_BLOCK = SIGNATURE + b"\x21\x11\0\x14" + ADDRESSES + TLS_NOTE
LOCAL = SIGNATURE + b"\x20\0\0\0"
LONG_LINE = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"

CLIENT = "203.0.113.7 False False"


@pytest.fixture
def proxied(server):
    """A server that expects the protocol; it does not run yet."""
    server.setSettingsForPort({"PROXY_PROTOCOL": True, "ALLOWED_HOSTS": ["*"]})
    server.urlHandler("/who")(
        lambda request: f"{request.clientAddress()[0]} {request.is_local} {request.isSecure()}"
    )
    return server


def refusals(caplog):
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("header", "who"),
    [
        (LINE, CLIENT),
        (BLOCK, CLIENT),
        (TLS_BLOCK, "203.0.113.7 False True"),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "2001:db8::7 False False"),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "127.0.0.1 True False"),
        (LOCAL, "127.0.0.1 True False"),
        (LONG_LINE, "127.0.0.1 True False"),
        (SIGNATURE + b"\x21\x31\0\xd8" + bytes(216), " False False"),
    ],
)
def test_the_client_is_who_the_proxy_says(proxied, header, who):
    with running(proxied):
        with connect(proxied) as sock:  # with the request behind it in one packet
            sock.sendall(header + GET)
            assert receive_response(sock).text == who
            sock.sendall(GET)  # and it is said once
            assert receive_response(sock).text == who
        with connect(proxied) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for place in range(len(header)):
                sock.sendall(header[place : place + 1])
            sock.sendall(GET)
            assert receive_response(sock).text == who


def test_the_access_log_names_the_client(proxied, caplog):
    caplog.set_level(logging.INFO, "hwebserver.access")
    with running(proxied, verbosity=1), connect(proxied) as sock:
        sock.sendall(LINE + GET)
        receive_response(sock)
        wait_until(lambda: "203.0.113.7" in caplog.text)


def taken_from(connection, part):
    """Say whether that part of a header is what a connection has taken."""
    return connection._proxy_header == part


def test_a_half_header_waits_without_work(proxied, monkeypatch):
    steps = []
    step = Connection._read_proxy_header

    def counted(self, now):
        steps.append(self)
        return step(self, now)

    monkeypatch.setattr(Connection, "_read_proxy_header", counted)
    with running(proxied):
        for half in (LINE[:20], BLOCK[:13], BLOCK[:20]):
            steps.clear()
            with connect(proxied) as sock:
                sock.sendall(half)
                wait_until(lambda: steps)
                waiting = steps[0]
                wait_until(partial(taken_from, waiting, half))
                taken = steps.count(waiting)
                for _ in range(20):
                    with connect(proxied) as other:
                        other.sendall(LINE + GET)
                        receive_response(other)
                assert steps.count(waiting) == taken
                whole = LINE if half in LINE else BLOCK
                sock.sendall(whole[len(half) :] + GET)
                assert receive_response(sock).text == CLIENT


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (GET, "does not begin with it"),
        (b"\x16\x03\x01", "does not begin with it"),
        (LONG_LINE[:-2] + b"x\r\n", "longer than 107"),
        (LINE.replace(b"40000", b"65536"), "port"),
        (SIGNATURE + b"\x21\x12\0\0", "family"),
    ],
)
def test_what_has_no_good_header_is_closed_without_an_answer(proxied, caplog, sent, reason):
    with running(proxied), connect(proxied) as sock:
        sock.sendall(sent)
        assert receive_all(sock) == b""
    (line,) = refusals(caplog)
    assert line.startswith("127.0.0.1: PROXY protocol: ")
    assert reason in line


def test_a_header_that_is_cut_off_is_noted_and_a_mere_connection_is_not(proxied, caplog):
    with running(proxied):
        for sent in (b"", LINE[:10]):
            with connect(proxied) as sock:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock) == b""
    (line,) = refusals(caplog)
    assert "cut off" in line


def test_a_header_that_comes_too_slowly_ends_the_connection(proxied, caplog):
    proxied.setSettingsForPort({"HEAD_TIMEOUT": 0.1, "SSL_HANDSHAKE_TIMEOUT": 3600.0})
    with running(proxied), connect(proxied) as sock:
        sock.sendall(LINE[:-1])
        assert receive_all(sock) == b""
    (line,) = refusals(caplog)
    assert "too slowly" in line


def test_a_connection_that_waits_for_its_header_does_not_hold_up_the_end(proxied):
    with running(proxied):
        sock = connect(proxied)
        sock.sendall(LINE[:10])
        wait_until(lambda: proxied.statistics()["connections"] == 1)
    with contextlib.closing(sock):
        assert receive_all(sock) == b""


def test_only_listed_peers_are_believed(proxied, caplog):
    proxied.setSettingsForPort({"TRUSTED_PROXIES": ["10.0.0.5"]})
    with running(proxied), connect(proxied) as sock:
        sock.sendall(LINE + GET)
        assert receive_all(sock) == b""
    (line,) = refusals(caplog)
    assert line.startswith("127.0.0.1: ")
    assert "TRUSTED_PROXIES" in line


def test_a_listed_peer_is_believed(proxied):
    proxied.setSettingsForPort({"TRUSTED_PROXIES": ["127.0.0.0/8"]})
    with running(proxied), connect(proxied) as sock:
        sock.sendall(BLOCK + GET)
        assert receive_response(sock).text == CLIENT


def test_a_wrong_entry_ends_the_start(proxied):
    proxied.setSettingsForPort({"TRUSTED_PROXIES": ["proxy.example"]})
    with pytest.raises(hwebserver.OperationFailed, match="TRUSTED_PROXIES"):
        proxied.run(0, in_background=True)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_peer_by_a_unix_socket_is_believed(proxied, tmp_path):
    path = tmp_path / "server.sock"
    proxied.setSettingsForPort({"ADDRESS": f"unix:{path}"})
    with running(proxied), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(LINE + GET)
        assert receive_response(sock).text == CLIENT


def test_hosts_are_judged_as_if_the_client_had_connected_itself(proxied):
    proxied.setSettingsForPort({"ALLOWED_HOSTS": ["localhost"]})
    with running(proxied), connect(proxied) as sock:
        sock.sendall(LINE + GET.replace(b"localhost", b"evil.example"))
        assert receive_response(sock).status == 400


@pytest.mark.parametrize("header", [LINE, BLOCK])
def test_tls_begins_behind_it(proxied, certificates, caplog, header):
    proxied.setSettingsForPort(
        {"SSL_CERTIFICATE": certificates.server, "SSL_CERTIFICATE_KEY": certificates.server_key}
    )
    with running(proxied):
        with connect(proxied) as sock:
            sock.sendall(header)
            context = certificates.client_context()
            with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
                wrapped.sendall(GET)
                assert receive_response(wrapped).text == "203.0.113.7 False True"
        with connect(proxied) as sock:
            sock.sendall(header + b"\x16garbage of a handshake")
            receive_all(sock)
    (line,) = refusals(caplog)
    assert line.startswith("203.0.113.7: the TLS handshake failed")


def test_the_handshake_behind_it_has_a_deadline_of_its_own(proxied, certificates):
    proxied.setSettingsForPort(
        {
            "SSL_CERTIFICATE": certificates.server,
            "SSL_CERTIFICATE_KEY": certificates.server_key,
            "HEAD_TIMEOUT": 3600.0,
            "SSL_HANDSHAKE_TIMEOUT": 0.1,
        }
    )
    with running(proxied), connect(proxied) as sock:
        sock.sendall(LINE)
        assert receive_all(sock) == b""


def test_a_websocket_opens_behind_it(proxied):
    @proxied.webSocket("/echo")
    class Echo(hwebserver.WebSocket):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data)

    with running(proxied), connect(proxied) as sock:
        sock.sendall(BLOCK + head("/echo"))
        answer, _, rest = receive_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        client = Client(sock, answer, rest)
        client.send(text("hello"))
        assert client.message() == "hello"
