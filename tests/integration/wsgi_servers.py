"""Servers of others, that run a WSGI application."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from integration.components import find_module
from integration.program import Program, program


@contextlib.contextmanager
def gunicorn(
    target: str, *options: str, cwd: Path, **variables: str
) -> Iterator[tuple[Program, tuple[str, int]]]:
    """Serve an application with gunicorn, with threads; yield the program and where it serves.

    Args:
        target: The module and the application.
        options: Those of gunicorn's command line.
        cwd: The directory it starts in.
        variables: Environment variables.
    """
    find_module("gunicorn")
    arguments = ["-m", "gunicorn", target, "--bind", "127.0.0.1:0", "--worker-class", "gthread",
                 "--threads", "4", *options]  # fmt: skip
    with program(arguments, cwd, **variables) as started:
        address = started.wait_for_line(r"Listening at: http://([\d.]+):(\d+)")
        yield started, (address[1], int(address[2]))
