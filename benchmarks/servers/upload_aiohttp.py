"""Uploads to aiohttp, read part by part."""

from __future__ import annotations

import tempfile

from aiohttp import BodyPartReader, web
from on_aiohttp import serve

# What request.post() reads at once; by default read_chunk() takes far less.
CHUNK_BYTES = 1 << 18


async def store(part: BodyPartReader) -> int:
    """Write a part to a temporary file, and return its size."""
    size = 0
    with tempfile.TemporaryFile() as file:
        while chunk := await part.read_chunk(CHUNK_BYTES):
            size += file.write(chunk)
    return size


async def take(request: web.Request) -> web.Response:
    """Answer with the size of the file."""
    size = 0
    async for part in await request.multipart():
        if part.filename is None:
            await part.text()
        else:
            size = await store(part)
    return web.Response(text=str(size))


if __name__ == "__main__":
    application = web.Application(client_max_size=1 << 40)
    application.router.add_post("/", take)
    serve(application)
