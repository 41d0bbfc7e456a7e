"""A function called by JSON, by RSGI, granian's own interface."""

from __future__ import annotations

from calls import answer

HEADERS = [("content-type", "application/json")]


async def application(scope, protocol):
    """Call what the body asks for."""
    protocol.response_bytes(200, HEADERS, answer(await protocol()))
