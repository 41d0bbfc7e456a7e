"""The threads: who polls, who works, and how many handlers run at once.

One thread at a time has the selector. When a request is whole, that thread runs the handler
itself, since handing it to another would cost more than a short handler does. So that a long one
delays nobody, a second thread stands by: while requests come it looks every ``TICK`` seconds
whether the same handler is still running, and if so it takes the polling over; the thread with the
long handler is a worker from then on. A handler that was long is sent to a worker at once the next
time.

Taking over needs no lock: the polling thread puts the connection whose handler it is about to run
into a new list of one element and pops it behind the handler; the standby pops it to take over.
``list.pop`` is atomic, so exactly one of them gets it, and whoever got it has the polling. The list
is new for each run: a thread that lost the polling must not pop what its successor runs. Events
that the first thread had not served yet are not lost, since the selector reports them again.

There are at most ``max_handlers + 1`` threads, so while a handler may still start there is always
one to stand by. ``_lock`` guards who is idle, who stands by and how many are busy; it is never
held while a handler runs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Optional, Union

from ..errors import OperationFailed
from .connection import Connection
from .endpoint import GIVEN, NEVER, OUSTED, WORK, Wants
from .loop import Loop
from .poller import Dispatch, Poller, close_safely
from .sockets import Errand, Sockets, Stopped
from .stream import Producers

logger = logging.getLogger("hwebserver.server")

#: How long a handler may keep the polling thread, in seconds: once to twice this.
TICK = 0.005

#: Ticks without a request after which the standby sleeps until one comes.
_QUIET_TICKS = 40


#: The connection whose handler the polling thread runs; empty when that is over or taken over.
_Run = list[Connection]


def _broken() -> Wants:
    """Log an error of ours; the connection that met it is closed."""
    logger.exception("a connection is closed because of an error in the server")
    return Wants.CLOSE


class _Worker:
    """A thread and what wakes it.

    A worker that waits is in the pool's list of idle ones or is its standby. Whoever wakes it takes
    it out of there first, so each ``rouse`` meets exactly one ``acquire``.
    """

    def __init__(self) -> None:
        self.signal = threading.Lock()
        self.signal.acquire()
        self.thread: Optional[threading.Thread] = None
        self.asleep = False  # it stands by, and sleeps since nothing comes
        self.handling = False  # a handler runs on it, and another thread polls

    def rouse(self) -> None:
        """Wake the thread."""
        self.signal.release()


class Load(NamedTuple):
    """How busy the workers are.

    Attributes:
        running: Handlers that run.
        queued: Requests that wait for one to end.
        idle: How many more may run at once.
    """

    running: int = 0
    queued: int = 0
    idle: int = 0


class Pool:
    """The threads of a running server.

    Args:
        poller: The connections.
        producers: What makes streams beside the workers; it ends with the pool.
        sockets: The WebSockets.
        max_handlers: Most handlers that run at once.
        name: Begins the names of the threads.
        unfinished: Says for how many coroutines the end is to wait, beside the connections.
        on_end: Called once the sockets are closed.
    """

    def __init__(
        self,
        poller: Poller,
        producers: Producers,
        sockets: Sockets,
        max_handlers: int,
        name: str,
        unfinished: Callable[[], int],
        on_end: Callable[[], None],
    ) -> None:
        self._unfinished = unfinished
        self._on_end = on_end
        self._producers = producers
        self._sockets = sockets
        sockets.on_worker = self.run_soon
        self._poller = poller
        self._max_handlers = max_handlers
        self._name = name
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._standby: Optional[_Worker] = None
        self._polling: Optional[_Worker] = None
        self._jobs: deque[Union[Connection, Errand]] = deque()
        self._busy = 0  # handlers that run off the polling thread
        self._running: _Run = []  # what the polling thread runs, or ran last
        self._stopping = False
        self._stop_deadline = NEVER
        self._drained = False
        self._ended = threading.Event()

    # --- from outside ---

    def start(self) -> None:
        """Start to serve."""
        with self._lock:
            self._start_worker(polling=True)
            self._start_worker()

    def abandon(self) -> None:
        """Close everything of a pool that could not start."""
        self._end()
        self._producers.join()

    def forget(self) -> None:
        """Let go of what the child of a fork has of it; the threads are the parent's."""
        self._poller.forget()
        self._sockets.forget()
        self._on_end()

    def stop(self, timeout: Optional[float]) -> None:
        """Begin to stop; takes no lock, so a signal handler may call it.

        A second call can only bring the end nearer.

        Args:
            timeout: Seconds that running requests get; None: as long as they need.
        """
        deadline = NEVER if timeout is None else time.monotonic() + timeout
        self._stop_deadline = min(self._stop_deadline, deadline)
        self._stopping = True
        self._poller.keep_none()
        self._poller.wake()

    def run_soon(self, errand: Errand) -> None:
        """Have a worker run an errand, as one of the handlers.

        Args:
            errand: The errand.

        Raises:
            Stopped: the server has stopped.
        """
        self._jobs.append(errand)
        self._hire()
        if self._ended.is_set():
            try:
                self._jobs.remove(errand)
            except ValueError:
                return  # It was taken just before.
            raise Stopped

    def look(self) -> None:
        """Look whether there is anything left that the end waits for."""
        if self._stopping:
            self._poller.wake()

    @property
    def loop(self) -> Loop:
        """Where coroutines run."""
        return self._producers.loop

    @property
    def stopping(self) -> bool:
        """Whether it has been told to stop."""
        return self._stopping

    @property
    def ended(self) -> bool:
        """Whether the sockets are closed; threads may run on for a moment."""
        return self._ended.is_set()

    @property
    def alive(self) -> bool:
        """Whether sockets are open or threads run, but for handlers that outlast the stop."""
        return (
            not self._ended.is_set()
            or self._producers.alive
            or any(
                worker.thread is not None and worker.thread.is_alive() and not worker.handling
                for worker in list(self._workers)
            )
        )

    @property
    def load(self) -> Load:
        """How busy the workers are; any thread may ask."""
        running = self._busy + len(self._running)
        idle = 0 if self._ended.is_set() else max(0, self._max_handlers - running)
        return Load(running, len(self._jobs), idle)

    def join(self, timeout: Optional[float] = None) -> bool:
        """Wait until the pool has stopped; return whether it has.

        Args:
            timeout: Seconds to wait; None: as long as it takes.
        """
        if not self._ended.wait(timeout):
            return False
        for worker in self._workers:
            thread = worker.thread
            while thread is not None and thread.is_alive() and not worker.handling:
                thread.join(TICK)
        self._producers.join()
        return True

    # --- the life of a thread ---

    def _start_worker(self, polling: bool = False) -> None:
        """Start a thread, if the system has one; the lock is held."""
        worker = _Worker()
        name = f"{self._name}-{len(self._workers) + 1}"
        worker.thread = threading.Thread(
            target=self._live, args=(worker, polling), name=name, daemon=True
        )
        self._workers.append(worker)
        try:
            worker.thread.start()
        except RuntimeError as error:
            self._workers.remove(worker)
            if not self._workers:
                raise OperationFailed(f"no thread can be started: {error}") from error
            logger.warning("no further thread can be started: %s", error)

    def _live(self, worker: _Worker, polling: bool) -> None:
        if polling:
            self._poll(worker)
        while not self._ended.is_set():
            job = self._next_job(worker)
            if isinstance(job, Errand):
                job.run()
                self._release(worker)
            elif job is not None:
                self._work(worker, job)
            elif self._wait(worker):
                self._poll(worker)

    def _next_job(self, worker: _Worker) -> Union[Connection, Errand, None]:
        """Return a connection whose handler this thread is to run, or register it as waiting."""
        with self._lock:
            if self._jobs:
                # First count this one, then look at the polling thread: it does the same the
                # other way round, so of two that begin at once at least one sees the other.
                self._busy += 1
                if self._busy + len(self._running) <= self._max_handlers:
                    worker.handling = True
                    job = self._jobs.popleft()
                    self._staff()
                    return job
                self._busy -= 1
            if self._ended.is_set():
                worker.rouse()  # Nobody else will.
            elif self._standby is None:
                self._standby = worker
            else:
                self._idle.append(worker)
            return None

    def _wait(self, worker: _Worker) -> bool:
        """Wait for something to do; return whether it is the polling."""
        if self._standby is worker:
            return self._stand_by(worker)
        worker.signal.acquire()
        return False

    def _stand_by(self, worker: _Worker) -> bool:
        """Watch over the polling thread; return whether its work had to be taken over."""
        seen, quiet = self._running, 0
        while True:
            worker.asleep = quiet >= _QUIET_TICKS
            # The polling thread begins a run and then looks whether the standby sleeps.
            if worker.asleep and (self._running is not seen or seen):
                worker.asleep = False
                quiet = 0
            if worker.signal.acquire(timeout=-1 if worker.asleep else TICK):
                worker.asleep = False
                return False
            if self._running is not seen:
                seen, quiet = self._running, 0
            elif not seen:
                quiet += 1
            elif self._take_over(worker, seen):
                return True

    def _take_over(self, worker: _Worker, run: _Run) -> bool:
        """Take the polling from the thread whose handler lasts; False if it is just over."""
        with self._lock:
            if self._standby is not worker:
                return False
            try:
                connection = run.pop()
            except IndexError:
                return False
            if self._polling is not None:
                self._polling.handling = True
            self._polling = worker
            self._standby = None
            self._busy += 1
            self._staff()
        connection.pace.slow = True
        self._poller.disown(connection)
        return True

    # --- the polling thread ---

    def _poll(self, worker: _Worker) -> None:
        """Poll until another thread has taken it over, or until the end."""
        self._polling = worker
        try:
            while self._poller.poll(self._dispatch, self._patience()):
                if self._stopping and not self._drain(self._dispatch):
                    return
        except Exception:
            logger.exception("the server stops because of an error in it")
            self._end()

    def _dispatch(self, connection: Connection, wants: Wants) -> Wants:
        """Run the handler of a connection, or see that a worker does; see ``poller.Dispatch``."""
        worker, run = self._polling, [connection]
        if wants is WORK:
            slow = connection.pace.slow and len(self._workers) > 1
            if slow or self._jobs or self._busy >= self._max_handlers:
                return self._submit(connection)
            self._running = run
            if self._busy >= self._max_handlers:
                return self._retract(worker, run, connection)
        else:
            self._running = run
        # The standby watches over what runs here.
        standby = self._standby
        if standby is not None and standby.asleep:
            self._rouse_standby()
        try:
            wants = connection.work() if wants is WORK else connection.use_disk()
        except Exception:
            wants = _broken()
        try:
            run.pop()
        except IndexError:
            self._return(worker, connection, wants)
            return OUSTED
        if self._jobs:
            self._hire()
        return wants

    def _retract(self, worker: Optional[_Worker], run: _Run, connection: Connection) -> Wants:
        """Queue a connection after all, since a worker began in between; see ``_next_job``."""
        try:
            run.pop()
        except IndexError:
            self._release(worker)
            self._jobs.append(connection)
            self._hire()
            return OUSTED
        return self._submit(connection)

    def _submit(self, connection: Connection) -> Wants:
        self._poller.disown(connection)
        self._jobs.append(connection)
        self._hire()
        return GIVEN

    def _hire(self) -> None:
        """See that a thread comes for the next job, if one more handler may run."""
        with self._lock:
            if self._busy >= self._max_handlers:
                return
            if self._idle:
                self._idle.pop().rouse()
            elif self._standby is not None:
                worker, self._standby = self._standby, None
                worker.rouse()
                self._staff()
            elif len(self._workers) <= self._max_handlers:
                self._start_worker()

    def _staff(self) -> None:
        """See that a thread stands by while handlers may still start; the lock is held."""
        if self._standby is not None or self._busy >= self._max_handlers:
            return
        if self._idle:
            self._idle.pop().rouse()
        elif len(self._workers) <= self._max_handlers:
            self._start_worker()

    def _rouse_standby(self) -> None:
        with self._lock:
            worker = self._standby
            if worker is not None and worker.asleep:
                self._standby = None
                worker.rouse()

    # --- work off the polling thread ---

    def _work(self, worker: _Worker, connection: Connection) -> None:
        """Run the handler of a connection as a worker."""
        pace = connection.pace
        started = time.monotonic()
        try:
            wants = connection.work()
        except Exception:
            wants = _broken()
        pace.slow = time.monotonic() - started > TICK
        self._return(worker, connection, wants)

    def _return(self, worker: Optional[_Worker], connection: Connection, wants: Wants) -> None:
        """Give a connection back to the polling thread, or close it when there is none left."""
        self._release(worker)
        self._poller.give_back(connection, wants)
        if self._ended.is_set() and self._poller.reclaim(connection, wants):
            close_safely(connection)

    def _release(self, worker: Optional[_Worker]) -> None:
        """Take note that a worker is done with a handler."""
        with self._lock:
            self._busy -= 1
            if worker is not None:
                worker.handling = False

    # --- the end ---

    def _patience(self) -> Optional[float]:
        """How long a wait may last, because of the stop; None: as long as it likes."""
        if not self._stopping or self._stop_deadline == NEVER:
            return None
        return max(0.0, self._stop_deadline - time.monotonic())

    def _drain(self, dispatch: Dispatch) -> bool:
        """Let go of what is idle, and end when all is; return whether to go on polling."""
        if not self._drained:
            self._drained = True
            self._poller.drain()
            self._sockets.close_all()
        self._poller.take_back()  # what workers returned may have become idle
        if not self._poller.close_idle(dispatch):
            return False
        # What workers returned may have been the last; nobody would wake the next wait for it.
        self._poller.take_back()
        unfinished = self._poller.connection_count or self._unfinished()
        if unfinished and self._patience() != 0.0:
            return True
        self._end()
        return False

    def _end(self) -> None:
        """Close everything and let the threads end; a second call does nothing."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._poller.close()
        while self._jobs:
            job = self._jobs.popleft()
            if not isinstance(job, Errand):  # of which the coroutine that waits is cancelled
                close_safely(job)
        self._sockets.abort_all()
        self._producers.stop()
        self._on_end()
        with self._lock:
            waiting, self._idle = self._idle, []
            if self._standby is not None:
                waiting.append(self._standby)
                self._standby = None
            for worker in waiting:
                worker.rouse()
