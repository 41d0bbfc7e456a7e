"""Hello world: our server against its peers and against a loop that parses nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import command
import peers
import table
from command import Verdict
from harness import Measurement, Server, Work, by_name

BODY = b"Hello, world!"
#: What Chromium 156 sends besides Host and Connection when an address is typed in.
CHROMIUM = {
    "sec-ch-ua": '"Not:A-Brand";v="8", "Chromium";v="156"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,"
    "image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
}
KEPT = Work("/", BODY, name="kept", connections=(1, 32, 256))
HEADERS = Work("/", BODY, name="headers", headers=CHROMIUM)
CLOSE = Work("/", BODY, ("--close",), name="close", closes=True)
WORKS = {work.name: work for work in (KEPT, HEADERS, CLOSE)}
SERVERS = by_name(
    *peers.servers("hello", BODY).values(),
    replace(peers.on("werkzeug", "werkzeug", "wsgi_hello", "werkzeug"), closes=True),
    Server("nginx", "nginx_hello.py", tool="nginx"),
)
#: Those that keep connections, but nginx.
PEERS = tuple(
    name
    for name, server in SERVERS.items()
    if not server.closes and name not in (table.BARE, table.OURS, "nginx")
)
THREADED = ("waitress", "cheroot", "gunicorn", "http.server")
COMPILED = ("uvicorn", "granian", "granian-rsgi")
LOOP_CEILING = 2.0
THREADED_CEILING = 0.25
COMPILED_CEILING = 1.0
RATE_FLOOR = 1.0
SINGLE_FLOOR = 0.75
HEADERS_CEILING = 1.4


def judge_kept(runs: Sequence[Measurement], connections: int) -> list[Verdict]:
    """What is promised of many connections that are kept."""
    load, where = (KEPT.name, connections), f"for hello at {connections} connections"
    return [
        command.judge_cpu(runs, [table.BARE], load, LOOP_CEILING, where),
        command.judge_cpu(runs, THREADED, load, THREADED_CEILING, where),
        command.judge_cpu(runs, COMPILED, load, COMPILED_CEILING, where),
        command.judge_rate(runs, THREADED + COMPILED, load, RATE_FLOOR, where),
    ]


def judge_single(runs: Sequence[Measurement]) -> list[Verdict]:
    """What is promised of one connection."""
    load, where = (KEPT.name, 1), "for hello at 1 connection"
    return [
        command.judge_rate(runs, [table.BARE], load, SINGLE_FLOOR, where),
        command.judge_rate(runs, PEERS, load, RATE_FLOOR, where),
    ]


def judge_headers(runs: Sequence[Measurement]) -> list[Verdict]:
    """What is promised of the header lines of a browser."""
    load = (HEADERS.name, 32)
    with_them = table.pick(runs, table.OURS, load)
    without = table.pick(runs, table.OURS, (KEPT.name, 32))
    missing = () if with_them and without else (table.OURS,)
    measured = table.quotient(with_them, without, table.cpu)
    return [
        Verdict.ceiling(
            "CPU of ours with 12 browser headers / ours without", measured, HEADERS_CEILING, missing
        ),
        command.judge_cpu(
            runs, ["bjoern"], load, COMPILED_CEILING, "with 12 browser headers at 32 connections"
        ),
    ]


def judge(runs: Sequence[Measurement], works: Sequence[Work]) -> list[Verdict]:
    """What is promised of the works that were chosen."""
    verdicts: list[Verdict] = []
    for work in works:
        if work.name == KEPT.name:
            verdicts += judge_single(runs) if 1 in work.connections else []
            for connections in (32, 256):
                if connections in work.connections:
                    verdicts += judge_kept(runs, connections)
        elif work.name == HEADERS.name:
            verdicts += judge_headers(runs)
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.load_parser("Hello world: hwebserver against its peers.", SERVERS)
    parser.add_argument(
        "--connections", type=command.numbers, default="1,32,256", help="default: %(default)s"
    )
    parser.add_argument(
        "--works",
        type=lambda text: command.chosen(text, WORKS),
        default=",".join(WORKS),
        help="default: %(default)s",
    )
    options = parser.parse_args(arguments)
    works = [
        replace(work, connections=options.connections) if work is KEPT else work
        for work in options.works
    ]
    return command.run_works(options, works, lambda runs: judge(runs, works))


if __name__ == "__main__":
    sys.exit(main())
