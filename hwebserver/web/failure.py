"""What went wrong, taken out of an exception: plain data, which holds no frame alive."""

from __future__ import annotations

import builtins
import linecache
import os
import traceback
from collections import deque
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple, Optional

from .masking import Mask
from .values import Value, fill

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")

#: Most exceptions that are shown: causes, and members of groups.
_MOST_FAILURES = 20

#: The frames of an exception that are shown.
FIRST_FRAMES = 10
_LAST_FRAMES = 30

#: Most values of a frame, and frames of an exception whose values are shown.
_MOST_VALUES = 50
_FRAMES_WITH_VALUES = 15

#: Lines shown around the one that was running, and characters of one.
_BEFORE, _AFTER = 5, 4
_LINE_WIDTH = 400

_MESSAGE_SIZE = 8000

#: Lines of the plain text of a traceback, and characters of one.
_FIRST_LINES, _LAST_LINES = 150, 250
_TEXT_WIDTH = 4000


class SourceLine(NamedTuple):
    """A line of source."""

    number: int
    text: str


class Frame(NamedTuple):
    """A call that was under way.

    Attributes:
        file: The file of its code, as the interpreter names it.
        function: Its name; empty: it is no call, but a place in a file.
        line: The line that was running; 0: none is known.
        source: The lines around that; none if there is no source.
        values: What its local names meant.
        ours: Whether it belongs to the server.
        changed: Whether the file has been changed since the server was started, so that the lines
            may not be those that ran.
    """

    file: str
    function: str
    line: int
    source: list[SourceLine]
    values: list[Value]
    ours: bool
    changed: bool


class Failure(NamedTuple):
    """An exception.

    Attributes:
        lead: How it belongs to the one before; empty: it is the first.
        kind: Its class.
        message: What it says.
        frames: Where it was raised, the outermost call first.
        left_out: Frames left out, in the middle.
        members: Those that it groups, each with its causes.
    """

    lead: str
    kind: str
    message: str
    frames: list[Frame]
    left_out: int
    members: list[list[Failure]]


def describe(error: BaseException, mask: Mask, since: float) -> list[Failure]:
    """Return what an exception says, followed by its causes.

    Args:
        error: The exception.
        mask: What no text shows.
        since: When the server was started.
    """
    reader = _Reader(mask, since)
    failures = reader.chain(error)
    fill(reader.waiting, mask)
    return failures


class _Reader:
    def __init__(self, mask: Mask, since: float) -> None:
        self._mask = mask
        self._since = since
        self._seen: set[int] = set()
        self.waiting: deque[tuple[Value, Any]] = deque()

    def chain(self, error: Optional[BaseException]) -> list[Failure]:
        """Return an exception and what led to it."""
        failures: list[Failure] = []
        lead = ""
        while error is not None and id(error) not in self._seen:
            if len(self._seen) == _MOST_FAILURES:
                break
            self._seen.add(id(error))
            failures.append(self._failure(error, lead))
            if error.__cause__ is not None:
                error, lead = error.__cause__, "It was raised because of this:"
            elif not error.__suppress_context__:
                error, lead = error.__context__, "It was raised while this was being handled:"
            else:
                break
        return failures

    def _failure(self, error: BaseException, lead: str) -> Failure:
        frames, left_out = self._frames(error.__traceback__)
        place = self._syntax_place(error)
        if place is not None:
            frames.append(place)
        group = getattr(builtins, "BaseExceptionGroup", None)  # Python 3.11
        inner = error.exceptions if group is not None and isinstance(error, group) else ()
        members = [chain for chain in map(self.chain, inner) if chain]
        message = _message(error, self._mask)
        return Failure(lead, _kind(error), message, frames, left_out, members)

    def _frames(self, trace: Optional[TracebackType]) -> tuple[list[Frame], int]:
        calls: list[tuple[FrameType, int]] = []
        while trace is not None:
            calls.append((trace.tb_frame, trace.tb_lineno or 0))
            trace = trace.tb_next
        left_out = max(0, len(calls) - FIRST_FRAMES - _LAST_FRAMES)
        if left_out:
            calls = calls[:FIRST_FRAMES] + calls[-_LAST_FRAMES:]
        last = len(calls) - _FRAMES_WITH_VALUES
        frames = [self._frame(*call, index >= last) for index, call in enumerate(calls)]
        return frames, left_out

    def _frame(self, frame: FrameType, line: int, with_values: bool) -> Frame:
        code: CodeType = frame.f_code
        file = code.co_filename
        function = getattr(code, "co_qualname", code.co_name)  # Python 3.11
        ours = os.path.abspath(file).startswith(_PACKAGE)
        # Those of the server say nothing of the handler, and are many.
        values = self._values(frame) if with_values and not ours else []
        source = self._source(file, line, frame.f_globals)
        return Frame(file, function, line, source, values, ours, self._changed(file))

    def _values(self, frame: FrameType) -> list[Value]:
        """Return the local names of a call; what they mean is written down later."""
        values: list[Value] = []
        for name, found in dict(frame.f_locals).items():
            if not isinstance(name, str) or (name[:2] == name[-2:] == "__"):
                continue
            if len(values) == _MOST_VALUES:
                break
            value = Value(name)
            values.append(value)
            self.waiting.append((value, found))
        return values

    def _source(
        self, file: str, line: int, names: Optional[dict[str, Any]] = None
    ) -> list[SourceLine]:
        """Return the lines around one; ``names`` know how to read what is in an archive."""
        try:
            linecache.checkcache(file)
            lines = linecache.getlines(file, names)
        except Exception:  # A loader may raise anything.
            return []
        first = max(1, line - _BEFORE)
        shown = lines[first - 1 : line + _AFTER] if line > 0 else []
        return [
            SourceLine(number, self._mask.text(text.rstrip("\r\n"))[:_LINE_WIDTH])
            for number, text in enumerate(shown, first)
        ]

    def _changed(self, file: str) -> bool:
        try:
            return os.stat(file).st_mtime > self._since
        except (OSError, ValueError):
            return False

    def _syntax_place(self, error: BaseException) -> Optional[Frame]:
        """Return where a syntax error is, if it says so."""
        if not isinstance(error, SyntaxError):
            return None
        file, line = error.filename, error.lineno
        if not isinstance(file, str) or not isinstance(line, int):
            return None
        source = self._source(file, line)
        if not source and isinstance(error.text, str):
            source = [SourceLine(line, self._mask.text(error.text.rstrip("\r\n"))[:_LINE_WIDTH])]
        return Frame(file, "", line, source, [], False, False)


def _kind(error: BaseException) -> str:
    kind = type(error)
    module, name = str(kind.__module__), str(kind.__qualname__)
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def _message(error: BaseException, mask: Mask) -> str:
    """Return what an exception says, and the notes that were added to it."""
    try:
        text = str(error)
    except Exception:
        text = "(what it says cannot be shown: its __str__ failed)"
    notes = getattr(error, "__notes__", ())  # Python 3.11
    if isinstance(notes, (list, tuple)):
        text = "\n".join([text, *(note for note in notes if isinstance(note, str))])
    text = mask.text(text)  # before it is cut: half a secret is none that is found
    return text if len(text) <= _MESSAGE_SIZE else f"{text[:_MESSAGE_SIZE]}…"


def trace_text(error: BaseException, mask: Mask) -> str:
    """Return a traceback as the interpreter writes it; a long one is cut in the middle.

    Args:
        error: The exception.
        mask: What it does not show.
    """
    try:
        pieces = traceback.format_exception(type(error), error, error.__traceback__)
    except Exception:  # An exception may have attributes of any kind.
        pieces = [f"Traceback (most recent call last):\n  (unreadable)\n{_kind(error)}\n"]
    lines = mask.text("".join(pieces)).splitlines()
    left_out = len(lines) - _FIRST_LINES - _LAST_LINES
    if left_out > 0:
        lines[_FIRST_LINES:-_LAST_LINES] = [f"  [{left_out} lines are left out here]"]
    return "".join(f"{line[:_TEXT_WIDTH]}\n" for line in lines)
