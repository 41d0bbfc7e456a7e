"""Run hwebserver: the package of this checkout, not one that happens to be installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import told

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import hwebserver


def announce(name: str, port: int) -> None:
    """Tell the harness where the server listens."""
    print(port, flush=True)


def serve(server: hwebserver.Server, **options: Any) -> None:
    """Run the server on the port of the command line."""
    settings = dict(options.pop("settings", {}))
    settings.update(
        told.when_encrypted(SSL_CERTIFICATE=told.CERTFILE, SSL_CERTIFICATE_KEY=told.KEYFILE)
    )
    if told.ACCESS_LOG:
        settings.update(ACCESS_LOG=True, ACCESS_LOG_FILE=told.ACCESS_LOG)
    server.run(int(sys.argv[1]), port_callback=announce, settings=settings, **options)
