"""Hello world on waitress."""

from __future__ import annotations

import logging
import sys

import waitress
from wsgi_hello import application

if __name__ == "__main__":
    # It warns whenever requests wait for a thread, which under load is always.
    logging.getLogger("waitress").setLevel(logging.CRITICAL)
    server = waitress.create_server(
        application,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        threads=4,
        # The default of 100 would leave most of 256 connections without an answer.
        connection_limit=2000,
    )
    print(server.effective_port, flush=True)
    server.run()
