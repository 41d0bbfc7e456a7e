"""The host's main thread: what other threads want called there, and who has it called.

Hosts let their scene and their windows be touched on one thread only, the one that runs their
event loop. Other threads queue their calls here and have that loop told to come; an ``Adapter``
says how. The loop then runs what waits, for a few milliseconds at a time, so that windows stay
alive. A ``run`` that holds the main thread in the foreground runs the calls itself.

``_lock`` guards the calls that wait and how the main thread waits for us; it is never held while a
call runs. Whoever takes a call out of the queue owns it: the main thread to run it, or another to
give it up. So a call runs once or never.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import MainThreadError, OperationFailed
from ..settings import OPTIONS
from .call import Call

if TYPE_CHECKING:
    from .adapters import Adapter

logger = logging.getLogger("hwebserver.server")

#: How long the loop of the host is kept in one turn, in seconds.
TURN = 0.01

#: After this time a loop that was told to come, and has not, is told again, in seconds.
_AGAIN = 0.5

#: How often a main thread that waits looks around, in seconds: Windows delivers Ctrl+C only then.
_LOOK = 0.2


class _Wait:
    """How the main thread waits for us.

    Attributes:
        why: What it waits for, where it runs no calls meanwhile; empty: it does.
        news: Set to wake it.
    """

    __slots__ = (
        "news",
        "why",
    )

    def __init__(
        self,
        why: str,
        news: threading.Event,
    ) -> None:
        self.why = why
        self.news = news


class Dispatcher:
    """The calls that wait for the main thread of the process, and what wakes it.

    Attributes:
        timeout: Seconds in which a call is to begin where nobody says anything else; None: as
            long as it takes.
    """

    def __init__(self) -> None:
        self.timeout: Optional[float] = OPTIONS["MAIN_THREAD_TIMEOUT"].default
        self._lock = threading.Lock()
        self._finding = threading.RLock()  # so that two threads make one adapter
        self._calls: OrderedDict[Call, None] = OrderedDict()
        self._waits: list[_Wait] = []
        self._running: list[Call] = []  # one inside the other
        self._adapter: Optional[Adapter] = None
        self._by_hand = False  # the adapter was given, and none is looked for
        self._told = 0.0  # when the loop was told to come; 0: it has come
        self._came = 0.0  # when it came last

    # --- from any thread ---

    @property
    def on_main_thread(self) -> bool:
        """Whether the calling thread is the main thread."""
        return threading.get_ident() == threading.main_thread().ident

    @property
    def is_served(self) -> bool:
        """Whether something is known that runs the calls, or the caller can do it at once."""
        return self.on_main_thread or bool(self._waits) or self._find() is not None

    def begin(
        self,
        function: Callable[[], Any],
        tell: Callable[[], None],
        timeout: Optional[float] = None,
        blocks: bool = False,
    ) -> Call:
        """Have the main thread call a function; on that itself it is called at once.

        Args:
            function: The function.
            tell: Called, by whichever thread, when the call is done.
            timeout: Seconds in which it is to begin; None: as long as it takes. Whoever waits
                calls ``Call.expire`` when they are over.
            blocks: Whether a thread waits for it.
        """
        call = Call(self, function, tell, timeout, blocks)
        if self.on_main_thread:
            self._run(call)
            return call
        with self._lock:
            waits = self._waits[-1] if self._waits else None
            if waits is None or not waits.why:
                self._calls[call] = None
        if waits is None or not waits.why:
            self._wake()
        else:
            call.refuse(MainThreadError(_held(call, waits.why)))
        return call

    def begin_anyhow(
        self, function: Callable[[], Any], tell: Callable[[], None], timeout: Optional[float] = None
    ) -> Call:
        """Have the main thread call a function, or call it here where nothing runs such calls.

        Args:
            function: The function.
            tell: Called, by whichever thread, when the call is done.
            timeout: As for ``begin``.
        """
        if self.is_served:
            return self.begin(function, tell, timeout)
        call = Call(self, function, tell, timeout, False)
        call.run()
        return call

    def call(self, function: Callable[[], Any], timeout: Optional[float] = None) -> Any:
        """Call a function on the main thread, and return what it returns.

        Args:
            function: The function.
            timeout: Seconds in which it is to begin; None: as long as it takes.

        Raises:
            MainThreadError: it was not called, and will not be.
            BaseException: what the function raises.
        """
        if self.on_main_thread:
            from .adapters import note_loop

            note_loop()
            return function()
        ended = threading.Event()
        call = self.begin(function, ended.set, timeout, blocks=True)
        if not ended.wait(timeout):
            call.expire()
            ended.wait()
        if call.error is None:
            return call.result
        try:
            raise call.error
        finally:
            del call  # Its error knows this frame: neither is to keep the other alive.

    def withdraw(self, call: Call) -> bool:
        """Take a call out of the queue; return whether it was there still."""
        with self._lock:
            try:
                del self._calls[call]
            except KeyError:
                return False
        return True

    def explain(self, call: Call) -> str:
        """Return why a call has not begun, and what to do about it.

        Args:
            call: The call.
        """
        now = time.monotonic()
        waited = f"{call.name} has not begun on the main thread within {now - call.began:.1f} s"
        running = self._running[-1:]
        if running:
            busy = f"that has been running {running[0].name} for {now - running[0].began:.1f} s"
            return f"{waited}: {busy}"
        silent = f"{now - max(call.began, self._came):.1f} s"
        adapter = self._find()
        if adapter is None:
            from .adapters import why_none

            return (
                f"{waited}: {why_none()}. Call processMainThreadCalls() in the loop of the "
                "program, or tell setMainThreadAdapter how to reach it"
            )
        return (
            f"{waited}: the event loop of the host (reached by the adapter {adapter.name!r}) has "
            f"been silent for {silent}. It is busy, blocked, or not running: keep long work off "
            "the main thread, or raise MAIN_THREAD_TIMEOUT"
        )

    def nudge(self) -> None:
        """Have a main thread that waits in ``serve`` look around."""
        for one in tuple(self._waits):
            one.news.set()

    def set_adapter(
        self, adapter: Union[str, Callable[[Callable[[], None]], object], None]
    ) -> None:
        """Say how the main thread is reached; see ``setMainThreadAdapter``."""
        from .adapters import Adapter, by_name

        if isinstance(adapter, str):
            made: Optional[Adapter] = by_name(adapter, self._turn)
        elif adapter is None:
            made = None
        elif callable(adapter):
            name = getattr(adapter, "__qualname__", type(adapter).__name__)
            made = Adapter(name, partial(adapter, self._turn))
        else:
            raise OperationFailed(
                f"a main thread adapter is a name or a function, and {adapter!r} is neither"
            )
        with self._finding:  # else one that is being found would take its place
            before, self._adapter = self._adapter, made
            self._by_hand = made is not None
        self._told = 0.0
        if before is not None:
            before.close()
        if self._calls:
            self._wake()

    def prepare(self) -> None:
        """Find out how the main thread is reached; a server that starts does.

        Some hosts let themselves be prepared on the main thread only.
        """
        from .adapters import note_loop

        if self.on_main_thread:
            note_loop()
        self._find()

    def _find(self) -> Optional[Adapter]:
        """Return what reaches the main thread now, if anything is known that does."""
        adapter = self._adapter
        if self._by_hand or (adapter is not None and adapter.is_usable()):
            return adapter
        from .adapters import find

        with self._finding:
            if self._by_hand or self._adapter is not adapter:
                return self._adapter  # Another thread was first.
            try:
                self._adapter = find(self._turn)
            except Exception:
                logger.exception("no adapter for the main thread can be made")
                return None
        if adapter is not None:
            adapter.close()
        return self._adapter

    def _wake(self) -> None:
        """Have the main thread come."""
        self.nudge()
        if self._waits and not self._running:
            return  # No other loop runs there than ours.
        adapter = self._find()
        now = time.monotonic()
        # A loop that has been told comes; but what it was told may have got lost.
        if adapter is None or (self._told and now - self._told < _AGAIN):
            return
        self._told = now
        try:
            adapter.wake()
        except Exception:
            self._told = 0.0
            logger.exception("the main thread cannot be reached by the adapter %r", adapter.name)

    # --- from the main thread ---

    def process(self, max_seconds: float = TURN) -> int:
        """Run the calls that wait; the main thread alone may.

        Args:
            max_seconds: When to leave the rest for the next time; one call is always run.

        Returns:
            How many were run.

        Raises:
            OperationFailed: the calling thread is not the main thread.
        """
        if not self.on_main_thread:
            raise OperationFailed("the calls for the main thread are run by the main thread alone")
        self._told = 0.0
        self._came = time.monotonic()
        end, count = self._came + max_seconds, 0
        while self._calls:
            call = self._take()
            if call is None:
                break
            count += 1
            self._run(call)
            self._came = time.monotonic()
            if self._came >= end:
                break
        return count

    def _turn(self) -> None:
        """Run what waits; the loops of hosts call this."""
        self.process()

    def _take(self) -> Optional[Call]:
        """Return the next call, and see that the others are not forgotten.

        It may run an event loop of its own, a dialog perhaps, which has to be told of them.
        """
        with self._lock:
            if not self._calls:
                return None
            call, _ = self._calls.popitem(last=False)
            more = bool(self._calls)
        if more:
            self._wake()
        return call

    def _run(self, call: Call) -> None:
        self._running.append(call)
        try:
            call.run()
        finally:
            self._running.remove(call)

    def serve(self, is_over: Callable[[], bool]) -> None:
        """Hold the main thread, and run the calls that come.

        Args:
            is_over: Says when to return; looked at now and then, and after each ``nudge``.
        """
        with self._waiting("") as news:
            while not is_over():
                self.process()  # One may have come before there was anything to nudge.
                news.wait(_LOOK)
                news.clear()

    @contextmanager
    def hold(self, why: str) -> Iterator[None]:
        """While the block runs, fail the calls of others; on other threads this does nothing.

        For a main thread that waits for a server of this process and runs no calls: who waits for
        it in turn would wait for ever.

        Args:
            why: What it waits for.
        """
        if not self.on_main_thread:
            yield
            return
        with self._waiting(why):
            with self._lock:
                blocked = [call for call in self._calls if call.blocks]
                for call in blocked:
                    del self._calls[call]
            for call in blocked:
                call.refuse(MainThreadError(_held(call, why)))
            yield

    @contextmanager
    def _waiting(self, why: str) -> Iterator[threading.Event]:
        wait = _Wait(why, threading.Event())
        with self._lock:
            self._waits.append(wait)
        try:
            yield wait.news
        finally:
            with self._lock:
                self._waits = [one for one in self._waits if one is not wait]

    def forget(self) -> None:
        """Begin anew in the child of a fork: the threads that wait are the parent's."""
        self._lock = threading.Lock()
        self._finding = threading.RLock()
        self._calls = OrderedDict()
        self._waits = []
        self._running = []
        self._told = 0.0
        if self._adapter is not None and not self._by_hand:
            self._adapter.forget()
            self._adapter = None


def _held(call: Call, why: str) -> str:
    return f"{call.name} cannot be called on the main thread: that waits for {why}"
