"""Run a handler of the standard library's http.server, a thread for each connection."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler

from http_server import Server


def serve(handler: type[BaseHTTPRequestHandler]) -> None:
    """Run it on the port of the command line."""
    with Server(("127.0.0.1", int(sys.argv[1])), handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
