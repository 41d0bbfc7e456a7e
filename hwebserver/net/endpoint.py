"""What the connections of one port share, and the words in which they speak to the poller."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ..exchange import Application, Port
from ..journal import Refusals
from ..protocol.http1 import Limits
from ..protocol.response import HeadWriter
from ..tally import PortTally
from .sockets import Sockets, SocketSettings
from .stream import Producers

if TYPE_CHECKING:
    from .connection import Connection
    from .tls import TLS

NEVER = float("inf")

#: How long a stream whose end nobody knows goes on when the server stops, in seconds: what is
#: about to end may, and what is endless is over.
_STREAM_GRACE = 1.0


class Wants(Enum):
    """What a connection waits for; the last two: nothing that the polling thread would give it."""

    READ = 1
    WRITE = 2
    PARK = 3
    DISK = 4
    WORK = 5
    AGAIN = 6
    LEAVE = 7
    CLOSE = 8
    BOTH = 9
    GIVEN = 10  # It is with a worker.
    OUSTED = 11  # It is with this thread, and another thread polls from now on.


READ, WRITE, PARK, DISK, WORK, AGAIN, LEAVE, CLOSE, BOTH, GIVEN, OUSTED = Wants


class Timeouts(NamedTuple):
    """The deadlines of a connection in seconds; the settings of the same names describe them."""

    keep_alive: float = 15.0
    head: float = 10.0
    body: float = 20.0
    min_body_rate: float = 240.0
    send: float = 20.0
    linger: float = 2.0
    handshake: float = 10.0

    @property
    def shortest(self) -> float:
        """The shortest of the deadlines."""
        seconds = (self.keep_alive, self.head, self.body, self.send, self.linger, self.handshake)
        return min(one for one in seconds if one > 0)


class Endpoint:
    """What the connections of one port share.

    Args:
        port: The port.
        application: What answers.
        limits: What a request may cost.
        timeouts: The deadlines.
        writer: Writes response heads.
        producers: Where streams are made that no worker makes.
        sockets: Where connections go that become WebSockets.
        socket_settings: The limits and deadlines of those.
        tell: Has the polling thread resume a connection that waits; any thread may call it.
        refusals: Where what is refused is written down.
        tls: What its connections are encrypted with; None: they are not.
        trusts_proxy: Says whether a peer, by its address, may send the PROXY protocol; None: it is
            not expected.

    Attributes:
        tally: What was done on the port.
        draining: The server is stopping: no connection is kept.
        streams_end: When streams that may be endless are cut off.
    """

    def __init__(
        self,
        port: Port,
        application: Application,
        limits: Limits,
        timeouts: Timeouts,
        writer: HeadWriter,
        producers: Producers,
        sockets: Sockets,
        socket_settings: SocketSettings,
        tell: Callable[[Connection], None],
        refusals: Refusals,
        tls: Optional[TLS] = None,
        trusts_proxy: Optional[Callable[[str], bool]] = None,
    ) -> None:
        self.port = port
        self.application = application
        self.limits = limits
        self.timeouts = timeouts
        self.writer = writer
        self.producers = producers
        self.sockets = sockets
        self.socket_settings = socket_settings
        self.tell = tell
        self.refusals = refusals
        self.tally = PortTally()
        self.tls = tls
        self.trusts_proxy = trusts_proxy
        self.draining = False
        self.streams_end = NEVER

    def numbers(self) -> dict[str, Any]:
        """Return what was done on the port, by the names in ``Server.statistics``."""
        return {**self.tally.numbers(), "refused": self.refusals.count}

    def drain(self) -> None:
        """Have every answer from now on close its connection; a second call does nothing."""
        if not self.draining:
            self.streams_end = time.monotonic() + _STREAM_GRACE
            self.draining = True
