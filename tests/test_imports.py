"""Who imports whom: the walls of the house, read from the source of every file."""

from __future__ import annotations

import ast
import pkgutil
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "hwebserver"
FILES = sorted(PACKAGE.rglob("*.py"))

#: A room is a folder or a module at the top. What each may import beside itself; the face of the
#: package, the command line and the helpers for tests may import everything but one another.
LEAVES = {"errors", "settings", "enums", "option"}
MAY_IMPORT = {
    "errors": set(),
    "enums": set(),
    "option": {"errors"},
    "settings": {"errors", "option"},
    "configuration": {"settings"},
    "overview": LEAVES | {"ports"},
    "protocol": LEAVES,
    "exchange": LEAVES | {"protocol"},
    "journal": {"exchange"},
    "tally": set(),
    "net": LEAVES | {"protocol", "exchange", "journal", "tally"},
    "web": LEAVES | {"protocol", "exchange", "journal"},
    "hosts": LEAVES,
    "sources": set(),
    "reloader": LEAVES | {"sources"},
    "reimport": {"sources"},
    "ports": LEAVES | {"protocol", "exchange", "journal", "net"},
    "registration": LEAVES | {"protocol", "exchange", "web"},
    "outside": LEAVES | {"protocol", "exchange", "net", "web", "ports"},
    "server": LEAVES
    | {"protocol", "exchange", "net", "web", "ports", "hosts", "registration", "reloader"}
    | {"outside", "configuration", "overview", "tally", "sources", "reimport"},
    "webapiclient": LEAVES,
}
OUTSIDE = {"cli", "testing", "webapiclient", "__main__"}

HEAVY = {
    "asyncio", "ssl", "zlib", "zipfile", "mimetypes", "json", "email", "email.utils", "http.server",
    "inspect", "tempfile", "concurrent.futures", "multiprocessing", "ctypes", "unittest",
    "logging.handlers", "urllib.parse", "signal",
}  # fmt: skip

#: What a server that runs needs only when something asks for it.
NOT_AT_ONCE = (HEAVY - {"signal"}) | {
    f"{PACKAGE.name}.{name}"
    for name in ("net.websocket", "net.eager", "net.tls", "protocol.conditional",
                 "protocol.cookies", "protocol.frames", "protocol.multipart", "protocol.proxy",
                 "protocol.websocket", "web.compress", "web.content", "web.pieces", "web.static")
}  # fmt: skip


#: All of the standard library that ``import hwebserver`` needs, and what these need themselves.
LIGHT = (
    "__future__", "abc", "atexit", "collections.abc", "contextlib", "copy", "enum", "functools",
    "http", "io", "logging", "os", "re", "signal", "stat", "string", "sys", "threading", "time",
    "types", "typing", "urllib.parse", "warnings", "weakref",
)  # fmt: skip

#: What waits until a server runs, or until it is registered.
LATER = {"net", "ports", "outside", "reloader", "cli"}
LATER_IN_WEB = {"access", "application", "archive", "asgi", "asgi_out", "debugpage", "failure",
                "log", "logfiles", "opdef", "static", "wsgi", "wsgi_out"}  # fmt: skip


def standard_modules() -> frozenset[str]:
    """The names of the standard library's modules, those of other systems included."""
    known = getattr(sys, "stdlib_module_names", None)
    if known is not None:
        return frozenset(known)
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    found = {one.name for one in pkgutil.iter_modules([str(stdlib), str(stdlib / "lib-dynload")])}
    others = {"msvcrt", "winreg", "_winapi", "resource", "fcntl", "pwd", "grp", "__future__"}
    return frozenset(found | others | set(sys.builtin_module_names))


def room(file: Path) -> str:
    """The room that a file belongs to."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def is_module(parts: tuple[str, ...]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def targets(file: Path, node: ast.ImportFrom) -> list[tuple[str, ...]]:
    """What a relative import means, from the top of the package; () is the package itself."""
    around = file.relative_to(PACKAGE).parts[:-1]
    assert node.level <= len(around) + 1, f"{file.name} imports from outside the package"
    base = around[: len(around) - node.level + 1]
    base += tuple((node.module or "").split(".")) if node.module else ()
    found = []
    for alias in node.names:
        inner = (*base, alias.name)
        found.append(inner if is_module(inner) else base)
    return found


def imports(file: Path) -> tuple[set[tuple[str, ...]], set[str]]:
    """The modules of the package, and the others, that a file imports anywhere in it."""
    own: set[tuple[str, ...]] = set()
    others: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            own.update(targets(file, node))
        elif isinstance(node, ast.ImportFrom):
            others.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Import):
            others.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Call):
            others.update(named_in_call(node))
    return own, others


def named_in_call(node: ast.Call) -> set[str]:
    """The module that ``__import__`` or ``import_module`` is called with, where it is a text."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name not in ("__import__", "import_module") or not node.args:
        return set()
    first = node.args[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return {first.value.partition(".")[0]}
    return set()


def names(files: list[Path]) -> list[str]:
    return [file.relative_to(PACKAGE).as_posix() for file in files]


def test_the_package_is_where_this_test_looks_for_it():
    assert "server.py" in names(FILES)
    assert "protocol/http1.py" in names(FILES)


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_imports_run_one_way(file):
    own, _ = imports(file)
    here = room(file)
    reached = {target[0] if target else "__init__" for target in own} - {here}
    if here == "__init__":
        assert not reached & OUTSIDE
    elif here == "__main__":
        assert reached <= {"cli"}
    elif here in ("cli", "testing"):
        assert not reached & (OUTSIDE - {here})
    else:
        assert here in MAY_IMPORT, f"the room {here} is in no plan: add it to this test"
        assert reached <= MAY_IMPORT[here]


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_nothing_but_the_standard_library_is_imported(file):
    _, others = imports(file)
    assert others - {PACKAGE.name} <= standard_modules()


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_the_package_never_imports_itself_by_its_name(file):
    _, others = imports(file)
    assert PACKAGE.name not in others


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_every_file_says_what_it_is_for(file):
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_the_protocol_knows_no_socket_thread_file_or_clock():
    forbidden = {"socket", "threading", "selectors", "select", "time", "logging", "os", "io",
                 "datetime", "pathlib", "tempfile", "asyncio", "ssl", "subprocess"}  # fmt: skip
    for file in FILES:
        if room(file) == "protocol":
            _, others = imports(file)
            if file.name == "dates.py":
                others.discard("time")  # It takes times apart, and reads no clock.
            assert not others & forbidden, file.name


def test_what_a_handler_sees_makes_no_socket_calls():
    for file in FILES:
        if room(file) == "web":
            _, others = imports(file)
            assert not others & {"socket", "selectors", "select", "socketserver"}, file.name


def python(code: str, path: Path) -> str:
    """Run a program in a fresh interpreter without site packages, and return what it prints."""
    program = f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_stays_light():
    code = "before = set(sys.modules)\nimport hwebserver\nprint(*(set(sys.modules) - before))"
    loaded = set(python(code, PACKAGE.parent).split())
    assert "hwebserver.server" in loaded
    assert loaded & HEAVY == set()
    assert not {name for name in loaded if name.startswith("hwebserver.cli")}
    assert "hwebserver.reloader" not in loaded


def test_importing_the_package_loads_nothing_else_of_the_standard_library():
    code = (
        f"import {', '.join(LIGHT)}\n"
        "before = set(sys.modules)\nimport hwebserver\nprint(*(set(sys.modules) - before))"
    )
    loaded = set(python(code, PACKAGE.parent).split())
    assert {name for name in loaded if name.partition(".")[0] != PACKAGE.name} == set()


def test_importing_the_package_loads_little_of_itself():
    code = "import hwebserver\nprint(*sys.modules)"
    loaded = python(code, PACKAGE.parent).split()
    own = [name.split(".")[1:] for name in loaded if name.startswith(f"{PACKAGE.name}.")]
    assert {parts[0] for parts in own} & LATER == set()
    assert {parts[1] for parts in own if parts[0] == "web" and parts[1:]} & LATER_IN_WEB == set()


def test_the_first_answer_needs_nothing_that_it_does_not_use():
    code = (
        "import socket, sys, threading\nbefore = set(sys.modules)\nimport hwebserver\n"
        "server = hwebserver.Server()\n"
        "server.urlHandler('/')(lambda request: 'hello')\n"
        "server.run(port=0, in_background=True)\n"
        "client = socket.socket()\nclient.connect(('127.0.0.1', server.port()))\n"
        "client.sendall(b'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "answer = client.recv(65536)\nassert answer.startswith(b'HTTP/1.1 200 '), answer\n"
        "print(*(set(sys.modules) - before))\nserver.requestShutdown()\n"
    )
    loaded = set(python(code, PACKAGE.parent).split())
    assert "hwebserver.net.connection" in loaded
    assert loaded & NOT_AT_ONCE == set()


def test_importing_the_package_starts_and_opens_nothing():
    code = (
        "import threading, hwebserver\n"
        "print(threading.active_count(), hwebserver.isRunning(), hwebserver.isInDebugMode())"
    )
    assert python(code, PACKAGE.parent).split() == ["1", "False", "False"]


def test_the_folder_runs_in_another_package_under_another_name(tmp_path):
    inner = tmp_path / "outer" / "web_inside"
    shutil.copytree(PACKAGE, inner, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "outer" / "__init__.py").write_text("")
    code = """
import http.client, os
from outer import web_inside
server = web_inside.Server("inner")
server.urlHandler("/")(lambda request: {"hello": request.path()})
server.registerStaticFilesDirectory(os.path.dirname(web_inside.__file__), "/files")
server.run(0, in_background=True)
try:
    for path in ("/", "/none", "/files/errors.py"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=20)
        connection.request("GET", path)
        print(connection.getresponse().status)
        connection.close()
finally:
    server.requestShutdown()
print([name for name in sys.modules if name.startswith("hwebserver")])
"""
    assert python(code, tmp_path).split() == ["200", "404", "200", "[]"]


def test_every_public_name_is_there():
    import hwebserver

    assert [name for name in hwebserver.__all__ if not hasattr(hwebserver, name)] == []
    assert len(set(hwebserver.__all__)) == len(hwebserver.__all__)
    assert all(part.isdecimal() for part in hwebserver.__version__.split("."))
