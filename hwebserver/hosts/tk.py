"""Tk: a socket that its main loop watches.

Other threads can ask Tk for something only while the main thread is in ``mainloop``, and then wait
until it listens: too late for a call that must not wait, and never when the program turns its loop
by ``update``. So nothing is asked: a byte goes into a socket pair. Windows' Tk watches no sockets;
there its loop looks for calls by itself, every 10 ms.
"""

from __future__ import annotations

import socket
import threading
from typing import Any, Optional

from .adapters import POLL, Adapter, Turn

#: How long to wait before Tk is asked again for its main loop, in seconds.
_PAUSE = 0.05


def tk_adapter(tkinter: Any, turn: Turn) -> Adapter:
    """Return what reaches the thread of the root window.

    Args:
        tkinter: The module.
        turn: What that thread is to call.
    """
    watch = _Watch(tkinter, turn)
    watch.begin()
    return Adapter("tk", watch.wake, watch.is_usable, watch.close, watch.forget)


class _Watch:
    """What has the main loop of Tk look for calls.

    Args:
        tkinter: The module.
        turn: What the main thread is to call.
    """

    def __init__(self, tkinter: Any, turn: Turn) -> None:
        self._tkinter = tkinter
        self._root = tkinter._default_root
        self._turn = turn
        self._begun = self._closed = False
        self._ends: Optional[tuple[socket.socket, socket.socket]] = None
        if hasattr(self._root.tk, "createfilehandler"):
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)

    def begin(self) -> None:
        """Begin on the main thread; on another one a thread asks for that, for it has to wait."""
        if threading.current_thread() is threading.main_thread():
            self._begin()
        else:
            threading.Thread(target=self._ask, name="hwebserver-tk", daemon=True).start()

    def _ask(self) -> None:
        """Ask until there is a main loop that listens, or no window."""
        while not self._begun and not self._closed and self.is_usable():
            try:
                self._root.after(0, self._begin)
                return
            except RuntimeError:  # The main thread is not in the main loop, for a second.
                threading.Event().wait(_PAUSE)
            except self._tkinter.TclError:
                return

    def _begin(self) -> None:
        if self._begun or self._closed:
            return
        self._begun = True
        if self._ends is None:
            self._poll()
        else:
            readable = self._tkinter.READABLE
            self._root.tk.createfilehandler(self._ends[0], readable, self._woken)
            self._turn()  # what was wanted before

    def _poll(self) -> None:
        if not self._closed:
            self._root.after(int(POLL * 1000), self._poll)
            self._turn()

    def _woken(self, *event: Any) -> None:
        """Take what came; Tk calls this on the main thread."""
        if self._ends is None:
            return
        try:
            self._ends[0].recv(4096)
        except OSError:
            pass
        if self._closed:
            self._end(self._ends)
        else:
            self._turn()

    def _end(self, ends: tuple[socket.socket, socket.socket]) -> None:
        """Have Tk watch nothing any more; on the main thread, as all that concerns it."""
        self._ends = None
        if self._begun:
            self._root.tk.deletefilehandler(ends[0])
        for end in ends:
            end.close()

    def wake(self) -> None:
        """Have the main loop call what it is to call; any thread may ask."""
        ends = self._ends
        if ends is not None:
            try:
                ends[1].send(b"\0")
            except OSError:
                pass  # It is full, so the loop is told already; or closed just now.

    def is_usable(self) -> bool:
        """Whether the window is still there; one that a program opens next is another."""
        return getattr(self._tkinter, "_default_root", None) is self._root

    def close(self) -> None:
        """End it; any thread may ask."""
        self._closed = True
        ends = self._ends
        if ends is None:
            return
        if not self._begun or threading.current_thread() is threading.main_thread():
            self._end(ends)
        else:
            self.wake()

    def forget(self) -> None:
        """Close what the child of a fork has of it; Tk itself is the parent's."""
        self._closed = True
        ends, self._ends = self._ends, None
        for end in ends or ():
            end.close()
