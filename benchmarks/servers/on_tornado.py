"""Run a tornado application."""

from __future__ import annotations

import asyncio
import logging
import ssl

import told
from listening import listen
from tornado.httpserver import HTTPServer
from tornado.web import Application


def serve(application: Application) -> None:
    """Run it on the port of the command line."""
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    told.log_to_file("tornado.access")
    asyncio.run(serve_for_ever(application))


async def serve_for_ever(application: Application) -> None:
    """Serve until the process is ended."""
    listener = listen()
    listener.setblocking(False)
    context = None
    if told.CERTFILE:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(told.CERTFILE, told.KEYFILE)
    HTTPServer(application, ssl_options=context).add_sockets([listener])
    await asyncio.Future()
