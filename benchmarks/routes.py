"""A route found among a thousand: our server against peers with a router of their own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import command
import peers
import table
from harness import Server, Work, by_name

BODY = b"Hello, world!"
#: Half-way through the thousand: what a router pays that tries one after the other.
WORK = Work("/area25/page500", BODY, name="routes")
SERVERS = by_name(
    Server(table.BARE, "bare_loop.py"),
    peers.on(table.OURS, "ours", "ours_routes", "hwebserver"),
    peers.on("waitress+werkzeug", "waitress", "wsgi_routes", "waitress", "werkzeug"),
    peers.on("bjoern+werkzeug", "bjoern", "wsgi_routes", "bjoern", "werkzeug"),
    peers.on("tornado", "tornado", "tornado_routes", "tornado"),
    peers.on("aiohttp", "aiohttp", "aiohttp_routes", "aiohttp"),
    peers.on("uvicorn+starlette", "uvicorn", "asgi_routes", "starlette", *command.UVICORN),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = command.load_parser("A route among 1,000: hwebserver against its peers.", SERVERS)
    return command.run_works(parser.parse_args(arguments), [WORK])


if __name__ == "__main__":
    sys.exit(main())
