"""Where the body of a request is kept until its handler has run.

A plain body goes to a ``BodyBuffer``, a form with files is taken apart as it arrives by a
``FormUpload``. Both keep little in memory and the rest in temporary files, and whoever holds one
closes it: then the files are gone.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, NoReturn, Optional, Union
from weakref import finalize

from ..errors import HTTPError
from .temporary import delete_file, ending_of, make_file, write_all

if TYPE_CHECKING:
    from ..protocol.formlimits import FormLimits
    from ..protocol.multipart import Part

#: Bytes of an upload that wait in memory for the rest of it. What turns out to be small enough to
#: be kept there is read back, so a large upload never takes more memory than this, unless the disk
#: takes nothing: what need not go there can do without it.
_WAITING = 1 << 17

#: The uploads of one request may together take this many times the memory of a single one.
_SHARE = 4

#: What waits in memory, in order.
_Pieces = list[Union[bytes, bytearray]]

#: Pieces below this size are joined, since an object for each would cost more than it holds.
_SMALL = 1024


def _append(pieces: _Pieces, data: Union[bytes, memoryview]) -> None:
    last = pieces[-1] if pieces else None
    if last is None or len(data) >= _SMALL:
        pieces.append(bytes(data))
    elif isinstance(last, bytearray):
        last += data
    else:
        pieces.append(bytearray(data))


def _join(pieces: _Pieces) -> bytes:
    """Return all pieces, which are one from then on."""
    if len(pieces) != 1 or not isinstance(pieces[0], bytes):
        pieces[:] = [b"".join(pieces)]
    return bytes(pieces[0])


def _no_space(error: OSError) -> NoReturn:
    raise HTTPError(507, "The body of the request cannot be stored.") from error


def _check_open(closed: bool) -> None:
    """Say so where there is nothing to read any more: nothing at all would look like a file."""
    if closed:
        raise ValueError("the response has been sent, and what its client sent is gone with it")


class BodyBuffer:
    """A body: in memory up to a bound, then in a temporary file that has no name.

    Args:
        in_memory: Most bytes kept in memory.

    Attributes:
        in_memory: As given; see ``exchange.BodySink``.
        size: Bytes that have arrived.
    """

    __slots__ = ("_closed", "_file", "_pieces", "_reader", "in_memory", "size")

    def __init__(self, in_memory: int) -> None:
        self.in_memory = in_memory
        self._pieces: _Pieces = []
        self._file: Optional[IO[bytes]] = None
        self._reader: Optional[IO[bytes]] = None
        self._closed = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append some bytes.

        Raises:
            HTTPError: 507, the disk does not take them.
        """
        self.size += len(data)
        if self._file is None and self.size <= self.in_memory:
            _append(self._pieces, data)
            return
        try:
            if self._file is None:
                import tempfile

                self._file = tempfile.TemporaryFile(prefix="hwebserver-")  # noqa: SIM115
                self._file.writelines(self._pieces)
                self._pieces.clear()
            self._file.write(data)
        except OSError as error:
            _no_space(error)

    def finish(self) -> None:
        """Take note that all of it has arrived.

        Raises:
            HTTPError: 507, the disk does not take what waited for it.
        """
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                _no_space(error)

    def read(self) -> bytes:
        """Return all of it.

        Raises:
            ValueError: it is closed.
        """
        _check_open(self._closed)
        if self._file is None:
            return _join(self._pieces)
        reader = self._open(self._file)
        position = reader.tell()  # somebody may be reading it as a file
        reader.seek(0)
        data = reader.read()
        reader.seek(position)
        return data

    def open(self) -> IO[bytes]:
        """Return all of it as a file, at its beginning.

        Raises:
            ValueError: it is closed.
        """
        if self._file is None:
            return BytesIO(self.read())
        reader = self._open(self._file)
        reader.seek(0)
        return reader

    def _open(self, file: IO[bytes]) -> IO[bytes]:
        """Return the file for handlers: they may close it, and ask for it again."""
        if self._reader is None or self._reader.closed:
            file.flush()
            self._reader = open(file.fileno(), "rb", closefd=False)  # noqa: SIM115
        return self._reader

    def close(self) -> None:
        """Let go of the memory and the file; a second call does nothing."""
        self._closed = True
        self._pieces.clear()
        if self._reader is not None:
            self._reader.close()  # first: its descriptor may soon be another file's
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                pass  # The disk is full; nobody wants what was still to be written.


class UploadedFile:
    """A file that a client has sent in a form.

    Handlers get them from ``Request.files`` or as arguments of API functions. A file is deleted
    when the response has been sent, the handler has raised or the client has left; to keep it,
    move it away from ``temporaryFilePath()`` or copy what ``read`` returns.
    """

    def __init__(self, name: str, content_type: str, in_memory: int) -> None:
        self._name = name
        self._content_type = content_type
        self._in_memory = in_memory  # most bytes that may be kept there
        self._waiting = min(in_memory, _WAITING)  # most bytes that are before all have arrived
        self._size = 0
        self._pieces: _Pieces = []
        self._position = 0  # of ``read``
        self._descriptor = -1
        self._path = ""
        self._reader: Optional[IO[bytes]] = None
        self._finalizer: Optional[finalize[Any, UploadedFile]] = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<UploadedFile {self._name!r} of {self._size} bytes>"

    def name(self) -> str:
        """Return the name of the file on the client's machine, without a path."""
        return self._name

    def contentType(self) -> str:
        """Return the type that the client has given for it, empty if none."""
        return self._content_type

    def size(self) -> int:
        """Return the number of bytes."""
        return self._size

    def isInMemory(self) -> bool:
        """Return whether it is kept in memory, not in a temporary file."""
        return not self._path

    def temporaryFilePath(self) -> str:
        """Return the path of the temporary file, empty while it is kept in memory."""
        return self._path

    def saveToDisk(self) -> None:
        """Have it in a temporary file, if it is not in one yet.

        Raises:
            OSError: the disk does not take it; it stays in memory.
            ValueError: its response has been sent.
        """
        _check_open(self._closed)
        if not self._path:
            self._spill()
            self._end_writing()

    def read(self, max_size: int = -1) -> bytes:
        """Return the next bytes, empty at the end.

        Args:
            max_size: Most bytes to return; negative: all that are left.

        Raises:
            OSError: the temporary file has been moved away, or cannot be read.
            ValueError: its response has been sent.
        """
        _check_open(self._closed)
        left = self._size - self._position
        count = left if max_size is None or max_size < 0 else min(max_size, left)
        if not count:
            return b""
        if self._path:
            piece = self._open().read(count)
        else:
            piece = _join(self._pieces)[self._position : self._position + count]
        self._position += len(piece)
        if count == left:
            self._end_reading()  # A form may have more files than a process may have open.
        return piece

    # --- for the package ---

    @property
    def memory_used(self) -> int:
        """Bytes of it that are in memory."""
        return 0 if self._path else self._size

    def write(self, data: Union[bytes, memoryview]) -> None:
        """Append some bytes.

        Raises:
            OSError: the disk does not take them.
        """
        self._size += len(data)
        try:
            if self._path:
                write_all(self._descriptor, data)
                return
            _append(self._pieces, data)
            if self._size > self._waiting:
                self._spill()
        except OSError:
            if self._size > self._in_memory:
                raise
            self._waiting = self._in_memory
            if self._path:
                self._read_back(self._size - len(data))
                _append(self._pieces, data)

    def end(self) -> None:
        """Take note that all of it has arrived.

        Raises:
            OSError: the disk does not take it, or give it back.
        """
        if self._path and self._size <= self._in_memory:
            self._read_back(self._size)
        self._end_writing()

    def close(self) -> None:
        """Let go of the memory and delete the file; a second call does nothing."""
        self._closed = True
        self._pieces.clear()
        self._delete_file()

    def _spill(self) -> None:
        """Go on in a temporary file, or stay as it was."""
        self._descriptor, made = make_file(ending_of(self._name))
        self._finalizer = finalize(self, delete_file, made)
        try:
            for piece in self._pieces:
                write_all(self._descriptor, piece)
        except BaseException:
            self._delete_file()
            raise
        self._path = made.path
        self._pieces.clear()

    def _read_back(self, size: int) -> None:
        """Keep it in memory after all."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with open(self._descriptor, "rb", closefd=False) as file:
            self._pieces = [file.read(size)]
        self._delete_file()
        self._path = ""

    def _delete_file(self) -> None:
        try:
            self._end_writing()
        except OSError:
            pass  # What could not be written is not wanted.
        self._end_reading()
        if self._finalizer is not None:
            self._finalizer()

    def _end_writing(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self) -> IO[bytes]:
        if self._reader is None:
            self._reader = open(self._path, "rb")  # noqa: SIM115
            self._reader.seek(self._position)
        return self._reader

    def _end_reading(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


class FormUpload:
    """A multipart form: its fields, and its files.

    Args:
        boundary: What separates its parts.
        limits: What it may cost.
        in_memory: Bytes of one file that are kept in memory.

    Attributes:
        fields: The names and values of the parts that are no files, in order.
        files: The form names and files of the others, in order.
        in_memory: Up to this size of the form no file is on disk; see ``exchange.BodySink``.
        size: Bytes that have arrived.
    """

    __slots__ = (
        "_current",
        "_in_memory",
        "_memory_left",
        "_parser",
        "fields",
        "files",
        "in_memory",
        "size",
    )

    def __init__(self, boundary: bytes, limits: FormLimits, in_memory: int) -> None:
        from ..protocol.multipart import FormParser

        self._parser = FormParser(boundary, limits)
        self._in_memory = in_memory
        self._memory_left = in_memory * _SHARE
        self.in_memory = min(in_memory, _WAITING)
        self._current: Union[UploadedFile, _Pieces] = []
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, UploadedFile]] = []
        self.size = 0
        # A megabyte of modules: the first form pays for them, not the first large file.
        import tempfile  # noqa: F401

    def write(self, data: bytes) -> None:
        """Take some bytes of the body.

        Raises:
            HTTPError: 400, it is no form; 413, it is over a limit; 507, the disk is full.
        """
        from ..protocol.multipart import Part

        self.size += len(data)
        try:
            for event in self._parser.feed(data):
                if isinstance(event, Part):
                    self._begin(event)
                elif not isinstance(event, bytes):
                    self._end()
                elif isinstance(self._current, UploadedFile):
                    self._current.write(event)
                else:
                    _append(self._current, event)
        except OSError as error:
            _no_space(error)

    def finish(self) -> None:
        """Take note that all of it has arrived.

        Raises:
            HTTPError: 400, its end is missing.
        """
        self._parser.finish()

    def _begin(self, part: Part) -> None:
        if part.file_name is None:
            self._current = []
            self.fields.append((part.name, ""))
        else:
            most = min(self._in_memory, self._memory_left)
            self._current = UploadedFile(part.file_name, part.content_type, most)
            self.files.append((part.name, self._current))

    def _end(self) -> None:
        current = self._current
        if not isinstance(current, UploadedFile):
            name, _ = self.fields[-1]
            self.fields[-1] = name, _join(current).decode("utf-8", "replace")
        elif not (current.name() or current.size()):
            self.files.pop()  # A file input in which no file was chosen.
        else:
            current.end()
            self._memory_left -= current.memory_used

    def close(self) -> None:
        """Let go of the memory and delete the files."""
        for _, file in self.files:
            file.close()


Body = Union[BodyBuffer, FormUpload]
