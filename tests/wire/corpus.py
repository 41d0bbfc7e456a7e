"""The corpus: raw requests with the verdict beside them, one message sequence in each file.

A file under ``requests/`` begins with comment lines (``#``) that say what is tried and which rule
decides, then come the lines of the verdict, an empty line, and the bytes:

    answers: 100 200     the statuses that come back, in order
    maybe: 100           one that may come besides when the bytes come one by one
    after: open          open, closed (the last answer says so) or dropped (without a word)
    handled: POST /echo hello    a request that reaches a handler: method, target, body
    refused: GET /none   a request that is understood, but answered without a handler
    authority: a.example the host that the last request is for
    limits: NAME=1 ...   settings of the server
    ends: yes            the client sends no more behind the message, and says so

The bytes are printable ASCII. Line ends of the file mean nothing: those of the message are written
``\\r\\n``, and so are other bytes: ``\\t \\0 \\x0b \\\\``. A line ``<- 100`` means that the client
waits for that answer before it goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hwebserver.protocol.http1 import Limits

ROOT = Path(__file__).parent / "requests"

_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}

_LIMITS = {
    "MAX_REQUEST_LINE_SIZE": "request_line",
    "MAX_FIELD_LINE_SIZE": "field_line",
    "MAX_FIELD_COUNT": "field_count",
    "MAX_HEAD_SIZE": "head",
    "MAX_REQUEST_SIZE": "body",
    "MAX_CHUNK_LINE_SIZE": "chunk_line",
    "MAX_CHUNK_EXTENSION_SIZE": "chunk_extension",
    "MAX_TRAILER_SIZE": "trailer_section",
    "MAX_TRAILER_COUNT": "trailer_count",
}


class Expected(NamedTuple):
    """A request that the server has to find in the bytes.

    ``body`` is None for one that is refused: it may not come at all.
    """

    method: str
    target: str
    body: bytes | None


class Case(NamedTuple):
    """One message sequence and its verdict.

    ``parts`` is the message, cut where the client waits for 100 (Continue).
    """

    name: str
    parts: tuple[bytes, ...]
    answers: tuple[int, ...]
    after: str
    requests: tuple[Expected, ...] = ()
    settings: Mapping[str, int] = {}
    authority: str | None = None
    ends: bool = False
    maybe: int | None = None

    @property
    def message(self) -> bytes:
        return b"".join(self.parts)

    @property
    def finals(self) -> tuple[int, ...]:
        return tuple(status for status in self.answers if status >= 200)

    @property
    def handled(self) -> list[Expected]:
        return [one for one in self.requests if one.body is not None]

    @property
    def fault(self) -> int | None:
        """The status that answers bytes which are no request; None if all of them are one."""
        return self.finals[-1] if len(self.finals) > len(self.requests) else None

    @property
    def limits(self) -> Limits:
        return Limits()._replace(**{_LIMITS[name]: size for name, size in self.settings.items()})


def unescape(text: str) -> bytes:
    """Return the bytes that a text in the notation of the corpus stands for."""
    if not text.isascii() or (text and not text.isprintable()):
        raise ValueError(f"not printable ASCII: {text!r}")

    def value(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] == "x" else _ESCAPES[code].decode("latin-1")

    return re.sub(r"\\(x[0-9a-f]{2}|.)", value, text).encode("latin-1")


def load(path: Path) -> Case:
    """Read a file of the corpus; raise ValueError where it is not in the form described above."""
    head, _, message = path.read_text("ascii").partition("\n\n")
    values: dict[str, str] = {}
    requests: list[Expected] = []
    for line in head.splitlines():
        if line.startswith("#"):
            continue
        key, _, value = line.partition(": ")
        if key in ("handled", "refused"):
            method, target, *body = value.split(" ", 2)
            text = unescape(body[0] if body else "")
            target = unescape(target).decode("ascii")
            requests.append(Expected(method, target, text if key == "handled" else None))
        elif key in ("answers", "answers:", "maybe", "after", "authority", "limits", "ends"):
            values[key.rstrip(":")] = value
        else:
            raise ValueError(f"{path}: {line!r}")
    if not head.startswith("# ") or values["after"] not in ("open", "closed", "dropped"):
        raise ValueError(f"{path} says not enough")
    settings = dict(item.split("=") for item in values.get("limits", "").split())
    return Case(
        name=path.relative_to(ROOT).with_suffix("").as_posix(),
        parts=_parts(message),
        answers=tuple(map(int, values["answers"].split())),
        after=values["after"],
        requests=tuple(requests),
        settings={name: int(size) for name, size in settings.items()},
        authority=values.get("authority"),
        ends="ends" in values,
        maybe=int(values["maybe"]) if "maybe" in values else None,
    )


def _parts(message: str) -> tuple[bytes, ...]:
    parts = [b""]
    for line in message.split("\n"):
        if line == "<- 100":
            parts.append(b"")
        elif line != line.rstrip():
            raise ValueError(f"white space at the end of {line!r}: write it as an escape")
        else:
            parts[-1] += unescape(line)
    return tuple(parts)


CASES = [load(path) for path in sorted(ROOT.rglob("*.http"))]
