"""The pages for errors, and who may see a traceback."""

from __future__ import annotations

import html
import json

import pytest
from support import connect, fetch, receive_response, running

JSON = {"Accept": "application/json"}


@pytest.fixture
def failing(server):
    """A server with a handler that fails."""

    @server.urlHandler("/", is_prefix=True)
    def fail(request):
        secret = "</textarea><script>alert(1)</script>"
        raise ValueError(f"the reason is {secret}")

    server.setSettingsForPort({"ALLOWED_HOSTS": ["*"]})  # A foreign host is to reach the handler.
    return server


def shows_traceback(answer) -> bool:
    assert answer.status == 500
    return "ValueError" in answer.text or "the reason" in answer.text


# --- in debug mode ---


def test_a_debug_page_holds_the_traceback_between_its_marks(failing):
    with running(failing, debug=True):
        answer = fetch(failing, "/a%20b?x=<y>")
    assert answer.status == 500
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    lines = answer.text.splitlines()
    assert lines.count("Traceback:") == 1
    trace, mark, _ = answer.text.partition("\nTraceback:\n")[2].partition("</textarea>")
    assert mark
    trace = html.unescape(trace)
    assert trace.startswith("Traceback (most recent call last):\n")
    assert "test_pages.py" in trace
    assert trace.rstrip().endswith("the reason is </textarea><script>alert(1)</script>")


def test_a_debug_page_escapes_everything(failing):
    with running(failing, debug=True):
        text = fetch(failing, "/<script>?<b>").text
    assert text.count("<script") == 1  # that of the page
    assert "<b>" not in text
    assert text.count("</textarea>") == 1


def test_a_debug_page_says_what_was_asked_for(failing):
    with running(failing, debug=True):
        assert "POST /a/b?c" in fetch(failing, "/a/b?c", "POST").text


def test_clients_of_json_get_the_traceback_as_an_error(failing):
    with running(failing, debug=True):
        answer = fetch(failing, headers=JSON)
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/json")
    data = json.loads(answer.body)
    assert list(data) == ["error"]
    assert data["error"].startswith("Traceback (most recent call last):\n")
    assert "ValueError: the reason is </textarea>" in data["error"]


def test_a_traceback_shows_the_causes(server):
    @server.urlHandler("/")
    def fail(request):
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    with running(server, debug=True):
        text = fetch(server).text
    assert "first" in text
    assert "second" in text


# --- who may see it ---

LOCAL = ["localhost", "localhost:8008", "LOCALHOST", "a.localhost", "127.0.0.1", "127.1.2.3:80",
         "[::1]", "[::1]:8008"]  # fmt: skip
FOREIGN = ["example.com", "localhost.example.com", "127.0.0.1.example.com", "192.168.0.1",
           "192.168.0.1:80", "[::2]", "0.0.0.0", "notlocalhost", "10.0.0.1"]  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_a_traceback_is_shown_for_a_loopback_host(failing, host):
    with running(failing, debug=True):
        assert shows_traceback(fetch(failing, headers={"Host": host}))


@pytest.mark.parametrize("host", FOREIGN)
def test_no_traceback_is_shown_for_another_host(failing, host):
    with running(failing, debug=True):
        for headers in ({"Host": host}, {"Host": host, **JSON}):
            answer = fetch(failing, headers=headers)
            assert answer.status in (400, 500)  # 400: a host that is not allowed
            assert "ValueError" not in answer.text
            assert "the reason" not in answer.text


def test_the_host_of_a_whole_uri_counts_and_not_the_field(failing):
    request = b"GET http://example.com/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(failing, debug=True), connect(failing) as sock:
        sock.sendall(request)
        assert "the reason" not in receive_response(sock).text


@pytest.mark.parametrize(
    "field",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "x-forwarded-server",
     "X-FORWARDED-ANYTHING"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["127.0.0.1", "for=127.0.0.1", ""])
def test_no_traceback_is_shown_behind_a_proxy(failing, field, value):
    with running(failing, debug=True):
        assert not shows_traceback(fetch(failing, headers={field: value}))
        assert not shows_traceback(fetch(failing, headers={field: value, **JSON}))


def test_other_fields_are_no_proxy(failing):
    with running(failing, debug=True):
        assert shows_traceback(fetch(failing, headers={"X-Forward": "1", "Via": "1.1 localhost"}))


def test_no_traceback_is_shown_to_another_machine(failing, monkeypatch):
    # A peer of another machine cannot be had here, so loopback gets another meaning.
    from hwebserver.web import request

    own = request.is_loopback
    monkeypatch.setattr(request, "is_loopback", lambda host: host != "127.0.0.1" and own(host))
    with running(failing, debug=True):
        assert not shows_traceback(fetch(failing, headers={"Host": "localhost"}))


@pytest.mark.parametrize("headers", [{}, JSON, {"Host": "localhost"}])
def test_no_traceback_is_shown_outside_debug_mode(failing, headers):
    with running(failing):
        answer = fetch(failing, headers=headers)
    assert not shows_traceback(answer)
    assert "Traceback" not in answer.text


def test_the_plain_500_is_json_for_those_who_want_it(failing):
    with running(failing):
        answer = fetch(failing, headers=JSON)
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/json")
    assert list(json.loads(answer.body)) == ["error"]


def test_an_error_has_no_body_for_head(failing):
    with running(failing, debug=True):
        answer = fetch(failing, "/", "HEAD")
    assert (answer.status, answer.body) == (500, b"")
    assert int(answer.headers["Content-Length"]) > 0
