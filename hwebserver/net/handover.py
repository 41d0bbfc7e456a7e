"""Listening sockets that a process keeps while it is restarted.

The program is run again in the place of the process, with the same sockets: connections that come
meanwhile wait in the system's queue, and none is refused. Which descriptors they are stands in a
variable of the environment, with the process whose they are, since its children see that, too:
``PID/SERVER/own:5:main,own:6:main,given:7:admin``. ``given`` are those that another program had
opened before, whatever their address.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ..errors import OperationFailed
from ..settings import RESTARTED_SOCKETS
from .inherited import InheritedListener, listening_socket
from .listener import Address, Listener, address_pair
from .unixsocket import PREFIX, UnixListener

logger = logging.getLogger("hwebserver.server")


class KeptListener(InheritedListener):
    """A socket that this process listened on before it was restarted."""

    inherited = False


class HandedSocket(NamedTuple):
    """A socket of before the restart.

    Attributes:
        port: The name of its port.
        given: Whether another program had opened it.
        socket: The socket.
    """

    port: str
    given: bool
    socket: socket.socket


def hand_over(server: str, listeners: Iterable[tuple[str, Listener]]) -> str:
    """Have the program that this process becomes inherit sockets; return how they are called.

    Args:
        server: The name of the server whose they are.
        listeners: Them, each with the name of its port.
    """
    from urllib.parse import quote

    entries: list[str] = []
    for port, listener in listeners:
        if isinstance(listener, UnixListener) and not listener.reachable:
            continue  # The path is another's by now.
        descriptor = listener.fileno()
        os.set_inheritable(descriptor, True)
        kind = "given" if listener.inherited else "own"
        entries.append(f"{kind}:{descriptor}:{quote(port, safe='')}")
    return f"{os.getpid()}/{quote(server, safe='')}/{','.join(entries)}"


def take_handed(server: str) -> list[HandedSocket]:
    """Take the sockets that a server had before the restart; none are found a second time.

    Args:
        server: Its name.
    """
    from urllib.parse import unquote

    parts = os.environ.get(RESTARTED_SOCKETS, "").split("/")
    if len(parts) != 3 or parts[0] != str(os.getpid()) or unquote(parts[1]) != server:
        return []
    del os.environ[RESTARTED_SOCKETS]
    found: list[HandedSocket] = []
    for entry in parts[2].split(","):
        kind, _, rest = entry.partition(":")
        descriptor, _, port = rest.partition(":")
        if not (descriptor.isascii() and descriptor.isdecimal()):
            continue
        where = f"{RESTARTED_SOCKETS}: the descriptor {descriptor}"
        try:
            sock = listening_socket(int(descriptor), where)
        except OperationFailed as error:
            logger.warning("%s; the port is opened anew", error)
        else:
            found.append(HandedSocket(unquote(port), kind == "given", sock))
    return found


def keep_unix(
    sockets: list[socket.socket], address: str, mode: int, backlog: int
) -> Optional[UnixListener]:
    """Return the Unix socket of an ADDRESS, if it is among those of before; the others are closed.

    Args:
        sockets: Those of before.
        address: The ADDRESS.
        mode: The permissions of the file.
        backlog: Connections that the system keeps waiting.
    """
    name = address[len(PREFIX) :]
    wanted = address if name.startswith("@") else PREFIX + os.path.abspath(name)
    if len(sockets) == 1 and address_pair(sockets[0].getsockname())[0] == wanted:
        return UnixListener(address, mode, backlog, sockets[0])
    close_all(sockets)
    return None


def keep_tcp(
    sockets: list[socket.socket], addresses: list[Address], numbers: range, backlog: int
) -> list[Listener]:
    """Return the sockets of before, if they are those that would be opened; else they are closed.

    Args:
        sockets: Those of before.
        addresses: Where to listen.
        numbers: The numbers that the port may have.
        backlog: Connections that the system keeps waiting.
    """
    places = {address_pair(sock.getsockname()): sock for sock in sockets}
    chosen = {number for _, number in places}
    if len(chosen) == 1 and len(places) == len(sockets):
        number = chosen.pop()
        kept = [places.pop((one.host, number), None) for one in addresses]
        missing = [one for one, sock in zip(addresses, kept) if sock is None and not one.optional]
        if number in numbers and not (missing or places):
            return [KeptListener(sock, backlog) for sock in kept if sock is not None]
    close_all(sockets)
    return []


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close sockets."""
    for sock in sockets:
        sock.close()
