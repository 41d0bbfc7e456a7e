"""Listening sockets in the file system: connections of this machine alone (not on Windows).

A path may hold the socket of a server that was killed. It is removed if nobody listens there; that
of a server that runs is left alone, and so is whatever is no socket.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from typing import Any, Optional

from ..errors import OperationFailed
from .listener import Address, Listener

#: What an ADDRESS begins with that is a Unix socket.
PREFIX = "unix:"

_FAMILY: Optional[socket.AddressFamily] = getattr(socket, "AF_UNIX", None)

#: What of a file says that it is still the one we made. A number alone may have been given again.
_Mark = tuple[int, int, int]


class UnixListener(Listener):
    """A listening Unix socket.

    Args:
        address: An ADDRESS that begins with ``unix:``; behind it is a path, or with ``@`` a name
            that is no file (Linux).
        mode: The permissions of the file.
        backlog: Connections that the system keeps waiting.
        sock: The socket, if this process had it before it was restarted; None: a new one.

    Raises:
        OperationFailed: it cannot be had.
    """

    def __init__(
        self, address: str, mode: int, backlog: int, sock: Optional[socket.socket] = None
    ) -> None:
        name = address[len(PREFIX) :]
        if _FAMILY is None:
            raise OperationFailed(f"cannot listen on {address!r}: this system has no Unix sockets")
        if not name.strip("@"):
            raise OperationFailed(f"cannot listen on {address!r}: it names no path")
        self._abstract = name.startswith("@")
        if self._abstract and not sys.platform.startswith("linux"):
            raise OperationFailed(f"cannot listen on {address!r}: only Linux has such names")
        self._path = "\0" + name[1:] if self._abstract else os.path.abspath(name)
        self._mode = mode
        self._mark: Optional[_Mark] = None
        self._maker = os.getpid()
        self._former = sock
        try:
            if not self._abstract and sock is None:
                _make_way(self._path, _FAMILY)
            super().__init__(Address(_FAMILY, self._path), 0, backlog)
        except OSError as error:
            raise OperationFailed(
                f"cannot listen on {address!r}: {error.strerror or error}"
            ) from error

    def server_bind(self) -> None:
        """Bind, and set the permissions: nobody can connect before the socket listens."""
        name: Any = self._path
        if self._former is None:
            self.socket.bind(name)
        else:
            self.socket.close()
            self.socket = self._former
        self.server_address = name
        if not self._abstract:
            self._mark = _mark(self._path)
            os.chmod(self._path, self._mode)

    def server_close(self) -> None:
        """Stop listening, and remove the file unless it is another's by now."""
        if self.held:
            return
        # What forked from this process closes its copy, and the file is not its own.
        if self._mark is not None and os.getpid() == self._maker:
            self._remove()
        super().server_close()

    @property
    def reachable(self) -> bool:
        """Whether clients that connect to the path come to this socket."""
        try:
            return self._abstract or _mark(self._path) == self._mark
        except OSError:
            return False

    def _remove(self) -> None:
        mark, self._mark = self._mark, None
        try:
            if _mark(self._path) == mark:
                os.unlink(self._path)
        except OSError:
            pass  # It is gone, or not ours to remove any more.


def _mark(path: str) -> _Mark:
    details = os.lstat(path)
    return details.st_dev, details.st_ino, details.st_mtime_ns


def _make_way(path: str, family: socket.AddressFamily) -> None:
    """Remove a socket that nobody listens on.

    Raises:
        OSError: somebody does, or it is no socket, or it cannot be removed.
    """
    try:
        details = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(details.st_mode):
        raise OSError(errno.EEXIST, "there is something that is no socket")
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # That of a server that is busy is full, and would be waited for.
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            pass  # Somebody listens who lets nobody in now.
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
