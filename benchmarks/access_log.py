"""Hello world without and with an access log in a file, of the servers that can keep one."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import command
import hello
import table
from harness import Work

SERVERS = {
    name: hello.SERVERS[name]
    for name in (
        table.OURS,
        "gunicorn",
        "tornado",
        "uvicorn",
        "hypercorn",
        "aiohttp",
        "granian",
        "nginx",
    )
}


def works(log: Path) -> list[Work]:
    """What is asked, with the log in this file."""
    return [
        Work("/", hello.BODY, name="no log"),
        Work("/", hello.BODY, ("--access-log", str(log)), name="access log"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = command.load_parser("The access log: hwebserver against its peers.", SERVERS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hwebserver-log-") as folder:
        return command.run_works(options, works(Path(folder, "access.log")))


if __name__ == "__main__":
    sys.exit(main())
