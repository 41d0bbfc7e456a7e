"""What one option is, and what a value of it may be, wherever it comes from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Optional

from .errors import OperationFailed

#: The names of the levels of VERBOSITY.
VERBOSITY_NAMES = ("low", "medium", "high")

#: What stands for a secret where people read.
MASK = "***"

_SECRET_WORDS = ("TOKEN", "PASSWORD", "SECRET")

_TRUTHS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
    "": False,
}

#: The flags of a compiled pattern that a text can say, too.
_PATTERN_FLAGS = ((re.I, "i"), (re.M, "m"), (re.S, "s"), (re.X, "x"))


class Option:
    """One option.

    Attributes:
        name: As in a settings file.
        kind: The type of its value; ``list``: of texts.
        default: What holds when nobody says anything.
        doc: One line for people.
        least: The smallest number allowed; of a text, the fewest characters.
        argument: The parameter of ``run`` that sets it; empty: none.
        flag: The option of the command line that sets it, without its dashes; empty: none.
        optional: Whether None is a value.
        most: The largest number allowed.
        choices: The texts that it can be; empty: any.
        place: It is a path, of a ``file`` that is there or of one whose ``folder`` is.
        patterns: Its texts are regular expressions.
        secret: Whether people must not see it.
        of_server: It is the whole server's; a port other than the main one has none of its own.
        alias_of: The option that it is an older name of; empty: none.
        octal: It is read and shown with the digits 0 to 7, as permissions are.
        other_flags: What other servers call that option of the command line.
    """

    __slots__ = (
        "alias_of",
        "argument",
        "choices",
        "default",
        "doc",
        "flag",
        "kind",
        "least",
        "most",
        "name",
        "octal",
        "of_server",
        "optional",
        "other_flags",
        "patterns",
        "place",
        "secret",
    )

    def __init__(
        self,
        name: str,
        kind: type,
        default: Any,
        doc: str,
        least: Optional[float] = None,
        argument: str = "",
        flag: str = "",
        optional: bool = False,
        most: Optional[float] = None,
        choices: tuple[str, ...] = (),
        place: str = "",
        patterns: bool = False,
        secret: bool = False,
        of_server: bool = False,
        alias_of: str = "",
        octal: bool = False,
        other_flags: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.doc = doc
        self.least = least
        self.argument = argument
        self.flag = flag
        self.optional = optional
        self.most = most
        self.choices = choices
        self.place = place
        self.patterns = patterns
        self.secret = secret
        self.of_server = of_server
        self.alias_of = alias_of
        self.octal = octal
        self.other_flags = other_flags


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> Optional[str]:
    """Return the known name that is most like another, None when none is."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return found[0] if found else None


def near_miss(name: str, names: Iterable[str]) -> Optional[str]:
    """Return the known name that another one was probably meant for, in a place that has others'.

    Words that both have at an end say nothing: EMAIL_TIMEOUT is not meant for HEAD_TIMEOUT.
    """
    close = nearest(name, names, 0.8)
    if close is None:
        return None
    ours, theirs = close.split("_"), name.split("_")
    while ours and theirs and ours[-1] == theirs[-1]:
        del ours[-1], theirs[-1]
    while ours and theirs and ours[0] == theirs[0]:
        del ours[0], theirs[0]
    return close if nearest("".join(theirs), ["".join(ours)], 0.7) else None


def nearest_path(path: str, *, folder: bool = False) -> Optional[str]:
    """Return the path of the file, or folder, beside a missing one whose name is most like it."""
    parent, name = os.path.split(path)
    try:
        with os.scandir(parent or os.curdir) as entries:
            names = [one.name for one in entries if one.is_dir() == folder]
    except (OSError, ValueError):
        return None
    close = nearest(name, names)
    return os.path.join(parent, close) if close else None


def hint(close: Optional[str]) -> str:
    """Return the end of a sentence that says what was probably meant."""
    return f": did you mean {close}?" if close else ""


def shown(option: Option, value: Any) -> str:
    """Return a value as a settings file has it; a secret is masked."""
    if option.secret and value is not None:
        return MASK
    if option.octal and isinstance(value, int):
        return oct(value)
    return repr(int(value) if isinstance(value, IntEnum) else value)


def shown_unknown(name: str, value: Any, close: Optional[str]) -> str:
    """Return the value of a name that is no option; what may be a secret is masked.

    Args:
        name: The name.
        value: The value.
        close: What was probably meant.
    """
    names = f"{name} {close}".upper()
    return MASK if any(word in names for word in _SECRET_WORDS) else repr(value)


def check_value(option: Option, value: Any, source: str) -> Any:
    """Return the value if it is one that the option can have.

    Whole numbers pass for seconds, tuples and sets for lists, and paths are made absolute.

    Raises:
        OperationFailed: naming the option, the value and where it came from.
    """
    if value is None and option.optional:
        return None
    if option.place:
        return _check_place(option, value, source)
    if option.kind is list:
        return _check_list(option, value, source)
    if option.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    kind: Any = option.kind
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(option, value, source, f"must be of type {option.kind.__name__}")
    if option.least is not None and kind is str and len(value) < option.least:
        raise _wrong(option, value, source, f"its length must be at least {option.least}")
    if option.least is not None and kind is not str and not value >= option.least:
        raise _wrong(option, value, source, f"must be at least {_bound(option, option.least)}")
    if option.most is not None and value > option.most:
        raise _wrong(option, value, source, f"must be at most {_bound(option, option.most)}")
    if option.choices and value not in option.choices:
        raise _wrong(option, value, source, f"must be {' or '.join(option.choices)}")
    return value


def _bound(option: Option, number: float) -> str:
    return oct(int(number)) if option.octal else str(number)


def _wrong(option: Option, value: Any, source: str, reason: str) -> OperationFailed:
    return OperationFailed(f"{option.name} is {shown(option, value)} in {source}, but {reason}")


def _check_place(option: Option, value: Any, source: str) -> Optional[str]:
    """Return a path as an absolute one: the process may change its directory later.

    An empty text is no path, as in an environment variable that is set to nothing.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise _wrong(option, value, source, "must be a path, of type str")
    if not path and option.optional:
        return None
    path = os.path.abspath(path)
    if option.place == "folder":
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            close = hint(nearest_path(folder, folder=True))
            raise _wrong(option, path, source, f"the folder {folder} is not there{close}")
        if os.path.isdir(path):
            raise _wrong(option, path, source, "that is a folder")
    elif not os.path.exists(path):
        raise _wrong(option, path, source, f"that file is not there{hint(nearest_path(path))}")
    elif os.path.isdir(path):
        raise _wrong(option, path, source, "that is a folder")
    return path


def _check_list(option: Option, value: Any, source: str) -> list[str]:
    """Return texts as a list; a single text would be read letter by letter."""
    if isinstance(value, str):
        raise _wrong(option, value, source, f"must be a list of texts: [{value!r}]")
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if not isinstance(value, (list, tuple)):
        raise _wrong(option, value, source, "must be a list of texts")
    if option.patterns:
        value = [_pattern_text(one) for one in value]
    if not all(isinstance(one, str) for one in value):
        raise _wrong(option, value, source, "must be a list of texts")
    if option.patterns:
        _check_patterns(option, value, source)
    return list(value)


def _pattern_text(pattern: Any) -> Any:
    """Return the text of a compiled pattern, with its flags; anything else is returned as it is."""
    if not isinstance(pattern, re.Pattern) or not isinstance(pattern.pattern, str):
        return pattern
    text = pattern.pattern
    extra = pattern.flags & ~re.compile(text).flags
    letters = "".join(letter for flag, letter in _PATTERN_FLAGS if extra & flag)
    # A line's end closes the comment that a verbose pattern may end with.
    end = "\n" if extra & re.X else ""
    return f"(?{letters}:{text}{end})" if letters else text


def _check_patterns(option: Option, texts: Iterable[str], source: str) -> None:
    for text in texts:
        try:
            re.compile(text)
        except re.error as error:
            reason = f"{text!r} is no regular expression: {error}"
            raise _wrong(option, list(texts), source, reason) from error


def parse_text(option: Option, text: str, source: str) -> Any:
    """Read a value from the environment or the command line; ``check_value`` is yet to see it.

    The items of a list stand between commas; regular expressions, which may have commas of their
    own, between spaces.

    Raises:
        OperationFailed: it is no number where one must be.
    """
    if option.optional and text.lower() == "none":
        return None
    if option.kind is bool:
        return _TRUTHS.get(text.lower(), text)
    if option.kind is str:
        return text
    if option.kind is list:
        items = text.split() if option.patterns else text.split(",")
        return [one.strip() for one in items if one.strip()]
    if option.name == "VERBOSITY" and text.lower() in VERBOSITY_NAMES:
        return VERBOSITY_NAMES.index(text.lower())
    try:
        return int(text, 8) if option.octal else option.kind(text)
    except ValueError as error:
        reason = f"must be of type {option.kind.__name__}"
        raise _wrong(option, text, source, reason) from error
