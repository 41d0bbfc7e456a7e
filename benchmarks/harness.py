"""Measure servers: start one, put it under load, read from the system what that took."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).resolve().parent
START_SECONDS = 10.0
STOP_SECONDS = 5.0
WARM_UP_REQUESTS = 200
# Between two loads the server closes the connections of the first; that is no part of the second.
SETTLE_SECONDS = 0.2
# nginx is where only the path of root leads.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])

OURS = "ours"
BARE = "bare"

T = TypeVar("T")


class HarnessError(Exception):
    """The measurement cannot be made, or would mean nothing."""


@dataclass(frozen=True)
class Server:
    """A program in servers/: it takes a port, 0 for any free one, and prints the port it got."""

    name: str
    program: str
    modules: tuple[str, ...] = ()
    """What must be importable for it to run, where that is not a matter of course."""
    tool: str = ""
    """A command that must be installed for it to run."""
    arguments: tuple[str, ...] = ()
    """What the program is told behind the port, before what the work adds."""
    closes: bool = False
    """It keeps no connection, and takes part only in works that want none kept."""


def by_name(*servers: Server) -> dict[str, Server]:
    """The servers of a command, as its options name them."""
    return {server.name: server for server in servers}


@dataclass(frozen=True)
class Work:
    """What is asked of every server, and the answer that it must give."""

    path: str
    body: bytes
    arguments: tuple[str, ...] = ()
    """What the programs of the servers are told besides the port."""
    name: str = "hello"
    """What the tables call it."""
    connections: Sequence[int] = (32,)
    """Loads, each so many connections at once."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the client sends besides Host."""
    payload: bytes = b""
    """What is sent by POST; GET without."""
    closes: bool = False
    """Have a new connection for each request."""
    certificate: str = ""
    """The certificate's file; unset: no TLS."""
    decode: Callable[[bytes], Any] = bytes
    """What makes two right answers equal that differ in their bytes."""

    @property
    def method(self) -> str:
        """How it is asked."""
        return "POST" if self.payload else "GET"

    @property
    def all_headers(self) -> dict[str, str]:
        """The header lines that say how long the connection is wanted too."""
        return {**self.headers, "Connection": "close"} if self.closes else dict(self.headers)

    def url(self, port: int) -> str:
        """Where it is asked."""
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{port}{self.path}"


@dataclass(frozen=True)
class Measurement:
    """One server under one load for some seconds."""

    server: str
    work: str
    connections: int
    round: int
    requests: int
    seconds: float
    cpu_seconds: float
    p99_ms: float
    errors: int

    @property
    def load(self) -> tuple[str, int]:
        """What tells this load from others."""
        return (self.work, self.connections)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU time for a request."""
        return self.cpu_seconds / self.requests * 1e6


@dataclass(frozen=True)
class Cores:
    """The core of the server and that of the load; None for both where there is no choice."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls) -> Cores:
        """Take the first two cores that this process may use."""
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return cls(allowed[0], allowed[1]) if len(allowed) > 1 else cls(None, None)


def require_tools(*names: str) -> None:
    """Raise if this machine lacks what every measurement needs."""
    for name in names:
        if tool_failure(name):
            raise HarnessError(f"{tool_failure(name)} (Debian: apt-get install {name})")
    if not Path("/proc/self/stat").exists():
        raise HarnessError("no /proc to read CPU times from: this needs Linux")


def tool_failure(name: str) -> str:
    """Say that a command is not installed; empty if it is."""
    return "" if shutil.which(name, path=SEARCH_PATH) else f"{name} is not installed"


def import_failure(modules: Iterable[str]) -> str:
    """Say why a fresh interpreter cannot import the modules; empty if it can."""
    # Started in the repository, `-c` finds the package beside this folder as well.
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1] if done.returncode else ""


def only_installed(servers: Iterable[Server]) -> list[Server]:
    """Leave out the servers that are not installed, and name each on stderr."""
    found = []
    for server in servers:
        failure = import_failure(server.modules) if server.modules else ""
        if server.tool:
            failure = failure or tool_failure(server.tool)
        if failure:
            print(f"left out: {server.name} ({failure})", file=sys.stderr)
        else:
            found.append(server)
    if not found:
        raise HarnessError("none of the servers is installed")
    return found


def spawn(command: Sequence[str], core: int | None, alone: bool = False) -> subprocess.Popen[str]:
    """Start a command on one core, its output in a pipe; alone: as a process group of its own."""
    environment = {**os.environ, "PATH": SEARCH_PATH}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=alone
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})  # before it has threads, which inherit it
    return process


def read_port(process: subprocess.Popen[str]) -> int:
    """Read the port from the server's first line of output."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else ""
    if not line.strip().isdigit():
        raise HarnessError(f"it printed no port but {line!r}")
    return int(line)


def client(port: int, certificate: str) -> http.client.HTTPConnection:
    """Make a connection that is still to be opened, over TLS if there is a certificate."""
    if not certificate:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    context = ssl.create_default_context(cafile=certificate)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=START_SECONDS, context=context)


def connect(port: int, certificate: str = "") -> http.client.HTTPConnection:
    """Connect as soon as the server listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        connection = client(port, certificate)
        try:
            connection.connect()
            return connection
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def ask(connection: http.client.HTTPConnection, work: Work) -> None:
    """Ask once, and check the answer and what becomes of the connection."""
    connection.request(work.method, work.path, work.payload or None, work.all_headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200 or work.decode(body) != work.decode(work.body):
        raise HarnessError(f"wrong answer: {response.status} {body[:80]!r}")
    if connection.sock is None:
        if not work.closes:
            raise HarnessError("it did not keep the connection alive")
    elif work.closes:
        # Not all of them announce what they do.
        if connection.sock.recv(1):
            raise HarnessError("it sent more than one answer")
        connection.close()


def warm_up(port: int, work: Work) -> None:
    """Check the server's answer, and let it reach its usual speed."""
    connection = connect(port, work.certificate)
    try:
        for _ in range(WARM_UP_REQUESTS):
            ask(connection, work)
    except ValueError as error:
        raise HarnessError(f"wrong answer: {error}") from error
    finally:
        connection.close()


def stop(process: subprocess.Popen[str]) -> None:
    """End a process that spawn() started."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def stop_group(process: subprocess.Popen[str]) -> None:
    """End a process that spawn() started alone, and then what it has left of its children."""
    stop(process)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # as it should be


@contextmanager
def running(
    server: Server, arguments: Sequence[str], core: int | None
) -> Iterator[tuple[int, int]]:
    """Run the server for the time of the block; yields its process id and port."""
    program = FOLDER / "servers" / server.program
    command = [sys.executable, str(program), "0", *server.arguments, *arguments]
    process = spawn(command, core, alone=True)
    try:
        port = read_port(process)
        connect(port).close()
        yield process.pid, port
        if process.poll() is not None:
            raise HarnessError(f"it ended under load, exit code {process.returncode}")
    except (HarnessError, OSError, http.client.HTTPException) as error:
        raise HarnessError(f"{server.name}: {error}") from error
    finally:
        stop_group(process)


def family(pid: int) -> list[int]:
    """The process and all that it has started, if any: nginx works in a child."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """Read what CPU time the process has used so far, in all threads and in the kernel.

    The clock of a process counts nanoseconds, where utime and stime count ticks, and threads that
    have ended, which the schedstat files have lost.
    """
    return sum(time.clock_gettime(process_clock(member)) for member in family(pid))


def process_clock(pid: int) -> int:
    """The number that Linux gives to the CPU clock of a process, as clock_getcpuclockid(3) does."""
    return (~pid << 3) | 2


def run_load(command: Sequence[str], core: int | None) -> dict[str, int]:
    """Run a program that loads a server, and return the totals that it prints last, as JSON."""
    process = spawn(command, core)
    try:
        output, _ = process.communicate()
    finally:
        stop(process)
    if process.returncode or not output.rstrip().endswith("}"):
        raise HarnessError(f"the load failed, exit code {process.returncode}: {output.strip()}")
    totals: dict[str, int] = json.loads(output.splitlines()[-1])
    return totals


def run_wrk(
    url: str, connections: int, seconds: int, core: int | None, work: Work | None = None
) -> dict[str, int]:
    """Load the URL, as the work says, and return the totals of wrk_report.lua."""
    script = str(FOLDER / "wrk_report.lua")
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script]
    payload = []
    if work is not None:
        for name, value in work.all_headers.items():
            options += ["-H", f"{name}: {value}"]
        payload = [work.payload.decode()] if work.payload else []
    totals = run_load(["wrk", *options, url, *payload], core)
    if not totals["requests"]:
        raise HarnessError(f"not one answer over {connections} connections")
    return totals


@contextmanager
def tolerated(server: Server, number: int, failures: list[str]) -> Iterator[None]:
    """Name a peer that fails within the block, and go on: a run takes long, and has many."""
    try:
        yield
    except HarnessError as error:
        if server.name in (OURS, BARE):
            raise
        failures.append(f"{error} (round {number})")
        print(f"failed: {failures[-1]}", file=sys.stderr)


def interleave(
    rounds: int, servers: Sequence[Server], measure: Callable[[Server, int], Iterable[T]]
) -> list[T]:
    """Measure every server once in each round, so that all share the machine's moods."""
    runs: list[T] = []
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr)
        for server in servers:
            runs.extend(measure(server, number))
    return runs


@dataclass(frozen=True)
class Plan:
    """What to measure with wrk, how often and how long."""

    works: Sequence[Work]
    seconds: int
    rounds: int
    cores: Cores = field(default_factory=Cores.choose)
    failures: list[str] = field(default_factory=list)
    """Of peers, as a reader shall see them."""

    def run(self, servers: Sequence[Server]) -> list[Measurement]:
        """Measure every server in every round."""
        return interleave(self.rounds, servers, self.measure)

    def measure(self, server: Server, number: int) -> list[Measurement]:
        """Put the server to all works; it is started anew where they tell it something else."""
        runs: list[Measurement] = []
        works = (work for work in self.works if work.closes or not server.closes)
        for arguments, alike in groupby(works, key=lambda work: work.arguments):
            with tolerated(server, number, self.failures):
                for run in self.measure_works(server, number, arguments, alike):
                    runs.append(run)
        return runs

    def measure_works(
        self, server: Server, number: int, arguments: Sequence[str], works: Iterable[Work]
    ) -> Iterator[Measurement]:
        """Start the server, and put it under one load after the other."""
        with running(server, arguments, self.cores.server) as (pid, port):
            for work in works:
                warm_up(port, work)
                for connections in work.connections:
                    yield self.measure_load(server.name, number, pid, port, work, connections)

    def measure_load(
        self, name: str, number: int, pid: int, port: int, work: Work, connections: int
    ) -> Measurement:
        """Put a running server under one load."""
        time.sleep(SETTLE_SECONDS)
        before = cpu_seconds(pid)
        totals = run_wrk(work.url(port), connections, self.seconds, self.cores.load, work)
        return Measurement(
            server=name,
            work=work.name,
            connections=connections,
            round=number,
            requests=totals["requests"],
            seconds=totals["microseconds"] / 1e6,
            cpu_seconds=cpu_seconds(pid) - before,
            p99_ms=totals["p99_microseconds"] / 1e3,
            errors=totals["errors"],
        )
