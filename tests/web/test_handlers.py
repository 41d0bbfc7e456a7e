"""What handlers are and what they may return."""

from __future__ import annotations

import enum
import html
import json
import logging
import re
import threading

import pytest
from support import PATIENCE, fetch, running

import hwebserver
from hwebserver import OperationFailed, Response, URLCallbackHandler, URLHandler

TEXT, BYTES, JSON = "text/html; charset=utf-8", "application/octet-stream", "application/json"


def answer_for(server, value, **options):
    server.urlHandler("/")(lambda request: value)
    with running(server):
        return fetch(server, **options)


class Colour(enum.IntEnum):
    RED = 7


@pytest.mark.parametrize(
    ("value", "kind", "body"),
    [
        ("gr\u00fcn", TEXT, "gr\u00fcn".encode()),
        ("", TEXT, b""),
        (b"\x00\xff", BYTES, b"\x00\xff"),
        (bytearray(b"ab"), BYTES, b"ab"),
        (memoryview(b"ab"), BYTES, b"ab"),
    ],
)
def test_text_is_html_and_bytes_are_octets(server, value, kind, body):
    answer = answer_for(server, value)
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, kind, body)


@pytest.mark.parametrize(
    "value",
    [
        {}, {"a": [1, 2.5, None, True, "\u00e9"]}, [], [1, "two"], 0, 42, -1.5, True, False,
        10**30, Colour.RED,
    ],
)  # fmt: skip
def test_data_is_json(server, value):
    answer = answer_for(server, value)
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    assert json.loads(answer.body) == value


def test_none_is_no_content(server):
    answer = answer_for(server, None)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Content-Type"] is None
    assert answer.headers["Content-Length"] is None


def test_a_response_goes_as_it_is(server):
    answer = answer_for(server, Response("made", 201, "text/plain"))
    assert (answer.status, answer.body) == (201, b"made")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1, 2}, "set"),
        (object(), "object"),
        ({"a": [0, {1}]}, "result['a'][1] is of type set"),
        ([float("nan")], "result[0]"),
        (float("inf"), "inf"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_what_cannot_be_sent_is_a_500_that_names_it(server, value, name, accept):
    answer = answer_for(server, value, headers={"Accept": accept})
    assert answer.status == 500
    shown = html.unescape(answer.text)
    assert re.search(rf"\b{re.escape(name)}(?!\w)", shown)
    assert "Traceback" not in shown


def test_a_handler_that_raises_is_a_500_and_is_logged(server, caplog):
    @server.urlHandler("/fail")
    def fail(request):
        raise RuntimeError("the secret of the handler")

    server.urlHandler("/")(lambda request: "fine")
    with running(server):
        answer = fetch(server, "/fail?x=1")
        assert fetch(server).body == b"fine"
    assert answer.status == 500
    assert "secret" not in answer.text
    records = [one for one in caplog.records if one.name == "hwebserver.app"]
    assert [one.levelno for one in records] == [logging.ERROR]
    assert "GET /fail?x=1" in records[0].getMessage()
    assert "the secret of the handler" in caplog.text


class Awkward(Exception):
    def __str__(self):
        raise ValueError("no text for you")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (SystemExit, 3), (KeyboardInterrupt, ""), (GeneratorExit, ""), (RecursionError, "deep"),
        (Awkward, ""), (StopIteration, ""), (MemoryError, ""), (RuntimeError, "\ud800"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("debug", [False, True])
def test_whatever_a_handler_raises_costs_nobody_else_anything(server, kind, message, debug):
    @server.urlHandler("/fail")
    def fail(request):
        raise kind(message)

    server.urlHandler("/")(lambda request: "fine")
    with running(server, debug=debug):
        assert fetch(server, "/fail").status == 500
        assert fetch(server, "/fail", headers={"Accept": "application/json"}).status == 500
        assert fetch(server).body == b"fine"


def test_a_handler_that_takes_no_request_is_a_500(server):
    server.urlHandler("/")(lambda: "never")
    with running(server):
        assert fetch(server).status == 500


def test_text_that_is_no_unicode_is_a_500(server):
    assert answer_for(server, "\ud800").status == 500


def test_a_handler_may_be_anything_that_can_be_called(server):
    class Called:
        def __call__(self, request):
            return "called"

        def method(self, request):
            return "method"

    server.urlHandler("/called")(Called())
    server.urlHandler("/method")(Called().method)
    with running(server):
        assert fetch(server, "/called").body == b"called"
        assert fetch(server, "/method").body == b"method"


@pytest.mark.parametrize("function", [None, "text", 5])
def test_what_cannot_be_called_is_refused_at_once(server, function):
    with pytest.raises(OperationFailed):
        server.urlHandler("/")(function)


def test_an_http_error_that_a_handler_raises_is_its_status(server):
    @server.urlHandler("/")
    def teapot(request):
        raise hwebserver.HTTPError(418, "I am <short> and stout")

    with running(server):
        page = fetch(server)
        data = fetch(server, headers={"Accept": "application/json"})
    assert page.status == data.status == 418
    assert "I am &lt;short&gt; and stout" in page.text
    assert json.loads(data.body) == {"error": "I am <short> and stout"}


def test_handlers_run_side_by_side(server):
    together = threading.Barrier(3)
    server.urlHandler("/")(lambda request: str(together.wait(PATIENCE)))
    answers = []
    with running(server, max_num_threads=3):
        threads = [
            threading.Thread(target=lambda: answers.append(fetch(server).status)) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200, 200, 200]


# --- handler objects ---


class Echo(URLHandler):
    def handle(self, request, **values):
        return Response(f"{request.method()} {request.path()} {values}")


def test_a_handler_object_answers_its_path_for_get_and_post(server):
    server.insertHandlerForPort(Echo("/echo"))
    with running(server):
        assert fetch(server, "/echo").body == b"GET /echo {}"
        assert fetch(server, "/echo", "POST").body == b"POST /echo {}"
        assert fetch(server, "/echo/below").status == 404
        refused = fetch(server, "/echo", "DELETE")
    assert refused.status == 405
    assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_handler_object_says_its_methods_and_whether_it_is_a_prefix(server):
    server.insertHandlerForPort(Echo("/echo", ["PUT"], True))
    with running(server):
        assert fetch(server, "/echo/below", "PUT").body == b"PUT /echo/below {}"
        assert fetch(server, "/echo").status == 405


def test_a_handler_object_may_have_a_template(server):
    server.insertHandlerForPort(Echo("/echo/{number:int}"))
    with running(server):
        assert fetch(server, "/echo/5").body == b"GET /echo/5 {'number': 5}"


def test_a_handler_object_belongs_to_the_port_it_was_inserted_for(server):
    mine = Echo("/echo")
    server.insertHandlerForPort(mine, "other")
    with running(server, ports=[("other", 0)]):
        assert fetch(server, "/echo", port="other").status == 200
        assert fetch(server, "/echo").status == 404
    assert server.findHandlerForPort("/echo", "other") is mine
    assert server.findHandlerForPort("/echo") is None


def test_a_callback_handler_is_one_around_a_function(server):
    handler = URLCallbackHandler("/call", lambda request: "called")
    server.insertHandlerForPort(handler)
    with running(server):
        assert fetch(server, "/call").body == b"called"
    assert server.findHandlerForPort("/call") is handler


def test_a_handler_object_without_a_handle_of_its_own_is_a_500(server):
    server.insertHandlerForPort(URLHandler("/"))
    with running(server):
        assert fetch(server).status == 500


@pytest.mark.parametrize("handler", [None, "/path", lambda request: "", Echo])
def test_what_is_no_handler_object_is_refused_at_once(server, handler):
    with pytest.raises(OperationFailed):
        server.insertHandlerForPort(handler)


def test_the_old_names_of_the_base_classes_are_the_same_classes():
    assert hwebserver.PyURLHandler is hwebserver.APIUrlHandler is URLHandler
    assert hwebserver.PyServer is hwebserver.Server
    assert hwebserver.runServer == hwebserver.run
