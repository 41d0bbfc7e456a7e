"""Static files: a small and a large one, from our server, from its peers and from nginx."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import command
import peers
import table
from command import Report
from harness import Plan, Server, Work, by_name
from transfer import MB, Transfers

SERVERS = by_name(
    Server(table.OURS, "files_ours.py", modules=("hwebserver",)),
    Server("nginx", "files_nginx.py", tool="nginx"),
    peers.on("waitress", "waitress", "wsgi_files", "waitress", "werkzeug"),
    Server("cheroot", "files_cheroot.py", modules=("cheroot", "werkzeug")),
    Server(
        "starlette",
        "files_starlette.py",
        modules=("starlette", *command.UVICORN),
    ),
    Server("aiohttp", "files_aiohttp.py", modules=("aiohttp",)),
    peers.on("gunicorn", "gunicorn", "wsgi_files", "gunicorn", "werkzeug"),
    peers.on("bjoern", "bjoern", "wsgi_files", "bjoern", "werkzeug"),
    Server("tornado", "files_tornado.py", modules=("tornado",)),
    Server("granian", "files_granian.py", modules=("granian",)),
)
PEERS = tuple(name for name in SERVERS if name not in (table.OURS, "nginx"))
SMALL_BYTES = 4096
LARGE_MB = 100
SMALL_FLOOR = 1.0
SMALL_NGINX_FLOOR = 0.6
LARGE_FLOOR = 0.9


def measure(options: argparse.Namespace, folder: Path, servers: Sequence[Server]) -> Report:
    """Measure and judge: first the small file, then the large one."""
    noise = random.Random(0)
    arguments = (str(folder),)
    work = Work("/static/small.bin", noise.randbytes(SMALL_BYTES), arguments, name="4 KB file")
    (folder / "static").mkdir()
    (folder / "static" / "small.bin").write_bytes(work.body)
    (folder / "static" / "large.bin").write_bytes(noise.randbytes(LARGE_MB * MB))
    failures: list[str] = []
    small = Plan([work], options.seconds, options.rounds, failures=failures)
    large = Transfers(
        "download",
        "/static/large.bin",
        [LARGE_MB],
        options.downloads,
        options.rounds,
        warm_up_bytes=LARGE_MB * MB,
        arguments=arguments,
        failures=failures,
    )
    rounds = f"{options.rounds} of {options.seconds} s and of {options.downloads} downloads"
    facts = command.describe(servers, rounds, small.cores, tools=["wrk"])
    loads, downloads = small.run(servers), large.run(servers)
    load, where = (work.name, 32), "for a 4 KB file at 32 connections"
    return Report(
        facts,
        [table.summarise(loads, table.load_row), table.summarise(downloads, table.transfer_row)],
        [
            command.judge_rate(loads, PEERS, load, SMALL_FLOOR, where),
            command.judge_rate(loads, ["nginx"], load, SMALL_NGINX_FLOOR, where),
            command.judge_rate(
                downloads, ["nginx"], LARGE_MB, LARGE_FLOOR, f"for a {LARGE_MB} MB file"
            ),
        ],
        [*loads, *downloads],
        failures,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.load_parser("Static files: hwebserver against its peers and nginx.", SERVERS)
    parser.add_argument(
        "--downloads", type=command.positive, default=10, help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hwebserver-files-") as folder:
        return command.run(
            options, ["wrk"], lambda servers: measure(options, Path(folder), servers)
        )


if __name__ == "__main__":
    sys.exit(main())
