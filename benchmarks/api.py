"""A kilobyte of JSON to an API function: our server against the plainest that peers have."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import command
import peers
import table
from command import Verdict
from harness import Measurement, Work

POINTS = [
    {"id": number, "name": f"point {number}", "tags": ["a", "b"], "on": True, "weight": 1.5}
    for number in range(13)
]
CALL = ["bench.summarise", [], {"title": "A kilobyte", "points": POINTS}]
ANSWER = {
    "title": "A kilobyte",
    "count": len(POINTS),
    "total": 1.5 * len(POINTS),
    "points": POINTS,
}
WORK = Work(
    "/api",
    json.dumps(ANSWER).encode(),
    name="api",
    headers={"Content-Type": "application/json"},
    payload=json.dumps(CALL).encode(),
    decode=json.loads,
)
LOAD = (WORK.name, 32)
SERVERS = peers.servers("api", WORK.body)
PEERS = tuple(name for name in SERVERS if name not in (table.BARE, table.OURS))
RATE_FLOOR = 1.0
CPU_CEILING = 1.0


def judge(runs: Sequence[Measurement]) -> list[Verdict]:
    """Ours is to be ahead of all peers."""
    where = "for JSON to an API function at 32 connections"
    return [
        command.judge_rate(runs, PEERS, LOAD, RATE_FLOOR, where),
        command.judge_cpu(runs, PEERS, LOAD, CPU_CEILING, where),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.load_parser("JSON to an API function: hwebserver against peers.", SERVERS)
    return command.run_works(parser.parse_args(arguments), [WORK], judge)


if __name__ == "__main__":
    sys.exit(main())
