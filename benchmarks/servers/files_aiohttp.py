"""Static files from aiohttp, which sends them by sendfile."""

from __future__ import annotations

import sys

from aiohttp import web
from on_aiohttp import serve

if __name__ == "__main__":
    application = web.Application()
    application.router.add_static("/", sys.argv[2])
    serve(application)
