"""Run an ASGI application on hypercorn with uvloop."""

from __future__ import annotations

import asyncio
from typing import Any

import hypercorn.asyncio
import told
import uvloop
from hypercorn.config import Config
from listening import listen


def serve(application: Any) -> None:
    """Run it on the port of the command line."""
    config = Config()
    config.bind = [f"fd://{listen().detach()}"]
    config.backlog = 1024
    config.errorlog = None
    config.accesslog = told.ACCESS_LOG or None
    # By default it closes a connection behind a thousand requests.
    config.keep_alive_max_requests = 1 << 40
    config.certfile = told.CERTFILE or None
    config.keyfile = told.KEYFILE or None
    uvloop.run(hypercorn.asyncio.serve(application, config, shutdown_trigger=asyncio.Event().wait))
