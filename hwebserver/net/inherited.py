"""Listening sockets that another program has opened: systemd's, or that of another supervisor.

systemd passes them from descriptor 3 on and says so in the environment (sd_listen_fds(3)):
LISTEN_PID whom they are for, LISTEN_FDS how many they are, LISTEN_FDNAMES their names. Other
supervisors say it in the command line: ``--host fd:3``.
"""

from __future__ import annotations

import os
import socket
import socketserver
from typing import NamedTuple

from ..errors import OperationFailed
from .listener import Listener

#: What an ADDRESS begins with that is a descriptor.
PREFIX = "fd:"

#: The descriptor of the first socket that systemd passes.
_FIRST = 3

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class InheritedSocket(NamedTuple):
    """A listening socket of another program's, and its name, empty if it has none."""

    name: str
    socket: socket.socket


class InheritedListener(Listener):
    """A listening socket that was opened by another program; nothing of it is removed at the end.

    Args:
        sock: The socket.
        backlog: Connections that the system may keep waiting.
    """

    inherited = True

    def __init__(self, sock: socket.socket, backlog: int) -> None:
        self.request_queue_size = backlog
        self.address_family = sock.family
        self.adopt = None
        socketserver.BaseServer.__init__(self, sock.getsockname(), socketserver.BaseRequestHandler)
        self.socket = sock
        sock.setblocking(False)


def take_passed() -> list[InheritedSocket]:
    """Take the sockets that systemd has passed to this process; none are found a second time.

    Raises:
        OperationFailed: one of them is no listening socket; then all are closed.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count, names = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_FDNAMES", "")
    for variable in _VARIABLES:
        os.environ.pop(variable, None)
    if not (count.isascii() and count.isdecimal()):
        raise OperationFailed(f"LISTEN_FDS is {count!r}, but must be a number")
    named = names.split(":") if names else []
    descriptors = range(_FIRST, _FIRST + int(count))
    taken: list[InheritedSocket] = []
    try:
        for index, descriptor in enumerate(descriptors):
            name = named[index] if index < len(named) else ""
            where = f"LISTEN_FDS: the descriptor {descriptor}"
            taken.append(InheritedSocket(name, listening_socket(descriptor, where)))
    except OperationFailed:
        for one in taken:
            one.socket.close()
        raise
    return taken


def open_descriptor(address: str, backlog: int) -> InheritedListener:
    """Listen on a descriptor that an ADDRESS names (``fd:3``).

    It stays open when the server stops, so that the program can run it again.

    Raises:
        OperationFailed: it is no listening socket.
    """
    digits = address[len(PREFIX) :]
    if not (digits.isascii() and digits.isdecimal()):
        raise OperationFailed(f"cannot listen on {address!r}: it names no descriptor")
    try:
        os.set_inheritable(int(digits), False)
        copy = os.dup(int(digits))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OperationFailed(f"cannot listen on {address!r}: {reason}") from error
    try:
        return InheritedListener(
            listening_socket(copy, f"cannot listen on {address!r}: it"), backlog
        )
    except OperationFailed:
        os.close(copy)
        raise


def pass_descriptor_on(address: str) -> None:
    """Have the program that this process becomes inherit the descriptor that an ADDRESS names."""
    if address.startswith(PREFIX):
        os.set_inheritable(int(address[len(PREFIX) :]), True)


def listening_socket(descriptor: int, where: str) -> socket.socket:
    """Return the socket of a descriptor, which no program that we start gets.

    Raises:
        OperationFailed: it is not one that listens; the descriptor stays open.
    """
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise OperationFailed(f"{where} is no socket: {error.strerror}") from error
    wrong = _not_listening(sock)
    if wrong:
        sock.detach()
        raise OperationFailed(f"{where} is {wrong}")
    return sock


def _not_listening(sock: socket.socket) -> str:
    """Say what a socket is instead of one that listens for connections; empty: it is one."""
    families = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", None))
    if sock.family not in families:
        return f"a socket of the family {sock.family!r}"
    if sock.type != socket.SOCK_STREAM:
        return f"a socket of the type {sock.type!r}, no stream"
    try:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        return ""  # Not every system can say.
    return "" if listens else "a socket that does not listen"
