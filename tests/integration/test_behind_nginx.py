"""A server behind nginx that passes requests on, and says in fields whose they are.

To become tests/integration/test_behind_nginx.py once Access.effective believes such fields.
"""

from __future__ import annotations

import contextlib
import http.client
import json

import pytest
from integration.components import find_module
from integration.nginx import nginx
from support import PATIENCE, running

import hwebserver

pytestmark = pytest.mark.integration

CLIENT = "127.0.0.5"
SEEN = "tool.example"

# The first port adds to the list that clients send; the second passes through the first, from an
# address of its own, so that two proxies have written to one list.
CONFIGURATION = """
    map $http_upgrade $upgrade_or_not {{ "" ""; default upgrade; }}
    proxy_http_version 1.1;
    server {{
        listen 127.0.0.1:{ports[0]};
        location / {{
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $upgrade_or_not;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header Host localhost;
            proxy_pass http://{place};
        }}
    }}
    server {{
        listen 127.0.0.1:{ports[1]};
        location / {{
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Host $http_host;
            proxy_bind 127.0.0.2;
            proxy_pass http://127.0.0.1:{ports[0]};
        }}
    }}
"""


@pytest.fixture
def site(server):
    """A server that says what it believes; it does not run yet."""
    server.setSettingsForPort({"ALLOWED_HOSTS": ["localhost", SEEN]})

    @server.urlHandler("/who")
    def who(request):
        return [request.clientAddress()[0], request.scheme(), request.host()]

    @server.webSocket("/socket")
    class Socket(hwebserver.WebSocket):
        async def connect(self, req):
            await self.accept()
            await self.send(f"{req.clientAddress()[0]} {req.isSecure()}")

    return server


@contextlib.contextmanager
def behind(folder, server, **settings):
    """Run a server with settings behind nginx; yield the ports of nginx."""
    server.setSettingsForPort(settings)
    with (
        running(server),
        nginx(folder, CONFIGURATION, count=2, place=f"127.0.0.1:{server.port()}") as ports,
    ):
        yield ports


def ask(port, **fields):
    """Make one request from an address of its own and return what JSON is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, PATIENCE, source_address=(CLIENT, 0))
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request("GET", "/who", headers={"Host": SEEN, **named})
        response = connection.getresponse()
        assert response.status == 200
        return json.load(response)


def test_nobody_is_believed_by_default(site, tmp_path):
    with behind(tmp_path, site) as ports:
        assert ask(ports[0]) == ["127.0.0.1", "http", "localhost"]


@pytest.mark.parametrize(("use_host", "host"), [(True, SEEN), (False, "localhost")])
def test_nginx_is_believed_where_it_is_listed(site, tmp_path, use_host, host):
    listed = {"TRUSTED_PROXIES": ["127.0.0.1"], "USE_X_FORWARDED_HOST": use_host}
    with behind(tmp_path, site, **listed) as ports:
        assert ask(ports[0]) == [CLIENT, "https", host]


def test_what_a_client_writes_itself_is_not_believed(site, tmp_path):
    with behind(tmp_path, site, TRUSTED_PROXIES=["127.0.0.1"]) as ports:
        assert ask(ports[0], X_Forwarded_For="203.0.113.7")[0] == CLIENT
        spoofed = {"X_Forwarded_For": "203.0.113.7", "X_Forwarded_Proto": "https"}
        assert ask(site.port(), **spoofed) == [CLIENT, "http", SEEN]  # past nginx


@pytest.mark.parametrize(
    ("listed", "who"), [(["127.0.0.1", "127.0.0.2"], CLIENT), (["127.0.0.1"], "127.0.0.2")]
)
def test_of_two_proxies_each_has_to_be_listed(site, tmp_path, listed, who):
    with behind(tmp_path, site, TRUSTED_PROXIES=listed) as ports:
        assert ask(ports[1], X_Forwarded_For="203.0.113.7")[0] == who


def test_a_websocket_knows_its_client(site, tmp_path):
    connect = find_module("websockets.sync.client").connect
    options = {"proxy": None, "source_address": (CLIENT, 0), "open_timeout": PATIENCE}
    spoofed = {"X-Forwarded-For": "203.0.113.7"}
    with (
        behind(tmp_path, site, TRUSTED_PROXIES=["127.0.0.1"]) as ports,
        connect(
            f"ws://127.0.0.1:{ports[0]}/socket", additional_headers=spoofed, **options
        ) as client,
    ):
        assert client.recv(PATIENCE) == f"{CLIENT} True"
