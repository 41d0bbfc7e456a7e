"""The WSGI application that the WSGI servers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BODY = b"Hello, world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer every request with a greeting."""
    start_response("200 OK", list(HEADERS))
    return [BODY]
