"""Zip archives whose members are served as files.

The directory of an archive is read once, and again when the archive has changed. A large member is
never unpacked as a whole: it is read, and inflated if it is deflated, piece by piece as the client
takes it. So a member that unpacks to a thousand times its size costs no memory, and one beyond
``MAX_ARCHIVE_FILE_SIZE`` is not served at all. Its end is held back until the checksum is known to
be right: of a damaged member no client ever has all bytes that it was promised. Ranges cannot be
checked so; those of a stored member go out as stretches of the archive. Only the two methods that
every zip may use are understood (ISO/IEC 21320-1), and nothing encrypted.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from ..exchange import Answer, Body, FileBody, StreamBody
from ..protocol.conditional import ByteRange
from ..protocol.http1 import RequestHead
from .content import cut, open_regular, select, spans
from .log import has_listener
from .mime import guess_type
from .request import Request
from .response import Response, with_slash
from .static import INDEX, is_file_name

if TYPE_CHECKING:
    from zipfile import ZipInfo

logger = logging.getLogger("hwebserver.server")

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1

#: The head that stands in front of a member's data (APPNOTE 4.3.7): its size, what it begins with,
#: and where it says how long the name and the extra field behind it are.
_LOCAL_HEAD = 30
_LOCAL_MARK = b"PK\x03\x04"

#: Members up to this size are unpacked at once and go out in one write with their head.
_SMALL_MEMBER = 65536

#: Bytes that are read, and bytes that are unpacked, in one turn.
_BLOCK = 65536

Path = tuple[str, ...]

#: What a body is made of: see ``content.Selection``.
Piece = Union[bytes, ByteRange]


class _Directory(NamedTuple):
    """What an archive held at some time.

    Attributes:
        identity: Tells the file that it was read from.
        modified: When that was modified, in seconds since the epoch.
        members: The files in it, by the segments of their names.
    """

    identity: tuple[int, ...]
    modified: float
    members: dict[Path, ZipInfo]


def _identity(details: os.stat_result) -> tuple[int, ...]:
    # The time of the change tells apart what was built with a fixed time of modification.
    return details.st_ino, details.st_size, details.st_mtime_ns, details.st_ctime_ns


class Archive:
    """A zip archive.

    Args:
        path: Where it is. It may come to be later; that it is not there is logged once.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._lock = threading.Lock()
        self._directory: Optional[_Directory] = None
        self._complaint = ""  # what was logged last
        self._read_directory()

    def respond(self, request: Request, rest: Sequence[str]) -> Optional[Response]:
        """Answer a request for a member, or return None when there is none.

        Args:
            request: The request.
            rest: The segments of its path behind the prefix, decoded.
        """
        path = self.find(rest)
        if path is None:
            return None
        away = with_slash(request) if path != tuple(rest) else None
        if away is not None:
            return away
        content = MemberContent(self, path, request.site.max_archive_file_size)
        return Response.of(content, guess_type(path[-1]))

    def again(self, head: RequestHead, rest: Sequence[str]) -> None:
        """Say that nothing is remembered for the next request; see ``StaticDirectory.again``."""

    def find(self, rest: Sequence[str]) -> Optional[Path]:
        """Return the member that a path names, for a folder its index page; None: there is none."""
        directory = self._read_directory()
        if directory is None or not all(map(is_file_name, rest)):
            return None
        for path in (tuple(rest), (*rest, INDEX)):
            if path in directory.members:
                return path
        return None

    def open(self, path: Path) -> tuple[_Member, float]:
        """Return a member, which is the caller's to close, and when the archive was modified.

        Raises:
            FileNotFoundError: there is no such member.
            OSError: the archive cannot be opened, or is damaged.
        """
        descriptor, details = open_regular(self._path)
        try:
            directory = self._directory_of(descriptor, details)
            info = directory.members.get(path)
            if info is None:
                raise FileNotFoundError(f"{self._path} has no member {'/'.join(path)}")
            return _Member(descriptor, info, details.st_size), directory.modified
        except BaseException:
            os.close(descriptor)
            raise

    def _read_directory(self) -> Optional[_Directory]:
        """Return what the archive holds now; None: it is not there, or is no archive."""
        try:
            known, details = self._directory, os.stat(self._path)
            if known is not None and known.identity == _identity(details):
                return known
            descriptor, details = open_regular(self._path)
            try:
                return self._directory_of(descriptor, details)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            missing = getattr(error, "errno", None) == errno.ENOENT
            self._complain("is not there (yet)" if missing else f"cannot be read: {error}")
        return None

    def _directory_of(self, descriptor: int, details: os.stat_result) -> _Directory:
        """Return what an open archive holds, read if that was not done.

        Raises:
            OSError: it is no zip.
        """
        identity = _identity(details)
        with self._lock:
            directory = self._directory
            if directory is None or directory.identity != identity:
                members = _read_members(descriptor)
                directory = self._directory = _Directory(identity, details.st_mtime, members)
                self._complaint = ""
            return directory

    def _complain(self, complaint: str) -> None:
        """Log what is wrong, once until something else is, and when somebody hears it."""
        if complaint != self._complaint and has_listener():
            self._complaint = complaint
            logger.warning("the archive %s %s", self._path, complaint)


def _read_members(descriptor: int) -> dict[Path, ZipInfo]:
    """Return the files of an open archive that can be served.

    Raises:
        OSError: it is no zip.
    """
    import zipfile

    try:
        with os.fdopen(os.dup(descriptor), "rb") as file, zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    except Exception as error:
        # What is damaged makes zipfile raise more than it says, other things in each version.
        raise OSError(f"it is no zip that can be read: {error}") from error
    # Of two members that share a name the later one counts, even if it cannot be served. The name
    # of a folder has an empty segment at its end, so no path leads to it.
    members = {tuple(info.filename.split("/")): info for info in found}
    return {path: info for path, info in members.items() if _can_be_served(info)}


def _can_be_served(info: ZipInfo) -> bool:
    """Say whether a member is neither packed nor encrypted in a way that we do not know."""
    return info.compress_type in (_STORED, _DEFLATED) and not info.flag_bits & _ENCRYPTED


class MemberContent:
    """A member of an archive, as the content of a response.

    Args:
        archive: The archive.
        path: The segments of the member's name.
        most: Bytes of the largest member that is served.
    """

    __slots__ = ("_archive", "_most", "_path")

    def __init__(self, archive: Archive, path: Path, most: int) -> None:
        self._archive = archive
        self._path = path
        self._most = most

    def answer(self, base: Answer, head: Optional[RequestHead]) -> Answer:
        """Return an answer with as much of the member as is wanted; see ``content.Content``."""
        member, modified = self._archive.open(self._path)
        try:
            if member.size > self._most:
                logger.warning("%s is too large to be served from an archive", member.name)
                raise FileNotFoundError(f"{member.name} has {member.size} bytes")
            chosen = select(base, head, member.size, member.etag, modified, ascending=True)
            body, length = _body(member, chosen.pieces)
        except BaseException:
            member.close()
            raise
        if isinstance(body, bytes):
            member.close()
        return base._replace(status=chosen.status, fields=chosen.fields, body=body, length=length)

    def read(self) -> bytes:
        """Return all of it."""
        member, _ = self._archive.open(self._path)
        try:
            return b"".join(member.unpacked())
        finally:
            member.close()

    def size(self) -> int:
        """Return how many bytes it has."""
        member, _ = self._archive.open(self._path)
        member.close()
        return member.size

    def discard(self) -> None:
        """Do nothing: it holds nothing."""


def _body(member: _Member, pieces: Sequence[Piece]) -> tuple[Body, Optional[int]]:
    """Return pieces of a member as a body, and its length if that is not to be seen.

    The member is the body's to close, unless that is bytes.
    """
    if member.size <= _SMALL_MEMBER:
        return cut(b"".join(member.unpacked()), pieces), None
    if member.stored and list(pieces) != [ByteRange(0, member.size)]:
        return FileBody(member.descriptor, spans(pieces, member.start)), None
    length = sum(p.size if isinstance(p, ByteRange) else len(p) for p in pieces)
    return StreamBody(_MemberSource(member, pieces)), length


class _Member:
    """A member of an open archive.

    Args:
        descriptor: The archive; it is the member's to close.
        info: What its directory says of the member.
        archive_size: Bytes of the archive.

    Attributes:
        name: Its name, with the folders.
        size: Bytes that it has when it is unpacked.
        stored: Whether it is not packed at all.
        start: Where its data begins in the archive.

    Raises:
        OSError: the member is not where the directory says.
    """

    def __init__(self, descriptor: int, info: ZipInfo, archive_size: int) -> None:
        self.descriptor = descriptor
        self.name = info.filename
        self.size = info.file_size
        self.stored = info.compress_type == _STORED
        self._info = info
        head = b""
        # A damaged directory may say anything, even what is no offset to the system.
        end = info.header_offset + _LOCAL_HEAD + info.compress_size
        if info.header_offset >= 0 and end <= archive_size:
            os.lseek(descriptor, info.header_offset, os.SEEK_SET)
            head = os.read(descriptor, _LOCAL_HEAD)
        if head[:4] != _LOCAL_MARK:
            raise self._damage("it is not where the directory says")
        behind = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        self.start = info.header_offset + _LOCAL_HEAD + behind
        if self.stored and info.compress_size != self.size:
            raise self._damage("it is stored, and has two sizes")

    @property
    def etag(self) -> str:
        """What tells this content from others."""
        return f'"{self._info.CRC:08x}-{self.size:x}"'

    def close(self) -> None:
        """Close the archive; a second call does nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def unpacked(self) -> Iterator[bytes]:
        """Yield what it holds, and see behind it that this is what was packed.

        Raises:
            OSError: it is damaged.
        """
        import zlib

        checksum, left = 0, self.size
        for piece in self._pieces():
            checksum = zlib.crc32(piece, checksum)
            left -= len(piece)
            # The last piece is held back until the checksum is known to be right.
            if left < 0 or (left == 0 and checksum != self._info.CRC):
                break
            yield piece
        if left or checksum != self._info.CRC:
            raise self._damage("its size or its checksum is wrong")

    def _pieces(self) -> Iterator[bytes]:
        """Yield what it holds."""
        import zlib

        packed = self._packed()
        if self.stored:
            yield from packed
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for block in packed:
                while block:
                    yield inflater.decompress(block, _BLOCK)
                    block = inflater.unconsumed_tail  # noqa: PLW2901
                if inflater.eof:
                    return
            yield inflater.flush()  # the end of a repetition that went over the last block
        except zlib.error as error:
            raise self._damage(error) from error

    def _packed(self) -> Iterator[bytes]:
        """Yield the bytes that stand for it in the archive."""
        left = self._info.compress_size
        os.lseek(self.descriptor, self.start, os.SEEK_SET)
        while left:
            block = os.read(self.descriptor, min(left, _BLOCK))
            if not block:
                return
            left -= len(block)
            yield block

    def _damage(self, reason: object) -> OSError:
        return OSError(f"{self.name} is damaged in its archive: {reason}")


class _MemberSource:
    """The pieces that were selected of a large member, as an ``exchange.Source``.

    Args:
        member: The member; its archive is closed with this.
        pieces: What is sent, in ascending order.
    """

    def __init__(self, member: _Member, pieces: Sequence[Piece]) -> None:
        self._member = member
        self._output = self._select(pieces)

    def read(self) -> Optional[bytes]:
        """Return the next piece; see ``exchange.Source``."""
        return next(self._output, None)

    def close(self) -> None:
        """Close the archive; a second call does nothing."""
        self._member.close()

    def _select(self, pieces: Sequence[Piece]) -> Iterator[bytes]:
        unpacked = self._member.unpacked()
        block, position = b"", 0  # what was unpacked last, and where it begins
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            start = piece.start
            while start < piece.end:
                if start >= position + len(block):
                    position += len(block)
                    block = next(unpacked)
                    continue
                part = block[start - position : piece.end - position]
                start += len(part)
                yield part
