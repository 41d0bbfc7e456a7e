"""All benchmarks, one after the other, and what came of them in one report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import command
from harness import FOLDER

#: What each command is told when all are run, and what besides when that is to be quick.
COMMANDS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "hello": (["--rounds", "3"], ["--seconds", "1"]),
    "api": (["--rounds", "3"], ["--seconds", "1"]),
    "routes": (["--rounds", "3"], ["--seconds", "1"]),
    "tls": (["--rounds", "3"], ["--seconds", "1"]),
    "access_log": (["--rounds", "3"], ["--seconds", "1"]),
    "files": (["--rounds", "3"], ["--seconds", "1", "--downloads", "3"]),
    "upload": (["--rounds", "3"], ["--uploads", "1"]),
    "websocket": (["--rounds", "3"], []),
    "stream": (["--rounds", "3"], ["--seconds", "1"]),
    "beside": (["--rounds", "3"], ["--seconds", "1"]),
    "idle": (["--rounds", "2"], ["--idle", "2000"]),
    "start": (["--rounds", "5"], ["--imports", "3"]),
}
QUICK_ROUNDS = 1
#: The exit code of a command that could not measure.
FAILED = 2


@dataclass(frozen=True)
class Done:
    """A command that was run."""

    name: str
    code: int
    seconds: float
    markdown: str
    """Its report; empty if it failed."""
    report: Mapping[str, Any]

    @property
    def missed(self) -> list[str]:
        """The promises that were not kept."""
        verdicts = self.report.get("verdicts", ())
        return [verdict["promise"] for verdict in verdicts if not verdict["kept"]]


def run(name: str, options: Sequence[str], folder: Path) -> Done:
    """Run a command; what it prints is seen, and what it writes is read."""
    written, markdown = folder / f"{name}.json", folder / f"{name}.md"
    line = [sys.executable, str(FOLDER / f"{name}.py"), *options]
    print(f"{name}.py {' '.join(options)}", file=sys.stderr)
    start = time.monotonic()
    done = subprocess.run([*line, "--json", str(written), "--markdown", str(markdown)], check=False)
    seconds = time.monotonic() - start
    if done.returncode:
        return Done(name, FAILED, seconds, "", {})
    return Done(name, 0, seconds, markdown.read_text(), json.loads(written.read_text()))


def processor() -> str:
    """What the system calls its processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine() -> dict[str, str]:
    """What is known before the first command: the machine, and whether it was quiet."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load average before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def outcome(measured: float | None, peer: str) -> str:
    """What was measured, and against which of several peers."""
    value = "-" if measured is None else f"{measured:.2f}"
    return f"{value} by {peer}" if peer else value


def verdict_table(done: Sequence[Done]) -> str:
    """All promises, and what became of them."""
    lines = ["| command | promise | measured | bound | kept |", "|---|---|---:|---|---|"]
    for one in done:
        for verdict in one.report.get("verdicts", ()):
            cells = (
                one.name,
                verdict["promise"],
                outcome(verdict["measured"], verdict.get("peer", "")),
                verdict["bound"],
                "yes" if verdict["kept"] else "**no**",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def in_section(markdown: str) -> str:
    """A report with its headings one level lower."""
    lines = markdown.strip().splitlines()
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in lines)


def markdown(facts: Mapping[str, str], done: Sequence[Done]) -> str:
    """All reports as one."""
    parts = ["# Benchmarks", "\n".join(f"- {name}: {value}" for name, value in facts.items())]
    for one in done:
        took = f"`{one.name}.py`, {one.seconds:.0f} s"
        parts += [in_section(one.markdown), took] if not one.code else [f"{took}: failed"]
    parts += ["## Promises", verdict_table(done)]
    return "\n\n".join(parts) + "\n"


def as_json(facts: Mapping[str, str], done: Sequence[Done]) -> str:
    """All numbers of all reports."""
    commands = {one.name: {"seconds": one.seconds, **one.report} for one in done}
    return json.dumps({"facts": facts, "commands": commands}, indent=1) + "\n"


def chosen_options(options: argparse.Namespace, name: str) -> list[str]:
    """What a command is told."""
    usual, quick = COMMANDS[name]
    told = list(usual)
    if options.quick:
        told += [*quick, "--rounds", str(QUICK_ROUNDS)]
    if options.rounds:
        told += ["--rounds", str(options.rounds)]
    return told


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""

    def names(text: str) -> list[str]:
        return command.chosen(text, {name: name for name in COMMANDS})

    made = argparse.ArgumentParser(description="All benchmarks of hwebserver and its peers.")
    made.add_argument("--only", type=names, default=",".join(COMMANDS), help="default: %(default)s")
    made.add_argument("--rounds", type=command.positive, help="default: as many as each needs")
    made.add_argument("--quick", action="store_true", help="one short round of each")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there")
    made.add_argument("--check", action="store_true", help="exit with 1 if a promise is missed")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the commands, and write what came of them."""
    options = parser().parse_args(arguments)
    facts, start = machine(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hwebserver-benchmarks-") as folder:
        done = [run(name, chosen_options(options, name), Path(folder)) for name in options.only]
    facts["took"] = f"{(time.monotonic() - start) / 60:.1f} minutes"
    print(f"\n{verdict_table(done)}\n\n{facts['took']}")
    if options.json:
        options.json.write_text(as_json(facts, done))
    if options.markdown:
        options.markdown.write_text(markdown(facts, done))
    if any(one.code for one in done):
        return FAILED
    return 1 if options.check and any(one.missed for one in done) else 0


if __name__ == "__main__":
    sys.exit(main())
