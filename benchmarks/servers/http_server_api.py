"""A function called by JSON on the standard library's http.server."""

from __future__ import annotations

import http_server
from calls import answer


class Handler(http_server.Handler):
    """Calls functions."""

    def do_POST(self) -> None:
        """Call what the body asks for."""
        body = answer(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


application = Handler
