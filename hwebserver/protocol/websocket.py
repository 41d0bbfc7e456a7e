"""One WebSocket, from the side of the server: bytes in, messages out, and back (RFC 6455, 7692).

``WebSocketProtocol`` is fed with what a socket delivered and returns what that completes: messages
as plain ``str`` and ``bytes``, and an event for a ping, a pong and the end. What is to be sent it
returns as bytes. It answers nothing by itself: whether each ping gets a pong, or only the last of
many, and when the connection is dropped, is decided by who owns the socket.

A frame takes one of two ways. Most messages are one short frame that has come as a whole: it is
unmasked, decoded and returned. All other payloads are worked on as they arrive, in pieces: they are
unmasked, unpacked, checked to be UTF-8 and added to the message. So a fault is found at the byte
that makes it one, however far the frame goes on, and a frame that says it is long costs no memory
for what has not come. What is kept back unread is never more than the header of a frame or a
control frame.

A fault ends the reading: it is the last event, behind whatever was complete before it. After a
close frame of ours the client's messages are passed over, and only its close frame is waited for.
"""

from __future__ import annotations

import codecs
from enum import Enum
from typing import NamedTuple, Optional, Union

from .deflate import DeflateParams, Deflater, Inflater
from .frames import (
    CONTROL,
    FIN,
    FIRST_BYTES,
    FIRST_BYTES_DEFLATE,
    MASKED,
    MAX_CONTROL_PAYLOAD,
    RSV1,
    CloseCode,
    Opcode,
    WebSocketFailure,
    encode_frame,
    is_close_code,
    read_header,
    unmask,
)


class WebSocketLimits(NamedTuple):
    """What one message of a client may cost.

    Attributes:
        message: Bytes of its payload, unpacked.
        fragments: Frames that continue it, behind its first.
    """

    message: int = 16 << 20
    fragments: int = 65536


class Ping(NamedTuple):
    """A ping, which wants a pong with the same payload."""

    payload: bytes


class Pong(NamedTuple):
    """A pong."""

    payload: bytes


class CloseReceived(NamedTuple):
    """The client's close frame, behind which it sends nothing.

    Attributes:
        code: Its code; 1005 when it has none (RFC 6455 7.1.5).
        reason: Its reason, often empty.
    """

    code: int
    reason: str


class ProtocolFailure(NamedTuple):
    """What the client sent is refused, and nothing behind it is read.

    Attributes:
        code: The code to close the connection with.
        reason: One sentence for the client and the log.
    """

    code: int
    reason: str


Event = Union[str, bytes, Ping, Pong, CloseReceived, ProtocolFailure]


class State(Enum):
    """How far the closing handshake has come (RFC 6455 7.1)."""

    OPEN = "open"
    #: A close frame went one way, or reading has ended with a failure.
    CLOSING = "closing"
    #: Nothing more is read, and our close frame has been sent.
    CLOSED = "closed"


_new_utf8_decoder = codecs.getincrementaldecoder("utf-8")

#: The first bytes of a message that is one frame and not compressed.
_WHOLE_TEXT = int(FIN | Opcode.TEXT)
_WHOLE_BINARY = int(FIN | Opcode.BINARY)
_OPCODE_BITS = 0x0F
_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)

#: Bytes of the header of a short frame of a client: two, and the mask.
_SHORT_HEADER = 6

_NOT_UTF8 = "A text is not valid UTF-8."


class WebSocketProtocol:
    """The state of one WebSocket behind its handshake.

    One thread may receive while another sends. It keeps no lock: what the functions that send
    return must reach the client in the order in which they were called, since compressed messages
    refer to those before them.

    Args:
        limits: What a message may cost.
        deflate: What ``deflate.negotiate`` agreed on; None: no compression.
    """

    __slots__ = (
        "_close_sent",
        "_decoder",
        "_deflater",
        "_final",
        "_first_bytes",
        "_fragments",
        "_inflater",
        "_inflating",
        "_kept",
        "_left",
        "_limits",
        "_mask",
        "_message",
        "_opcode",
        "_reading",
        "_room",
        "_short",
    )

    def __init__(self, limits: WebSocketLimits, deflate: Optional[DeflateParams] = None) -> None:
        self._limits = limits
        self._short = min(MAX_CONTROL_PAYLOAD, limits.message)
        self._deflater = None if deflate is None else Deflater(deflate)
        self._inflater = None if deflate is None else Inflater(deflate, limits.message)
        self._first_bytes = FIRST_BYTES if deflate is None else FIRST_BYTES_DEFLATE
        self._reading = True
        self._close_sent = False
        self._kept = b""  # the beginning of a frame of which too little has come
        self._left = 0  # bytes that are still to come of the payload of a data frame
        self._mask = b""  # of that frame, turned to the next byte
        self._final = False  # whether that frame ends its message
        self._forget_message()

    def _forget_message(self) -> None:
        self._opcode = 0  # of the message that has begun; 0: none has
        self._message = bytearray()  # what has come of it
        self._fragments = 0  # frames that have continued it
        self._room = 0  # bytes that its further frames may have
        self._decoder: Optional[codecs.IncrementalDecoder] = None  # of a text
        self._inflating: Optional[Inflater] = None  # of a compressed message

    @property
    def state(self) -> State:
        """How far the connection is from its end."""
        if self._reading and not self._close_sent:
            return State.OPEN
        return State.CLOSING if self._reading or not self._close_sent else State.CLOSED

    def receive(self, data: bytes) -> list[Event]:
        """Return what is complete with these bytes, in order.

        A message is a ``str`` or ``bytes``. CloseReceived and ProtocolFailure are the last events
        there are: what comes behind them is not looked at.

        Args:
            data: What the socket delivered, of any size.
        """
        events: list[Event] = []
        if not self._reading:
            return events
        try:
            self._read(data, events)
        except WebSocketFailure as failure:
            self._fail(events, failure.code, failure.reason)
        except UnicodeDecodeError:
            # RFC 6455 8.1.
            self._fail(events, CloseCode.INVALID_DATA, _NOT_UTF8)
        return events

    def _fail(self, events: list[Event], code: CloseCode, reason: str) -> None:
        self._stop_reading()
        events.append(ProtocolFailure(int(code), reason))

    def _stop_reading(self) -> None:
        self._reading = False
        self._kept = b""
        self._inflater = None
        self._forget_message()

    def _read(self, data: bytes, events: list[Event]) -> None:
        if self._kept:
            data = self._kept + data
        position, size = 0, len(data)
        if self._left:
            position = self._take_payload(data, 0, events)
        while position < size:
            end = self._take_short(data, position, size, events)
            if end:
                position = end
                continue
            header = read_header(data, position, self._first_bytes)
            if header is None:
                break
            first, length, start = header
            end = start + length
            if first & CONTROL:
                if end > size:
                    break
                payload = unmask(data[start:end], data[start - 4 : start])
                self._take_control(first & _OPCODE_BITS, payload, events)
                if not self._reading:
                    return
                position = end
                continue
            if not self._close_sent:
                self._check_data_frame(first, length)
            if start > size:
                break
            if end <= size and not self._close_sent and first in (_WHOLE_TEXT, _WHOLE_BINARY):
                payload = unmask(data[start:end], data[start - 4 : start])
                events.append(payload.decode() if first == _WHOLE_TEXT else payload)
                position = end
            else:
                self._begin_data_frame(first, length, data[start - 4 : start])
                position = self._take_payload(data, start, events)
        self._kept = data[position:]

    def _take_short(self, data: bytes, position: int, size: int, events: list[Event]) -> int:
        """Take a message that is one short frame and has come whole; return its end, 0: it is not.

        It is what most messages are, so that way is written out: what may be wrong with a frame,
        and what else it may be, is found out on the other.
        """
        start = position + _SHORT_HEADER
        if start > size or self._opcode or self._close_sent:
            return 0
        first, length = data[position], data[position + 1] - MASKED
        end = start + length
        if end > size or not 0 <= length <= self._short:
            return 0
        if first == _WHOLE_TEXT:
            events.append(unmask(data[start:end], data[position + 2 : start]).decode())
        elif first == _WHOLE_BINARY:
            events.append(unmask(data[start:end], data[position + 2 : start]))
        else:
            return 0
        return end

    def _check_data_frame(self, first: int, length: int) -> None:
        """Refuse a frame that cannot come now (RFC 6455 5.4), or is over a limit."""
        room = self._limits.message
        if first & _OPCODE_BITS == Opcode.CONTINUATION:
            if not self._opcode:
                raise WebSocketFailure(
                    CloseCode.PROTOCOL_ERROR, "A continuation frame continues no message."
                )
            if self._fragments >= self._limits.fragments:
                raise WebSocketFailure(
                    CloseCode.TOO_BIG, f"A message has over {self._limits.fragments} fragments."
                )
            room = self._room
        elif self._opcode:
            raise WebSocketFailure(
                CloseCode.PROTOCOL_ERROR, "A message begins before the one in front has ended."
            )
        elif first & RSV1:
            room = _packed_limit(room)
        if length > room:
            raise WebSocketFailure(
                CloseCode.TOO_BIG, f"A message is over {self._limits.message} bytes."
            )

    def _begin_data_frame(self, first: int, length: int, mask: bytes) -> None:
        self._left = length
        self._mask = mask
        self._final = first >= FIN
        if first & _OPCODE_BITS:
            self._begin_message(first)
        else:
            self._fragments += 1
        self._room -= length

    def _begin_message(self, first: int) -> None:
        self._opcode = first & _OPCODE_BITS
        self._room = self._limits.message
        if self._opcode == Opcode.TEXT:
            self._decoder = _new_utf8_decoder()
        if first & RSV1:
            self._inflating = self._inflater
            self._room = _packed_limit(self._room)

    def _take_payload(self, data: bytes, position: int, events: list[Event]) -> int:
        """Work on what has come of the payload of a data frame, and return where it ends."""
        piece = data[position : position + self._left]
        self._left -= len(piece)
        if self._close_sent:
            # Here and not in close(), so that a thread that sends touches nothing but that flag.
            self._forget_message()
        else:
            plain = unmask(piece, self._mask)
            turn = len(piece) % 4
            self._mask = self._mask[turn:] + self._mask[:turn]
            self._add(plain if self._inflating is None else self._inflating.inflate(plain))
            if self._final and not self._left:
                self._end_message(events)
        return position + len(piece)

    def _add(self, piece: bytes) -> None:
        if self._decoder is not None:
            _check_text(self._decoder, piece)
        # One buffer and not a list of pieces: an object for each byte would take fifty.
        self._message += piece

    def _end_message(self, events: list[Event]) -> None:
        if self._inflating is not None:
            self._add(self._inflating.finish())
        text = self._opcode == Opcode.TEXT
        events.append(self._message.decode() if text else bytes(self._message))
        self._forget_message()

    def _take_control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == Opcode.CLOSE:
            event = _read_close(payload)
            self._stop_reading()
            events.append(event)
        elif not self._close_sent:
            events.append(Ping(payload) if opcode == Opcode.PING else Pong(payload))

    def send_text(self, text: str) -> bytes:
        """Return a text message.

        Raises:
            ValueError: a close frame was sent; or the text holds half of a surrogate pair, which
                UTF-8 cannot carry (a UnicodeEncodeError).
        """
        return self._data_frame(_TEXT, text.encode())

    def send_binary(self, data: bytes) -> bytes:
        """Return a binary message.

        Raises:
            ValueError: a close frame was sent.
        """
        return self._data_frame(_BINARY, data)

    def _data_frame(self, opcode: int, payload: bytes) -> bytes:
        if self._close_sent:
            raise ValueError("nothing can be sent behind a close frame")
        if self._deflater is None:
            return encode_frame(opcode, payload)
        return encode_frame(opcode, self._deflater.deflate(payload), rsv1=True)

    def ping(self, payload: bytes = b"") -> bytes:
        """Return a ping; nothing once a close frame was sent.

        Raises:
            ValueError: the payload is over 125 bytes.
        """
        return b"" if self._close_sent else encode_frame(Opcode.PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """Return a pong; nothing once a close frame was sent.

        Args:
            payload: That of the ping.

        Raises:
            ValueError: the payload is over 125 bytes.
        """
        return b"" if self._close_sent else encode_frame(Opcode.PONG, payload)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> bytes:
        """Return a close frame, once; nothing when one was sent.

        From now on the client's messages are passed over.

        Args:
            code: Why; 1005 writes a frame without a code and a reason, so that the code of a
                CloseReceived can be given back as it is.
            reason: A note for the client's log, cut to what fits.

        Raises:
            ValueError: a close frame cannot carry the code; or the reason holds half of a
                surrogate pair.
        """
        if code == CloseCode.NO_STATUS:
            payload = b""
        elif is_close_code(code):
            payload = code.to_bytes(2, "big") + _cut(reason, MAX_CONTROL_PAYLOAD - 2)
        else:
            raise ValueError(f"a close frame cannot carry the code {code}")
        if self._close_sent:
            return b""
        self._close_sent = True
        return encode_frame(Opcode.CLOSE, payload)


def _packed_limit(limit: int) -> int:
    """Return how many bytes a message within the limit may have when it is compressed.

    DEFLATE can make data longer: by an eighth where its fixed code is used for bytes that do not
    suit it, and by some bytes for each block. What it unpacks to is held to the limit itself.
    """
    return limit + limit // 8 + 1024


def _check_text(decoder: codecs.IncrementalDecoder, piece: bytes) -> None:
    """See a fault in a text as it arrives.

    The characters are dropped: they take more memory than the bytes, which are kept for the end.
    """
    decoder.decode(piece)
    held, _ = decoder.getstate()
    # RFC 3629 4: no character begins so; the decoder waits for the third byte of a surrogate.
    if held[:1] == b"\xed" and held[1:] >= b"\xa0":
        raise WebSocketFailure(CloseCode.INVALID_DATA, _NOT_UTF8)


def _read_close(payload: bytes) -> CloseReceived:
    """Read a close frame: empty, or a code and a reason (RFC 6455 5.5.1 and 7.4)."""
    if not payload:
        return CloseReceived(int(CloseCode.NO_STATUS), "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not is_close_code(code):
        raise WebSocketFailure(
            CloseCode.PROTOCOL_ERROR, "A close frame does not begin with a valid code."
        )
    return CloseReceived(code, payload[2:].decode())


def _cut(text: str, size: int) -> bytes:
    """Encode a text, and cut it in front of the character that would be too much."""
    encoded = text.encode()
    if len(encoded) > size:
        encoded = encoded[:size].decode(errors="ignore").encode()
    return encoded
