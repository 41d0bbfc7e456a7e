"""Temporary files with names, which are gone when the process ends, however long a handler runs.

A handler that holds an upload may never return, and its thread ends with the process. So the files
that are left are deleted then. Our threads serve on meanwhile and would make new ones, of which
nobody would hear any more: therefore none can be made from then on.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
import time
from typing import Union

#: The longest that the end of the process waits for a file that is being made, in seconds.
_PATIENCE = 1.0

#: An ending that a temporary file can keep: what names it may be anything.
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")

#: Endings that say how another one is compressed.
_COMPRESSED = frozenset((".bz2", ".gz", ".sc", ".xz", ".zst"))


class Made:
    """A temporary file.

    Attributes:
        path: Where it is.
        process: The process that made it; a child inherits what knows of it, but not the file.
    """

    __slots__ = (
        "path",
        "process",
    )

    def __init__(
        self,
        path: str,
        process: int,
    ) -> None:
        self.path = path
        self.process = process


_files: set[Made] = set()

#: The processes of the threads that are making one now.
_making: list[int] = []

_exiting = threading.Event()


def make_file(ending: str) -> tuple[int, Made]:
    """Make a temporary file, for its owner alone, and return its descriptor too.

    Args:
        ending: What its name ends in.

    Raises:
        OSError: none can be made, or the process ends.
    """
    import tempfile

    process = os.getpid()
    _making.append(process)
    try:
        if _exiting.is_set():
            raise OSError("the process ends, so no temporary file is made")
        descriptor, path = tempfile.mkstemp(ending, "hwebserver-")
        made = Made(path, process)
        _files.add(made)
    finally:
        _making.remove(process)
    return descriptor, made


def delete_file(made: Made) -> None:
    """Delete a temporary file, unless this is a child of the process that made it."""
    if os.getpid() != made.process:
        return
    _files.discard(made)
    try:
        os.unlink(made.path)
    except OSError:
        pass  # The handler has moved it, or it is in use (Windows) and the system's to clean up.


@atexit.register
def _delete_all() -> None:
    _exiting.set()
    until = time.monotonic() + _PATIENCE
    while os.getpid() in _making and time.monotonic() < until:
        time.sleep(0.001)
    for made in tuple(_files):
        delete_file(made)


def ending_of(name: str) -> str:
    """Return the ending of a file name, with the one before it where that says what is inside."""
    stem, ending = os.path.splitext(name)
    if _ENDING.match(ending) is None:
        return ""
    inner = os.path.splitext(stem)[1]
    if ending.lower() in _COMPRESSED and _ENDING.match(inner):
        return inner + ending
    return ending


def write_all(descriptor: int, data: Union[bytes, bytearray, memoryview]) -> None:
    """Write to a file; a disk that is nearly full takes a part of it first.

    Raises:
        OSError: the disk does not take all of it.
    """
    written = os.write(descriptor, data)
    while written < len(data):
        data = memoryview(data)[written:]
        written = os.write(descriptor, data)
