"""What runs on the standard library's http.server, a thread for each connection."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BODY = b"Hello, world!"


class Handler(BaseHTTPRequestHandler):
    """Answers with a greeting, and keeps the connection alive."""

    protocol_version = "HTTP/1.1"
    # Unbuffered, head and body leave in two segments, and the second waits for a delayed ACK.
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer a GET request."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(BODY)))
        if self.close_connection:  # It does not say so by itself.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log: the others keep none."""


class Server(ThreadingHTTPServer):
    """Takes 256 connections at once, and is quiet when they end."""

    # The default of 5 drops connections when 256 arrive at once.
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of the resets with which wrk ends its connections."""
