"""A thousand routes on aiohttp."""

from __future__ import annotations

from aiohttp import web
from aiohttp_hello import hello
from paths import PATHS

application = web.Application()
for path in PATHS:
    application.router.add_get(path, hello)
