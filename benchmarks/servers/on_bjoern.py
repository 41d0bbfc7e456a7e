"""Run a WSGI application on bjoern."""

from __future__ import annotations

import os
from typing import Any

import bjoern
from listening import listen


def serve(application: Any) -> None:
    """Run it on the port of the command line."""
    listener = listen()
    listener.setblocking(False)
    # It complains of every client that leaves.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    bjoern.server_run(listener, application)
