"""One socket that never blocks: receive, send, send a file, close."""

from __future__ import annotations

import os
import selectors
import socket
from typing import Any, Optional, Union

#: Bytes of one read where anything may come.
RECEIVE_SIZE = 65536

#: Bytes of one read where a large body comes, for each read has a price of its own. From 128 KiB on
#: the C library would map each piece by itself, and then keep ever more memory in holes between
#: pieces of many sizes.
BULK_SIZE = 114688

#: Most bytes of a file that one call hands to the system: other connections want their turn.
_FILE_TURN = 1 << 21

#: Tells Linux that more follows, so that a head and the file behind it share a packet.
_MORE = getattr(socket, "MSG_MORE", 0)

#: The option that holds packets back until they are full.
_CORK: Optional[int] = getattr(socket, "TCP_CORK", None)

#: Errors of a connection that the other side has ended; there is nothing left to do with it.
GONE = (ConnectionError, TimeoutError)


class HandshakeFailed(Exception):
    """The other side wants other encryption than we do, or none; it has been told so."""


class Transport:
    """A plain TCP or Unix connection.

    Args:
        sock: A connected socket; it is ours from here on.

    Attributes:
        received: Bytes that have come, decrypted where they are encrypted.
        sent: Bytes that the system took.
    """

    __slots__ = ("_socket", "received", "sent")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.received = self.sent = 0
        sock.setblocking(False)
        if sock.family != getattr(socket, "AF_UNIX", None):
            # Answers go out in one write; to wait for more would only delay them.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed: a transport can be put into a selector."""
        return self._socket.fileno()

    def peek(self, most: int = 1) -> Optional[bytes]:
        """Return the first bytes that have arrived and leave them, ``b""`` at the end, None: none.

        Args:
            most: Most bytes to return.
        """
        try:
            return self._socket.recv(most, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def handshake(self) -> int:
        """Go on with what comes before the first byte of a request: nothing, where it is plain.

        Returns:
            The event of ``selectors`` that it waits for; 0: it is done.

        Raises:
            HandshakeFailed: it came to no end.
            OSError: the connection is gone.
        """
        return 0

    def certificate(self) -> Optional[dict[str, Any]]:
        """Return the certificate that the other side has shown, as ``ssl.getpeercert`` does."""
        return None

    def receive(self, most: int = RECEIVE_SIZE) -> Optional[bytes]:
        """Return what has arrived, ``b""`` at the end (a reset is one), None when nothing has.

        Args:
            most: Most bytes to return; where they are encrypted, a few more may come.
        """
        try:
            data = self._socket.recv(most)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""
        self.received += len(data)
        return data

    def send(self, data: Union[bytes, memoryview], more: bool = False) -> int:
        """Hand bytes to the system and return how many it took.

        Raises:
            OSError: the connection is gone.
        """
        try:
            count = self._socket.send(data, _MORE) if more else self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        self.sent += count
        return count

    def cork(self, on: bool) -> None:
        """Have the system wait for full packets, or send what it holds back; Linux alone can.

        A file that goes page by page would otherwise make more and smaller packets.

        Args:
            on: Whether more follows at once.
        """
        if _CORK is not None:
            try:
                self._socket.setsockopt(socket.IPPROTO_TCP, _CORK, int(on))
            except OSError:
                pass  # It is closed, or no TCP connection.

    def send_file(self, descriptor: int, offset: int, size: int) -> int:
        """Hand bytes of a file to the system and return how many it took.

        Raises:
            EOFError: the file ends before ``offset``: it has shrunk.
            OSError: the connection is gone, or the file cannot be read.
        """
        count = min(size, _FILE_TURN)
        try:
            if hasattr(os, "sendfile"):
                sent = os.sendfile(self._socket.fileno(), descriptor, offset, count)
            else:
                sent = self._send_read(descriptor, offset, count)
        except (BlockingIOError, InterruptedError):
            return 0
        if not sent:
            raise EOFError("the file is shorter than when its sending began")
        self.sent += sent
        return sent

    def _send_read(self, descriptor: int, offset: int, count: int) -> int:
        """Do what sendfile does where it is missing (Windows)."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        data = os.read(descriptor, min(count, RECEIVE_SIZE))
        return self._socket.send(data) if data else 0

    def wait_writable(self, seconds: float) -> bool:
        """Block until the system takes more bytes; return whether it does."""
        with selectors.DefaultSelector() as selector:
            try:
                selector.register(self._socket, selectors.EVENT_WRITE)
            except ValueError:
                return False  # It was closed meanwhile.
            return bool(selector.select(seconds))

    def take_leave(self) -> None:
        """Say that all has been sent, where closing alone would not say it: encrypted."""

    def end_sending(self) -> None:
        """Tell the other side that nothing more comes; it may still send."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has gone already.

    def abort(self) -> None:
        """End the connection both ways; a thread that waits for it wakes."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It has gone already.

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self._socket.close()
