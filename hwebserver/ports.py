"""The ports of a running server: opened from the settings, all of them or none."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from socket import socket
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from .errors import OperationFailed
from .exchange import Port
from .journal import of_port
from .net.endpoint import Timeouts
from .net.listener import Listener, open_listeners, resolve
from .net.sockets import SocketSettings
from .protocol.http1 import Limits
from .protocol.response import HeadWriter
from .settings import (
    EVERY_PORT,
    MAIN_PORT,
    RESTARTED_PORTS,
    RESTARTED_SOCKETS,
    Settings,
    port_key,
    restarted_port,
)

if TYPE_CHECKING:
    from .net.tls import TLS

logger = logging.getLogger("hwebserver.server")

#: The ``ports`` argument of ``run``.
RunPorts = Sequence[Union[int, str, "tuple[str, int]"]]


class OpenPort(NamedTuple):
    """A port that listens.

    Attributes:
        port: What requests are told of it.
        listeners: Its sockets, one for each address.
        values: Its settings.
        tls: What its connections are encrypted with; None: they are not.
    """

    port: Port
    listeners: list[Listener]
    values: Mapping[str, Any]
    tls: Optional[TLS] = None

    @property
    def limits(self) -> Limits:
        """What a request to it may cost."""
        return limits_of(self.values)

    @property
    def timeouts(self) -> Timeouts:
        """The deadlines of its connections."""
        values = self.values
        return Timeouts(
            keep_alive=values["KEEP_ALIVE_TIMEOUT"],
            head=values["HEAD_TIMEOUT"],
            body=values["BODY_TIMEOUT"],
            min_body_rate=values["MIN_BODY_RATE"],
            send=values["SEND_TIMEOUT"],
            linger=values["LINGER_TIMEOUT"],
            handshake=values["SSL_HANDSHAKE_TIMEOUT"],
        )

    @property
    def socket_settings(self) -> SocketSettings:
        """The limits and deadlines of its WebSockets."""
        values = self.values
        return SocketSettings(
            values["MAX_WEBSOCKET_MESSAGE_SIZE"],
            values["MAX_WEBSOCKET_FRAGMENTS"],
            values["WEBSOCKET_COMPRESSION"],
            values["MAX_WEBSOCKET_QUEUE_SIZE"],
            values["WEBSOCKET_OPEN_TIMEOUT"],
            values["WEBSOCKET_PING_INTERVAL"],
            values["WEBSOCKET_PING_TIMEOUT"],
            values["WEBSOCKET_CLOSE_TIMEOUT"],
        )

    @property
    def writer(self) -> HeadWriter:
        """Writes the heads of its responses.

        Raises:
            OperationFailed: SERVER_HEADER cannot stand in a header.
        """
        try:
            return HeadWriter(self.values["SERVER_HEADER"])
        except ValueError as error:
            raise OperationFailed(f"SERVER_HEADER cannot be sent: {error}") from error

    @property
    def trusts_proxy(self) -> Optional[Callable[[str], bool]]:
        """Says whether a peer may send the PROXY protocol; None: it is not expected.

        Raises:
            OperationFailed: an entry of TRUSTED_PROXIES cannot be.
        """
        if not self.values["PROXY_PROTOCOL"]:
            return None
        from .protocol import proxy  # noqa: F401  (now, and not with the first connection)
        from .protocol.forwarded import NEARBY, TrustedProxies

        return TrustedProxies(self.values["TRUSTED_PROXIES"] or NEARBY).trusts

    @property
    def url(self) -> str:
        """Its URL as seen from this machine, without a slash at the end.

        There is no such thing for a Unix socket: nginx has ``http://unix:/path:/`` for it.
        """
        scheme = "https" if self.port.secure else "http"
        if not self.port.number:
            return f"{scheme}://{self.port.host}:"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.port.host, self.port.host)
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self.port.number}"

    def announce(self) -> None:
        """Log where it is to be found, and how it is opened to other machines."""
        main = self.port.name == MAIN_PORT
        name = "" if main else f" ({self.port.name})"
        note = ""
        if self.port.host in ("0.0.0.0", "::"):
            note = " (every address of this machine: open to others)"
        elif self.port.host.startswith("unix:@"):
            note = " (open to every user of this machine)"
        elif self.listeners[0].inherited:
            note = " (a socket that was passed to this process)"
        elif main and not self.values["ADDRESS"]:
            note = ' (this machine only; ADDRESS = "0.0.0.0", --host 0.0.0.0, opens it to others)'
        extra = of_port(self.port)
        logger.info("Serving on %s/%s%s", self.url, name, note, extra=extra)

    def close(self) -> None:
        """Stop listening."""
        for listener in self.listeners:
            listener.server_close()


def limits_of(values: Mapping[str, Any]) -> Limits:
    """Return what a request may cost by the settings of a port."""
    return Limits(
        request_line=values["MAX_REQUEST_LINE_SIZE"],
        field_line=values["MAX_FIELD_LINE_SIZE"],
        field_count=values["MAX_FIELD_COUNT"],
        head=values["MAX_HEAD_SIZE"],
        body=values["MAX_REQUEST_SIZE"],
        chunk_line=values["MAX_CHUNK_LINE_SIZE"],
        chunk_extension=values["MAX_CHUNK_EXTENSION_SIZE"],
        trailer_section=values["MAX_TRAILER_SIZE"],
        trailer_count=values["MAX_TRAILER_COUNT"],
    )


class _Former(NamedTuple):
    """The sockets of a port that this process has already.

    Attributes:
        given: Those that another program has opened.
        kept: Those that it listened on itself before it was restarted.
    """

    given: list[socket]
    kept: list[socket]

    def close(self) -> None:
        """Close them."""
        for sock in (*self.given, *self.kept):
            sock.close()


def open_ports(settings: Settings, ports: RunPorts, server: str = "") -> list[OpenPort]:
    """Open the main port and the others.

    Args:
        settings: Their settings.
        ports: The ``ports`` argument of ``run``.
        server: The name of the server: if it was restarted, it finds its sockets by that.

    Raises:
        OperationFailed: one of them cannot be had; then none is open.
    """
    opened: list[OpenPort] = []
    named = list(_named(settings, ports))
    passed = _passed([name for name, _ in named], server)
    try:
        former = passed.pop(MAIN_PORT, _Former([], []))
        opened.append(_open_port(settings, MAIN_PORT, None, former))
        main = opened[0].port.number
        for name, number in further_ports(settings, ports, main):
            former = passed.pop(name, _Former([], []))
            opened.append(_open_beside(opened, settings, name, number, former))
    except BaseException:
        for one in opened:
            one.close()
        raise
    finally:
        for former in passed.values():
            former.close()
    return opened


def hold(opened: list[OpenPort]) -> None:
    """Have the sockets of ports stay open when the server ends."""
    for one in opened:
        for listener in one.listeners:
            listener.held = True


def let_go(opened: list[OpenPort]) -> None:
    """Close the sockets that were held when the server ended."""
    for one in opened:
        for listener in one.listeners:
            if listener.held:
                listener.held = False
                listener.server_close()


def hand_over_ports(opened: list[OpenPort], server: str) -> dict[str, str]:
    """Have the program that this process becomes inherit the sockets of ports.

    Args:
        opened: The ports; their sockets were held.
        server: The name of the server.

    Returns:
        The variables of the environment by which it finds them.
    """
    from .net.handover import hand_over
    from .net.inherited import pass_descriptor_on

    for one in opened:
        pass_descriptor_on(one.values["ADDRESS"])
    named = [(one.port.name, listener) for one in opened for listener in one.listeners]
    return {RESTARTED_SOCKETS: hand_over(server, named)}


def numbers_of(opened: list[OpenPort]) -> dict[str, str]:
    """Return the variable by which a restarted program finds the numbers that ports had."""
    entries = (f"{one.port.number}={one.port.name}" for one in opened)
    return {RESTARTED_PORTS: ",".join(entries)}


def _passed(names: list[str], server: str) -> dict[str, _Former]:
    """Return the sockets that were passed to this process, by the ports whose they are.

    One that is named like a port is that port's; others that systemd has passed are the main
    port's.

    Raises:
        OperationFailed: one of them does not listen.
    """
    found: dict[str, _Former] = {}
    if "LISTEN_PID" in os.environ:
        from .net.inherited import take_passed

        for name, sock in take_passed():
            port = name if name in names else MAIN_PORT
            found.setdefault(port, _Former([], [])).given.append(sock)
    if RESTARTED_SOCKETS in os.environ:
        from .net.handover import take_handed

        for one in take_handed(server):
            port = MAIN_PORT if one.given and one.port not in names else one.port
            former = found.setdefault(port, _Former([], []))
            (former.given if one.given else former.kept).append(one.socket)
    return found


def further_ports(
    settings: Settings, ports: RunPorts, main: int
) -> list[tuple[str, Optional[int]]]:
    """Return the names of the ports beside the main one, and the numbers given with them.

    Args:
        settings: Those of all ports.
        ports: The ``ports`` argument of ``run``.
        main: The number of the main port: it means that one.

    Raises:
        OperationFailed: something in it is no port, or a port is given two numbers.
    """
    numbers: dict[str, Optional[int]] = {}
    for name, number in _named(settings, ports):
        is_main = name in (MAIN_PORT, str(main))
        known = main if is_main else numbers.get(name)
        same = number in (None, known) or (is_main and number == 0)
        if not same and known is not None:
            raise OperationFailed(f"ports gives {name!r} the number {number}, but it has {known}")
        if not is_main:
            numbers[name] = known if number is None else number
    return list(numbers.items())


def _named(settings: Settings, ports: RunPorts) -> Iterator[tuple[str, Optional[int]]]:
    """Yield the names and the numbers that the argument means."""
    if isinstance(ports, (int, str)) or ports is None:
        ports = [] if ports is None else [ports]
    for entry in ports:
        if isinstance(entry, (tuple, list)):
            if len(entry) != 2 or isinstance(entry[1], bool) or not isinstance(entry[1], int):
                raise OperationFailed(f"{entry!r} in ports is not a name and a number")
            yield port_key(entry[0]), entry[1]
        elif entry == -1:
            for name in settings.port_names():
                yield name, None
        else:
            yield port_key(entry), None


def _open_beside(
    opened: list[OpenPort],
    settings: Settings,
    name: str,
    number: Optional[int],
    former: _Former,
) -> OpenPort:
    """Open a port; when another one of ours is in its way, say which."""
    try:
        return _open_port(settings, name, number, former)
    except OperationFailed as error:
        wanted = settings.for_port(name)["PORT"] if number is None else number
        for one in opened:
            if wanted and one.port.number == wanted:
                both = f"the ports {one.port.name!r} and {name!r} both have the number {wanted}"
                raise OperationFailed(f"{both}: {error}") from error
        raise


def _open_port(settings: Settings, name: str, number: Optional[int], former: _Former) -> OpenPort:
    values = settings.for_port(name)
    listeners: list[Listener] = []
    try:
        tls = _open_tls(values, name)
        listeners += _listen(values, name, number, former)
    finally:
        if not listeners:
            former.close()
    first = listeners[0]
    keys = {name, EVERY_PORT, str(first.number)} if name == MAIN_PORT else {name, EVERY_PORT}
    port = Port(name, first.number, frozenset(keys), tls is not None, first.host)
    return OpenPort(port, listeners, values, tls)


def _listen(
    values: Mapping[str, Any], name: str, number: Optional[int], former: _Former
) -> list[Listener]:
    """Open the sockets of a port, or take those that this process has for it already."""
    address, backlog = values["ADDRESS"], values["BACKLOG"]
    if former.given or address.startswith("fd:"):
        from .net.inherited import InheritedListener, open_descriptor

        for sock in former.kept:
            sock.close()
        taken: list[Listener] = [InheritedListener(sock, backlog) for sock in former.given]
        return taken or [open_descriptor(address, backlog)]
    if address.startswith("unix:"):
        return [_listen_unix(address, values["UNIX_SOCKET_MODE"], backlog, former.kept)]
    if number is None:
        number = values["PORT"]
    if number is None:
        raise OperationFailed(f"the port {name!r} has no number: its setting PORT is not set")
    addresses = resolve(address, values["IPV6"])
    if former.kept:
        from .net.handover import keep_tcp

        any_number = number == 0 or values["ALLOW_SYSTEM_PORT"]
        last = max(number, values["MAX_PORT"] or 0)
        numbers = range(1, 1 << 16) if any_number else range(number, last + 1)
        kept = keep_tcp(former.kept, addresses, numbers, backlog)
        if kept:
            return kept
    return open_listeners(
        addresses,
        number or restarted_port(name),
        values["MAX_PORT"],
        values["ALLOW_SYSTEM_PORT"],
        backlog,
    )


def _listen_unix(address: str, mode: int, backlog: int, kept: list[socket]) -> Listener:
    """Open a Unix socket, or keep that of before the restart."""
    from .net.unixsocket import UnixListener

    if kept:
        from .net.handover import keep_unix

        former = keep_unix(kept, address, mode, backlog)
        if former is not None:
            return former
    return UnixListener(address, mode, backlog)


def _open_tls(values: Mapping[str, Any], name: str) -> Optional[TLS]:
    """Return what a port is encrypted with; None: it is not.

    Raises:
        OperationFailed: a file cannot be used, or is set where nothing is encrypted.
    """
    if values["SSL_CERTIFICATE"] is None:
        for option in ("SSL_CERTIFICATE_KEY", "SSL_DH_PARAMS", "SSL_CLIENT_CA"):
            if values[option] is not None:
                raise OperationFailed(
                    f"{option} is {values[option]!r} for the port {name!r}, "
                    "but SSL_CERTIFICATE is not set: nothing would be encrypted"
                )
        return None
    try:
        from .net.tls import TLS, files_of
    except ImportError as error:
        raise OperationFailed(
            f"SSL_CERTIFICATE is set, but this Python has no TLS: {error}"
        ) from error
    return TLS(files_of(values))
