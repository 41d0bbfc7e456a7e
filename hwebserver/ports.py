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
from .net.websocket import SocketSettings
from .protocol.http1 import Limits
from .protocol.response import HeadWriter
from .protocol.websocket import WebSocketLimits
from .settings import EVERY_PORT, MAIN_PORT, Settings, port_key, restarted_port

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
            WebSocketLimits(
                values["MAX_WEBSOCKET_MESSAGE_SIZE"], values["MAX_WEBSOCKET_FRAGMENTS"]
            ),
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
        from .protocol.proxy import proxy_trust

        return proxy_trust(self.values["TRUSTED_PROXIES"])

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


def open_ports(settings: Settings, ports: RunPorts) -> list[OpenPort]:
    """Open the main port and the others.

    Args:
        settings: Their settings.
        ports: The ``ports`` argument of ``run``.

    Raises:
        OperationFailed: one of them cannot be had; then none is open.
    """
    opened: list[OpenPort] = []
    named = list(_named(settings, ports))
    passed = _passed([name for name, _ in named])
    try:
        opened.append(_open_port(settings, MAIN_PORT, None, passed.pop(MAIN_PORT, [])))
        main = opened[0].port.number
        for name, number in further_ports(settings, ports, main):
            opened.append(_open_beside(opened, settings, name, number, passed.pop(name, [])))
    except BaseException:
        for one in opened:
            one.close()
        raise
    finally:
        for sockets in passed.values():
            for sock in sockets:
                sock.close()
    return opened


def _passed(names: list[str]) -> dict[str, list[socket]]:
    """Return the sockets that systemd has passed, by the ports whose they are.

    One that is named like a port is that port's; the others are the main port's.

    Raises:
        OperationFailed: one of them does not listen.
    """
    if "LISTEN_PID" not in os.environ:
        return {}
    from .net.inherited import take_passed

    found: dict[str, list[socket]] = {}
    for name, sock in take_passed():
        found.setdefault(name if name in names else MAIN_PORT, []).append(sock)
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
    passed: list[socket],
) -> OpenPort:
    """Open a port; when another one of ours is in its way, say which."""
    try:
        return _open_port(settings, name, number, passed)
    except OperationFailed as error:
        wanted = settings.for_port(name)["PORT"] if number is None else number
        for one in opened:
            if wanted and one.port.number == wanted:
                both = f"the ports {one.port.name!r} and {name!r} both have the number {wanted}"
                raise OperationFailed(f"{both}: {error}") from error
        raise


def _open_port(
    settings: Settings, name: str, number: Optional[int], passed: list[socket]
) -> OpenPort:
    values = settings.for_port(name)
    listeners: list[Listener] = []
    try:
        tls = _open_tls(values, name)
        listeners += _listen(values, name, number, passed)
    finally:
        if not listeners:
            for sock in passed:
                sock.close()
    first = listeners[0]
    keys = {name, EVERY_PORT, str(first.number)} if name == MAIN_PORT else {name, EVERY_PORT}
    port = Port(name, first.number, frozenset(keys), tls is not None, first.host)
    return OpenPort(port, listeners, values, tls)


def _listen(
    values: Mapping[str, Any], name: str, number: Optional[int], passed: list[socket]
) -> list[Listener]:
    """Open the sockets of a port, or take those that were passed to us for it."""
    address, backlog = values["ADDRESS"], values["BACKLOG"]
    if passed or address.startswith("fd:"):
        from .net.inherited import InheritedListener, open_descriptor

        taken: list[Listener] = [InheritedListener(sock, backlog) for sock in passed]
        return taken or [open_descriptor(address, backlog)]
    if address.startswith("unix:"):
        from .net.unixsocket import UnixListener

        return [UnixListener(address, values["UNIX_SOCKET_MODE"], backlog)]
    if number is None:
        number = values["PORT"]
    if number is None:
        raise OperationFailed(f"the port {name!r} has no number: its setting PORT is not set")
    return open_listeners(
        resolve(address, values["IPV6"]),
        number or restarted_port(name),
        values["MAX_PORT"],
        values["ALLOW_SYSTEM_PORT"],
        backlog,
    )


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
