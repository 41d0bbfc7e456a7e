"""A function called by JSON on aiohttp."""

from __future__ import annotations

from aiohttp import web
from calls import answer


async def call(request: web.Request) -> web.Response:
    """Call what the body asks for."""
    return web.Response(body=answer(await request.read()), content_type="application/json")


application = web.Application()
application.router.add_post("/api", call)
