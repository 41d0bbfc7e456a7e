"""Run an application on granian: one worker process."""

from __future__ import annotations

import socket
import sys
from typing import Any

from granian import Granian


def free_port(wanted: int) -> int:
    """Find out which port 0 gives: granian cannot say."""
    with socket.create_server(("127.0.0.1", wanted)) as probe:
        port: int = probe.getsockname()[1]
        return port


def serve(target: str, interface: str, **options: Any) -> None:
    """Run it on the port of the command line.

    Args:
        target: The application as ``module:name``: the worker imports it.
        interface: ``wsgi`` or ``asgi``.
    """
    port = free_port(int(sys.argv[1]))
    server = Granian(
        target,
        address="127.0.0.1",
        port=port,
        interface=interface,
        websockets=False,
        log_enabled=False,
        **options,
    )
    print(port, flush=True)
    server.serve()
