"""The grammar of HTTP/1.1 as compiled patterns and byte tables, and nothing else.

RFC 9110 and 9112 define what a message looks like in ABNF (RFC 5234); RFC 3986 what a host looks
like. Each name below is the name of the rule there. Python's own helpers are not used for this:
``int()`` reads ``+5``, ``0_5`` and Arabic digits, ``split()`` and ``strip()`` take VT, FF and NEL
for white space, and each of these was a way to smuggle a request past some server.
"""

from __future__ import annotations

import re

from .tokens import TCHAR

#: RFC 9110 8.6: a length is digits, and nineteen of them hold any length there is.
CONTENT_LENGTH = re.compile(r"[0-9]{1,19}\Z")

#: RFC 9112 2.3: one digit on each side of the dot.
HTTP_VERSION = re.compile(r"HTTP/([0-9])\.([0-9])\Z")

#: RFC 9112 3.2: a target is visible ASCII. Browsers send some characters raw that RFC 3986 wants
#: encoded (``|``, ``[``, ``^``), so these pass; a fragment never belongs in a request.
REQUEST_TARGET = re.compile(r"[!-\"$-~]+\Z")

#: RFC 3986 3.1, as far as a request target can have it: these are the only schemes served.
ABSOLUTE_FORM = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?)://([^/?]*)([^?]*)(?:\?(.*))?\Z")

#: RFC 3986 3.2.2 and 3.2.3: a registered name or an IPv4 address, or an IPv6 address in brackets,
#: and a port. The sub-delims of reg-name are left out: no host has them, and a comma makes a list.
AUTHORITY = re.compile(
    r"(?:([A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2}){1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?\Z"
)

#: RFC 9112 7.1: the size of a chunk in hexadecimal digits (sixteen hold 64 bits), then extensions.
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\Z")
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_TOKEN_BYTES = TCHAR.encode("ascii") + b"+"
CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*"
    + _TOKEN_BYTES
    + rb"(?:[ \t]*=[ \t]*(?:"
    + _TOKEN_BYTES
    + rb"|"
    + _QUOTED
    + rb"))?)*)\Z"
)

#: RFC 9110 5.5: what a field line is made of: HTAB, SP, VCHAR and obs-text. Whatever
#: ``bytes.translate`` leaves of a head without these must be CR LF pairs alone.
FIELD_BYTES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

#: A byte that no head may hold: a control character, or a CR or LF that is not half of a CR LF. A
#: CR that ends the text is no error yet.
BAD_HEAD_BYTE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")
