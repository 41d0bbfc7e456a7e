"""Echo on aiohttp."""

from __future__ import annotations

from aiohttp import WSMsgType, web
from on_aiohttp import serve


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send back what comes."""
    socket = web.WebSocketResponse(compress=False, max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


if __name__ == "__main__":
    application = web.Application()
    application.router.add_get("/", echo)
    serve(application)
