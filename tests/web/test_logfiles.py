"""The files that ports are logged to, and that the host's own logging stays as it is."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import logging.config
import os
import re
import subprocess
import sys
import threading

import pytest
from support import connect, fetch, receive_all, receive_response, running, wait_until

import hwebserver
from hwebserver.exchange import ConnectionInfo, Port
from hwebserver.web import logfiles
from hwebserver.web.log import AccessLog

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) (hwebserver\S*(?: \[\w+\])?): (.*)"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "port.log"


@pytest.fixture
def site(server):
    server.urlHandler("/", ports=[-1])(lambda request: "hello")
    server.urlHandler("/fail", ports=[-1])(lambda request: 1 / 0)
    return server


@pytest.fixture(autouse=True)
def logging_is_left_as_it_was():
    """See that a run leaves levels, handlers and files as they were."""

    def state():
        loggers = [logging.getLogger(name) for name in ("hwebserver", "hwebserver.access")]
        return [(one.level, one.handlers[:], one.propagate) for one in loggers]

    before = state()
    yield
    assert state() == before
    assert logfiles._files == {}


def refuse(server, port="main"):
    """Have a request refused, which is logged as a warning."""
    with connect(server, port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receive_all(sock)


def levels(path):
    """Return the levels and loggers of the lines of a file."""
    found = [LINE.fullmatch(line) for line in path.read_text("utf-8").splitlines()]
    return [(one[1], one[2]) for one in found if one]


@pytest.mark.parametrize(
    ("severity", "debug", "expected"),
    [
        (hwebserver.MessageSeverity, False, {"INFO", "WARNING", "ERROR"}),
        (hwebserver.MessageSeverity, True, {"DEBUG", "INFO", "WARNING", "ERROR"}),
        (hwebserver.PromptSeverity, True, {"INFO", "WARNING", "ERROR"}),
        (None, False, {"WARNING", "ERROR"}),
        (hwebserver.AbortSeverity, False, {"ERROR"}),
        (hwebserver.FatalSeverity, False, set()),
    ],
)
def test_a_file_gets_what_is_grave_enough(site, path, severity, debug, expected):
    settings = {"LOG_FILE": str(path)}
    if severity is not None:
        settings["MIN_LOG_SEVERITY"] = severity
    with running(site, settings=settings, debug=debug, reload_source_changes=False):
        refuse(site)
        fetch(site, "/fail")
        logging.getLogger("hwebserver.server").debug("a detail")
    assert {level for level, _ in levels(path)} == expected


def test_a_line_says_what_when_where(site, path):
    with running(site, settings={"LOG_FILE": str(path)}):
        refuse(site)
        wait_until(lambda: levels(path))
    (line,) = path.read_text("utf-8").splitlines()
    found = LINE.fullmatch(line)
    assert found.groups() == (
        "WARNING", "hwebserver.server [main]", "127.0.0.1: 400: The request has no Host field."
    )  # fmt: skip


def test_a_traceback_is_indented_so_that_it_can_forge_no_line(server, path):
    @server.urlHandler("/")
    def fail(request):
        raise ValueError("x\n2026-01-01 00:00:00,000 CRITICAL hwebserver: forged\r\ny\x85z")

    with running(server, settings={"LOG_FILE": str(path)}):
        fetch(server)
        wait_until(lambda: levels(path))
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].endswith(" hwebserver.app [main]: the handler of GET / failed")
    assert all(line.startswith("    ") for line in lines[1:])
    assert any("CRITICAL" in line for line in lines[1:])


def test_text_that_is_no_unicode_is_written_too(site, path):
    with running(site, settings={"LOG_FILE": str(path)}):
        logging.getLogger("hwebserver.server").warning("a\ud800b \u4e16\nc")
    assert "a\\ud800b \u4e16\\nc" in path.read_text("utf-8")


def test_each_port_has_its_own_file(site, tmp_path):
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    settings = {"PORTS": {"main": {"LOG_FILE": str(one)}, "b": {"LOG_FILE": str(two), "PORT": 0}}}
    with running(site, settings=settings, ports=["b"]):
        refuse(site)
        fetch(site, "/fail", port="b")
        logging.getLogger("hwebserver.server").warning("of no single port")
        wait_until(lambda: len(levels(two)) == 2)
    assert levels(one) == [
        ("WARNING", "hwebserver.server [main]"),
        ("WARNING", "hwebserver.server"),
    ]
    assert levels(two) == [("ERROR", "hwebserver.app [b]"), ("WARNING", "hwebserver.server")]


def test_ports_that_name_one_file_share_it_and_no_line_is_there_twice(site, path, tmp_path):
    (tmp_path / "below").mkdir()
    other = tmp_path / "below" / ".." / path.name
    settings = {"LOG_FILE": str(path), "PORTS": {"b": {"LOG_FILE": str(other), "PORT": 0}}}
    with running(site, settings=settings, ports=["b"]):
        assert len(logfiles._files) == 1
        refuse(site)
        refuse(site, "b")
        logging.getLogger("hwebserver.server").warning("of no single port")
        wait_until(lambda: len(levels(path)) == 3)
    names = ["hwebserver.server [main]", "hwebserver.server [b]", "hwebserver.server"]
    assert sorted(levels(path)) == sorted(("WARNING", name) for name in names)


def test_ports_that_share_a_file_keep_their_own_severity(site, path):
    settings = {
        "LOG_FILE": str(path),
        "PORTS": {"b": {"PORT": 0, "MIN_LOG_SEVERITY": hwebserver.AbortSeverity}},
    }
    with running(site, settings=settings, ports=["b"]):
        refuse(site)
        refuse(site, "b")
        fetch(site, "/fail", port="b")
        wait_until(lambda: len(levels(path)) == 2)
    assert sorted(levels(path)) == [
        ("ERROR", "hwebserver.app [b]"), ("WARNING", "hwebserver.server [main]")
    ]  # fmt: skip


def test_two_servers_share_a_file_and_the_first_to_stop_does_not_close_it(path):
    one, two = hwebserver.Server("one"), hwebserver.Server("two")
    settings = {"LOG_FILE": str(path)}
    with running(one, settings=settings):
        with running(two, settings=settings):
            refuse(two)
        refuse(one)
        wait_until(lambda: len(levels(path)) == 2)
    assert len(levels(path)) == 2


@pytest.mark.parametrize("name", ["LOG_FILE", "ACCESS_LOG_FILE"])
@pytest.mark.parametrize("wrong", ["none/a.log", "", "a\0b", "a" * 300])
def test_a_file_that_cannot_be_opened_stops_the_start(site, tmp_path, name, wrong):
    wrong = str(tmp_path / wrong)
    with pytest.raises(hwebserver.OperationFailed) as raised:
        site.run(0, in_background=True, settings={name: wrong})
    message = str(raised.value)
    assert name in message
    assert wrong in message
    assert not site.isRunning()
    with running(site):
        assert fetch(site).text == "hello"


def test_of_several_files_the_one_that_cannot_be_opened_leaves_none_open(site, path, tmp_path):
    wrong = str(tmp_path / ("a" * 300))  # it may be there only when it is opened
    settings = {"LOG_FILE": str(path), "PORTS": {"b": {"PORT": 0, "LOG_FILE": wrong}}}
    with pytest.raises(hwebserver.OperationFailed, match="LOG_FILE of the port 'b'"):
        site.run(0, in_background=True, settings=settings, ports=["b"])
    assert logfiles._files == {}


def test_an_empty_name_is_no_file(site):
    with running(site, settings={"LOG_FILE": "", "ACCESS_LOG_FILE": ""}):
        assert logfiles._files == {}


def test_a_file_is_appended_to(site, path):
    path.write_text("before\n")
    for _ in range(2):
        with running(site, settings={"LOG_FILE": str(path)}):
            refuse(site)
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "before"
    assert len(lines) == 3


@pytest.mark.parametrize("name", ["LOG_FILE", "ACCESS_LOG_FILE"])
def test_a_file_is_rotated_at_its_size(site, path, name):
    settings = {name: str(path), "LOG_FILE_MAX_SIZE": 300, "LOG_FILE_COUNT": 2}
    with running(site, settings=settings):
        for _ in range(20):
            refuse(site)
    files = sorted(one.name for one in path.parent.iterdir())
    assert files == ["port.log", "port.log.1", "port.log.2"]
    assert all(one.stat().st_size <= 300 for one in path.parent.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="no open file can be moved there")
@pytest.mark.parametrize("name", ["LOG_FILE", "ACCESS_LOG_FILE"])
def test_a_file_that_was_moved_away_is_begun_anew(site, path, name):
    moved = path.with_name("moved.log")
    with running(site, settings={name: str(path)}):
        refuse(site)
        wait_until(path.read_text)
        path.rename(moved)
        refuse(site)
        wait_until(path.exists)
    assert len(moved.read_text().splitlines()) == len(path.read_text().splitlines()) == 1


def test_a_flood_is_summed_up_in_the_file_when_the_server_stops(site, path):
    with running(site, settings={"LOG_FILE": str(path)}):
        for _ in range(30):
            refuse(site)
    lines = path.read_text("utf-8").splitlines()
    assert sum("... and " in line for line in lines) == 1
    assert len(lines) == 11


# --- lines of requests ---


def test_lines_of_requests_have_a_file_of_their_own(site, path, caplog):
    settings = {"ACCESS_LOG_FILE": str(path)}
    with running(site, settings=settings):
        fetch(site, "/?a=b")
    (line,) = path.read_text("utf-8").splitlines()
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /\?a=b HTTP/1\.1" 200 5', line)
    assert "GET /" not in caplog.text


def test_the_setting_that_says_no_wins_over_the_file(site, path):
    with running(site, settings={"ACCESS_LOG_FILE": str(path), "ACCESS_LOG": False}):
        fetch(site)
    assert not path.exists()


def test_each_port_has_its_own_lines_in_its_own_form(site, path, caplog):
    ports = {
        "json": {"PORT": 0, "ACCESS_LOG_FILE": str(path), "ACCESS_LOG_FORMAT": "json"},
        "quiet": {"PORT": 0, "ACCESS_LOG": False},
    }
    settings = {"PORTS": ports, "ACCESS_LOG_FORMAT": "combined"}
    with running(site, settings=settings, ports=[-1], verbosity=hwebserver.Medium):
        for port in ("main", "json", "quiet"):
            fetch(site, "/", headers={"User-Agent": port}, port=port)
    lines = [one.getMessage() for one in caplog.records if one.name == "hwebserver.access"]
    assert len(lines) == 1
    assert lines[0].endswith('"GET / HTTP/1.1" 200 5 "-" "main"')
    (line,) = path.read_text("utf-8").splitlines()
    entry = json.loads(line)
    assert (entry["port"], entry["user_agent"], entry["status"]) == ("json", "json", 200)


def test_one_file_can_have_both(site, path):
    settings = {"LOG_FILE": str(path), "ACCESS_LOG_FILE": str(path)}
    with running(site, settings=settings):
        refuse(site)
        fetch(site, "/fail")
    text = path.read_text("utf-8")
    assert len(re.findall(r"^127\.0\.0\.1 - - \[", text, re.MULTILINE)) == 2
    assert len(levels(path)) == 2


def test_lines_of_requests_go_to_the_log_file_when_it_gets_everything(site, path):
    settings = {"LOG_FILE": str(path), "MIN_LOG_SEVERITY": hwebserver.MessageSeverity}
    with running(site, settings=settings, verbosity=hwebserver.Medium):
        fetch(site)
    assert sum('"GET / HTTP/1.1" 200 5' in line for line in path.read_text().splitlines()) == 1


def test_headers_and_timing_stay_out_of_the_file_of_lines(site, path, caplog):
    with running(site, settings={"ACCESS_LOG_FILE": str(path)}, verbosity=hwebserver.High):
        fetch(site, headers={"X-Own": "value"})
    assert "X-Own: value" in caplog.text
    assert len(path.read_text().splitlines()) == 1


# --- lines that wait to be written together ---


def paths(path):
    """Return the targets of the lines of requests that are in a file, and no others there are."""
    return re.findall(r'"GET (\S+) HTTP/1\.1" 200 5', path.read_text("utf-8"))


def pipelined(targets):
    return b"".join(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % one.encode() for one in targets)


def ask_for(server, targets):
    """Send many requests at once, and wait for all of the answers."""
    with connect(server) as sock:
        sock.sendall(pipelined(targets))
        received = b""
        while received.count(b"hello") < len(targets):
            received += sock.recv(65536)


@pytest.fixture
def writes(monkeypatch):
    """What was written to files, a text for each time."""
    found = []

    class Handler(logging.FileHandler):
        def emit(self, record):
            found.append(self.format(record))
            super().emit(record)

    def open_file(path, most, count):
        return Handler(path, "a", "utf-8")

    monkeypatch.setattr(logfiles, "_open_file", open_file)
    return found


def test_lines_are_written_though_no_further_request_comes(site, path):
    with running(site, settings={"ACCESS_LOG_FILE": str(path)}):
        with connect(site) as sock:
            for target in ("/?a", "/?b"):
                sock.sendall(pipelined([target]))
                receive_response(sock)
                wait_until(lambda target=target: paths(path)[-1:] == [target])
        fetch(site, "/?c")
        wait_until(lambda: site.statistics()["connections"] == 0)
        wait_until(lambda: paths(path) == ["/?a", "/?b", "/?c"])


def test_lines_of_many_requests_are_written_together_and_none_is_lost(site, path, writes):
    targets = [f"/?{number}" for number in range(700)]
    with running(site, settings={"ACCESS_LOG_FILE": str(path)}):
        ask_for(site, targets)
    assert paths(path) == targets
    assert len(writes) < 70


def test_no_more_than_so_many_lines_wait(site, path, writes, monkeypatch):
    monkeypatch.setattr(logfiles, "_MOST_WAITING", 10)
    with running(site, settings={"ACCESS_LOG_FILE": str(path)}):
        ask_for(site, [f"/?{number}" for number in range(100)])
    assert max(text.count("\n") + 1 for text in writes) == 10


def test_lines_of_many_threads_keep_the_order_of_each_connection(site, path):
    @site.urlHandler("/slow")
    def slow(request):
        wait_until(lambda: True)
        return "hello"

    with running(site, settings={"ACCESS_LOG_FILE": str(path)}, max_num_threads=8):
        orders = [[f"/slow?{name}{number}" for number in range(50)] for name in "abcdef"]
        threads = [threading.Thread(target=ask_for, args=(site, order)) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = paths(path)
    assert len(found) == 300
    for order in orders:
        assert [one for one in found if one in order] == order


@pytest.fixture
def file(path):
    """A file that no server knows."""
    found = logfiles.LogFile("", logging.FileHandler(path, "a", "utf-8"), 0)
    yield found
    found.end()


def entry(file, moment=1_000_000_000.0):
    """Return what a line is made of."""
    port = Port("main", 8008, frozenset(), False, "127.0.0.1")
    info = ConnectionInfo(("192.0.2.1", 4711), ("127.0.0.1", 8008), port, 5)
    subject = AccessLog("common", put=file.put).subject(info, None)
    return subject, moment, 400, 5, 0.0, ""


def test_who_looks_is_told_once_for_all_lines_that_wait(file, path):
    told = []
    file.lookers = (lambda: told.append(True),)
    for lines in (3, 6):
        for _ in range(3):
            file.put(entry(file))
        assert path.read_text().count("\n") == lines - 3
        file.flush()
        assert path.read_text().count("\n") == lines
    assert len(told) == 2


def test_a_line_is_written_at_once_where_nobody_looks(file, path):
    file.put(entry(file))
    assert path.read_text().count("\n") == 1


def test_a_line_has_the_time_of_its_answer_and_not_of_its_writing(file, path):
    file.lookers = (list,)
    file.put(entry(file, 1_000_000_000.9))
    file.put(entry(file, 1_000_000_001.0))
    file.flush()
    one, two = re.findall(r":(\d\d) [+-]\d{4}\]", path.read_text())
    assert int(two) == (int(one) + 1) % 60


def test_the_log_has_all_in_order_where_lines_and_messages_share_a_file(site, path):
    settings = {"LOG_FILE": str(path), "ACCESS_LOG_FILE": str(path)}
    with running(site, settings=settings):
        fetch(site, "/?before")
        wait_until(lambda: site.statistics()["connections"] == 0)
        logging.getLogger("hwebserver.server").warning("a message")
        fetch(site, "/?behind")
    assert re.fullmatch(r".*/\?before .*\n.* a message\n.*/\?behind .*\n", path.read_text("utf-8"))


def test_of_two_servers_with_one_file_the_other_goes_on_writing_when_one_stops(path):
    one, two = hwebserver.Server("one"), hwebserver.Server("two")
    for server in (one, two):
        server.urlHandler("/")(lambda request: "hello")
    settings = {"ACCESS_LOG_FILE": str(path)}
    with running(one, settings=settings):
        with running(two, settings=settings):
            fetch(two, "/?two")
        assert paths(path) == ["/?two"]
        fetch(one, "/?one")
        wait_until(lambda: paths(path) == ["/?two", "/?one"])


def test_lines_that_wait_keep_to_the_size_of_a_rotated_file(site, path):
    settings = {
        "ACCESS_LOG_FILE": str(path), "LOG_FILE_MAX_SIZE": 4000, "LOG_FILE_COUNT": 50
    }  # fmt: skip
    targets = [f"/?{number}" for number in range(500)]
    with running(site, settings=settings):
        ask_for(site, targets)
    files = sorted(path.parent.iterdir(), key=lambda one: -int(f"0{one.suffix[1:]}".strip("log")))
    assert [target for one in files for target in paths(one)] == targets
    assert all(3000 < one.stat().st_size <= 4000 for one in files[:-1])


def test_a_host_that_disables_such_messages_gets_no_lines(site, path):
    with running(site, settings={"ACCESS_LOG_FILE": str(path)}):
        fetch(site, "/?before")
        wait_until(lambda: paths(path))
        logging.disable(logging.INFO)
        try:
            fetch(site, "/?meanwhile")
            wait_until(lambda: site.statistics()["connections"] == 0)
            for file in list(logfiles._files.values()):
                file.flush()
        finally:
            logging.disable(logging.NOTSET)
        fetch(site, "/?behind")
    assert paths(path) == ["/?before", "/?behind"]


@pytest.mark.skipif(os.name != "posix", reason="no open file can be moved there")
def test_a_file_that_cannot_be_begun_anew_ends_nothing(site, path, capsys):
    folder = path.parent / "logs"
    folder.mkdir()
    path = folder / "port.log"
    with running(site, settings={"ACCESS_LOG_FILE": str(path)}):
        fetch(site, "/?before")
        wait_until(lambda: paths(path))
        folder.rename(folder.with_name("moved"))
        fetch(site, "/?meanwhile")
        wait_until(lambda: "FileNotFoundError" in capsys.readouterr().err)
        folder.mkdir()
        fetch(site, "/?behind")
        wait_until(lambda: path.exists() and paths(path) == ["/?behind"])


ENDS = """
import logging.config, os, socket, sys, hwebserver

server = hwebserver.Server()
server.urlHandler("/")(lambda request: "hello")
server.run(0, in_background=True, settings={"ACCESS_LOG_FILE": sys.argv[1]})
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
with socket.create_connection(("127.0.0.1", server.port())) as sock:
    for _ in range(5):
        sock.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        while not sock.recv(65536).endswith(b"hello"):
            pass
while server.statistics()["connections"]:
    pass
"""


def test_a_process_that_ends_with_a_server_that_runs_writes_what_waits(path):
    subprocess.run([sys.executable, "-c", ENDS, str(path)], timeout=60, check=True)
    assert paths(path) == ["/"] * 5


FORKS = """
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
server.requestShutdown()
while server.isRunning():
    pass
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_child_of_a_fork_does_not_write_what_waits_once_more(path):
    subprocess.run([sys.executable, "-c", ENDS + FORKS, str(path)], timeout=60, check=True)
    assert paths(path) == ["/"] * 5


# --- the host's own logging ---


@contextlib.contextmanager
def own_handler(name):
    """Set up a handler as a program does."""
    heard, logger = io.StringIO(), logging.getLogger(name)
    handler = logging.StreamHandler(heard)
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)


def test_a_host_that_raises_the_access_log_later_gets_lines(site, caplog):
    with running(site):
        fetch(site, "/?before")
        wait_until(lambda: site.statistics()["connections"] == 0)
        with caplog.at_level(logging.INFO, "hwebserver.access"):
            fetch(site, "/?meanwhile")
            wait_until(lambda: "/?meanwhile" in caplog.text)
    assert "/?before" not in caplog.text


def test_a_port_that_says_nothing_gets_no_lines_for_the_sake_of_another(site, caplog):
    ports = {"loud": {"PORT": 0, "ACCESS_LOG": True}}
    with running(site, settings={"PORTS": ports}, ports=["loud"]):
        fetch(site, "/?quiet")
        fetch(site, "/?loud", port="loud")
        wait_until(lambda: site.statistics()["connections"] == 0)
    assert "/?loud" in caplog.text
    assert "/?quiet" not in caplog.text


@pytest.mark.parametrize("name", ["", "hwebserver"])
def test_the_hosts_handlers_get_everything_once(site, path, name):
    with own_handler(name) as heard:
        with running(site, settings={"LOG_FILE": str(path)}):
            refuse(site)
        assert heard.getvalue().count("The request has no Host field.") == 1
        assert heard.getvalue().count("Serving on") == 1
    assert len(levels(path)) == 1


def test_a_program_without_logging_has_its_console_beside_the_file(site, path, monkeypatch):
    console = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(sys, "stderr", console)
    with running(site, settings={"LOG_FILE": str(path)}):
        refuse(site)
    assert console.getvalue().count("The request has no Host field.") == 1
    assert len(levels(path)) == 1


def test_a_host_that_sets_up_logging_while_we_run_does_not_end_the_file(site, path):
    with running(site, settings={"LOG_FILE": str(path), "ACCESS_LOG_FILE": f"{path}.access"}):
        refuse(site)
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        refuse(site)
    assert len(levels(path)) == 2
    assert len(path.with_name("port.log.access").read_text().splitlines()) == 2


def test_an_application_for_other_servers_is_logged_to_its_files(site, path):
    site.setSettingsForPort({"LOG_FILE": str(path), "ACCESS_LOG_FILE": f"{path}.access"})
    app = site.wsgiApp()
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/fail", "QUERY_STRING": "", "HTTP_HOST": "x",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "http",
    }  # fmt: skip
    body = app(environ, lambda status, fields: lambda data: None)
    list(body)
    body.close()
    app.close()
    assert levels(path) == [("ERROR", "hwebserver.app [main]")]
    assert '"GET /fail HTTP/1.1" 500' in path.with_name("port.log.access").read_text()


def test_a_server_without_files_loads_nothing_for_them():
    code = (
        "import sys, hwebserver\n"
        "server = hwebserver.Server()\n"
        "server.run(0, in_background=True)\n"
        "server.requestShutdown()\n"
        "print('logging.handlers' in sys.modules, 'json' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "False"]
