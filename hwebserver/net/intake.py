"""The body of a request whose handler runs while it arrives.

What has been received goes to a queue from which the handler takes it. While the queue is full
nothing is received, so the system stops the client, and no deadline runs: it is we who do not
read. A client that waits to be invited (``Expect: 100-continue``) is when the handler has asked.
"""

from __future__ import annotations

from ..exchange import BodyQueue
from ..protocol.http1 import RequestHead, RequestReader
from .endpoint import NEVER, Timeouts


class Intake:
    """One body on its way to its handler; all of it belongs to the owner of the connection.

    Args:
        head: The head of the request.
        reader: Where bytes are decoded.
        queue: Where they go.
        timeouts: The deadlines.
        now: The monotonic time.

    Attributes:
        complete: Whether all of it is in the queue.
        uninvited: Whether the client waits to be told that the body is wanted.
        deadline: When the client is to have sent more.
    """

    __slots__ = (
        "_began",
        "_length",
        "_queue",
        "_reader",
        "_received",
        "_stopped",
        "_timeouts",
        "complete",
        "deadline",
        "uninvited",
    )

    def __init__(
        self,
        head: RequestHead,
        reader: RequestReader,
        queue: BodyQueue,
        timeouts: Timeouts,
        now: float,
    ) -> None:
        self._reader = reader
        self._queue = queue
        self._timeouts = timeouts
        self._length = head.content_length
        self._received = 0
        self._began = now
        self._stopped = NEVER  # when receiving was stopped, if it is
        self.complete = False
        self.uninvited = head.expects_continue
        self.deadline = NEVER

    @property
    def has_room(self) -> bool:
        """Whether more is to be received."""
        return not self._queue.full

    @property
    def wanted(self) -> bool:
        """Whether the client is now to be told that the body is wanted."""
        return self.uninvited and self._queue.asked

    @property
    def missing(self) -> int:
        """Bytes that have yet to arrive, as far as that is known."""
        return max(0, (self._length or 0) - self._received)

    def move(self, now: float) -> None:
        """Hand over what was received.

        Raises:
            HTTPError: it is no body.
        """
        self.uninvited = self.uninvited and not self._reader.size
        piece = self._reader.take_body()
        self._received += len(piece)
        self.complete = self._reader.body_complete
        if piece or self.complete:
            self._queue.put(piece, self.complete)
        self._set_deadline(now)

    def _set_deadline(self, now: float) -> None:
        if self.complete or self.uninvited or self._queue.full:
            self.deadline = NEVER
            self._stopped = min(self._stopped, now)
            return
        if self._stopped < NEVER:
            self._began += now - self._stopped  # That time was not the client's.
            self._stopped = NEVER
        timeouts = self._timeouts
        self.deadline = now + timeouts.body
        if timeouts.min_body_rate:
            earned = self._received / timeouts.min_body_rate
            self.deadline = min(self.deadline, self._began + timeouts.body + earned)
