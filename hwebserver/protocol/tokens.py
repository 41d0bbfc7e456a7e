"""Tokens and field values as compiled patterns: the grammar that not only requests need.

What only they have is in ``grammar``, which is not needed before there are any.
"""

from __future__ import annotations

import re

#: RFC 9110 5.6.2: a character of a token.
TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"

#: RFC 9110 5.6.2: a method, a field name, a transfer coding.
TOKEN = re.compile(rf"{TCHAR}+\Z")

#: RFC 9110 5.5: what a field value of ours may not hold, for it would end the line (or, NUL, the
#: text) for some reader; and what latin-1 cannot carry.
UNSAFE_VALUE = re.compile("[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")

#: An id that a request may bring (X-Request-ID): visible ASCII without quotes, backslashes, angle
#: brackets, braces and what separates the members of a list, so that it can stand in any log.
REQUEST_ID = re.compile(r"[A-Za-z0-9!#$&*+\-./:=?@^_|~]{1,128}\Z")
