"""Static files: a small and a large one, from our server, from its peers and from nginx."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import command
import table
from command import Report
from harness import Plan, Server, Work, by_name
from transfer import MB, Transfers

SERVERS = by_name(
    Server(table.OURS, "files_ours.py", modules=("hwebserver",)),
    Server("nginx", "files_nginx.py", tool="nginx"),
    Server("waitress", "files_waitress.py", modules=("waitress", "werkzeug")),
    Server("cheroot", "files_cheroot.py", modules=("cheroot", "werkzeug")),
    Server(
        "starlette",
        "files_starlette.py",
        modules=("starlette", *command.UVICORN),
    ),
    Server("aiohttp", "files_aiohttp.py", modules=("aiohttp",)),
)
PYTHON_PEERS = ("waitress", "cheroot", "starlette", "aiohttp")
SMALL_BYTES = 4096
LARGE_MB = 100
CONNECTIONS = 32
SMALL_FLOOR = 1.0
LARGE_FLOOR = 0.9


def measure(options: argparse.Namespace, folder: Path, servers: Sequence[Server]) -> Report:
    """Measure and judge: first the small file, then the large one."""
    noise = random.Random(0)
    arguments = (str(folder),)
    work = Work("/small.bin", noise.randbytes(SMALL_BYTES), arguments)
    (folder / "small.bin").write_bytes(work.body)
    (folder / "large.bin").write_bytes(noise.randbytes(LARGE_MB * MB))
    small = Plan(work, [CONNECTIONS], options.seconds, options.rounds)
    large = Transfers(
        "download",
        "/large.bin",
        [LARGE_MB],
        options.downloads,
        options.rounds,
        warm_up_bytes=LARGE_MB * MB,
        arguments=arguments,
    )
    rounds = f"{options.rounds} of {options.seconds} s and of {options.downloads} downloads"
    facts = command.describe(servers, rounds, small.cores, tools=["wrk"])
    loads, downloads = small.run(servers), large.run(servers)
    where = f"with {SMALL_BYTES} bytes at {CONNECTIONS} connections"
    return Report(
        facts,
        [table.summarise(loads, table.load_row), table.summarise(downloads, table.transfer_row)],
        [
            command.judge_rate(loads, PYTHON_PEERS, CONNECTIONS, SMALL_FLOOR, where),
            command.judge_rate(downloads, ["nginx"], LARGE_MB, LARGE_FLOOR, f"with {LARGE_MB} MB"),
        ],
        [*loads, *downloads],
    )


def main() -> int:
    """Measure, print, and judge."""
    parser = command.parser("Static files: hwebserver against its peers and nginx.", SERVERS)
    parser.add_argument("--seconds", type=command.positive, default=2, help="default: %(default)s")
    parser.add_argument(
        "--downloads", type=command.positive, default=10, help="default: %(default)s"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hwebserver-files-") as folder:
        return command.run(
            options, ["wrk"], lambda servers: measure(options, Path(folder), servers)
        )


if __name__ == "__main__":
    sys.exit(main())
