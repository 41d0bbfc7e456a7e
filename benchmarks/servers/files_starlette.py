"""Static files from starlette on uvicorn."""

from __future__ import annotations

import sys

from on_uvicorn import serve
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

if __name__ == "__main__":
    serve(Starlette(routes=[Mount("/", StaticFiles(directory=sys.argv[2]))]))
