"""The start: what an import takes, and how soon a server that is started answers."""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import command
import hello
import table
from command import Report, Verdict
from harness import (
    FOLDER,
    Cores,
    HarnessError,
    Server,
    by_name,
    connect,
    cpu_seconds,
    interleave,
    read_port,
    spawn,
    stop_group,
    tolerated,
)

STANDARD = "http.server"
#: What is imported, under the name of its server. Of the first, all takes part in the others.
MODULES = {
    "nothing": "sys",
    table.OURS: "hwebserver",
    STANDARD: "http.server",
    "waitress": "waitress",
    "cheroot": "cheroot.wsgi",
    "tornado": "tornado.web",
    "uvicorn": "uvicorn",
    "aiohttp": "aiohttp.web",
    "granian": "granian",
}
#: The bare loop imports next to nothing, and nginx is started by a program of ours.
SERVERS = by_name(
    *(server for name, server in hello.SERVERS.items() if name not in (table.BARE, "nginx"))
)
IMPORTS = 5
CEILING = 1.0
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Start:
    """A process that was started once: an interpreter with an import, or a server."""

    server: str
    kind: str
    """``import`` or ``answer``."""
    round: int
    seconds: float
    """To the end of the process, or to the first answer."""
    cpu_seconds: float
    """What it and its children used until then."""

    @property
    def load(self) -> str:
        """What tells imports from answers."""
        return self.kind

    @property
    def rate(self) -> float:
        """How often a second it could be done."""
        return 1 / self.seconds


@dataclass(frozen=True)
class StartRow:
    """An import, or the start of a server: medians over the rounds."""

    server: str
    start: str
    start_ms: float
    start_cpu_ms: float
    this_to_standard: float | None


def taken(run: Start) -> float:
    """Seconds that it took."""
    return run.seconds


def used(run: Start) -> float:
    """Seconds of CPU time that it took."""
    return run.cpu_seconds


def start_row(runs: Sequence[Start], server: str, kind: str) -> StartRow:
    """The row of one import or of one server."""
    chosen = table.pick(runs, server, kind)
    return StartRow(
        server=server,
        start=kind,
        start_ms=statistics.median(map(taken, chosen)) * 1e3,
        start_cpu_ms=statistics.median(map(used, chosen)) * 1e3,
        this_to_standard=table.ratio(runs, server, STANDARD, kind, used),
    )


@dataclass(frozen=True)
class Starts:
    """How often processes are started."""

    rounds: int
    imports: int
    """Imports of each module in a round."""
    cores: Cores = field(default_factory=Cores.choose)
    failures: list[str] = field(default_factory=list)

    def import_all(self, servers: Sequence[Server]) -> list[Start]:
        """Import what the servers are made of, one after the other and all again."""
        names = ["nothing", *(server.name for server in servers if server.name in MODULES)]
        return [
            self.import_once(name, number)
            for number in range(1, self.rounds * self.imports + 1)
            for name in names
        ]

    def import_once(self, name: str, number: int) -> Start:
        """Run an interpreter that imports a module, and does nothing else."""
        # Started in the repository, `-c` finds the package beside this folder.
        line = [sys.executable, "-c", f"import {MODULES[name]}"]
        before = time.perf_counter()
        with subprocess.Popen(line, cwd=FOLDER.parent) as process:
            if self.cores.server is not None:
                os.sched_setaffinity(process.pid, {self.cores.server})
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - before
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise HarnessError(f"{MODULES[name]} cannot be imported")
        return Start(name, "import", number, seconds, usage.ru_utime + usage.ru_stime)

    def start_all(self, servers: Sequence[Server]) -> list[Start]:
        """Start every server in every round."""
        return interleave(self.rounds, servers, self.start)

    def start(self, server: Server, number: int) -> list[Start]:
        """Start a server, and ask it for a greeting."""
        runs: list[Start] = []
        with tolerated(server, number, self.failures):
            runs.append(self.start_once(server, number))
        return runs

    def start_once(self, server: Server, number: int) -> Start:
        """Start a server, and take the time to its first answer."""
        program = str(FOLDER / "servers" / server.program)
        before = time.perf_counter()
        process = spawn(
            [sys.executable, program, "0", *server.arguments], self.cores.server, alone=True
        )
        try:
            first_answer(read_port(process))
            seconds = time.perf_counter() - before
            return Start(server.name, "answer", number, seconds, cpu_seconds(process.pid))
        except (HarnessError, OSError) as error:
            raise HarnessError(f"{server.name}: {error}") from error
        finally:
            stop_group(process)


def compile_all() -> None:
    """Compile what of this checkout the measured processes import, as pip did the peers."""
    folders = [str(FOLDER.parent / "hwebserver"), str(FOLDER / "servers")]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)


def first_answer(port: int) -> None:
    """Ask for the greeting as soon as the server listens, and receive it."""
    asked = connect(port).sock
    assert isinstance(asked, socket.socket)
    with asked:
        asked.settimeout(ANSWER_SECONDS)
        asked.sendall(REQUEST)
        answer = asked.recv(4096)
        while not answer.endswith(hello.BODY):
            answer += (piece := asked.recv(4096))
            if not piece:
                raise HarnessError(f"wrong answer: {answer[:80]!r}")


def judge(runs: Sequence[Start]) -> list[Verdict]:
    """What is promised of ours: no more than what comes with Python."""

    def ceiling(what: str, kind: str, value: Callable[[Start], float]) -> Verdict:
        missing = command.missing_servers(runs, [table.OURS, STANDARD], kind)
        measured = table.ratio(runs, table.OURS, STANDARD, kind, value)
        return Verdict.ceiling(what, measured, CEILING, missing)

    return [
        ceiling("CPU of import hwebserver / import http.server", "import", used),
        ceiling("CPU of ours / http.server to the first answer", "answer", used),
        ceiling("time of ours / http.server to the first answer", "answer", taken),
    ]


def measure(options: argparse.Namespace, servers: Sequence[Server]) -> Report:
    """Measure and judge: first the imports, then the servers."""
    compile_all()
    plan = Starts(options.rounds, options.imports)
    rounds = f"{options.rounds} of {options.imports} imports and a start"
    facts = command.describe(servers, rounds, plan.cores)
    imports, answers = plan.import_all(servers), plan.start_all(servers)
    rows = [table.summarise(imports, start_row), table.summarise(answers, start_row)]
    return Report(facts, rows, judge([*imports, *answers]), [*imports, *answers], plan.failures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = command.parser("The start: hwebserver against its peers.", SERVERS)
    parser.add_argument(
        "--imports", type=command.positive, default=IMPORTS, help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    return command.run(options, [], lambda servers: measure(options, servers))


if __name__ == "__main__":
    sys.exit(main())
