"""What a server has done, in numbers.

To count costs next to nothing: each connection counts for itself, in numbers that belong to the one
thread that owns it, so that no lock is taken and nothing is lost. They are added to those of its
port when it ends, and read where they stand when somebody asks before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Optional, Protocol

#: What answers are told apart by, the first of them having had none.
_CLASSES = ("", "1xx", "2xx", "3xx", "4xx", "5xx")
_FINE = 2


class Counting(Protocol):
    """A socket that counts its bytes, as ``net.transport`` does."""

    received: int
    sent: int


class Tally:
    """What one connection has done; it belongs to the thread that owns the connection.

    Args:
        port: What has been done on its port.
        transport: Its socket.

    Attributes:
        transport: Its socket.
        fine: How many requests ended with a status from 200 to 299, as most do.
        others: How many ended with which other class of status, 0: without an answer; None: none.
        websocket: Whether it has become a WebSocket.
    """

    __slots__ = ("_port", "fine", "others", "transport", "websocket")

    def __init__(self, port: PortTally, transport: Counting) -> None:
        self._port = port
        self.transport = transport
        self.fine = 0
        self.others: Optional[list[int]] = None
        self.websocket = False

    def count(self, status: int) -> None:
        """Count a request that has ended with another status than those of ``fine``."""
        if self.others is None:
            self.others = [0] * len(_CLASSES)
        self.others[status // 100] += 1

    def answers(self) -> Iterable[int]:
        """Return how many requests ended with which class of status."""
        numbers = self.others or [0] * len(_CLASSES)
        return (number + self.fine * (kind == _FINE) for kind, number in enumerate(numbers))

    def end(self) -> None:
        """Add it to what was done on the port; a second call does nothing."""
        self._port.end(self)


class PortTally:
    """What was done on one port."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Tally] = set()
        self._accepted = self._received = self._sent = 0
        self._answers = [0] * len(_CLASSES)

    def begin(self, transport: Counting) -> Tally:
        """Return the tally of a new connection.

        Args:
            transport: Its socket.
        """
        tally = Tally(self, transport)
        with self._lock:
            self._accepted += 1
            self._open.add(tally)
        return tally

    def end(self, tally: Tally) -> None:
        """Add what a connection has done, which has ended."""
        with self._lock:
            if tally not in self._open:
                return
            self._open.remove(tally)
            self._received += tally.transport.received
            self._sent += tally.transport.sent
            self._answers = [a + b for a, b in zip(self._answers, tally.answers())]

    def numbers(self) -> dict[str, Any]:
        """Return them, by their names in ``Server.statistics``."""
        with self._lock:
            running = tuple(self._open)
            accepted, received, sent = self._accepted, self._received, self._sent
            answers = self._answers
            for one in running:
                received += one.transport.received
                sent += one.transport.sent
                answers = [a + b for a, b in zip(answers, one.answers())]
        return {
            "connections": len(running),
            "accepted": accepted,
            "websockets": sum(one.websocket for one in running),
            "requests": sum(answers),
            "received": received,
            "sent": sent,
            "answers": dict(zip(_CLASSES[1:], answers[1:])),
        }


def add_up(ports: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums of the numbers of several ports."""
    total: dict[str, Any] = {**PortTally().numbers(), "refused": 0}
    for numbers in ports:
        for name, value in numbers.items():
            if name == "answers":
                total[name] = {key: total[name][key] + value[key] for key in value}
            else:
                total[name] += value
    return total
