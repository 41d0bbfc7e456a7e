"""A server whose source changes while it runs, and the parts that see to it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import sysconfig
import types

import pytest
from integration.program import environment, serving
from support import PATIENCE, wait_until

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

        def start(**variables):
            write("app.py", APP.format(answer="old"))
            write("helper.py", "ANSWER = 'helper'\n")
            server = stack.enter_context(serving("app.py", "--reload", cwd=tmp_path, **variables))
            # From here on changes are seen.
            wait_until(lambda: server.get("/").text == "old helper")
            return server

        yield start


def stop(server):
    server.get("/stop")
    assert server.wait() == 0
    assert "Traceback" not in server.output


def test_changed_code_answers_at_the_same_address(serve, write):
    server = serve()
    before = server.address
    write("app.py", APP.format(answer="entirely new"))
    server.wait_for_line("app.py changed")
    after = server.wait_for_start()
    assert server.get("/").text == "entirely new helper"
    stop(server)
    assert after == before


def test_a_change_of_an_imported_module_restarts_too(serve, write):
    server = serve()
    write("helper.py", "ANSWER = 'another helper'\n")
    server.wait_for_line("helper.py changed")
    server.wait_for_start()
    assert server.get("/").text == "old another helper"
    stop(server)


def test_code_that_does_not_compile_restarts_nothing_and_is_logged(serve, write):
    server = serve()
    write("app.py", APP.format(answer="broken") + "def half_a_line(\n")
    server.wait_for_line("app.py changed, but does not compile: .*app.py, line 1")
    assert server.get("/").text == "old helper"
    write("app.py", APP.format(answer="repaired"))
    server.wait_for_start()
    assert server.get("/").text == "repaired helper"
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
    with serving("app.py", "--reload", cwd=tmp_path) as server:
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


# --- which files are watched ---


@pytest.fixture
def module(monkeypatch):
    """Put a module of a file into ``sys.modules``."""

    def add(path, name="watched_by_a_test"):
        made = types.ModuleType(name)
        made.__file__ = path if path is None else str(path)
        monkeypatch.setitem(sys.modules, name, made)
        return made.__file__

    return add


def test_a_stamp_changes_with_the_file(tmp_path, module):
    path = tmp_path / "module.py"
    path.write_text("1", encoding="utf-8")
    name = module(path)
    before = reloader.stamps()[name]
    path.write_text("12", encoding="utf-8")
    assert reloader.stamps()[name] != before


def test_a_stamp_changes_with_the_time_alone(tmp_path, module):
    path = tmp_path / "module.py"
    path.write_text("1", encoding="utf-8")
    name = module(path)
    before = reloader.stamps()[name]
    os.utime(path, (1, 1))
    assert reloader.stamps()[name] != before


def test_the_package_itself_is_watched():
    assert reloader.__file__ in reloader.stamps()


def test_installed_modules_are_not_watched():
    paths = reloader.stamps()
    assert os.__file__ not in paths
    assert pytest.__file__ not in paths


def test_a_folder_whose_name_begins_like_that_of_the_library_is_watched(
    tmp_path, module, monkeypatch
):
    paths = dict.fromkeys(("stdlib", "purelib", "platlib"), str(tmp_path / "lib"))
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    for folder in ("lib", "library"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").write_text("", encoding="utf-8")
    installed = module(tmp_path / "lib" / "module.py", "installed_for_a_test")
    own = module(tmp_path / "library" / "module.py", "own_for_a_test")
    found = reloader.stamps()
    assert installed not in found
    assert own in found


@pytest.mark.parametrize("name", [None, "missing.py", "compiled.so"])
def test_modules_without_a_source_file_are_passed_over(tmp_path, module, name):
    (tmp_path / "compiled.so").write_bytes(b"")
    path = module(None if name is None else tmp_path / name)
    assert path not in reloader.stamps()


# --- what a change leads to ---


@pytest.fixture
def looks(monkeypatch):
    """Watch what is made up: each look finds the next of a list; return the look that restarts.

    An entry is what the look finds, or a function that returns it.
    """

    def watch(*entries):
        made = []

        def stamps():
            if len(made) == len(entries):
                watcher._stop.set()
                return {}
            entry = entries[len(made)]
            found = entry() if callable(entry) else entry
            made.append(entry)
            return found

        changed = []
        monkeypatch.setattr(reloader, "stamps", stamps)
        watcher = reloader.Reloader(lambda: changed.append(len(made) - 1), interval=0.001)
        watcher.start()
        wait_until(lambda: not watcher._thread.is_alive())
        watcher.stop()
        return changed

    return watch


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.py"
    path.write_text("answer = 1\n", encoding="utf-8")
    return str(path)


def test_a_change_is_told_once(looks, source):
    assert looks({source: 1}, {source: 1}, {source: 2}, {source: 3}) == [2]


def test_without_a_change_nothing_happens(looks, source):
    assert looks({source: 1}, {source: 1}) == []


def test_a_module_that_is_imported_later_is_no_change(looks, source):
    assert looks({}, {source: 1}, {source: 1}) == []


def test_a_module_that_is_imported_later_is_watched(looks, source):
    assert looks({}, {source: 1}, {source: 2}) == [2]


def test_a_file_that_is_away_for_a_moment_has_changed_when_it_is_back(looks, source):
    assert looks({source: 1}, {}, {source: 2}) == [2]


def test_a_file_that_cannot_be_read_yet_is_looked_at_again(looks, tmp_path):
    path = tmp_path / "source.py"

    def written():
        path.write_text("answer = 1\n", encoding="utf-8")
        return {str(path): 2}

    assert looks({str(path): 1}, {str(path): 2}, written) == [2]


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
    looks({name: 1}, {name: 2}, {name: 2}, {name: 2})
    assert [record.name for record in caplog.records] == ["hwebserver.reload"]


# --- whether a file compiles ---


def test_a_file_that_compiles_does():
    assert reloader.compiles(__file__)


def test_a_file_that_declares_its_encoding_compiles(tmp_path):
    path = tmp_path / "old.py"
    path.write_bytes("# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    assert reloader.compiles(str(path))


@pytest.mark.parametrize("text", [b"def", b"x = 1\n  y = 2\n", b"x = '\xff'\n", b"x = 1\0\n"])
def test_a_file_that_does_not_compile_is_named_in_the_log(tmp_path, caplog, text):
    path = tmp_path / "broken.py"
    path.write_bytes(text)
    assert not reloader.compiles(str(path))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("hwebserver.reload", logging.ERROR)
    assert str(path) in record.getMessage()


def test_a_file_that_cannot_be_read_is_no_error_of_syntax(tmp_path, caplog):
    with pytest.raises(OSError, match=r"missing\.py"):
        reloader.compiles(str(tmp_path / "missing.py"))
    assert caplog.records == []


# --- how it is started again ---

ARGUMENTS = "from hwebserver.reloader import original_arguments; print(original_arguments())"


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "worked out"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["script.py"],
        ["script.py", "--name", "two words"],
        ["-m", "script", "-v"],
        ["-m", "package", "-v"],
        ["-m", "package.script"],
        ["-O", "-m", "package.script", "-v"],
    ],
    ids=" ".join,
)
def test_the_command_line_is_found_again(tmp_path, arguments, recorded):
    # Python before 3.10 does not record it.
    text = "" if recorded else "import sys\nif hasattr(sys, 'orig_argv'): del sys.orig_argv\n"
    (tmp_path / "package").mkdir()
    for name in ("script.py", "package/__init__.py", "package/__main__.py", "package/script.py"):
        (tmp_path / name).write_text(text + ARGUMENTS, encoding="utf-8")
    (tmp_path / "package" / "__init__.py").write_text("", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment(PYTHONDONTWRITEBYTECODE=""),  # Which Python cannot tell from an option.
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert ended.stdout.strip() == str([sys.executable, *arguments])
