"""What other systems lack is not missed: a server in a process from which it was taken away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

CHECKS = [
    "check_requests",
    "check_files",
    "check_uploads",
    "check_websockets",
    "check_tls",
    "check_unix_sockets",
    "check_foreground",
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it takes Linux to take it away")
def test_a_server_runs_without_what_windows_lacks(tmp_path, certificates):
    program = [sys.executable, "-W", "error", str(TESTS / "elsewhere_program.py")]
    arguments = [str(tmp_path), certificates.server, certificates.server_key]
    path = {"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        program + arguments, capture_output=True, text=True, timeout=120, env=path, check=False
    )
    assert done.stdout.split() == CHECKS, done.stderr
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
