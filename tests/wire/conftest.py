"""Fixtures for the tests that send raw bytes."""

from __future__ import annotations

import pytest

import hwebserver


@pytest.fixture
def server() -> hwebserver.Server:
    """A server that answers for any host: the requests here are for ``a`` and the like."""
    made = hwebserver.Server("test")
    made.setSettingsForPort({"ALLOWED_HOSTS": ["*"]})
    return made
