"""What proxies say of a client: X-Forwarded-*, and Forwarded (RFC 7239); and which are believed.

Each proxy adds the address that it was called from at the end of a list, and the beginning may be
the client's own invention. So the list is read from its end: as long as an address is that of a
trusted proxy, what this one says of the address before it is believed. The first address that is
none is the client's. An entry that is no address ends the walk: nothing is believed beyond it.

Most proxies write X-Forwarded-* and pass a Forwarded field through as the client has sent it, so
that one counts only where there is none of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import OperationFailed, ProtocolError
from .headers import split_unquoted, unquote_string
from .target import check_authority

#: Proxies of a list that are looked at; no way leads through more.
_MOST_HOPS = 64

_SECURE = {"https": True, "wss": True, "http": False, "ws": False}

_PLAIN_FIELDS = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")

#: Who is on this machine.
NEARBY = ("unix", "127.0.0.0/8", "::1")

Address = tuple[str, int]


class TrustedProxies:
    """The proxies that are believed.

    Args:
        entries: Addresses, networks, ``unix`` for who comes by a Unix socket, ``*`` for everybody.

    Raises:
        OperationFailed: an entry is none of these.
    """

    def __init__(self, entries: Sequence[Any]) -> None:
        self._everybody = "*" in entries
        self._unix = self._everybody or "unix" in entries
        self._networks = [_network(entry) for entry in entries if entry not in ("*", "unix")]

    def trusts(self, address: str) -> bool:
        """Say whether a peer is one of them.

        Args:
            address: Its address; empty, or beginning with ``unix:``, by a Unix socket.
        """
        if not address or address.startswith("unix:"):
            return self._unix
        if self._everybody or not self._networks:
            return self._everybody
        peer = _parse(address.partition("%")[0])
        return peer is not None and any(peer in network for network in self._networks)


def _network(entry: Any) -> Any:
    from ipaddress import ip_network

    try:
        if not isinstance(entry, str):
            raise ValueError("it is no text")
        return ip_network(entry)
    except ValueError as error:
        raise OperationFailed(
            f"TRUSTED_PROXIES lists {entry!r}, which is no address and no network: {error}"
        ) from error


def _parse(text: str) -> Any:
    """Return an address, an IPv4 one that is written as IPv6 as what it is; None: it is none."""
    from ipaddress import IPv6Address, ip_address

    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


class Believed(NamedTuple):
    """What is believed of a client.

    Attributes:
        client: Its address and port; 0: the port is not known.
        secure: Whether its own connection is encrypted; None: nothing is said.
        host: The host that it asked for; None: nothing is said.
    """

    client: Address
    secure: Optional[bool] = None
    host: Optional[str] = None


class _Hop(NamedTuple):
    """What one proxy says of who has called it."""

    node: str
    proto: str = ""
    host: str = ""


def believe(
    fields: Mapping[str, str], peer: Address, trusted: TrustedProxies
) -> Optional[Believed]:
    """Return what is believed of the client of a request.

    Args:
        fields: The header fields, by their lower-case names.
        peer: Whose connection it came by.
        trusted: The proxies that are believed.

    Returns:
        None when the peer is no proxy that is believed, or says nothing.
    """
    if not trusted.trusts(peer[0]):
        return None
    if any(name in fields for name in _PLAIN_FIELDS):
        hops, nearest = _plain_hops(fields)
    elif "forwarded" in fields:
        hops, nearest = _forwarded_hops(fields["forwarded"]), _Hop("")
    else:
        return None
    client, said = peer, nearest
    for hop in reversed(hops):
        node = _node(hop.node) if trusted.trusts(client[0]) else None
        if node is None:
            break
        client, said = node, hop
    return Believed(client, _SECURE.get(said.proto.lower()), _host(said.host))


def _plain_hops(fields: Mapping[str, str]) -> tuple[list[_Hop], _Hop]:
    """Return what X-Forwarded-* say, and what the nearest proxy says of scheme and host."""
    nodes, protos, hosts = (_items(fields.get(name, "")) for name in _PLAIN_FIELDS)
    nearest = _Hop("", protos[-1] if protos else "", hosts[-1] if hosts else "")
    # Where each proxy adds to a list its entries are in step; where it replaces it they are not.
    if len(protos) != len(nodes):
        protos = [nearest.proto] * len(nodes)
    if len(hosts) != len(nodes):
        hosts = [nearest.host] * len(nodes)
    return [_Hop(*one) for one in zip(nodes, protos, hosts)], nearest


def _items(value: str) -> list[str]:
    items = [item.strip(" \t") for item in value.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]]
    return items if value else []


def _forwarded_hops(value: str) -> list[_Hop]:
    """Read Forwarded (RFC 7239 4).

    Every comma separates: none of these values has one, and a quote that the client has left open
    would else hide what the proxies have added.
    """
    hops = []
    for element in _items(value):
        named: dict[str, str] = {}
        for pair in split_unquoted(element, ";"):
            name, _, text = pair.strip(" \t").partition("=")
            named[name.lower()] = unquote_string(text) if text[:1] == '"' else text
        hops.append(_Hop(named.get("for", ""), named.get("proto", ""), named.get("host", "")))
    return hops


def _node(text: str) -> Optional[Address]:
    """Read an address with or without its port (RFC 7239 6); None: it is hidden, or no address."""
    number = ""
    if text[:1] == "[":
        text, bracket, number = text[1:].partition("]")
        if not bracket or number[:1] not in ("", ":"):
            return None
        number = number[1:]
    elif text.count(":") == 1:
        text, _, number = text.partition(":")
    if "%" in text:
        return None
    address = _parse(text)
    if address is None:
        return None
    known = number.isascii() and number.isdecimal() and len(number) <= 5
    return str(address), int(number) if known else 0


def _host(text: str) -> Optional[str]:
    try:
        return check_authority(text) if text else None
    except ProtocolError:
        return None
