"""What a request gets of a file: all of it, ranges of it, or only word that it has it already.

``select`` evaluates the conditions and the ranges of a request against the validators of a
representation, and writes the fields that follow from the verdict. Whoever holds the bytes (a
``FileContent``, a member of an archive) then makes the body of the pieces that were selected.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional, Protocol, Union

from ..exchange import Answer, FileBody, FilePiece, Span
from ..protocol.conditional import (
    ByteRange,
    content_range,
    evaluate,
    multipart_ranges,
    parse_http_date,
)
from ..protocol.dates import http_date
from ..protocol.http1 import RequestHead
from ..protocol.response import Line

_new_tuple = tuple.__new__

#: Files up to this size are read at once and go out in one write with the head.
_SMALL_FILE = 65536

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

#: A FIFO would block the open, and a device may do anything; see ``open_regular``.
_OPEN_FLAGS |= getattr(os, "O_NONBLOCK", 0)

#: Where it was no link, a file has not become one; see ``KnownFile``.
_KNOWN_FLAGS = _OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0)

#: Fields that describe a representation, and so have no place in an answer without it.
_REPRESENTATION = frozenset(
    ("content-type", "content-encoding", "content-language", "content-disposition")
)

#: Fields that let caches keep an answer: to know of a failed condition helps nobody else (RFC 9111
#: 3), and a 416 must not be what a later request for all of it gets.
_FRESHNESS = frozenset(("cache-control", "expires"))

#: Fields of requests that do not ask for all of a representation, whatever its validators are;
#: If-Range says nothing without a Range.
_ASKING = frozenset(
    ("if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "range")
)

_MESSAGES = {
    412: b"The resource is not in the state that the request asks for.\n",
    416: b"The resource has no such range.\n",
}


class Content(Protocol):
    """Where a response gets its body from, other than from memory."""

    def answer(self, base: Answer, head: Optional[RequestHead]) -> Answer:
        """Return an answer with as much of the content as the request asks for.

        Args:
            base: The status and the fields that the handler wants.
            head: The request's head; None: all of the content is wanted.

        Raises:
            OSError: it cannot be read.
        """

    def read(self) -> bytes:
        """Return all of it."""

    def size(self) -> int:
        """Return how many bytes it has."""

    def discard(self) -> None:
        """Take note that it will not be sent."""


class Selection(NamedTuple):
    """What is to be sent of a representation.

    Attributes:
        status: The status code.
        fields: The fields.
        pieces: What the body is made of, in order.
    """

    status: int
    fields: tuple[Line, ...]
    pieces: Sequence[Union[bytes, ByteRange]]


def is_plain(head: RequestHead) -> bool:
    """Say whether a request has neither conditions nor ranges."""
    return _ASKING.isdisjoint(head.fields.combined)


def select(
    base: Answer,
    head: Optional[RequestHead],
    size: int,
    etag: str,
    modified: float,
    ascending: bool = False,
) -> Selection:
    """Decide what a request gets of a representation.

    Args:
        base: The status and the fields that the handler wants; its ETag and Last-Modified win.
        head: The request's head; None: all of it is wanted.
        size: Bytes of the representation.
        etag: Its entity tag.
        modified: When it was last modified, in seconds since the epoch.
        ascending: Whether several ranges are sent in the order that they have in it.
    """
    whole = ByteRange(0, size)
    if head is None or base.status != 200 or head.method not in ("GET", "HEAD"):
        return Selection(base.status, base.fields, (whole,))
    own = {name.lower(): value for name, value in base.fields}
    etag = own.get("etag") or etag
    seconds: Optional[int] = int(modified)
    if "last-modified" in own:
        seconds = parse_http_date(own["last-modified"])
    elif modified > time.time():
        seconds = None  # RFC 9110 8.8.2.1: nothing was modified after the answer was made.
    fields = (*base.fields, *_further(own, etag, seconds))
    if is_plain(head):  # as most are
        return Selection(200, fields, (whole,))
    verdict = evaluate(head.method, head.fields, size, etag, seconds)
    if verdict.status == 200:
        return Selection(200, fields, (whole,))
    if verdict.status == 206:
        ranges = sorted(verdict.ranges) if ascending else verdict.ranges
        return _partial(fields, ranges, size, own.get("content-type", ""))
    return _without(verdict.status, fields, size)


def _without(status: int, fields: tuple[Line, ...], size: int) -> Selection:
    """Select nothing: the client has it already, or does not get it."""
    if status == 304:
        # RFC 9110 15.4.5: what a cache is to know stays.
        return Selection(status, _leave_out(fields, _REPRESENTATION), ())
    fields = _leave_out(fields, _REPRESENTATION | _FRESHNESS)
    if status == 416:
        fields = (*fields, ("Content-Range", content_range(None, size)))
    fields = (*fields, ("Content-Type", "text/plain; charset=utf-8"))
    return Selection(status, fields, (_MESSAGES[status],))


def _leave_out(fields: tuple[Line, ...], names: frozenset[str]) -> tuple[Line, ...]:
    return tuple(line for line in fields if line[0].lower() not in names)


#: The dates of files that were served lately; writing one takes longer than finding it.
_dates: dict[int, str] = {}


def _date(seconds: int) -> str:
    text = _dates.get(seconds)
    if text is None:
        if len(_dates) > 1024:
            _dates.clear()
        text = _dates[seconds] = http_date(seconds)
    return text


def _further(own: Mapping[str, str], etag: str, seconds: Optional[int]) -> list[Line]:
    """Return the fields that tell of validators and ranges, but for those that are there."""
    lines = [] if "etag" in own else [("ETag", etag)]
    if seconds is not None and "last-modified" not in own:
        try:
            lines.append(("Last-Modified", _date(seconds)))
        except ValueError:
            pass  # A time that HTTP cannot write.
    if "accept-ranges" not in own:
        lines.append(("Accept-Ranges", "bytes"))
    return lines


def _partial(
    fields: tuple[Line, ...], ranges: Sequence[ByteRange], size: int, kind: str
) -> Selection:
    """Select ranges: one as it is, several as multipart/byteranges (RFC 9110 15.3.7)."""
    if len(ranges) == 1:
        line = ("Content-Range", content_range(ranges[0], size))
        return Selection(206, (*fields, line), ranges)
    boundary = os.urandom(15).hex()
    heads, end = multipart_ranges(ranges, size, kind, boundary)
    pieces: list[Union[bytes, ByteRange]] = []
    for part_head, piece in zip(heads, ranges):
        pieces += (part_head, piece)
    others = _leave_out(fields, frozenset(("content-type",)))
    line = ("Content-Type", f"multipart/byteranges; boundary={boundary}")
    return Selection(206, (*others, line), (*pieces, end))


def cut(data: bytes, pieces: Sequence[Union[bytes, ByteRange]]) -> bytes:
    """Return the pieces of a representation that is in memory, as one body."""
    if len(pieces) == 1 and pieces[0] == (0, len(data)):
        return data
    return b"".join(
        data[one.start : one.end] if isinstance(one, ByteRange) else one for one in pieces
    )


def spans(pieces: Sequence[Union[bytes, ByteRange]], offset: int = 0) -> list[FilePiece]:
    """Return the pieces of a representation that begins at an offset in a file."""
    return [
        Span(offset + one.start, one.size) if isinstance(one, ByteRange) else one for one in pieces
    ]


class FileContent:
    """A file.

    Args:
        path: The file.
        delete: Whether to delete it once it was sent, or could not be.
    """

    __slots__ = ("_delete", "path")

    def __init__(self, path: str, delete: bool = False) -> None:
        self.path = path
        self._delete = delete

    def answer(self, base: Answer, head: Optional[RequestHead]) -> Answer:
        """Return an answer with as much of the file as the request asks for; see ``Content``.

        Raises:
            FileNotFoundError: there is no regular file of that name.
            OSError: it cannot be opened.
            ValueError: no file can have such a name.
        """
        try:
            return open_file(self.path, base, head, self._delete)
        except OSError:
            self.discard()
            raise

    def read(self) -> bytes:
        """Return all of the file."""
        with open(self.path, "rb") as file:
            return file.read()

    def size(self) -> int:
        """Return how many bytes the file has."""
        return os.path.getsize(self.path)

    def discard(self) -> None:
        """Delete the file if that was asked for."""
        if self._delete:
            try:
                os.unlink(self.path)
            except OSError:
                pass


class KnownFile:
    """A file that was found lately, to be sent again as long as it is the same.

    What is kept is how its answer looks; its bytes are read for each request. It is opened where
    it was found, by a name that must still be that of no link, and is the same if what is open has
    the device, the inode, the size, and to the nanosecond both times of change that it had then:
    so one that was written to, replaced, moved, deleted or closed to us is noticed before a byte
    of it is sent, and so is another that a link somewhere above it leads to now. The bytes are not
    kept: what is written through a mapping into memory, or by another client of a network, may
    show in none of these at first.

    Args:
        path: Where it really is.
        details: What the system says of it: a regular file.
        base: The status and the fields of its answer, but for those that ``select`` adds.
        until: Until when it may be sent from there, in monotonic time.
    """

    __slots__ = ("_base", "_changed", "_details", "_fields", "_modified", "_same", "path", "until")

    def __init__(
        self, path: str, details: os.stat_result, base: Answer, until: float = 0.0
    ) -> None:
        self.path = path
        self.until = until
        self._details = details
        # Inode, device, links, owner, group and size; the mode of one file differs on Windows.
        self._same = details[1:7]
        self._modified, self._changed = details.st_mtime_ns, details.st_ctime_ns
        self._base = base
        self._fields: Optional[tuple[Line, ...]] = None  # of an answer with all of it

    def answer(self, head: RequestHead, plain: bool) -> Optional[Answer]:
        """Return an answer with as much of the file as a request asks for.

        Args:
            head: The request's head.
            plain: What ``is_plain`` says of it.

        Returns:
            None: it is not what it was, or cannot be read, and is to be looked for again.
        """
        descriptor = -1
        try:
            descriptor = os.open(self.path, _KNOWN_FLAGS)
            details = os.fstat(descriptor)
            if (
                details[1:7] != self._same
                or details.st_mtime_ns != self._modified
                or details.st_ctime_ns != self._changed
            ):
                return None
            size = details.st_size
            if size > _SMALL_FILE:
                selection = self._select(head, plain)
                body = FileBody(descriptor, spans(selection.pieces))
                descriptor = -1
                return Answer(selection.status, selection.fields, body)
            data = os.read(descriptor, size)
        except OSError:
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if len(data) != size:
            return None  # It has become shorter just now.
        fields = self._fields
        if fields is not None and plain:
            # Answer(...) would be the same, and take longer.
            return _new_tuple(Answer, (200, fields, data, None, False, False))
        selection = self._select(head, plain)
        return Answer(selection.status, selection.fields, cut(data, selection.pieces))

    def _select(self, head: RequestHead, plain: bool) -> Selection:
        selection = _select(self._base, head, self._details, self._details.st_size)
        if plain:
            self._fields = selection.fields
        return selection


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a file, and return its descriptor and what the system says of it.

    Raises:
        FileNotFoundError: there is no regular file of that name.
        OSError: it cannot be opened.
        ValueError: no file can have such a name.
    """
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        details = os.fstat(descriptor)
        if not stat.S_ISREG(details.st_mode):
            raise FileNotFoundError(f"{path} is not a file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, details


def open_file(
    path: str, base: Answer, head: Optional[RequestHead] = None, delete: bool = False
) -> Answer:
    """Return an answer with a file: a small one read, a larger one open.

    Args:
        path: The file.
        base: The status and the fields of the answer.
        head: The head of the request; None: all of the file is wanted.
        delete: Whether to delete it once it was sent.

    Raises:
        FileNotFoundError: there is no regular file of that name.
        OSError: it cannot be opened.
    """
    descriptor, details = open_regular(path)
    try:
        size, data = details.st_size, None
        if size <= _SMALL_FILE and not delete:
            data = _read(descriptor, size)
            size = len(data)  # It may have become shorter.
        status, fields, pieces = _select(base, head, details, size)
        body: Union[bytes, FileBody]
        if data is None:
            body = FileBody(descriptor, spans(pieces), path if delete else "")
            descriptor = -1
        else:
            body = cut(data, pieces)
        return Answer(status, fields, body, None, base.chunked, base.close)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _select(
    base: Answer, head: Optional[RequestHead], details: os.stat_result, size: int
) -> Selection:
    """Decide what a request gets of a file; see ``select``."""
    # The seconds are whole, for a float may round them up.
    seconds = details.st_mtime_ns // 1_000_000_000
    return select(base, head, size, _entity_tag(details, size), seconds)


def _entity_tag(details: os.stat_result, size: int) -> str:
    """Return the entity tag of a file.

    The time of the last change (on Windows, of the creation) tells files apart that were unpacked
    with one and the same time of modification, as package managers do.
    """
    return f'"{details.st_mtime_ns:x}-{details.st_ctime_ns:x}-{size:x}"'


def _read(descriptor: int, size: int) -> bytes:
    """Read a file from its beginning, as far as it goes; a network may give it in pieces."""
    data = os.read(descriptor, size)
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            break
        data += more
    return data
