"""What no page shows: the values of what is called a secret, and the access token itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from json import dumps
from urllib.parse import quote, unquote_plus

#: What stands for a value that is not shown.
HIDDEN = "***"

_WORDS = (
    r"passw(?:or)?d|pwd|passphrase|secret|token|authorization|cookie|credential"
    r"|(?:api|access|private|signing|encryption)[_-]?key"
)
_NAME = re.compile(_WORDS, re.IGNORECASE)

#: A name and a value as they stand in ``repr`` of an object, in JSON, in a query or in a head. The
#: value ends with its quotation marks; without any, where the next one may begin.
_NAMED = re.compile(
    rf"((?:{_WORDS})[\w-]{{0,40}}(?:\\*[\"']\s*[=:,]|\s*[=:])\s*)"
    r"(b?\\*'(?:[^'\\]|\\.)*'?|b?\\*\"(?:[^\"\\]|\\.)*\"?|[^'\",\\)\]}&]+)",
    re.IGNORECASE,
)


def is_secret(name: object) -> bool:
    """Say whether what has a name is not to be shown."""
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    return isinstance(name, str) and _NAME.search(name) is not None


def mask_named(text: str) -> str:
    """Return a text without the values that stand in it behind the names of secrets.

    Args:
        text: A short one.
    """
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def mask_query(query: str) -> str:
    """Return a query without the values of its secret fields; the others stay as they were sent."""
    pieces = re.split("([&;])", query)
    for index, piece in enumerate(pieces):
        name, equals, _ = piece.partition("=")
        if equals and is_secret(unquote_plus(name)):
            pieces[index] = f"{name}={HIDDEN}"
    return "".join(pieces)


class Mask:
    """Takes values that are known to be secret out of texts.

    Args:
        secrets: The values.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings: set[str] = set()
        for secret in filter(None, secrets):
            spellings |= {secret, repr(secret)[1:-1], dumps(secret)[1:-1]}
            spellings |= {quote(secret), quote(secret, safe="")}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
        #: Characters of the longest of them.
        self.longest = len(longest_first[0]) if longest_first else 0

    def text(self, text: str) -> str:
        """Return a text without them."""
        return self._pattern.sub(HIDDEN, text) if self.longest else text
