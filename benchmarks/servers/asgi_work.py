"""The ASGI application of the commands that ask for more than a greeting."""

from __future__ import annotations

import asyncio

from work import GREETING, NAP_SECONDS, PIECE, PIECES

TEXT = (b"content-type", b"text/plain")
LENGTH = (b"content-length", b"%d" % len(GREETING))


async def application(scope, receive, send):
    """Answer with a greeting, with one after a nap, or piece by piece."""
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body"})
        return
    if scope["path"] == "/sleep":
        await asyncio.sleep(NAP_SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT, LENGTH]})
    await send({"type": "http.response.body", "body": GREETING})
