"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from collections.abc import Iterator

import pytest
from certificates import Certificates, make_certificates
from support import wait_until

import hwebserver


@pytest.fixture
def server() -> hwebserver.Server:
    """A server of the test's own, not running."""
    return hwebserver.Server("test")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates and keys that are made once."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True, scope="session")
def no_temporary_file_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """See that all tests together leave no temporary file of ours behind."""
    folder = tmp_path_factory.mktemp("temporary")
    tempfile.tempdir = str(folder)
    yield
    tempfile.tempdir = None
    assert [name for name in os.listdir(folder) if name.startswith("hwebserver")] == []


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """See that a test leaves no thread of ours and no open descriptor behind."""
    descriptors = _descriptors()
    yield
    wait_until(lambda: not _threads())
    if descriptors is not None:
        wait_until(lambda: (_descriptors() or 0) <= descriptors)


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("hwebserver")]


def _descriptors() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None


def pytest_collection_finish() -> None:
    """Keep the collector from what lasts as long as the run: the tests are many objects."""
    gc.collect()
    gc.freeze()
