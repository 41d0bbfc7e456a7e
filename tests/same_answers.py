"""One program and many requests to it, for servers that must answer them alike."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from support import PATIENCE, Answer

import hwebserver

#: The variable that tells ``app`` where its files are.
FOLDER = "SAME_ANSWERS_FOLDER"

HOST = "localhost:8008"

MOST = 1_000_000

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PARTS = {"Content-Type": "multipart/form-data; boundary=x"}

#: The fields that are the server's of sockets, not ours.
_THEIRS = frozenset(("date", "server", "connection", "transfer-encoding", "keep-alive"))


class Ask(NamedTuple):
    """A request."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: bytes | Iterable[bytes] | None = None

    def __str__(self) -> str:
        extra = [f"{name}={value}" for name, value in self.headers.items()]
        extra += [] if self.body is None else [repr(self.body)[:30]]
        return " ".join((self.method, self.path, *extra))


def multipart(*parts: tuple[str, str, bytes]) -> bytes:
    """A form; a part whose second value is empty is no file."""
    made = b""
    for name, file_name, data in parts:
        extra = f'; filename="{file_name}"\r\nContent-Type: text/x' if file_name else ""
        made += f'--x\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        made += data + b"\r\n"
    return made + b"--x--\r\n"


def make_files(folder: Path) -> None:
    """Make what the program serves."""
    (folder / "sub").mkdir()
    (folder / "sub" / "index.html").write_text("<p>index")
    (folder / "small.txt").write_text("0123456789")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 1000)
    (folder / "page.js").write_text("// page")
    (folder / "page.js.gz").write_bytes(gzip.compress(b"// page", mtime=0))
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("stored.bin", bytes(range(256)) * 1000)
        archive.writestr("packed.txt", b"packed " * 30_000, zipfile.ZIP_DEFLATED)


def build(folder: Path) -> hwebserver.Server:
    """Make the server that all are compared by."""
    server = hwebserver.Server("same")
    server.setSettingsForPort({"MAX_REQUEST_SIZE": MOST, "MAX_IN_MEMORY_FILE_UPLOAD_SIZE": 1000})
    # Without this, pages of this machine may read answers of a port that only it can reach.
    server.setSettingsForPort({"CORS_ALLOWED_ORIGINS": []})
    server.registerStaticFilesDirectory(str(folder), "/static")
    server.registerArchiveFile(str(folder / "archive.zip"), "/zip")
    add_pages(server, folder)
    add_streams(server)
    add_functions(server)
    add_coroutines(server)
    server.registerWSGIApp(mounted, "/mounted")
    return server


def app():
    """Make it for a WSGI server in a process of its own."""
    return build(Path(os.environ[FOLDER])).wsgiApp()


def asgi():
    """Make it for an ASGI server in a process of its own."""
    return build(Path(os.environ[FOLDER])).asgiApp()


def add_pages(server: hwebserver.Server, folder: Path) -> None:
    """Register handlers that answer with something whole."""

    @server.urlHandler("/")
    def index(request):
        return "<h1>Ünïcode</h1>"

    @server.urlHandler("/show", is_prefix=True)
    def show(request):
        return {
            "method": request.method(),
            "path": request.pathWithQueryString(),
            "decoded": request.path(),
            "GET": request.GET(),
            "list": request.GETList("a"),
            "POST": request.POST(),
            "headers": [request.headers().get(name) for name in ("X-One", "accept", "X-None")],
            "cookies": request.cookies(),
            "body": [request.contentLength(), request.contentType()],
            "host": [request.host(), request.scheme(), request.isSecure(), request.absoluteURI()],
            "protocol": [request.protocol(), request.portName(), request.clientAddress()[0]],
        }

    @server.urlHandler("/node/{name}/{index:int}", methods=["GET", "PUT"])
    def node(request, name, index):
        return [name, index]

    @server.urlHandler("/echo", methods=["POST"])
    def echo(request):
        return request.body()

    @server.urlHandler("/upload", methods=["POST"])
    def upload(request):
        files = [(name, one.name(), one.contentType(), one.size(), one.read().decode())
                 for name, one in request.files().items()]  # fmt: skip
        return {"files": files, "fields": request.POST()}

    @server.urlHandler("/parsed", methods=["POST"])
    def parsed(request):
        return {"parsed": request.json()}

    @server.urlHandler("/cookies")
    def cookies(request):
        response = hwebserver.Response("cookies")
        response.setCookie("a", "1", http_only=True)
        response.setCookie("b", "2")
        return response

    @server.urlHandler("/away")
    def away(request):
        return hwebserver.redirect(request, "/show?a=1")

    @server.urlHandler("/other-status")
    def other_status(request):
        return hwebserver.Response("other", 299, "text/plain")

    @server.urlHandler("/chunked")
    def chunked(request):
        response = hwebserver.Response("whole, but chunked", 200, "text/plain")
        response.setHeader("Transfer-Encoding", "chunked")
        return response

    @server.urlHandler("/reset")
    def reset(request):
        return hwebserver.Response("has no body", 205)

    @server.urlHandler("/download")
    def download(request):
        return hwebserver.fileResponse(folder / "large.bin", download_as_filename="größe.bin")

    server.urlHandler("/nothing")(lambda request: None)
    server.urlHandler("/bytes")(lambda request: b"\0\xff")
    server.urlHandler("/text")(lambda request: "compressible " * 200)
    server.urlHandler("/unsendable")(lambda request: {"set": {1}})
    server.urlHandler("/raises")(lambda request: {}["missing"])
    server.urlHandler("/status")(lambda request: hwebserver.Response("", 999))

    @server.urlHandler("/refuses")
    def refuses(request):
        raise hwebserver.HTTPError(409, "Not now.")


def add_streams(server: hwebserver.Server) -> None:
    """Register handlers that answer piece by piece."""

    def failing() -> Iterator[bytes]:
        raise ValueError("before anything was sent")
        yield b""

    async def pieces():
        for number in range(3):
            yield f"async {number}\n"

    @server.urlHandler("/length")
    def length(request):
        response = hwebserver.Response(iter(["four", "five!"]), 200, "text/plain")
        response.setHeader("Content-Length", "9")
        return response

    @server.urlHandler("/hand")
    def hand(request):
        response = hwebserver.Response("", 201, "text/plain")
        response.setHeader("X-By", "hand")
        if request.GET():
            response.setHeader("Content-Length", "7")
        request.sendHeaders(response)
        request.sendBody("by ")
        request.sendBody("")
        request.sendBody(b"hand")

    server.urlHandler("/stream")(lambda request: iter(["one ", "", "two ", b"three"]))
    server.urlHandler("/empty-stream")(lambda request: iter([]))
    server.urlHandler("/failing")(lambda request: failing())
    server.urlHandler("/async")(lambda request: pieces())
    server.urlHandler("/events")(
        lambda request: hwebserver.eventStreamResponse([{"data": {"n": 1}}, "two"], retry=1500)
    )


def add_functions(server: hwebserver.Server) -> None:
    """Register API functions."""

    @server.apiFunction("calc", arg_types={"x": float, "y": float})
    def add(request, x, y=0):
        return x + y

    @server.apiFunction("calc")
    def fail(request):
        raise hwebserver.APIError({"why": "it must"})

    @server.apiFunction("calc")
    def size(request, file):
        return [file.name(), file.size()]

    @server.apiFunction("calc")
    def raw(request):
        return b"raw"

    @server.apiFunction("calc")
    async def later(request, x):
        await asyncio.sleep(0)
        return [x, "later"]


def add_coroutines(server: hwebserver.Server) -> None:
    """Register handlers that are coroutines."""

    @server.urlHandler("/coroutine")
    async def coroutine(request):
        await asyncio.sleep(0)
        return {"path": request.path()}

    @server.urlHandler("/coroutine/raises")
    async def raises(request):
        await asyncio.sleep(0)
        raise ValueError("in a coroutine")

    @server.urlHandler("/coroutine/hand")
    async def by_hand(request):
        request.sendHeaders(hwebserver.Response("", 200, "text/plain"))
        await asyncio.sleep(0)
        request.sendBody("by hand")


def mounted(environ, start_response):
    """A WSGI application in the program: it may be called in another WSGI server."""
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_HOST",
             "CONTENT_TYPE", "CONTENT_LENGTH", "SERVER_NAME", "SERVER_PORT")  # fmt: skip
    seen = {name: environ.get(name) for name in names}
    seen["body"] = environ["wsgi.input"].read().decode("latin-1")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]


_PAGES = """
/ /nothing /bytes /text /unsendable /raises /status /refuses /cookies /away /other-status
/chunked /reset /stream /empty-stream /failing /async /length /hand /hand?length /events
/coroutine /coroutine/raises /coroutine/hand /download /none /api /static /static/sub /static/sub/
/static/small.txt /static/large.bin
/static/page.js /static/none /static/..%2Fsmall.txt /zip/stored.bin /zip/packed.txt /node/a/1
/node/a%2Fb/2 /node/a/x /mounted /mounted/a%2Fb%20?q=%20
/show/a%2Fb%C3%A9%ff;x=1/?a=1&a=2&b=%26+c&&a= /show/a//b/../c /show?
""".split()

_LARGE = b"x" * 100_000

_GZIP = {"Accept-Encoding": "gzip"}

REQUESTS = [
    *(Ask(page) for page in _PAGES),
    *(Ask(page, "HEAD") for page in _PAGES),
    *(Ask(page, "DELETE") for page in ("/", "/node/a/1", "/api", "/static/small.txt", "/none")),
    *(Ask(page, "OPTIONS") for page in ("*", "/", "/node/a/1", "/api", "/static/small.txt")),
    *(Ask(page, headers={"Accept": "application/json"}) for page in ("/none", "/raises", "/api")),
    *(Ask(page, headers=_GZIP) for page in ("/text", "/static/page.js", "/bytes", "/hand")),
    Ask("/node/a/1", "PUT", FORM, b"a=1"),
    Ask("/show", headers={"Cookie": "a=1; b=2", "X-One": "r\xf4le", "Accept": "text/html, */*"}),
    Ask("/show", "POST", FORM, b"a=1&b=%26+c&a=2"),
    Ask("/show", "PATCH", JSON, b"{}"),
    Ask("/show", "BREW"),
    # ranges and conditions
    *(
        Ask(page, "GET", {"Range": f"bytes={ranges}"})
        for page in ("/download", "/static/small.txt", "/zip/stored.bin", "/zip/packed.txt")
        for ranges in ("0-", "5-9", "-4", "1-2,5-6", "999999-")
    ),
    Ask("/download", "HEAD", {"Range": "bytes=1-5"}),
    Ask("/download", "GET", {"If-None-Match": "*"}),
    Ask("/download", "GET", {"If-Match": '"other"'}),
    Ask("/static/small.txt", "GET", {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    Ask("/static/small.txt", "GET", {"If-Unmodified-Since": "Fri, 01 Jan 1999 00:00:00 GMT"}),
    # bodies
    Ask("/echo", "POST", JSON, b""),
    Ask("/echo", "POST", JSON, b"\0\xff" * 400),
    Ask("/echo", "POST", JSON, _LARGE),
    Ask("/none", "POST", JSON, b"x" * 1000),
    Ask("/parsed", "POST", JSON, b'{"a": [1, 2]}'),
    Ask("/parsed", "POST", JSON, b"{"),
    Ask("/upload", "POST", PARTS, multipart(("a", "", b"1"), ("f", "n.txt", b"text"))),
    Ask("/upload", "POST", PARTS, multipart(("f", "n.txt", _LARGE), ("g", "", b""))),
    Ask("/upload", "POST", PARTS, b"--x\r\nno form"),
    Ask("/upload", "POST", {"Content-Type": "multipart/form-data"}, b"--x--\r\n"),
    Ask("/echo", "POST", PARTS, multipart(("a", "", b"1"))),
    Ask("/mounted/x", "POST", PARTS, multipart(("a", "", b"1"))),
    # functions
    Ask("/api", "POST", FORM, b"cmd_function=calc.add&x=1&y=2"),
    Ask("/api", "POST", FORM, b"cmd_function=calc.add&x=one"),
    Ask("/api", "POST", FORM, b"cmd_function=calc.none"),
    Ask("/api", "POST", FORM, b"cmd_function=calc.fail"),
    Ask("/api", "POST", FORM, b"cmd_function=calc.raw"),
    Ask("/api", "POST", FORM, b"json=%5B%22calc.add%22%2C%5B1%5D%2C%7B%7D%5D"),
    Ask("/api", "POST", JSON, b'["calc.add", [1], {"y": 2.5}]'),
    Ask("/api", "POST", JSON, b'["calc.later", ["x"], {}]'),
    Ask("/api", "POST", JSON, b'["calc.add"'),
    Ask("/api", "POST", PARTS, multipart(
        ("json", "", b'["calc.size", [], {}]'), ("file", "f.txt", b"x" * 5000))),
    Ask("/api", "POST", PARTS, multipart(
        ("cmd_function", "", b"calc.add"), ("x", "", b"40"), ("y", "", b"2"))),
]  # fmt: skip

#: Requests that wsgiref's server cannot serve: without a Content-Length, or refused unread.
FURTHER = [
    Ask("/echo", "POST", JSON, b"x" * (MOST + 1)),
    Ask("/echo", "POST", JSON, (b"three", b" pieces", b" of it")),
    Ask("/echo", "POST", JSON, (b"x" * 65536,) * 16),
    Ask("/upload", "POST", PARTS, (multipart(("f", "n.txt", b"text")),)),
    Ask("/api", "POST", JSON, (b'["calc.add", [1], ', b"{}]")),
    Ask("/mounted", "POST", JSON, (b"ab", b"cd")),
]


def ask(place: tuple[str, int], asked: Ask) -> Answer:
    """Make a request."""
    connection = http.client.HTTPConnection(*place, timeout=PATIENCE)
    body = asked.body if isinstance(asked.body, (bytes, type(None))) else iter(asked.body)
    try:
        connection.request(asked.method, asked.path, body, {"Host": HOST, **asked.headers})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


_BOUNDARY = re.compile(rb"[0-9a-f]{30}")


def compare(ours: Answer, theirs: Answer) -> None:
    """See that another server answers as ``run`` does."""
    assert theirs.status == ours.status
    assert _BOUNDARY.sub(b"-", theirs.body) == _BOUNDARY.sub(b"-", ours.body)
    fields = sorted(_fields(ours))
    if "Content-Length" not in ours.headers:
        del theirs.headers["Content-Length"]  # Some count, or say 0, where nothing is said.
    assert sorted(_fields(theirs)) == fields


def _fields(answer: Answer) -> Iterator[tuple[str, str]]:
    for name, value in answer.headers.items():
        if name.lower() not in _THEIRS:
            yield name.lower(), re.sub("[0-9a-f]{30}", "-", value)
