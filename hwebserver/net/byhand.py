"""A response that a handler sends by hand: its head, then its body piece by piece.

The calls block while the client is slow, so such a handler keeps its worker that long; what returns
an iterator instead does not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Optional, Union

from ..exchange import Answer
from ..protocol.response import LAST_CHUNK, Framing, chunk
from .transport import Transport

logger = logging.getLogger("hwebserver.app")


class HandChannel:
    """What ``exchange.Channel`` promises, for the responses of one connection.

    Args:
        transport: The connection.
        write_head: Writes the head of an answer whose body is sent by hand (True), and says how.
        patience: Seconds in which the client may take nothing.

    Attributes:
        sent: Bytes of the last body that were sent.
    """

    __slots__ = ("_framing", "_lost", "_patience", "_total", "_transport", "_write_head", "sent")

    def __init__(
        self,
        transport: Transport,
        write_head: Callable[[Answer, bool], tuple[bytes, Framing]],
        patience: float,
    ) -> None:
        self._transport = transport
        self._write_head = write_head
        self._patience = patience
        self._framing: Optional[Framing] = None
        self._lost = False  # some bytes were not sent, so none may follow them
        self._total = 0  # bytes that the handler has handed over
        self.sent = 0

    def start(self, answer: Answer) -> None:
        """Send a head; see ``exchange.Channel``."""
        head, self._framing = self._write_head(answer, True)
        self._total = self.sent = 0
        self._lost = False
        self._send(head)

    def write(self, data: bytes) -> None:
        """Send a piece of the body; see ``exchange.Channel``."""
        framing = self._framing
        if framing is None:
            raise ValueError("the head of the response has not been sent")
        total = self._total + len(data)
        if framing.length is not None and total > framing.length:
            raise ValueError(f"the body is longer than its Content-Length, {framing.length}")
        self._total = total
        if framing.has_body:
            self._send(chunk(data) if framing.chunked else data)
            self.sent = total

    def abort(self) -> None:
        """Leave the response unfinished; see ``exchange.Channel``."""
        self._framing = None

    def end(self) -> Optional[bytes]:
        """Return what ends the body; None: it is not complete, and the connection must close."""
        framing, self._framing = self._framing, None
        if framing is None or self._lost:
            return None
        if framing.has_body and framing.length not in (None, self._total):
            logger.error("a handler sent %s bytes of a body of %s", self._total, framing.length)
            return None
        return LAST_CHUNK if framing.has_body and framing.chunked else b""

    def _send(self, data: Union[bytes, memoryview]) -> None:
        left = memoryview(data)
        while left:
            if self._lost:
                raise ConnectionAbortedError("the client has left")
            try:
                count = self._transport.send(left)
            except OSError as error:
                self._lost = True
                raise ConnectionAbortedError("the client has left") from error
            left = left[count:]
            if not count and not self._transport.wait_writable(self._patience):
                self._lost = True
                raise ConnectionAbortedError("the client takes no more of the response")
