"""A greeting and a nap on the standard library's http.server."""

from __future__ import annotations

import sys
import time

import http_server
from work import NAP_SECONDS, run


class Handler(http_server.Handler):
    """Answers with a greeting, at once or after a nap."""

    def do_GET(self) -> None:
        """Answer a GET request."""
        if self.path == "/sleep":
            time.sleep(NAP_SECONDS)
        super().do_GET()


def serve() -> None:
    """Run it on the port of the command line."""
    with http_server.Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    run(serve)
