"""Calls for the main thread: run there, once or never, and in time or not at all."""

from __future__ import annotations

import gc
import threading
import traceback
import weakref

import pytest
from hosts.mainloop import Beside, Loop, on_main
from support import PATIENCE, wait_until

from hwebserver import (
    OperationFailed,
    callInMainThread,
    processMainThreadCalls,
    setMainThreadAdapter,
)
from hwebserver.hosts.mainthread import dispatcher


@pytest.fixture(autouse=True)
def nothing_waits():
    """See that a test leaves no call behind, and no adapter."""
    yield
    setMainThreadAdapter(None)
    assert not dispatcher._calls
    assert not dispatcher._waits
    assert not dispatcher._running


def queued(count=1):
    wait_until(lambda: len(dispatcher._calls) == count)


# --- where, and what comes back ---


def test_on_the_main_thread_a_function_is_called_at_once():
    assert callInMainThread(lambda a, b: (a, b, on_main()), 1, b=2) == (1, 2, True)


def test_from_another_thread_it_is_called_on_the_main_thread():
    call = Beside(lambda: callInMainThread(lambda a, b: (a, b, on_main()), 1, b=2))
    assert call.served() == (1, 2, True)


def test_an_exception_comes_back_with_its_traceback():
    def fail_there():
        raise LookupError("no such node")

    call = Beside(lambda: callInMainThread(fail_there))
    with pytest.raises(LookupError, match="no such node") as caught:
        call.served()
    assert "fail_there" in [
        frame.name for frame in traceback.extract_tb(caught.value.__traceback__)
    ]


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
def test_what_would_end_the_host_is_the_callers_alone(error):
    def leave():
        raise error

    call = Beside(lambda: callInMainThread(leave))
    with pytest.raises(error):
        call.served()


def test_ctrl_c_is_for_the_host_and_the_caller():
    def pressed():
        raise KeyboardInterrupt

    call = Beside(lambda: callInMainThread(pressed))
    queued()
    with pytest.raises(KeyboardInterrupt):
        processMainThreadCalls()
    with pytest.raises(KeyboardInterrupt):
        call.join()


def test_what_a_call_has_held_is_let_go_of():
    class Held:
        pass

    def use(held):
        raise ValueError("held")

    held = Held()
    seen = weakref.ref(held)
    call = Beside(lambda held=held: callInMainThread(use, held))
    del held
    with pytest.raises(ValueError, match="held"):
        call.served()
    del call
    gc.collect()
    assert seen() is None


def test_calls_are_run_in_the_order_in_which_they_came():
    ran = []
    calls = []
    for number in range(5):
        calls.append(Beside(lambda number=number: callInMainThread(ran.append, number)))
        queued(number + 1)
    assert processMainThreadCalls(10) == 5
    assert ran == [0, 1, 2, 3, 4]
    for call in calls:
        call.join()


def test_a_turn_runs_one_call_at_least_and_leaves_the_rest_when_its_time_is_up():
    calls = [Beside(lambda: callInMainThread(int)) for _ in range(3)]
    queued(3)
    assert [processMainThreadCalls(0) for _ in range(4)] == [1, 1, 1, 0]
    for call in calls:
        call.join()


def test_no_other_thread_may_run_the_calls():
    with pytest.raises(OperationFailed, match="by the main thread alone"):
        Beside(processMainThreadCalls).join()


# --- calls in calls ---


def test_a_call_may_call_another():
    call = Beside(lambda: callInMainThread(lambda: callInMainThread(on_main)))
    assert call.served() is True


def test_a_call_may_run_those_that_wait():
    first = Beside(lambda: callInMainThread(processMainThreadCalls, 10))
    queued()
    second = Beside(lambda: callInMainThread(on_main))
    queued(2)
    assert processMainThreadCalls(0) == 1
    assert first.join() == 1
    assert second.join() is True


def test_a_call_that_runs_a_loop_of_its_own_keeps_no_other_waiting():
    loop = Loop()
    setMainThreadAdapter(loop.post)
    ran = threading.Event()
    first = Beside(lambda: callInMainThread(lambda: loop.until(ran.is_set)))  # as a dialog does
    queued()
    second = Beside(lambda: callInMainThread(ran.set))
    queued(2)
    loop.turn()
    first.join()
    second.join()


# --- too late ---


def test_a_call_that_has_not_begun_in_time_raises_and_is_never_run():
    ran = []

    def touch():
        ran.append(1)

    with pytest.raises(OperationFailed) as caught:
        Beside(lambda: callInMainThread(touch, timeout=0.02)).join()
    assert "touch has not begun on the main thread within 0.0 s" in str(caught.value)
    assert "no event loop is known" in str(caught.value)
    assert "processMainThreadCalls()" in str(caught.value)
    assert processMainThreadCalls() == 0
    assert ran == []


def test_a_call_that_has_begun_is_waited_for(monkeypatch):
    asked = threading.Event()
    withdraw = dispatcher.withdraw

    def too_late(call):
        asked.set()
        return withdraw(call)

    monkeypatch.setattr(dispatcher, "withdraw", too_late)
    call = Beside(lambda: callInMainThread(lambda: asked.wait(PATIENCE), timeout=0.05))
    assert call.served() is True


def test_the_error_names_what_keeps_the_main_thread():
    failed = []

    def long_work():
        with pytest.raises(OperationFailed) as caught:
            Beside(lambda: callInMainThread(int, timeout=0.02)).join()
        failed.append(str(caught.value))

    Beside(lambda: callInMainThread(long_work)).served()
    assert "long_work for" in failed[0]


def test_the_error_says_how_long_the_loop_was_silent_and_how_it_is_reached():
    def silent_loop(process):
        pass

    setMainThreadAdapter(silent_loop)
    with pytest.raises(OperationFailed, match=r"silent_loop.*has been silent for 0\.\d s"):
        Beside(lambda: callInMainThread(int, timeout=0.02)).join()


def test_the_time_that_nobody_gives_is_the_option_of_the_last_run(server):
    server.setSettingsForPort({"MAIN_THREAD_TIMEOUT": 0.02})
    server.run(0, in_background=True)
    try:
        with pytest.raises(OperationFailed, match="has not begun"):
            Beside(lambda: callInMainThread(int)).join()
    finally:
        server.requestShutdown()
        wait_until(lambda: not server.isRunning())
        dispatcher.timeout = 30.0


# --- a main thread that waits for us ---


def test_while_the_main_thread_waits_for_us_calls_raise_at_once():
    with dispatcher.hold("an answer of this server"):
        with pytest.raises(OperationFailed, match="waits for an answer of this server"):
            Beside(lambda: callInMainThread(int)).join()
        assert callInMainThread(on_main) is True  # its own do not
    assert Beside(lambda: callInMainThread(on_main)).served() is True


def test_a_thread_that_waits_already_is_told():
    call = Beside(lambda: callInMainThread(int))
    queued()
    with dispatcher.hold("an answer"), pytest.raises(OperationFailed, match="for an answer"):
        call.join()


def test_what_holds_no_thread_goes_on_waiting():
    told = threading.Event()
    call = Beside(lambda: dispatcher.begin(on_main, told.set)).join()
    with dispatcher.hold("an answer of this server"):
        assert not told.is_set()
    assert processMainThreadCalls() == 1
    assert told.is_set()
    assert call.result is True


def test_another_thread_that_waits_for_us_holds_nobody_up():
    def wait():
        with dispatcher.hold("nothing"):
            return Beside(lambda: callInMainThread(on_main)).join()

    assert Beside(wait).served() is True


# --- adapters ---


def test_an_adapter_has_the_main_thread_come():
    loop = Loop()
    setMainThreadAdapter(loop.post)
    call = Beside(lambda: callInMainThread(on_main))
    loop.until(lambda: call.over)
    assert call.join() is True


def test_a_loop_is_told_once_for_all_that_wait():
    loop = Loop()
    setMainThreadAdapter(loop.post)
    calls = [Beside(lambda: callInMainThread(on_main)) for _ in range(5)]
    queued(5)
    assert len(loop.posted) == 1
    loop.until(lambda: all(call.over for call in calls))


def test_a_loop_that_does_not_come_is_told_again(monkeypatch):
    monkeypatch.setattr("hwebserver.hosts.dispatcher._AGAIN", 0.0)
    loop = Loop()
    setMainThreadAdapter(loop.post)
    first = Beside(lambda: callInMainThread(int))
    queued()
    loop.posted.clear()  # A host may lose what it was told.
    second = Beside(lambda: callInMainThread(int))
    loop.until(lambda: first.over and second.over)


def test_what_waits_already_is_told_to_an_adapter_that_comes_later():
    loop = Loop()
    call = Beside(lambda: callInMainThread(on_main))
    queued()
    setMainThreadAdapter(loop.post)
    loop.until(lambda: call.over)
    assert call.join() is True


def test_an_adapter_that_raises_is_logged_and_the_calls_wait(caplog):
    def broken(process):
        raise OSError("no such loop")

    setMainThreadAdapter(broken)
    call = Beside(lambda: callInMainThread(on_main))
    assert call.served() is True
    assert "broken" in caplog.text
    assert "no such loop" in caplog.text


@pytest.mark.parametrize("adapter", [3, b"tk", object()])
def test_what_is_no_adapter_is_refused(adapter):
    with pytest.raises(OperationFailed, match="a name or a function"):
        setMainThreadAdapter(adapter)


def test_a_name_of_no_adapter_is_refused_with_those_there_are():
    with pytest.raises(OperationFailed, match=r"'gtk' is no main thread adapter: .*qt, tk"):
        setMainThreadAdapter("gtk")


@pytest.mark.parametrize("name", ["tk", "qt", "asyncio", "houdini", "maya", "blender", "nuke"])
def test_an_adapter_whose_host_is_not_there_is_refused(name):
    with pytest.raises(OperationFailed, match=f"{name!r} cannot be used: "):
        setMainThreadAdapter(name)
