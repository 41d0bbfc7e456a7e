"""Values as a person reads them: short, whatever they are, and without secrets."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from contextvars import copy_context
from itertools import islice
from typing import Any, Optional

from .masking import HIDDEN, Mask, is_secret, mask_named

#: Characters of a value, items of one that holds others, and how deep those are looked into.
_WIDTH = 400
_ITEMS = 8
_DEPTH = 3

#: Bits of a number that is written out: more take a time that grows with the square of them.
_BITS = 4096

#: How long all values of a page may take together, in seconds.
_PATIENCE = 1.0

_PAIRS = (dict.__repr__, OrderedDict.__repr__, defaultdict.__repr__)
_SINGLES = {
    list.__repr__: "[]",
    tuple.__repr__: "()",
    set.__repr__: "{}",
    frozenset.__repr__: "{}",
    deque.__repr__: "[]",
}
_PLAIN = (dict, list, tuple, set)


class Value:
    """A value with its name; ``text`` is None until it is known, and when it takes too long.

    Args:
        name: What it is called.
    """

    __slots__ = ("name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text: Optional[str] = None


def fill(waiting: deque[tuple[Value, Any]], mask: Mask) -> None:
    """Write down values; those that are not written within a second are left out.

    ``repr`` runs foreign code, which may wait for anything. So a thread of its own calls it, and
    one that hangs holds that thread alone.

    Args:
        waiting: What is to be written, the first first; it is empty afterwards.
        mask: What no text shows.
    """
    work = copy_context().run  # Objects that stand for "the current one" find it so.
    thread = threading.Thread(
        target=work, args=(_fill, waiting, mask), name="hwebserver-values", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # There can be no more threads.
        waiting.clear()
        return
    thread.join(_PATIENCE)
    waiting.clear()


def _fill(waiting: deque[tuple[Value, Any]], mask: Mask) -> None:
    while True:
        try:
            value, found = waiting.popleft()
        except IndexError:
            return
        value.text = HIDDEN if is_secret(value.name) else show(found, mask)
        del found


def show(found: Any, mask: Mask) -> str:
    """Return a short text for a value; raises nothing.

    Args:
        found: The value.
        mask: What no text shows.
    """
    try:
        return _cut(_show(found, mask, _DEPTH))
    except BaseException as error:  # Even one that means to end the program: it was only looked at.
        return f"<{type(found).__name__}: its repr raised {type(error).__name__}>"


def _show(found: Any, mask: Mask, depth: int) -> str:
    kind = type(found)
    if isinstance(found, (str, bytes, bytearray)):
        return _show_text(found, mask)
    if isinstance(found, int) and found.bit_length() > _BITS:
        return f"<{kind.__name__} of {found.bit_length()} bits>"
    own: Any = kind.__repr__
    if own in _PAIRS:
        pairs = _show_pairs(dict.items(found), len(found), mask, depth)
        return _named(kind, f"{{{pairs}}}")
    brackets = _SINGLES.get(own)
    if brackets is not None:
        return _named(kind, _show_items(found, brackets, mask, depth))
    # Cut behind the secrets: half a one is none that is found.
    return mask_named(mask.text(repr(found))[: 2 * _WIDTH])


def _show_text(found: Any, mask: Mask) -> str:
    """Return text or bytes, of which no more is looked at than is shown."""
    if isinstance(found, str):
        piece = str.__getitem__(found, slice(_WIDTH + mask.longest))
        text = repr(mask.text(str(piece)))
    else:
        text = mask.text(repr(bytes(found[: _WIDTH + mask.longest])))
    text = mask_named(text)
    more = len(found) - _WIDTH
    return f"{text[:_WIDTH]}… ({len(found)} in all)" if more > 0 else text


def _show_pairs(pairs: Iterable[tuple[Any, Any]], count: int, mask: Mask, depth: int) -> str:
    if depth == 0:
        return "…" if count else ""
    shown = []
    for key, value in islice(pairs, _ITEMS):
        text = HIDDEN if is_secret(key) else _inner(value, mask, depth)
        shown.append(f"{_inner(key, mask, depth)}: {text}")
    return ", ".join(shown + _rest(count))


def _show_items(found: Any, brackets: str, mask: Mask, depth: int) -> str:
    if depth == 0:
        return "…".join(brackets)
    # Header fields are kept as pairs, too.
    if len(found) == 2 and isinstance(found, (tuple, list)) and is_secret(found[0]):
        shown = [_inner(found[0], mask, depth), HIDDEN]
    else:
        shown = [_inner(item, mask, depth) for item in islice(found, _ITEMS)] + _rest(len(found))
    if len(found) == 1 and brackets == "()":
        shown.append("")
    return brackets[0] + ", ".join(shown).rstrip(" ") + brackets[1]


def _inner(found: Any, mask: Mask, depth: int) -> str:
    try:
        return _cut(_show(found, mask, depth - 1))
    except Exception as error:
        return f"<{type(found).__name__}: its repr raised {type(error).__name__}>"


def _rest(count: int) -> list[str]:
    return [f"… ({count} in all)"] if count > _ITEMS else []


def _named(kind: type, text: str) -> str:
    return text if kind in _PLAIN else f"{kind.__name__}({text})"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH + 40 else f"{text[:_WIDTH]}…"
