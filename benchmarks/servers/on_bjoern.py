"""Run a WSGI application on bjoern."""

from __future__ import annotations

from typing import Any

import bjoern
from listening import listen


def serve(application: Any) -> None:
    """Run it on the port of the command line."""
    listener = listen()
    listener.setblocking(False)
    bjoern.server_run(listener, application)
