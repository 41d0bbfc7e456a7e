"""Where the body of a request is kept until its handler has run."""

from __future__ import annotations

from typing import IO, Optional

from ..errors import HTTPError


class BodyBuffer:
    """A body: in memory up to a bound, then in a temporary file that has no name.

    Args:
        in_memory: Most bytes kept in memory.
    """

    __slots__ = ("_file", "_in_memory", "_pieces", "_size")

    def __init__(self, in_memory: int) -> None:
        self._in_memory = in_memory
        self._pieces: list[bytes] = []
        self._size = 0
        self._file: Optional[IO[bytes]] = None

    def write(self, data: bytes) -> None:
        """Append some bytes.

        Raises:
            HTTPError: 507, the disk does not take them.
        """
        self._size += len(data)
        if self._file is None and self._size <= self._in_memory:
            self._pieces.append(data)
            return
        try:
            if self._file is None:
                import tempfile

                self._file = tempfile.TemporaryFile(prefix="hwebserver-")  # noqa: SIM115
                self._file.writelines(self._pieces)
                self._pieces.clear()
            self._file.write(data)
        except OSError as error:
            raise HTTPError(507, "The body of the request cannot be stored.") from error

    def read(self) -> bytes:
        """Return all of it."""
        if self._file is not None:
            self._file.seek(0)
            return self._file.read()
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def close(self) -> None:
        """Let go of the memory and the file."""
        self._pieces.clear()
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                pass  # The disk is full; nobody wants what was still to be written.
