"""Restart the process when the source of a loaded module changes.

The files are polled: that works on every system, on network drives and with every editor. A change
that does not compile restarts nothing, so a half-finished line never takes the server down.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping
from typing import NoReturn

from .settings import RESTARTED_PORTS

logger = logging.getLogger("hwebserver.reload")

#: The exit code that asks a supervisor to start the program again.
RESTART = 3

_Stamps = Mapping[str, "tuple[int, int]"]


class Reloader:
    """Watches the source of the loaded modules from a thread of its own.

    What is compared with is what the files were when the reloader was made: a change counts until
    the process has been restarted with it.

    Args:
        on_change: Called once, from that thread, when everything that has changed compiles.
        interval: Seconds between two looks.
    """

    def __init__(self, on_change: Callable[[], None], interval: float = 1.0) -> None:
        self._on_change = on_change
        self._interval = interval
        self._known = dict(stamps())
        self._tried: _Stamps = {}  # changes that were found not to compile
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hwebserver-reload", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            if self._look():
                self._on_change()
                return

    def _look(self) -> bool:
        """Say whether something has changed and all of it compiles."""
        changed: dict[str, tuple[int, int]] = {}
        for path, stamp in stamps().items():
            if self._known.setdefault(path, stamp) != stamp:
                changed[path] = stamp
        if not changed or changed == self._tried:
            return False
        try:
            broken = [path for path in sorted(changed) if not compiles(path)]
        except OSError:
            return False  # Between two saves of an editor; the next look sees it.
        if not broken:
            logger.info("%s changed: restarting", ", ".join(sorted(changed)))
        self._tried = changed
        return not broken


def stamps() -> _Stamps:
    """Return the time and the size of the source of every module that is not an installed one."""
    places = {sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib")}
    installed = tuple(os.path.join(place, "") for place in places)
    found: dict[str, tuple[int, int]] = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py") or path.startswith(installed):
            continue
        try:
            details = os.stat(path)
        except OSError:
            continue  # Between two saves of an editor.
        found[path] = (details.st_mtime_ns, details.st_size)
    return found


def compiles(path: str) -> bool:
    """Say whether a source file can be compiled; log what is wrong with it.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec")
    except (SyntaxError, ValueError) as error:
        logger.error("%s changed, but does not compile: %s", path, error)
        return False
    return True


def restart(ports: Mapping[str, int]) -> NoReturn:
    """Run the program again, with its original arguments, in the place of this process.

    Args:
        ports: Name to number of the ports that are open, so that one which the system chose is
            the same afterwards.
    """
    if os.environ.get("HWEBSERVER_SUPERVISED") == "1":
        sys.exit(RESTART)
    arguments = original_arguments()
    os.environ[RESTARTED_PORTS] = ",".join(f"{number}={name}" for name, number in ports.items())
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        # Windows has no exec: what it calls so starts another process and ends this one.
        sys.exit(subprocess.call(arguments))
    # What the process owes at its end (temporary files, the host's own functions) is due now.
    getattr(atexit, "_run_exitfuncs", int)()
    os.execv(sys.executable, arguments)


def original_arguments() -> list[str]:
    """Return the command line that this process was started with."""
    given = getattr(sys, "orig_argv", None)
    if given:
        return [sys.executable, *given[1:]]
    # Python 3.9 does not keep the command line; what it was is worked out as subprocess does.
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is None:
        return [sys.executable, *flags, *sys.argv]
    name = spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name
    return [sys.executable, *flags, "-m", name, *sys.argv[1:]]
