"""Directories whose files are served.

A request names a file by segments that were decoded one by one, so a separator inside one is an
attempt to get somewhere else and matches nothing; nor does a name that Windows would read as a
device, a drive or a stream. What is left is resolved, and a link that leads outside matches
nothing either.

Beside a file there may be one with ``.gz`` behind its name, which holds the same compressed:
clients that accept gzip get that. It is another representation, with validators of its own, and
ranges of it are ranges of the compressed bytes (RFC 9110 14.1.2).
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, Optional, Union

from ..errors import HTTPError
from ..exchange import Answer
from ..protocol.http1 import RequestHead
from .compress import accepts_gzip
from .content import KnownFile, is_plain
from .log import has_listener
from .mime import guess_type
from .pages import html_page
from .request import Request
from .response import Response, with_slash

logger = logging.getLogger("hwebserver.server")

INDEX = "index.html"

#: Seconds by which a compressed sibling may be older than its file: some file systems count time
#: in steps of two.
_SIBLING_LAG = 2.0

_GZIP = ".gz"

#: Seconds for which it is remembered where a directory is, and most that are.
_REMEMBERED = 1.0
_MOST_DIRECTORIES = 1024

#: Most files whose answers are remembered, for as long.
_MOST_FILES = 512

#: Separators of any system, and what no file name should hold.
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")

#: Names that Windows takes for devices, whatever their ending; the superscripts are digits to it.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])"
    r"[ ]*(?:[.:].*)?\Z",
    re.IGNORECASE,
)


def is_file_name(segment: str, windows: bool = os.name == "nt") -> bool:
    """Say whether a segment of a path can name a file in a directory, and nothing else.

    Args:
        segment: Decoded.
        windows: Whether the rules of Windows hold: no streams, drives, devices, no dot or space
            at the end (it drops these silently).
    """
    if segment in ("", ".", "..") or _UNSAFE.search(segment):
        return False
    if not windows:
        return True
    return ":" not in segment and segment[-1] not in ". " and _DEVICE.match(segment) is None


class Found(NamedTuple):
    """What a path leads to.

    Attributes:
        path: Where it really is.
        details: What the system says of it.
        until: Until when the directory that it is in may be taken for what it was, in monotonic
            time; 0: the path itself was a link.
    """

    path: str
    details: os.stat_result
    until: float = 0.0


#: Returns the answer to a request with a head that it has seen; None: it is to be looked for.
Again = Callable[[RequestHead], Optional[Answer]]


class _Directory(NamedTuple):
    """Where a directory really is, with a separator behind it, and which one is there."""

    path: str
    device: int
    inode: int


class Places:
    """Where paths below a directory lead, and that it is inside.

    What a path really leads to takes a look at each of its segments, for each may be a link; to
    resolve it was the dearest part of sending a small file. Links may be turned while the server
    runs, but not every millisecond: so where directories are is remembered, for a second at most.
    Each time is seen that the same directory is still there, whatever became of those above it,
    and the last segment is looked at. When that is a link too, all of the path is resolved. What
    a second may hide is thus a link that is turned from one place inside to another, and a
    directory that was moved away and is now reached by a link in its place.

    Threads share it without a lock. What is remembered is replaced and never emptied, so a thread
    that resolves meanwhile writes into the old table and not into its successor.

    Args:
        root: The directory.
    """

    __slots__ = ("_known", "_root", "_until")

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[tuple[str, ...], _Directory] = {}
        self._until = 0.0

    def find(self, segments: Sequence[str]) -> Optional[Found]:
        """Return what is at a path; None: nothing is, or it leads outside.

        Args:
            segments: Of the path below the directory, all of them names of files.
        """
        # Before the directory: no time of a later table may be said of what is in an earlier one.
        until = self._renewed()
        directory = self._directory(tuple(segments[:-1]))
        if directory is None:
            return None
        path = directory + segments[-1] if segments else directory
        try:
            details = os.lstat(path)
        except (OSError, ValueError):
            return None
        return self._resolve(segments) if _is_link(details) else Found(path, details, until)

    def _renewed(self) -> float:
        """Begin to remember anew when it is time to, and return until when that holds."""
        until = self._until
        now = time.monotonic()
        if now >= until or len(self._known) >= _MOST_DIRECTORIES:
            self._known = {}
            until = self._until = now + _REMEMBERED
        return until

    def _directory(self, segments: tuple[str, ...]) -> Optional[str]:
        """Return where a directory really is, a separator behind it."""
        known = self._known
        directory = known.get(segments)
        if directory is not None and _is_there(directory):
            return directory.path
        found = self._resolve(segments)
        if found is None or not stat.S_ISDIR(found.details.st_mode):
            return None
        path, details = os.path.join(found.path, ""), found.details
        known[segments] = _Directory(path, details.st_dev, details.st_ino)
        return path

    def _resolve(self, segments: Sequence[str]) -> Optional[Found]:
        """Return what is at a path, from the beginning."""
        try:
            root = os.path.realpath(self._root)
            real = os.path.realpath(os.path.join(self._root, *segments))
            if real == root or real.startswith(os.path.join(root, "")):
                return Found(real, os.stat(real))
        except (OSError, ValueError):
            pass  # It is not there, or the file system cannot have such a name.
        return None


def _is_there(directory: _Directory) -> bool:
    """Say whether a directory is still where it was, and no other, and no link to another."""
    try:
        details = os.stat(directory.path)
    except OSError:
        return False
    return details.st_ino == directory.inode and details.st_dev == directory.device


def _is_link(details: os.stat_result) -> bool:
    """Say whether something stands for another: a link, or a junction of Windows."""
    return stat.S_ISLNK(details.st_mode) or bool(getattr(details, "st_reparse_tag", 0))


class StaticDirectory:
    """A directory of files.

    How a file is answered is found out for a first request and remembered as long as where its
    directory is: the next one opens the file, sees that it is the same, and reads it. For a small
    one that takes 5 us instead of 17. Files with a compressed sibling, and those that links name,
    are looked for each time.

    Args:
        directory: Where they are. It may come to be later; that it is not there is logged once.
        listing: Whether a directory without an index page is listed.
    """

    def __init__(self, directory: str, listing: bool = False) -> None:
        self._directory = os.path.abspath(directory)
        self._places = Places(self._directory)
        # By the segments of a path; that of an index page has an empty one behind them. Threads
        # share it without a lock, as they do what ``Places`` remembers.
        self._known: dict[tuple[str, ...], KnownFile] = {}
        self._listing = listing
        self._missed = False
        self._say_if_missing()

    def respond(self, request: Request, rest: Sequence[str]) -> Union[Response, Answer, None]:
        """Answer a request for a file, or return None when there is none.

        Args:
            request: The request.
            rest: The segments of its path behind the prefix, decoded.
        """
        found = self._look(rest)
        if found is None:
            return None
        if stat.S_ISDIR(found.details.st_mode):
            return self._directory_response(request, rest, found.path)
        return self._file_response(request, rest, found, tuple(rest))

    def again(self, head: RequestHead, rest: Sequence[str]) -> Again:
        """Return what answers all requests with a head, once the first was answered.

        Args:
            head: The head.
            rest: The segments of its path behind the prefix, decoded.
        """
        key = (*rest, "") if head.path.endswith("/") else tuple(rest)
        accepts = accepts_gzip(head.fields.get("accept-encoding"))
        return partial(self._again, key, is_plain(head), accepts)

    def _again(
        self, key: tuple[str, ...], plain: bool, accepts: bool, head: RequestHead
    ) -> Optional[Answer]:
        known = self._known.get(key)
        if known is None or time.monotonic() >= known.until:
            return None
        # To those who do not accept it, a new sibling changes nothing but the field Vary.
        if accepts and os.access(known.path + _GZIP, os.F_OK):
            return None
        return known.answer(head, plain)

    def find(self, rest: Sequence[str]) -> Optional[str]:
        """Return the file or the directory that a path names; None: there is none.

        A directory counts when it has an index page, or may be listed.
        """
        found = self._look(rest)
        if found is None:
            return None
        shown = self._listing or not stat.S_ISDIR(found.details.st_mode) or self._index(rest)
        return found.path if shown else None

    def _look(self, rest: Sequence[str]) -> Optional[Found]:
        """Return the regular file or the directory that a path names."""
        if not all(map(is_file_name, rest)):
            return None
        found = self._places.find(rest)
        if found is None:
            self._say_if_missing()
            return None
        mode = found.details.st_mode
        # A file in the place of the directory itself is none of it.
        return found if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and rest) else None

    def _index(self, rest: Sequence[str]) -> Optional[Found]:
        """Return the index page of a directory."""
        return self._file([*rest, INDEX])

    def _file(self, segments: Sequence[str]) -> Optional[Found]:
        found = self._places.find(segments)
        return found if found is not None and stat.S_ISREG(found.details.st_mode) else None

    def _file_response(
        self, request: Request, segments: Sequence[str], found: Found, key: tuple[str, ...]
    ) -> Union[Response, Answer]:
        """Answer with a file, or with its compressed sibling for clients that accept it."""
        kind = guess_type(segments[-1])
        sibling = self._sibling(segments, found)
        if sibling is None:
            file = KnownFile(found.path, found.details, _base(kind), found.until)
            if found.until:  # Else its name is a link, and that may be turned.
                self._remember(key, file)
            answer = file.answer(request.head, is_plain(request.head))
            # One that has changed since it was found is sent as it is now.
            return answer or Response(found.path, 200, kind, True)
        accepted = accepts_gzip(request.headers().get("accept-encoding"))
        response = Response(sibling.path if accepted else found.path, 200, kind, True)
        # Said to all: a cache must not give the one to those who get the other.
        response.setHeader("Vary", "Accept-Encoding")
        if accepted:
            response.setHeader("Content-Encoding", "gzip")
        return response

    def _remember(self, key: tuple[str, ...], file: KnownFile) -> None:
        if len(self._known) >= _MOST_FILES:
            self._known = {}
        self._known[key] = file

    def _sibling(self, segments: Sequence[str], found: Found) -> Optional[Found]:
        """Return the file beside another that holds the same compressed, if it is up to date."""
        # Most have none, and to ask for that alone costs the least.
        if not os.access(os.sep.join((self._directory, *segments)) + _GZIP, os.F_OK):
            return None
        sibling = self._file([*segments[:-1], segments[-1] + _GZIP])
        if sibling is None or found.details.st_mtime - sibling.details.st_mtime > _SIBLING_LAG:
            return None
        return sibling

    def _say_if_missing(self) -> None:
        # Said when somebody hears it: before the first run the console is not set up.
        if not self._missed and has_listener() and not os.path.isdir(self._directory):
            self._missed = True
            logger.warning("the directory %s is not there (yet)", self._directory)

    def _directory_response(
        self, request: Request, rest: Sequence[str], path: str
    ) -> Union[Response, Answer, None]:
        """Answer for a directory, under a path that ends in a slash: links in it are relative."""
        index = self._index(rest)
        if index is None and not self._listing:
            return None
        away = with_slash(request)
        if away is not None:
            return away
        if index is not None:
            return self._file_response(request, [*rest, INDEX], index, (*rest, ""))
        return _listing_page(request, path)


@lru_cache(maxsize=256)
def _base(kind: str) -> Answer:
    """Return what the answers with all files of a type have in common."""
    return Response(b"", 200, kind).head_answer()


def _listing_page(request: Request, path: str) -> Optional[Response]:
    """Show the names in a directory; None: it has gone.

    Raises:
        HTTPError: 403, it cannot be read.
    """
    from html import escape
    from urllib.parse import quote

    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name + "/" * _is_directory(entry) for entry in entries)
    except PermissionError as error:
        raise HTTPError(403, "The directory cannot be read.") from error
    except OSError:
        return None
    title = f"Files in {escape(request.path())}"
    rows = "\n".join(
        f'<li><a href="./{quote(name, errors="surrogatepass")}">{escape(name)}</a></li>'
        for name in names
    )
    return html_page(title, f"<h1>{title}</h1>\n<ul>\n{rows}\n</ul>")


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # A link that leads in a circle, or to where we may not look.
