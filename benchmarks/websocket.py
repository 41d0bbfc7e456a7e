"""WebSockets: messages echoed by our server and by its peers, short ones and long ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import command
import table
from command import Report
from echo import Echoes
from harness import Server, by_name, import_failure
from transfer import MB

SERVERS = by_name(
    Server(table.OURS, "websocket_ours.py", modules=("hwebserver",)),
    Server("websockets", "websocket_websockets.py", modules=("websockets",)),
    Server("websockets-threads", "websocket_threads.py", modules=("websockets",)),
    Server("aiohttp", "websocket_aiohttp.py", modules=("aiohttp",)),
    Server("tornado", "websocket_tornado.py", modules=("tornado",)),
    Server("uvicorn", "websocket_uvicorn.py", modules=("wsproto", *command.UVICORN)),
)
PEERS = ("websockets", "websockets-threads", "aiohttp", "tornado", "uvicorn")
#: What unmasks messages in C; each is an optional part of its package.
UNMASKERS = {
    "websockets": "websockets.speedups",
    "websockets-threads": "websockets.speedups",
    "aiohttp": "aiohttp._websocket.mask",
    "tornado": "tornado.speedups",
}
SHORT_BYTES = 32
SHORT_CONNECTIONS = (1, 50)
LONG_CONNECTIONS = 1
RATE_FLOOR = 1.0


def unmask_in_c(servers: Sequence[Server]) -> list[str]:
    """Those of the servers that unmask messages in C here."""
    names = [server.name for server in servers if server.name in UNMASKERS]
    return [name for name in names if not import_failure([UNMASKERS[name]])]


def where(size: str, connections: int) -> str:
    """What a promise speaks of."""
    return f"with {size} at {connections} connection{'s' if connections > 1 else ''}"


def measure(options: argparse.Namespace, servers: Sequence[Server]) -> Report:
    """Measure and judge: first the short messages, then the long ones."""
    short = Echoes("text", SHORT_BYTES, SHORT_CONNECTIONS, options.seconds, options.rounds)
    long = Echoes("binary", MB, [LONG_CONNECTIONS], options.seconds, options.rounds)
    facts = command.describe(servers, f"{options.rounds} of {options.seconds} s", short.cores)
    in_c = unmask_in_c(servers)
    facts["unmasking in C"] = " ".join(in_c) or "none"
    shorts, longs = short.run(servers), long.run(servers)
    verdicts = [
        command.judge_rate(shorts, PEERS, count, RATE_FLOOR, where(f"{SHORT_BYTES} bytes", count))
        for count in SHORT_CONNECTIONS
    ]
    in_python = [name for name in PEERS if name not in in_c]
    long_where = where("1 MB", LONG_CONNECTIONS)
    verdicts.append(command.judge_rate(longs, in_python, LONG_CONNECTIONS, RATE_FLOOR, long_where))
    rows = [table.summarise(shorts, table.message_row), table.summarise(longs, table.bulk_row)]
    return Report(facts, rows, verdicts, [*shorts, *longs])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.parser("WebSockets: hwebserver against its peers.", SERVERS)
    parser.add_argument("--seconds", type=command.positive, default=1, help="default: %(default)s")
    options = parser.parse_args(arguments)
    return command.run(options, [], lambda servers: measure(options, servers))


if __name__ == "__main__":
    sys.exit(main())
