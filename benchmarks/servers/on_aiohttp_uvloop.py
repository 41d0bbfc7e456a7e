"""Run an aiohttp application on uvloop."""

from __future__ import annotations

import on_aiohttp
import uvloop
from aiohttp import web


def serve(application: web.Application) -> None:
    """Run it on the port of the command line."""
    on_aiohttp.serve(application, loop=uvloop.new_event_loop())
