"""Tk's main loop, with a module that behaves as tkinter does; see integration for the real one."""

from __future__ import annotations

import select
import sys
import threading
import types

import pytest
from hosts.mainloop import Beside, on_main
from support import wait_until

from hwebserver.hosts.dispatcher import Dispatcher

BINDINGS = ["PySide6", "PySide2", "PyQt6", "PyQt5"]


class TclError(Exception):
    """What a window that is gone raises."""


class Root:
    """A root window whose main loop the test turns; ``after`` is refused where Tk refuses it."""

    def __init__(self, watches_sockets):
        self.in_mainloop = False
        self.destroyed = False
        self.watched = {}
        self.later = []
        self.tk = types.SimpleNamespace()
        if watches_sockets:
            self.tk.createfilehandler = self._create
            self.tk.deletefilehandler = self._delete

    def _create(self, file, mask, function):
        assert on_main(), "Calling Tcl from different appartment"
        self.watched[file] = function

    def _delete(self, file):
        assert on_main(), "Calling Tcl from different appartment"
        del self.watched[file]

    def after(self, milliseconds, function):
        if self.destroyed:
            raise TclError("application has been destroyed")
        if not on_main() and not self.in_mainloop:
            raise RuntimeError("main thread is not in main loop")
        assert milliseconds <= 10
        self.later.append(function)

    def update(self):
        """Turn the loop once."""
        later, self.later = self.later, []
        for function in later:
            function()
        for file in select.select(list(self.watched), [], [], 0)[0]:
            self.watched[file](file, 2)


@pytest.fixture
def tk(monkeypatch):
    """Make the root window, one that watches sockets or, as on Windows, none."""
    for binding in BINDINGS:
        monkeypatch.delitem(sys.modules, f"{binding}.QtCore", raising=False)
    module = types.ModuleType("tkinter")
    module.READABLE, module.TclError = 2, TclError
    monkeypatch.setitem(sys.modules, "tkinter", module)

    def open_window(watches_sockets=True):
        module._default_root = Root(watches_sockets)
        return module._default_root

    return open_window


@pytest.fixture
def dispatcher():
    """A dispatcher of the test's own, which leaves no socket behind."""
    dispatcher = Dispatcher()
    yield dispatcher
    dispatcher.set_adapter(None)


def reached(dispatcher, root):
    call = Beside(lambda: dispatcher.call(on_main, 20.0))
    wait_until(lambda: root.update() or call.over)
    assert call.join() is True
    assert dispatcher._adapter.name == "tk"


def test_the_main_loop_watches_a_socket(tk, dispatcher):
    root = tk()
    dispatcher.prepare()
    assert len(root.watched) == 1
    reached(dispatcher, root)
    reached(dispatcher, root)
    assert root.later == []  # Nothing looks for calls again and again.


def test_where_it_watches_no_sockets_it_looks_for_calls_by_itself(tk, dispatcher):
    root = tk(watches_sockets=False)
    dispatcher.prepare()
    reached(dispatcher, root)
    assert len(root.later) == 1


@pytest.mark.parametrize("watches_sockets", [True, False])
def test_a_window_that_is_found_on_another_thread_is_asked_when_it_listens(
    tk, dispatcher, watches_sockets, monkeypatch
):
    monkeypatch.setattr("hwebserver.hosts.tk._PAUSE", 0.001)
    refused = threading.Event()
    root = tk(watches_sockets)
    after = root.after

    def counted(milliseconds, function):
        try:
            after(milliseconds, function)
        except RuntimeError:
            refused.set()
            raise

    root.after = counted
    call = Beside(lambda: dispatcher.call(on_main, 20.0))
    wait_until(refused.is_set)
    root.in_mainloop = True
    wait_until(lambda: root.update() or call.over)
    assert call.join() is True
    reached(dispatcher, root)


def test_a_window_that_never_listens_and_goes_is_asked_no_more(tk, dispatcher, monkeypatch):
    monkeypatch.setattr("hwebserver.hosts.tk._PAUSE", 0.001)
    root = tk()
    Beside(dispatcher.prepare).join()
    root.destroyed = True
    sys.modules["tkinter"]._default_root = None
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "hwebserver-tk"])


def test_the_next_window_is_found(tk, dispatcher):
    first = tk()
    dispatcher.prepare()
    second = tk()
    second.in_mainloop = True
    reached(dispatcher, second)
    wait_until(lambda: first.update() or not first.watched)


@pytest.mark.parametrize("from_main", [True, False])
def test_an_adapter_that_ends_leaves_nothing_watched(tk, dispatcher, from_main):
    root = tk()
    dispatcher.prepare()
    if from_main:
        dispatcher.set_adapter(print)
    else:
        Beside(lambda: dispatcher.set_adapter(print)).join()
        wait_until(lambda: root.update() or not root.watched)
    assert root.watched == {}


def test_many_wakes_that_nobody_hears_block_nobody(tk, dispatcher):
    tk()
    dispatcher.prepare()
    for _ in range(100_000):
        dispatcher._adapter.wake()
