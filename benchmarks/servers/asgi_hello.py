"""The ASGI application that the ASGI servers share."""

from __future__ import annotations

BODY = b"Hello, world!"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]


async def application(scope, receive, send):
    """Answer every request with a greeting."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
