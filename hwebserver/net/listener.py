"""Listening sockets: which addresses, which number, and what happens when one cannot be had.

A ``Listener`` is a ``socketserver.TCPServer``; its ``process_request``, where ``ThreadingMixIn``
would start a thread, hands the socket to the bounded pool.
"""

from __future__ import annotations

import errno
import os
import socket
import socketserver
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

from ..errors import OperationFailed

Adopt = Callable[[socket.socket, Any, "Listener"], None]

#: Most connections accepted in one turn of the polling thread: the others want theirs.
_ACCEPT_TURN = 64

#: How often a number that the system chose is given up because ::1 has it in use.
_CHOICES = 32

#: What accept says when a limit of the process or the system is reached.
#: Windows has two numbers for one of them.
_EXHAUSTED = (
    errno.EMFILE, getattr(errno, "WSAEMFILE", errno.EMFILE), errno.ENFILE, errno.ENOBUFS,
    errno.ENOMEM,
)  # fmt: skip

#: The number that the system chose for one address is another program's on the next one; Windows
#: forbids it then, as it does numbers that it has set aside.
_TAKEN = (errno.EADDRINUSE, errno.EACCES)

_IPV6_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


class Exhausted(Exception):
    """No more sockets can be accepted for now."""


class Address(NamedTuple):
    """Where to listen; ``optional`` when the machine may not have such addresses."""

    family: socket.AddressFamily
    host: str
    optional: bool = False


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One listening socket.

    Args:
        address: Where to listen.
        number: The port; 0: the system chooses.
        backlog: Connections that the system keeps waiting.

    Raises:
        OSError: it cannot be had.
    """

    #: Whether another program has opened it.
    inherited = False

    #: Whether it stays open when the server ends, for the program that this process becomes.
    held = False

    # Windows would let two servers share a port; there SO_EXCLUSIVEADDRUSE is what we mean.
    allow_reuse_address = os.name == "posix"

    def __init__(self, address: Address, number: int, backlog: int) -> None:
        self.address_family = address.family
        self.request_queue_size = backlog
        self.adopt: Optional[Adopt] = None
        super().__init__((address.host, number), socketserver.BaseRequestHandler)
        self.socket.setblocking(False)

    def server_bind(self) -> None:
        """Bind, each address family for itself and no port shared with another program."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        super().server_bind()

    def server_close(self) -> None:
        """Stop listening, unless it is held."""
        if not self.held:
            super().server_close()

    @property
    def number(self) -> int:
        """The port it listens on; 0: it is a Unix socket."""
        return address_pair(self.server_address)[1]

    @property
    def host(self) -> str:
        """The address it listens on; that of a Unix socket is as ADDRESS has it."""
        return address_pair(self.server_address)[0]

    def accept_waiting(self, most: int = _ACCEPT_TURN) -> None:
        """Accept the connections that wait.

        Args:
            most: How many of them, at the most.

        Raises:
            Exhausted: the process or the system has no descriptor left.
        """
        for _ in range(most):
            try:
                request, address = self.get_request()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    raise Exhausted(str(error)) from error
                continue  # The client has left before it was accepted.
            self.process_request(request, address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand an accepted socket to the pool."""
        if self.adopt is None:
            self.shutdown_request(request)
        else:
            self.adopt(request, client_address, self)


def address_pair(address: Any) -> tuple[str, int]:
    """Return the address of a socket as a host and a port; ``unix:/path`` and 0 for a Unix one.

    That has none if it was not bound, as those of clients are not: then the host is empty.
    """
    if isinstance(address, tuple):
        return address if len(address) == 2 else address[:2]
    path = os.fsdecode(address)
    return f"unix:{'@' + path[1:] if path[:1] == chr(0) else path}" if path else "", 0


def resolve(address: str, ipv6: bool) -> list[Address]:
    """Return where to listen for an ADDRESS setting; for an empty one, loopback alone.

    ``0.0.0.0`` is every address of IPv4, ``::`` every one of IPv6 and none of IPv4, ``*`` both.

    Raises:
        OperationFailed: the name is no address and no host name of this machine.
    """
    if not address:
        return _both("127.0.0.1", "::1", ipv6)
    if address == "*":
        return _both("0.0.0.0", "::", ipv6)
    name = address.strip("[]")
    # Text would be taken through a codec for names in other alphabets, which takes 1 ms to import.
    host = name.encode() if name.isascii() else name
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OperationFailed(f"cannot listen on {address!r}: {reason}") from error
    distinct = dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found)
    return [Address(family, host, len(distinct) > 1) for family, host in distinct]


def _both(ipv4: str, ipv6: str, wanted: bool) -> list[Address]:
    found = [Address(socket.AF_INET, ipv4)]
    if wanted and socket.has_ipv6:
        found.append(Address(socket.AF_INET6, ipv6, optional=True))
    return found


def open_listeners(
    addresses: list[Address], number: int, last: Optional[int], any_free: bool, backlog: int
) -> list[Listener]:
    """Listen on the first number that all of the addresses can have.

    Args:
        addresses: Where to listen, all on the same number.
        number: The first number to try; 0: the system chooses.
        last: The last number to try; None: only the first.
        any_free: Whether the system may choose one when all of those fail.
        backlog: Connections that the system keeps waiting.

    Raises:
        OperationFailed: naming the number, the address and the reason of the first failure.
    """
    if not 0 <= number <= 65535 or not (last is None or 0 <= last <= 65535):
        wrong = last if 0 <= number <= 65535 else number
        raise OperationFailed(f"cannot listen on port {wrong}: ports are 0 to 65535")
    numbers = list(range(number, max(number, last or 0) + 1)) + [0] * any_free
    first: Optional[OperationFailed] = None
    for candidate in numbers:
        try:
            return _open_all(addresses, candidate, backlog)
        except OperationFailed as error:
            first = first or error
    if first is None or len(numbers) == 1:
        raise first or OperationFailed("there is no port to try")
    raise OperationFailed(f"{first}; nor on any other up to {numbers[-1 - any_free]}") from first


def _open_all(addresses: list[Address], number: int, backlog: int) -> list[Listener]:
    """Listen on every address; where the system chose the number, it must suit all of them."""
    for _ in range(_CHOICES if number == 0 else 1):
        opened: list[Listener] = []
        failure: Optional[OSError] = None
        for address in addresses:
            chosen = opened[0].number if opened else number
            try:
                opened.append(Listener(address, chosen, backlog))
            except OSError as error:
                if address.optional and error.errno in _IPV6_MISSING:
                    continue
                failure = error
                where = f"cannot listen on port {chosen} of {address.host}"
                break
        if failure is None and opened:
            return opened
        for listener in opened:
            listener.server_close()
        if number or failure is None or failure.errno not in _TAKEN:
            break
    if failure is None:
        raise OperationFailed(f"cannot listen on port {number}: this machine has no such address")
    raise OperationFailed(f"{where}: {failure.strerror or failure}") from failure
