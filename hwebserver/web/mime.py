"""Media types by file name, from a fixed table.

``mimetypes.guess_type`` reads the registry of Windows and the files of the system, so the same
file would have another type on another machine (a wrong one for ``.js`` is a well-known case). The
tables in the module differ between versions of Python; what the web needs is therefore named here.
"""

from __future__ import annotations

import os.path
from typing import Optional

_TYPES = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".css": "text/css",
    ".csv": "text/csv",
    ".exr": "image/x-exr",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".gz": "application/gzip",
    ".hdr": "image/vnd.radiance",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mov": "video/quicktime",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/opus",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".usdz": "model/vnd.usdz+zip",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
    ".xml": "text/xml",
    ".zip": "application/zip",
}

_UNKNOWN = "application/octet-stream"


class _StandardTable:
    """The defaults of ``mimetypes``, imported at the first name that is not in the table above."""

    def __init__(self) -> None:
        self._types: Optional[dict[str, str]] = None

    def get(self, extension: str) -> str:
        if self._types is None:
            from mimetypes import MimeTypes

            self._types = dict(MimeTypes().types_map[True])
        return self._types.get(extension, _UNKNOWN)


_standard = _StandardTable()


def guess_type(name: str) -> str:
    """Return the media type of a file by the end of its name, in any case.

    A compressed file is what its last ending says: ``a.tar.gz`` is gzip.

    Args:
        name: A file name or a path.
    """
    extension = os.path.splitext(name)[1].lower()
    return _TYPES.get(extension) or _standard.get(extension)
