"""Modules that are imported again in a process that lives on, and what they have registered."""

from __future__ import annotations

import importlib
import itertools
import os
import py_compile
import queue
import sys
import threading
import types

import pytest
from support import PATIENCE, connect, fetch, receive_response, running, wait_until
from wsclient import text as message
from wsclient import websocket

import hwebserver
from hwebserver import reimport, reloader
from hwebserver.web.tables import Renewal

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = "from the_host import server\n"

_stamps = itertools.count(1)


class Project:
    """Modules of a program that lives in this process, whose server is ``the_host.server``."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        """Write a module as editors do."""
        path = self.folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
        return str(path)

    def load(self, name, text=None):
        """Import a module."""
        if text is not None:
            self.write(name, text)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def change(self, *names, **texts):
        """Give modules another text and import them again; return what is wrong."""
        paths = [self.write(name, text) for name, text in texts.items()]
        paths += [str(self.folder / name) for name in names]
        return reimport.reimport({path: (next(_stamps), 0) for path in paths}, Renewal())


@pytest.fixture
def project(tmp_path, monkeypatch, server):
    host = types.ModuleType("the_host")
    host.server = server
    known = set(sys.modules)
    monkeypatch.setitem(sys.modules, "the_host", host)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    yield Project(tmp_path)
    for name in set(sys.modules) - known - {"the_host"}:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


HANDLER = HEAD + "@server.urlHandler('/')\ndef index(request):\n    return {!r}\n"


# --- what answers ---


def test_the_new_code_answers_on_the_connections_that_are_open(project, server):
    app = project.load("app", HANDLER.format("old"))
    with running(server), connect(server) as sock:
        sock.sendall(GET)
        assert receive_response(sock).text == "old"
        assert project.change(app=HANDLER.format("new")) is None
        sock.sendall(GET)
        assert receive_response(sock).text == "new"
    assert sys.modules["app"] is app


EVERYTHING = """
import hwebserver
from the_host import server

@server.urlHandler("/{0}/handler/{{name}}", methods=["PUT", "GET"])
def handle(request, name):
    return name

@server.apiFunction("{0}")
def call(request):
    return "{0}"

@server.requestFilter("/{0}/guarded")
def guard(request):
    return hwebserver.Response("guarded", 403)

def mounted(environ, start_response):
    start_response("200 OK", [])
    return [b"{0}"]

async def application(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError
    await send({{"type": "http.response.start", "status": 200}})
    await send({{"type": "http.response.body", "body": b"{0}"}})

class Handler(hwebserver.URLHandler):
    def handle(self, request):
        return "{0}"

class Socket(hwebserver.WebSocket):
    pass

server.registerWSGIApp(mounted, "/{0}/wsgi")
server.registerASGIApp(application, "/{0}/asgi")
server.registerStaticFilesDirectory({1!r}, "/{0}/files")
server.insertHandlerForPort(Handler("/{0}/object"))
server.insertWebSocketForPort(Socket, "/{0}/socket")
"""


def all_answers(server, name):
    paths = ("handler/x", "guarded", "wsgi", "asgi", "files/page.txt", "object", "socket")
    found = {path: fetch(server, f"/{name}/{path}").status for path in paths}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    call = fetch(server, "/api", "POST", f"cmd_function={name}.call", form)
    return {**found, "api": call.status}


HERE = {
    "handler/x": 200, "guarded": 403, "wsgi": 200, "asgi": 200, "files/page.txt": 200,
    "object": 200, "socket": 426, "api": 200,
}  # fmt: skip
GONE = {**dict.fromkeys(HERE, 404), "api": 422}


def test_what_a_module_registers_no_more_is_gone_and_what_others_registered_stays(project, server):
    (project.folder / "page.txt").write_text("page", encoding="utf-8")
    project.load("app", EVERYTHING.format("one", str(project.folder)))
    project.load("other", EVERYTHING.format("other", str(project.folder)))
    with running(server):
        assert all_answers(server, "one") == HERE
        assert project.change(app=EVERYTHING.format("two", str(project.folder))) is None
        assert all_answers(server, "one") == GONE
        assert all_answers(server, "two") == HERE
        assert all_answers(server, "other") == HERE
        assert project.change(app="") is None
        assert all_answers(server, "two") == GONE
        assert all_answers(server, "other") == HERE


def test_what_another_module_registered_for_the_same_path_comes_back(project, server):
    api = "@server.apiFunction\ndef call(request):\n    return {!r}\n"
    guard = "from guards import guard\nserver.requestFilter('/guarded')(guard)\n"
    forbid = "return hwebserver.Response('', 403)"
    project.load("guards", f"import hwebserver\ndef guard(request):\n    {forbid}\n")
    for name in ("under", "app"):
        project.load(name, HANDLER.format(name) + api.format(name) + guard)
    with running(server):
        assert fetch(server).text == "app"
        assert project.change(app="") is None
        assert fetch(server).text == "under"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert fetch(server, "/api", "POST", "cmd_function=call", form).text == '"under"'
        assert fetch(server, "/guarded").status == 403


def test_a_filter_that_two_modules_register_is_there_as_long_as_one_does(project, server):
    guard = HEAD + "from guards import guard\nserver.requestFilter('/')(guard)\n"
    project.load("guards", "asked = []\ndef guard(request):\n    asked.append(1)\n")
    for name in ("first", "second"):
        project.load(name, guard)
    with running(server):
        for name in ("none", "first", "second"):
            sys.modules["guards"].asked.clear()
            assert project.change(**{name: "x = 1"}) is None
            fetch(server)
            assert len(sys.modules["guards"].asked) == (name != "second")


def test_of_two_that_answer_alike_the_later_one_still_wins(project, server):
    two = (
        HEAD + "server.urlHandler('/{a}')(lambda request, a: 'a')\n"
        "server.urlHandler('/{b}')(lambda request, b: 'b')\n"
        "server.registerStaticFilesDirectory('one', '/f')\n"
        "server.registerStaticFilesDirectory('two', '/f')\n"
    )
    project.load("app", two)
    project.load("other", "")
    before = [match.route.target for match in find(server, "/f/x")]
    with running(server):
        assert fetch(server, "/x").text == "b"
        assert project.change(other="x = 1") is None
        assert fetch(server, "/x").text == "b"
        assert [match.route.target for match in find(server, "/f/x")] == before
        assert project.change(app=two) is None
        assert fetch(server, "/x").text == "b"
        assert len(find(server, "/f/x")) == len(before)


def find(server, path):
    return server._registry.tables.router.find(path, frozenset(("main",)))


def test_what_a_function_of_another_module_registers_belongs_to_the_caller(project, server):
    project.load(
        "helper", HEAD + "def add(path):\n    server.urlHandler(path)(lambda request: path)\n"
    )
    project.load("app", "import helper\nhelper.add('/one')\n")
    with running(server):
        assert fetch(server, "/one").text == "/one"
        assert project.change(app="import helper\nhelper.add('/two')\n") is None
        assert (fetch(server, "/one").status, fetch(server, "/two").text) == (404, "/two")


LATER = """
import hwebserver
from the_host import server

def index(request):
    return {0!r}

def call(request):
    return {0!r}

def mounted(environ, start_response):
    start_response("200 OK", [])
    return [{0!r}.encode()]

class Socket(hwebserver.WebSocket):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send({0!r})

class Pages:
    @staticmethod
    def page(request):
        return {0!r}

def guard(request):
    return hwebserver.Response({0!r})

def start():
    server.urlHandler("/")(index)
    server.urlHandler("/page")(Pages.page)
    server.urlHandler("/lambda")(lambda request: {0!r})
    server.registerAPIFunction(call)
    server.registerWSGIApp(mounted, "/wsgi")
    server.webSocket("/socket")(Socket)
    server.requestFilter("/guarded")(guard)
"""


def later_answers(server):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    found = {fetch(server, "/api", "POST", "cmd_function=call", form).text.strip('"')}
    found |= {fetch(server, path).text for path in ("/", "/page", "/wsgi", "/guarded")}
    with websocket(server, "/socket") as client:
        client.send(message("?"))
        return found | {client.message()}


def test_what_a_host_had_registered_by_a_call_leads_to_the_new_functions(project, server):
    project.load("tool", LATER.format("old")).start()
    with running(server):
        assert later_answers(server) == {"old"}
        assert project.change(tool=LATER.format("new")) is None
        assert later_answers(server) == {"new"}
        assert fetch(server, "/lambda").text == "old"  # it has no name to be found by


def test_an_open_websocket_keeps_its_class(project, server):
    text = HEAD + LATER.format("{0}").split("class Pages")[0].replace("'{0}'", "{0!r}")
    text += "\nserver.webSocket('/socket')(Socket)\n"
    project.load("tool", text.format("old"))
    with running(server), websocket(server, "/socket") as before:
        assert project.change(tool=text.format("new")) is None
        with websocket(server, "/socket") as after:
            for client, answer in ((before, "old"), (after, "new")):
                client.send(message("?"))
                assert client.message() == answer


def test_no_request_meets_anything_but_old_or_new_and_nothing_grows(project, server):
    text = HANDLER + "@server.requestFilter('/')\ndef guard(request):\n    pass\n"
    project.load("app", text.format("0"))
    heard, over = set(), threading.Event()

    def visit():
        with connect(server) as sock:
            while not over.is_set():
                sock.sendall(GET)
                answer = receive_response(sock)
                heard.add((answer.status, answer.text.isdecimal()))

    with running(server, max_num_threads=1):
        visitor = threading.Thread(target=visit, name="visitor")
        visitor.start()
        try:
            wait_until(lambda: heard)
            before = count_things(server)
            for number in range(1, 21):
                assert project.change(app=text.format(str(number))) is None
                assert fetch(server).text == str(number)
            wait_until(lambda: count_things(server) == before)
        finally:
            over.set()
            visitor.join(PATIENCE)
    assert heard == {(200, True)}


def count_things(server):
    tables = server._registry.tables
    open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return len(list(tables.router)), len(list(tables.filters)), threading.active_count(), open_files


# --- which modules ---

NOTE = "import the_host\nvars(the_host).setdefault('order', []).append(__name__)\n"


def order():
    return vars(sys.modules["the_host"]).pop("order", [])


def test_importers_are_imported_again_behind_what_they_import(project):
    project.load("base", NOTE)
    project.load("stranger", NOTE + "base = None\n")
    project.load("lazy", NOTE + "def later():\n    import base\n    return base\n").later()
    project.load("package.inner", NOTE)
    project.load("package.user", NOTE + "if True:\n    from . import inner\n    import base\n")
    project.load("above", NOTE + "from package.user import inner\n")
    project.load("app", NOTE + "import package.user as user, above\n")
    order()
    assert project.change(base=NOTE) is None
    assert order() == ["base", "package.user", "above", "app"]
    assert project.change(**{"package.inner": NOTE}) is None
    assert order() == ["package.inner", "package.user", "above", "app"]
    assert project.change(app=NOTE) is None
    assert order() == ["app"]


def test_what_was_loaded_first_comes_last_if_it_imports_the_other_now(project):
    project.load("app", NOTE)
    project.load("base", NOTE)
    order()
    assert project.change(base=NOTE, app=NOTE + "import base\n") is None
    assert order() == ["base", "app"]


def test_modules_that_import_each_other_are_imported_again_once(project):
    project.write("one", NOTE + "import two\n")
    project.write("two", NOTE + "import one\n")
    project.load("one")
    order()
    assert project.change(two=NOTE + "import one\n") is None
    assert sorted(order()) == ["one", "two"]


def test_a_value_that_was_imported_by_its_name_is_the_new_one(project, server):
    project.load("base", "ANSWER = 'old'\n")
    text = HEAD + "from base import ANSWER\nserver.urlHandler('/')(lambda request: ANSWER)\n"
    project.load("app", text)
    with running(server):
        assert fetch(server).text == "old"
        assert project.change(base="ANSWER = 'new'\n") is None
        assert fetch(server).text == "new"


def test_a_module_with_two_names_is_imported_again_once(project, monkeypatch):
    module = project.load("app", NOTE)
    monkeypatch.setitem(sys.modules, "another_name_of_app", module)
    order()
    assert project.change(app=NOTE) is None
    assert order() == ["app"]


def test_a_compiled_module_without_a_source_is_imported_again(project):
    def compiled(text):
        path = project.write("source", text)
        py_compile.compile(path, str(project.folder / "app.pyc"), doraise=True)

    compiled("ANSWER = 1\n")
    app = project.load("app")
    compiled("ANSWER = 22\n")
    assert project.change("app.pyc") is None
    assert app.ANSWER == 22


def test_our_own_imports_of_the_future_do_not_hold_for_it(project):
    app = project.load("app", "")
    project.change(app="def f(a: int): pass\n")
    assert app.f.__annotations__ == {"a": int} or sys.version_info >= (3, 14)


@pytest.mark.parametrize("name", ["script", "server", "unfinished"])
def test_what_cannot_be_imported_again_is_logged_and_left_alone(project, monkeypatch, caplog, name):
    module = project.load("app", NOTE)
    path = module.__file__
    if name == "script":
        monkeypatch.setitem(sys.modules, "__main__", module)
        del sys.modules["app"]
    elif name == "server":
        path = reloader.__file__
    else:
        monkeypatch.setattr(module.__spec__, "_initializing", True, raising=False)
    order()
    assert reimport.reimport({path: (next(_stamps), 0)}, Renewal()) is None
    assert order() == []
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hwebserver.reload", "WARNING")
    assert "start the program again" in record.getMessage()


def test_a_file_beside_concerns_the_modules_that_have_registered_something(project, server):
    text = HEAD + "import pathlib\npage = pathlib.Path(__file__ + '.txt').read_text()\n"
    text += "server.urlHandler('/')(lambda request: page)\n"
    page = project.folder / "app.py.txt"
    page.write_text("old", encoding="utf-8")
    project.load("app", text)
    project.load("stranger", NOTE)
    order()
    with running(server):
        page.write_text("new", encoding="utf-8")
        assert project.change("app.py.txt") is None
        assert fetch(server).text == "new"
    assert order() == []


def test_servers_that_see_the_same_change_import_once(project):
    path = project.load("app", NOTE).__file__
    order()
    stamp = (next(_stamps), 0)
    for _ in range(2):
        assert reimport.reimport({path: stamp}, Renewal()) is None
    assert order() == ["app"]


# --- what fails ---


@pytest.mark.parametrize(
    "wrong",
    ["raise ValueError('no')", "import sys\nsys.exit()", "1 +", "server.urlHandler('/{')(len)"],
)
def test_when_one_fails_all_is_as_it_was_before(project, server, caplog, wrong):
    project.load("base", "ANSWER = 1\n")
    app = project.load("app", HANDLER.format("old") + "import base\nstate = [base.ANSWER]\n")
    state = app.state
    with running(server):
        base = "ANSWER = 2\nADDED = 1\n"
        new = HEAD + "import base\nstate = None\nmore = 1\nserver.urlHandler('/new')(len)\n"
        failure = project.change(base=base, app=new + wrong)
        assert "app.py" in failure
        assert fetch(server).text == "old"
        assert fetch(server, "/new").status == 404
        assert app.state is state
        assert not hasattr(app, "more")
        assert (app.base.ANSWER, hasattr(app.base, "ADDED")) == (1, False)
        assert [one.levelname for one in caplog.records if one.name.endswith("reload")] == ["ERROR"]
        assert project.change(base=base, app=HANDLER.format("new")) is None
        assert fetch(server).text == "new"
        # Other threads register as ever, and so does this one.
        server.urlHandler("/later")(lambda request: "later")
        assert fetch(server, "/later").text == "later"


def test_a_class_that_can_be_no_websocket_any_more_changes_nothing(project, server):
    text = "import hwebserver\nclass Socket(hwebserver.WebSocket):\n    def connect(self{}): pass\n"
    tool = project.load("tool", text.format(", req"))
    server.webSocket("/socket")(tool.Socket)
    old = tool.Socket
    assert "takes the request" in project.change(tool=text.format(", a, b"))
    assert tool.Socket is old


# --- what runs a server itself ---

RUNS = """
import hwebserver
server = hwebserver.Server("tool")
second = hwebserver.Server("tool")

@server.urlHandler("/")
def index(request):
    return {0!r} + str(server.port())

server.run(0, in_background=True, debug=True, reload_source_changes={1})
second.urlHandler("/")(lambda request: {0!r} + "2")
second.run(0, in_background=True, reload_source_changes=False)
ADDRESS = server.url()
"""


def test_a_module_that_runs_its_own_servers_keeps_them(project):
    app = project.load("app", RUNS.format("old", False))
    one, two = app.server, app.second
    try:
        text = fetch(one).text
        assert project.change(app=RUNS.format("new", False)) is None
        assert fetch(one).text == text.replace("old", "new")
        assert fetch(two).text == "new2"
        assert (app.server, app.second) == (one, two)
        more = "third = hwebserver.Server('tool')\nhwebserver.Server('x').run(0)\n"
        assert project.change(app=RUNS.format("new", False) + more) is None
        assert app.third not in (one, two)
    finally:
        one.requestShutdown()
        two.requestShutdown()
    wait_until(lambda: not (one.isRunning() or two.isRunning()))
    assert hwebserver.Server("tool") is not one


# --- all of it ---


def test_a_server_in_the_background_sees_changes_and_shows_what_is_wrong(project, caplog):
    fast = "server.setSettingsForPort({{'RELOAD_INTERVAL': 0.01}})\n@server.url"
    text = RUNS.replace("@server.url", fast, 1)
    app = project.load("app", text.format("old", True))
    server, number = app.server, app.server.port()
    page = "/__reload__"
    try:
        project.write("app", text.format("newer", True))
        wait_until(lambda: fetch(server).text == f"newer{number}")
        assert fetch(server, page).status == 200
        project.write("app", text.format("broken", True) + "raise ValueError('<no>')\n")
        wait_until(lambda: fetch(server, page).status == 503)
        assert "&lt;no&gt;" in fetch(server, page).text
        answer = fetch(server, page, headers={"Accept": "application/json"})
        assert (answer.status, "<no>" in answer.text) == (503, True)
        assert fetch(server, page, headers={"X-Forwarded-For": "192.0.2.1"}).status == 404
        assert fetch(server).text == f"newer{number}"
        project.write("app", text.format("broken", True) + "half (\n")
        wait_until(lambda: "does not compile" in caplog.text)
        wait_until(lambda: "ValueError" not in fetch(server, page).text)
        assert fetch(server, page).status == 503
        assert fetch(server).text == f"newer{number}"
        project.write("app", text.format("newest", True))
        wait_until(lambda: fetch(server, page).status == 200)
        assert fetch(server).text == f"newest{number}"
    finally:
        server.requestShutdown()
        app.second.requestShutdown()
    wait_until(lambda: not (server.isRunning() or app.second.isRunning()))


def test_a_run_in_another_thread_imports_again_and_ends(project, server):
    project.load("app", HANDLER.format("old"))
    server.setSettingsForPort({"RELOAD_INTERVAL": 0.01})
    arguments = {"in_background": False, "reload_source_changes": True}
    thread = threading.Thread(target=lambda: server.run(0, **arguments), name="host")
    thread.start()
    wait_until(server.isRunning)
    wait_until(lambda: [t for t in threading.enumerate() if t.name == "hwebserver-reload"])
    project.write("app", HANDLER.format("another"))
    wait_until(lambda: fetch(server).text == "another")
    assert fetch(server, "/__reload__").status == 404  # It is not in debug mode.
    server.requestShutdown()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_path_of_the_programs_own_is_not_taken(server):
    server.urlHandler("/__reload__")(lambda request: "mine")
    with running(server, debug=True, reload_source_changes=True):
        assert fetch(server, "/__reload__").text == "mine"


def test_who_watches_nothing_has_no_page(server):
    with running(server, debug=True, reload_source_changes=True):
        assert fetch(server, "/__reload__").status == 200
    for debug in (True, False):
        with running(server, debug=debug, reload_source_changes=not debug):
            assert fetch(server, "/__reload__").status == 404


def test_in_a_host_modules_are_imported_on_its_main_thread(project, server):
    text = HEAD + "import threading\nserver.thread = threading.current_thread()\n"
    project.load("app", text)
    path = project.write("app", text + "changed = True\n")
    turns = queue.Queue()
    hwebserver.setMainThreadAdapter(turns.put)
    try:
        reloading = threading.Thread(
            target=server._import_again, args=({path: (next(_stamps), 0)},), daemon=True
        )
        server.thread = None
        reloading.start()
        while server.thread is None:
            turns.get(timeout=PATIENCE)()
        reloading.join(PATIENCE)
    finally:
        hwebserver.setMainThreadAdapter(None)
    assert server.thread is threading.main_thread()
    assert sys.modules["app"].changed
