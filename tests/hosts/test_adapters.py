"""How the main thread of each host is reached, with modules that behave as the hosts' do."""

from __future__ import annotations

import asyncio
import sys
import threading
import types

import pytest
from hosts.mainloop import Beside, Loop, on_main
from support import wait_until

from hwebserver import OperationFailed, callInMainThread, processMainThreadCalls
from hwebserver.hosts import adapters
from hwebserver.hosts.dispatcher import Dispatcher

BINDINGS = ["PySide6", "PySide2", "PyQt6", "PyQt5"]
HOSTS = ["hou", "hdefereval", "tkinter", "maya", "maya.cmds", "maya.utils", "bpy", "nuke"]


@pytest.fixture(autouse=True)
def no_host(monkeypatch):
    """Begin without any of the modules that a graphical program has, and without a loop."""
    for name in [*HOSTS, *(f"{binding}.QtCore" for binding in BINDINGS)]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(adapters, "_loop", None)


@pytest.fixture
def load(monkeypatch):
    """Put a module that has given attributes into ``sys.modules``."""

    def add(name, **attributes):
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return add


@pytest.fixture
def dispatcher():
    """A dispatcher of the test's own."""
    return Dispatcher()


@pytest.fixture
def loop():
    """The event loop of a host."""
    return Loop()


def reached(dispatcher, loop, name):
    """See that a call is run by the loop, on the main thread, and by the adapter of a name."""
    call = Beside(lambda: dispatcher.call(on_main, 20.0))
    loop.until(lambda: call.over)
    assert call.join() is True
    assert dispatcher._adapter.name == name


# --- Houdini ---


def houdini(loop, graphical=True):
    """The module ``hou``: callbacks of its event loop are called again and again."""
    callbacks = []

    def turn():
        for callback in list(callbacks):
            callback()

    loop.idle = turn
    return {
        "isUIAvailable": lambda: graphical,
        "ui": types.SimpleNamespace(
            addEventLoopCallback=callbacks.append,
            removeEventLoopCallback=callbacks.remove,
            eventLoopCallbacks=lambda: tuple(callbacks),
        ),
    }


def test_houdini_defers_the_calls(load, dispatcher, loop):
    load("hou", **houdini(loop))
    load("hdefereval", executeDeferred=lambda code, *args: loop.post(lambda: code(*args)))
    reached(dispatcher, loop, "houdini")


def test_a_houdini_that_defers_nothing_has_its_event_loop_look(load, dispatcher, loop):
    hou = load("hou", **houdini(loop))
    load("hdefereval")
    sys.modules["hdefereval"] = None  # an import of it fails
    dispatcher.prepare()
    call = Beside(lambda: dispatcher.call(on_main, 20.0))
    wait_until(lambda: loop.idle() or call.over)
    assert call.join() is True
    dispatcher.set_adapter(None)
    assert hou.ui.eventLoopCallbacks() == ()


def test_hython_has_no_loop_and_the_error_says_so(load, dispatcher, loop):
    load("hou", **houdini(loop, graphical=False))
    with pytest.raises(OperationFailed, match="this Houdini shows no windows"):
        Beside(lambda: dispatcher.call(int, 0.01)).join()


# --- Maya ---


def maya(load, loop, batch):
    load("maya.cmds", about=lambda **question: batch if question == {"batch": True} else None)
    load("maya.utils", executeDeferred=lambda code, *args: loop.post(lambda: code(*args)))


def test_maya_defers_the_calls(load, dispatcher, loop):
    maya(load, loop, batch=False)
    reached(dispatcher, loop, "maya")


def test_maya_in_batch_mode_has_no_loop_and_the_error_says_so(load, dispatcher, loop):
    maya(load, loop, batch=True)
    with pytest.raises(OperationFailed, match="Maya is in its batch mode"):
        Beside(lambda: dispatcher.call(int, 0.01)).join()
    assert not loop.posted


# --- Blender ---


class Timers:
    """``bpy.app.timers``: what a timer returns says when it is called again; None: never."""

    def __init__(self):
        self.registered = {}
        self.threads = set()

    def register(self, function, first_interval=0, persistent=False):
        self.registered[function] = (first_interval, persistent)
        self.threads.add(threading.current_thread())

    def unregister(self, function):
        del self.registered[function]

    def is_registered(self, function):
        return function in self.registered

    def run(self):
        for function in list(self.registered):
            again = function()
            if again is None:
                del self.registered[function]
            else:
                assert 0 < again <= 0.01


def blender(load, background):
    app = types.SimpleNamespace(background=background, timers=Timers())
    load("bpy", app=app)
    return app.timers


def test_a_timer_of_blender_looks_for_calls(load, dispatcher):
    timers = blender(load, background=False)
    dispatcher.prepare()  # as a ``run`` on the main thread does
    call = Beside(lambda: dispatcher.call(on_main, 20.0))
    wait_until(lambda: timers.run() or call.over)
    assert call.join() is True
    assert timers.threads == {threading.main_thread()}
    assert [persistent for _, persistent in timers.registered.values()] == [True]


def test_a_timer_of_blender_ends_with_its_adapter(load, dispatcher):
    timers = blender(load, background=False)
    dispatcher.prepare()
    dispatcher.set_adapter(lambda process: None)
    assert timers.registered == {}


def test_blender_in_the_background_runs_no_timers_and_the_error_says_so(load, dispatcher):
    timers = blender(load, background=True)
    with pytest.raises(OperationFailed, match=r"background mode.*processMainThreadCalls\(\)"):
        Beside(lambda: dispatcher.call(int, 0.01)).join()
    assert timers.registered == {}
    call = Beside(lambda: callInMainThread(on_main))  # and that is how it works
    wait_until(processMainThreadCalls)
    assert call.join() is True


# --- Nuke ---


def nuke(load, loop, gui=True):
    def execute(call, args=(), kwargs=None):
        assert not on_main(), "this would hang Nuke"
        loop.post(lambda: call(*args, **(kwargs or {})))

    load("nuke", GUI=gui, executeInMainThread=execute)


def test_nuke_executes_the_calls(load, dispatcher, loop):
    nuke(load, loop)
    reached(dispatcher, loop, "nuke")


def test_nuke_is_never_asked_on_its_main_thread(load, dispatcher, loop, caplog):
    nuke(load, loop)
    calls = [Beside(lambda: dispatcher.call(on_main, 20.0)) for _ in range(3)]
    wait_until(lambda: len(dispatcher._calls) == 3)
    loop.until(lambda: all(call.over for call in calls))
    assert [call.join() for call in calls] == [True] * 3
    # It was told of the second while the first ran: by a thread that is over soon.
    wait_until(lambda: all(not one.is_alive() for one in loop.posters))
    assert "cannot be reached" not in caplog.text


def test_nuke_in_its_terminal_mode_has_no_loop_and_the_error_says_so(load, dispatcher, loop):
    nuke(load, loop, gui=False)
    with pytest.raises(OperationFailed, match="Nuke shows no windows"):
        Beside(lambda: dispatcher.call(int, 0.01)).join()


# --- Qt ---


def qt(loop, running=True):
    """The classes of QtCore: events go to the object, in the thread that it lives in."""

    class QEvent:
        Type = types.SimpleNamespace(User=1000)

        def __init__(self, kind):
            self.kind = kind

    class QObject:
        home = None

        def moveToThread(self, thread):
            self.home = thread

        def deleteLater(self):
            self.home = None

        def event(self, event):
            if self.home == "the thread of the application" and event.kind == QEvent.Type.User:
                self.customEvent(event)

    class QCoreApplication:
        current = None

        @classmethod
        def instance(cls):
            return QCoreApplication.current

        @staticmethod
        def postEvent(receiver, event):
            loop.post(lambda: receiver.event(event))

        def thread(self):
            return "the thread of the application"

    if running:
        QCoreApplication.current = QCoreApplication()
    return {"QEvent": QEvent, "QObject": QObject, "QCoreApplication": QCoreApplication}


@pytest.mark.parametrize("binding", BINDINGS)
def test_qt_is_posted_an_event(load, dispatcher, loop, binding):
    load(f"{binding}.QtCore", **qt(loop))
    reached(dispatcher, loop, "qt")


def test_qt_is_reached_when_its_application_comes_after_the_server(load, dispatcher, loop):
    core = load("PySide6.QtCore", **qt(loop, running=False))
    dispatcher.prepare()
    assert dispatcher._adapter is None
    core.QCoreApplication.current = core.QCoreApplication()
    reached(dispatcher, loop, "qt")


def test_another_adapter_is_found_when_the_application_is_gone(load, dispatcher, loop):
    core = load("PySide6.QtCore", **qt(loop))
    reached(dispatcher, loop, "qt")
    core.QCoreApplication.current = None
    nuke(load, loop)
    reached(dispatcher, loop, "nuke")


# --- asyncio ---


def test_asyncio_is_found_by_a_server_that_starts_in_the_loop(dispatcher):
    async def program():
        dispatcher.prepare()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, dispatcher.call, on_main, 20.0)

    assert asyncio.run(program()) is True
    assert not dispatcher._adapter.is_usable()


def test_asyncio_may_be_named_in_the_loop(dispatcher):
    async def program():
        dispatcher.set_adapter("asyncio")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, dispatcher.call, on_main, 20.0)

    assert asyncio.run(program()) is True


def test_a_loop_of_asyncio_may_be_given_as_a_function(dispatcher):
    async def program():
        loop = asyncio.get_running_loop()
        dispatcher.set_adapter(loop.call_soon_threadsafe)
        return await loop.run_in_executor(None, dispatcher.call, on_main, 20.0)

    assert asyncio.run(program()) is True


def test_a_loop_that_another_thread_runs_is_none_of_the_main_thread(dispatcher):
    async def program():
        dispatcher.prepare()
        return dispatcher._find()

    assert Beside(lambda: asyncio.run(program())).join() is None


# --- which ---


def test_a_host_goes_before_what_it_is_made_of(load, dispatcher, loop):
    load("PySide6.QtCore", **qt(Loop()))
    nuke(load, loop)
    reached(dispatcher, loop, "nuke")


def test_an_adapter_may_be_named(load, dispatcher, loop):
    load("PySide6.QtCore", **qt(loop))
    nuke(load, Loop())
    dispatcher.set_adapter("Qt")
    reached(dispatcher, loop, "qt")


def test_without_a_name_it_is_found_again(load, dispatcher, loop):
    nuke(load, loop)
    dispatcher.set_adapter(Loop().post)
    dispatcher.set_adapter(None)
    reached(dispatcher, loop, "nuke")


def test_nothing_is_imported_to_find_a_host(dispatcher):
    before = set(sys.modules)
    dispatcher.prepare()
    assert set(sys.modules) == before


def test_an_adapter_that_cannot_be_made_is_logged_and_the_calls_wait(load, dispatcher, caplog):
    load("bpy", app=types.SimpleNamespace(background=False))  # it has no timers
    call = Beside(lambda: dispatcher.call(on_main, 20.0))
    wait_until(dispatcher.process)
    assert call.join() is True
    assert "no adapter for the main thread can be made" in caplog.text
