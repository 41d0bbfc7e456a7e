"""What a server asks of Linux for a request, as strace sees it: also what Python does by itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from integration.program import ROOT, environment
from support import PATIENCE

STRACE = ("strace", "-f", "-qq", "-o")


def _can_trace() -> bool:
    """Say whether there is strace, and it may do what it is for: in a container it may not."""
    return (
        shutil.which("strace") is not None
        and not subprocess.run(
            [*STRACE, os.devnull, "true"], capture_output=True, check=False
        ).returncode
    )


pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not _can_trace(), reason="nothing can be traced here"),
]

TIMES = 400

#: Calls for a file of 4 KB, the three of every request included.
FILE_CALLS = 7

#: Calls that are for no single request: deadlines are looked at, lines of the log are written.
OTHERS = TIMES / 2

#: Serves until its input ends. What it does between two requests for /mark is counted, a file that
#: is looked for there begins and ends it. A handler is never slow enough to be taken over, though
#: strace makes it slow.
SERVER = """
import os, sys
import hwebserver
from hwebserver.net import pool

pool.TICK = 60.0
server = hwebserver.Server()
server.urlHandler("/")(lambda request: "hello")
server.urlHandler("/mark")(lambda request: os.access("/the mark", os.F_OK) or "hello")
server.registerStaticFilesDirectory(sys.argv[1], "/files")
server.run(0, in_background=True, settings={"ACCESS_LOG_FILE": sys.argv[2]})
print(server.port(), flush=True)
sys.stdin.read()
server.requestShutdown()
"""

#: Asks for paths on one connection, one behind the other.
CLIENT = """
import socket, sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as sock:
    def ask(path, times=1):
        request = f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode()
        for _ in range(times):
            sock.sendall(request)
            data = b""
            while not data.endswith(b"hello"):
                data += sock.recv(65536)
    for path in sys.argv[3:]:
        ask(path, 20)
        ask("/mark")
        ask(path, int(sys.argv[2]))
        ask("/mark")
"""


@pytest.fixture(params=["without a log", "with a log"])
def calls(request, tmp_path):
    """Return the system calls for many equal requests, for each of two paths."""
    (tmp_path / "file.bin").write_bytes(b"x" * 4091 + b"hello")
    log = str(tmp_path / "access.log") if request.param == "with a log" else ""
    seen = tmp_path / "calls"
    command = [*STRACE, str(seen), sys.executable, "-c", SERVER]
    with subprocess.Popen(
        [*command, str(tmp_path), log],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        client = [sys.executable, "-c", CLIENT, server.stdout.readline().strip(), str(TIMES)]
        subprocess.run([*client, "/", "/files/file.bin"], timeout=PATIENCE, check=True)
        server.stdin.close()
        server.wait(PATIENCE)
    stretches = seen.read_text().split("/the mark")
    assert len(stretches) == 5
    # A call that lasts while another thread does something has two lines.
    call = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)
    return [Counter(call.findall(stretches[number])) for number in (1, 3)]


def test_a_request_asks_nothing_but_to_wait_to_receive_and_to_send(calls):
    found = calls[0]
    for name in ("epoll_wait", "recvfrom", "sendto"):
        assert TIMES <= found.pop(name) <= TIMES + OTHERS
    assert sum(found.values()) < OTHERS, found


def test_a_small_file_asks_little_more(calls):
    assert sum(calls[1].values()) <= FILE_CALLS * TIMES + OTHERS, calls[1]
