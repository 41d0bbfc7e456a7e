"""The ASGI application that calls a function by JSON."""

from __future__ import annotations

from calls import answer

JSON = (b"content-type", b"application/json")


async def application(scope, receive, send):
    """Call what the body asks for."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    body = answer(body)
    headers = [JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
