"""WebSockets with the clients that people use: Python's, node's and a browser."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from integration.components import find_module, find_program, missing
from integration.program import serving_tidily
from support import PATIENCE, wait_until

pytestmark = pytest.mark.integration

MEGABYTE = 1 << 20

TEXT = "größer — 二 " * (MEGABYTE // 16)

TARGET = str(Path(__file__).with_name("sockets.py"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The WebSockets of the tests."""
    with serving_tidily(TARGET, root=tmp_path_factory.mktemp("sockets")) as server:
        yield server


def url_of(server, path):
    host, port = server.place
    return f"ws://{host}:{port}{path}"


# --- websockets ---


@pytest.fixture
def connect(served):
    """Open WebSockets with ``websockets``; they are closed behind the test."""
    client = find_module("websockets.sync.client")
    with contextlib.ExitStack() as opened:

        def open_one(path, **options):
            options = {"proxy": None, "max_size": None, "open_timeout": PATIENCE, **options}
            return opened.enter_context(client.connect(url_of(served, path), **options))

        yield open_one


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_gets_back_what_it_sends(connect, compression):
    socket = connect("/echo", compression=compression)
    extensions = socket.response.headers.get("Sec-WebSocket-Extensions", "")
    assert extensions.startswith("permessage-deflate") == (compression == "deflate")
    for message in ["", "ä", TEXT, b"", os.urandom(MEGABYTE), bytes(MEGABYTE), "again"]:
        socket.send(message)
        assert socket.recv(PATIENCE) == message


def test_websockets_sends_a_message_in_fragments(connect):
    socket = connect("/echo")
    socket.send(iter(["a", "b" * MEGABYTE, "ü"]))
    assert socket.recv(PATIENCE) == "a" + "b" * MEGABYTE + "ü"


def test_websockets_has_many_messages_on_their_way(connect):
    socket = connect("/echo")
    for number in range(500):
        socket.send(str(number))
    assert [socket.recv(PATIENCE) for _ in range(500)] == [str(n) for n in range(500)]


def test_websockets_pings_and_is_answered(connect):
    socket = connect("/echo")
    assert socket.ping("one").wait(PATIENCE)
    socket.send("still there")
    assert socket.recv(PATIENCE) == "still there"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
def test_websockets_is_told_a_close_code(connect, code):
    socket = connect("/close")
    socket.send(str(code))
    with pytest.raises(find_module("websockets").ConnectionClosed) as caught:
        socket.recv(PATIENCE)
    received = caught.value.rcvd
    assert (received.code, received.reason, caught.value.rcvd_then_sent) == (code, "as asked", True)


def test_websockets_closes_with_a_code_that_the_program_sees(connect, served):
    socket = connect("/echo")
    socket.close(4321, "enough")
    served.wait_for_line("the echo ended with 4321$")
    assert socket.close_code == 4321


def test_websockets_is_refused(connect):
    exceptions = find_module("websockets.exceptions")
    for path, status in [("/closed", 403), ("/none", 404)]:
        with pytest.raises(exceptions.InvalidStatus) as caught:
            connect(path)
        assert caught.value.response.status_code == status


def test_websockets_agrees_on_a_subprotocol(connect):
    socket = connect("/versioned", subprotocols=["notes.v3", "notes.v2"])
    assert socket.subprotocol == "notes.v2"
    assert socket.recv(PATIENCE) == "speaking notes.v2"


def test_every_reader_gets_what_is_posted(connect, served):
    sockets = [connect("/news"), connect("/news", compression=None), connect("/news")]
    wait_until(lambda: served.get("/news/readers").text == "3")
    for news in ["first", "zweite — 二"]:
        assert served.get("/news", "POST", news.encode()).text == "3"
        assert [socket.recv(PATIENCE) for socket in sockets] == [news] * 3
    sockets.pop().close()
    wait_until(lambda: served.get("/news/readers").text == "2")
    assert served.get("/news", "POST", "third").text == "2"


# --- websocket-client ---


def test_websocket_client_gets_back_what_it_sends(served):
    websocket = find_module("websocket")
    socket = websocket.create_connection(
        url_of(served, "/echo"), timeout=PATIENCE, http_no_proxy=["*"]
    )
    with contextlib.closing(socket):
        for text in ["", "ä", TEXT]:
            socket.send(text)
            assert socket.recv() == text
        blob = os.urandom(MEGABYTE)
        socket.send_binary(blob)
        assert socket.recv() == blob
        socket.ping("one")
        opcode, frame = socket.recv_data_frame(control_frame=True)
        assert (opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"one")
        socket.close(4001)
    served.wait_for_line("the echo ended with 4001$")


def test_websocket_client_agrees_on_a_subprotocol(served):
    websocket = find_module("websocket")
    socket = websocket.create_connection(
        url_of(served, "/versioned"),
        timeout=PATIENCE,
        http_no_proxy=["*"],
        subprotocols=["notes.v2"],
    )
    with contextlib.closing(socket):
        assert (socket.getsubprotocol(), socket.recv()) == ("notes.v2", "speaking notes.v2")


def test_websocket_client_answers_pings_and_is_kept(tmp_path):
    websocket = find_module("websocket")
    pings, messages, errors = [], [], []

    def on_ping(app, data):
        pings.append(data)
        if len(pings) == 5:
            app.send("after five pings")

    def on_message(app, message):
        messages.append(message)
        app.close()

    # The server closes what does not answer within the time; five pings are beyond it.
    times = {"PING_INTERVAL": "0.2", "PING_TIMEOUT": "0.5"}
    variables = {f"HWEBSERVER_WEBSOCKET_{name}": value for name, value in times.items()}
    with serving_tidily(TARGET, root=tmp_path, **variables) as server:
        app = websocket.WebSocketApp(
            url_of(server, "/echo"),
            on_ping=on_ping,
            on_message=on_message,
            on_error=lambda app, error: errors.append(error),
        )
        app.run_forever(http_no_proxy=["*"])
        server.wait_for_line("the echo ended with 1000$")
    assert (messages, errors) == (["after five pings"], [])


# --- ws ---

SCRIPT = """
const WebSocket = require("ws");
const [url, perMessageDeflate] = [process.argv[2], JSON.parse(process.argv[3])];
const socket = new WebSocket(url, {perMessageDeflate});
const large = "größer — 二 ".repeat(1 << 16);
const messages = ["one", "ä — 二", "", Buffer.from([0, 255, 7]), large, Buffer.alloc(1 << 20, 9)];
const answers = [];
let pong = false;
socket.on("error", error => { console.error(error); process.exit(1); });
socket.on("open", () => { socket.ping("one"); messages.forEach(one => socket.send(one)); });
socket.on("pong", data => { pong = data.toString() === "one"; });
socket.on("message", (data, isBinary) => {
  const sent = messages[answers.length];
  answers.push(isBinary === Buffer.isBuffer(sent) && data.equals(Buffer.from(sent)));
  if (answers.length === messages.length) socket.close(4002, "enough");
});
socket.on("close", code => {
  console.log(JSON.stringify({extensions: socket.extensions, pong, answers, code}));
});
"""


@pytest.fixture(scope="module")
def node_script(tmp_path_factory):
    """A script for node, beside the module that it needs."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}", encoding="utf-8")
    command = [find_program("npm"), "install", "--no-audit", "--no-fund", "--no-save", "ws"]
    installed = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=6 * PATIENCE, check=False
    )
    if installed.returncode != 0:
        missing(f"the module ws of npm ({installed.stderr.strip()})")
    path = folder / "client.js"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.mark.parametrize("compressed", [True, False])
def test_ws_gets_back_what_it_sends(served, node_script, compressed):
    command = [find_program("node"), node_script, url_of(served, "/echo"), json.dumps(compressed)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "extensions": "permessage-deflate" if compressed else "",
        "pong": True,
        "answers": [True] * 6,
        "code": 4002,
    }


# --- a browser ---


@pytest.fixture
def page(browser, served):
    """The page whose script has WebSockets; what is left in the console fails a test."""
    browser.open(f"{served.address}/")
    yield browser
    assert browser.console() == []
    browser.open("about:blank")


def test_a_browser_gets_back_what_it_sends(page, served):
    page.wait_until(lambda: page.find("#end").text)
    assert page.find("#extensions").text.startswith("permessage-deflate")
    expected = ["one", "zwei — 二", "", "bytes 0 255 7", "as large as it was", "last"]
    assert page.texts("#answers li") == expected
    assert page.find("#end").text == "4000 true"
    served.wait_for_line("the echo ended with 4000$")


def test_a_browser_shows_what_is_posted(page, served):
    page.wait_until(lambda: served.get("/news/readers").text == "1")
    served.get("/news", "POST", "heute — 二".encode())
    page.wait_until(lambda: page.find("#news").text == "heute — 二")


def test_a_browser_that_leaves_the_page_is_no_reader_any_more(page, served):
    page.wait_until(lambda: served.get("/news/readers").text == "1")
    page.open("about:blank")
    wait_until(lambda: served.get("/news/readers").text == "0")


def test_a_browser_is_told_why_a_socket_was_closed(page):
    end = page.run_async("""
        const socket = new WebSocket(`ws://${location.host}/close`);
        await new Promise(resolve => { socket.onopen = resolve; });
        socket.send("4444");
        const event = await new Promise(resolve => { socket.onclose = resolve; });
        return [event.code, event.reason, event.wasClean];
    """)
    assert end == [4444, "as asked", True]


def test_a_browser_agrees_on_a_subprotocol(page):
    told = page.run_async("""
        const socket = new WebSocket(`ws://${location.host}/versioned`, ["notes.v3", "notes.v2"]);
        const event = await new Promise(resolve => { socket.onmessage = resolve; });
        socket.close();
        return [socket.protocol, event.data];
    """)
    assert told == ["notes.v2", "speaking notes.v2"]
