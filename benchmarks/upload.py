"""Uploads: a form with a large file, stored on disk, by our server and by its peers."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import command
import peers
import table
from command import Report, Verdict
from harness import Server, by_name
from transfer import MB, Transfer, Transfers

SERVERS = by_name(
    Server(table.OURS, "upload_ours.py", modules=("hwebserver",)),
    Server("werkzeug", "upload_werkzeug.py", modules=("werkzeug", "waitress")),
    peers.on("werkzeug-gunicorn", "gunicorn", "upload_werkzeug", "werkzeug", "gunicorn"),
    Server("multipart", "upload_multipart.py", modules=("multipart", "cheroot")),
    Server(
        "starlette",
        "upload_starlette.py",
        modules=("starlette", "python_multipart", *command.UVICORN),
    ),
    Server(
        "starlette-granian",
        "run_granian.py",
        modules=("starlette", "python_multipart", "granian", "uvloop"),
        arguments=("asgi", "upload_starlette"),
    ),
    Server("aiohttp", "upload_aiohttp.py", modules=("aiohttp",)),
)
PEERS = tuple(name for name in SERVERS if name != table.OURS)
JUDGED_MB = 100
RATE_FLOOR = 1.0
MEMORY_CEILING_MB = 2.0
WARM_UP_BYTES = 100_000


def judge_memory(runs: Sequence[Transfer]) -> Verdict:
    """The most memory that ours took for any of the sizes."""
    added = [run.memory / MB for run in runs if run.server == table.OURS]
    return Verdict.ceiling(
        "memory added by ours in MB, at any size",
        max(added, default=None),
        MEMORY_CEILING_MB,
        missing=() if added else (table.OURS,),
    )


def measure(plan: Transfers, servers: Sequence[Server]) -> Report:
    """Measure and judge."""
    facts = command.describe(servers, f"{plan.rounds} of {plan.count} uploads", plan.cores)
    runs = plan.run(servers)
    rate = command.judge_rate(runs, PEERS, JUDGED_MB, RATE_FLOOR, f"uploading {JUDGED_MB} MB")
    rows = table.summarise(runs, table.transfer_row)
    return Report(facts, [rows], [rate, judge_memory(runs)], runs, plan.failures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.parser("Uploads: hwebserver against its peers.", SERVERS)
    parser.add_argument(
        "--sizes", type=command.numbers, default=str(JUDGED_MB), help="in MB; default: %(default)s"
    )
    parser.add_argument("--uploads", type=command.positive, default=3, help="default: %(default)s")
    options = parser.parse_args(arguments)
    plan = Transfers(
        "upload", "/", options.sizes, options.uploads, options.rounds, warm_up_bytes=WARM_UP_BYTES
    )
    return command.run(options, [], lambda servers: measure(plan, servers))


if __name__ == "__main__":
    sys.exit(main())
