"""Field lines: ordered, looked up without regard to case; lists and parameters in their values.

The lines are kept as they came (RFC 9110 5.3: the order of equal names matters), and beside them
a table of lower-case names with the combined value of each. Few ask for the lines, so they stay
one text until somebody does. Everything here is linear in the size of its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional, Union

Lines = list[tuple[str, str]]


class Fields:
    """The field lines of one message.

    Args:
        lines: Pairs of name and value, in order, names as sent; or the head that they stand in,
            which has been found to be valid.
        combined: Lower-case name to value, repeated lines joined as RFC 9110 5.3 says.
    """

    __slots__ = ("_lines", "combined")

    def __init__(self, lines: Union[Lines, bytes], combined: dict[str, str]) -> None:
        self._lines = lines
        self.combined = combined

    @property
    def lines(self) -> Lines:
        """Pairs of name and value, in order, names as sent."""
        lines = self._lines
        if isinstance(lines, bytes):
            texts = [text for text in lines.decode("latin-1").split("\r\n") if text]
            parts = (text.partition(":") for text in texts[1:])
            lines = self._lines = [(name, value.strip(" \t")) for name, _, value in parts]
        return lines

    def get(self, name: str) -> Optional[str]:
        """Return the combined value of the field of that lower-case name, or None."""
        return self.combined.get(name)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the lines as sent."""
        return iter(self.lines)


def combine(name: str, first: str, second: str) -> str:
    """Join two values of one field: RFC 9110 5.3, and RFC 6265 5.4 for the one exception."""
    return f"{first}; {second}" if name == "cookie" else f"{first}, {second}"


def list_items(value: str) -> list[str]:
    """Return the members of a comma-separated list of tokens, lower-cased, empty ones left out.

    RFC 9110 5.6.1. Quoted strings are not understood: for fields whose members are tokens.
    """
    items = (item.strip(" \t").lower() for item in value.split(","))
    return [item for item in items if item]


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """Return a media type in lower case and its parameters (RFC 9110 8.3.1).

    Args:
        value: The value of a Content-Type field.
    """
    kind, *rest = split_unquoted(value, ";")
    parameters: dict[str, str] = {}
    for item in rest:
        name, equals, text = item.partition("=")
        if equals:
            parameters.setdefault(name.strip(" \t").lower(), unquote_string(text.strip(" \t")))
    return kind.strip(" \t").lower(), parameters


def quality_values(value: str) -> dict[str, float]:
    """Return the members of an Accept field with their weights (RFC 9110 12.5.1).

    A member with a weight that is none counts as refused (0).
    """
    weights: dict[str, float] = {}
    for item in split_unquoted(value, ","):
        kind, parameters = media_type(item)
        if kind:
            weights.setdefault(kind, _weight(parameters.get("q", "1")))
    return weights


def _weight(text: str) -> float:
    """Read ``0.5`` (RFC 9110 12.4.2: at most three decimals); anything else is 0."""
    whole, _, decimals = text.partition(".")
    if whole not in ("0", "1") or len(decimals) > 3 or decimals.strip("0123456789"):
        return 0.0
    weight = float(f"{whole}.{decimals or '0'}")
    return weight if weight <= 1 else 0.0


def split_unquoted(value: str, separator: str) -> list[str]:
    """Split at a separator that stands outside quoted strings (RFC 9110 5.6.4), in one pass."""
    if '"' not in value:
        return value.split(separator)
    parts: list[str] = []
    start, quoted, skip = 0, False, False
    for position, character in enumerate(value):
        if skip:
            skip = False
        elif character == "\\" and quoted:
            skip = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(value[start:position])
            start = position + 1
    parts.append(value[start:])
    return parts


def unquote_string(value: str) -> str:
    """Return the content of a quoted string, or the value as it is when it has no quotes."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    pieces = value[1:-1].split("\\\\")
    return "\\".join(piece.replace("\\", "") for piece in pieces)
