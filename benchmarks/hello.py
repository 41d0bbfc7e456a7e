"""Hello world: our server against its peers and against a loop that parses nothing."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import table
from harness import HarnessError, Measurement, Plan, Server, Work, only_importable, require_tools

WORK = Work(path="/", body=b"Hello, world!")
SERVERS = {
    server.name: server
    for server in [
        Server(table.BARE, "bare_loop.py"),
        Server(table.OURS, "ours.py", module="hwebserver"),
        Server("waitress", "waitress_wsgi.py", module="waitress"),
        Server("cheroot", "cheroot_wsgi.py", module="cheroot"),
        Server("http.server", "http_server.py"),
    ]
}
PEERS = ("waitress", "cheroot", "http.server")
JUDGED_CONNECTIONS = 32
RATE_FLOOR = 2.5
CPU_CEILING = 3.0


@dataclass(frozen=True)
class Verdict:
    """A promise and what was measured; not kept unless all that it speaks of was measured."""

    promise: str
    measured: float | None
    bound: str
    missing: tuple[str, ...]
    kept: bool

    def __str__(self) -> str:
        """The line at the end of the report."""
        value = "not measured" if self.measured is None else f"{self.measured:.2f}"
        note = f"; without {', '.join(self.missing)}" if self.missing else ""
        return f"{self.promise}: {value} ({self.bound}{note}) {'kept' if self.kept else 'MISSED'}"


def missing_servers(runs: Sequence[Measurement], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the servers that were not measured under the load that the promises speak of."""
    return tuple(name for name in names if not table.pick(runs, name, JUDGED_CONNECTIONS))


def judge_rate(runs: Sequence[Measurement]) -> Verdict:
    """Ours against the fastest of the peers."""
    ratios = {
        peer: table.ratio(runs, table.OURS, peer, JUDGED_CONNECTIONS, table.rate) for peer in PEERS
    }
    lowest = min((value for value in ratios.values() if value is not None), default=None)
    missing = missing_servers(runs, [table.OURS, *PEERS])
    return Verdict(
        f"ours / best of {', '.join(PEERS)} at {JUDGED_CONNECTIONS} connections",
        lowest,
        f"floor {RATE_FLOOR}",
        missing,
        kept=not missing and lowest is not None and lowest >= RATE_FLOOR,
    )


def judge_cpu(runs: Sequence[Measurement]) -> Verdict:
    """The CPU time of ours against that of the bare loop."""
    value = table.ratio(runs, table.OURS, table.BARE, JUDGED_CONNECTIONS, table.cpu)
    return Verdict(
        f"ours CPU / bare loop CPU at {JUDGED_CONNECTIONS} connections",
        value,
        f"ceiling {CPU_CEILING}",
        missing_servers(runs, [table.OURS, table.BARE]),
        kept=value is not None and value <= CPU_CEILING,
    )


def describe(plan: Plan, servers: Sequence[Server]) -> dict[str, str]:
    """What a reader must know to compare these numbers with others."""
    # `wrk -v` names its version on the first line, and exits with 1.
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    facts = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "wrk": wrk.split(" [")[0].replace("wrk ", "", 1),
        "rounds": f"{plan.rounds} of {plan.seconds} s",
        "cores": "not pinned",
    }
    if plan.cores.server is not None:
        facts["cores"] = f"server on {plan.cores.server}, wrk on {plan.cores.wrk}"
    for server in servers:
        if server.name in PEERS and server.module:
            facts[server.name] = metadata.version(server.module)
    return facts


def positive(text: str) -> int:
    """Read a whole number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return number


def counts(text: str) -> list[int]:
    """Read numbers of connections with commas between them."""
    return [positive(part) for part in text.split(",")]


def chosen_servers(text: str) -> list[Server]:
    """Read the names of servers with commas between them."""
    unknown = [name for name in text.split(",") if name not in SERVERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such server: {', '.join(unknown)}")
    return [SERVERS[name] for name in text.split(",")]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Hello world: hwebserver against its peers.")
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=positive, default=2, help="default: %(default)s")
    parser.add_argument(
        "--connections", type=counts, default="1,32,256", help="default: %(default)s"
    )
    parser.add_argument(
        "--servers", type=chosen_servers, default=",".join(SERVERS), help="default: %(default)s"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a promise is missed")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and judge."""
    options = parse_arguments()
    plan = Plan(WORK, options.connections, options.seconds, options.rounds)
    try:
        require_tools()
        servers = only_importable(options.servers)
        facts = describe(plan, servers)
        runs = plan.run(servers)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = table.summarise(runs)
    verdicts = [judge_rate(runs), judge_cpu(runs)]
    print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n")
    print(table.markdown(rows), end="\n\n")
    for verdict in verdicts:
        print(f"- {verdict}")
    if options.json:
        data = {
            "facts": facts,
            "rows": [asdict(row) for row in rows],
            "verdicts": [asdict(verdict) for verdict in verdicts],
            "runs": [asdict(run) for run in runs],
        }
        options.json.write_text(json.dumps(data, indent=1) + "\n")
    return 1 if options.check and not all(verdict.kept for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
