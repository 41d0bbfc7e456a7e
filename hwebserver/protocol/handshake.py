"""The opening handshake of a WebSocket, from the side of the server (RFC 6455 4.2).

An upgrade is a GET request with five fields that say so, and its answer is a head with the status
101 behind which frames begin. What an upgrade offers is read here and refused when it is malformed;
whether it is wanted (its path, its origin, its host) is not decided here.

The key is no secret. Its hash in the answer shows the client that a WebSocket server has read the
request, and not a cache, or another protocol's server that was made to echo something.

Subprotocols and extensions are lists of what the client would like, best first. Both come from
anyone and are up to a field line long, so nothing here looks at a character more than a fixed
number of times. (A pattern for the white space between subprotocols, that was tried from each of
its characters anew, was CVE-2021-32640.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ..errors import HTTPError
from . import tokens
from .headers import Fields, list_items, split_unquoted, unquote_string
from .http1 import RequestHead
from .response import RESERVED_FIELDS, check_field

#: The only version there is (RFC 6455 4.1); an answer with 426 names it.
VERSION = "13"

#: RFC 6455 1.3: what the key is hashed with.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: RFC 6455 4.1: sixteen bytes in base64 are 22 digits and two signs of padding.
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==\Z")

#: RFC 9110 5.6.4: a quoted string from its first to its last character.
_QUOTED_STRING = re.compile(r'"(?:[^"\\]|\\.)*"\Z')

#: What only the handshake itself writes.
_OWN_FIELDS = RESERVED_FIELDS | {
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
}


class ExtensionOffer(NamedTuple):
    """An extension that a client offers (RFC 6455 9.1).

    Attributes:
        name: Its name.
        parameters: Names and values in order, repeated ones too; None for one without a value.
    """

    name: str
    parameters: tuple[tuple[str, Optional[str]], ...] = ()


class Handshake(NamedTuple):
    """What an upgrade asks for.

    Attributes:
        key: The value of Sec-WebSocket-Key.
        subprotocols: The subprotocols that the client speaks, best first.
        extensions: The extensions it offers, best first.
    """

    key: str
    subprotocols: tuple[str, ...] = ()
    extensions: tuple[ExtensionOffer, ...] = ()


def is_upgrade(fields: Fields) -> bool:
    """Say whether a request asks for a WebSocket (RFC 6455 4.2.1, 3 and 4).

    A server must not heed this in an HTTP/1.0 request (RFC 9110 7.8); the version is not seen here.

    Args:
        fields: Those of the request.
    """
    upgrade, connection = fields.get("upgrade"), fields.get("connection")
    if upgrade is None or connection is None:
        return False
    return "websocket" in list_items(upgrade) and "upgrade" in list_items(connection)


def read_handshake(head: RequestHead) -> Handshake:
    """Check that an upgrade is one (RFC 6455 4.2.1), and return what it asks for.

    Args:
        head: The head of the request; its Host field was checked when it was parsed.

    Raises:
        HTTPError: 405 unless it is a GET request; 426 when it asks for no WebSocket or for another
            version, to which the answer needs the fields ``Upgrade: websocket`` and
            ``Sec-WebSocket-Version: 13``; 400 for HTTP/1.0, for a body and for all else.
    """
    fields = head.fields
    if head.method != "GET":
        raise HTTPError(405, "A WebSocket is opened with GET.")
    if not head.minor:
        raise HTTPError(400, "A WebSocket is opened with HTTP/1.1.")
    if not is_upgrade(fields):
        raise HTTPError(426, "Here is a WebSocket, and the request does not ask for one.")
    if fields.get("sec-websocket-version") != VERSION:
        raise HTTPError(426, f"The only version of the WebSocket protocol here is {VERSION}.")
    # What follows the head of an upgrade would be taken for frames by us, for a body by a proxy.
    if head.has_body:
        raise HTTPError(400, "A request that opens a WebSocket has no body.")
    key = fields.get("sec-websocket-key")
    # A second key is joined to the first with a comma, which no key holds.
    if key is None or _KEY.match(key) is None:
        raise HTTPError(400, "Sec-WebSocket-Key is not one key of 16 bytes in base64.")
    subprotocols = _subprotocols(fields.get("sec-websocket-protocol") or "")
    return Handshake(key, subprotocols, _offers(fields.get("sec-websocket-extensions") or ""))


def _subprotocols(value: str) -> tuple[str, ...]:
    """Read a list of different tokens (RFC 6455 4.1, 10); empty members do not count."""
    members = [member.strip(" \t") for member in value.split(",")]
    names = tuple(name for name in members if name)
    if not all(map(tokens.TOKEN.match, names)):
        raise HTTPError(400, "Sec-WebSocket-Protocol is not a list of tokens.")
    if len(set(names)) != len(names):
        raise HTTPError(400, "Sec-WebSocket-Protocol names a subprotocol twice.")
    return names


def _offers(value: str) -> tuple[ExtensionOffer, ...]:
    """Read a list of extensions (RFC 6455 9.1); empty members do not count."""
    members = [member.strip(" \t") for member in split_unquoted(value, ",")]
    return tuple(_offer(member) for member in members if member)


def _offer(text: str) -> ExtensionOffer:
    name, *rest = [part.strip(" \t") for part in split_unquoted(text, ";")]
    if tokens.TOKEN.match(name) is None:
        raise HTTPError(400, "Sec-WebSocket-Extensions names an extension that is no token.")
    return ExtensionOffer(name, tuple(map(_parameter, rest)))


def _parameter(text: str) -> tuple[str, Optional[str]]:
    """Read a parameter; a quoted value must be a token too when unquoted (RFC 6455 9.1)."""
    name, equals, after = text.partition("=")
    name = name.strip(" \t")
    value = after.strip(" \t") if equals else None
    if value is not None and _QUOTED_STRING.match(value):
        value = unquote_string(value)
    if not all(map(tokens.TOKEN.match, (name,) if value is None else (name, value))):
        raise HTTPError(400, "Sec-WebSocket-Extensions holds a malformed parameter.")
    return name, value


def accept_value(key: str) -> str:
    """Return the value of Sec-WebSocket-Accept that answers a key (RFC 6455 4.2.2)."""
    from binascii import b2a_base64
    from hashlib import sha1

    # The hash protects nothing, so a Python that forbids SHA-1 for protection need not forbid it.
    digest = sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False).decode("ascii")


def switching_protocols(
    handshake: Handshake,
    subprotocol: Optional[str] = None,
    extension: str = "",
    extra: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return the head that accepts an upgrade (RFC 6455 4.2.2); frames follow it.

    Args:
        handshake: What the upgrade asks for.
        subprotocol: The one to speak, of those offered; None: none of them.
        extension: The value of Sec-WebSocket-Extensions, as ``deflate.negotiate`` returns it;
            empty: no extension.
        extra: Fields to add.

    Raises:
        ValueError: the client does not offer the subprotocol, or a field cannot be sent or is
            the handshake's own to write.
    """
    lines = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_value(handshake.key)),
    ]
    if subprotocol is not None:
        if subprotocol not in handshake.subprotocols:
            raise ValueError(f"the client does not offer the subprotocol {subprotocol!r}")
        lines.append(("Sec-WebSocket-Protocol", subprotocol))
    if extension:
        lines.append(("Sec-WebSocket-Extensions", extension))
    for name, value in extra:
        if name.lower() in _OWN_FIELDS:
            raise ValueError(f"the header field {name} is the handshake's to write")
        lines.append((name, value))
    head = "HTTP/1.1 101 Switching Protocols\r\n"
    for name, value in lines:
        check_field(name, value)
        head += f"{name}: {value}\r\n"
    return (head + "\r\n").encode("latin-1")
