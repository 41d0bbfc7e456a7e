"""Compressed messages: the extension permessage-deflate (RFC 7692).

The client offers the extension with parameters, several times if it likes, best first; the first
offer that can be met is answered. Two parameters say for each direction whether a message may refer
to the ones before it (context takeover), and how far back (the window). Looking back makes short
messages short, and costs memory for as long as the connection lives: 250 KB with zlib's defaults,
50 KB with the window of 4 KB that is asked for here.

A message is a DEFLATE stream that ends in an empty stored block, whose last four bytes are always
the same and not sent. A bomb is a message of a thousandth of the size it unpacks to, so unpacking
stops one byte behind the limit of a message, and the bytes beyond are never made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Optional

from .frames import CloseCode, WebSocketFailure
from .handshake import ExtensionOffer

if TYPE_CHECKING:
    import zlib

EXTENSION = "permessage-deflate"

#: What ends a message and is not sent: the end of an empty stored block (RFC 7692 7.2.1).
_TAIL = b"\x00\x00\xff\xff"

#: The empty message, for which zlib writes nothing at all the second time (RFC 7692 7.2.3.6).
_EMPTY = b"\x00"

#: A last block without content, by which a decompressor shows that it stood between two blocks.
_LAST_BLOCK = b"\x03\x00"

#: RFC 7692 7.1.2: a window is a number from 8 to 15, without leading zeros.
_WINDOW_BITS = re.compile(r"(?:[89]|1[0-5])\Z")

#: The window that is used when the client does not ask for a smaller one: 4 KB.
_OWN_WINDOW_BITS = 12
_MAX_WINDOW_BITS = 15

#: zlib's memLevel: 16 KB for the tables of a compressor with a window of 4 KB.
_MEMORY_LEVEL = 5

#: How often a message may end its DEFLATE stream and begin another (RFC 7692 7.2.3.4). Each time
#: costs a decompressor and a copy of what is left; who needs it at all needs it once in a frame.
_MAX_STREAMS = 256


class DeflateParams(NamedTuple):
    """What was agreed on.

    Attributes:
        server_no_context_takeover: Whether each message of ours stands for itself.
        client_no_context_takeover: Whether each message of the client does.
        server_max_window_bits: The window of ours, 9 to 15.
        client_max_window_bits: The window of the client's, 8 to 15.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = _OWN_WINDOW_BITS
    client_max_window_bits: int = _MAX_WINDOW_BITS


def negotiate(offers: Iterable[ExtensionOffer]) -> tuple[str, Optional[DeflateParams]]:
    """Accept the first offer of permessage-deflate that can be met.

    Args:
        offers: The extensions that a client offers, best first.

    Returns:
        The value of Sec-WebSocket-Extensions in the answer, and what it says; empty and None when
        there is no such offer.
    """
    for offer in offers:
        params = _accept(offer)
        if params is not None:
            return _response(offer, params), params
    return "", None


def _accept(offer: ExtensionOffer) -> Optional[DeflateParams]:
    """Return what an offer comes to, or None where it must be declined (RFC 7692 7.1)."""
    given = dict(offer.parameters)
    if offer.name != EXTENSION or len(given) != len(offer.parameters):
        return None
    params = DeflateParams()
    for name, value in given.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            params = params._replace(**{name: True})
        elif name == "server_max_window_bits":
            # zlib has no compressor for the window of 8 bits, which a client may ask for.
            if value is None or _WINDOW_BITS.match(value) is None or value == "8":
                return None
            params = params._replace(server_max_window_bits=min(int(value), _OWN_WINDOW_BITS))
        elif name == "client_max_window_bits":
            if value is not None and _WINDOW_BITS.match(value) is None:
                return None
            bits = min(int(value or _MAX_WINDOW_BITS), _OWN_WINDOW_BITS)
            params = params._replace(client_max_window_bits=bits)
        else:
            return None
    return params


def _response(offer: ExtensionOffer, params: DeflateParams) -> str:
    """Write the answer: RFC 7692 7.1 lets each parameter that was offered be confirmed."""
    parts = [EXTENSION]
    for name, _ in offer.parameters:
        setting = getattr(params, name)
        parts.append(name if setting is True else f"{name}={setting}")
    return "; ".join(parts)


class Deflater:
    """Compresses the messages that are sent, in the order in which they are sent.

    Args:
        params: What was agreed on.
    """

    __slots__ = ("_compressor", "_params")

    def __init__(self, params: DeflateParams) -> None:
        self._params = params
        self._compressor: Optional[zlib._Compress] = None  # made for the first message

    def deflate(self, data: bytes) -> bytes:
        """Return the payload of a message, compressed (RFC 7692 7.2.1)."""
        if not data:
            return _EMPTY
        import zlib

        compressor = self._compressor
        if compressor is None:
            bits = -self._params.server_max_window_bits
            compressor = zlib.compressobj(wbits=bits, memLevel=_MEMORY_LEVEL)
        if not self._params.server_no_context_takeover:
            self._compressor = compressor
        packed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return packed[: -len(_TAIL)]


class Inflater:
    """Unpacks the messages that are received, from pieces of any size.

    Args:
        params: What was agreed on.
        limit: The most bytes that a message may unpack to.
    """

    __slots__ = ("_begun", "_decompressor", "_limit", "_params", "_room", "_streams")

    def __init__(self, params: DeflateParams, limit: int) -> None:
        self._params = params
        self._limit = limit
        self._decompressor: Optional[zlib._Decompress] = None  # made for the first message
        self._next_message()

    def _next_message(self) -> None:
        self._room = self._limit  # bytes that the message may still unpack to
        self._streams = _MAX_STREAMS  # times that it may still end a stream
        self._begun = False  # whether the stream got anything since the last message

    def inflate(self, data: bytes) -> bytes:
        """Return what a piece of a message unpacks to.

        Raises:
            WebSocketFailure: 1007 for what is not compressed, 1009 for too much.
        """
        import zlib

        pieces: list[bytes] = []
        while data:
            decompressor = self._decompressor
            if decompressor is None:
                # Old versions of zlib compress with 9 bits when told 8; a larger window reads both.
                bits = max(9, self._params.client_max_window_bits)
                decompressor = self._decompressor = zlib.decompressobj(-bits)
            try:
                piece = decompressor.decompress(data, self._room + 1)
            except zlib.error:
                raise _garbage() from None
            self._room -= len(piece)
            if self._room < 0:
                raise WebSocketFailure(
                    CloseCode.TOO_BIG, f"A message unpacks to more than {self._limit} bytes."
                )
            pieces.append(piece)
            data = decompressor.unused_data
            self._begun = not decompressor.eof
            if decompressor.eof:
                self._end_stream()
        return b"".join(pieces)

    def _end_stream(self) -> None:
        """Drop a stream that has ended: what follows is another, which knows nothing of it."""
        self._decompressor = None
        self._streams -= 1
        if self._streams < 0:
            raise WebSocketFailure(
                CloseCode.TOO_BIG, f"A message ends its DEFLATE stream over {_MAX_STREAMS} times."
            )

    def finish(self) -> bytes:
        """Return what the end of a message unpacks to, and be ready for the next.

        Raises:
            WebSocketFailure: 1007 when the message ends inside a block, 1009 for too much.
        """
        # Without a block to end (the message was empty, or left out the empty block behind the
        # end of a stream) the tail would begin a block.
        unpacked = self.inflate(_TAIL) if self._begun else b""
        decompressor = self._decompressor
        if self._begun and decompressor is not None and not _stands_between_blocks(decompressor):
            raise _garbage()
        if self._params.client_no_context_takeover:
            self._decompressor = None
        self._next_message()
        return unpacked


def _stands_between_blocks(decompressor: zlib._Decompress) -> bool:
    """Say whether the tail of a message ended a block, and was not taken for part of one."""
    import zlib

    probe = decompressor.copy()
    try:
        probe.decompress(_LAST_BLOCK, 1)
    except zlib.error:
        return False
    return probe.eof


def _garbage() -> WebSocketFailure:
    return WebSocketFailure(CloseCode.INVALID_DATA, "A compressed message cannot be unpacked.")
