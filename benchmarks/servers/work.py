"""What `idle.py`, `beside.py`, `stream.py` and `start.py` ask of every server.

A greeting at ``/``; one after a nap at ``/sleep``; at ``/stream`` a body that is made and sent
piece by piece. Run with ``busy`` behind the port, the server has a thread of a process whose main
thread never rests.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

GREETING = b"Hello, world!"
NAP_SECONDS = 1.0
PIECE = b"0123456789abcde\n" * 64
PIECES = 100


def is_beside_host() -> bool:
    """Say whether the server is to run beside a busy host."""
    return sys.argv[2:] == ["busy"]


def run(serve: Callable[[], Any]) -> None:
    """Serve until the process is ended, beside a busy host if the command line says so."""
    if is_beside_host():
        threading.Thread(target=serve, daemon=True).start()
        be_busy()
    serve()


def be_busy() -> None:
    """Work in Python for ever, and let go of the interpreter's lock only when made to."""
    count = 0
    while True:
        count += 1
