"""Fields that the server adds to answers, whoever made them."""

from __future__ import annotations

from collections.abc import Iterable

from ..exchange import Answer
from ..protocol.headers import list_items
from ..protocol.response import Line

_ALLOW_ORIGIN = "access-control-allow-origin"
_ALLOW_CREDENTIALS = "access-control-allow-credentials"

#: How much is remembered of what was made.
_MOST_KNOWN = 64

#: Fields of an answer that a cache may keep and use again (RFC 9111 3 and 4).
_KEPT = frozenset(("cache-control", "etag", "expires", "last-modified"))


class Extra:
    """What is added to the answers to some requests.

    Most answers have the same fields as others, so what was made of some is remembered.

    Args:
        lines: Fields for answers that have none of the name.
        cors: What lets a page of another origin read them. A handler that sends
            Access-Control-Allow-Origin decides for itself.
        vary: Fields of the request that they depend on.
        when_kept: Whether that is only said in answers that a cache may keep.
        always: Fields that replace those of an answer.
    """

    __slots__ = ("_always", "_cors", "_known", "_vary", "_when_kept", "lines")

    def __init__(
        self,
        lines: tuple[Line, ...] = (),
        cors: tuple[Line, ...] = (),
        vary: tuple[str, ...] = (),
        when_kept: bool = False,
        always: tuple[Line, ...] = (),
    ) -> None:
        self.lines = lines
        self._cors = cors
        self._vary = vary
        self._when_kept = when_kept
        self._always = always
        # By the identities of the fields of answers, which stay theirs as long as they are in here.
        self._known: dict[int, tuple[tuple[Line, ...], tuple[Line, ...]]] = {}

    def dress(self, answer: Answer) -> Answer:
        """Return an answer with the fields; a second time changes nothing."""
        own = answer.fields
        known = self._known.get(id(own))
        fields = self._dressed(own) if known is None else known[1]
        if fields is own:
            return answer
        return Answer(
            answer.status, fields, answer.body, answer.length, answer.chunked, answer.close
        )

    def _dressed(self, own: tuple[Line, ...]) -> tuple[Line, ...]:
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}
        fields = self._made_of(own)
        self._known[id(own)] = own, fields
        return fields

    def _made_of(self, own: tuple[Line, ...]) -> tuple[Line, ...]:
        names = {str(name).lower() for name, _ in own}
        added = [line for line in self.lines if line[0].lower() not in names]
        replaced = {name.lower() for name, _ in self._always}
        if self._cors and _ALLOW_ORIGIN not in names:
            added += self._cors
            # Whom we let read, we let with the credentials that the settings say.
            replaced |= {_ALLOW_CREDENTIALS} | {name.lower() for name, _ in self._cors}
        added += self._always
        kept = _without(own, replaced & names)
        if self._vary and not (self._when_kept and names.isdisjoint(_KEPT)):
            kept = add_vary(kept, self._vary)
        return (*kept, *added) if added else kept


def _without(fields: tuple[Line, ...], names: Iterable[str]) -> tuple[Line, ...]:
    if not names:
        return fields
    return tuple(line for line in fields if str(line[0]).lower() not in names)


def add_vary(fields: tuple[Line, ...], names: Iterable[str]) -> tuple[Line, ...]:
    """Return fields whose Vary names some more fields of the request (RFC 9110 12.5.5)."""
    own = [str(value) for name, value in fields if str(name).lower() == "vary"]
    known = list_items(", ".join(own))
    missing = [name for name in names if name.lower() not in known]
    if not missing or "*" in known:
        return fields
    return (*_without(fields, {"vary"} if own else ()), ("Vary", ", ".join((*own, *missing))))
