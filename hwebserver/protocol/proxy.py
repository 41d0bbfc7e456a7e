"""The PROXY protocol: who the client is that a proxy speaks for, said before the first byte.

HAProxy's proxy-protocol.txt knows a line of text (version 1, 2.1 there) and a binary block (version
2, 2.2 there). A connection that should begin with either and does not is closed without an answer.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Optional

from ..errors import ProtocolError

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_WORD = b"PROXY "

#: The longest line of version 1, its end included (2.1).
_LINE_LIMIT = 107

#: What stands before the block that a header of version 2 says the length of.
_FIXED_SIZE = 16

#: The longest block that is taken; addresses and a few notes are far from it.
_BLOCK_LIMIT = 4096

#: The longest header: nobody has to look at more bytes to find its end.
HEADER_LIMIT = _FIXED_SIZE + _BLOCK_LIMIT

_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31

#: The bytes of one address, by what kind it is of (2.2); ports are not counted.
_ADDRESS_SIZES = {_TCP4: 4, _TCP6: 16, _UNIX: 108}

_TLS_NOTE = 0x20  # PP2_TYPE_SSL (2.2.6)
_OVER_TLS = 0x01  # PP2_CLIENT_SSL

_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rb"%b(?:\.%b){3}" % (_OCTET, _OCTET))
_IPV6 = re.compile(rb"[0-9A-Fa-f:.]+")
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")

_AddressAndPort = tuple[str, int]


class ProxyHeader(NamedTuple):
    """What a proxy says of a connection.

    Attributes:
        size: Bytes of the header; what follows is the client's.
        source: The address and the port of the client, ``("", 0)`` for one that came to the proxy
            by a Unix socket; None: it is as seen.
        destination: Where the client connected to; None: it is as seen.
        secure: Whether the client's connection to the proxy is encrypted.
    """

    size: int
    source: Optional[_AddressAndPort] = None
    destination: Optional[_AddressAndPort] = None
    secure: bool = False


def read_header(data: bytes) -> Optional[ProxyHeader]:
    """Return the header that a connection begins with; None: all of the bytes are part of it.

    Args:
        data: What has come so far, more than the header or less.

    Raises:
        ProtocolError: it begins with none, or with one that cannot be.
    """
    if _SIGNATURE.startswith(data[: len(_SIGNATURE)]):
        return _read_block(data)
    if _WORD.startswith(data[: len(_WORD)]):
        return _read_line(data)
    raise _wrong("the connection does not begin with it")


def _wrong(reason: str) -> ProtocolError:
    return ProtocolError(400, f"PROXY protocol: {reason}.")


def _read_line(data: bytes) -> Optional[ProxyHeader]:
    end = data.find(b"\n", 0, _LINE_LIMIT)
    if end < 0:
        if len(data) >= _LINE_LIMIT:
            raise _wrong(f"its line is longer than {_LINE_LIMIT} bytes")
        return None
    size, line = end + 1, data[:end]
    if line[-1:] != b"\r":
        raise _wrong("its line does not end with CR LF")
    words = line[:-1].split(b" ")
    if words[1] == b"UNKNOWN":  # What else stands there means nothing (2.1).
        return ProxyHeader(size)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise _wrong("its line has not the form that it should have")
    read = _ipv4 if words[1] == b"TCP4" else _ipv6
    source, destination = read(words[2]), read(words[3])
    return ProxyHeader(size, (source, _port(words[4])), (destination, _port(words[5])))


def _ipv4(word: bytes) -> str:
    if _IPV4.fullmatch(word) is None:
        raise _wrong("it holds no valid IPv4 address")
    return word.decode("ascii")


def _ipv6(word: bytes) -> str:
    if _IPV6.fullmatch(word) is None:
        raise _wrong("it holds no valid IPv6 address")
    try:
        return _canonical(word.decode("ascii"))
    except ValueError as error:
        raise _wrong("it holds no valid IPv6 address") from error


def _canonical(address: Any) -> str:
    """Return an IPv6 address as text; one that stands for an IPv4 address, as that."""
    from ipaddress import IPv6Address

    ipv6 = IPv6Address(address)
    return str(ipv6.ipv4_mapped or ipv6)


def _port(word: bytes) -> int:
    if _PORT.fullmatch(word) is None or int(word) > 65535:
        raise _wrong("it holds no valid port")
    return int(word)


def _read_block(data: bytes) -> Optional[ProxyHeader]:
    if len(data) < _FIXED_SIZE:
        return None
    command, kind = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise _wrong("its version or command is unknown")
    if length > _BLOCK_LIMIT:
        raise _wrong(f"it is longer than {_BLOCK_LIMIT} bytes")
    if command == _PROXY and kind != _UNSPECIFIED and kind not in _ADDRESS_SIZES:
        raise _wrong("its address family or transport is unknown")
    size = _FIXED_SIZE + length
    if len(data) < size:
        return None
    if command == _LOCAL or kind == _UNSPECIFIED:  # The rest is to be ignored (2.2).
        return ProxyHeader(size)
    return _read_addresses(kind, size, data[_FIXED_SIZE:size])


def _read_addresses(kind: int, size: int, block: bytes) -> ProxyHeader:
    length = _ADDRESS_SIZES[kind]
    ports = 2 * length  # where they stand
    end = ports if kind == _UNIX else ports + 4
    if len(block) < end:
        raise _wrong("its addresses are cut off")
    secure = _is_encrypted(block[end:])
    if kind == _UNIX:  # Paths on the machine of the proxy mean nothing here.
        return ProxyHeader(size, ("", 0), None, secure)
    hosts = [_host(block[:length]), _host(block[length:ports])]
    first, second = block[ports : ports + 2], block[ports + 2 : end]
    source = (hosts[0], int.from_bytes(first, "big"))
    return ProxyHeader(size, source, (hosts[1], int.from_bytes(second, "big")), secure)


def _host(packed: bytes) -> str:
    return ".".join(map(str, packed)) if len(packed) == 4 else _canonical(packed)


def _is_encrypted(data: bytes) -> bool:
    """Say whether the notes behind the addresses tell of TLS."""
    notes = _split_notes(data)
    found = [value for kind, value in notes if kind == _TLS_NOTE]
    if len(found) > 1 or any(len(value) < 5 for value in found):
        raise _wrong("what it says of TLS is broken")
    for value in found:
        _split_notes(value[5:])
    return any(value[0] & _OVER_TLS for value in found)


def _split_notes(data: bytes) -> list[tuple[int, bytes]]:
    """Return the kinds and values of a row of notes, the TLV of 2.2."""
    notes: list[tuple[int, bytes]] = []
    start = 0
    while start < len(data):
        value = start + 3
        end = value + int.from_bytes(data[start + 1 : value], "big")
        if end > len(data) or value > len(data):
            raise _wrong("a note in it is cut off")
        notes.append((data[start], data[value:end]))
        start = end
    return notes
