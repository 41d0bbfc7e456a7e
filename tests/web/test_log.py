"""The access log, and the console."""

from __future__ import annotations

import contextlib
import io
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
