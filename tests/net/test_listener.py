"""Listening sockets: which addresses there are to listen on."""

from __future__ import annotations

import contextlib
import errno
import socket

import pytest
from support import PATIENCE, fetch, receive_response, running

import hwebserver
from hwebserver.net import listener


def test_an_empty_address_is_loopback_alone():
    hosts = [(one.host, one.optional) for one in listener.resolve("", True)]
    assert hosts == [("127.0.0.1", False), ("::1", True)]
    assert [one.host for one in listener.resolve("", False)] == ["127.0.0.1"]


@pytest.mark.parametrize("text", ["127.0.0.1", "0.0.0.0"])
def test_an_address_is_itself(text):
    assert [one.host for one in listener.resolve(text, True)] == [text]


def test_every_address_may_be_of_one_family_or_of_both():
    assert [one.host for one in listener.resolve("::", True)] == ["::"]
    hosts = [(one.host, one.optional) for one in listener.resolve("*", True)]
    assert hosts == [("0.0.0.0", False), ("::", True)]
    assert [one.host for one in listener.resolve("*", False)] == ["0.0.0.0"]


def answers(server, host):
    """Say whether a server answers at an address of this machine."""
    try:
        with socket.create_connection((host, server.port()), timeout=PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return receive_response(sock).status == 404
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize(
    ("address", "hosts", "url"),
    [
        ("", ["127.0.0.1", "::1"], "http://127.0.0.1:"),
        ("0.0.0.0", ["127.0.0.1"], "http://127.0.0.1:"),
        ("::", ["::1"], "http://[::1]:"),
        ("[::1]", ["::1"], "http://[::1]:"),
        ("*", ["127.0.0.1", "::1"], "http://127.0.0.1:"),
    ],
)
def test_a_server_is_reached_at_its_addresses_alone(server, address, hosts, url):
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    server.setSettingsForPort({"ADDRESS": address})
    with running(server):
        assert [host for host in ("127.0.0.1", "::1") if answers(server, host)] == hosts
        assert server.url().startswith(url)


def test_an_ipv6_address_may_stand_in_brackets():
    assert listener.resolve("[::1]", True) == listener.resolve("::1", True)


def test_a_name_that_is_none_is_told(server):
    server.setSettingsForPort({"ADDRESS": "no such host"})
    with pytest.raises(hwebserver.OperationFailed, match=r"'no such host': [A-Z]"):
        server.run(0, in_background=True)


def test_an_address_of_another_machine_is_told_with_its_number(server):
    server.setSettingsForPort({"ADDRESS": "192.0.2.1"})  # RFC 5737: nobody has it
    with pytest.raises(hwebserver.OperationFailed, match=r"port 8123 of 192\.0\.2\.1"):
        server.run(8123, in_background=True)


def test_a_machine_without_ipv6_is_served_by_ipv4(server, monkeypatch):
    bind = listener.Listener.server_bind

    def refuse(self):
        if self.address_family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "no such address")
        bind(self)

    monkeypatch.setattr(listener.Listener, "server_bind", refuse)
    with running(server):
        assert fetch(server).status == 404


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EACCES])  # EACCES: Windows
def test_a_number_the_system_chose_is_given_up_when_ipv6_has_it_in_use(server, monkeypatch, number):
    bind = listener.Listener.server_bind
    refused = []

    def refuse(self):
        if self.address_family == socket.AF_INET6 and len(refused) < 3:
            refused.append(self.server_address)
            raise OSError(number, "in use")
        bind(self)

    monkeypatch.setattr(listener.Listener, "server_bind", refuse)
    with running(server):
        assert len(refused) == 3
        assert fetch(server).status == 404


def test_a_socket_nobody_adopts_is_closed():
    address = listener.resolve("", False)[0]
    with listener.Listener(address, 0, 5) as lonely, socket.socket() as client:
        client.connect(("127.0.0.1", lonely.number))
        lonely.socket.setblocking(True)
        lonely.handle_request()
        assert client.recv(1) == b""
