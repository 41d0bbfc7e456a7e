"""The examples and a folder, driven by the clients that Python programs use."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from integration.program import ROOT, program
from support import PATIENCE

pytestmark = pytest.mark.integration


@pytest.fixture
def urlopen():
    """The function of urllib that opens a URL, without a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def open_url(url, form=None):
        data = None if form is None else urllib.parse.urlencode(form).encode()
        return opener.open(url, data, timeout=PATIENCE)

    return open_url


# --- requests ---


def connections(session):
    """Return how many connections a session has opened."""
    pools = session.get_adapter("http://").poolmanager.pools
    return sum(pools[key].num_connections for key in pools.keys())  # noqa: SIM118


def test_a_session_keeps_its_connection(session, hello):
    for name in ("Ada", "Grace", "Mary"):
        assert session.get(f"{hello.address}/hello/{name}").text == f"<h1>Hello, {name}!</h1>"
    assert connections(session) == 1


def test_a_session_keeps_its_connection_after_errors(session, hello):
    assert session.get(f"{hello.address}/nothing").status_code == 404
    assert session.post(f"{hello.address}/api", data={"cmd_function": "none"}).status_code == 422
    assert session.get(hello.address).ok
    assert connections(session) == 1


def test_a_session_posts_a_form(session, hello):
    answer = session.post(f"{hello.address}/api", data={"cmd_function": "hello.add", "x": 40})
    assert answer.json() == 40


def test_a_session_posts_json(session, hello):
    answer = session.post(f"{hello.address}/api", json=["hello.add", [40], {"y": 2}])
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == 42


def test_a_session_posts_a_body_of_unknown_length(session, hello):
    pieces = iter([b'["hello.add", [40],', b' {"y": 2}]'])
    headers = {"Content-Type": "application/json"}
    assert session.post(f"{hello.address}/api", data=pieces, headers=headers).json() == 42


def test_a_session_asks_for_the_head_alone(session, hello):
    answer = session.head(hello.address)
    assert answer.content == b""
    assert int(answer.headers["Content-Length"]) == len(session.get(hello.address).content)


def test_a_session_follows_to_the_slash_behind_a_folder(session, folder):
    answer = session.get(f"{folder.address}/sub?page=1")
    assert answer.text == "<p>index of sub"
    assert answer.url == f"{folder.address}/sub/?page=1"
    assert [step.status_code for step in answer.history] == [301]


# --- urllib ---


def test_urllib_gets_a_page(urlopen, hello):
    with urlopen(hello.address) as answer:
        assert answer.headers.get_content_charset() == "utf-8"
        assert b"<h1>Hello, world!</h1>" in answer.read()


def test_urllib_calls_a_function(urlopen, hello):
    with urlopen(f"{hello.address}/api", {"cmd_function": "hello.add", "x": 1}) as answer:
        assert json.load(answer) == 1


def test_urllib_raises_what_is_wrong_with_a_call(urlopen, hello):
    with pytest.raises(urllib.error.HTTPError) as raised:
        urlopen(f"{hello.address}/api", {"cmd_function": "hello.subtract"})
    with raised.value as answer:
        assert answer.code == 422
        assert "hello.subtract" in json.load(answer)["error"]


def test_urllib_follows_to_the_slash_behind_a_folder(urlopen, folder):
    with urlopen(f"{folder.address}/sub") as answer:
        assert answer.read() == b"<p>index of sub"


# --- many at once ---


def test_many_requests_at_once_get_their_own_answers(hello):
    def add(number):
        return json.loads(
            hello.get("/api", "POST", f"cmd_function=hello.add&x={number}&y=1000").body
        )

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(add, range(200))) == [number + 1000 for number in range(200)]


def test_many_notes_at_once_are_all_kept(notes):
    def add(number):
        return json.loads(notes.get("/api", "POST", f"cmd_function=notes.add&text=n{number}").body)

    with ThreadPoolExecutor(16) as clients:
        added = list(clients.map(add, range(200)))
    assert len({note["number"] for note in added}) == 200
    kept = json.loads(notes.get("/api", "POST", "cmd_function=notes.newest_first").body)
    assert {note["text"] for note in kept} >= {f"n{number}" for number in range(200)}
    numbers = [note["number"] for note in kept]
    assert numbers == sorted(numbers, reverse=True)


# --- without the command line ---


@pytest.mark.parametrize("name", ["hello", "notes", "dailies"])
def test_an_example_runs_as_a_program(name):
    with program([f"examples/{name}.py"], ROOT, HWEBSERVER_PORT="0") as started:
        answer = started.get("/")
        assert answer.status == 200
        assert "<h1>" in answer.text
