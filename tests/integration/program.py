"""A program in a process of its own, whose output is read while it runs."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from support import PATIENCE, Answer, wait_until

ROOT = Path(__file__).resolve().parents[2]

#: The line that says where a server is to be found.
START_LINE = r"(https?://[^/\s]+)/"


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a program: ours, without what would change how a server runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HWEBSERVER_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


class Program:
    """A started program: its output, the address it serves on, and its end.

    Args:
        arguments: Those of Python.
        cwd: The directory it starts in.
        variables: Environment variables that it gets.
    """

    def __init__(self, arguments: Sequence[str], cwd: Path, **variables: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env=environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._address = ""
        self._lines: list[str] = []
        self._seen = 0
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="output of a program")
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        """All that it has written until now."""
        with self._news:
            return "\n".join(self._lines)

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Wait until it writes a line that matches; what came before is not looked at again."""
        end = time.monotonic() + PATIENCE
        with self._news:
            while True:
                while self._seen < len(self._lines):
                    self._seen += 1
                    found = re.search(pattern, self._lines[self._seen - 1])
                    if found:
                        return found
                written = "\n".join(self._lines)
                assert not self._ended, f"it ended without {pattern!r}:\n{written}"
                assert self._news.wait(end - time.monotonic()), f"no {pattern!r} in:\n{written}"

    def wait_for_start(self) -> str:
        """Wait until it says where it serves, and return that address, without a slash behind."""
        self._address = self.wait_for_line(START_LINE)[1]
        return self._address

    @property
    def address(self) -> str:
        """Where it serves, without a slash behind."""
        return self._address or self.wait_for_start()

    @property
    def place(self) -> tuple[str, int]:
        """Host and port that it serves on."""
        parts = urlsplit(self.address)
        return parts.hostname, parts.port

    def peak_memory(self) -> int:
        """Return the most bytes that it has had in memory, since it was last forgotten (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) * 1024

    def forget_peak_memory(self) -> int:
        """Let the peak be what it has in memory now, and return that (Linux, see proc(5))."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", encoding="ascii")
        return self.peak_memory()

    def get(self, path: str = "/", method: str = "GET", body: str | None = None) -> Answer:
        """Make one request."""
        connection = http.client.HTTPConnection(*self.place, timeout=PATIENCE)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def refuses(self) -> bool:
        """Say whether it accepts no connections any more."""
        try:
            socket.create_connection(self.place, timeout=PATIENCE).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # It was accepted by the system just before the socket was closed.
        return False

    def wait_until_refusing(self) -> None:
        """Wait until it accepts no connections any more."""
        wait_until(self.refuses)

    def write_line(self) -> None:
        """Give it a line to read; whether it still runs is for ``wait`` to tell."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def stop(self) -> int:
        """Ask it to end as a system does, and return its exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """End it if it still runs, and let go of it."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(PATIENCE)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()


@contextlib.contextmanager
def program(arguments: Sequence[str], cwd: Path, **variables: str) -> Iterator[Program]:
    """Start a program, and see that it has ended behind the block."""
    started = Program(arguments, cwd, **variables)
    try:
        yield started
    finally:
        started.close()


@contextlib.contextmanager
def serving(target: str, *options: str, cwd: Path, **variables: str) -> Iterator[Program]:
    """Serve a target with the command line, on a free port."""
    arguments = ["-m", "hwebserver", target, "--port", "0", *options]
    with program(arguments, cwd, **variables) as started:
        started.wait_for_start()
        yield started


@contextlib.contextmanager
def serving_tidily(target: str, *options: str, root: Path, **variables: str) -> Iterator[Program]:
    """Serve a target that has a folder of its own for temporary files, and see that it leaves none.

    Args:
        target: As for the command line, seen from the repository.
        options: Those of the command line.
        root: Where that folder is made.
        variables: Environment variables.
    """
    temporary = root / "temporary"
    temporary.mkdir(exist_ok=True)
    places = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    with serving(target, *options, cwd=ROOT, **places, **variables) as started:
        yield started
        wait_until(lambda: not list(temporary.iterdir()))
