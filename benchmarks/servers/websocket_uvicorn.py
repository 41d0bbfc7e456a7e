"""Echo on uvicorn with wsproto."""

from __future__ import annotations

from on_uvicorn import serve


async def echo(scope, receive, send):
    """Send back what comes."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})


if __name__ == "__main__":
    serve(echo, ws="wsproto", ws_per_message_deflate=False, ws_max_size=1 << 40)
