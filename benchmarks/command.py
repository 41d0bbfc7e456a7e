"""What the commands share: their options, the facts, the promises, the report."""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import table
from harness import (
    SEARCH_PATH,
    Cores,
    HarnessError,
    Measurement,
    Plan,
    Server,
    Work,
    only_installed,
    require_tools,
)

#: What uvicorn runs on where it is to be fast.
UVICORN = ("uvicorn", "uvloop", "httptools")

#: More of them are not named in a promise, but counted.
NAMED_PEERS = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    """A promise and what was measured; not kept unless all that it speaks of was measured."""

    promise: str
    measured: float | None
    bound: str
    missing: tuple[str, ...]
    kept: bool
    peer: str = ""
    """The one that it was measured against, of several."""

    @classmethod
    def floor(
        cls,
        promise: str,
        measured: float | None,
        least: float,
        missing: tuple[str, ...],
        peer: str = "",
    ) -> Verdict:
        """Promise at least so much."""
        kept = not missing and measured is not None and measured >= least
        return cls(promise, measured, f"floor {least}", missing, kept, peer)

    @classmethod
    def ceiling(
        cls,
        promise: str,
        measured: float | None,
        most: float,
        missing: tuple[str, ...],
        peer: str = "",
    ) -> Verdict:
        """Promise at most so much."""
        kept = not missing and measured is not None and measured <= most
        return cls(promise, measured, f"ceiling {most}", missing, kept, peer)

    def __str__(self) -> str:
        """The line at the end of the report."""
        value = "not measured" if self.measured is None else f"{self.measured:.2f}"
        peer = f" by {self.peer}" if self.peer else ""
        note = f"; without {', '.join(self.missing)}" if self.missing else ""
        verdict = "kept" if self.kept else "MISSED"
        return f"{self.promise}: {value}{peer} ({self.bound}{note}) {verdict}"


#: Makes verdicts of what was measured.
Judge = Callable[[Sequence[Measurement]], "list[Verdict]"]


@dataclass(frozen=True)
class Report:
    """All that a command found out."""

    facts: Mapping[str, str]
    tables: Sequence[Sequence[Any]]
    """Rows of one kind each."""
    verdicts: Sequence[Verdict]
    runs: Sequence[Any]
    failures: Sequence[str] = ()
    """Peers that failed, and why."""

    def __str__(self) -> str:
        """The report as text, which is Markdown too."""
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        tables = [table.markdown(rows) for rows in self.tables if rows]
        lists = [[f"failed: {one}" for one in self.failures], self.verdicts]
        items = ["\n".join(f"- {one}" for one in entries) for entries in lists if entries]
        return "\n\n".join([facts, *tables, *items])

    def json(self) -> str:
        """The report and every single measurement as JSON."""
        data = {
            "facts": self.facts,
            "rows": [asdict(row) for rows in self.tables for row in rows],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "failures": list(self.failures),
            "runs": [asdict(run) for run in self.runs],
        }
        return json.dumps(data, indent=1) + "\n"


def missing_servers(
    runs: Sequence[table.Run], names: Sequence[str], load: Hashable
) -> tuple[str, ...]:
    """Those of the servers that were not measured under the load that a promise speaks of."""
    return tuple(name for name in names if not table.pick(runs, name, load))


def ratios(
    runs: Sequence[table.R], peers: Sequence[str], load: Hashable, value: Callable[[table.R], float]
) -> dict[str, float]:
    """Ours as a multiple of each of the peers that were measured."""
    found = {peer: table.ratio(runs, table.OURS, peer, load, value) for peer in peers}
    return {peer: one for peer, one in found.items() if one is not None}


def best_of(peers: Sequence[str]) -> str:
    """What a promise calls the peers."""
    if len(peers) > NAMED_PEERS:
        return f"best of {len(peers)} peers"
    names = ["bare loop" if peer == table.BARE else peer for peer in peers]
    return f"best of {', '.join(names)}" if len(names) > 1 else names[0]


def judge_rate(
    runs: Sequence[table.Run], peers: Sequence[str], load: Hashable, floor: float, where: str
) -> Verdict:
    """Ours against the fastest of the peers."""
    found = ratios(runs, peers, load, table.rate)
    best = min(found, key=found.__getitem__, default="")
    promise = f"rate of ours / {best_of(peers)} {where}"
    missing = missing_servers(runs, [table.OURS, *peers], load)
    return Verdict.floor(promise, found.get(best), floor, missing, best if len(peers) > 1 else "")


def judge_cpu(
    runs: Sequence[Measurement], peers: Sequence[str], load: Hashable, ceiling: float, where: str
) -> Verdict:
    """The CPU time of ours against that of the thriftiest of the peers."""
    found = ratios(runs, peers, load, table.cpu)
    best = max(found, key=found.__getitem__, default="")
    promise = f"CPU of ours / {best_of(peers)} {where}"
    missing = missing_servers(runs, [table.OURS, *peers], load)
    return Verdict.ceiling(
        promise, found.get(best), ceiling, missing, best if len(peers) > 1 else ""
    )


def tool_version(name: str) -> str:
    """The version that a command names; wrk exits with 1 then, and nginx writes it to stderr."""
    done = subprocess.run(
        [name, "-v"], capture_output=True, text=True, check=False, env={"PATH": SEARCH_PATH}
    )
    found = re.search(r"\d[^\s\[]*", done.stdout + done.stderr)
    return found[0] if found else "unknown"


def describe(
    servers: Sequence[Server], rounds: str, cores: Cores, tools: Sequence[str] = ()
) -> dict[str, str]:
    """What a reader must know to compare these numbers with others."""
    facts = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    facts.update((tool, tool_version(tool)) for tool in tools)
    facts["rounds"] = rounds
    facts["cores"] = "not pinned"
    if cores.server is not None:
        facts["cores"] = f"server on {cores.server}, load on {cores.load}"
    for server in servers:
        if server.tool:
            facts[server.tool] = tool_version(server.tool)
        if server.name != table.OURS:
            facts.update((module, metadata.version(module)) for module in server.modules)
    return facts


def positive(text: str) -> int:
    """Read a whole number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return number


def numbers(text: str) -> list[int]:
    """Read numbers above zero with commas between them."""
    return [positive(part) for part in text.split(",")]


def chosen(text: str, known: Mapping[str, T]) -> list[T]:
    """Read names with commas between them."""
    unknown = [name for name in text.split(",") if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"not known: {', '.join(unknown)}; known are {', '.join(known)}"
        )
    return [known[name] for name in text.split(",")]


def parser(description: str, servers: Mapping[str, Server]) -> argparse.ArgumentParser:
    """Make a parser of the options that every command has."""
    made = argparse.ArgumentParser(description=description)
    made.set_defaults(title=description)
    made.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    made.add_argument(
        "--servers",
        type=lambda text: chosen(text, servers),
        default=",".join(servers),
        help="default: %(default)s",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there too")
    made.add_argument("--check", action="store_true", help="exit with 1 if a promise is missed")
    return made


def load_parser(description: str, servers: Mapping[str, Server]) -> argparse.ArgumentParser:
    """Make a parser of the options that the commands have that use wrk."""
    made = parser(description, servers)
    made.add_argument("--seconds", type=positive, default=2, help="default: %(default)s")
    return made


def load_tables(runs: Sequence[Measurement]) -> list[list[table.LoadRow]]:
    """A table for each load of wrk."""
    rows = table.summarise(runs, table.load_row)
    loads = dict.fromkeys((row.work, row.connections) for row in rows)
    return [[row for row in rows if (row.work, row.connections) == load] for load in loads]


def measure_works(
    options: argparse.Namespace, works: Sequence[Work], servers: Sequence[Server], judge: Judge
) -> Report:
    """Put the servers to works with wrk, and judge."""
    plan = Plan(works, options.seconds, options.rounds)
    rounds = f"{plan.rounds} of {plan.seconds} s"
    facts = describe(servers, rounds, plan.cores, tools=["wrk"])
    runs = plan.run(servers)
    return Report(facts, load_tables(runs), judge(runs), runs, plan.failures)


def promise_nothing(runs: Sequence[Measurement]) -> list[Verdict]:
    """The judge of a command whose table speaks for itself."""
    return []


def run_works(
    options: argparse.Namespace,
    works: Sequence[Work] | Callable[[], Sequence[Work]],
    judge: Judge = promise_nothing,
    tools: Sequence[str] = (),
) -> int:
    """Put the servers to works with wrk, print, and judge; returns the exit code.

    Args:
        options: Those of load_parser().
        works: What is measured, or what makes it once the tools are known to be there.
        judge: Has the promises.
        tools: Commands that are needed besides wrk.
    """

    def measure(servers: list[Server]) -> Report:
        return measure_works(options, works() if callable(works) else works, servers, judge)

    return run(options, ["wrk", *tools], measure)


def run(
    options: argparse.Namespace, tools: Sequence[str], measure: Callable[[list[Server]], Report]
) -> int:
    """Measure, print, and judge; returns the exit code."""
    try:
        require_tools(*tools)
        report = measure(only_installed(options.servers))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report)
    if options.json:
        options.json.write_text(report.json())
    if options.markdown:
        options.markdown.write_text(f"# {options.title.rstrip('.')}\n\n{report}\n")
    return 1 if options.check and not all(verdict.kept for verdict in report.verdicts) else 0
