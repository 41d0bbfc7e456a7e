"""Hello world on aiohttp."""

from __future__ import annotations

from aiohttp import web


async def hello(request: web.Request) -> web.Response:
    """Answer with a greeting."""
    return web.Response(text="Hello, world!")


application = web.Application()
application.router.add_get("/", hello)
