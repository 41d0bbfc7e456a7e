"""Servers of others, that run an ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from integration.components import find_module
from integration.program import ROOT, Program, program


@contextlib.contextmanager
def uvicorn(
    target: str, *options: str, cwd: Path, **variables: str
) -> Iterator[tuple[Program, tuple[str, int]]]:
    """Serve an application with uvicorn; yield the program and where it serves.

    Args:
        target: The module and the application.
        options: Those of uvicorn's command line.
        cwd: The directory it starts in.
        variables: Environment variables.
    """
    find_module("uvicorn")
    # Its other parser, where that is installed, knows no methods but those of a fixed list.
    arguments = ["-m", "uvicorn", "--port", "0", "--http", "h11", *options, target]
    with program(arguments, cwd, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}", **variables) as started:
        found = started.wait_for_line(r"Uvicorn running on http://([\d.]+):(\d+)")
        yield started, (found[1], int(found[2]))
