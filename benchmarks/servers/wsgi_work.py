"""The WSGI application of the commands that ask for more than a greeting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from work import GREETING, NAP_SECONDS, PIECE, PIECES


def pieces() -> Iterator[bytes]:
    """Make a body while it is sent."""
    for _ in range(PIECES):
        yield PIECE


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with a greeting, with one after a nap, or piece by piece."""
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces()
    if path == "/sleep":
        time.sleep(NAP_SECONDS)
    length = str(len(GREETING))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", length)])
    return [GREETING]
