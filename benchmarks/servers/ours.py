"""Hello world on hwebserver."""

from __future__ import annotations

import sys
from pathlib import Path

# The package of this checkout, not one that happens to be installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import hwebserver


@hwebserver.urlHandler("/")
def hello(request: hwebserver.Request) -> hwebserver.Response:
    """Answer with a greeting."""
    return hwebserver.Response("Hello, world!", content_type="text/plain")


def announce(name: str, port: int) -> None:
    """Tell the harness where the server listens."""
    print(port, flush=True)


if __name__ == "__main__":
    hwebserver.run(int(sys.argv[1]), port_callback=announce)
