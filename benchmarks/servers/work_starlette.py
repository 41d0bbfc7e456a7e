"""A greeting, a nap and a stream on starlette: plain functions, which it runs in threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from on_uvicorn import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from work import GREETING, NAP_SECONDS, PIECE, PIECES, run


def hello(request: Request) -> PlainTextResponse:
    """Answer with a greeting."""
    return PlainTextResponse(GREETING)


def sleep(request: Request) -> PlainTextResponse:
    """Answer with a greeting after a nap."""
    time.sleep(NAP_SECONDS)
    return hello(request)


def pieces() -> Iterator[bytes]:
    """Make a body while it is sent."""
    for _ in range(PIECES):
        yield PIECE


def stream(request: Request) -> StreamingResponse:
    """Answer piece by piece."""
    return StreamingResponse(pieces(), media_type="text/plain")


if __name__ == "__main__":
    routes = [Route("/", hello), Route("/sleep", sleep), Route("/stream", stream)]
    run(partial(serve, Starlette(routes=routes), timeout_keep_alive=600))
