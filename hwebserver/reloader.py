"""See that the source of a loaded module has changed, and restart the process.

The files are polled: that works on every system, on network drives and with every editor. A change
that does not compile changes nothing, so a half-finished line never takes the server down. That a
file is deleted is no change either: it comes back, or what imports it is changed, too.

What follows is the server's to decide: the process is restarted here, or ``reimport`` imports the
modules again where the process must live.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import NoReturn, Optional

from .errors import OperationFailed
from .sources import SOURCE, Files, Stamp, Stamps, problem_of

logger = logging.getLogger("hwebserver.reload")

#: The exit code that asks a supervisor to start the program again.
RESTART = 3

#: The variable by which a supervisor says that it is there.
SUPERVISED = "HWEBSERVER_SUPERVISED"

#: Is told what has changed, and returns what is wrong with it: None, nothing; the change counts no
#: more.
OnChange = Callable[[Stamps], Optional[str]]


class Reloader:
    """Watches files from a thread of its own.

    What is compared with is what the files were when the reloader was made: a change counts until
    it has been taken. The same change is tried once; when it fails, it is tried again with the
    next.

    Args:
        files: What is watched.
        on_change: Called from that thread when everything that has changed compiles.
        on_problem: Called with what is wrong with the changes; empty: nothing.
        interval: Seconds between two looks.
    """

    def __init__(
        self,
        files: Files,
        on_change: OnChange,
        on_problem: Callable[[str], None],
        interval: float,
    ) -> None:
        self._files = files
        self._on_change = on_change
        self._on_problem = on_problem
        self._interval = interval
        self._known: dict[str, Stamp] = {**files.stamps(), **files.extra_stamps()}
        self._tried: Stamps = {}  # changes that failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hwebserver-reload", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether its thread runs, if it is not the calling one."""
        return self._thread.is_alive() and self._thread is not threading.current_thread()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def end(self) -> None:
        """Have it end, without waiting for that."""
        self._stop.set()

    def stop(self) -> None:
        """End it."""
        self.end()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._look()
            except Exception:
                logger.exception("the source files could not be looked at")

    def _look(self) -> None:
        changed = self._changes()
        if changed == self._tried:
            return
        if not changed:  # What was wrong was taken back.
            self._settle({}, "")
            return
        try:
            problems = {path: problem_of(path) for path in sorted(changed) if _is_source(path)}
        except OSError:
            return  # Between two saves of an editor; the next look sees it.
        broken = [f"{path}: {problem}" for path, problem in problems.items() if problem]
        for path, problem in problems.items():
            if problem:
                logger.error("%s changed, but does not compile: %s", path, problem)
        failure = "\n".join(broken) or self._on_change(changed)
        if failure is None:
            self._known.update(changed)
        self._settle({} if failure is None else changed, failure or "")

    def _changes(self) -> Stamps:
        """Return the stamps of the files that are not as they were."""
        modules, extra = self._files.stamps(), self._files.extra_stamps()
        for path, stamp in modules.items():
            self._known.setdefault(path, stamp)  # A module that was imported later.
        found = {**modules, **extra}
        return {path: stamp for path, stamp in found.items() if self._known.get(path) != stamp}

    def _settle(self, tried: Stamps, problem: str) -> None:
        self._tried = tried
        self._on_problem(problem)


def _is_source(path: str) -> bool:
    return path.endswith((*SOURCE, ".pyc")) or path == getattr(
        sys.modules.get("__main__"), "__file__", None
    )


def replaces_process() -> bool:
    """Say whether ``restart`` runs the program in the place of this process.

    Windows starts another one, and so does a supervisor: they get no open sockets of this one.
    """
    return os.name != "nt" and not is_supervised()


def is_supervised() -> bool:
    """Say whether somebody starts the program again when it ends with RESTART."""
    return os.environ.get(SUPERVISED) == "1"


def restart(variables: Mapping[str, str]) -> NoReturn:
    """Run the program again, with its original arguments.

    Args:
        variables: What it finds in its environment besides what is there.

    Raises:
        OperationFailed: the arguments are not known.
    """
    if is_supervised():
        sys.exit(RESTART)
    arguments = original_arguments()
    os.environ.update(variables)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if os.name == "nt":
        # Windows has no exec: what it calls so starts another process and ends this one.
        sys.exit(supervise(arguments))
    # What the process owes at its end (temporary files, the host's own functions) is due now.
    getattr(atexit, "_run_exitfuncs", int)()
    os.execv(sys.executable, arguments)


def supervise(arguments: list[str]) -> int:
    """Run a program, again as long as it asks for that, and return its exit code.

    So that there are two processes and not one more with each restart.
    """
    environment = {**os.environ, SUPERVISED: "1"}
    code = RESTART
    while code == RESTART:
        code = subprocess.call(arguments, env=environment)
    return code


def original_arguments() -> list[str]:
    """Return the command line that this process was started with.

    Raises:
        OperationFailed: it is not known.
    """
    given = getattr(sys, "orig_argv", None) or _arguments_of_process()
    if given:
        return [sys.executable, *given[1:]]
    # Python 3.9 does not keep the command line; what it was is worked out as subprocess does.
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
    if not sys.argv or sys.argv[0] in ("-c", "", "-"):
        raise OperationFailed("this Python does not say which program it was started with")
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or spec.name == "__main__":  # A script, or a folder or archive with one.
        return [sys.executable, *flags, *sys.argv]
    name = spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name
    return [sys.executable, *flags, "-m", name, *sys.argv[1:]]


def _arguments_of_process() -> list[str]:
    """Return the command line as Linux keeps it; empty: this is another system."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(one) for one in file.read().split(b"\0")[:-1]]
    except OSError:
        return []
