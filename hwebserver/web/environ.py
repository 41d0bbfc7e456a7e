"""The environ of WSGI: a request written down as one, and one read as a request (PEP 3333).

A mounted application gets what the server knows of a request as an environ. Under another server
the handlers get an environ instead of a request: it is written down as a head again, and read by
the same strict parser that reads those from sockets.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from typing import Any, Optional

from ..errors import HTTPError, IncompleteRequest, ProtocolError
from ..exchange import ConnectionInfo, Port, Span
from ..protocol import tokens
from ..protocol.headers import Fields, combine
from ..protocol.http1 import Limits, RequestHead, parse_head
from ..protocol.paths import split_authority
from ..protocol.response import Line
from ..settings import EVERY_PORT, MAIN_PORT
from .request import Request

Environ = dict[str, Any]

#: The fields of a request that have keys of their own, or say how the body came.
_NOT_HTTP = frozenset(("content-length", "content-type", "transfer-encoding"))

_PORTS = {"http": 80, "https": 443}

#: What a path may hold that is not encoded; a question mark would end it.
_PATH = "/:@!$&'()*+,;=-._~|[]^"

_BLOCK = 65536


class _Errors:
    """What an application writes to ``wsgi.errors``: it goes where ``sys.stderr`` leads just then.

    A graphical host may have none; nobody reads it there.
    """

    def write(self, text: str) -> None:
        """Write some text."""
        if sys.stderr is not None:
            sys.stderr.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """See that what was written is to be seen."""
        if sys.stderr is not None:
            sys.stderr.flush()


_ERRORS = _Errors()


class FileWrapper:
    """The class ``wsgi.file_wrapper``: a file as an iterable of blocks.

    Args:
        filelike: Something that has ``read``.
        block_size: Bytes of a block.
    """

    def __init__(self, filelike: Any, block_size: int = 8192) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> Any:
        block = self.filelike.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def rest(self) -> Optional[tuple[int, Span]]:
        """Return the descriptor of a regular file and what is left of it; None: read it instead.

        Other objects have a descriptor too, of a file whose bytes are not theirs (``GzipFile``).
        """
        raw = getattr(self.filelike, "raw", self.filelike)
        if type(raw) is not FileIO:
            return None
        try:
            descriptor = raw.fileno()
            details = os.fstat(descriptor)
            position = self.filelike.tell()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(details.st_mode):
            return None
        return descriptor, Span(position, max(0, details.st_size - position))


# --- a request as an environ ---


def environ_of(request: Request, depth: int) -> Environ:
    """Return the environ of a request.

    Args:
        request: The request.
        depth: How many segments of its path are the SCRIPT_NAME.
    """
    head = request.head
    script, path = _split(head.path, depth)
    address, number = request.clientAddress()
    name, port = _server(request)
    target = head.target if head.target[0] == "/" else request.pathWithQueryString()
    environ: Environ = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": _decode(script),
        "PATH_INFO": _decode(path),
        "QUERY_STRING": head.query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "REMOTE_ADDR": address,
        "REMOTE_PORT": str(number),
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": request.protocol(),
        "SERVER_SOFTWARE": "hwebserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme(),
        "wsgi.input": request.bodyFile(),
        "wsgi.input_terminated": True,
        "wsgi.errors": _ERRORS,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if head.has_body or "content-length" in head.fields.combined:
        environ["CONTENT_LENGTH"] = str(request.contentLength())  # that of chunks is counted
    if "content-type" in head.fields.combined:
        environ["CONTENT_TYPE"] = request.contentType()
    if request.isSecure():
        environ["HTTPS"] = "on"
    environ.update(_variables(head.fields))
    if head.authority is not None:
        # RFC 9112 3.2.2: the host in an absolute-form target goes before the Host field, and what
        # a believed proxy says before both: that is the host that ALLOWED_HOSTS was asked about.
        environ["HTTP_HOST"] = request.host()
    return environ


def _split(path: str, depth: int) -> tuple[str, str]:
    """Split a path that is not decoded behind so many of its segments."""
    end = 0
    for _ in range(depth):
        end = path.find("/", end + 1)
        if end < 0:
            return path, ""
    return path[:end], path[end:]


def _decode(path: str) -> str:
    """Return the bytes of a path as PEP 3333 has them in text: one character for each."""
    if "%" not in path:
        return path
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


def _server(request: Request) -> tuple[str, int]:
    """Return the name and the port of the server as the client knows them."""
    if request.head.authority is None:
        host, number = request.serverAddress()
        if not number:
            return "localhost", _PORTS[request.scheme()]  # It came by a Unix socket.
        return (f"[{host}]" if ":" in host else host), number
    name, port = split_authority(request.host())
    return name, _PORTS[request.scheme()] if port is None else port


def _variables(fields: Fields) -> dict[str, str]:
    """Return the fields of a request by their CGI names (RFC 3875 4.1.18).

    A name with an underscore is left out: ``X_Role`` would pass for ``X-Role``, which a proxy may
    have checked.
    """
    found: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        if "_" in name or lower in _NOT_HTTP:
            continue
        key = "HTTP_" + lower.replace("-", "_").upper()
        found[key] = combine(lower, found[key], value) if key in found else value
    return found


# --- an environ as a request ---


def connection_info(environ: Mapping[str, Any]) -> ConnectionInfo:
    """Return what an environ says of the connection.

    Args:
        environ: The environ.
    """
    secure = environ.get("wsgi.url_scheme") == "https"
    number = _number(environ.get("SERVER_PORT")) or (443 if secure else 80)
    name = str(environ.get("SERVER_NAME", "")).strip("[]")
    keys = frozenset((MAIN_PORT, EVERY_PORT, str(number)))
    peer = str(environ.get("REMOTE_ADDR", "")), _number(environ.get("REMOTE_PORT"))
    port = Port(MAIN_PORT, number, keys, secure, name)
    return ConnectionInfo(peer, (name, number), port, -1, secure)


def _number(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() else 0


def read_head(environ: Mapping[str, Any], limits: Limits) -> RequestHead:
    """Return the head of the request that an environ describes.

    Args:
        environ: The environ.
        limits: What the head may cost.

    Raises:
        HTTPError: it is one that would be refused if it came over a socket.
    """
    minor = 0 if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else 1
    lines = [f"{environ['REQUEST_METHOD']} {_target(environ)} HTTP/1.{minor}"]
    for name, value in _fields(environ):
        if tokens.UNSAFE_VALUE.search(value):
            raise ProtocolError(400, "A header field holds a control character.")
        lines.append(f"{name}: {value}")
    return parse_head("\r\n".join(lines).encode("latin-1", "replace"), limits)


def _target(environ: Mapping[str, Any]) -> str:
    """Return the request target: as it was sent if the environ tells, else encoded again.

    An encoded slash differs from a plain one only in the former.
    """
    from urllib.parse import quote_from_bytes, unquote_to_bytes

    path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    decoded = path.encode("latin-1", "replace")
    raw = environ.get("RAW_URI", environ.get("REQUEST_URI", "")).partition("?")[0]
    # Where something in front of us has changed the path, that counts.
    as_sent = unquote_to_bytes(raw.encode("latin-1", "replace")) == decoded
    if environ.get("SCRIPT_NAME") or not as_sent:
        raw = quote_from_bytes(decoded, _PATH)
    return f"{raw or '/'}?{query}" if query else raw or "/"


def _fields(environ: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the fields of a request.

    Raises:
        HTTPError: 411, the server keeps to itself where the body ends.
    """
    length, kind = environ.get("CONTENT_LENGTH"), environ.get("CONTENT_TYPE")
    if kind:
        yield "Content-Type", kind
    if length:
        yield "Content-Length", length
    for key, value in environ.items():
        if not key.startswith("HTTP_") or not isinstance(value, str):
            continue
        if key == "HTTP_TRANSFER_ENCODING":
            if length:
                continue  # The server has decoded and counted the body.
            if not environ.get("wsgi.input_terminated"):
                raise HTTPError(411, "This server wants to know the length of a body.")
        yield key[5:].replace("_", "-").title(), value


def body_pieces(stream: Any, length: Optional[int], limit: int) -> Iterator[bytes]:
    """Yield what there is to be read of a body.

    Args:
        stream: ``wsgi.input``.
        length: Bytes of the body; None: the end of the input ends it.
        limit: Most bytes that it may have.

    Raises:
        HTTPError: 400, it ends too early; 413, it is over the limit.
    """
    received = 0
    while length is None or received < length:
        wanted = _BLOCK if length is None else min(_BLOCK, length - received)
        try:
            piece = stream.read(wanted)
        except Exception as error:
            raise IncompleteRequest(400, "The body of the request cannot be read.") from error
        if not piece:
            if length is None:
                return
            raise IncompleteRequest(400, "The request ends in its body.")
        received += len(piece)
        if received > limit:
            raise HTTPError(413, f"The body is over {limit} bytes.")
        yield piece
