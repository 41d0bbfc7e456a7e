"""What the debug page shows, and that it shows nothing else."""

from __future__ import annotations

import base64
import gc
import hashlib
import html
import importlib
import json
import logging
import os
import re
import sys
import weakref
import zipfile

import pytest
from support import fetch, running, wait_until

import hwebserver
from hwebserver.web import failure
from hwebserver.web.failure import describe, trace_text
from hwebserver.web.masking import Mask

TOKEN = "a+token'of<mine>"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOSTILE = "</textarea></pre><script>alert(1)</script>&amp;\"'"

needs_groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")


class HostileText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Held:
    """What a handler holds while it fails."""


def make_server():
    server = hwebserver.Server("debugpage")
    server.setSettingsForPort({"ACCESS_TOKEN": TOKEN})
    held: list[weakref.ref] = []

    @server.urlHandler("/hostile", is_prefix=True)
    def hostile(request):
        kind = type(HOSTILE, (Exception,), {"__module__": HOSTILE})
        values = {HOSTILE: HOSTILE}
        shown = type(HOSTILE, (), {"__repr__": lambda self: HOSTILE})()
        code = compile(
            "def fail(**values):\n    raise values['kind'](values['text'])", HOSTILE, "exec"
        )
        names: dict[str, object] = {}
        exec(code, names)
        names["fail"](kind=kind, text=HOSTILE, shown=shown, **values)

    @server.urlHandler("/secrets", methods=["GET", "POST"])
    def secrets(request):
        password = "hunter2"
        settings = {"api_key": "hunter2", "ACCESS_TOKEN": TOKEN, "copies": [TOKEN]}
        text = f"the token is {TOKEN}"
        raise ValueError(text + str(len(password) + len(settings)))

    @server.urlHandler("/chain")
    def chain(request):
        first = 1
        try:
            try:
                raise KeyError("the first")
            except KeyError as error:
                raise ValueError("the second") from error
        except ValueError:
            raise TypeError(f"the third, after {first}") from LookupError("the cause")

    @server.urlHandler("/context")
    def context(request):
        try:
            raise KeyError("the first")
        except KeyError:
            raise ValueError("the second")

    @server.urlHandler("/suppressed")
    def suppressed(request):
        try:
            raise KeyError("the first")
        except KeyError:
            raise ValueError("the second") from None

    @server.urlHandler("/group")
    def group(request):
        members = [ValueError("one member"), KeyError("another")]
        raise ExceptionGroup("two of them", members)  # noqa: F821

    @server.urlHandler("/syntax")
    def syntax(request):
        compile("fine = 1\nx = a b\n", "<a shot's expression>", "exec")

    @server.urlHandler("/deep")
    def deep(request):
        def down(depth):
            return down(depth + 1)

        down(0)

    @server.urlHandler("/coroutine")
    async def coroutine(request):
        inside = "of a coroutine"
        raise ValueError(inside)

    @server.urlHandler("/filtered")
    def filtered(request):
        return "never"

    @server.requestFilter("/filtered")
    def guard(request):
        inside = "of a filter"
        raise ValueError(inside)

    @server.urlHandler("/textless")
    def textless(request):
        raise HostileText

    @server.urlHandler("/shots/{name}/{token}")
    def shot(request, name, token):
        raise ValueError("no such shot")

    @server.urlHandler("/held")
    def hold(request):
        thing = Held()
        held.append(weakref.ref(thing))
        raise ValueError("it holds something")

    @server.apiFunction("shots")
    def fail(request, name):
        raise ValueError(f"no shot {name}")

    def application(environ, start_response):
        inside = "of a WSGI application"
        raise ValueError(inside)

    server.registerWSGIApp(application, "/wsgi")
    server.held = held
    return server


@pytest.fixture
def site():
    server = make_server()
    with running(server, debug=True, reload_source_changes=False):
        yield server


def page_of(site, path, method="GET", body=None, **headers):
    answer = fetch(site, path, method, body, {**BEARER, **headers})
    assert answer.status == 500
    return answer


def text_of(page: str) -> str:
    """The page as it is read."""
    body = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


def values_of(page: str) -> dict[str, str]:
    """The rows of all tables."""
    rows = re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td></tr>", page, re.DOTALL)
    return {html.unescape(name): html.unescape(value) for name, value in rows}


# --- what it shows ---


def test_the_page_shows_the_lines_around_the_one_that_failed(site):
    page = page_of(site, "/secrets").text
    here = re.findall(r'<span class="here"><i>\d+</i>(.*?)</span>', page)
    assert any("raise ValueError(text + str(" in html.unescape(line) for line in here)
    assert "def secrets(request):" in text_of(page)


def test_the_page_shows_what_local_names_meant(site):
    values = values_of(page_of(site, "/chain").text)
    assert values["first"] == "1"
    assert "Request object" in values["request"]


def test_frames_of_the_server_are_there_but_closed_and_without_values(site):
    page = page_of(site, "/chain").text
    ours = [one for one in re.findall(r"<details.*?</summary>", page) if "(the server)" in one]
    assert ours
    assert not any("<details open" in one for one in ours)
    assert "plan" not in values_of(page)


def test_the_page_shows_the_request(site):
    page = page_of(site, "/shots/a%20b/c?x=1&x=2&y=", "POST", "f=g&f=h", Accept="text/*").text
    values = values_of(page)
    assert values["Line"] == "POST /shots/a%20b/c?x=1&x=2&y= HTTP/1.1"
    assert re.fullmatch(r"127\.0\.0\.1 port \d+", values["From"])
    assert values["To"] == f"port {site.port()} (main), http"
    assert (values["Accept"], values["{name}"], values["{token}"]) == ("text/*", "a b", "***")
    for row in ("<th>x</th><td>1<", "<th>x</th><td>2<", "<th>f</th><td>g<", "<th>f</th><td>h<"):
        assert row in page


def test_an_uploaded_form_is_shown(site):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="<n>"\r\n\r\n<v>\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="<a>.exr"\r\n\r\n12\r\n'
        b"--b--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    values = values_of(page_of(site, "/secrets", "POST", body, **kind).text)
    assert (values["<n>"], values["f"]) == ("<v>", "<a>.exr, 2 bytes")


def test_a_form_that_cannot_be_read_is_said_to_be_one(site):
    page = page_of(site, "/secrets", "POST", "&".join(f"a{n}=" for n in range(20_000))).text
    assert "(unreadable)" in text_of(page)


def test_causes_and_contexts_are_shown(site):
    page = text_of(page_of(site, "/context").text)
    assert page.index("the second") < page.index("being handled") < page.rindex("the first")
    page = text_of(page_of(site, "/chain").text)
    assert "It was raised because of this:" in page
    assert "the cause" in page


def test_a_context_that_was_suppressed_is_not_shown(site):
    page = text_of(page_of(site, "/suppressed").text)
    assert "being handled" not in page
    assert "KeyError: 'the first'" not in page


@needs_groups
def test_the_members_of_a_group_are_shown(site):
    page = page_of(site, "/group").text
    assert page.count('<div class="group">') == 2
    for text in ("two of them", "one member", "another"):
        assert text in text_of(page)


def test_a_syntax_error_shows_its_place(site):
    page = page_of(site, "/syntax").text
    assert "<a shot's expression>:2" in text_of(page)
    assert '<span class="here"><i>2</i>x = a b</span>' in page


def test_endless_recursion_is_cut_in_the_middle(site):
    answer = page_of(site, "/deep")
    assert re.search(r"\d+ calls between these are left out", answer.text)
    assert len(answer.body) < 200_000
    assert answer.text.count("<summary>") < 100


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/coroutine", "'of a coroutine'"),
        ("/filtered", "'of a filter'"),
        ("/wsgi", "'of a WSGI application'"),
    ],
)
def test_it_works_wherever_a_request_fails(site, path, inside):
    assert values_of(page_of(site, path).text)["inside"] == inside


def test_it_works_for_api_functions(site):
    body = json.dumps(["shots.fail", ["sh<1>"], {}])
    page = page_of(site, "/api", "POST", body, **{"Content-Type": "application/json"}).text
    assert values_of(page)["name"] == "'sh<1>'"


def test_an_exception_without_a_text_is_shown_all_the_same(site):
    page = page_of(site, "/textless").text
    assert "Traceback (most recent call last):" in page
    assert "its __str__ failed" in text_of(page)


def test_a_syntax_error_with_odd_attributes_is_shown_all_the_same():
    error = SyntaxError("odd")
    error.filename, error.lineno, error.offset, error.text = 5, "x", b"", object()
    (found,) = describe(error, Mask([]), 0.0)
    assert (found.kind, found.frames) == ("SyntaxError", [])
    assert "SyntaxError" in trace_text(error, Mask([]))


def test_a_page_that_cannot_be_made_is_the_plain_500(site, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("not even this")

    monkeypatch.setattr(failure, "describe", fail)
    page = page_of(site, "/chain").text
    assert "Traceback" not in page
    assert "The server failed to answer this request." in page
    assert "the page about a failure cannot be shown" in caplog.text


def test_a_file_that_has_changed_is_said_to(tmp_path):
    path = tmp_path / "shot.py"
    path.write_text("def fail():\n    raise ValueError\n")
    names: dict[str, object] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    found = caught(names["fail"])
    for changed in (5000, 5002):
        os.utime(path, (changed, changed))
        frame = describe(found, Mask([]), 5001.0)[0].frames[-1]
        assert frame.changed == (changed > 5001)


def test_source_in_an_archive_is_shown(tmp_path, monkeypatch):
    archive = tmp_path / "shots.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_shots.py", "def fail():\n    raise ValueError('in a zip')\n")
    monkeypatch.syspath_prepend(str(archive))
    module = importlib.import_module("zipped_shots")
    found = describe(caught(module.fail), Mask([]), 0.0)[0].frames[-1]
    assert [line.text for line in found.source][1] == "    raise ValueError('in a zip')"


# --- what it does not show ---


def test_nothing_that_is_shown_is_taken_for_markup(site):
    page = page_of(site, "/hostile?<script>=</textarea>", **{"X-Field": HOSTILE}).text
    own = page_of(site, "/chain").text
    assert page.count("<script") == own.count("<script") == 1
    assert page.count("</textarea>") == page.count("</main>") == 1
    assert text_of(page).count(HOSTILE) >= 5  # class, message, file, value, field
    body = page.partition("<body>")[2]
    assert set(re.findall(r"</?([a-z0-9]+)", body)) <= set(
        "main button p code h1 h2 h3 pre details summary strong span i div table tr th td textarea "
        "script body html".split()
    )


def test_the_page_loads_nothing_and_runs_nothing_else(site):
    answer = page_of(site, "/chain")
    policy = answer.headers["Content-Security-Policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    for kind in ("style", "script"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert parts[f"{kind}-src"] == f"'sha256-{digest}'"
    assert parts["default-src"] == parts["form-action"] == parts["frame-ancestors"] == "'none'"
    assert not re.search(r"\b(?:src|href|style|on\w+)=", answer.text.partition("<body>")[2])
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_secrets_are_in_no_part_of_the_page(site):
    headers = {
        "Cookie": "session=hunter2; b=hunter2",
        "X-Api-Key": "hunter2",
        "Referer": "http://localhost/?access_token=hunter2",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    form = 'new_password=hunter2&json=["login",[],{"token":"hunter2"}]&plain=shown'
    answer = page_of(site, "/secrets?api_key=hunter2&a=shown", "POST", form, **headers)
    source_apart = re.sub(r'<div class="source">.*?</div>|<code>.*?</code>', "", answer.text)
    assert "hunter2" not in source_apart
    assert TOKEN not in html.unescape(answer.text)
    assert "the token is ***" in text_of(answer.text)
    values = values_of(answer.text)
    assert values["password"] == values["Cookie"] == values["Authorization"] == "***"
    assert values["plain"] == values["a"] == "shown"


def test_the_token_is_not_in_the_json_either(site):
    answer = page_of(site, "/secrets", Accept="application/json")
    error = json.loads(answer.body)["error"]
    assert error.startswith("Traceback (most recent call last):\n")
    assert "ValueError: the token is ***" in error
    assert TOKEN not in error


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("field", ["Forwarded", "X-Forwarded-For"])
def test_nothing_of_it_goes_to_others(site, accept, field):
    answer = page_of(site, "/secrets", Accept=accept, **{field: "127.0.0.1"})
    assert "secrets" not in answer.text
    assert "Content-Security-Policy" not in answer.headers


# --- what it costs ---


def test_nothing_is_held_alive_behind_the_answer(site, monkeypatch):
    monkeypatch.setattr(logging.getLogger("hwebserver.app"), "disabled", True)
    gc.collect()
    gc.disable()
    try:
        page_of(site, "/held")
        wait_until(lambda: site.held[-1]() is None)
    finally:
        gc.enable()


def caught(function, *arguments) -> BaseException:
    try:
        function(*arguments)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_many_causes_are_cut():
    error: BaseException = ValueError(0)
    for number in range(1, 5000):
        following = ValueError(number)
        following.__context__ = error
        error = following
    assert len(describe(error, Mask([]), 0.0)) == 20
    assert len(trace_text(error, Mask([])).splitlines()) <= 401


def test_causes_in_a_circle_have_an_end():
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__cause__ = second, first
    assert [one.message for one in describe(first, Mask([]), 0.0)] == ["first", "second"]


@needs_groups
def test_many_members_are_cut():
    error = ExceptionGroup("all", [ValueError(number) for number in range(1000)])  # noqa: F821
    (found,) = describe(error, Mask([]), 0.0)
    assert len(found.members) == 19


def test_a_long_traceback_is_cut_in_the_middle_and_its_lines_at_their_ends():
    text = trace_text(ValueError("\n".join(map(str, range(10_000))) + "x" * 100_000), Mask([]))
    assert "lines are left out here]" in text
    assert len(text) < 20_000
    assert text.startswith("ValueError: 0\n1\n")


def test_a_long_message_is_cut_and_no_half_of_a_secret_is_left():
    for before in range(7990, 8001):
        message = describe(ValueError("x" * before + TOKEN + "y" * 10**6), Mask([TOKEN]), 0.0)[0]
        assert len(message.message) == 8001
        assert "a+t" not in message.message
