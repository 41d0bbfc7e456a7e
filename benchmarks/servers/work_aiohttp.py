"""A greeting, a nap and a stream on aiohttp."""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import web
from on_aiohttp import serve
from work import GREETING, NAP_SECONDS, PIECE, PIECES, is_beside_host, run


async def hello(request: web.Request) -> web.Response:
    """Answer with a greeting."""
    return web.Response(body=GREETING, content_type="text/plain")


async def sleep(request: web.Request) -> web.Response:
    """Answer with a greeting after a nap."""
    await asyncio.sleep(NAP_SECONDS)
    return await hello(request)


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer piece by piece."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for _ in range(PIECES):
        await response.write(PIECE)
    await response.write_eof()
    return response


if __name__ == "__main__":
    application = web.Application()
    application.router.add_get("/", hello)
    application.router.add_get("/sleep", sleep)
    application.router.add_get("/stream", stream)
    # Signals can be handled in the main thread alone.
    run(partial(serve, application, handle_signals=not is_beside_host(), keepalive_timeout=600))
