"""A Linux that has nothing which Windows lacks, for a process of its own.

``make_poor`` is called before anything else is imported. It takes the names away that other systems
do not have, has ``select`` take sockets alone, forbids to delete a file that is open, and lets the
package, and nothing else, believe that it runs on Windows.
"""

from __future__ import annotations

import builtins
import os
import stat
import sys
import types
from typing import Any

#: Modules that other systems do not have.
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "syslog", "_posixshmem")

#: The same of names in modules.
NAMES = {
    "os": (
        "sendfile fork forkpty pread preadv pwrite pwritev readv writev geteuid getuid getegid "
        "getgid O_NONBLOCK O_CLOEXEC O_NOFOLLOW O_DIRECTORY register_at_fork fchmod chown fchown "
        "mkfifo getpgid setsid posix_spawn statvfs eventfd memfd_create sched_getaffinity"
    ),
    "_socket": (
        "AF_UNIX AF_PACKET AF_NETLINK socketpair MSG_DONTWAIT MSG_NOSIGNAL MSG_MORE "
        "MSG_CMSG_CLOEXEC TCP_CORK SO_REUSEPORT SO_PEERCRED SCM_RIGHTS SOCK_CLOEXEC SOCK_NONBLOCK"
    ),
    "select": "epoll poll kqueue devpoll",
    "signal": "SIGTERM SIGHUP SIGCHLD SIGUSR1 SIGUSR2 SIGPIPE SIGALRM pthread_kill pthread_sigmask",
    "time": "tzset clock_settime pthread_getcpuclockid",
}

#: Most sockets that a select of Windows takes.
FEW = 512


def make_poor() -> None:
    """Take away what other systems lack."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in NAMES.items():
        found = __import__(module)
        for name in names.split():
            if hasattr(found, name):
                delattr(found, name)
    _select_sockets_alone()
    _keep_open_files()
    _show_windows()


class _Select:
    """A select that takes sockets alone, and few of them; no function, which would be a method."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def __call__(self, read: Any, write: Any, error: Any, timeout: Any = None) -> Any:
        everything = [*read, *write, *error]
        if len(everything) > FEW:
            raise ValueError("too many file descriptors in select()")
        for one in everything:
            descriptor = one if isinstance(one, int) else one.fileno()
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                raise OSError(10038, "an operation was attempted on something that is not a socket")
        return self._own(read, write, error, timeout)


def _select_sockets_alone() -> None:
    import select

    select.select = _Select(select.select)


def _keep_open_files() -> None:
    unlink, replace = os.unlink, os.replace

    def is_open(path: Any) -> bool:
        real = os.path.realpath(path)
        folder = "/proc/self/fd"
        found = []
        for name in os.listdir(folder):
            try:
                found.append(os.readlink(os.path.join(folder, name)))
            except OSError:
                continue  # It was that of the listing.
        return real in found

    def poor_unlink(path: Any, **other: Any) -> None:
        if is_open(path):
            raise PermissionError(13, "the file is used by another process", path)
        unlink(path, **other)

    def poor_replace(source: Any, target: Any, **other: Any) -> None:
        if is_open(source) or is_open(target):
            raise PermissionError(13, "the file is used by another process", source)
        replace(source, target, **other)

    os.unlink = os.remove = poor_unlink
    os.replace = os.rename = poor_replace


def _show_windows() -> None:
    windows = types.ModuleType("os")
    windows.__dict__.update(os.__dict__)
    windows.name = "nt"  # type: ignore[attr-defined]
    own = builtins.__import__

    def importing(name: str, globals: Any = None, *arguments: Any, **more: Any) -> Any:
        importer = (globals or {}).get("__name__") or ""
        if name == "os" and importer.partition(".")[0] == "hwebserver":
            return windows
        return own(name, globals, *arguments, **more)

    builtins.__import__ = importing
