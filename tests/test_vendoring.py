"""The package inside of another one, under another name, and inside of an archive."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
from integration.program import program
from support import wait_until

PACKAGE = Path(__file__).resolve().parent.parent / "hwebserver"
FILES = sorted(PACKAGE.rglob("*.py"))

#: What may be called by the name of the package though that is another one: threads, files, logs.
NO_MODULE = re.compile(r"hwebserver(?:$|[-_ ]|\.(?:server|app|access|reload|hosts|websocket)$)")

APP = """
from someapp._vendor import hws
import helper

@hws.urlHandler("/")
def index(request):
    return helper.ANSWER

@hws.urlHandler("/stop")
def stop(request):
    request.requestServerShutdown()
"""

EVERYTHING = """
import io, logging, sys, urllib.request
from wsgiref.util import setup_testing_defaults

import hwebserver
from someapp._vendor import hws

assert hwebserver.NAME == "another module"
records = []

class Keep(logging.Handler):
    def emit(self, record):
        records.append(record.name)

logging.getLogger().addHandler(Keep())
server = hws.Server("inner")

@server.urlHandler("/")
def hello(request):
    return "hello"

@server.urlHandler("/coroutine")
async def coroutine(request):
    return "of a loop"

@server.urlHandler("/fail")
def fail(request):
    raise ValueError("on purpose")

@server.urlHandler("/upload")
def upload(request):
    return f"{len(request.files()['f'].read())} bytes"

@server.apiFunction("shots")
def double(request, number):
    return 2 * number

def read(url, data=None, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()

server.run(0, debug=True, reload_source_changes=False, in_background=True, verbosity=hws.Low)
assert read(server.url("/")) == "hello"
assert read(server.url("/coroutine")) == "of a loop"
page = read(server.url("/fail"))
assert page.count("(the server)") >= 1 and "Traceback:" in page, page
form = b'--b\\r\\nContent-Disposition: form-data; name="f"; filename="a"\\r\\n\\r\\n12'
form += b"\\r\\n--b--\\r\\n"
kind = {"Content-Type": "multipart/form-data; boundary=b"}
assert read(server.url("/upload"), form, **kind) == "2 bytes"
call = {"Content-Type": "application/json"}
assert read(server.url("/api"), b'["shots.double", [4], {}]', **call) == "8"
server.requestShutdown()

environ = {}
setup_testing_defaults(environ)
environ["HTTP_HOST"] = "localhost"
statuses = []
body = server.wsgiApp()(environ, lambda status, fields: statuses.append(status))
assert (statuses, b"".join(body)) == (["200 OK"], b"hello")

assert set(records) >= {"hwebserver.server", "hwebserver.app"}, records
assert all(name.startswith("hwebserver.") or name == "asyncio" for name in records), records
loggers = set(logging.root.manager.loggerDict)
print([name for name in loggers if "someapp" in name])
print([name for name in sys.modules if name.startswith("hwebserver")])
"""


@pytest.fixture(scope="module")
def vendored(tmp_path_factory):
    """A folder with a package that has ours inside, and another module of our name beside it."""
    folder = tmp_path_factory.mktemp("vendored")
    inner = folder / "someapp" / "_vendor" / "hws"
    shutil.copytree(PACKAGE, inner, ignore=shutil.ignore_patterns("__pycache__"))
    for package in (inner.parent, inner.parent.parent):
        (package / "__init__.py").write_text("")
    (folder / "hwebserver.py").write_text('NAME = "another module"\n')
    return folder


def test_everything_works_under_another_name_beside_another_module_of_ours(vendored):
    code = f"import sys; sys.path.insert(0, {str(vendored)!r})\n{EVERYTHING}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "['hwebserver']"]


def test_the_command_line_calls_itself_by_its_own_name(vendored):
    done = subprocess.run(
        [sys.executable, "-m", "someapp._vendor.hws", "--help"],
        cwd=vendored, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m someapp._vendor.hws ")


def test_the_command_line_serves_and_restarts_what_uses_it(vendored, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    helper = tmp_path / "helper.py"
    helper.write_text("ANSWER = 'old'\n")
    arguments = ["-m", "someapp._vendor.hws", "app.py", "--port", "0", "--reload"]
    with program(arguments, tmp_path, PYTHONPATH=str(vendored)) as server:
        server.wait_for_start()
        wait_until(lambda: server.get("/").text == "old")
        (tmp_path / "helper.new").write_text("ANSWER = 'entirely new'\n")
        os.replace(tmp_path / "helper.new", helper)
        server.wait_for_line("helper.py changed")
        server.wait_for_start()
        assert server.get("/").text == "entirely new"
        server.get("/stop")
        assert server.wait() == 0
        assert "Traceback" not in server.output


IN_AN_ARCHIVE = """
import os, sys
import hwebserver

hwebserver.registerArchiveFile(sys.argv[0], "/self")
hwebserver.registerStaticFilesDirectory(os.getcwd(), "/files")

@hwebserver.urlHandler("/fail")
def fail(request):
    raise ValueError("in an archive")

@hwebserver.urlHandler("/stop")
def stop(request):
    request.requestServerShutdown()

@hwebserver.urlHandler("/form", methods=["POST"])
def form(request):
    return request.POST()

hwebserver.run(0, debug=True)
"""


def test_an_archive_of_an_application_runs(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / "hwebserver", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "__main__.py").write_text(IN_AN_ARCHIVE)
    (source / "index.html").write_text("inside")
    archive = tmp_path / "app.pyz"
    zipapp.create_archive(source, archive)
    (tmp_path / "beside.txt").write_text("beside")
    # Nothing of the package is to be found but in there.
    with program(["-I", str(archive)], tmp_path) as server:
        server.wait_for_start()
        assert server.get("/self/index.html").text == "inside"
        assert server.get("/files/beside.txt").text == "beside"
        page = server.get("/fail").text
        assert "raise ValueError(&quot;in an archive&quot;)</span>" in page
        assert "app.pyz" in page
        assert server.get("/form", "POST", "a=b").text == '{"a": "b"}'
        server.get("/stop")
        assert server.wait() == 0
    shown = server.output.replace("ValueError: in an archive", "")
    assert shown.count("Traceback") == 1  # that of the failure


def texts(file: Path) -> list[str]:
    """The texts in a file that are no documentation."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    bodies = [node.body for node in ast.walk(tree) if hasattr(node, "body")]
    firsts = [body[0].value for body in bodies if isinstance(body, list) and body
              and isinstance(body[0], ast.Expr)]  # fmt: skip
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in firsts
    ]


NAMES = [file.relative_to(PACKAGE).as_posix() for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_text_in_the_package_takes_it_for_a_module_of_that_name(file):
    named = [text for text in texts(file) if "hwebserver" in text]
    assert [text for text in named if NO_MODULE.match(text) is None] == []
