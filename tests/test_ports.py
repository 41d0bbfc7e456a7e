"""Several ports at once: their own settings, their own handlers, all of them or none."""

from __future__ import annotations

import contextlib
import http.client
import socket
import zipfile

import pytest
from support import PATIENCE, connect, fetch, receive_all, receive_until, running
from wsclient import Client, close, head, text

import hwebserver
from hwebserver import OperationFailed
from hwebserver.ports import further_ports
from hwebserver.settings import Settings

PORTS = ["main", "a", "b", "NUMBER"]


def free_number():
    """A number that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]


async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})


class Handler(hwebserver.URLHandler):
    def handle(self, request):
        return "object"


class Socket(hwebserver.WebSocket):
    async def connect(self, req):
        await self.accept()
        await self.send(req.portName())


def register(server, tag, ports, folder, archive):
    """Register one of each kind under paths that begin with a tag."""
    server.urlHandler(f"/{tag}/url", ports=ports)(lambda request: "url")
    server.webSocket(f"/{tag}/socket", ports=ports)(Socket)
    server.registerWSGIApp(wsgi, f"/{tag}/wsgi", ports=ports)
    server.registerASGIApp(asgi, f"/{tag}/asgi", ports=ports)

    def function(request):
        return "api"

    function.__name__ = f"function_{tag}"
    server.apiFunction("test", ports=ports)(function)
    for port in ports:
        server.insertHandlerForPort(Handler(f"/{tag}/object"), port)
        if port != -1:  # there, as the default, it means the main port
            server.registerStaticFilesDirectory(str(folder), f"/{tag}/files", port)
            server.registerArchiveFile(str(archive), f"/{tag}/archive", port)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A server with four ports, on each of which something else is registered."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "it.txt").write_text("files")
    archive = folder / "it.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("it.txt", "archive")
    server = hwebserver.Server("ports")
    number = free_number()
    for tag, ports in {"main": [""], "a": ["a"], "b": ["b"], "NUMBER": [number], "every": [-1],
                       "two": [0, "b"]}.items():  # fmt: skip
        register(server, tag, ports, folder, archive)
    server.setSettingsForPort({"PORT": 0}, "a")
    settings = {
        "DEBUG": False,
        "PORTS": {"b": {"PORT": 0, "MAX_REQUEST_SIZE": 5, "SERVER_HEADER": "b"}},
    }
    server.setPortInfo("a", debug=True, max_websocket_message_size=5)
    server.setPortInfo(number, max_head_size=300)
    heard = []
    with running(
        server,
        settings=settings,
        ports=["a", "b", number],
        port_callback=lambda *said: heard.append(said),
    ):
        server.heard, server.number = heard, number
        yield server


@pytest.fixture(autouse=True)
def nothing_leaks():
    """The server of this module runs beside its tests; their own ones see to themselves."""


def name_of(server, port):
    return str(server.number) if port == "NUMBER" else port


KINDS = {
    "url": "url", "object": "object", "wsgi": "wsgi", "asgi": "asgi",
    "files/it.txt": "files", "archive/it.txt": "archive",
}  # fmt: skip

#: Which ports answer what was registered with each tag.
REACHED = {"main": ["main"], "a": ["a"], "b": ["b"], "NUMBER": ["NUMBER"], "every": PORTS,
           "two": ["main", "b"]}  # fmt: skip


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("tag", REACHED)
def test_what_is_registered_for_a_port_is_answered_there_and_nowhere_else(opened, tag, port):
    name = name_of(opened, port)
    for path, body in KINDS.items():
        if tag == "every" and body in ("files", "archive"):
            continue
        answer = fetch(opened, f"/{tag}/{path}", port=name)
        if port in REACHED[tag]:
            assert (answer.status, answer.text) == (200, body)
        else:
            assert answer.status == 404, path
        found = opened.findHandlerForPort(f"/{tag}/{path}", name)
        if body not in ("files", "archive"):
            assert (found is not None) is (port in REACHED[tag])


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("tag", REACHED)
def test_an_api_function_is_called_on_its_ports_alone(opened, tag, port):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"cmd_function=test.function_{tag}"
    port_name = name_of(opened, port)
    answer = fetch(opened, "/api", "POST", body if port != "b" else body[:5], headers, port_name)
    if port == "b":
        assert answer.status in (413, 422)  # No request there has a body of more than 5 bytes.
    elif port in REACHED[tag]:
        assert (answer.status, answer.text) == (200, '"api"')
    else:
        assert answer.status == 422


def upgrade(sock, path):
    """Ask for a WebSocket; return the status line of the answer and what the client reads next."""
    sock.sendall(head(path))
    answer, _, rest = receive_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
    return answer.split(b" ")[1], Client(sock, answer, rest)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("tag", REACHED)
def test_a_websocket_is_accepted_on_its_ports_alone(opened, tag, port):
    name = name_of(opened, port)
    with connect(opened, name) as sock:
        status, client = upgrade(sock, f"/{tag}/socket")
        if port in REACHED[tag]:
            assert (status, client.message()) == (b"101", name)
        else:
            assert status == b"404"


def test_the_callback_hears_of_every_port_once(opened):
    names = ["main", "a", "b", str(opened.number)]
    assert opened.heard == [(name, opened.port(name)) for name in names]
    assert len({number for _, number in opened.heard}) == 4


def test_a_port_is_asked_for_by_its_name_and_by_its_number(opened):
    assert opened.port(opened.number) == opened.port(str(opened.number)) == opened.number
    assert opened.port() == opened.port(0) == opened.port("") == opened.port("main")
    assert opened.port(opened.port()) == opened.port()
    assert opened.url("x", "a") == f"http://127.0.0.1:{opened.port('a')}/x"
    assert opened.url("/x", opened.number) == f"http://127.0.0.1:{opened.number}/x"
    with pytest.raises(OperationFailed, match="'c' is not open"):
        opened.url("/", "c")


# --- each port has its own settings ---


def test_a_port_says_what_its_own_settings_say(opened):
    fields = {port: fetch(opened, port=name_of(opened, port)).headers["Server"] for port in PORTS}
    assert fields == {"main": "hwebserver", "a": "hwebserver", "b": "b", "NUMBER": "hwebserver"}


def test_a_port_has_limits_of_its_own(opened):
    statuses = {
        port: fetch(opened, "/every/url", "POST", b"123456", port=name_of(opened, port)).status
        for port in PORTS
    }
    assert statuses == {"main": 200, "a": 200, "b": 413, "NUMBER": 200}
    long = {"X-Long": "x" * 300}
    statuses = {
        port: fetch(opened, "/every/url", headers=long, port=name_of(opened, port)).status
        for port in PORTS
    }
    assert statuses == {"main": 200, "a": 200, "b": 200, "NUMBER": 431}


def test_a_port_has_deadlines_of_its_own(server):
    server.urlHandler("/")(lambda request: "in time")
    server.setPortInfo("a", 0, head_timeout=0.05)
    with running(server, ports=["a"]), connect(server, "a") as one, connect(server) as other:
        for sock in (one, other):
            sock.sendall(b"GET / HTTP/1.1\r\n")
        assert b" 408 " in receive_all(one)
        other.sendall(b"Host: localhost\r\nConnection: close\r\n\r\n")
        assert receive_all(other).endswith(b"in time")


def test_a_port_has_websockets_of_its_own_size(opened):
    with connect(opened, "a") as small, connect(opened) as large:
        ends = []
        for sock in (small, large):
            _, client = upgrade(sock, "/every/socket")
            client.message()
            client.send(text("123456"), close())
            ends.append(client.ended().code)
        assert ends == [1009, 1000]


def test_a_port_shows_tracebacks_where_it_is_in_debug_mode(opened):
    opened.urlHandler("/fails", ports=[-1])(lambda request: 1 / 0)
    shown = {port: "ZeroDivisionError" in fetch(opened, "/fails", port=port).text
             for port in ("main", "a", "b")}  # fmt: skip
    assert shown == {"main": False, "a": True, "b": False}
    assert not opened.isInDebugMode()


def test_two_servers_have_ports_of_the_same_names(opened):
    other = hwebserver.Server("other")
    other.urlHandler("/every/url", ports=["a"])(lambda request: "other")
    with running(other, ports=[("a", 0)]):
        assert other.port("a") != opened.port("a")
        assert fetch(other, "/every/url", port="a").text == "other"
        assert fetch(opened, "/every/url", port="a").text == "url"
        assert fetch(other, "/every/url").status == 404


# --- all of them or none ---


def refusal(server, port=0, **arguments):
    with pytest.raises(OperationFailed) as caught, running(server, port=port, **arguments):
        pass
    assert not server.isRunning()
    return str(caught.value)


def test_one_port_that_cannot_be_had_closes_all(server):
    number = free_number()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = taken.getsockname()[1]
        assert str(other) in refusal(server, number, ports=[("a", 0), ("b", other)])
    socket.create_server(("127.0.0.1", number)).close()  # It can be had again.
    with running(server, port=number, ports=[("a", 0)]):
        assert server.port() == number


def test_a_name_without_a_number_is_told(server):
    server.setSettingsForPort({"SERVER_HEADER": "a"}, "a")
    assert "'a' has no number" in refusal(server, ports=["a"])
    assert "'a' has no number" in refusal(server, ports=[-1])


def test_two_ports_of_the_same_number_are_told(server):
    number = free_number()
    message = refusal(server, ports=[("a", number), ("b", number)])
    assert f"'a' and 'b' both have the number {number}" in message
    assert f"'main' and 'a' both have the number {number}" in refusal(
        server, number, settings={"PORTS": {"a": {"PORT": number}}}, ports=["a"]
    )


def test_the_same_number_on_another_address_is_another_port(server):
    number = free_number()
    server.setSettingsForPort({"ADDRESS": "127.0.0.2"}, "a")
    server.urlHandler("/", ports=[-1])(lambda request: request.portName())
    with running(server, port=number, ports=[("a", number)]):
        names = []
        for host in ("127.0.0.1", "127.0.0.2"):
            client = http.client.HTTPConnection(host, number, timeout=PATIENCE)
            with contextlib.closing(client):
                client.request("GET", "/", headers={"Host": "localhost"})
                names.append(client.getresponse().read())
        assert names == [b"main", b"a"]


def test_a_port_goes_on_to_the_next_number_when_another_one_of_ours_has_its_own(server):
    number = free_number()
    server.setPortInfo("a", number, min(number + 50, 65535))
    server.setPortInfo("b", number, allow_system_port=True)
    with running(server, port=number, ports=["a", "b"]):
        assert len({server.port(), server.port("a"), server.port("b")}) == 3


@pytest.mark.parametrize(
    ("ports", "further"),
    [
        ([], {}),
        (None, {}),
        ([0, "", "main", 8008, "8008"], {}),
        ([("main", 8008), ("", 0)], {}),
        (["a", "a"], {"a": None}),
        ([("a", 5), "a"], {"a": 5}),
        (["a", ("a", 5)], {"a": 5}),
        ([8123, "8124"], {"8123": None, "8124": None}),
        ([-1], {"set": None, "8200": None}),
        ([("set", 5), -1], {"set": 5, "8200": None}),
        ("a", {"a": None}),
        (8123, {"8123": None}),
    ],
)
def test_the_ports_of_run_mean(ports, further):
    settings = Settings()
    for name in ("main", "set", "8200"):
        settings.set_for_port({}, name)
    assert dict(further_ports(settings, ports, 8008)) == further


@pytest.mark.parametrize("ports", [[("a", 5), ("a", 6)], [("main", 5)], [("8008", 5)]])
def test_one_port_has_one_number(ports):
    with pytest.raises(OperationFailed, match="number"):
        further_ports(Settings(), ports, 8008)
