"""A WebSocket client for tests, which sends whatever it is told to, and shows what comes back."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from support import connect, receive_until

import hwebserver

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # both from RFC 6455 1.3

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """A frame of the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False

    @property
    def code(self) -> int:
        """The code of a close frame."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big")


def head(path: str = "/", **fields: str | None) -> bytes:
    """Return the head of an upgrade; fields replace those that it needs, None leaves one out."""
    lines = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    lines.update({name.replace("_", "-"): value for name, value in fields.items()})
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1")


def frame(
    opcode: int,
    payload: bytes = b"",
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Return a frame as a client sends it.

    Args:
        opcode: Its opcode.
        payload: Its payload.
        fin: Whether it ends a message.
        rsv: Its reserved bits: 4, 2, 1.
        masked: Whether it is masked.
        length: What it says its length is; None: the truth.
    """
    size = len(payload) if length is None else length
    mark = 0x80 if masked else 0
    data = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        data += bytes([mark | size])
    elif size < 65536:
        data += bytes([mark | 126]) + size.to_bytes(2, "big")
    else:
        data += bytes([mark | 127]) + size.to_bytes(8, "big")
    if not masked:
        return data + payload
    mask = b"\x37\xfa\x21\x3d"
    turned = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return data + mask + (int.from_bytes(payload, "big") ^ turned).to_bytes(len(payload), "big")


def text(message: str) -> bytes:
    """Return a text message."""
    return frame(TEXT, message.encode())


def close(code: int | None = 1000, reason: str = "") -> bytes:
    """Return a close frame."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


class Client:
    """One end of a WebSocket.

    Args:
        sock: A connection whose upgrade was accepted.
        rest: What came behind the head of the answer.

    Attributes:
        answer: The head of the answer.
    """

    def __init__(self, sock: socket.socket, answer: bytes, rest: bytes = b"") -> None:
        self.sock = sock
        self.answer = answer
        self._data = rest

    def send(self, *data: bytes) -> None:
        """Send frames, or parts of frames."""
        self.sock.sendall(b"".join(data))

    def _fill(self, size: int) -> bool:
        while len(self._data) < size:
            try:
                piece = self.sock.recv(65536)
            except ConnectionError:
                return False
            if not piece:
                return False
            self._data += piece
        return True

    def receive(self) -> Frame | None:
        """Return the next frame; None: the connection has ended."""
        if not self._fill(2):
            assert not self._data, self._data
            return None
        first, size = self._data[0], self._data[1]
        assert size < 128, "the server masks a frame"
        start = {126: 4, 127: 10}.get(size, 2)
        assert self._fill(start)
        if start > 2:
            size = int.from_bytes(self._data[2:start], "big")
        assert self._fill(start + size), "the connection ends in a frame"
        payload = self._data[start : start + size]
        self._data = self._data[start + size :]
        return Frame(first & 15, payload, first >= 128, bool(first & 64))

    def message(self) -> str | bytes:
        """Return the next message, which is one frame."""
        got = self.receive()
        assert got is not None, "the connection has ended"
        assert got.fin, got
        assert got.opcode in (TEXT, BINARY), got
        return got.payload.decode() if got.opcode == TEXT else got.payload

    def ended(self) -> Frame:
        """Read a close frame and the end of the connection behind it; return the frame."""
        got = self.receive()
        assert got is not None, "the connection has ended without a close frame"
        assert got.opcode == CLOSE, got
        assert self.receive() is None
        return got


@contextlib.contextmanager
def websocket(
    server: hwebserver.Server, path: str = "/", early: bytes = b"", **fields: Any
) -> Iterator[Client]:
    """Open a WebSocket, and close its connection behind the block.

    Args:
        server: A running server.
        path: The path.
        early: What is sent right behind the head.
        fields: As for ``head``.
    """
    with connect(server) as sock:
        sock.sendall(head(path, **fields) + early)
        answer, _, rest = receive_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        yield Client(sock, answer, rest)
