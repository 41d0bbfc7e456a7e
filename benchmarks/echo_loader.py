"""Have messages echoed over WebSockets for some seconds, and print what that took.

    echo_loader.py text PORT BYTES CONNECTIONS SECONDS PID
    echo_loader.py binary PORT BYTES CONNECTIONS SECONDS PID

A program of its own, so that it has a core of its own. It does as little as it can: every
connection sends the same masked frame, made once, and of what comes back only the bytes are
counted. Each has one message on its way. PID is the server's, whose CPU time counts from the first
measured message to the last echo, without the handshakes.
"""

from __future__ import annotations

import json
import random
import select
import signal
import socket
import string
import sys
import time
from collections.abc import Sequence

from harness import cpu_seconds

PATIENCE_SECONDS = 60
BUFFER_BYTES = 1 << 20
# Each connection does these first: they are checked to the byte, and not measured.
WARM_UP_BYTES = 100_000
WARM_UP_MESSAGES = 3
TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88
MASKED = 0x80
MASK = bytes.fromhex("37fa213d")
HANDSHAKE = (
    b"GET / HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class WrongAnswer(Exception):
    """The server did not answer as it should."""


def header(first: int, size: int, masked: int) -> bytes:
    """The header of a frame, up to its mask."""
    if size < 126:
        return bytes([first, masked | size])
    if size < 1 << 16:
        return bytes([first, masked | 126]) + size.to_bytes(2, "big")
    return bytes([first, masked | 127]) + size.to_bytes(8, "big")


def client_frame(first: int, payload: bytes) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    mask = int.from_bytes((MASK * (size // 4 + 1))[:size], "big")
    body = (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")
    return header(first, size, MASKED) + MASK + body


def upgrade(port: int) -> socket.socket:
    """Connect, and have the connection made a WebSocket."""
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.sendall(HANDSHAKE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += (piece := made.recv(1024))
        if not piece or len(head) > BUFFER_BYTES:
            break
    if not head.startswith(b"HTTP/1.1 101 "):
        raise WrongAnswer(f"no upgrade but {head[:80]!r}")
    return made


class Loader:
    """The connections, and the frame that each of them sends.

    Args:
        kind: ``text`` or ``binary``.
        port: Where the server listens on 127.0.0.1.
        size: Bytes of the message.
        connections: How many.
    """

    def __init__(self, kind: str, port: int, size: int, connections: int) -> None:
        # Seeded: every server and every run gets the same bytes.
        noise = random.Random(0)
        if kind == "text":
            first, message = TEXT, "".join(noise.choices(string.ascii_letters, k=size)).encode()
        else:
            first, message = BINARY, noise.randbytes(size)
        self._frame = client_frame(first, message)
        self._echo = header(first, size, 0) + message
        self._sockets = [upgrade(port) for _ in range(connections)]
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def warm_up(self) -> None:
        """Check what comes back, and let the server reach its usual speed."""
        count = max(WARM_UP_MESSAGES, WARM_UP_BYTES // len(self._echo) // len(self._sockets))
        for _ in range(count):
            for one in self._sockets:
                one.sendall(self._frame)
                answer = receive(one, len(self._echo))
                if answer != self._echo:
                    raise WrongAnswer(f"{self._echo[:40]!r} came back as {answer[:40]!r}")

    def run(self, seconds: float) -> int:
        """Send for some seconds, receive all echoes, and return how many they were."""
        poller = select.epoll()
        sockets = {one.fileno(): one for one in self._sockets}
        left = dict.fromkeys(sockets, 0)
        frame, size, buffer = self._frame, len(self._echo), self._buffer
        for number, one in sockets.items():
            poller.register(number, select.EPOLLIN)
            one.sendall(frame)
            left[number] = size
        count, underway, end = 0, len(sockets), time.perf_counter() + seconds
        while underway:
            for number, _ in poller.poll():
                received = sockets[number].recv_into(buffer)
                left[number] -= received
                if not received or left[number] < 0:
                    raise WrongAnswer("the connection ended, or more came back than was sent")
                if left[number]:
                    continue
                count += 1
                if time.perf_counter() < end:
                    sockets[number].sendall(frame)
                    left[number] = size
                else:
                    underway -= 1
        poller.close()
        return count

    def close(self) -> None:
        """Leave with a close frame, so that no server has an error to log."""
        frame = client_frame(CLOSE, (1000).to_bytes(2, "big"))
        for one in self._sockets:
            one.sendall(frame)
            while one.recv(1024):
                pass
            one.close()


def receive(connection: socket.socket, size: int) -> bytes:
    """Receive so many bytes, or less at the end of the connection."""
    answer = bytearray()
    while len(answer) < size and (piece := connection.recv(size - len(answer))):
        answer += piece
    return bytes(answer)


def measure(kind: str, numbers: Sequence[str]) -> dict[str, int]:
    """Load the server as the command line says."""
    port, size, connections, seconds, pid = map(int, numbers)
    # Whatever hangs is ended by the signal: sockets with time-outs would poll before each call.
    signal.alarm(seconds + PATIENCE_SECONDS)
    loader = Loader(kind, port, size, connections)
    loader.warm_up()
    before, start = cpu_seconds(pid), time.perf_counter()
    messages = loader.run(seconds)
    took, cpu = time.perf_counter() - start, cpu_seconds(pid) - before
    loader.close()
    return {
        "messages": messages,
        "microseconds": int(took * 1e6),
        "cpu_microseconds": int(cpu * 1e6),
    }


def main() -> int:
    """Load, and print the totals."""
    try:
        totals = measure(sys.argv[1], sys.argv[2:])
    except (OSError, WrongAnswer) as error:
        print(error)
        return 1
    print(json.dumps(totals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
