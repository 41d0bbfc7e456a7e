"""What the commands share: their options, the facts, the promises, the report."""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import table
from harness import SEARCH_PATH, Cores, HarnessError, Server, only_installed, require_tools

#: What uvicorn runs on where it is to be fast.
UVICORN = ("uvicorn", "uvloop", "httptools")


@dataclass(frozen=True)
class Verdict:
    """A promise and what was measured; not kept unless all that it speaks of was measured."""

    promise: str
    measured: float | None
    bound: str
    missing: tuple[str, ...]
    kept: bool

    @classmethod
    def floor(
        cls, promise: str, measured: float | None, least: float, missing: tuple[str, ...]
    ) -> Verdict:
        """Promise at least so much."""
        kept = not missing and measured is not None and measured >= least
        return cls(promise, measured, f"floor {least}", missing, kept)

    @classmethod
    def ceiling(
        cls, promise: str, measured: float | None, most: float, missing: tuple[str, ...]
    ) -> Verdict:
        """Promise at most so much."""
        kept = not missing and measured is not None and measured <= most
        return cls(promise, measured, f"ceiling {most}", missing, kept)

    def __str__(self) -> str:
        """The line at the end of the report."""
        value = "not measured" if self.measured is None else f"{self.measured:.2f}"
        note = f"; without {', '.join(self.missing)}" if self.missing else ""
        return f"{self.promise}: {value} ({self.bound}{note}) {'kept' if self.kept else 'MISSED'}"


@dataclass(frozen=True)
class Report:
    """All that a command found out."""

    facts: Mapping[str, str]
    tables: Sequence[Sequence[Any]]
    """Rows of one kind each."""
    verdicts: Sequence[Verdict]
    runs: Sequence[Any]

    def __str__(self) -> str:
        """The report as text."""
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        tables = [table.markdown(rows) for rows in self.tables]
        return "\n\n".join([facts, *tables, "\n".join(f"- {one}" for one in self.verdicts)])

    def json(self) -> str:
        """The report and every single measurement as JSON."""
        data = {
            "facts": self.facts,
            "rows": [asdict(row) for rows in self.tables for row in rows],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "runs": [asdict(run) for run in self.runs],
        }
        return json.dumps(data, indent=1) + "\n"


def missing_servers(runs: Sequence[table.Run], names: Sequence[str], load: int) -> tuple[str, ...]:
    """Those of the servers that were not measured under the load that a promise speaks of."""
    return tuple(name for name in names if not table.pick(runs, name, load))


def judge_rate(
    runs: Sequence[table.Run], peers: Sequence[str], load: int, floor: float, where: str
) -> Verdict:
    """Ours against the fastest of the peers."""
    ratios = [table.ratio(runs, table.OURS, peer, load, table.rate) for peer in peers]
    lowest = min((value for value in ratios if value is not None), default=None)
    best = f"best of {', '.join(peers)}" if len(peers) > 1 else peers[0]
    missing = missing_servers(runs, [table.OURS, *peers], load)
    return Verdict.floor(f"ours / {best} {where}", lowest, floor, missing)


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


def parser(description: str, servers: Mapping[str, Server]) -> argparse.ArgumentParser:
    """Make a parser of the options that every command has."""

    def chosen(text: str) -> list[Server]:
        unknown = [name for name in text.split(",") if name not in servers]
        if unknown:
            raise argparse.ArgumentTypeError(f"no such server: {', '.join(unknown)}")
        return [servers[name] for name in text.split(",")]

    made = argparse.ArgumentParser(description=description)
    made.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    made.add_argument(
        "--servers", type=chosen, default=",".join(servers), help="default: %(default)s"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    made.add_argument("--check", action="store_true", help="exit with 1 if a promise is missed")
    return made


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
    return 1 if options.check and not all(verdict.kept for verdict in report.verdicts) else 0
