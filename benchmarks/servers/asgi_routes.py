"""A thousand routes of starlette, by ASGI."""

from __future__ import annotations

from paths import PATHS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    """Answer with a greeting."""
    return PlainTextResponse("Hello, world!")


application = Starlette(routes=[Route(path, hello) for path in PATHS])
