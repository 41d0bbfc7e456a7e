"""Uploads to starlette on uvicorn."""

from __future__ import annotations

from on_uvicorn import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def take(request: Request) -> PlainTextResponse:
    """Answer with the size of the file."""
    async with request.form() as form:
        return PlainTextResponse(str(form["file"].size))


application = Starlette(routes=[Route("/", take, methods=["POST"])])

if __name__ == "__main__":
    serve(application)
