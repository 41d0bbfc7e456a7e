"""Who imports whom: the walls of the house, read from the source of every file."""

from __future__ import annotations

import ast
import pkgutil
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
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

#: All of the standard library that ``import hwebserver`` needs, and what these need themselves.
LIGHT = (
    "__future__", "abc", "atexit", "collections.abc", "contextlib", "enum", "functools", "io",
    "logging", "os", "re", "stat", "string", "sys", "threading", "time", "types", "typing",
    "warnings", "weakref",
)  # fmt: skip

#: What a server needs of it beside that when it runs.
RUNNING_LIGHT = ("resource", "selectors", "socket", "socketserver")

#: All of its own that the package imports when it is imported. What is not needed to register a
#: handler and to name the classes waits until a server runs, or until it is registered or used.
FACE = {
    "configuration", "enums", "errors", "exchange", "option", "registration", "server", "settings",
    "hosts", "hosts.call", "hosts.dispatcher", "hosts.graphical", "hosts.mainthread",
    "protocol", "protocol.headers", "protocol.paths", "protocol.response", "protocol.tokens",
    "web", "web.api", "web.events", "web.files", "web.filters", "web.handlers", "web.onmain",
    "web.pages", "web.request", "web.requestid", "web.response", "web.routing", "web.tables",
    "web.temporary", "web.uploads", "web.websocket",
}  # fmt: skip

#: All that a server of plain handlers imports beside that until it has answered a request.
RUNNING = {
    "hosts.adapters", "journal", "ports", "tally",
    "net", "net.awaited", "net.byhand", "net.clock", "net.connection", "net.delivery",
    "net.endpoint", "net.intake", "net.listener", "net.loop", "net.outbox", "net.poller",
    "net.pool", "net.sockets", "net.stream", "net.transport", "net.watch", "net.watchdog",
    "protocol.chunked", "protocol.dates", "protocol.formlimits", "protocol.grammar",
    "protocol.http1", "protocol.target",
    "web.access", "web.application", "web.extra", "web.hostnames", "web.lifespan", "web.log",
    "web.logfiles", "web.mounts", "web.origins",
}  # fmt: skip


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


def loaded(code: str, known: tuple[str, ...] = ()) -> tuple[set[str], set[str]]:
    """Return what a program imports of the package, and of all else that ``known`` does not."""
    first = "".join(f"import {name}\n" for name in known)
    code = f"{first}before = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    names = set(python(code, PACKAGE.parent).split()) - {PACKAGE.name}
    own = {name for name in names if name.startswith(f"{PACKAGE.name}.")}
    return {name.partition(".")[2] for name in own}, names - own


#: A server that answers one request.
ANSWERS = """
import hwebserver, socket

@hwebserver.urlHandler("/hello")
def hello(request):
    return "Hello, world!"

hwebserver.run(0, in_background=True)
client = socket.socket()
client.settimeout(20)
client.connect(("127.0.0.1", hwebserver.port()))
client.sendall(b"GET /hello HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
answer = b"".join(iter(lambda: client.recv(4096), b""))
client.close()
assert answer.endswith(b"Hello, world!"), answer
hwebserver.requestShutdown()
"""


def test_importing_the_package_stays_light():
    own, others = loaded("import hwebserver")
    assert "server" in own
    assert others & HEAVY == set()


def test_importing_the_package_loads_nothing_else_of_the_standard_library():
    _, others = loaded("import hwebserver", LIGHT)
    assert others == set()


def test_importing_the_package_loads_little_of_itself():
    own, _ = loaded("import hwebserver")
    assert own - FACE == set()


def test_the_first_answer_needs_little_of_the_standard_library():
    known = (*LIGHT, *(name for name in RUNNING_LIGHT if find_spec(name)))
    _, others = loaded(ANSWERS, known)
    assert others == set()


def test_the_first_answer_needs_nothing_that_it_does_not_use():
    own, _ = loaded(ANSWERS)
    assert "net.connection" in own
    assert own - FACE - RUNNING == set()


def test_what_is_registered_or_set_is_imported_when_the_server_runs():
    code = """
import hwebserver
hwebserver.webSocket("/socket")(type("Socket", (hwebserver.WebSocket,), {}))
hwebserver.registerStaticFilesDirectory(".", "/files")
hwebserver.setSettingsForPort({"PROXY_PROTOCOL": True})
hwebserver.run(0, in_background=True)
hwebserver.requestShutdown()
"""
    own, _ = loaded(code)
    assert own >= {"net.websocket", "protocol.proxy", "web.content"}


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
