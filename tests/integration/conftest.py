"""The examples and a folder, served to clients that are programs of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.program import ROOT, serving


@pytest.fixture(scope="session")
def hello():
    """The smallest example."""
    with serving(str(Path("examples", "hello.py")), cwd=ROOT) as server:
        yield server


@pytest.fixture(scope="module")
def notes():
    """The notes board, empty at first."""
    with serving(str(Path("examples", "notes.py")), cwd=ROOT) as server:
        yield server


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder that holds another one with an index page."""
    root = tmp_path_factory.mktemp("folder")
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text("<p>index of sub", encoding="utf-8")
    with serving(str(root), cwd=root) as server:
        yield server
