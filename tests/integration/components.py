"""What is not part of Python, and may be missing where the tests run."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess

import pytest


def missing(what: str) -> None:
    """Give up a test that needs what is not installed; where that is a promise, fail it."""
    reason = f"{what} is not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_program(name: str) -> str:
    """Return the path of a program."""
    path = shutil.which(name)
    if path is None:
        missing(name)
    return path


def find_module(name: str):
    """Return a module that is not part of Python."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(name)


def curl_option(name: str) -> str:
    """Return an option of curl that older ones do not have."""
    command = [find_program("curl"), "--help", "all"]
    known = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if name not in known.split():
        missing(f"a curl that knows {name}")
    return name
