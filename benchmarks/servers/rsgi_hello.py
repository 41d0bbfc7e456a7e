"""Hello world by RSGI, granian's own interface."""

from __future__ import annotations

HEADERS = [("content-type", "text/plain")]


async def application(scope, protocol):
    """Answer every request with a greeting."""
    protocol.response_str(200, HEADERS, "Hello, world!")
