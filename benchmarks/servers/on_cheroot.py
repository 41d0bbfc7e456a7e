"""Run a WSGI application on cheroot."""

from __future__ import annotations

import sys
from typing import Any

from cheroot import wsgi


def serve(application: Any, kept: int = 2000, timeout: int = 10) -> None:
    """Run it on the port of the command line.

    Args:
        application: A WSGI application.
        kept: Most connections that are kept alive.
        timeout: Seconds that they may be idle.
    """
    server = wsgi.Server(
        ("127.0.0.1", int(sys.argv[1])),
        application,
        numthreads=10,
        request_queue_size=1024,
        timeout=timeout,
    )
    # By default it closes every connection beyond ten instead of keeping it alive.
    server.keep_alive_conn_limit = kept
    server.prepare()
    print(server.bind_addr[1], flush=True)
    server.serve()
