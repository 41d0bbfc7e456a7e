r"""Forms with files, multipart/form-data (RFC 7578, RFC 2046 5.1), parsed from pieces of any size.

A form may be far larger than memory, so nothing is collected here: bytes go in, and out come the
head of a part, its data in pieces, and its end. Almost all of those bytes are data, and the one
thing to know about them is whether CR LF "--" boundary is among them. That is a question for
``bytes.find``; a piece without it is handed on as the very object that came in. What is kept for
the next piece is only what may still become a delimiter, or a line of a part's head that has not
ended: a few bytes. Text that nearly is a delimiter is passed over by a pattern, not by a loop
here, since a body can be made of nothing else.

The CR LF before the dashes belongs to the delimiter, and two places lend it one. The body counts
as if it came after an empty line, so that its first delimiter needs no line before it. And the
empty line behind the head of a part may be the beginning of the delimiter of a part that has no
body (RFC 2046 5.1.1). In both cases parsing goes on at a CR LF that is no data itself: ``_lead``.

The verdict on a form is a matter of its bytes and never of how they were cut, and of several faults
the first one counts. Whatever allows for two readings is refused, not guessed: another server,
proxy or filter on the way would guess the other one. So line ends are CR LF, parameters and fields
that mean something stand there once, and a form that stops before its closing delimiter is no form,
least of all an empty one.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple, Optional, Union
from urllib.parse import unquote

from ..errors import HTTPError
from . import grammar, tokens
from .headers import media_type, split_unquoted

#: Bytes before the first delimiter and behind the last one (RFC 2046 5.1.1: to be ignored). They
#: carry nothing, so there is no reason to take many.
PREAMBLE_LIMIT = 4096
EPILOGUE_LIMIT = 4096

#: UTF-8 bytes of a file name: as many as common file systems take.
FILE_NAME_LIMIT = 255

#: RFC 2046 5.1.1: one to seventy bchars, of which the last is no space.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]\Z")

#: RFC 2046 5.1.1: what makes a boundary behind CR LF "--" a delimiter: two dashes, or transport
#: padding and CR LF; or the beginning of these where the bytes end. RFC 2046 sets no bound to the
#: padding, so one is set here. The first look-ahead passes over near-boundaries quickly, and the
#: second takes the padding as a whole, since this pattern must not try it shorter and shorter.
_DELIMITER_END = re.compile(rb"(?![^\-\t \r])(?:-(?:-|\Z)|(?=([\t ]{0,64}))\1(?:\r(?:\n|\Z)|\Z))")

#: RFC 9110 5.6.6, where RFC 2183 has more freedom than anybody uses: no space around the equals
#: sign and no comments. In a quoted string a backslash makes the quote behind it part of the text.
_PARAMETER = re.compile(r'([^\t ;="]+)=("[^"\\]*(?:\\.[^"\\]*)*"|[^\t ;"]+)')
_SEPARATOR = re.compile(r"[\t ]*(?:;[\t ;]*|\Z)")

#: RFC 8187 3.2.1 (5987 before): a character set, a language, and text in percent encoding.
_EXTENDED_VALUE = re.compile(
    r"(utf-8|iso-8859-1)'[0-9a-z\-]*'((?:[!#$&+\-.^_`|~0-9a-z]|%[0-9a-f]{2})*)\Z", re.IGNORECASE
)

#: The fields of a part that mean something (RFC 7578 4.8: others are to be ignored).
_UNDERSTOOD = frozenset(("content-disposition", "content-type", "content-transfer-encoding"))

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVES = re.compile(r"(?:\s*[A-Za-z]:)*")

#: Names that Windows takes for devices, whatever their endings; the superscripts are digits to it.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\xb9\xb2\xb3]|lpt[0-9\xb9\xb2\xb3])"
    r"[ ]*(?:[.:].*)?\Z",
    re.IGNORECASE,
)

_PREAMBLE, _HEAD, _DATA, _EPILOGUE = range(4)


class FormLimits(NamedTuple):
    """What one form may cost; sizes in bytes. Files are bounded by the body alone.

    Attributes:
        parts: Parts of the form.
        part_headers: Header fields of one part.
        part_header: One header field line of a part, without its line end.
        field: The data of one part that is no file.
        fields: The data of all parts that are no files together.
    """

    parts: int = 1000
    part_headers: int = 8
    part_header: int = 4096
    field: int = 8 << 20
    fields: int = (16 << 20) - 1


class Part(NamedTuple):
    """The head of a part. Its data comes behind it, in any number of pieces, then PART_END.

    Attributes:
        name: The name of the control in the form; may be empty, and may be there many times.
        file_name: A name without any path, empty when nothing of it is left, or None for a part
            that is no file.
        content_type: As sent, or empty when the part has none.
    """

    name: str
    file_name: Optional[str]
    content_type: str


class PartEnd(Enum):
    """The type of PART_END."""

    PART_END = "PART_END"


#: The data of the current part is complete.
PART_END = PartEnd.PART_END

#: What comes out of a form; bytes are data of the part before them and never empty.
Event = Union[Part, bytes, PartEnd]


def boundary_of(content_type: str) -> Optional[bytes]:
    """Return the boundary of a form, or None if the media type is not multipart/form-data.

    Args:
        content_type: The value of a Content-Type field.

    Raises:
        HTTPError: 400, there is no boundary, more than one, or one that RFC 2046 does not allow.
    """
    if content_type[:9].lower() != "multipart":
        return None  # as most are, and this takes no time to see
    kind, parameters = media_type(content_type)
    if kind != "multipart/form-data":
        return None
    items = split_unquoted(content_type, ";")[1:]
    names = [item.partition("=")[0].strip(" \t").lower() for item in items]
    if names.count("boundary") > 1:
        raise HTTPError(400, "The Content-Type names more than one boundary.")
    boundary = parameters.get("boundary", "")
    if _BOUNDARY.match(boundary) is None:
        raise HTTPError(400, "The Content-Type of the form has no valid boundary.")
    return boundary.encode("ascii")


def clean_file_name(name: str) -> str:
    r"""Return a name without path, drive or control characters that a file can have, or "".

    Args:
        name: What a client calls its file: ``photo.png``, ``C:\dir\photo.png``, ``../../photo.png``
    """
    name = name.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no bytes
    # Control characters first: what they split may become a drive or "..".
    name = _CONTROL.sub("", name).replace("\\", "/").rpartition("/")[2]
    name = _DRIVES.sub("", name, count=1)
    name = _shorten(name.strip()).rstrip()
    if _DEVICE.match(name):
        name = _shorten(f"_{name}").rstrip()  # What is written to a device is lost, or printed.
    # Windows drops dots and spaces at the end, so no name of these alone is one.
    return name if name.strip(". ") else ""


def _shorten(name: str) -> str:
    """Cut a name to the bytes that it may have: before its extension if that leaves anything."""
    if len(name.encode("utf-8")) <= FILE_NAME_LIMIT:
        return name
    stem, dot, extension = name.rpartition(".")
    extension = dot + extension
    room = FILE_NAME_LIMIT - len(extension.encode("utf-8"))
    if room <= 0:
        stem, extension, room = name, "", FILE_NAME_LIMIT
    return stem.encode("utf-8")[:room].decode("utf-8", "ignore") + extension


class FormParser:
    """The parts of one form.

    Args:
        boundary: What boundary_of() returned.
        limits: What the form may cost.
    """

    __slots__ = (
        "_count",
        "_data_size",
        "_failure",
        "_fields_size",
        "_head",
        "_head_count",
        "_held",
        "_is_file",
        "_lead",
        "_limits",
        "_mark",
        "_near_mark",
        "_outside",
        "_seen",
        "_state",
    )

    def __init__(self, boundary: bytes, limits: FormLimits) -> None:
        self._limits = limits
        self._mark = b"\r\n--" + boundary
        self._near_mark: Optional[re.Pattern[bytes]] = None  # made when it is needed
        self._state = _PREAMBLE
        self._held = b"\r\n"  # bytes that wait for those behind them
        self._lead = 2  # bytes at the parsing position that begin a delimiter or are nothing
        self._seen = 0  # bytes of an unfinished line that need no second look
        self._outside = 0  # bytes of the preamble, then of the epilogue
        self._count = 0
        self._head: dict[str, str] = {}
        self._head_count = 0
        self._is_file = False
        self._data_size = 0
        self._fields_size = 0
        self._failure: Optional[tuple[int, str]] = None

    def feed(self, data: bytes) -> list[Event]:
        """Take a piece of the body and return what it brings, in order.

        Args:
            data: The next bytes; any number.

        Returns:
            For each part a Part, its data in pieces that are not empty, and PART_END.

        Raises:
            HTTPError: 400 for a form that is malformed, 413 for one that is over a limit. Every
                later call raises the same.
        """
        self._check_failure()
        try:
            return self._take(data)
        except HTTPError as error:
            self._failure = (error.status, error.message)
            raise

    def finish(self) -> None:
        """Say that the body has ended.

        Raises:
            HTTPError: 400 unless the closing delimiter was there; or what feed() raised.
        """
        self._check_failure()
        if self._state != _EPILOGUE:
            self._failure = (400, "The form ends before its closing boundary.")
            self._check_failure()

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise HTTPError(*self._failure)

    def _take(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._held:
            data = self._held + data
            self._held = b""
        position: Optional[int] = 0
        while position is not None:
            if self._state == _HEAD:
                position = self._take_head(data, position, events)
            elif self._state == _EPILOGUE:
                self._pass_outside(len(data) - position, EPILOGUE_LIMIT)
                position = None
            else:
                position = self._take_content(data, position, events)
        return events

    # Each step returns the position to go on at, or None when it needs more bytes, and has then
    # put what it could not use into _held.

    def _pass_outside(self, size: int, limit: int) -> None:
        """Count bytes that belong to no part."""
        self._outside += size
        if self._outside > limit:
            raise HTTPError(400, f"There are over {limit} bytes before or behind the form.")

    def _take_content(self, data: bytes, position: int, events: list[Event]) -> Optional[int]:
        """Pass what stands before a delimiter, and the delimiter."""
        begin, end = self._next_delimiter(data, position)
        if begin > position:  # If not, then the lead may begin a delimiter.
            position += self._lead
            self._lead = 0
            if self._state == _PREAMBLE:
                self._pass_outside(begin - position, PREAMBLE_LIMIT)
            elif begin > position:
                self._count_data(begin - position)
                events.append(data[position:begin])
        following = data[begin + len(self._mark) : end]
        if following != b"--" and following[-1:] != b"\n":
            self._held = data[begin:]
            return None
        if self._state == _DATA:
            events.append(PART_END)
        if following == b"--":
            self._state = _EPILOGUE
            self._outside = 0
        else:
            self._begin_part()
        return end

    def _next_delimiter(self, data: bytes, position: int) -> tuple[int, int]:
        """Return where the next delimiter begins and ends, as far as the bytes can tell.

        With the beginning of one at the end of the bytes, or none, the end is that of the bytes.
        """
        mark = self._mark
        begin = data.find(mark, position)
        if begin >= 0:
            position = begin + len(mark)  # A boundary holds no CR, so none begins before this.
            match = _DELIMITER_END.match(data, position)
            if match is None:
                match = self._near_pattern().search(data, position)
                begin = match.start() if match else begin
            if match is not None:
                return begin, match.end()
        size = len(data)
        begin = data.rfind(b"\r", max(position, size - len(mark) + 1))
        if begin < 0 or not mark.startswith(data[begin:]):
            begin = size
        return begin, size

    def _near_pattern(self) -> re.Pattern[bytes]:
        """Return the pattern of a whole delimiter: slower than find() but for near-boundaries."""
        if self._near_mark is None:
            self._near_mark = re.compile(re.escape(self._mark) + _DELIMITER_END.pattern)
        return self._near_mark

    def _count_data(self, size: int) -> None:
        if self._is_file:
            return
        self._data_size += size
        self._fields_size += size
        if self._data_size > self._limits.field:
            raise HTTPError(413, f"A field of the form is over {self._limits.field} bytes.")
        if self._fields_size > self._limits.fields:
            raise HTTPError(413, f"The fields of the form are over {self._limits.fields} bytes.")

    def _begin_part(self) -> None:
        self._count += 1
        if self._count > self._limits.parts:
            raise HTTPError(413, f"The form has more than {self._limits.parts} parts.")
        self._state = _HEAD
        self._head = {}
        self._head_count = 0

    def _take_head(self, data: bytes, position: int, events: list[Event]) -> Optional[int]:
        """Pass a line of the head of a part."""
        end = self._line_end(data, position)
        if end < 0:
            self._held = data[position:]
            return None
        if end > position:
            self._take_header(data[position:end])
            return end + 2
        part = _part(self._head)
        events.append(part)
        self._is_file = part.file_name is not None
        self._data_size = 0
        self._state = _DATA
        self._lead = 2
        return position

    def _line_end(self, data: bytes, position: int) -> int:
        """Return where a line ends, or -1 when it has not ended yet and still may."""
        limit = self._limits.part_header
        longest = position + limit + 2
        looked = position + max(0, self._seen - 1)
        end = data.find(b"\r\n", looked, longest)
        if end >= 0:
            self._seen = 0
            return end
        # RFC 2046 4.1.1: a line ends with CR LF and holds neither alone.
        if grammar.BAD_HEAD_BYTE.search(data, looked, longest):
            raise HTTPError(400, "A part of the form holds a control character in its head.")
        if len(data) >= longest:
            raise HTTPError(413, f"A header field of a part is over {limit} bytes.")
        self._seen = len(data) - position
        return -1

    def _take_header(self, line: bytes) -> None:
        """Keep a header field if it is one of those that are understood."""
        if line.translate(None, grammar.FIELD_BYTES):
            raise HTTPError(400, "A part of the form holds a control character in its head.")
        self._head_count += 1
        if self._head_count > self._limits.part_headers:
            raise HTTPError(413, f"A part has more than {self._limits.part_headers} header fields.")
        # A line that goes on from the one before it (RFC 5322 2.2.3) begins with no name either.
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if not colon or tokens.TOKEN.match(name) is None:
            raise HTTPError(400, "A part of the form has a header line that is no field.")
        name = name.lower()
        if name in _UNDERSTOOD:
            if name in self._head:
                raise HTTPError(400, f"A part of the form has more than one {name} field.")
            self._head[name] = value.strip(" \t")


def _part(head: dict[str, str]) -> Part:
    """Return what the understood fields of a part say."""
    disposition = head.get("content-disposition")
    if disposition is None:
        raise HTTPError(400, "A part of the form has no Content-Disposition.")
    # RFC 7578 4.7: the encodings that change the data are deprecated, and data handed on as it
    # came would not be what was meant.
    encoding = head.get("content-transfer-encoding", "binary").lower()
    if encoding not in ("7bit", "8bit", "binary"):
        raise HTTPError(
            400, "A part of the form is in an encoding that is not 7bit, 8bit or binary."
        )
    parameters = _form_data_parameters(disposition)
    if "name" not in parameters:
        raise HTTPError(400, "A part of the form has no name.")
    return Part(_text(parameters["name"]), _file_name(parameters), head.get("content-type", ""))


def _form_data_parameters(disposition: str) -> dict[str, str]:
    """Return the parameters of a Content-Disposition, the values as sent (RFC 7578 4.2)."""
    kind = disposition.partition(";")[0]
    if kind.strip(" \t").lower() != "form-data":
        raise HTTPError(400, "The Content-Disposition of a part is not form-data.")
    parameters: dict[str, str] = {}
    position = len(kind)
    while position < len(disposition):
        separator = _SEPARATOR.match(disposition, position)
        if separator is None:
            raise HTTPError(400, "The Content-Disposition of a part is malformed.")
        position = separator.end()
        if position < len(disposition):
            position = _take_parameter(disposition, position, parameters)
    return parameters


def _take_parameter(disposition: str, position: int, parameters: dict[str, str]) -> int:
    """Add the parameter at a position and return where it ends."""
    match = _PARAMETER.match(disposition, position)
    name, value = match.groups() if match else ("", "")
    is_valid = tokens.TOKEN.match(name) and (value[0] == '"' or tokens.TOKEN.match(value))
    if match is None or not is_valid:
        raise HTTPError(400, "The Content-Disposition of a part is malformed.")
    name = name.lower()
    if name in parameters:
        raise HTTPError(400, f"The Content-Disposition of a part has more than one {name}.")
    parameters[name] = value
    return match.end()


def _text(value: str) -> str:
    r"""Return what a quoted string or a token stands for.

    Browsers of old send a path raw (``C:\dir\name.txt``), so a backslash escapes a quote or another
    backslash and is itself before anything else. For a quote and a line end the HTML standard has
    browsers write %22, %0D and %0A; they leave any other percent sign as it is, and so do we.
    """
    if value[0] == '"':
        pieces = value[1:-1].split("\\\\")
        value = "\\".join(piece.replace('\\"', '"') for piece in pieces)
    return value.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _file_name(parameters: dict[str, str]) -> Optional[str]:
    """Return the cleaned name of a file, or None for a part that is no file."""
    if "filename" in parameters:
        return clean_file_name(_text(parameters["filename"]))
    if "filename*" not in parameters:
        return None
    # RFC 7578 4.2 forbids this form, and some clients send nothing else.
    match = _EXTENDED_VALUE.match(parameters["filename*"])
    if match is None:
        raise HTTPError(400, "The Content-Disposition of a part has a malformed filename*.")
    return clean_file_name(unquote(match[2], match[1], "replace"))
