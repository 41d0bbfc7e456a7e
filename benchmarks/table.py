"""Medians and ratios of measurements, and the tables that show them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

import harness
from echo import Echo
from harness import Measurement
from transfer import MB, Transfer

OURS = harness.OURS
BARE = harness.BARE


class Run(Protocol):
    """One server under one load in one round."""

    @property
    def server(self) -> str:
        """The name of the server."""

    @property
    def round(self) -> int:
        """The number of the round."""

    @property
    def load(self) -> Hashable:
        """What tells this load from the others of the same kind."""

    @property
    def rate(self) -> float:
        """What it managed in a second."""


R = TypeVar("R", bound=Run)
Row = TypeVar("Row")


def rate(run: Run) -> float:
    """What it managed in a second."""
    return run.rate


def cpu(run: Measurement) -> float:
    """Microseconds of CPU time for a request."""
    return run.cpu_us


def pick(runs: Sequence[R], server: str, load: Hashable) -> list[R]:
    """The measurements of one server under one load, in the order of the rounds."""
    return [run for run in runs if run.server == server and run.load == load]


def quotient(top: Sequence[R], bottom: Sequence[R], value: Callable[[R], float]) -> float | None:
    """The median of the ratios that two kinds of runs had within a round; None without any.

    Dividing within the round cancels what a busy machine does to both.
    """
    below = {run.round: run for run in bottom}
    ratios = [value(run) / value(below[run.round]) for run in top if run.round in below]
    return statistics.median(ratios) if ratios else None


def ratio(
    runs: Sequence[R], top: str, bottom: str, load: Hashable, value: Callable[[R], float]
) -> float | None:
    """The median of the ratios that two servers had within a round; None without both."""
    return quotient(pick(runs, top, load), pick(runs, bottom, load), value)


@dataclass(frozen=True)
class LoadRow:
    """One server under one load of wrk: medians over the rounds, errors of all rounds."""

    server: str
    work: str
    connections: int
    rate: float
    rate_to_bare: float | None
    ours_to_this: float | None
    cpu_us: float
    cpu_to_bare: float | None
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class TransferRow:
    """One server and one size of files: medians over the rounds, the most memory of all rounds."""

    server: str
    size: int
    mb_rate: float
    ours_to_this: float | None
    seconds: float
    cpu_per_100: float
    memory_mb: float


@dataclass(frozen=True)
class EchoRow:
    """One server that echoes messages of one size: medians over the rounds."""

    server: str
    bytes: int
    connections: int
    message_rate: float | None
    mb_rate: float | None
    """Of long messages in place of their number."""
    ours_to_this: float | None
    message_us: float


HEADINGS = {
    "server": "server",
    "work": "work",
    "connections": "connections",
    "size": "MB",
    "bytes": "bytes",
    "rate": "requests/s",
    "message_rate": "messages/s",
    "mb_rate": "MB/s",
    "rate_to_bare": "/ bare loop",
    "ours_to_this": "ours / this",
    "seconds": "seconds",
    "cpu_us": "CPU µs/request",
    "message_us": "CPU µs/message",
    "cpu_per_100": "CPU s/100 MB",
    "cpu_to_bare": "CPU / bare loop",
    "memory_mb": "memory added MB",
    "p99_ms": "p99 ms",
    "errors": "errors",
    "idle": "idle",
    "kb_each": "kB each",
    "cpu_percent": "CPU %",
    "alone_p50_us": "p50 µs without",
    "p50_us": "p50 µs with",
    "p50_to_alone": "with / without",
    "alone_p99_us": "p99 µs without",
    "p99_us": "p99 µs with",
}
DIGITS = {
    "rate": 0,
    "message_rate": 0,
    "mb_rate": 0,
    "seconds": 3,
    "cpu_us": 1,
    "message_us": 1,
    "cpu_per_100": 3,
    "alone_p50_us": 0,
    "p50_us": 0,
    "alone_p99_us": 0,
    "p99_us": 0,
}


def summarise(runs: Sequence[R], row: Callable[[Sequence[R], str, Any], Row]) -> list[Row]:
    """One row for each load and the servers that bore it, in the order of the measurements."""
    servers = list(dict.fromkeys(run.server for run in runs))
    loads = list(dict.fromkeys(run.load for run in runs))
    done = {(run.load, run.server) for run in runs}
    pairs = [(load, server) for load in loads for server in servers]
    return [row(runs, server, load) for load, server in pairs if (load, server) in done]


def load_row(runs: Sequence[Measurement], server: str, load: tuple[str, int]) -> LoadRow:
    """The row of one server under one load of wrk."""
    chosen = pick(runs, server, load)
    return LoadRow(
        server=server,
        work=load[0],
        connections=load[1],
        rate=statistics.median(map(rate, chosen)),
        rate_to_bare=ratio(runs, server, BARE, load, rate),
        ours_to_this=ratio(runs, OURS, server, load, rate),
        cpu_us=statistics.median(map(cpu, chosen)),
        cpu_to_bare=ratio(runs, server, BARE, load, cpu),
        p99_ms=statistics.median(run.p99_ms for run in chosen),
        errors=sum(run.errors for run in chosen),
    )


def transfer_row(runs: Sequence[Transfer], server: str, size: int) -> TransferRow:
    """The row of one server and one size of files."""
    chosen = pick(runs, server, size)
    return TransferRow(
        server=server,
        size=size,
        mb_rate=statistics.median(map(rate, chosen)),
        ours_to_this=ratio(runs, OURS, server, size, rate),
        seconds=statistics.median(run.seconds / run.count for run in chosen),
        cpu_per_100=statistics.median(run.cpu_per_100 for run in chosen),
        memory_mb=max(run.memory for run in chosen) / MB,
    )


def message_row(runs: Sequence[Echo], server: str, connections: int) -> EchoRow:
    """The row of one server and short messages."""
    chosen = pick(runs, server, connections)
    return EchoRow(
        server=server,
        bytes=chosen[0].size,
        connections=connections,
        message_rate=statistics.median(map(rate, chosen)),
        mb_rate=None,
        ours_to_this=ratio(runs, OURS, server, connections, rate),
        message_us=statistics.median(run.cpu_us for run in chosen),
    )


def bulk_row(runs: Sequence[Echo], server: str, connections: int) -> EchoRow:
    """The row of one server and long messages, whose MB say more than their number."""
    row = message_row(runs, server, connections)
    chosen = pick(runs, server, connections)
    mb_rate = statistics.median(run.rate * run.size / MB for run in chosen)
    return replace(row, message_rate=None, mb_rate=mb_rate)


def cell(name: str, value: object) -> str:
    """The text of one cell."""
    if value is None:
        return "-"
    return f"{value:.{DIGITS.get(name, 2)}f}" if isinstance(value, float) else str(value)


def markdown(rows: Sequence[Any]) -> str:
    """Rows of one kind as a Markdown table whose columns also line up as plain text.

    A column in which no row has a value is left out.
    """
    names = [field.name for field in fields(rows[0])]
    names = [name for name in names if any(getattr(row, name) is not None for row in rows)]
    grid = [[HEADINGS[name] for name in names]]
    grid += [[cell(name, getattr(row, name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*grid)]
    # The colons of the second line set the numbers to the right.
    grid.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    padded = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in grid)
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)
