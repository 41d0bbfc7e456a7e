"""A server in the background of a program: it starts, stops and ends with it, and troubles nobody.

Each program runs in a process of its own, for it is the process that is looked at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """
import faulthandler, gc, http.client, os, signal, sys, threading, time
import hwebserver
faulthandler.dump_traceback_later(50, exit=True)
server = hwebserver.Server("life")
server.urlHandler("/")(lambda request: str(os.getpid()))
async def waits(request):
    return "coroutine"
server.urlHandler("/coroutine")(waits)

def get(path="/", port=None):
    connection = http.client.HTTPConnection("127.0.0.1", port or server.port(), timeout=20)
    connection.request("GET", path)
    try:
        return connection.getresponse().read().decode()
    finally:
        connection.close()

def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.001)

def stop():
    server.requestShutdown()
    until(lambda: not server.isRunning())
"""


def run(program):
    """Run a program to its end, which is to be a good one, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", BEGIN + program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if "Serving on" not in line]
    assert (done.returncode, errors) == (0, [])
    return done.stdout.split()


def test_a_program_that_ends_ends_its_server():
    assert run("server.run(0, in_background=True); print(get() == str(os.getpid()))") == ["True"]


@pytest.mark.parametrize("path", ["/blocked", "/main", "/sleeps", "/stream"])
def test_a_program_ends_though_handlers_are_at_work(path):
    program = """
reached = threading.Event()
@server.urlHandler("/blocked")
def blocked(request):
    reached.set()
    return hwebserver.callInMainThread(int)
server.urlHandler("/main", main_thread=True)(lambda request: "never")
@server.urlHandler("/sleeps")
async def sleeps(request):
    import asyncio
    reached.set()
    await asyncio.sleep(3600)
@server.urlHandler("/stream")
def stream(request):
    def events():
        while True:
            yield "event"
            reached.set()
            time.sleep(0.001)
    return hwebserver.eventStreamResponse(events())
server.run(0, in_background=True)
client = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=20)
client.request("GET", PATH)
from hwebserver.hosts.mainthread import dispatcher
until(lambda: dispatcher._calls if PATH in ("/main", "/blocked") else reached.is_set())
print("ends")
"""
    assert run(f"PATH = {path!r}\n{program}") == ["ends"]


@pytest.mark.parametrize("started_on", ["main", "another"])
def test_in_the_background_signals_and_the_end_of_the_process_are_the_hosts(started_on):
    program = """
names = ("SIGINT", "SIGTERM")
before = [signal.getsignal(getattr(signal, name)) for name in names]
def callback():
    server.run(0, in_background=True)
    print(get() == str(os.getpid()))
if STARTED_ON == "main":
    callback()
else:
    other = threading.Thread(target=callback)
    other.start()
    other.join()
get("/coroutine")
print([signal.getsignal(getattr(signal, name)) for name in names] == before)
print(sum(not one.daemon for one in threading.enumerate()))
"""
    assert run(f"STARTED_ON = {started_on!r}\n{program}") == ["True", "True", "1"]


RESTARTS = """
server.urlHandler("/main", main_thread=True)(lambda request: "main")
def once():
    server.run(0, in_background=True)
    get(), get("/coroutine")
    asked = threading.Thread(target=get, args=("/main",))
    asked.start()
    until(lambda: hwebserver.processMainThreadCalls() or not asked.is_alive())
    asked.join()
    stop()

def kilobytes():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

def seen():
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(gc.get_objects())

for _ in range(WARM):
    once()
before, memory = seen(), kilobytes()
for _ in range(TIMES):
    once()
after = seen()
print(after[0] == before[0], after[1] == before[1], after[2] - before[2] < 200)
print(kilobytes() - memory)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="this system has no /proc")
def test_start_stop_and_start_again_leaves_nothing_behind():
    assert run("WARM, TIMES = 3, 10\n" + RESTARTS)[:3] == ["True", "True", "True"]


# --- fork ---

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORK = """
server.run(0, in_background=True)
get("/coroutine")
kept = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=20)
def again():
    kept.request("GET", "/")
    return kept.getresponse().read().decode()
again()

def in_child(function):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            function()
            sys.stdout.flush()
            code = 0
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@forks
def test_a_server_does_not_run_in_the_child_of_a_fork_and_goes_on_in_the_parent():
    program = """
in_child(lambda: print(server.isRunning()))
print(again() == str(os.getpid()), get() == str(os.getpid()), get("/coroutine"))
port = server.port()
stop()
server.run(port, in_background=True)
print(get() == str(os.getpid()))
"""
    assert run(FORK + program) == ["False", "0", "True", "True", "coroutine", "True"]


@forks
def test_the_child_of_a_fork_can_run_a_server_of_its_own():
    program = """
parent, port = os.getpid(), server.port()
def child():
    server.run(0, in_background=True)
    print(get() == str(os.getpid()) != str(parent), server.port() != port, get("/coroutine"))
    stop()
    print(server.isRunning())
in_child(child)
print(again() == str(os.getpid()), get("/coroutine"))
"""
    expected = ["True", "True", "coroutine", "False", "0", "True", "coroutine"]
    assert run(FORK + program) == expected


@forks
def test_the_child_of_a_fork_holds_no_socket_of_the_server():
    program = """
def sockets():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink("/proc/self/fd/" + name).startswith("socket:")
        except OSError:
            pass
    return found
kept.close()
in_child(lambda: print(sockets()))
"""
    found = run(FORK + program)
    assert found == ["2", "0"]


@forks
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Unix sockets")
def test_the_child_of_a_fork_leaves_a_unix_socket_where_it_is(tmp_path):
    program = f"""
path = {str(tmp_path / "socket")!r}
other = hwebserver.Server("unix")
other.setSettingsForPort({{"ADDRESS": "unix:" + path}})
other.run(in_background=True)
in_child(lambda: None)
print(os.path.exists(path))
"""
    assert run(FORK + program) == ["0", "True"]


@forks
def test_calls_that_wait_in_the_parent_do_not_wait_in_the_child():
    program = """
from hwebserver.hosts.mainthread import dispatcher
asked = threading.Thread(target=hwebserver.callInMainThread, args=(int,), daemon=True)
asked.start()
until(lambda: dispatcher._calls)
def child():
    got = []
    other = threading.Thread(target=lambda: got.append(hwebserver.callInMainThread(str, "called")))
    other.start()
    until(lambda: dispatcher._calls)
    ran = hwebserver.processMainThreadCalls()
    other.join()
    print(ran, *got)
in_child(child)
print(hwebserver.processMainThreadCalls())
asked.join()
"""
    assert run(FORK + program) == ["1", "called", "0", "1"]
