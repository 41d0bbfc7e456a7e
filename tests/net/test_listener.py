"""Listening sockets: which addresses there are to listen on."""

from __future__ import annotations

import errno
import socket

import pytest
from support import fetch, running

import hwebserver
from hwebserver.net import listener


def test_an_empty_address_is_loopback_alone():
    hosts = [(one.host, one.optional) for one in listener.resolve("", True)]
    assert hosts == [("127.0.0.1", False), ("::1", True)]
    assert [one.host for one in listener.resolve("", False)] == ["127.0.0.1"]


@pytest.mark.parametrize("text", ["127.0.0.1", "0.0.0.0"])
def test_an_address_is_itself(text):
    assert [one.host for one in listener.resolve(text, True)] == [text]


def test_an_ipv6_address_may_stand_in_brackets():
    assert listener.resolve("[::1]", True) == listener.resolve("::1", True)


def test_a_name_that_is_none_is_told(server):
    server.setSettingsForPort({"ADDRESS": "no such host"})
    with pytest.raises(hwebserver.OperationFailed, match="no such host"):
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


def test_a_number_the_system_chose_is_given_up_when_ipv6_has_it_in_use(server, monkeypatch):
    bind = listener.Listener.server_bind
    refused = []

    def refuse(self):
        if self.address_family == socket.AF_INET6 and len(refused) < 3:
            refused.append(self.server_address)
            raise OSError(errno.EADDRINUSE, "in use")
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
