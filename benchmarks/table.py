"""Medians and ratios of measurements, and the table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from harness import Measurement

OURS = "ours"
BARE = "bare"

Value = Callable[[Measurement], float]


def rate(run: Measurement) -> float:
    """Requests a second."""
    return run.rate


def cpu(run: Measurement) -> float:
    """Microseconds of CPU time for a request."""
    return run.cpu_us


def pick(runs: Sequence[Measurement], server: str, connections: int) -> list[Measurement]:
    """The measurements of one server under one load, in the order of the rounds."""
    return [run for run in runs if run.server == server and run.connections == connections]


def ratio(
    runs: Sequence[Measurement], top: str, bottom: str, connections: int, value: Value
) -> float | None:
    """The median of the ratios that two servers had within a round; None if one was not measured.

    Dividing within the round cancels what a busy machine does to both.
    """
    pairs = list(zip(pick(runs, top, connections), pick(runs, bottom, connections)))
    return statistics.median(value(a) / value(b) for a, b in pairs) if pairs else None


@dataclass(frozen=True)
class Row:
    """One server under one load: medians over the rounds, errors of all rounds."""

    server: str
    connections: int
    rate: float
    rate_to_bare: float | None
    ours_to_this: float | None
    cpu_us: float
    cpu_to_bare: float | None
    p99_ms: float
    errors: int


HEADINGS = {
    "server": "server",
    "connections": "connections",
    "rate": "requests/s",
    "rate_to_bare": "/ bare loop",
    "ours_to_this": "ours / this",
    "cpu_us": "CPU µs/request",
    "cpu_to_bare": "CPU / bare loop",
    "p99_ms": "p99 ms",
    "errors": "errors",
}
DIGITS = {"rate": 0, "cpu_us": 1}


def summarise(runs: Sequence[Measurement]) -> list[Row]:
    """One row for each load and server, in the order in which they were measured."""
    servers = list(dict.fromkeys(run.server for run in runs))
    loads = list(dict.fromkeys(run.connections for run in runs))
    return [row(runs, server, connections) for connections in loads for server in servers]


def row(runs: Sequence[Measurement], server: str, connections: int) -> Row:
    """The row of one server under one load."""
    chosen = pick(runs, server, connections)
    return Row(
        server=server,
        connections=connections,
        rate=statistics.median(map(rate, chosen)),
        rate_to_bare=ratio(runs, server, BARE, connections, rate),
        ours_to_this=ratio(runs, OURS, server, connections, rate),
        cpu_us=statistics.median(map(cpu, chosen)),
        cpu_to_bare=ratio(runs, server, BARE, connections, cpu),
        p99_ms=statistics.median(run.p99_ms for run in chosen),
        errors=sum(run.errors for run in chosen),
    )


def cell(name: str, value: object) -> str:
    """The text of one cell."""
    if value is None:
        return "-"
    return f"{value:.{DIGITS.get(name, 2)}f}" if isinstance(value, float) else str(value)


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table whose columns also line up as plain text."""
    names = [field.name for field in fields(Row)]
    grid = [[HEADINGS[name] for name in names]]
    grid += [[cell(name, getattr(row, name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*grid)]
    # The colons of the second line set the numbers to the right.
    grid.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    padded = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in grid)
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)
