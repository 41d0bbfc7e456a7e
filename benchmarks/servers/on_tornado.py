"""Run a tornado application."""

from __future__ import annotations

import asyncio
import logging

from listening import listen
from tornado.httpserver import HTTPServer
from tornado.web import Application


def serve(application: Application) -> None:
    """Run it on the port of the command line."""
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    asyncio.run(serve_for_ever(application))


async def serve_for_ever(application: Application) -> None:
    """Serve until the process is ended."""
    listener = listen()
    listener.setblocking(False)
    HTTPServer(application).add_sockets([listener])
    await asyncio.Future()
