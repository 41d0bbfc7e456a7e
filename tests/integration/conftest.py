"""The examples and a folder, served to clients that are programs of their own."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest
from integration.browser import Browser
from integration.components import find_module, find_program
from integration.program import serving, serving_tidily
from support import PATIENCE


@pytest.fixture(scope="session")
def hello(tmp_path_factory):
    """The smallest example."""
    root = tmp_path_factory.mktemp("hello")
    with serving_tidily(str(Path("examples", "hello.py")), root=root) as server:
        yield server


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """The notes board, empty at first."""
    root = tmp_path_factory.mktemp("notes")
    with serving_tidily(str(Path("examples", "notes.py")), root=root) as server:
        yield server


@pytest.fixture(scope="module")
def dailies(tmp_path_factory):
    """The review page, empty at first; each request is logged with its fields."""
    root = tmp_path_factory.mktemp("dailies")
    clips = {"DAILIES_FOLDER": str(root / "clips")}
    target = str(Path("examples", "dailies.py"))
    with serving_tidily(target, "--verbosity", "high", root=root, **clips) as server:
        yield server


@pytest.fixture(scope="module")
def playground(tmp_path_factory):
    """What no example has; see there."""
    root = tmp_path_factory.mktemp("playground")
    with serving_tidily(str(Path(__file__).with_name("playground.py")), root=root) as server:
        yield server


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder that holds another one with an index page."""
    root = tmp_path_factory.mktemp("folder")
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text("<p>index of sub", encoding="utf-8")
    with serving(str(root), cwd=root) as server:
        yield server


@pytest.fixture(scope="session")
def curl_command():
    """The beginning of a command of curl."""
    return [find_program("curl"), "--silent", "--show-error", "--noproxy", "*"]


@pytest.fixture
def curl(curl_command):
    """Run curl, and fail unless it exits with the code given; its output is text."""

    def run(*arguments, code=0, patience=PATIENCE):
        ended = subprocess.run(
            [*curl_command, "--fail-with-body", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=patience,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        return ended

    return run


@pytest.fixture
def curl_beside(curl_command):
    """Start curl and go on; it is ended behind the test if it still runs."""
    started = []

    def start(*arguments):
        limit = ["--max-time", str(2 * PATIENCE)]
        process = subprocess.Popen(
            [*curl_command, *limit, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()


@pytest.fixture
def session():
    """A session of requests that uses no proxy, and does not wait for ever."""
    with find_module("requests").Session() as session:
        session.trust_env = False
        session.request = partial(session.request, timeout=PATIENCE)
        yield session


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser without a window and without a past."""
    started = Browser(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()
