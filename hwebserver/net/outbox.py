"""What a connection still has to send: bytes and stretches of a file, in order.

Nothing here blocks. ``flush`` hands the system what it takes now; the connection waits for the
socket and calls it again. A large file goes in turns, since other connections want theirs.
"""

from __future__ import annotations

from collections import deque
from typing import Optional, Union

from ..exchange import FileBody, Span
from .transport import Transport


class Outbox:
    """The queue of one connection.

    Args:
        transport: Where it leads.
    """

    __slots__ = ("_file", "_queue", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._queue: deque[Union[memoryview, Span]] = deque()
        self._file: Optional[FileBody] = None

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._queue)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(item.size if isinstance(item, Span) else len(item) for item in self._queue)

    @property
    def has_file(self) -> bool:
        """Whether there is a file, open as long as it is not sent."""
        return self._file is not None

    @property
    def tells(self) -> bool:
        """Whether closing the file runs code that is not the server's."""
        return self._file is not None and self._file.closed is not None

    def put(self, data: Union[bytes, memoryview]) -> None:
        """Append bytes."""
        if data:
            self._queue.append(memoryview(data))

    def put_file(self, file: FileBody) -> None:
        """Append a file, one at a time; ``clear`` closes it, sent or not."""
        self._file = file
        self._transport.cork(True)
        for piece in file.pieces:
            if not isinstance(piece, Span):
                self.put(piece)
            elif piece.size:
                self._queue.append(piece)

    def flush(self) -> int:
        """Send what the system takes now, and return how many bytes that was.

        Raises:
            EOFError: the file has become shorter.
            OSError: the connection is gone, or the file cannot be read.
        """
        total = 0
        queue = self._queue
        while queue:
            item = queue[0]
            if isinstance(item, Span):
                sent = self._send_span(item)
                rest: Union[memoryview, Span] = Span(item.offset + sent, item.size - sent)
                left = item.size - sent
            else:
                sent = self._transport.send(item, len(queue) > 1)
                rest = item[sent:]
                left = len(rest)
            total += sent
            if left:
                queue[0] = rest
                break  # The system takes no more for now, or the turn is over.
            queue.popleft()
        return total

    def _send_span(self, span: Span) -> int:
        descriptor = -1 if self._file is None else self._file.descriptor
        return self._transport.send_file(descriptor, span.offset, span.size)

    def clear(self) -> None:
        """Forget what waits, and close the file if there was one."""
        self._queue.clear()
        file, self._file = self._file, None
        if file is not None:
            self._transport.cork(False)
            file.close()
