"""What the command line tells a server behind its port, besides what it is to answer.

``--certfile FILE --keyfile FILE`` have it speak TLS, ``--access-log FILE`` has it keep one.
"""

from __future__ import annotations

import sys


def told(option: str) -> str:
    """Find what stands behind an option; empty if the option is not there."""
    return sys.argv[sys.argv.index(option) + 1] if option in sys.argv else ""


CERTFILE = told("--certfile")
KEYFILE = told("--keyfile")
ACCESS_LOG = told("--access-log")


def when_encrypted(**options: str) -> dict[str, str]:
    """The options, or none of them when the server is not to speak TLS."""
    return options if CERTFILE else {}


def log_to_file(name: str) -> None:
    """Have a logger write what it gets to the access log, or drop it if none is wanted."""
    import logging

    logger = logging.getLogger(name)
    logger.propagate = False
    logger.handlers[:] = [logging.FileHandler(ACCESS_LOG, "w")] if ACCESS_LOG else []
    logger.setLevel(logging.INFO if ACCESS_LOG else logging.CRITICAL)
