"""The access log, and the console."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import socket
import sys

import pytest
from support import (
    connect,
    fetch,
    receive_all,
    receive_response,
    receive_until,
    running,
    wait_until,
)

import hwebserver
from hwebserver import journal
from hwebserver.exchange import ConnectionInfo, Port
from hwebserver.protocol.headers import Fields
from hwebserver.protocol.http1 import Limits, RequestHead, parse_head
from hwebserver.web import log as access
from hwebserver.web.log import AccessLog, mask_token

LINE = re.compile(
    r'(?P<peer>\S+) - - \[(?P<time>\d\d/(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/'
    r'\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "(?P<line>.*)" (?P<status>\d{3}) (?P<size>\d+|-)'
)  # fmt: skip


class Log:
    """The lines of the access log so far, read when they have come: they follow the answers."""

    def __init__(self, caplog):
        self._caplog = caplog

    def records(self, level=logging.INFO):
        return [
            one
            for one in self._caplog.records
            if one.name == "hwebserver.access" and one.levelno == level
        ]

    def lines(self, count):
        wait_until(lambda: len(self.records()) >= count)
        lines = [one.getMessage() for one in self.records()]
        assert len(lines) == count
        matches = [LINE.fullmatch(line) for line in lines]
        assert all(matches), lines
        return matches


@pytest.fixture
def log(caplog):
    return Log(caplog)


@pytest.fixture
def hello(server):
    server.urlHandler("/", is_prefix=True)(lambda request: "hello")
    return server


def test_a_line_has_the_common_log_format(hello, log):
    with running(hello, verbosity=hwebserver.Medium):
        fetch(hello, "/a%20b?c=d", "POST")
        (line,) = log.lines(1)
    assert line["peer"] == "127.0.0.1"
    assert line["line"] == "POST /a%20b?c=d HTTP/1.1"
    assert (line["status"], line["size"]) == ("200", "5")


def test_status_and_size_are_those_that_were_sent(server, log):
    server.urlHandler("/none")(lambda request: None)
    server.urlHandler("/fail")(lambda request: 1 / 0)
    server.urlHandler("/page")(lambda request: "x" * 200_000)
    with running(server, verbosity=hwebserver.Medium):
        fetch(server, "/none")
        fetch(server, "/page", "HEAD")
        fetch(server, "/page")
        sizes = [len(fetch(server, "/fail").body), len(fetch(server, "/missing").body)]
        lines = log.lines(5)
    found = sorted((line["status"], line["size"]) for line in lines)
    assert found == sorted(
        [("204", "-"), ("200", "-"), ("200", "200000"), ("500", str(sizes[0])),
         ("404", str(sizes[1]))]
    )  # fmt: skip


def test_the_size_of_a_file_is_logged(server, log, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * 500_000)
    server.registerStaticFilesDirectory(str(tmp_path), "/")
    with running(server, verbosity=hwebserver.Medium):
        fetch(server, "/a.bin")
        assert log.lines(1)[0]["size"] == "500000"


def test_a_client_that_leaves_gets_a_line_too(server, log):
    begun, go_on = [], []

    @server.urlHandler("/")
    def wait(request):
        begun.append(True)
        wait_until(lambda: go_on)
        return "x" * 10_000_000

    with running(server, verbosity=hwebserver.Medium):
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: begun)
        go_on.append(True)
        (line,) = log.lines(1)
    assert line["line"] == "GET / HTTP/1.1"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (b"GET /\x01 HTTP/1.1\r\n\r\n", "400"),
        (b"GET / HTTP/3.0\r\n\r\n", "505"),
    ],
)
def test_what_is_no_request_gets_a_line_too(hello, log, request_bytes, status):
    with running(hello, verbosity=hwebserver.Medium), connect(hello) as sock:
        sock.sendall(request_bytes)
        sock.shutdown(socket.SHUT_WR)
        receive_all(sock)
        (line,) = log.lines(1)
    assert line["status"] == status


def test_nothing_in_a_request_can_forge_a_line(hello, log):
    forged = b'/"%20200%205%0a127.0.0.1\\"'
    with running(hello, verbosity=hwebserver.Medium), connect(hello) as sock:
        sock.sendall(b"GET " + forged + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive_response(sock)
        (line,) = log.lines(1)
    inner = line["line"]
    assert inner == 'GET /\\"%20200%205%0a127.0.0.1\\\\\\" HTTP/1.1'


@pytest.mark.parametrize("verbosity", [hwebserver.Low, hwebserver.Medium, hwebserver.High])
def test_the_verbosity_decides_what_is_logged(hello, log, verbosity):
    with running(hello, verbosity=verbosity):
        fetch(hello, "/", headers={"X-Own": "value"})
        if verbosity > hwebserver.Low:
            log.lines(1)
        if verbosity == hwebserver.High:
            wait_until(lambda: log.records(logging.DEBUG))
    assert len(log.records()) == (verbosity > hwebserver.Low)
    details = [one.getMessage() for one in log.records(logging.DEBUG)]
    assert len(details) == (verbosity == hwebserver.High)
    if details:
        assert "X-Own: value" in details[0]
        assert re.match(r"\d+\.\d{3} ms", details[0])


@pytest.mark.parametrize("access_log", [True, False])
def test_the_setting_of_the_access_log_wins_over_the_verbosity(hello, log, access_log):
    verbosity = hwebserver.Low if access_log else hwebserver.High
    with running(hello, verbosity=verbosity, settings={"ACCESS_LOG": access_log}):
        fetch(hello)
        if access_log:
            log.lines(1)
    assert len(log.records()) == access_log


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization", "COOKIE"])
def test_secrets_are_masked(hello, log, caplog, name):
    with running(hello, verbosity=hwebserver.High):
        fetch(hello, "/", headers={name: "Bearer hunter2"})
        wait_until(lambda: log.records(logging.DEBUG))
    assert name in caplog.text
    assert "hunter2" not in caplog.text


def test_secrets_of_a_refused_request_are_masked_too(hello, log, caplog):
    with running(hello, verbosity=hwebserver.High, debug=True), connect(hello) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nAuthorization: hunter2\r\nCookie: hunter2\r\n\r\n")
        receive_all(sock)
        log.lines(1)
    assert "hunter2" not in caplog.text


def test_a_refusal_says_in_the_log_why(hello, caplog):
    with running(hello), connect(hello) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receive_until(sock, b"\r\n\r\n")
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert [one.name for one in warnings] == ["hwebserver.server"]
    assert "127.0.0.1: 400: " in warnings[0].getMessage()
    assert "Host" in warnings[0].getMessage()


def test_a_flood_of_refusals_is_summed_up(hello, caplog):
    with running(hello):
        for _ in range(25):
            with connect(hello) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                receive_all(sock)
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(lines) == 11
    assert lines[10].startswith("... and 15 more were refused within 1 s, the last: 127.0.0.1: 400")


def test_a_flood_that_is_over_is_summed_up_though_no_client_comes_any_more(
    hello, caplog, monkeypatch
):
    monkeypatch.setattr(journal, "_COUNTING", 0.2)
    with running(hello, settings={"LINGER_TIMEOUT": 0.1}):
        for _ in range(12):
            with connect(hello) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                receive_all(sock)
        wait_until(lambda: hello.statistics()["connections"] == 0)
        wait_until(lambda: "... and 2 more were refused" in caplog.text)


# --- the forms of a line ---

PORT = Port("main", 8008, frozenset(), False, "127.0.0.1")


def information(peer="192.0.2.1", host=None):
    return ConnectionInfo((peer, 4711), ("127.0.0.1", 8008), PORT, 5, False, host)


def request_head(target="/", **fields):
    lines = [f"GET {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return parse_head("\r\n".join(lines).encode("latin-1"), Limits())


def raw_head(method, target, fields):
    """A head that no parser of ours lets through: what the log does must not depend on that."""
    head = RequestHead("GET", "/", 1, Fields([], {"host": "localhost", **fields}))
    path, _, query = target.partition("?")
    head.method, head.target, head.path, head.query = method, target, path, query
    head.fields.lines.extend(fields.items())
    return head


def written(style, head, status=200, sent=13, seconds=0.0015, request_id="", info=None):
    """Return the line that is written of a request."""
    heard = []
    logger = logging.Logger("test", logging.INFO)
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger.addHandler(handler)
    log = AccessLog(style, logger)
    subject = log.subject(info or information(), head)
    log.log(subject, head, status, sent, seconds, request_id)
    (line,) = heard
    return line


def test_a_combined_line_ends_in_where_it_came_from_and_with_what():
    head = request_head("/x?a=b", Referer="http://localhost/", User_Agent='Mozilla/5.0 (X11) "x"')
    line = written("combined", head)
    assert re.fullmatch(
        r'192\.0\.2\.1 - - \[.{26}\] "GET /x\?a=b HTTP/1\.1" 200 13 '
        r'"http://localhost/" "Mozilla/5\.0 \(X11\) \\"x\\""',
        line,
    )
    assert written("combined", request_head()).endswith(' 200 13 "-" "-"')
    assert written("combined", None, 400).endswith('"-" 400 13 "-" "-"')


def test_a_json_line_is_an_object():
    head = request_head("/x%20y?a=b", Referer="http://localhost/", User_Agent="caf\xe9")
    entry = json.loads(written("json", head, request_id="abc"))
    moment = entry.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", moment)
    assert entry == {
        "client": "192.0.2.1",
        "method": "GET",
        "path": "/x%20y",
        "query": "a=b",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 13,
        "duration_ms": 1.5,
        "request_id": "abc",
        "host": "localhost",
        "referer": "http://localhost/",
        "user_agent": "caf\xe9",
        "port": "main",
    }


def test_a_json_line_of_what_is_no_request_has_nulls():
    entry = json.loads(written("json", None, 400))
    assert re.fullmatch("[0-9a-f]{16}", entry["request_id"])
    empty = ("method", "path", "query", "protocol", "host", "referer", "user_agent")
    assert [entry[name] for name in empty] == [None] * 7
    assert entry["status"] == 400


def test_the_host_is_the_one_that_a_believed_proxy_names():
    entry = json.loads(written("json", request_head(), info=information(host="example.org")))
    assert entry["host"] == "example.org"


@pytest.mark.parametrize("style", ["common", "combined", "json"])
def test_a_status_that_is_an_enumeration_is_written_as_a_number(style):
    line = written(style, request_head(), hwebserver.HTTPStatus.NotFound)
    assert "404" in line
    assert "NotFound" not in line


@pytest.mark.parametrize("style", ["common", "combined", "json"])
def test_a_client_that_has_left_has_the_status_499(style):
    assert "499" in written(style, request_head(), 0, 0)


ATTACKS = [
    '" 200 5 "-" "-"', "\n127.0.0.1 - - [x]", "\r\n{}", "\0", "\x1b[2K", "\x7f", "\x85", "\xa0",
    "\u2028", "\u202e", "\ud800", "\U0001f600", "\\", '\\"', "\t", "caf\xe9", "]", "'", "%0a", "}",
]  # fmt: skip

#: What a line of the combined format is made of, whoever writes into it.
STRICT = re.compile(
    r'(?:[!#-\[\]-~]|\\.)+ - - \[[0-9A-Za-z/:]{20} [+-]\d{4}\] '
    r'"((?:[ !#-\[\]-~]|\\.)*)" (\d{3}) (\d+|-) "((?:[ !#-\[\]-~]|\\.)*)" '
    r'"((?:[ !#-\[\]-~]|\\.)*)"'
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_no_field_can_break_or_forge_a_line(attack):
    head = raw_head(
        f"G{attack}", f"/{attack}?q={attack}", {"referer": attack, "user-agent": attack}
    )
    line = written("combined", head, info=information(peer=f"1 {attack}"))
    found = STRICT.fullmatch(line)
    assert found, line
    assert (found[2], found[3]) == ("200", "13")
    assert line.split(" ")[1:3] == ["-", "-"]
    assert found[5] == escaped(attack)


def escaped(text):
    """Return how the log writes a text."""
    pieces = []
    for one in text:
        if one in '"\\':
            pieces.append("\\" + one)
        elif " " <= one <= "~":
            pieces.append(one)
        else:
            pieces.append(f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}")
    return "".join(pieces)


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_no_field_can_break_or_forge_an_object(attack):
    fields = {"referer": attack, "user-agent": attack}
    head = raw_head(f"G{attack}", f"/{attack}?q={attack}", fields)
    line = written("json", head, info=information(peer=attack, host=attack))
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert entry["user_agent"] == entry["referer"] == entry["client"] == entry["host"] == attack
    assert entry["query"] == f"q={attack}"
    assert len(entry) == 14


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("/x?access_token=abc", "/x?access_token=***"),
        ("/x?a=1&access_token=abc&b=2", "/x?a=1&access_token=***&b=2"),
        ("access_token=abc", "access_token=***"),
        ("a=1&access_token=a=b;c#d", "a=1&access_token=***"),
        ("/x?access%5Ftoken=abc", "/x?access%5Ftoken=***"),
        ("/x?%61ccess%5ftoke%6E=abc", "/x?%61ccess%5ftoke%6E=***"),
        ("/x?ACCESS_TOKEN=abc", "/x?ACCESS_TOKEN=***"),
        ("/x?%41ccess_token=abc", "/x?%41ccess_token=***"),
        ("/x?access_token=a&access_token=b", "/x?access_token=***&access_token=***"),
        ("http://h/p?q&access_token=abc", "http://h/p?q&access_token=***"),
        ("/x?access_token=", "/x?access_token="),
        ("/x?access_token", "/x?access_token"),
        ("/x?my_access_token=abc", "/x?my_access_token=abc"),
        ("/access_token=abc", "/access_token=abc"),
        ("/x?a=b%20c", "/x?a=b%20c"),
        ("", ""),
    ],
)
def test_the_token_in_a_query_is_masked(text, masked):
    assert mask_token(text) == masked


def test_masking_is_linear():
    for text in ("?access_token" * 20_000, "?" * 200_000, "&access_token=%" * 20_000):
        mask_token(text)  # quadratic, this would take minutes


@pytest.mark.parametrize("style", ["common", "combined", "json"])
def test_no_line_shows_the_token(style):
    head = request_head("/x?access_token=hunter2", Referer="http://h/?access_token=hunter2")
    line = written(style, head)
    assert "hunter2" not in line
    assert "access_token=***" in line


def test_no_log_shows_the_token(hello, log, caplog):
    hello.urlHandler("/fail")(lambda request: 1 / 0)
    fields = {"Referer": "http://localhost/?access_token=hunter2"}
    with running(hello, verbosity=hwebserver.High, debug=True, reload_source_changes=False):
        fetch(hello, "/fail?access%5ftoken=hunter2", headers=fields)
        wait_until(lambda: log.records(logging.DEBUG))
    shown = [one.getMessage() for one in caplog.records]
    assert "the handler of GET /fail?access%5ftoken=*** failed" in shown
    assert not any("hunter2" in one for one in shown)


def test_the_details_of_a_request_have_its_id(hello, log):
    with running(hello, verbosity=hwebserver.High):
        fetch(hello, headers={"X-Request-ID": "given"})
        fetch(hello)
        wait_until(lambda: len(log.records(logging.DEBUG)) == 2)
    one, two = (record.getMessage() for record in log.records(logging.DEBUG))
    assert "; request given; " in one
    assert re.search("; request [0-9a-f]{16}; ", two)


def test_the_time_is_written_once_for_each_second():
    written_times = []
    stamp = access._Stamp(lambda moment: written_times.append(moment) or str(len(written_times)))
    for second, expected in [(5.0, "1"), (5.9, "1"), (6.0, "2"), (5.0, "3")]:
        assert stamp.of(second) == expected


@pytest.mark.parametrize(
    ("offset", "common", "iso"),
    [(0, "+0000", "+00:00"), (7200, "+0200", "+02:00"), (-12600, "-0330", "-03:30"),
     (20700, "+0545", "+05:45")],
)  # fmt: skip
def test_a_time_says_how_far_it_is_from_utc(offset, common, iso):
    class Moment:
        tm_gmtoff = offset

    assert access._offset(Moment, "") == common
    assert access._offset(Moment, ":") == iso


# --- the console ---


@contextlib.contextmanager
def without_logging():
    """A program that has set up no logging; for the body of a test, where pytest has some."""
    console = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        patch.setattr(sys, "stderr", console)
        yield console


def loggers():
    found = [logging.getLogger(name) for name in ("hwebserver", "hwebserver.access")]
    return [(one.level, one.handlers[:], one.propagate) for one in found]


def test_a_program_without_logging_sees_startup_and_errors_on_the_console(server):
    server.urlHandler("/")(lambda request: 1 / 0)
    before = loggers()
    with without_logging() as console, running(server):
        fetch(server)
        assert f"127.0.0.1:{server.port()}" in console.getvalue()
        assert "ZeroDivisionError" in console.getvalue()
        assert "GET / HTTP/1.1" not in console.getvalue()
    assert loggers() == before


def test_the_console_shows_a_line_a_request_when_asked(hello):
    with without_logging() as console, running(hello, verbosity=hwebserver.Medium):
        fetch(hello, "/here")
        wait_until(lambda: "GET /here HTTP/1.1" in console.getvalue())


def test_a_program_with_logging_of_its_own_keeps_its_console(hello):
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logger = logging.getLogger("hwebserver")
    with without_logging() as console:
        logger.addHandler(handler)
        try:
            with running(hello, debug=True, verbosity=hwebserver.High):
                fetch(hello)
        finally:
            logger.removeHandler(handler)
    assert console.getvalue() == ""
    assert "Serving on" in heard.getvalue()


def test_levels_that_a_program_has_set_are_kept(hello, log):
    logger = logging.getLogger("hwebserver.access")
    logger.setLevel(logging.ERROR)
    try:
        with running(hello, verbosity=hwebserver.High):
            fetch(hello)
        assert logger.level == logging.ERROR
        assert log.records() == []
    finally:
        logger.setLevel(logging.NOTSET)


def test_logging_is_left_as_it_was(hello):
    before = loggers()
    with without_logging():
        for _ in range(2):
            with running(hello, debug=True, verbosity=hwebserver.High):
                fetch(hello)
            assert loggers() == before


def test_a_server_that_stops_leaves_the_logging_of_another_alone():
    before = loggers()
    one, two = hwebserver.Server("one"), hwebserver.Server("two")
    two.urlHandler("/")(lambda request: 1 / 0)
    with without_logging() as console, contextlib.ExitStack() as first:
        first.enter_context(running(one, verbosity=hwebserver.High))
        with running(two):
            first.close()
            fetch(two)
            seen = console.getvalue()
    after = loggers()
    for name, (level, _, _) in zip(("hwebserver", "hwebserver.access"), before):
        logging.getLogger(name).setLevel(level)
    assert "ZeroDivisionError" in seen
    assert after == before


def test_a_process_without_a_console_serves_too(hello):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        patch.setattr(sys, "stderr", None)
        with running(hello, debug=True, verbosity=hwebserver.High):
            assert fetch(hello).text == "hello"
