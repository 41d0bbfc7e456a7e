"""The WSGI application that calls a function by JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from calls import answer


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Call what the body asks for."""
    body = answer(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
