"""Run an application on granian: one worker process."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import told
from granian import Granian
from granian.log import LOGGING_CONFIG


def free_port(wanted: int) -> int:
    """Find out which port 0 gives: granian cannot say."""
    with socket.create_server(("127.0.0.1", wanted)) as probe:
        port: int = probe.getsockname()[1]
        return port


def serve(target: str, interface: str, **options: Any) -> None:
    """Run it on the port of the command line.

    Args:
        target: The application as ``module:name``: the worker imports it.
        interface: ``wsgi``, ``asgi`` or ``rsgi``.
    """
    if told.CERTFILE:
        options.update(ssl_cert=Path(told.CERTFILE), ssl_key=Path(told.KEYFILE))
    if told.ACCESS_LOG:
        handler = {"class": "logging.FileHandler", "filename": told.ACCESS_LOG, "mode": "w"}
        handlers = {**LOGGING_CONFIG["handlers"], "access": {**handler, "formatter": "access"}}
        options.update(log_access=True, log_dictconfig={"handlers": handlers})
    port = free_port(int(sys.argv[1]))
    server = Granian(
        target,
        address="127.0.0.1",
        port=port,
        interface=interface,
        websockets=False,
        log_enabled=bool(told.ACCESS_LOG),
        log_level="critical",
        **options,
    )
    print(port, flush=True)
    server.serve()
