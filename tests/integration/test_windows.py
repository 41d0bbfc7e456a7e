"""Windows of Tk and Qt, on a screen that nobody sees, changed by requests."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest
from integration.components import find_module, find_program
from integration.program import ROOT, program

pytestmark = pytest.mark.integration

WINDOWED = str(Path(__file__).with_name("windowed.py"))


@pytest.fixture(scope="module")
def screen():
    """A screen of its own; its name is what DISPLAY is to be."""
    reading, writing = os.pipe()
    command = [find_program("Xvfb"), "-displayfd", str(writing), "-screen", "0", "800x600x24"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as number:
            yield f":{number.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def windowed(screen):
    """Start an example with a window, and what is wanted beside it."""
    started = []

    def start(example, what="CLOSE"):
        find_module("tkinter" if example.startswith("tk") else "PySide6")
        path = str(Path("examples", example))
        running = program([WINDOWED, what, path], ROOT, DISPLAY=screen, HWEBSERVER_PORT="0")
        started.append(running)
        one = running.__enter__()
        one.wait_for_start()
        return one

    yield start
    for one in started:
        one.__exit__(None, None, None)


def call(window, function, **arguments):
    fields = "&".join(f"{name}={value}" for name, value in arguments.items())
    answer = window.get("/api", "POST", f"cmd_function={function}&{fields}")
    assert answer.status == 200, answer.text
    return answer.body


def ends_well(window):
    """Close a window as a person does, and see that its program ends without a word."""
    window.write_line()
    assert window.wait() == 0
    assert "Traceback" not in window.output


def test_requests_change_the_widgets_of_tk(windowed):
    window = windowed("tk_board.py")
    assert call(window, "board.put", text="Lunch") == b"1"
    assert call(window, "board.put", text="Dailies") == b"2"
    assert window.get().body == b'["Lunch", "Dailies"]'
    call(window, "board.clear")
    assert window.get().body == b"[]"
    ends_well(window)


def test_requests_change_the_widgets_of_qt(windowed):
    window = windowed("qt_progress.py")
    before = window.get().body
    assert before.startswith(b"\x89PNG")
    call(window, "job.progress", name="shot_010", percent=40)
    after = window.get().body
    assert after.startswith(b"\x89PNG")
    assert after != before
    ends_well(window)


@pytest.mark.parametrize("example", ["tk_board.py", "qt_progress.py"])
def test_an_idle_window_is_woken_and_never_looks(windowed, example, capsys):
    window = windowed(example, "LATENCY")
    window.write_line()
    found = window.wait_for_line(r"latency: .*")[0]
    before = woken(window)
    select.select([], [], [], 1.0)
    looks = woken(window) - before
    with capsys.disabled():
        print(f"\n{example}: {found}; woken {looks} times in an idle second")
    assert looks < 20  # One that looks every 10 ms is woken 100 times.
    ends_well(window)


def woken(window):
    """Say how often the main thread of a program has waited for something so far (Linux)."""
    status = Path(f"/proc/{window._process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


EARLY = """
import sys, threading, tkinter, hwebserver
server = hwebserver.Server("early")
server.urlHandler("/")(lambda request: hwebserver.callInMainThread(lambda: window.title()))
server.run(0, in_background=True)
def close():
    sys.stdin.readline()
    hwebserver.callInMainThread(lambda: window.destroy())
threading.Thread(target=close, daemon=True).start()
window = tkinter.Tk()
window.title("later")
print("open")
LOOP
"""

LOOPS = {
    "mainloop": "window.mainloop()",
    "update": """
hwebserver.setMainThreadAdapter("tk")
try:
    while window.winfo_exists():
        window.update()
except tkinter.TclError:
    pass
""",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_window_that_is_opened_after_the_server_starts_is_reached(screen, loop):
    find_module("tkinter")
    code = EARLY.replace("LOOP", LOOPS[loop])
    with program(["-c", code], ROOT, DISPLAY=screen) as started:
        started.wait_for_start()
        started.wait_for_line("^open$")
        assert started.get().body == b"later"
        ends_well(started)


def test_starting_and_stopping_200_times_leaves_nothing_behind(capsys):
    from hosts.test_life import RESTARTS, run

    threads, descriptors, objects, kilobytes = run("WARM, TIMES = 20, 200\n" + RESTARTS)
    with capsys.disabled():
        print(f"\n200 restarts: {kilobytes} KB more in memory")
    assert [threads, descriptors, objects] == ["True", "True", "True"]
    assert int(kilobytes) < 2048
