"""One command for all benchmarks, and what the servers of some of them are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the benchmarks need Linux"
)

# A command that keeps one promise and misses another.
COMMAND = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--rounds")
parser.add_argument("--seconds")
parser.add_argument("--json", type=pathlib.Path)
parser.add_argument("--markdown", type=pathlib.Path)
options = parser.parse_args()
promise = {"promise": "fast enough", "measured": 2.0, "bound": "floor 1.0", "kept": True}
missed = {"promise": "small enough", "measured": None, "bound": "ceiling 1.0", "kept": False}
rows = [{"rounds": options.rounds, "seconds": options.seconds}]
options.json.write_text(json.dumps({"verdicts": [promise, missed], "rows": rows}))
options.markdown.write_text("# A command\\n\\nits table\\n")
"""


@pytest.fixture
def every(monkeypatch, tmp_path):
    """The command for all, with commands of ours."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import all as every

    (tmp_path / "good.py").write_text(COMMAND)
    (tmp_path / "bad.py").write_text("raise SystemExit(2)")
    commands = {"good": (["--rounds", "3"], ["--seconds", "1"]), "bad": ([], [])}
    monkeypatch.setattr(every, "COMMANDS", commands)
    monkeypatch.setattr(every, "FOLDER", tmp_path)
    return every


def test_all_reports_come_in_one_with_the_facts_and_the_promises(every, tmp_path):
    written, markdown = tmp_path / "all.json", tmp_path / "all.md"
    files = ["--json", str(written), "--markdown", str(markdown)]
    assert every.main(["--only", "good", *files]) == 0
    text = markdown.read_text()
    assert "- python: " in text
    assert "\n## A command\n\nits table\n" in text
    assert "| good | fast enough | 2.00 | floor 1.0 | yes |" in text
    assert "| good | small enough | - | ceiling 1.0 | **no** |" in text
    report = json.loads(written.read_text())
    assert report["facts"]["took"].endswith(" minutes")
    assert report["commands"]["good"]["rows"] == [{"rounds": "3", "seconds": None}]


@pytest.mark.parametrize(
    ("options", "rounds", "seconds"),
    [
        (["--rounds", "7"], "7", None),
        (["--quick"], "1", "1"),
        (["--quick", "--rounds", "2"], "2", "1"),
    ],
)
def test_rounds_and_quick_reach_the_commands(every, tmp_path, options, rounds, seconds):
    written = tmp_path / "all.json"
    every.main(["--only", "good", "--json", str(written), *options])
    report = json.loads(written.read_text())
    assert report["commands"]["good"]["rows"] == [{"rounds": rounds, "seconds": seconds}]


def test_check_fails_when_a_promise_was_missed(every):
    assert every.main(["--only", "good", "--check"]) == 1


def test_a_command_that_fails_ends_no_other(every, tmp_path):
    markdown = tmp_path / "all.md"
    assert every.main(["--only", "bad,good", "--markdown", str(markdown)]) == 2
    text = markdown.read_text()
    assert "`bad.py`, 0 s: failed" in text
    assert "its table" in text


def test_the_commands_and_the_programs_of_their_servers_are_there(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import all as every
    import works

    assert all((BENCHMARKS / f"{name}.py").exists() for name in every.COMMANDS)
    programs = {server.program for server in works._SERVERS.values()}
    assert all((BENCHMARKS / "servers" / program).exists() for program in programs)


@pytest.mark.parametrize(("percent", "value"), [(50, 51), (99, 100), (100, 100)])
def test_a_percentile_is_what_so_many_stay_below(monkeypatch, percent, value):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import idle_loader

    assert idle_loader.percentile(range(1, 101), percent) == value
