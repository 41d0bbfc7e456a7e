"""The frames of a WebSocket: their headers, their masks, and close codes (RFC 6455 5 and 7).

A frame begins with two bytes: FIN, three reserved bits and the opcode; then a bit that says whether
the payload is masked, and seven bits of length, of which two values announce a longer number. All
that a client sends is masked, and nothing that a server sends is, so there is one function to read
a header with a mask and one to write a frame without.

A header is refused at the first byte that shows the fault. ``read_header`` needs no more than the
length to give its verdict, so a frame that is too long is known before its mask has come.

Unmasking is the one thing that touches every byte. Python has no XOR of byte strings; two ways
around that were measured. For a short payload both sides become one big integer: 0.4 microseconds
for 32 bytes. That costs more than linear time, so a long one goes through four translation tables,
one for each byte of the mask, over every fourth byte: 1 GB/s, where integers of the best size reach
0.6. The two meet at 1 KB.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Optional

from ..errors import WebServerError


class Opcode(IntEnum):
    """What a frame is (RFC 6455 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """The close codes that this server has a use for (RFC 6455 7.4.1, and IANA's registry)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class WebSocketFailure(WebServerError):
    """What a client sent ends the connection (RFC 6455 7.1.7).

    Args:
        code: The close code to answer with.
        reason: One sentence for the client and the log, at most 123 bytes.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


FIN = 0x80
RSV1 = 0x40
#: The bit of the opcode that tells control frames from data frames (RFC 6455 5.2).
CONTROL = 0x08
_RESERVED_BITS = 0x70
MASKED = 0x80

#: RFC 6455 5.5: what a control frame can carry.
MAX_CONTROL_PAYLOAD = 125

#: The first bytes that a frame can have: control frames come in one piece (RFC 6455 5.5).
FIRST_BYTES = frozenset(
    [fin | opcode for fin in (0, FIN) for opcode in (0x0, 0x1, 0x2)]
    + [FIN | opcode for opcode in (0x8, 0x9, 0xA)]
)

#: The same with permessage-deflate: RSV1 marks the first frame of a message (RFC 7692 6).
FIRST_BYTES_DEFLATE = FIRST_BYTES | {fin | RSV1 | opcode for fin in (0, FIN) for opcode in (1, 2)}

Header = tuple[int, int, int]


def read_header(data: bytes, position: int, first_bytes: frozenset[int]) -> Optional[Header]:
    """Read the header of a frame of a client as far as it has come.

    Args:
        data: What was received.
        position: Where the frame begins.
        first_bytes: The first bytes that are allowed, FIRST_BYTES or FIRST_BYTES_DEFLATE.

    Returns:
        The first byte, the length of the payload, and where the payload begins, behind the four
        bytes of the mask; these may not have come yet. None when the length is not complete.

    Raises:
        WebSocketFailure: 1002 for a header that no frame can have.
    """
    if len(data) - position < 2:
        return None
    first, second = data[position], data[position + 1]
    if first not in first_bytes:
        raise WebSocketFailure(CloseCode.PROTOCOL_ERROR, _first_byte_fault(first))
    if second < MASKED:
        raise WebSocketFailure(CloseCode.PROTOCOL_ERROR, "A frame of a client must be masked.")
    length = second - MASKED
    if length <= MAX_CONTROL_PAYLOAD:
        return first, length, position + 6
    if first & CONTROL:
        raise WebSocketFailure(
            CloseCode.PROTOCOL_ERROR, "A control frame is over 125 bytes (RFC 6455 5.5)."
        )
    size = 2 if length == 126 else 8
    field = data[position + 2 : position + 2 + size]
    if len(field) < size:
        return None
    return first, _long_length(field), position + 6 + size


def _long_length(field: bytes) -> int:
    """Read a length of two or eight bytes, which must need that many (RFC 6455 5.2)."""
    length = int.from_bytes(field, "big")
    if length >> 63:
        raise WebSocketFailure(
            CloseCode.PROTOCOL_ERROR, "The highest bit of a length must be 0 (RFC 6455 5.2)."
        )
    if length <= (MAX_CONTROL_PAYLOAD if len(field) == 2 else 0xFFFF):
        raise WebSocketFailure(
            CloseCode.PROTOCOL_ERROR, "A length is not written in the shortest way (RFC 6455 5.2)."
        )
    return length


def _first_byte_fault(first: int) -> str:
    """Say what is wrong with a first byte."""
    opcode = first & 0x0F
    if opcode not in set(Opcode):
        return f"The opcode {opcode} is reserved (RFC 6455 5.2)."
    if first & _RESERVED_BITS:
        return "A reserved bit is set that no extension gives a meaning here (RFC 6455 5.2)."
    return "A control frame cannot be fragmented (RFC 6455 5.5)."


def encode_frame(opcode: int, payload: bytes, fin: bool = True, rsv1: bool = False) -> bytes:
    """Return a frame as a server sends it: not masked (RFC 6455 5.1).

    Args:
        opcode: An Opcode.
        payload: The payload, at most 125 bytes in a control frame.
        fin: Whether this is the last frame of its message.
        rsv1: Whether the message that begins here is compressed (RFC 7692 6).

    Raises:
        ValueError: a control frame that is too long or is not the last of its message.
    """
    first = opcode | (FIN if fin else 0) | (RSV1 if rsv1 else 0)
    length = len(payload)
    if opcode & CONTROL and (length > MAX_CONTROL_PAYLOAD or not fin):
        raise ValueError("a control frame is one frame of at most 125 bytes")
    if length <= MAX_CONTROL_PAYLOAD:
        return bytes((first, length)) + payload
    if length <= 0xFFFF:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


_integer = int.from_bytes  # looking it up takes longer than it runs


def _xor(data: bytes, mask: bytes) -> bytes:
    """Mask or unmask as one big integer."""
    size = len(data)
    key = _integer((mask * (size // 4 + 1))[:size], "little")
    return (_integer(data, "little") ^ key).to_bytes(size, "little")


_INTEGER_BYTES = 1024

#: For each byte of a mask what it turns every other byte into.
_TABLES = tuple(_xor(bytes(range(256)), bytes((byte,)) * 4) for byte in range(256))


def unmask(data: bytes, mask: bytes) -> bytes:
    """Return a payload without its mask, or with it: the way back is the same (RFC 6455 5.3).

    Args:
        data: The payload, or a piece of it that begins where the mask begins again.
        mask: The four bytes of the mask.
    """
    if len(data) <= _INTEGER_BYTES:
        return _xor(data, mask)
    first, second, third, fourth = mask
    plain = bytearray(len(data))
    plain[::4] = data[::4].translate(_TABLES[first])
    plain[1::4] = data[1::4].translate(_TABLES[second])
    plain[2::4] = data[2::4].translate(_TABLES[third])
    plain[3::4] = data[3::4].translate(_TABLES[fourth])
    return bytes(plain)


def is_close_code(code: int) -> bool:
    """Say whether a close frame can carry a code.

    RFC 6455 7.4: 1000 to 2999 are the protocol's own, of which these are defined and go over the
    wire (1004, 1005, 1006 and 1015 never do; IANA has added 1012 to 1014); 3000 to 4999 belong to
    libraries and applications.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
