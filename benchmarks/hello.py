"""Hello world: our server against its peers and against a loop that parses nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import command
import table
from command import Report, Verdict
from harness import Measurement, Plan, Server, Work, by_name

WORK = Work(path="/", body=b"Hello, world!")
SERVERS = by_name(
    Server(table.BARE, "bare_loop.py"),
    Server(table.OURS, "ours.py", modules=("hwebserver",)),
    Server("waitress", "waitress_wsgi.py", modules=("waitress",)),
    Server("cheroot", "cheroot_wsgi.py", modules=("cheroot",)),
    Server("http.server", "http_server.py"),
)
PEERS = ("waitress", "cheroot", "http.server")
JUDGED_CONNECTIONS = 32
RATE_FLOOR = 2.5
CPU_CEILING = 3.0


def judge_cpu(runs: Sequence[Measurement]) -> Verdict:
    """The CPU time of ours against that of the bare loop."""
    return Verdict.ceiling(
        f"ours CPU / bare loop CPU at {JUDGED_CONNECTIONS} connections",
        table.ratio(runs, table.OURS, table.BARE, JUDGED_CONNECTIONS, table.cpu),
        CPU_CEILING,
        command.missing_servers(runs, [table.OURS, table.BARE], JUDGED_CONNECTIONS),
    )


def measure(plan: Plan, servers: Sequence[Server]) -> Report:
    """Measure and judge."""
    rounds = f"{plan.rounds} of {plan.seconds} s"
    facts = command.describe(servers, rounds, plan.cores, tools=["wrk"])
    runs = plan.run(servers)
    where = f"at {JUDGED_CONNECTIONS} connections"
    rate = command.judge_rate(runs, PEERS, JUDGED_CONNECTIONS, RATE_FLOOR, where)
    rows = table.summarise(runs, table.load_row)
    return Report(facts, [rows], [rate, judge_cpu(runs)], runs)


def main() -> int:
    """Measure, print, and judge."""
    parser = command.parser("Hello world: hwebserver against its peers.", SERVERS)
    parser.add_argument("--seconds", type=command.positive, default=2, help="default: %(default)s")
    parser.add_argument(
        "--connections", type=command.numbers, default="1,32,256", help="default: %(default)s"
    )
    options = parser.parse_args()
    plan = Plan(WORK, options.connections, options.seconds, options.rounds)
    return command.run(options, ["wrk"], lambda servers: measure(plan, servers))


if __name__ == "__main__":
    sys.exit(main())
