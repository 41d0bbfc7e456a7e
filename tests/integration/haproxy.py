"""HAProxy in front of a server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from integration.components import find_program
from support import PATIENCE

_CONFIGURATION = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect {patience}s
    timeout client {patience}s
    timeout server {patience}s
frontend front
    bind fd@${{LISTENER}} {bind}
    unique-id-format %ci-%cp
    default_backend back
backend back
    server ours {place} {options}
"""


def _path() -> str:
    """Return the path of haproxy; where the system has it, users may not look for programs."""
    return shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin") or find_program("haproxy")


@contextlib.contextmanager
def haproxy(folder: Path, place: str, options: str, bind: str = "") -> Iterator[int]:
    """Run haproxy in front of a server, of which it passes bytes on; yield the port it serves on.

    Args:
        folder: Where it keeps what it needs.
        place: Where the server is.
        options: What is said of the server, its form of the PROXY protocol above all.
        bind: What is said of haproxy's own port.
    """
    file = folder / "haproxy.cfg"
    file.write_text(
        _CONFIGURATION.format(place=place, options=options, bind=bind, patience=int(PATIENCE))
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # It inherits the socket: so nobody can take the port before it, and who connects before it
        # is up waits for it.
        process = subprocess.Popen(
            [_path(), "-db", "-f", file],
            env={**os.environ, "LISTENER": str(listener.fileno())},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        port = listener.getsockname()[1]
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)
