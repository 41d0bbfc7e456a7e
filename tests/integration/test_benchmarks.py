"""The commands of benchmarks/, shortly, with our own server and few peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from integration.components import find_program
from integration.program import ROOT

pytestmark = pytest.mark.integration

BRIEF = ("--rounds", "1")
WRK = (*BRIEF, "--seconds", "1")
COMMANDS = {
    "hello": (*WRK, "--servers", "bare,ours,nginx", "--connections", "8"),
    "api": (*WRK, "--servers", "ours,http.server"),
    "routes": (*WRK, "--servers", "bare,ours"),
    "tls": (*WRK, "--servers", "ours,nginx"),
    "access_log": (*WRK, "--servers", "ours,nginx"),
    "files": (*WRK, "--servers", "ours,nginx", "--downloads", "1"),
    "upload": (*BRIEF, "--servers", "ours", "--sizes", "1", "--uploads", "1"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_measures_its_servers_without_errors(command, tmp_path):
    for program in ("wrk", "nginx", "openssl"):
        find_program(program)
    written, markdown = tmp_path / "report.json", tmp_path / "report.md"
    line = [sys.executable, str(ROOT / "benchmarks" / f"{command}.py"), *COMMANDS[command]]
    line += ["--json", str(written), "--markdown", str(markdown)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(written.read_text())
    servers = line[line.index("--servers") + 1].split(",")
    assert {row["server"] for row in report["rows"]} == set(servers)
    assert not report["failures"]
    assert not sum(row.get("errors", 0) for row in report["rows"])
    assert done.stdout in markdown.read_text()
