"""The selector: which connections there are, what each waits for, and whose time is up.

All of it belongs to the polling thread. Other threads reach it in four ways only: ``give_back``
(a worker returns a connection), ``nudge`` (something has come for one that waits), ``wake``
(something is to be looked at) and ``look_soon`` (within a moment); they append to a deque or set a
value, take no lock and may be called from a signal handler.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Optional

from ..errors import HTTPError
from ..exchange import ConnectionInfo
from .connection import Connection
from .endpoint import (
    AGAIN,
    BOTH,
    CLOSE,
    DISK,
    GIVEN,
    LEAVE,
    NEVER,
    OUSTED,
    PARK,
    READ,
    WORK,
    WRITE,
    Endpoint,
    Wants,
)
from .listener import Exhausted, Listener, address_pair
from .transport import Transport
from .watch import begin_watch

logger = logging.getLogger("hwebserver.server")

#: Requests of one connection answered in one turn, when it sent many at once.
_PIPELINE_TURN = 16

#: How long accepting pauses when there is no descriptor left, in seconds.
_ACCEPT_PAUSE = 0.2

#: How long, at a restart, a connection may take that has not yet sent its first byte, in seconds:
#: its client was let in and must not be turned away, but browsers open some that they never use.
_RESTART_GRACE = 0.25

#: How long deadlines are not looked at, at the most, while nothing happens, in seconds.
_LONGEST_LOOK = 60.0

#: How soon deadlines are looked at when somebody asks for it, in seconds.
_SOON = 0.1

#: Connections above the limit that may hear a 503 at the same time.
_OVERFLOW = 64

_WATCHED = (READ, WRITE, BOTH)

#: Does what may take its time: WORK (the handler of a connection's request) or DISK. Returns what
#: the connection wants then; GIVEN or OUSTED: the calling thread has nothing more to do with it.
Dispatch = Callable[[Connection, Wants], Wants]


def close_safely(connection: Connection) -> None:
    """Close a connection; what fails in that is logged, and ends nothing else."""
    try:
        connection.close()
    except Exception:
        logger.exception("what a connection held could not all be let go of")


class Poller:
    """The connections of a running server.

    Args:
        max_connections: Most that are open at once.
        elsewhere: Says how many more are open that this poller has let go of.
        tick: How often deadlines are looked at, in seconds.
        on_look: Called with the time when they are; says whether it must be called regularly.
        pending: Says whether that has something to do though there are no connections.
    """

    def __init__(
        self,
        max_connections: int,
        tick: float,
        elsewhere: Callable[[], int] = lambda: 0,
        on_look: Callable[[float], bool] = lambda now: False,
        pending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._watch = begin_watch()
        self._max_connections = max_connections
        self._elsewhere = elsewhere
        self._on_look = on_look
        self._pending = pending
        self._tick = tick
        self._next_look = 0.0
        self._connections: set[Connection] = set()
        self._listeners: dict[Listener, Endpoint] = {}
        self._paused: dict[Listener, float] = {}
        self._newcomers: deque[Connection] = deque()  # accepted, and not looked at yet
        self._again: deque[Connection] = deque()
        self._local = ("", 0)  # what the last connection was made to
        self._returned: deque[tuple[Connection, Wants]] = deque()
        self._nudged: deque[Connection] = deque()
        self._longest_idle: list[Connection] = []
        self._ending = False  # the server stops
        self._lively = False  # something has happened since deadlines were looked at
        self._selecting = False
        self._overflow = 4 if self._watch.most < 1000 else _OVERFLOW
        self._fresh_until = 0.0  # how long connections may stay that have sent nothing yet
        self._full = False  # connections are refused, and the log says so already
        self._starved = False  # accepting has failed, and the log says so already
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._watch.add(self._wake_in, READ, self._woken)

    # --- from any thread ---

    def give_back(self, connection: Connection, wants: Wants) -> None:
        """Return a connection whose handler has been run by another thread."""
        self._returned.append((connection, wants))
        if self._selecting:
            self.wake()

    def nudge(self, connection: Connection) -> None:
        """Have a connection resumed that waits for something other than its socket."""
        self._nudged.append(connection)
        if self._selecting:
            self.wake()

    def wake(self) -> None:
        """End the current wait."""
        try:
            self._wake_out.send(b"\0")
        except OSError:
            pass  # The pipe is full: it wakes already. Or it is closed: nobody waits.

    def look_soon(self) -> None:
        """Have deadlines looked at within a tenth of a second, and ``on_look`` called."""
        self._next_look = min(self._next_look, time.monotonic() + _SOON)
        if self._selecting:
            self.wake()

    def keep_none(self) -> None:
        """Have every answer from now on close its connection: the server is to stop."""
        self._ending = True
        for endpoint in tuple(self._listeners.values()):
            endpoint.drain()

    # --- from the polling thread ---

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections) + self._elsewhere()

    def listen(self, listener: Listener, endpoint: Endpoint) -> None:
        """Accept connections from now on."""
        listener.adopt = self._adopt
        self._listeners[listener] = endpoint
        self._attend(listener)

    def poll(self, dispatch: Dispatch, longest: Optional[float]) -> bool:
        """Wait once and serve what is ready; return whether the calling thread still polls.

        Args:
            dispatch: Runs handlers.
            longest: Seconds to wait at most; None: no limit.
        """
        self.take_back()
        self._selecting = True
        # What was returned before the flag was up woke nobody.
        waiting = not (self._again or self._returned or self._nudged or self._newcomers)
        ready = self._watch.wait(self._patience(longest) if waiting else 0)
        self._selecting = False
        now = time.monotonic()
        if ready or self._nudged:
            self._note_life(now)
        for who in ready:
            if isinstance(who, Connection):
                if not self._serve(who, who.step, now, dispatch):
                    return False
            else:
                who()
        if self._newcomers and not self._greet(now, dispatch):
            return False
        for _ in range(len(self._nudged)):
            connection = self._nudged.popleft()
            # One that is not watched is with a worker, or its turn comes anyway.
            watched = connection.interest is not None
            if watched and not self._serve(connection, connection.nudged, now, dispatch):
                return False
        for _ in range(len(self._again)):
            connection = self._again.popleft()
            if not self._serve(connection, connection.resume, now, dispatch):
                return False
        if now >= self._next_look:
            self._look_at_deadlines(now)
        return True

    def _greet(self, now: float, dispatch: Dispatch) -> bool:
        """Serve connections that were accepted just now: mostly a request has come with them.

        One that is closed behind its answer is then never watched at all. Returns whether the
        calling thread still polls.
        """
        while self._newcomers:
            connection = self._newcomers.popleft()
            if not self._serve(connection, connection.step, now, dispatch):
                return False
        return True

    def _serve(
        self,
        connection: Connection,
        step: Callable[[float], Wants],
        now: float,
        dispatch: Dispatch,
    ) -> bool:
        """Push a connection as far as it goes; return whether the calling thread still polls."""
        try:
            wants = step(now)
            if wants is WORK:
                wants = dispatch(connection, wants)
            # Mostly it waits for the next request then, as it did before.
            return wants is connection.interest or self._push(connection, wants, now, dispatch)
        except Exception:
            self._give_up(connection)
        return True

    def _push(self, connection: Connection, wants: Wants, now: float, dispatch: Dispatch) -> bool:
        """Go on with a connection for a turn; return whether the calling thread still polls."""
        turns = _PIPELINE_TURN
        while True:
            if wants is WORK or wants is DISK:
                wants = dispatch(connection, wants)
            if wants is GIVEN or wants is OUSTED:
                return wants is GIVEN
            if wants is not AGAIN or not turns:
                break
            turns -= 1
            wants = connection.resume(now)
        if wants is not connection.interest:
            self._settle(connection, wants)
        return True

    def _settle(self, connection: Connection, wants: Wants) -> None:
        """Do what a connection wants, other than what it is watched for already."""
        if wants is CLOSE:
            self._close(connection)
        elif wants is LEAVE:
            self._connections.discard(connection)
            self.disown(connection)
            connection.depart()
        elif wants is AGAIN:
            # Not watched meanwhile: what it sends waits until the buffer is empty.
            self.disown(connection)
            self._again.append(connection)
        elif wants is PARK:
            self.disown(connection)
            connection.interest = PARK
        elif connection.interest in _WATCHED:
            self._watch.change(connection.transport, wants, connection)
            connection.interest = wants
        else:
            self._watch.add(connection.transport, wants, connection)
            connection.interest = wants

    def disown(self, connection: Connection) -> None:
        """Stop watching a connection that another thread works on."""
        if connection.interest in _WATCHED:
            self._watch.remove(connection.transport, connection)
        connection.interest = None

    def take_back(self) -> None:
        """Go on with the connections whose handlers other threads have run."""
        if self._returned:
            self._note_life(time.monotonic())
        while self._returned:
            connection, wants = self._returned.popleft()
            if connection in self._connections:
                self._settle_safely(connection, wants)

    def _note_life(self, now: float) -> None:
        """Have deadlines looked at, for there may be new ones."""
        self._lively = True
        self._next_look = min(self._next_look, now + self._tick)

    def _settle_safely(self, connection: Connection, wants: Wants) -> None:
        try:
            if wants is not connection.interest:
                self._settle(connection, wants)
        except Exception:
            self._give_up(connection)

    def reclaim(self, connection: Connection, wants: Wants) -> bool:
        """Take a returned connection back, if nobody has seen it yet."""
        try:
            self._returned.remove((connection, wants))
        except ValueError:
            return False
        return True

    def _give_up(self, connection: Connection) -> None:
        """Close a connection that met an error of ours; it costs nobody else anything."""
        logger.exception("a connection is closed because of an error in the server")
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.disown(connection)
        close_safely(connection)

    def _attend(self, listener: Listener) -> None:
        def accept() -> None:
            self._accept(listener)

        self._watch.add(listener, READ, accept)

    def _woken(self) -> None:
        try:
            self._wake_in.recv(4096)
        except OSError:
            pass

    def _patience(self, longest: Optional[float]) -> Optional[float]:
        """How long to wait: until deadlines are looked at, or for ever when there are none."""
        if not (self._connections or self._paused or self._elsewhere() or self._pending()):
            return longest
        until_look = max(0.0, self._next_look - time.monotonic())
        return until_look if longest is None else min(longest, until_look)

    def _look_at_deadlines(self, now: float) -> None:
        self._next_look = now + self._tick
        if now < self._fresh_until:
            self._next_look = min(self._next_look, self._fresh_until)
        regular = self._on_look(now)
        self._longest_idle.clear()
        watched = [c for c in self._connections if c.interest is not None]
        for connection in [c for c in watched if c.deadline <= now]:
            connection.deadline = NEVER
            self._settle_step(connection, connection.expire, now)
        lively, self._lively = self._lively, False
        busy = regular or self._paused or self._again or self._elsewhere() or self._pending()
        if not (lively or busy or self._ending):
            # Nothing happens, so no deadline is new: thousands that wait cost nothing meanwhile.
            earliest = min((c.deadline for c in self._connections), default=NEVER)
            self._next_look = max(self._next_look, min(earliest, now + _LONGEST_LOOK))
            if self._pending():  # It came just now, and its ``look_soon`` is overwritten.
                self._next_look = now + _SOON
        for listener in [waiting for waiting, until in self._paused.items() if until <= now]:
            del self._paused[listener]
            self._attend(listener)

    def _settle_step(
        self, connection: Connection, step: Callable[[float], Wants], now: float
    ) -> None:
        """Take a step that runs no handler."""
        try:
            wants = step(now)
        except Exception:
            self._give_up(connection)
        else:
            self._settle_safely(connection, wants)

    # --- accepting ---

    def _accept(self, listener: Listener) -> None:
        try:
            listener.accept_waiting()
        except Exhausted as error:
            if self._close_longest_idle():
                return
            if not self._starved:
                logger.warning("no connection can be accepted for now: %s", error)
            self._starved = True
            self._watch.remove(listener)
            now = time.monotonic()
            self._paused[listener] = now + _ACCEPT_PAUSE
            self._next_look = min(self._next_look, now + _ACCEPT_PAUSE)

    def _adopt(self, sock: socket.socket, address: Any, listener: Listener) -> None:
        """Take in a connection that a listener has accepted."""
        now = time.monotonic()
        self._starved = False
        endpoint = self._listeners[listener]
        try:
            transport = Transport(sock)
            local = address_pair(sock.getsockname())
        except OSError:
            sock.close()  # The client has left already.
            return
        if local == self._local:
            local = self._local  # One for all takes less memory.
        self._local = local
        info = ConnectionInfo(
            address_pair(address) if isinstance(address, tuple) else ("", 0),
            local,
            endpoint.port,
            transport.fileno(),
            endpoint.port.secure,
        )
        connection = Connection(transport, info, endpoint, now)
        full = self.connection_count >= self._max_connections and not self._close_longest_idle()
        if full and not self._full:
            logger.warning("there are %d connections, the most allowed", self._max_connections)
        self._full = full
        # One that is encrypted has a handshake to do before it can hear anything.
        deaf = endpoint.tls is not None
        if full and (deaf or self.connection_count >= self._max_connections + self._overflow):
            close_safely(connection)
            return
        if not self._connections:
            self._next_look = now + self._tick
        self._connections.add(connection)
        if full:
            error = HTTPError(503, "The server has as many connections as it may have.")
            self._settle_step(connection, lambda now: connection.refuse(error, now), now)
        else:
            self._newcomers.append(connection)

    def _close_longest_idle(self) -> bool:
        """Close the kept connection that has waited longest; return whether there was one."""
        for fresh in (False, True):
            if fresh:
                kept = [c for c in self._connections if c.interest is READ and c.kept]
                self._longest_idle = sorted(kept, key=lambda c: c.deadline, reverse=True)
            while self._longest_idle:
                connection = self._longest_idle.pop()
                if connection.interest is READ and connection.kept:
                    self._close(connection)
                    return True
        return False

    # --- the end ---

    def drain(self) -> None:
        """Accept what waits, stop listening, and close the connections that have no request.

        At a restart, what waits is left to the next program, which has the same sockets.
        """
        for listener in [one for one in self._listeners if one not in self._paused]:
            if listener.held:
                self._fresh_until = time.monotonic() + _RESTART_GRACE
                self._next_look = min(self._next_look, self._fresh_until)
            else:
                self._accept_last(listener)
            self._watch.remove(listener)
        self._paused.clear()
        for listener in self._listeners:
            listener.server_close()
        self._listeners.clear()

    def _accept_last(self, listener: Listener) -> None:
        try:
            listener.accept_waiting(listener.request_queue_size + 1)
        except Exhausted:
            pass

    def close_idle(self, dispatch: Dispatch) -> bool:
        """Close the connections that wait for a request or the rest of its head.

        Each is looked at once more, since its request may have come meanwhile. Returns whether the
        calling thread still polls.
        """
        now = time.monotonic()
        if not self._greet(now, dispatch):
            return False
        for connection in list(self._connections):
            if connection.interest is not None:
                self._settle_step(connection, connection.hurry, now)
            if connection.interest is READ and connection.unfinished_head:
                if not self._serve(connection, connection.step, now, dispatch):
                    return False
                fresh = not connection.kept and now < self._fresh_until
                if connection.interest is READ and connection.unfinished_head and not fresh:
                    self._close(connection)
        return True

    def forget(self) -> None:
        """Close what the child of a fork has of the sockets, and disturb the parent in nothing.

        So nothing is shut down, no path is removed, and the selector, which Linux has parent and
        child share, is closed as it is.
        """
        for listener in list(self._listeners):
            listener.socket.close()
        for connection in list(self._connections):
            connection.transport.close()
        self._watch.close()
        self._wake_in.close()
        self._wake_out.close()

    def close(self) -> None:
        """Close every socket.

        A connection that is with a worker is only ended: its socket and what else it holds are in
        use, and the worker's to let go of.
        """
        for listener in self._listeners:
            listener.server_close()
        while self._returned:
            self._close(self._returned.popleft()[0])
        for waiting in (self._again, self._newcomers):
            while waiting:
                self._close(waiting.popleft())
        for connection in list(self._connections):
            if connection.interest is None:
                connection.transport.abort()
            else:
                self._close(connection)
        self._watch.close()
        self._wake_in.close()
        self._wake_out.close()
