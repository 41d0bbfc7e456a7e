"""Run an aiohttp application."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from listening import listen


def serve(application: web.Application, **options: Any) -> None:
    """Run it on the port of the command line."""
    web.run_app(
        application,
        sock=listen(),
        backlog=1024,
        access_log=None,
        print=None,
        shutdown_timeout=1,  # The harness waits for no longer than five seconds.
        **options,
    )
