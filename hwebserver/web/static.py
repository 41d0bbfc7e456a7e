"""Directories whose files are served.

A request names a file by segments that were decoded one by one, so a separator inside one is an
attempt to get somewhere else and matches nothing; nor does a name that Windows would read as a
device, a drive or a stream. What is left is resolved, and a link that leads outside matches
nothing either.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Sequence
from typing import Optional

from .compress import accepts_gzip
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


class StaticDirectory:
    """A directory of files.

    Args:
        directory: Where they are. It may come to be later; that it is not there is logged once.
        listing: Whether a directory without an index page is listed.
    """

    def __init__(self, directory: str, listing: bool = False) -> None:
        self._directory = os.path.abspath(directory)
        self._listing = listing
        self._missed = False
        self._say_if_missing()

    def respond(self, request: Request, rest: Sequence[str]) -> Optional[Response]:
        """Answer a request for a file, or return None when there is none.

        Args:
            request: The request.
            rest: The segments of its path behind the prefix, decoded.
        """
        path = self.find(rest)
        if path is None:
            return None
        if path.endswith(os.sep):
            return self._directory_response(request, path)
        return self._file_response(request, path)

    def find(self, rest: Sequence[str]) -> Optional[str]:
        """Return the file that a path names, a separator behind a directory; None: there is none.

        A directory counts when it has an index page, or may be listed.
        """
        if not all(map(is_file_name, rest)):
            return None
        path = self._inside(os.path.join(self._directory, *rest))
        if path is None:
            self._say_if_missing()
            return None
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return None
        if stat.S_ISREG(mode) and rest:  # a file in the place of the directory is none of it
            return path
        if stat.S_ISDIR(mode) and (self._listing or self._index(path) is not None):
            return os.path.join(path, "")
        return None

    def _inside(self, path: str) -> Optional[str]:
        """Return where a path of the directory really leads, None when that is outside."""
        try:
            # Both are looked up each time: links may be turned while the server runs.
            root, real = os.path.realpath(self._directory), os.path.realpath(path)
        except (OSError, ValueError):
            return None  # A name that the file system cannot have.
        if real == root or real.startswith(os.path.join(root, "")):
            return real if os.path.exists(real) else None
        return None

    def _index(self, directory: str) -> Optional[str]:
        """Return the index page of a directory."""
        index = self._inside(os.path.join(directory, INDEX))
        return index if index is not None and os.path.isfile(index) else None

    def _file_response(self, request: Request, path: str) -> Response:
        """Answer with a file, or with its compressed sibling for clients that accept it."""
        sibling = self._sibling(path)
        if sibling is None:
            return Response(path, 200, guess_type(path), is_file_name=True)
        accepted = accepts_gzip(request.headers().get("accept-encoding"))
        response = Response(sibling if accepted else path, 200, guess_type(path), True)
        response.setHeader("Vary", "Accept-Encoding")
        if accepted:
            response.setHeader("Content-Encoding", "gzip")
        return response

    def _sibling(self, path: str) -> Optional[str]:
        """Return the file beside another that holds the same compressed, if it is up to date."""
        try:
            compressed = os.stat(path + ".gz")
            age = os.stat(path).st_mtime - compressed.st_mtime
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(compressed.st_mode) or age > _SIBLING_LAG:
            return None
        return self._inside(path + ".gz")

    def _say_if_missing(self) -> None:
        # Said when somebody hears it: before the first run the console is not set up.
        if not self._missed and has_listener() and not os.path.isdir(self._directory):
            self._missed = True
            logger.warning("the directory %s is not there (yet)", self._directory)

    def _directory_response(self, request: Request, path: str) -> Optional[Response]:
        """Answer for a directory, under a path that ends in a slash: links in it are relative."""
        away = with_slash(request)
        if away is not None:
            return away
        index = self._index(path)
        if index is not None:
            return self._file_response(request, index)
        return _listing_page(request, path) if self._listing else None


def _listing_page(request: Request, path: str) -> Response:
    """Show the names in a directory."""
    from html import escape
    from urllib.parse import quote

    with os.scandir(path) as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries)
    title = f"Files in {escape(request.path())}"
    rows = "\n".join(
        f'<li><a href="./{quote(name, errors="surrogatepass")}">{escape(name)}</a></li>'
        for name in names
    )
    return html_page(title, f"<h1>{title}</h1>\n<ul>\n{rows}\n</ul>")
