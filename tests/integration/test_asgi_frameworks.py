"""ASGI with what people use: frameworks in a server, and a server's handlers in uvicorn."""

from __future__ import annotations

import contextlib
import textwrap

import pytest
import same_answers
from integration.asgi_servers import uvicorn
from integration.components import find_module
from same_answers import FURTHER, REQUESTS
from support import fetch, running, wait_until

import hwebserver

pytestmark = pytest.mark.integration

BLOB = bytes(range(256)) * 4000


@pytest.fixture
def client():
    """A client of httpx that uses no proxy."""
    with find_module("httpx").Client(trust_env=False, timeout=20) as client:
        yield client


def open_socket(url, **options):
    """Open a WebSocket with the client of websockets."""
    find_module("websockets")
    connect = find_module("websockets.sync.client").connect
    return connect(url.replace("http", "ws", 1), proxy=None, **options)


# --- frameworks in a server ---


def fastapi_site(log):
    """A site with a lifespan, an upload, a stream, a WebSocket and a task in the background."""
    fastapi = find_module("fastapi")
    responses = find_module("fastapi.responses")

    @contextlib.asynccontextmanager
    async def lifespan(app):
        log.append("start")
        yield {"name": "of the lifespan"}
        log.append("end")

    site = fastapi.FastAPI(lifespan=lifespan)

    async def hello(name, request):
        return {
            "hello": name,
            "state": request.state.name,
            "url": str(request.url_for("hello", name="x")),
        }

    hello.__annotations__ = {"name": str, "request": fastapi.Request}
    site.get("/hello/{name}")(hello)

    def upload(file, title):
        return {"title": title, "name": file.filename, "size": len(file.file.read())}

    upload.__annotations__ = {"file": fastapi.UploadFile, "title": str}
    upload.__defaults__ = (fastapi.File(), fastapi.Form())
    site.post("/upload")(upload)

    def plain():  # a thread of the framework's
        return "plain"

    site.get("/plain")(plain)

    async def echo(request):
        return responses.StreamingResponse(request.stream())

    echo.__annotations__ = {"request": fastapi.Request}
    site.post("/echo")(echo)

    async def background(tasks):
        tasks.add_task(log.append, "background")
        return "done"

    background.__annotations__ = {"tasks": fastapi.BackgroundTasks}
    site.get("/background")(background)

    @site.get("/file")
    async def file():
        return responses.FileResponse(__file__, media_type="text/x-python")

    @site.get("/raises")
    async def raises():
        raise KeyError("out of order")

    async def socket(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(f"{websocket.state.name}: {text}")
        log.append("left")

    socket.__annotations__ = {"websocket": fastapi.WebSocket}
    site.websocket("/socket")(socket)
    return site


@pytest.fixture
def site():
    """A server with a FastAPI site beside a handler, and what happens in the site."""
    log = []
    server = hwebserver.Server("asgi")
    server.registerASGIApp(fastapi_site(log), "/site")
    server.urlHandler("/own")(lambda request: "own")
    with running(server):
        assert log == ["start"]
        yield server, log
    assert log[-1] == "end"


def test_pages_and_their_links(client, site):
    server, _ = site
    found = client.get(server.url("/site/hello/Ada")).json()
    assert found["hello"] == "Ada"
    assert found["state"] == "of the lifespan"
    assert found["url"].endswith("/site/hello/x")
    assert client.get(server.url("/site/plain")).json() == "plain"
    assert client.get(server.url("/own")).text == "own"
    assert client.get(server.url("/site/none")).json() == {"detail": "Not Found"}
    assert client.get(server.url("/site/hello/")).status_code == 404
    assert "/site/openapi.json" in client.get(server.url("/site/docs")).text


def test_uploads(client, site):
    server, _ = site
    files, form = {"file": ("blob.bin", BLOB)}, {"title": "größe"}
    answer = client.post(server.url("/site/upload"), files=files, data=form)
    assert answer.json() == {"title": "größe", "name": "blob.bin", "size": len(BLOB)}


def test_a_body_that_is_streamed_back(client, site):
    server, _ = site
    pieces = (BLOB[start : start + 50_000] for start in range(0, len(BLOB), 50_000))
    assert client.post(server.url("/site/echo"), content=pieces).content == BLOB


def test_files_and_ranges(client, site):
    server, _ = site
    with open(__file__, "rb") as file:
        expected = file.read()
    whole = client.get(server.url("/site/file"))
    assert whole.content == expected
    part = client.get(server.url("/site/file"), headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, expected[2:6])
    assert client.head(server.url("/site/file")).status_code == 405  # FastAPI's own rule


def test_what_runs_behind_a_response(client, site):
    server, log = site
    assert client.get(server.url("/site/background")).json() == "done"
    wait_until(lambda: log == ["start", "background"])


def test_errors(client, site, caplog):
    server, _ = site
    assert client.get(server.url("/site/raises")).status_code == 500
    assert "out of order" in caplog.text
    assert client.post(server.url("/site/upload")).status_code == 422


def test_websockets(site):
    server, log = site
    with open_socket(server.url("/site/socket")) as socket:
        socket.send("hello")
        assert socket.recv() == "of the lifespan: hello"
        socket.send("x" * 200_000)
        assert socket.recv() == "of the lifespan: " + "x" * 200_000
    wait_until(lambda: "left" in log)


def test_a_socket_where_the_site_has_none(site):
    server, _ = site
    invalid = find_module("websockets.exceptions").InvalidStatus
    for path, status in (("/site/none", 403), ("/none", 404)):
        with pytest.raises(invalid) as caught:
            open_socket(server.url(path))
        assert caught.value.response.status_code == status


def test_starlette_at_the_root_with_mounts_of_its_own(client):
    starlette = find_module("starlette.applications")
    routing = find_module("starlette.routing")
    responses = find_module("starlette.responses")

    async def page(request):
        return responses.PlainTextResponse(f"{request.scope['root_path']} {request.url.path}")

    async def moved(request):
        return responses.RedirectResponse(request.url_for("page"))

    inner = [routing.Route("/page", page, name="page")]
    site = starlette.Starlette(
        routes=[
            routing.Mount("/inner", routes=inner),
            routing.Route("/page", page, name="page"),
            routing.Route("/moved", moved),
        ]
    )
    server = hwebserver.Server("starlette")
    server.registerASGIApp(site, "/")
    with running(server):
        assert client.get(server.url("/page")).text == " /page"
        assert client.get(server.url("/inner/page")).text == "/inner /inner/page"
        answer = client.get(server.url("/moved"), follow_redirects=True)
        assert answer.text == "/inner /inner/page"  # the first of that name
        assert fetch(server, "/page", "HEAD").headers["content-length"] == "6"


# --- a server's handlers in uvicorn ---


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder that the program serves."""
    folder = tmp_path_factory.mktemp("same")
    same_answers.make_files(folder)
    return folder


@pytest.fixture(scope="module")
def uvicorn_place(files):
    """Where uvicorn serves the program that all servers are compared by."""
    variables = {same_answers.FOLDER: str(files)}
    with uvicorn("same_answers:asgi", "--factory", cwd=files, **variables) as (_, place):
        yield place


@pytest.mark.parametrize("asked", [*REQUESTS, *FURTHER], ids=str)
def test_uvicorn_gives_the_same_answer(uvicorn_place, files, asked):
    with running(same_answers.build(files)) as server:
        ours = same_answers.ask(("127.0.0.1", server.port()), asked)
    same_answers.compare(ours, same_answers.ask(uvicorn_place, asked))


PROGRAM = """
import asyncio
import hwebserver
from examples import hello

@hwebserver.urlHandler("/wait")
async def wait(request):
    await asyncio.sleep(0)
    return "waited"

@hwebserver.urlHandler("/ticks")
async def ticks(request):
    async def made():
        try:
            while True:
                yield "tick\\n"
                await asyncio.sleep(0.01)
        finally:
            print("the client has left", flush=True)
    return hwebserver.Response(made(), 200, "text/plain")

@hwebserver.webSocket("/socket")
class Echo(hwebserver.WebSocket):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data if bytes_data is None else bytes_data)

    async def disconnect(self, code):
        print("closed with", code, flush=True)

@hwebserver.webSocket("/plain")
class Plain(hwebserver.WebSocket):
    def connect(self, req):
        self.accept(subprotocol="two")

    def receive(self, message):
        self.send(message.upper())
        self.close(4000, "enough")

app = hwebserver.asgiApp()
"""


@pytest.fixture
def hello_in_uvicorn(tmp_path):
    """The smallest example and some more in uvicorn."""
    (tmp_path / "site_of_test.py").write_text(textwrap.dedent(PROGRAM))
    with uvicorn("site_of_test:app", "--app-dir", str(tmp_path), cwd=tmp_path) as (started, place):
        yield started, f"http://{place[0]}:{place[1]}"


def test_an_example_runs_in_uvicorn(client, hello_in_uvicorn):
    started, url = hello_in_uvicorn
    assert client.get(f"{url}/hello/Ada").text == "<h1>Hello, Ada!</h1>"
    form = {"cmd_function": "hello.add", "x": "2", "y": "3"}
    assert client.post(f"{url}/api", data=form).json() == 5
    assert client.get(f"{url}/wait").text == "waited"
    started.stop()
    assert "Application shutdown complete" in started.output
    assert "Traceback" not in started.output


def test_a_stream_ends_with_its_client(client, hello_in_uvicorn):
    started, url = hello_in_uvicorn
    with client.stream("GET", f"{url}/ticks") as response:
        assert next(response.iter_lines()) == "tick"
    started.wait_for_line("the client has left")


def test_websockets_in_uvicorn(hello_in_uvicorn):
    started, url = hello_in_uvicorn
    with open_socket(f"{url}/socket") as socket:
        socket.send("text")
        assert socket.recv() == "text"
        socket.send(b"bytes")
        assert socket.recv() == b"bytes"
    started.wait_for_line("closed with 1000")
    closed = find_module("websockets.exceptions").ConnectionClosed
    with open_socket(f"{url}/plain", subprotocols=["one", "two"]) as socket:
        assert socket.subprotocol == "two"
        socket.send("text")
        assert socket.recv() == "TEXT"
        with pytest.raises(closed) as caught:
            socket.recv()
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "enough")


def test_an_upgrade_where_nothing_is_gets_404_and_a_plain_get_426(client, hello_in_uvicorn):
    _, url = hello_in_uvicorn
    with pytest.raises(find_module("websockets.exceptions").InvalidStatus) as caught:
        open_socket(f"{url}/none")
    assert caught.value.response.status_code == 404
    assert client.get(f"{url}/socket").status_code == 426
