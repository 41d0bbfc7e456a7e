"""Conditional and range requests for one selected representation (RFC 9110 8.8, 13 and 14).

Whoever has a representation, its length and its validators asks ``evaluate`` what a request wants
of it: all, some ranges, nothing because the client has it already, or nothing because it is not
what the client takes it for. The rest of the module writes what goes with the answer: dates,
Content-Range, and the parts of multipart/byteranges.

A field that is not understood must do no harm. A Range that is no valid one is ignored, and the
client gets the whole; a list of entity tags with a fault in it matches nothing, so that If-Match
fails and If-None-Match sends a fresh copy. Ranges are the dearest thing that a short request can
ask for (RFC 9110 17.15): their number is bounded before they are read, and those that overlap or
nearly touch are merged, so no answer sends a byte twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Optional

from .dates import DAYS, MONTHS
from .headers import Fields
from .response import check_field

#: Most ranges in one request: RFC 9110 14.2 lets a server ignore the field, 17.15 tells it to.
MAX_RANGES = 100

#: Bytes: a smaller gap between two ranges is sent along, for the head of a part costs as much.
RANGE_GAP = 128

#: RFC 9110 13.2.1: methods that select no representation have no preconditions.
_UNCONDITIONAL = frozenset(("CONNECT", "OPTIONS", "TRACE"))

#: RFC 9110 8.8.3, as a member of a list (5.6.1): an entity tag or nothing, and the comma. White
#: space follows only a tag in here, or two runs of it could share the same spaces in many ways.
_TAG_MEMBER = re.compile(r'[ \t]*(?:((?:W/)?"[!#-~\x80-\xff]*")[ \t]*)?,')

#: RFC 9110 14.1.2: first and last position; without the first, the length of a suffix.
_RANGE_SPEC = re.compile(r"([0-9]*)-([0-9]*)\Z")

#: Nineteen digits hold any length there is; int() of many more takes quadratic time.
_MOST_DIGITS = 19

_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY = rf"(?:{'|'.join(DAYS)})"
_LONG_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = rf"(?P<month>{'|'.join(MONTHS)})"
_TIME = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"

#: RFC 9110 5.6.7: IMF-fixdate, rfc850-date and asctime-date, case-sensitive.
_DATES = (
    re.compile(rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT\Z"),
    re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT\Z"),
    re.compile(rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})\Z"),
)

#: Days from 1 January of the year 1 to 1 January 1970.
_EPOCH = 719162


class ByteRange(NamedTuple):
    """A piece of a representation.

    Attributes:
        start: The position of its first byte.
        end: The position behind its last byte.
    """

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


class Verdict(NamedTuple):
    """What a request is to be answered with.

    Attributes:
        status: 200, 206, 304, 412 or 416.
        ranges: Of a 206, one or more; each is inside the representation, none is empty, and no two
            share a byte.
    """

    status: int
    ranges: tuple[ByteRange, ...] = ()


def parse_http_date(text: str) -> Optional[int]:
    """Return the seconds since the epoch of an HTTP-date (RFC 9110 5.6.7), None if it is none.

    The day of the week must be one, but need not be that of the date: refusing it would help
    nobody, as it decides nothing.

    Args:
        text: The value of a field, without white space around it.
    """
    for pattern in _DATES:
        match = pattern.match(text)
        if match is not None:
            break
    else:
        return None
    days = _days(_year(match["year"]), MONTHS.index(match["month"]) + 1, int(match["day"]))
    if days is None:
        return None
    # A leap second (RFC 5322 3.3) counts as the second behind it, as it does for Unix.
    seconds = int(match["hour"]) * 3600 + int(match["minute"]) * 60 + int(match["second"])
    return days * 86400 + seconds


def _year(digits: str) -> int:
    """Read a year. RFC 9110 5.6.7 places two digits by the clock; without one, 1970 to 2069."""
    year = int(digits)
    if len(digits) == 2:
        year += 1900 if year >= 70 else 2000
    return year


def _days(year: int, month: int, day: int) -> Optional[int]:
    """Count the days since the epoch to a date of the Gregorian calendar; None: it has no such."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1 or not 1 <= day <= _MONTH_LENGTHS[month - 1] + (leap and month == 2):
        return None
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400
    days += sum(_MONTH_LENGTHS[: month - 1]) + (leap and month > 2)
    return days + day - 1 - _EPOCH


def evaluate(method: str, fields: Fields, size: int, etag: str, modified: Optional[int]) -> Verdict:
    """Decide what a request gets of a representation, in the order of RFC 9110 13.2.2.

    It is for a request that would be answered with 200 if it had no conditions (13.2.1).

    Args:
        method: The request's.
        fields: The request's.
        size: Bytes of the representation.
        etag: Its entity tag with the quotes, maybe weak; empty: it has none.
        modified: When it was last modified, in whole seconds since the epoch; None: unknown.
    """
    if method in _UNCONDITIONAL:
        return Verdict(200)
    if not _is_expected(fields, etag, modified):
        return Verdict(412)
    reads = method in ("GET", "HEAD")
    if _is_known(fields, etag, modified, reads):
        return Verdict(304 if reads else 412)
    asked = fields.get("range")
    # RFC 9110 14.2: GET is the only method that has ranges.
    if asked is None or method != "GET" or not _is_same(fields.get("if-range"), etag, modified):
        return Verdict(200)
    return _select(asked, size)


def _is_expected(fields: Fields, etag: str, modified: Optional[int]) -> bool:
    """Evaluate If-Match, or else If-Unmodified-Since (RFC 9110 13.1.1 and 13.1.4)."""
    tags = fields.get("if-match")
    if tags is not None:
        # The comparison is strong: a weak tag on either side is not the same as anything.
        return tags == "*" or (etag[:1] == '"' and etag in _entity_tags(tags))
    date = _date(fields, "if-unmodified-since")
    return modified is None or date is None or modified <= date


def _is_known(fields: Fields, etag: str, modified: Optional[int], reads: bool) -> bool:
    """Evaluate If-None-Match, or else If-Modified-Since (RFC 9110 13.1.2 and 13.1.3)."""
    tags = fields.get("if-none-match")
    if tags is not None:
        opaque = etag.removeprefix("W/")
        return tags == "*" or opaque in [tag.removeprefix("W/") for tag in _entity_tags(tags)]
    date = _date(fields, "if-modified-since") if reads else None
    return modified is not None and date is not None and modified <= date


def _is_same(validator: Optional[str], etag: str, modified: Optional[int]) -> bool:
    """Evaluate If-Range (RFC 9110 13.1.5): a strong tag or a date, each exactly ours, or none."""
    if validator is None:
        return True
    if validator[:1] == '"':
        return validator == etag
    return modified is not None and parse_http_date(validator) == modified


def _date(fields: Fields, name: str) -> Optional[int]:
    """Return the date in a field; None: there is no field, or no date in it, which is the same."""
    value = fields.get(name)
    return None if value is None else parse_http_date(value)


def _entity_tags(value: str) -> list[str]:
    """Return the members of a list of entity tags, none of them if one is malformed."""
    tags: list[str] = []
    value += ","
    position = 0
    while position < len(value):
        member = _TAG_MEMBER.match(value, position)
        if member is None:
            return []
        if member[1]:
            tags.append(member[1])
        position = member.end()
    return tags


def _select(asked: str, size: int) -> Verdict:
    """Decide what a Range field that counts selects (RFC 9110 14.2)."""
    specs = _range_specs(asked)
    if specs is None:
        return Verdict(200)
    wanted = [_resolve(first, last, size) for first, last in specs]
    ranges = [piece for piece in wanted if piece.size]
    return Verdict(206, _merged(ranges)) if ranges else Verdict(416)


def _range_specs(value: str) -> Optional[list[tuple[str, str]]]:
    """Return the pairs of digits in a Range field; None: it is to be ignored."""
    unit, _, text = value.partition("=")
    # A list has white space around its commas, not around itself.
    if unit.lower() != "bytes" or text != text.strip(" \t"):
        return None
    # RFC 9110 5.6.1.2: a reasonable number of empty members is passed over. Commas are counted
    # first, for that costs next to nothing however many there are.
    if text.count(",") > 2 * MAX_RANGES:
        return None
    members = [member for member in (part.strip(" \t") for part in text.split(",")) if member]
    if len(members) > MAX_RANGES:
        return None
    specs: list[tuple[str, str]] = []
    for member in members:
        spec = _range_spec(member)
        if spec is None:
            return None
        specs.append(spec)
    return specs or None


def _range_spec(member: str) -> Optional[tuple[str, str]]:
    """Return both numbers of a range without leading zeros, empty where left out; None: invalid."""
    match = _RANGE_SPEC.match(member)
    if match is None or member == "-":
        return None
    first, last = (digits.lstrip("0") or digits[:1] for digits in match.groups())
    # The longer number is the larger one, and of equally long ones the text tells.
    if first and last and (len(first), first) > (len(last), last):
        return None
    return first, last


def _resolve(first: str, last: str, size: int) -> ByteRange:
    """Return what a range is of a representation, empty when it is not satisfiable."""
    if not first:
        return ByteRange(size - _number(last, size), size)
    end = _number(last, size - 1) + 1 if last else size
    return ByteRange(_number(first, size), end)


def _number(digits: str, most: int) -> int:
    """Read a number, at most that large."""
    return most if len(digits) > _MOST_DIGITS else min(int(digits), most)


def _merged(ranges: Sequence[ByteRange]) -> tuple[ByteRange, ...]:
    """Merge the ranges that overlap or nearly touch (RFC 9110 15.3.7.2).

    Where none do, they stay in the order that the client asked for; otherwise they ascend.
    """
    ascending = sorted(ranges)
    merged = ascending[:1]
    for piece in ascending[1:]:
        before = merged[-1]
        if piece.start - before.end < RANGE_GAP:
            merged[-1] = ByteRange(before.start, max(before.end, piece.end))
        else:
            merged.append(piece)
    return tuple(merged if len(merged) < len(ranges) else ranges)


def content_range(piece: Optional[ByteRange], size: int) -> str:
    """Return the value of a Content-Range field (RFC 9110 14.4).

    Args:
        piece: What is sent; None: nothing, in a 416.
        size: Bytes of the whole representation.
    """
    return f"bytes */{size}" if piece is None else f"bytes {piece.start}-{piece.end - 1}/{size}"


def multipart_ranges(
    ranges: Sequence[ByteRange], size: int, content_type: str, boundary: str
) -> tuple[list[bytes], bytes]:
    """Return what stands around the ranges in a multipart/byteranges body (RFC 9110 14.6).

    Args:
        ranges: What is sent, in this order.
        size: Bytes of the whole representation.
        content_type: The media type of the representation; empty: it is not said.
        boundary: A token of at most 70 characters (RFC 2046 5.1.1), best a random one.

    Returns:
        The head to send in front of each range, and what ends the body behind the last.

    Raises:
        ValueError: no header field can have this content type.
    """
    check_field("Content-Type", content_type)
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    heads = []
    for number, piece in enumerate(ranges):
        # RFC 2046 5.1.1: the line end in front of a delimiter belongs to it.
        begin = "\r\n--" if number else "--"
        head = f"{begin}{boundary}\r\n{kind}Content-Range: {content_range(piece, size)}\r\n\r\n"
        heads.append(head.encode("latin-1"))
    return heads, f"\r\n--{boundary}--\r\n".encode("latin-1")
