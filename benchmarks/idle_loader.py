"""Keep connections that do nothing, and print what they cost the server.

    idle_loader.py PORT CONNECTIONS SECONDS PID

A program of its own, so that it has a core of its own. Each connection asks for the greeting once,
and is kept. Before they are there and while they are, one more connection asks again and again for
some seconds. PID is the server's, whose memory and CPU time are read here, without a pause between
what is done to the server and the reading of it.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness import SETTLE_SECONDS, cpu_seconds, family

PATIENCE_SECONDS = 60
BODY = b"Hello, world!"
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n"
WARM_UP_REQUESTS = 200
IDLE_SECONDS = 2.0


class WrongAnswer(Exception):
    """The server did not answer as it should."""


def connect(port: int) -> socket.socket:
    """Connect to the server."""
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def ask(connection: socket.socket) -> None:
    """Ask for the greeting, and receive it."""
    connection.sendall(REQUEST)
    answer = connection.recv(4096)
    while not answer.endswith(BODY):
        answer += (piece := connection.recv(4096))
        if not piece:
            raise WrongAnswer(f"the connection ended behind {answer[:80]!r}")
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise WrongAnswer(f"{answer[:80]!r}")


def latencies(connection: socket.socket, seconds: float) -> list[int]:
    """Ask again and again for some seconds; returns the nanoseconds of each answer, in order."""
    taken, before = [], time.perf_counter_ns()
    end = before + int(seconds * 1e9)
    while before < end:
        ask(connection)
        now = time.perf_counter_ns()
        taken.append(now - before)
        before = now
    return sorted(taken)


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The value that so many of a hundred stay below."""
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def memory(pid: int) -> int:
    """Bytes of memory of the process and its children; what they share counts once."""
    total = 0
    for member in family(pid):
        lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def ended(connections: Sequence[socket.socket]) -> int:
    """How many of the idle connections the server has not kept."""
    poller = select.poll()
    for one in connections:
        poller.register(one, select.POLLIN)
    return len(poller.poll(0))


def measure(port: int, count: int, seconds: int, pid: int) -> dict[str, int]:
    """Measure without idle connections, make them, and measure with them."""
    # Whatever hangs is ended by the signal: sockets with time-outs would poll before each call.
    signal.alarm(2 * seconds + PATIENCE_SECONDS)
    active = connect(port)
    for _ in range(WARM_UP_REQUESTS):
        ask(active)
    alone = latencies(active, seconds)
    time.sleep(SETTLE_SECONDS)
    memory_before = memory(pid)
    idle = []
    for _ in range(count):
        idle.append(connect(port))
        ask(idle[-1])
    time.sleep(SETTLE_SECONDS)
    memory_added = memory(pid) - memory_before
    cpu_before, start = cpu_seconds(pid), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    cpu, idle_seconds = cpu_seconds(pid) - cpu_before, time.perf_counter() - start
    beside = latencies(active, seconds)
    if ended(idle):
        raise WrongAnswer(f"{ended(idle)} of {count} idle connections were not kept")
    return {
        "memory": memory_added,
        "cpu_microseconds": int(cpu * 1e6),
        "microseconds": int(idle_seconds * 1e6),
        "alone_p50_nanoseconds": percentile(alone, 50),
        "alone_p99_nanoseconds": percentile(alone, 99),
        "p50_nanoseconds": percentile(beside, 50),
        "p99_nanoseconds": percentile(beside, 99),
    }


def main() -> int:
    """Measure, and print the totals."""
    try:
        totals = measure(*map(int, sys.argv[1:]))
    except (OSError, WrongAnswer) as error:
        print(error)
        return 1
    print(json.dumps(totals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
