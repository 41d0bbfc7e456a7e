"""What a server does on a system that has less than ours; see test_other_systems."""

from __future__ import annotations

import sys

from elsewhere import make_poor

make_poor()

import asyncio  # noqa: E402
import contextlib  # noqa: E402
import glob  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import selectors  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402

import pytest  # noqa: E402
import wsclient  # noqa: E402
from support import connect, fetch, receive_all, running, wait_until  # noqa: E402

import hwebserver  # noqa: E402

FOLDER, CERTIFICATE, KEY = sys.argv[1:]
LARGE = os.urandom(300_000)


def make_server() -> hwebserver.Server:
    server = hwebserver.Server("elsewhere")
    kept = os.path.join(FOLDER, "static")
    os.mkdir(kept)
    for name in ("large.bin", "nul", "a.txt:ads"):
        with open(os.path.join(kept, name), "wb") as file:
            file.write(LARGE)
    for port in (-1, "safe"):
        server.registerStaticFilesDirectory(kept, "/static", port)

    @server.urlHandler("/upload")
    def upload(request):
        file = request.files()["f"]
        file.saveToDisk()
        assert os.path.exists(file.temporaryFilePath())
        return {"same": file.read() == LARGE, "name": file.name(), "more": request.POST()}

    @server.urlHandler("/body")
    def body(request):
        return {"same": request.bodyFile().read() == request.body() == LARGE}

    @server.urlHandler("/gone")
    def gone(request):
        with tempfile.NamedTemporaryFile(dir=FOLDER, suffix=".gone", delete=False) as file:
            file.write(LARGE)
        return hwebserver.fileResponse(file.name, delete_file=True)

    @server.urlHandler("/stream")
    def stream(request):
        return hwebserver.Response(b"x" * 100_000 for _ in range(5))

    @server.urlHandler("/events")
    def events(request):
        return hwebserver.eventStreamResponse(iter(["one", "two"]))

    @server.urlHandler("/coroutine", ports=[-1])
    async def coroutine(request):
        await asyncio.sleep(0)
        return "of a loop"

    @server.urlHandler("/fail")
    def fail(request):
        raise ValueError("on purpose")

    @server.webSocket("/echo")
    class Echo(hwebserver.WebSocket):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data or bytes_data)

    return server


def check_that_it_is_poor():
    assert selectors.DefaultSelector is selectors.SelectSelector
    assert not hasattr(os, "sendfile")
    assert not hasattr(socket, "AF_UNIX")
    assert hwebserver.registration.os.name == "nt"
    first, second = socket.socketpair()
    assert first.family == socket.AF_INET
    first.close()
    second.close()


def check_requests(server):
    assert fetch(server, "/coroutine").text == "of a loop"
    assert fetch(server, "/fail").status == 500
    assert fetch(server, "/none").status == 404
    assert fetch(server, "/stream").body == b"x" * 500_000
    assert fetch(server, "/events").text == "data: one\n\ndata: two\n\n"


def check_files(server):
    assert fetch(server, "/static/large.bin").body == LARGE
    part = fetch(server, "/static/large.bin", headers={"Range": "bytes=100000-299999"})
    assert (part.status, part.body) == (206, LARGE[100_000:])
    for path in ("nul", "NUL", "a.txt:ads", "large.bin.", "large.bin%20", "C:", "large.bin::$DATA"):
        assert fetch(server, f"/static/{path}").status == 404, path
    assert fetch(server, "/gone").body == LARGE
    wait_until(lambda: not glob.glob(os.path.join(FOLDER, "*.gone")))


def check_uploads(server):
    form = (
        b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\nv\r\n--b\r\n'
        b'Content-Disposition: form-data; name="f"; filename="C:\\a\\con.exr"\r\n\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = fetch(server, "/upload", "POST", form + LARGE + b"\r\n--b--\r\n", kind)
    assert answer.text == '{"same": true, "name": "_con.exr", "more": {"n": "v"}}', answer
    assert fetch(server, "/body", "POST", LARGE).text == '{"same": true}'
    wait_until(lambda: not glob.glob(os.path.join(FOLDER, "hwebserver-*")))


def check_websockets(server):
    with connect(server) as sock:
        sock.sendall(wsclient.head("/echo"))
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        client = wsclient.Client(sock, head, head.partition(b"\r\n\r\n")[2])
        for message in ("short", "long " * 50_000):
            client.send(wsclient.text(message))
            assert client.message() == message
        client.send(wsclient.close())
        assert client.receive().opcode == wsclient.CLOSE


def check_tls(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for path in ("/static/large.bin", "/coroutine"):
        with connect(server, "safe") as plain, context.wrap_socket(plain) as sock:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            sock.sendall(request.encode())
            data = b""
            with contextlib.suppress(ssl.SSLEOFError):
                data = receive_all(sock)
        assert data.startswith(b"HTTP/1.1 200 "), data[:200]
        assert data.endswith(LARGE if "static" in path else b"of a loop")


def check_unix_sockets():
    server = hwebserver.Server("unix")
    server.setSettingsForPort({"ADDRESS": f"unix:{FOLDER}/socket"})
    with pytest.raises(hwebserver.OperationFailed, match="this system has no Unix sockets"):
        server.run(0, in_background=True)


def check_foreground():
    """A run on the main thread sets handlers of the signals that there are, and waits."""
    server = hwebserver.Server("foreground")
    server.urlHandler("/")(lambda request: "hello")

    def ask(port):
        assert fetch(server).text == "hello"
        server.requestShutdown()

    asking = []

    def begin(port):
        asking.append(threading.Thread(target=ask, args=(port,)))
        asking[0].start()

    server.run(0, in_background=False, port_callback=begin)
    asking[0].join()
    assert not server.isRunning()


def main():
    check_that_it_is_poor()
    tempfile.tempdir = FOLDER
    server = make_server()
    server.setSettingsForPort({"LOG_FILE": os.path.join(FOLDER, "access.log")})
    server.setSettingsForPort(
        {"PORT": 0, "SSL_CERTIFICATE": CERTIFICATE, "SSL_CERTIFICATE_KEY": KEY}, "safe"
    )
    logging.getLogger("hwebserver.app").disabled = True  # What fails does so on purpose.
    arguments = {"max_in_memory_file_upload_size": 1000, "verbosity": 1, "ports": ["safe"]}
    with running(server, **arguments):
        for check in (check_requests, check_files, check_uploads, check_websockets, check_tls):
            check(server)
            print(check.__name__, flush=True)
    for check in (check_unix_sockets, check_foreground):
        check()
        print(check.__name__, flush=True)


main()
