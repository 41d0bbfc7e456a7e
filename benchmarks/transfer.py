"""Measure large uploads and downloads: loader.py makes them, one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import (
    FOLDER,
    SETTLE_SECONDS,
    Cores,
    Server,
    cpu_seconds,
    family,
    interleave,
    run_load,
    running,
    tolerated,
)

MB = 1_000_000


@dataclass(frozen=True)
class Transfer:
    """A file of some MB, sent to one server or got from it a few times over one connection."""

    server: str
    size: int
    round: int
    count: int
    seconds: float
    cpu_seconds: float
    memory: int
    """Bytes of memory that the server had at its peak, above what it had before."""

    @property
    def load(self) -> int:
        """What tells this load from others."""
        return self.size

    @property
    def rate(self) -> float:
        """MB a second."""
        return self.size * self.count / self.seconds

    @property
    def cpu_per_100(self) -> float:
        """Seconds of the server's CPU time for 100 MB."""
        return self.cpu_seconds / (self.size * self.count) * 100


def memory(pid: int, name: str) -> int:
    """Read the bytes that a field of /proc/PID/status gives, of the process and its children."""
    total = 0
    for member in family(pid):
        lines = Path(f"/proc/{member}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return total * 1024


def forget_peak(pid: int) -> None:
    """Have the peak of the resident memory count from now on."""
    for member in family(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")


@dataclass(frozen=True)
class Transfers:
    """What to transfer, and how often."""

    direction: str
    """``upload`` or ``download``."""
    path: str
    sizes: Sequence[int]
    """In MB."""
    count: int
    rounds: int
    warm_up_bytes: int
    """The size of a first transfer, which is not measured."""
    arguments: Sequence[str] = ()
    cores: Cores = field(default_factory=Cores.choose)
    failures: list[str] = field(default_factory=list)
    """Of peers, as a reader shall see them."""

    def run(self, servers: Sequence[Server]) -> list[Transfer]:
        """Measure every server with every size in every round."""
        return interleave(self.rounds, servers, self.measure)

    def measure(self, server: Server, number: int) -> list[Transfer]:
        """Start the server anew for each size: it may keep memory from one to the next."""
        transfers = []
        for size in self.sizes:
            with tolerated(server, number, self.failures):
                transfers.append(self.measure_size(server, number, size))
        return transfers

    def measure_size(self, server: Server, number: int, size: int) -> Transfer:
        """Transfer files of one size to or from a new server."""
        with running(server, self.arguments, self.cores.server) as (pid, port):
            self.load(port, self.warm_up_bytes, 1)
            time.sleep(SETTLE_SECONDS)
            forget_peak(pid)
            memory_before, cpu_before = memory(pid, "VmRSS"), cpu_seconds(pid)
            seconds = self.load(port, size * MB, self.count)
            time.sleep(SETTLE_SECONDS)  # It may have a temporary file to delete still.
            return Transfer(
                server=server.name,
                size=size,
                round=number,
                count=self.count,
                seconds=seconds,
                cpu_seconds=cpu_seconds(pid) - cpu_before,
                memory=memory(pid, "VmHWM") - memory_before,
            )

    def load(self, port: int, size: int, count: int) -> float:
        """Run the loader, and return the seconds of all its transfers together."""
        program = str(FOLDER / "loader.py")
        arguments = [self.direction, str(port), self.path, str(size), str(count)]
        totals = run_load([sys.executable, program, *arguments], self.cores.load)
        return totals["microseconds"] / 1e6
