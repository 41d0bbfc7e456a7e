"""Hello world on the standard library's http.server."""

from __future__ import annotations

from http_server import Handler

application = Handler
