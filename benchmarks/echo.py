"""Measure how WebSocket messages are echoed: echo_loader.py sends them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness import (
    FOLDER,
    SETTLE_SECONDS,
    Cores,
    Server,
    interleave,
    run_load,
    running,
    tolerated,
)


@dataclass(frozen=True)
class Echo:
    """One server that echoes messages of one size over some connections for some seconds."""

    server: str
    size: int
    """Bytes of a message."""
    connections: int
    round: int
    messages: int
    seconds: float
    cpu_seconds: float

    @property
    def load(self) -> int:
        """What tells this load from others with messages of this size."""
        return self.connections

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU time for a message and its echo."""
        return self.cpu_seconds / self.messages * 1e6


@dataclass(frozen=True)
class Echoes:
    """What to have echoed, how often and how long."""

    kind: str
    """``text`` or ``binary``."""
    size: int
    """Bytes of a message."""
    connections: Sequence[int]
    seconds: int
    rounds: int
    cores: Cores = field(default_factory=Cores.choose)
    failures: list[str] = field(default_factory=list)

    def run(self, servers: Sequence[Server]) -> list[Echo]:
        """Measure every server in every round."""
        return interleave(self.rounds, servers, self.measure)

    def measure(self, server: Server, number: int) -> list[Echo]:
        """Measure a server as long as it does not fail."""
        runs: list[Echo] = []
        with tolerated(server, number, self.failures):
            for run in self.measure_loads(server, number):
                runs.append(run)
        return runs

    def measure_loads(self, server: Server, number: int) -> Iterator[Echo]:
        """Start the server and put it under one load after the other."""
        with running(server, (), self.cores.server) as (pid, port):
            for connections in self.connections:
                yield self.measure_load(server.name, number, pid, port, connections)

    def measure_load(self, name: str, number: int, pid: int, port: int, connections: int) -> Echo:
        """Put a running server under one load."""
        time.sleep(SETTLE_SECONDS)
        program = str(FOLDER / "echo_loader.py")
        numbers = map(str, (port, self.size, connections, self.seconds, pid))
        totals = run_load([sys.executable, program, self.kind, *numbers], self.cores.load)
        return Echo(
            server=name,
            size=self.size,
            connections=connections,
            round=number,
            messages=totals["messages"],
            seconds=totals["microseconds"] / 1e6,
            cpu_seconds=totals["cpu_microseconds"] / 1e6,
        )
