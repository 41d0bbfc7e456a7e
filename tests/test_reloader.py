"""A server that is restarted when its source changes, and the parts that see to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import zipfile

import pytest
from integration.program import environment, program, serving
from support import PATIENCE, receive_response, wait_until

from hwebserver import reloader

#: Ends by itself: on Windows a restarted program is another process than the one started.
APP = """
import hwebserver
import helper

@hwebserver.urlHandler("/")
def index(request):
    return "{answer} " + helper.ANSWER

@hwebserver.urlHandler("/stop")
def stop(request):
    request.requestServerShutdown()
"""

FAST = {"HWEBSERVER_RELOAD_INTERVAL": "0.01"}
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def write(tmp_path):
    """Replace a file as editors do, so that no look at it finds half of it."""

    def write_file(name, text):
        unfinished = tmp_path / f"{name}.new"
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, tmp_path / name)

    return write_file


@pytest.fixture
def serve(tmp_path, write):
    """Serve an application that is watched, and stop it behind the test."""
    with contextlib.ExitStack() as stack:

        def start(*options, **variables):
            write("app.py", APP.format(answer="old"))
            write("helper.py", "ANSWER = 'helper'\n")
            arguments = ("--reload", *options)
            variables = {**FAST, **variables}
            server = stack.enter_context(serving("app.py", *arguments, cwd=tmp_path, **variables))
            # From here on changes are seen.
            wait_until(lambda: server.get("/").text == "old helper")
            return server

        yield start


def stop(server):
    server.get("/stop")
    assert server.wait() == 0
    assert "Traceback" not in server.output


class Visitor(threading.Thread):
    """Asks again and again, each time with a new connection; keeps what it hears."""

    def __init__(self, place):
        super().__init__(name="visitor")
        self._place = place
        self.heard = []
        self.enough = threading.Event()
        self.start()

    def run(self):
        while not self.enough.is_set():
            connection = http.client.HTTPConnection(*self._place, timeout=PATIENCE)
            try:
                connection.request("GET", "/")
                text = connection.getresponse().read().decode()
            except OSError as error:
                text = repr(error)
            finally:
                connection.close()
            if self.heard[-1:] != [text]:
                self.heard.append(text)

    def leave(self):
        self.enough.set()
        self.join()
        return self.heard


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot keep the socket")
def test_no_connection_is_refused_while_changed_code_takes_over_again_and_again(serve, write):
    server = serve()
    before = server.address
    visitors = [Visitor(server.place) for _ in range(2)]
    write("app.py", APP.format(answer="entirely new"))
    server.wait_for_line("app.py changed")
    after = server.wait_for_start()
    wait_until(lambda: server.get("/").text == "entirely new helper")
    write("helper.py", "ANSWER = 'another helper'\n")
    server.wait_for_line("helper.py changed")
    server.wait_for_start()
    wait_until(lambda: server.get("/").text == "entirely new another helper")
    wanted = ["old helper", "entirely new helper", "entirely new another helper"]
    wait_until(lambda: all(wanted[-1] in one.heard for one in visitors))
    assert [one.leave() for one in visitors] == [wanted, wanted]
    stop(server)
    assert after == before


def test_code_that_does_not_compile_restarts_nothing_and_is_told(serve, write):
    server = serve("--debug")
    assert server.get("/__reload__").status == 200
    write("app.py", APP.format(answer="broken") + "def <half_a_line(\n")
    server.wait_for_line("app.py changed, but does not compile: .*app.py, line 1")
    wait_until(lambda: server.get("/__reload__").status == 503)
    assert "app.py" in server.get("/__reload__").text
    assert server.get("/").text == "old helper"
    write("app.py", APP.format(answer="repaired"))
    server.wait_for_start()
    assert server.get("/").text == "repaired helper"
    assert server.output.count("does not compile") == 1
    stop(server)


def test_a_change_is_seen_as_soon_as_it_listens(tmp_path, write):
    callback = """
import os, sys

def listening(port):
    print("listening")
    os.read(0, 1)

hwebserver.run(port_callback=listening)
"""
    write("helper.py", "ANSWER = 'helper'\n")
    write("app.py", APP.format(answer="old") + callback)
    with serving("app.py", "--reload", cwd=tmp_path, **FAST) as server:
        server.wait_for_line("listening")
        write("app.py", APP.format(answer="entirely new"))
        server.write_line()
        server.wait_for_line("app.py changed")
        server.wait_for_start()
        assert server.get("/").text == "entirely new helper"
        stop(server)


def test_under_a_supervisor_it_exits_with_3_to_be_started_again(serve, write):
    server = serve(HWEBSERVER_SUPERVISED="1")
    write("app.py", APP.format(answer="entirely new"))
    assert server.wait() == reloader.RESTART == 3
    assert "Traceback" not in server.output


#: Several ports of all kinds, a settings file, a file beside, and a handler that holds a restart.
SCRIPT = """
import os, sys, threading
sys.path.insert(0, {root!r})
import hwebserver
held = threading.Event()

@hwebserver.urlHandler("/", ports=[-1])
def index(request):
    return open("page.html").read()

@hwebserver.urlHandler("/hold")
def hold(request):
    print("held", flush=True)
    sys.stdin.readline()

if __name__ == "__main__":
    hwebserver.run(0, settings="config.py", ports=["open", "local"], debug=True)
    print("ended", flush=True)
"""
CONFIG = """
PORTS = {{"open": {{"PORT": 0, "ADDRESS": "0.0.0.0"}}, "local": {{"ADDRESS": "unix:{0}"}}}}
RELOAD_EXTRA_FILES = ["*.html"]
"""


@pytest.fixture
def script(tmp_path, write):
    """A script that runs a server, started; its address, that of another port, and a Unix one."""
    write("page.html", "old")
    write("config.py", CONFIG.format("one.sock"))
    write("script.py", SCRIPT.format(root=environment()["PYTHONPATH"]))
    with program(["script.py"], tmp_path, PYTHONDONTWRITEBYTECODE="1", **FAST) as started:
        yield started, addresses(started)


def addresses(started):
    started.wait_for_start()
    other = started.wait_for_line(
        r"Serving on http://0.0.0.0:(\d+)|Serving on http://127[^ ]+:(\d+)/ "
    )
    local = started.wait_for_line(r"Serving on http://unix:(.+):/")
    return started.place[1], int(other[1] or other[2]), local[1]


def ask_unix(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(path)
        sock.sendall(GET)
        return receive_response(sock).text


@pytest.mark.skipif(os.name == "nt", reason="Windows can pass no socket on")
def test_all_ports_are_kept_and_files_beside_and_settings_are_watched(script, write, tmp_path):
    started, before = script
    inode = os.stat(tmp_path / "one.sock").st_ino
    write("page.html", "new page")
    started.wait_for_line("page.html changed")
    assert addresses(started) == before
    assert os.stat(tmp_path / "one.sock").st_ino == inode
    assert ask_unix(before[2]) == "new page"
    # A port that is to be another thing is opened anew, and the others are kept.
    write("config.py", CONFIG.format("two.sock"))
    started.wait_for_line("config.py changed")
    after = addresses(started)
    assert after == (*before[:2], str(tmp_path / "two.sock"))
    assert ask_unix(after[2]) == "new page"
    assert started.stop() == 0
    assert not list(tmp_path.glob("two.sock"))


@pytest.mark.skipif(os.name == "nt", reason="a test can interrupt no program there")
def test_who_interrupts_a_restart_ends_the_program(script, write, tmp_path):
    started, before = script
    with socket.create_connection(started.place, timeout=PATIENCE) as sock:
        sock.sendall(GET.replace(b"/ ", b"/hold "))
        started.wait_for_line("held")
        write("page.html", "new page")
        started.wait_for_line("page.html changed")
        started.wait_for_line("Stopping")
        with socket.create_connection(started.place, timeout=PATIENCE):
            started.send_signal(signal.SIGINT)  # those that wait for the restart are let go
            started.wait_for_line("ended")
        started.write_line()
        assert started.wait() == 0
    assert not os.path.exists(before[2])
    assert "Traceback" not in started.output


# --- what a change leads to ---


@pytest.fixture
def looks():
    """Watch what is made up: each look finds the next of a list; return the looks that restart.

    An entry is what the look finds, or a function that returns it. A change fails as often as
    ``failures`` says.
    """

    class Made:
        def __init__(self, entries, extra):
            self.entries, self.extra, self.looked = entries, extra, -1

        def stamps(self):
            self.looked += 1
            if self.looked >= len(self.entries):
                watcher.end()
            else:
                entry = self.entries[self.looked]
                self.found = entry() if callable(entry) else entry
            return {path: stamp for path, stamp in self.found.items() if path not in self.extra}

        def extra_stamps(self):
            return {path: stamp for path, stamp in self.found.items() if path in self.extra}

    def watch(*entries, failures=0, extra=(), problems=None):
        nonlocal watcher
        files, changed = Made(entries, extra), []
        told = [] if problems is None else problems

        def on_change(stamps):
            changed.append(files.looked)
            return "no" if len(changed) <= failures else None

        watcher = reloader.Reloader(files, on_change, told.append, 0.001)
        watcher.start()
        wait_until(lambda: not watcher.alive)
        watcher.stop()
        return changed

    watcher = None
    return watch


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.py"
    path.write_text("answer = 1\n", encoding="utf-8")
    return str(path)


def test_each_change_is_told_once(looks, source):
    assert looks({source: 1}, {source: 1}, {source: 2}, {source: 2}, {source: 3}) == [2, 4]


def test_without_a_change_nothing_happens(looks, source):
    assert looks({source: 1}, {source: 1}) == []


def test_a_module_that_is_imported_later_is_no_change(looks, source):
    assert looks({}, {source: 1}, {source: 1}) == []


def test_a_module_that_is_imported_later_is_watched(looks, source):
    assert looks({}, {source: 1}, {source: 2}) == [2]


def test_a_new_file_beside_is_a_change(looks, source):
    assert looks({}, {source: 1}, {source: 1}, extra=[source]) == [1]


def test_a_file_that_is_away_for_a_moment_has_changed_when_it_is_another(looks, source):
    assert looks({source: 1}, {}, {source: 1}, {}, {source: 2}) == [4]


def test_a_file_that_cannot_be_read_yet_is_looked_at_again(looks, tmp_path):
    path = tmp_path / "source.py"

    def written():
        path.write_text("answer = 1\n", encoding="utf-8")
        return {str(path): 2}

    assert looks({str(path): 1}, {str(path): 2}, written) == [2]


def test_a_change_that_fails_is_tried_again_with_the_next_one(looks, source):
    problems = []
    entries = [{source: stamp} for stamp in (1, 2, 2, 3, 3)]
    assert looks(*entries, failures=1, problems=problems) == [1, 3]
    assert problems == ["no", ""]


def test_what_is_taken_back_is_no_problem_any_more(looks, source):
    problems = []
    assert looks({source: 1}, {source: 2}, {source: 1}, failures=1, problems=problems) == [1]
    assert problems == ["no", ""]


def test_nothing_restarts_while_any_changed_file_does_not_compile(looks, source, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def half_a_line(", encoding="utf-8")
    name = str(broken)

    def repaired():
        broken.write_text("whole = 1\n", encoding="utf-8")
        return {name: 3, source: 2}

    found = looks({name: 1, source: 1}, {name: 2, source: 1}, {name: 2, source: 2}, repaired)
    assert found == [3]


def test_what_does_not_compile_is_logged_once(looks, tmp_path, caplog):
    broken = tmp_path / "broken.py"
    broken.write_text("def half_a_line(", encoding="utf-8")
    name = str(broken)
    problems = []
    looks({name: 1}, {name: 2}, {name: 2}, {name: 2}, problems=problems)
    assert [record.name for record in caplog.records] == ["hwebserver.reload"]
    assert len(problems) == 1
    assert problems[0].startswith(name)


def test_another_file_need_not_compile(looks, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<p>", encoding="utf-8")
    assert looks({str(page): 1}, {str(page): 2}, extra=[str(page)]) == [1]


# --- how it is started again ---

ARGUMENTS = """
import os, sys
from hwebserver import reloader
print(reloader.original_arguments())
if hasattr(sys, "orig_argv"):
    del sys.orig_argv  # Python before 3.10 does not record it.
if os.path.exists("/proc/self/cmdline"):
    print(reloader.original_arguments())
reloader._arguments_of_process = list
try:
    print(reloader.original_arguments())
except reloader.OperationFailed:
    print("unknown")
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with a script, a package and an archive that print how they were started."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "package").mkdir()
    for name in ("script.py", "package/__main__.py", "package/script.py", "__main__.py"):
        (folder / name).write_text(ARGUMENTS, encoding="utf-8")
    (folder / "package" / "__init__.py").write_text("", encoding="utf-8")
    with zipfile.ZipFile(folder / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", ARGUMENTS)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["script.py", "--name", "two words"],
        ["-m", "script", "-v"],
        ["-m", "package", "-v"],
        ["-O", "-X", "utf8", "-W", "ignore", "-m", "package.script", "-v"],
        ["app.pyz", "-v"],
        ["-c", ARGUMENTS, "-v"],
    ],
    ids=lambda arguments: " ".join(arguments).split("\n")[0],
)
def test_the_command_line_is_found_again(programs, arguments):
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=programs,
        env=environment(PYTHONDONTWRITEBYTECODE=""),  # Which Python cannot tell from an option.
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    *found, worked_out = ended.stdout.splitlines()
    assert set(found) == {str([sys.executable, *arguments])}
    if arguments[0] == "-c":
        assert worked_out == "unknown"
    else:
        assert sorted(re.findall(r"'[^']*'", worked_out)) == sorted(
            repr(one) for one in joined([sys.executable, *arguments])
        )


def joined(arguments):
    """As Python works them out: the value of -W belongs to it."""
    text = "\n".join(arguments).replace("-W\n", "-W")
    return text.split("\n")


def test_a_program_is_started_as_often_as_it_asks_for_that(tmp_path):
    count = tmp_path / "count"
    code = f"""
import os, sys
with open({str(count)!r}, "a") as file: file.write(os.environ["HWEBSERVER_SUPERVISED"])
sys.exit(3 if os.path.getsize({str(count)!r}) < 3 else 7)
"""
    assert reloader.supervise([sys.executable, "-S", "-c", code]) == 7
    assert count.read_text(encoding="utf-8") == "111"
