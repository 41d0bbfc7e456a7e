"""Idle connections: what thousands of them cost our server and its peers."""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import command
import table
from command import Report, Verdict
from harness import (
    FOLDER,
    Cores,
    HarnessError,
    Server,
    Work,
    by_name,
    interleave,
    run_load,
    running,
    warm_up,
)

WORK = Work(path="/", body=b"Hello, world!")
SERVERS = by_name(
    Server(table.OURS, "work_ours.py", modules=("hwebserver",)),
    Server("waitress", "work_waitress.py", modules=("waitress",)),
    Server("cheroot", "work_cheroot.py", modules=("cheroot",)),
    Server("gunicorn", "work_gunicorn.py", modules=("gunicorn",)),
    Server("http.server", "work_http_server.py"),
    Server("tornado", "work_tornado.py", modules=("tornado",)),
    Server("uvicorn", "work_uvicorn.py", modules=command.UVICORN),
    Server("aiohttp", "work_aiohttp.py", modules=("aiohttp",)),
    Server("granian", "work_granian.py", modules=("granian",)),
    Server("nginx", "work_nginx.py", tool="nginx"),
)
KB = 1000
#: Descriptors that a server needs or sets aside besides those of the connections.
OTHER_DESCRIPTORS = 200
MEMORY_CEILING = 3.0
#: Percent of a core. The clocks that wake a server now and then must not show.
CPU_CEILING = 0.1
#: "Unmoved", but for what two measurements of the same thing differ.
MEDIAN_CEILING = 1.1


@dataclass(frozen=True)
class Idle:
    """One server with so many idle connections, and one client that is active."""

    server: str
    idle: int
    round: int
    memory: int
    """Bytes that all of the idle connections have added."""
    seconds: float
    """How long there was nothing but idle connections."""
    cpu_seconds: float
    """What the server used meanwhile."""
    alone_p50_us: float
    alone_p99_us: float
    """What the active client waited before the idle connections were there."""
    p50_us: float
    p99_us: float
    """And beside them."""

    @property
    def load(self) -> int:
        """What tells this load from others."""
        return self.idle

    @property
    def rate(self) -> float:
        """Answers a second that the active client gets beside them, as a rule."""
        return 1e6 / self.p50_us

    @property
    def kb_each(self) -> float:
        """Thousands of bytes that one idle connection takes."""
        return self.memory / self.idle / KB

    @property
    def cpu_percent(self) -> float:
        """Percent of a core that is used when nothing is to be done."""
        return self.cpu_seconds / self.seconds * 100

    @property
    def median_ratio(self) -> float:
        """What the idle connections make of the active client's median."""
        return self.p50_us / self.alone_p50_us


@dataclass(frozen=True)
class IdleRow:
    """One server with idle connections: medians over the rounds."""

    server: str
    idle: int
    kb_each: float
    cpu_percent: float
    alone_p50_us: float
    p50_us: float
    p50_to_alone: float
    alone_p99_us: float
    p99_us: float


def idle_row(runs: Sequence[Idle], server: str, idle: int) -> IdleRow:
    """The row of one server."""
    chosen = table.pick(runs, server, idle)
    return IdleRow(
        server=server,
        idle=idle,
        kb_each=statistics.median(run.kb_each for run in chosen),
        cpu_percent=statistics.median(run.cpu_percent for run in chosen),
        alone_p50_us=statistics.median(run.alone_p50_us for run in chosen),
        p50_us=statistics.median(run.p50_us for run in chosen),
        p50_to_alone=statistics.median(run.median_ratio for run in chosen),
        alone_p99_us=statistics.median(run.alone_p99_us for run in chosen),
        p99_us=statistics.median(run.p99_us for run in chosen),
    )


@dataclass(frozen=True)
class Idles:
    """How many connections are to be idle, and how long their cost is measured."""

    idle: int
    seconds: int
    rounds: int
    cores: Cores = field(default_factory=Cores.choose)

    def run(self, servers: Sequence[Server]) -> list[Idle]:
        """Measure every server in every round."""
        return interleave(self.rounds, servers, self.measure)

    def measure(self, server: Server, number: int) -> list[Idle]:
        """Start the server and have the loader measure it."""
        with running(server, WORK.arguments, self.cores.server) as (pid, port):
            warm_up(port, WORK)
            program = str(FOLDER / "idle_loader.py")
            numbers = map(str, (port, self.idle, self.seconds, pid))
            totals = run_load([sys.executable, program, *numbers], self.cores.load)
        return [
            Idle(
                server=server.name,
                idle=self.idle,
                round=number,
                memory=totals["memory"],
                seconds=totals["microseconds"] / 1e6,
                cpu_seconds=totals["cpu_microseconds"] / 1e6,
                alone_p50_us=totals["alone_p50_nanoseconds"] / 1e3,
                alone_p99_us=totals["alone_p99_nanoseconds"] / 1e3,
                p50_us=totals["p50_nanoseconds"] / 1e3,
                p99_us=totals["p99_nanoseconds"] / 1e3,
            )
        ]


def allow_descriptors(count: int) -> None:
    """Let this process and those that it starts open so many files.

    Raises:
        HarnessError: more than the system lets this user have.
    """
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(count, soft), max(count, most)))
    except (OSError, ValueError):
        raise HarnessError(
            f"{count} open files are too many here, {most} the most: use --idle"
        ) from None


def judge(rows: Sequence[IdleRow], idle: int) -> list[Verdict]:
    """What is promised of ours."""
    ours = next((row for row in rows if row.server == table.OURS), None)
    missing = () if ours else (table.OURS,)
    where = f"with {idle} idle connections"
    return [
        Verdict.ceiling(
            f"kB of memory for each {where}", ours and ours.kb_each, MEMORY_CEILING, missing
        ),
        Verdict.ceiling(
            f"CPU % when idle {where}", ours and ours.cpu_percent, CPU_CEILING, missing
        ),
        Verdict.ceiling(
            f"p50 of one active client {where} / without",
            ours and ours.p50_to_alone,
            MEDIAN_CEILING,
            missing,
        ),
    ]


def measure(options: argparse.Namespace, servers: Sequence[Server]) -> Report:
    """Measure and judge."""
    allow_descriptors(options.idle + OTHER_DESCRIPTORS)
    plan = Idles(options.idle, options.seconds, options.rounds)
    facts = command.describe(servers, f"{options.rounds} of {options.seconds} s", plan.cores)
    runs = plan.run(servers)
    rows = table.summarise(runs, idle_row)
    return Report(facts, [rows], judge(rows, options.idle), runs)


def main() -> int:
    """Measure, print, and judge."""
    parser = command.parser("Idle connections: hwebserver against its peers.", SERVERS)
    parser.add_argument("--seconds", type=command.positive, default=1, help="default: %(default)s")
    parser.add_argument("--idle", type=command.positive, default=5000, help="default: %(default)s")
    parser.set_defaults(rounds=3)
    options = parser.parse_args()
    return command.run(options, [], lambda servers: measure(options, servers))


if __name__ == "__main__":
    sys.exit(main())
