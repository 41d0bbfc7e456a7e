"""Fast handlers beside ones that sleep, and in a busy host: our server and its peers."""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import command
import table
import works
from command import Report, Verdict
from harness import (
    SETTLE_SECONDS,
    Cores,
    HarnessError,
    Server,
    Work,
    connect,
    cpu_seconds,
    interleave,
    run_wrk,
    running,
    tolerated,
    warm_up,
)

WORK = Work(path="/", body=b"Hello, world!")
SERVERS = works.servers(
    table.OURS,
    "waitress",
    "cheroot",
    "gunicorn",
    "http.server",
    "starlette",
    "uvicorn",
    "aiohttp",
    "granian",
)
#: They start processes of their own, which know nothing of a host.
NEVER_IN_A_HOST = ("gunicorn", "granian")
HOSTED_PEERS = tuple(name for name in SERVERS if name not in NEVER_IN_A_HOST and name != table.OURS)
FAST_CONNECTIONS = 8
SLEEPERS = 3
RATE_FLOOR = 1.0
P99_CEILING = 1.5


@dataclass(frozen=True)
class Fast:
    """Fast clients of one server for some seconds, and what was beside them."""

    server: str
    beside: int
    """Handlers that slept, or hosts that were busy."""
    round: int
    requests: int
    seconds: float
    cpu_seconds: float
    p99_ms: float
    longest_ms: float
    errors: int
    naps: Sequence[float] = ()
    """What the clients of the handlers that slept waited, in seconds."""

    @property
    def load(self) -> int:
        """What tells this load from others."""
        return self.beside

    @property
    def rate(self) -> float:
        """Requests a second of the fast clients."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU time for a request of the fast clients."""
        return self.cpu_seconds / self.requests * 1e6


def p99(run: Fast) -> float:
    """Milliseconds that 99 of 100 requests of the fast clients stayed below."""
    return run.p99_ms


@dataclass(frozen=True)
class FastRow:
    """Fast clients beside handlers that sleep: medians over the rounds, the longest of all."""

    server: str
    sleepers: int
    rate: float
    ours_to_this: float | None
    cpu_us: float
    p99_ms: float
    p99_to_alone: float | None
    longest_ms: float
    nap_seconds: float | None
    errors: int


@dataclass(frozen=True)
class HostedRow:
    """Fast clients of a server in a busy host, whose CPU time tells nothing of the server."""

    server: str
    connections: int
    rate: float
    ours_to_this: float | None
    p99_ms: float
    longest_ms: float
    errors: int


def p99_to_alone(runs: Sequence[Fast], server: str) -> float | None:
    """The median of the ratios that p99 with and without sleepers had within a round."""
    beside, alone = table.pick(runs, server, SLEEPERS), table.pick(runs, server, 0)
    return table.quotient(beside, alone, p99)


def fast_row(runs: Sequence[Fast], server: str, sleepers: int) -> FastRow:
    """The row of one server with or without handlers that sleep."""
    chosen = table.pick(runs, server, sleepers)
    naps = [nap for run in chosen for nap in run.naps]
    return FastRow(
        server=server,
        sleepers=sleepers,
        rate=statistics.median(map(table.rate, chosen)),
        ours_to_this=table.ratio(runs, table.OURS, server, sleepers, table.rate),
        cpu_us=statistics.median(run.cpu_us for run in chosen),
        p99_ms=statistics.median(map(p99, chosen)),
        p99_to_alone=p99_to_alone(runs, server) if sleepers else None,
        longest_ms=max(run.longest_ms for run in chosen),
        nap_seconds=statistics.median(naps) if naps else None,
        errors=sum(run.errors for run in chosen),
    )


def hosted_row(runs: Sequence[Fast], server: str, hosts: int) -> HostedRow:
    """The row of one server in a busy host."""
    chosen = table.pick(runs, server, hosts)
    return HostedRow(
        server=server,
        connections=FAST_CONNECTIONS,
        rate=statistics.median(map(table.rate, chosen)),
        ours_to_this=table.ratio(runs, table.OURS, server, hosts, table.rate),
        p99_ms=statistics.median(map(p99, chosen)),
        longest_ms=max(run.longest_ms for run in chosen),
        errors=sum(run.errors for run in chosen),
    )


class Sleeper(threading.Thread):
    """A client that asks for a nap again and again, until it is told to stop.

    Args:
        port: Where the server listens.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.naps: list[float] = []
        self.failure = ""
        self._port = port
        self._stopped = threading.Event()

    def run(self) -> None:
        """Ask, and note how long each answer took."""
        connection = connect(self._port)
        try:
            while not self._stopped.is_set():
                self._nap(connection)
        except (OSError, http.client.HTTPException) as error:
            self.failure = repr(error)
        finally:
            connection.close()

    def _nap(self, connection: http.client.HTTPConnection) -> None:
        start = time.perf_counter()
        connection.request("GET", "/sleep")
        response = connection.getresponse()
        if response.read() != WORK.body:
            self.failure = f"wrong answer to a nap: {response.status}"
        self.naps.append(time.perf_counter() - start)

    def stop(self) -> None:
        """Let it have its last answer."""
        self._stopped.set()
        self.join()
        if self.failure:
            raise HarnessError(f"a client whose handler sleeps: {self.failure}")


@contextmanager
def asleep(port: int, count: int) -> Iterator[list[Sleeper]]:
    """Keep so many handlers asleep for the time of the block."""
    sleepers = [Sleeper(port) for _ in range(count)]
    for one in sleepers:
        one.start()
    time.sleep(SETTLE_SECONDS)  # Until all of them are asleep.
    yield sleepers
    for one in sleepers:
        one.stop()


#: Starts a server and measures it.
Measure = Callable[[Server, int], Iterator[Fast]]


@dataclass(frozen=True)
class Beside:
    """How often and how long fast clients ask."""

    seconds: int
    rounds: int
    cores: Cores = field(default_factory=Cores.choose)
    failures: list[str] = field(default_factory=list)

    def beside_sleepers(self, servers: Sequence[Server]) -> list[Fast]:
        """Measure every server without and with handlers that sleep, in every round."""
        return interleave(self.rounds, servers, partial(self.tolerate, self.with_sleepers))

    def in_hosts(self, servers: Sequence[Server]) -> list[Fast]:
        """Measure every server that can run in a host in a busy one, in every round."""
        hosted = [server for server in servers if server.name not in NEVER_IN_A_HOST]
        return interleave(self.rounds, hosted, partial(self.tolerate, self.hosted))

    def tolerate(self, measure: Measure, server: Server, number: int) -> list[Fast]:
        """Measure a server as long as it does not fail."""
        runs: list[Fast] = []
        with tolerated(server, number, self.failures):
            for run in measure(server, number):
                runs.append(run)
        return runs

    def with_sleepers(self, server: Server, number: int) -> Iterator[Fast]:
        """Start the server, and ask it without and with handlers that sleep."""
        with running(server, (), self.cores.server) as (pid, port):
            warm_up(port, WORK)
            for count in (0, SLEEPERS):
                yield self.ask(server, number, pid, port, count)

    def hosted(self, server: Server, number: int) -> Iterator[Fast]:
        """Start the server in a busy host, and ask it."""
        with running(server, ["busy"], self.cores.server) as (pid, port):
            yield self.load(server, number, pid, port, 1)

    def ask(self, server: Server, number: int, pid: int, port: int, sleepers: int) -> Fast:
        """Have fast clients ask while handlers sleep."""
        time.sleep(SETTLE_SECONDS)
        with asleep(port, sleepers) as clients:
            fast = self.load(server, number, pid, port, sleepers)
        return replace(fast, naps=[nap for one in clients for nap in one.naps])

    def load(self, server: Server, number: int, pid: int, port: int, beside: int) -> Fast:
        """Have fast clients ask for some seconds."""
        url = f"http://127.0.0.1:{port}{WORK.path}"
        before = cpu_seconds(pid)
        totals = run_wrk(url, FAST_CONNECTIONS, self.seconds, self.cores.load)
        return Fast(
            server=server.name,
            beside=beside,
            round=number,
            requests=totals["requests"],
            seconds=totals["microseconds"] / 1e6,
            cpu_seconds=cpu_seconds(pid) - before,
            p99_ms=totals["p99_microseconds"] / 1e3,
            longest_ms=totals["longest_microseconds"] / 1e3,
            errors=totals["errors"],
        )


def judge(asleep: Sequence[Fast], hosted: Sequence[Fast]) -> list[Verdict]:
    """What is promised of ours."""
    where = f"at {FAST_CONNECTIONS} connections beside {SLEEPERS} sleepers"
    missing = command.missing_servers(asleep, [table.OURS], SLEEPERS)
    ratio = p99_to_alone(asleep, table.OURS)
    return [
        command.judge_rate(asleep, ["granian"], SLEEPERS, RATE_FLOOR, where),
        Verdict.ceiling(f"ours p99 {where} / without them", ratio, P99_CEILING, missing),
        command.judge_rate(hosted, HOSTED_PEERS, 1, RATE_FLOOR, "in a busy host"),
    ]


def measure(options: argparse.Namespace, servers: Sequence[Server]) -> Report:
    """Measure and judge: first beside handlers that sleep, then in a busy host."""
    plan = Beside(options.seconds, options.rounds)
    rounds = f"{options.rounds} of {options.seconds} s"
    facts = command.describe(servers, rounds, plan.cores, tools=["wrk"])
    asleep, hosted = plan.beside_sleepers(servers), plan.in_hosts(servers)
    rows: list[Sequence[Any]] = [
        table.summarise(asleep, fast_row),
        table.summarise(hosted, hosted_row),
    ]
    return Report(facts, rows, judge(asleep, hosted), [*asleep, *hosted], plan.failures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.parser("Beside sleepers and a busy host: hwebserver and its peers.", SERVERS)
    parser.add_argument("--seconds", type=command.positive, default=2, help="default: %(default)s")
    options = parser.parse_args(arguments)
    return command.run(options, ["wrk"], lambda servers: measure(options, servers))


if __name__ == "__main__":
    sys.exit(main())
