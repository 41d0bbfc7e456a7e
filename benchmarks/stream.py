"""A streamed response: our server against its peers."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import command
import table
import works
from command import Verdict
from harness import Measurement, Work

#: What servers/work.py makes of its PIECE and PIECES.
BODY = b"0123456789abcde\n" * 64 * 100
CONNECTIONS = 8
WORK = Work("/stream", BODY, name="stream", connections=(CONNECTIONS,))
SERVERS = works.servers(
    table.OURS,
    "waitress",
    "cheroot",
    "gunicorn",
    "tornado",
    "starlette",
    "uvicorn",
    "hypercorn",
    "aiohttp",
    "granian",
    "bjoern",
)
PEERS = tuple(name for name in SERVERS if name != table.OURS)
RATE_FLOOR = 1.0
CPU_CEILING = 1.0


def judge(runs: Sequence[Measurement]) -> list[Verdict]:
    """What is promised of ours."""
    load, where = (WORK.name, CONNECTIONS), f"for a stream at {CONNECTIONS} connections"
    return [
        command.judge_rate(runs, PEERS, load, RATE_FLOOR, where),
        command.judge_cpu(runs, PEERS, load, CPU_CEILING, where),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.load_parser("A streamed response: hwebserver against its peers.", SERVERS)
    return command.run_works(parser.parse_args(arguments), [WORK], judge)


if __name__ == "__main__":
    sys.exit(main())
