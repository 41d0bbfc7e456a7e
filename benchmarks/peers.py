"""The servers, and the programs in servers/ that put each of them to a work."""

from __future__ import annotations

import command
import table
from harness import Server, by_name


def on(name: str, runner: str, application: str, *modules: str) -> Server:
    """An application in servers/ on what runs it there."""
    return Server(name, "run.py", modules, arguments=(f"on_{runner}", application))


def granian(name: str, interface: str, application: str) -> Server:
    """An application in servers/ on granian, whose worker imports it by itself."""
    modules = ("granian", "uvloop") if interface != "wsgi" else ("granian",)
    return Server(name, "run_granian.py", modules, arguments=(interface, application))


def servers(work: str, bare: bytes) -> dict[str, Server]:
    """All servers that do a work, but those that do nothing else.

    Args:
        work: How the names of its applications end.
        bare: What the bare loop answers.
    """
    wsgi, asgi = f"wsgi_{work}", f"asgi_{work}"
    return by_name(
        Server(table.BARE, "bare_loop.py", arguments=(bare.decode(),)),
        on(table.OURS, "ours", f"ours_{work}", "hwebserver"),
        on("waitress", "waitress", wsgi, "waitress"),
        on("cheroot", "cheroot", wsgi, "cheroot"),
        on("gunicorn", "gunicorn", wsgi, "gunicorn"),
        on("http.server", "http_server", f"http_server_{work}"),
        on("tornado", "tornado", f"tornado_{work}", "tornado"),
        on("uvicorn-h11", "uvicorn_h11", asgi, "uvicorn", "h11"),
        on("uvicorn", "uvicorn", asgi, *command.UVICORN),
        on("hypercorn", "hypercorn", asgi, "hypercorn", "uvloop"),
        on("aiohttp", "aiohttp", f"aiohttp_{work}", "aiohttp"),
        on("aiohttp-uvloop", "aiohttp_uvloop", f"aiohttp_{work}", "aiohttp", "uvloop"),
        granian("granian", "wsgi", wsgi),
        granian("granian-rsgi", "rsgi", f"rsgi_{work}"),
        on("bjoern", "bjoern", wsgi, "bjoern"),
    )
