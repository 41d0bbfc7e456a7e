"""What the benchmarks make of their measurements."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# Two threads that work and end, and then silence.
WORK_AND_WAIT = """
import sys, threading, time

def work():
    while time.thread_time() < 0.05:
        pass

for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import harness

    return harness


@pytest.fixture
def table(harness):
    import table

    return table


def measured(harness, server, number, requests, work="kept"):
    return harness.Measurement(server, work, 32, number, requests, 1.0, 0.5, 1.0, 0)


def test_a_ratio_compares_what_was_measured_in_the_same_round(harness, table):
    ours = [measured(harness, "ours", number, number * 100) for number in (1, 2, 3)]
    # It failed in the first round.
    peer = [measured(harness, "peer", number, number * 50) for number in (2, 3)]
    assert table.ratio(ours + peer, "ours", "peer", ("kept", 32), table.rate) == 2.0


def test_a_ratio_to_what_was_not_measured_is_none(harness, table):
    ours = [measured(harness, "ours", 1, 100)]
    assert table.ratio(ours, "ours", "peer", ("kept", 32), table.rate) is None


def test_a_server_has_no_row_for_a_load_that_it_did_not_bear(harness, table):
    runs = [
        measured(harness, "ours", 1, 100),
        measured(harness, "ours", 1, 100, "close"),
        measured(harness, "peer", 1, 100, "close"),
    ]
    rows = table.summarise(runs, table.load_row)
    assert [(row.server, row.work) for row in rows] == [
        ("ours", "kept"),
        ("ours", "close"),
        ("peer", "close"),
    ]


def test_a_peer_that_fails_is_named_and_the_run_goes_on(harness, capsys):
    failures = []
    with harness.tolerated(harness.Server("peer", ""), 2, failures):
        raise harness.HarnessError("peer: it ended under load")
    assert failures == ["peer: it ended under load (round 2)"]
    assert "peer: it ended under load" in capsys.readouterr().err


def test_a_run_without_our_own_server_ends(harness):
    server = harness.Server("ours", "")
    with pytest.raises(harness.HarnessError), harness.tolerated(server, 1, []):
        raise harness.HarnessError("ours: it ended under load")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the benchmarks need Linux")
def test_cpu_time_counts_threads_that_have_ended(harness):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WORK_AND_WAIT], **pipes) as process:
        process.stdout.readline()
        assert harness.cpu_seconds(process.pid) > 0.1
        process.stdin.close()
