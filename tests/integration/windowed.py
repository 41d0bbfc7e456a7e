"""Runs an example that opens a window, and beside it what a test wants of it.

    python windowed.py LATENCY|CLOSE examples/tk_board.py

CLOSE: when a line comes in, the window is closed as a person does it. LATENCY: before that, how
long calls of another thread take to come back from the idle main loop is printed.
"""

from __future__ import annotations

import runpy
import select
import sys
import threading
import time

import hwebserver

ROUNDS = 200


def latencies() -> list[float]:
    """Return how long calls take, in milliseconds, in order of size."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        hwebserver.callInMainThread(int)
        found.append((time.perf_counter() - began) * 1000)
        select.select([], [], [], 0.005)  # The loop is to be idle again.
    return sorted(found)


def close() -> None:
    """Close what is open; the main loop ends with it."""
    if "PySide6.QtWidgets" in sys.modules:
        sys.modules["PySide6.QtWidgets"].QApplication.closeAllWindows()
    else:
        sys.modules["tkinter"]._default_root.destroy()


def visit(what: str) -> None:
    """Do what the test wants."""
    sys.stdin.readline()
    if what == "LATENCY":
        found = latencies()
        median, most = found[ROUNDS // 2], found[-1]
        print(f"latency: median {median:.3f} ms, most {most:.3f} ms")
        sys.stdin.readline()
    hwebserver.callInMainThread(close)


threading.Thread(target=visit, args=(sys.argv[1],), daemon=True).start()
runpy.run_path(sys.argv[2], run_name="__main__")
