"""Run a WSGI application on waitress."""

from __future__ import annotations

import logging
import sys
from typing import Any

import waitress


def serve(application: Any, **options: Any) -> None:
    """Run it on the port of the command line."""
    # It warns whenever requests wait for a thread, which under load is always.
    logging.getLogger("waitress").setLevel(logging.CRITICAL)
    # The default of 100 connections would leave most of 256 without an answer.
    options = {"threads": 4, "connection_limit": 2000, **options}
    server = waitress.create_server(application, host="127.0.0.1", port=int(sys.argv[1]), **options)
    print(server.effective_port, flush=True)
    server.run()
