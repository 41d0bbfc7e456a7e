"""The servers that give a greeting, take a nap and send a stream: servers/work.py says how."""

from __future__ import annotations

import command
import peers
import table
from harness import Server, by_name

_SERVERS = by_name(
    Server(table.OURS, "work_ours.py", modules=("hwebserver",)),
    Server("waitress", "work_waitress.py", modules=("waitress",)),
    Server("cheroot", "work_cheroot.py", modules=("cheroot",)),
    peers.on("gunicorn", "gunicorn", "wsgi_work", "gunicorn"),
    Server("http.server", "work_http_server.py"),
    Server("tornado", "work_tornado.py", modules=("tornado",)),
    Server("starlette", "work_starlette.py", modules=("starlette", *command.UVICORN)),
    Server("uvicorn", "work_uvicorn.py", modules=command.UVICORN),
    peers.on("hypercorn", "hypercorn", "asgi_work", "hypercorn", "uvloop"),
    Server("aiohttp", "work_aiohttp.py", modules=("aiohttp",)),
    Server("granian", "work_granian.py", modules=("granian",)),
    peers.on("bjoern", "bjoern", "wsgi_work", "bjoern"),
    Server("nginx", "work_nginx.py", tool="nginx"),
)


def servers(*names: str) -> dict[str, Server]:
    """Those of the servers that a command measures."""
    return {name: _SERVERS[name] for name in names}
