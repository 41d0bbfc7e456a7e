"""A thousand routes in a map of werkzeug, by WSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from paths import PATHS
from werkzeug import Request, Response
from werkzeug.routing import Map, Rule


def hello(request: Request) -> Response:
    """Answer with a greeting."""
    return Response("Hello, world!", content_type="text/plain")


ROUTES = Map([Rule(path, endpoint=hello) for path in PATHS])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Find the function for the path, and call it."""
    endpoint, _ = ROUTES.bind_to_environ(environ).match()
    return endpoint(Request(environ))(environ, start_response)
