"""One program under gunicorn and under uvicorn, both behind one nginx."""

from __future__ import annotations

import contextlib
import http.client
import json
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest
import same_answers
from integration.asgi_servers import uvicorn
from integration.components import find_module
from integration.nginx import nginx
from integration.program import ROOT, Program, program
from integration.wsgi_servers import gunicorn
from same_answers import FURTHER, REQUESTS
from support import PATIENCE

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent

BLOB = bytes(range(256)) * 20000

# The first port leads to gunicorn, the second to uvicorn, the third to the one and the other in
# turn, but upgrades to uvicorn. nginx would keep to itself what we tell it of buffering.
CONFIGURATION = """
    upstream wsgi {{ server {wsgi}; }}
    upstream asgi {{ server {asgi}; }}
    upstream both {{ server {wsgi}; server {asgi}; }}
    map $http_upgrade $upgrade_or_not {{ "" ""; default upgrade; }}
    map $http_upgrade $whoever {{ "" both; default asgi; }}
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $upgrade_or_not;
    proxy_pass_header X-Accel-Buffering;
    server {{ listen 127.0.0.1:{ports[0]}; location / {{ proxy_pass http://wsgi; }} }}
    server {{ listen 127.0.0.1:{ports[1]}; location / {{ proxy_pass http://asgi; }} }}
    server {{ listen 127.0.0.1:{ports[2]}; location / {{ proxy_pass http://$whoever; }} }}
"""


def passes(asked):
    """Say whether nginx passes a request on as it is."""
    # It refuses a target that is no path, and counts a body in chunks before it passes it on, so
    # that one which is too large is told by its length.
    counted = isinstance(asked.body, tuple) and sum(map(len, asked.body)) > same_answers.MOST
    return asked.path != "*" and not counted


class Site(NamedTuple):
    """The programs, and the ports of nginx that lead to them, and to both."""

    ports: tuple[int, int, int]
    wsgi: Program
    asgi: Program


@contextlib.contextmanager
def site_of(folder, wsgi, asgi):
    """Run nginx in front of two servers; yield the site."""
    named = {"wsgi": "{}:{}".format(*wsgi[1]), "asgi": "{}:{}".format(*asgi[1])}
    with nginx(folder, CONFIGURATION, count=3, **named) as ports:
        yield Site(tuple(ports), wsgi[0], asgi[0])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The program that is made for a proxy."""
    root = tmp_path_factory.mktemp("both")
    path = ("--pythonpath", str(HERE))
    with (
        gunicorn("proxied:app", *path, cwd=root) as wsgi,
        uvicorn("proxied:asgi", "--app-dir", str(HERE), cwd=root) as asgi,
        site_of(root, wsgi, asgi) as made,
    ):
        yield made


@contextlib.contextmanager
def ask(port, path, method="GET", body=None, headers=None):
    """Make one request; yield the response, not yet read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as response:
            yield response


def get(port, path):
    """Return what JSON is answered."""
    with ask(port, path) as response:
        assert response.status == 200
        return json.load(response)


# --- the same requests, the same answers ---


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder that the program serves."""
    folder = tmp_path_factory.mktemp("same")
    same_answers.make_files(folder)
    return folder


@pytest.fixture(scope="module")
def same_ports(files, tmp_path_factory):
    """The program that all servers are compared by: the ports that lead to it."""
    variables = {same_answers.FOLDER: str(files)}
    path = ("--pythonpath", str(ROOT / "tests"))
    with (
        gunicorn("same_answers:app()", *path, cwd=ROOT, **variables) as wsgi,
        uvicorn("same_answers:asgi", "--factory", cwd=files, **variables) as asgi,
        site_of(tmp_path_factory.mktemp("nginx"), wsgi, asgi) as made,
    ):
        yield made.ports


@pytest.fixture(scope="module")
def direct(files):
    """Where the program serves by itself."""
    code = "import same_answers, pathlib, sys; same_answers.build(pathlib.Path(sys.argv[1])).run(0)"
    variables = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    with program(["-c", code, str(files)], files, **variables) as started:
        found = started.wait_for_line(r"Serving on http://([\d.]+):(\d+)")
        yield found[1], int(found[2])


@pytest.mark.parametrize("asked", [one for one in (*REQUESTS, *FURTHER) if passes(one)], ids=str)
def test_both_give_the_same_answer_behind_nginx(same_ports, direct, asked):
    ours = same_answers.ask(direct, asked)
    for port in same_ports[:2]:
        same_answers.compare(ours, same_answers.ask(("127.0.0.1", port), asked))


# --- bodies, streams and sockets ---


def test_requests_reach_the_one_and_the_other(site):
    answers = [get(site.ports[2], "/process") for _ in range(8)]
    assert len({answer["process"] for answer in answers}) == 2
    assert {answer["host"] for answer in answers} == {f"127.0.0.1:{site.ports[2]}"}


@pytest.mark.parametrize("which", [0, 1], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_passes_to_either(site, which, chunked):
    requests = find_module("requests")
    url = f"http://127.0.0.1:{site.ports[which]}/form"
    parts = {"files": {"file": ("näme.bin", BLOB)}, "data": {"note": "ä & b"}}
    request = requests.Request("POST", url, **parts).prepare()
    if chunked:
        body = request.body
        request.prepare_body(iter([body[:100], body[100:-1], body[-1:]]), None)
        request.headers.pop("Content-Length", None)
    with requests.Session() as session:
        session.trust_env = False
        answer = session.send(request, timeout=PATIENCE)
    assert answer.json() == {
        "note": "ä & b",
        "name": "näme.bin",
        "size": len(BLOB),
        "checksum": zlib.crc32(BLOB),
    }


@pytest.mark.parametrize("which", [0, 1], ids=["wsgi", "asgi"])
def test_an_event_stream_passes_event_by_event_from_either(site, which):
    with ask(site.ports[which], "/events") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.readline() == b"id: 1\n"
        assert response.readline().startswith(b"data: from ")
    (site.wsgi, site.asgi)[which].wait_for_line("the reader has left")


@pytest.mark.parametrize("which", [1, 2], ids=["asgi", "both"])
@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_websocket_passes_to_uvicorn(site, which, compression):
    client = find_module("websockets.sync.client")
    url = f"ws://127.0.0.1:{site.ports[which]}/live/echo"
    options = {"proxy": None, "max_size": None, "open_timeout": PATIENCE}
    with client.connect(url, compression=compression, **options) as socket:
        for message in ["one", "zwei — 二", b"", BLOB, "größer " * 100000, "last"]:
            socket.send(message)
            assert socket.recv(PATIENCE) == message
        assert socket.ping("one").wait(PATIENCE)
        socket.close(4001, "enough")
        assert socket.close_code == 4001
    site.asgi.wait_for_line("the echo ended with 4001$")


def test_a_websocket_of_uvicorn_ends_with_its_client(site):
    client = find_module("websockets.sync.client")
    url = f"ws://127.0.0.1:{site.ports[1]}/live/echo"
    with client.connect(url, proxy=None, open_timeout=PATIENCE) as socket:
        socket.send("one")
        assert socket.recv(PATIENCE) == "one"
        socket.socket.shutdown(2)
        site.asgi.wait_for_line(r"the echo ended with 100[56]$")


def test_an_upgrade_where_gunicorn_cannot_upgrade_is_refused(site):
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    with ask(site.ports[0], "/live/echo", headers=fields) as response:
        assert response.status in (404, 426, 501)
    for port in site.ports[1:]:
        with ask(port, "/none", headers=fields) as response:
            assert response.status == 404
