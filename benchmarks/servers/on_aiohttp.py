"""Run an aiohttp application."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import told
from aiohttp import web
from listening import listen


def serve(application: web.Application, **options: Any) -> None:
    """Run it on the port of the command line."""
    if told.CERTFILE:
        options["ssl_context"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        options["ssl_context"].load_cert_chain(told.CERTFILE, told.KEYFILE)
    told.log_to_file("aiohttp.access")
    web.run_app(
        application,
        sock=listen(),
        backlog=1024,
        access_log=logging.getLogger("aiohttp.access") if told.ACCESS_LOG else None,
        print=None,
        shutdown_timeout=1,  # The harness waits for no longer than five seconds.
        **options,
    )
