"""A program in several processes of gunicorn behind nginx, beside one that holds connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest
from integration.components import find_module
from integration.nginx import nginx
from integration.program import Program, serving_tidily
from integration.wsgi_servers import gunicorn
from support import PATIENCE

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent

BLOB = bytes(range(256)) * 20000

# What HTTP nginx speaks with a program is 1.0 by default in older ones, 1.1 in newer ones.
CONFIGURATION = """
    upstream processes {{ server {first}; server {second}; }}
    server {{
        listen 127.0.0.1:{ports[0]};
        proxy_set_header Host $http_host;
        proxy_http_version 1.0;
        location / {{ proxy_pass http://processes; }}
        location /new/ {{
            proxy_http_version 1.1;
            proxy_pass http://processes/;
        }}
        location /live-old/ {{ proxy_pass http://{live}/live/; }}
        location /live/ {{
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $upgrade_or_not;
            proxy_pass http://{live};
        }}
    }}
    map $http_upgrade $upgrade_or_not {{ "" ""; default upgrade; }}
"""


class Site(NamedTuple):
    """The programs, and the port of nginx in front of them."""

    port: int
    processes: tuple[Program, Program]
    live: Program

    @contextlib.contextmanager
    def ask(self, path, headers=None):
        """Make one request; yield the response, not yet read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            with connection.getresponse() as response:
                yield response

    def program_of(self, process):
        """Return the program to which a process belongs, by its number."""
        mark = f"Booting worker with pid: {process}"
        return next((one for one in self.processes if mark in one.output), self.live)

    def get(self, path):
        """Return what JSON is answered."""
        with self.ask(path) as response:
            assert response.status == 200
            return json.load(response)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two processes of gunicorn, a server and nginx."""
    path = ("--pythonpath", str(HERE))
    root = tmp_path_factory.mktemp("behind")
    with contextlib.ExitStack() as running:
        first, at = running.enter_context(gunicorn("proxied:app", *path, cwd=root))
        second, beside = running.enter_context(gunicorn("proxied:app", *path, cwd=root))
        live = running.enter_context(serving_tidily(str(HERE / "proxied.py"), root=root))
        places = {"first": at, "second": beside, "live": live.place}
        named = {name: f"{host}:{port}" for name, (host, port) in places.items()}
        folder = tmp_path_factory.mktemp("nginx")
        (port,) = running.enter_context(nginx(folder, CONFIGURATION, **named))
        yield Site(port, (first, second), live)
    assert [one for one in folder.rglob("*") if one.is_file() and one.suffix != ".conf"] == []


@pytest.mark.parametrize("prefix", ["", "/new"])
def test_requests_reach_both_processes(site, prefix):
    answers = [site.get(f"{prefix}/process") for _ in range(8)]
    assert len({answer["process"] for answer in answers}) == 2
    assert {answer["host"] for answer in answers} == {f"127.0.0.1:{site.port}"}


@pytest.mark.parametrize("prefix", ["", "/new"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_passes(site, prefix, chunked):
    session = find_module("requests").Session()
    session.trust_env = False
    request = (
        find_module("requests")
        .Request(
            "POST",
            f"http://127.0.0.1:{site.port}{prefix}/form",
            files={"file": ("näme.bin", BLOB)},
            data={"note": "ä & b"},
        )
        .prepare()
    )
    if chunked:
        body, request.body = request.body, None
        request.prepare_body(iter([body[:100], body[100:-1], body[-1:]]), None)
        request.headers.pop("Content-Length", None)
    with session:
        answer = session.send(request, timeout=PATIENCE)
    assert answer.json() == {
        "note": "ä & b",
        "name": "näme.bin",
        "size": len(BLOB),
        "checksum": zlib.crc32(BLOB),
    }


@pytest.mark.parametrize("path", ["/events", "/new/events", "/live-old/events", "/live/events"])
def test_an_event_stream_passes_event_by_event(site, path):
    """The first event comes although the stream goes on; with 1.0, nginx collects what it may."""
    with site.ask(path) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.readline() == b"id: 1\n"
        process = response.readline().removeprefix(b"data: from ").strip().decode()
    site.program_of(process).wait_for_line("the reader has left")


@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_websocket_passes(site, compression):
    client = find_module("websockets.sync.client")
    url = f"ws://127.0.0.1:{site.port}/live/echo"
    options = {"proxy": None, "max_size": None, "open_timeout": PATIENCE}
    with client.connect(url, compression=compression, **options) as socket:
        for message in ["one", "zwei — 二", b"", BLOB, "größer " * 100000, "last"]:
            socket.send(message)
            assert socket.recv(PATIENCE) == message
        assert socket.ping("one").wait(PATIENCE)
        socket.close(4001, "enough")
        assert socket.close_code == 4001
    site.live.wait_for_line("the echo ended with 4001$")


def test_a_websocket_ends_with_its_client_behind_nginx(site):
    client = find_module("websockets.sync.client")
    url = f"ws://127.0.0.1:{site.port}/live/echo"
    with client.connect(url, proxy=None, open_timeout=PATIENCE) as socket:
        socket.send("one")
        assert socket.recv(PATIENCE) == "one"
        socket.socket.shutdown(2)
        site.live.wait_for_line("the echo ended with 1006$")


def test_an_upgrade_is_no_way_into_what_cannot_be_upgraded(site):
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    for path in ["/live/none", "/none"]:
        with site.ask(path, fields) as response:
            assert response.status == 404
