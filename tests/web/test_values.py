"""Values as the debug page shows them."""

from __future__ import annotations

import collections
import contextvars
import threading
import weakref

import pytest
from support import wait_until

from hwebserver.web import values
from hwebserver.web.masking import Mask
from hwebserver.web.values import Value, fill, show

NOTHING = Mask([])


class Named(dict):
    """A dict that shows itself as one."""


class Raises:
    def __init__(self, error):
        self._error = error

    def __repr__(self):
        raise self._error


class Odd:
    def __repr__(self):
        return 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (5, "5"),
        (True, "True"),
        ("a'b", '"a\'b"'),
        (b"a\x00", "b'a\\x00'"),
        ((), "()"),
        ((1,), "(1,)"),
        ((1, "a"), "(1, 'a')"),
        ([[[[1]]]], "[[[[…]]]]"),
        ({1}, "{1}"),
        (frozenset(), "frozenset({})"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{'a': {'b': {'c': {…}}}}"),
        (Named(a=1), "Named({'a': 1})"),
        (collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (collections.deque([1, 2]), "deque([1, 2])"),
        ([1] * 100, "[1, 1, 1, 1, 1, 1, 1, 1, … (100 in all)]"),
        (Odd(), "<Odd: its repr raised TypeError>"),
        ([Odd()], "[<Odd: its repr raised TypeError>]"),
    ],
)
def test_values_are_shown_short(value, text):
    assert show(value, NOTHING) == text


def test_of_a_long_number_the_size_is_shown():
    assert show([1 << 100_000], NOTHING) == "[<int of 100001 bits>]"


@pytest.mark.parametrize(
    "error", [ValueError("x"), RecursionError(), MemoryError(), SystemExit(1), KeyboardInterrupt()]
)
def test_a_repr_that_raises_is_said_to(error):
    name = type(error).__name__
    assert show(Raises(error), NOTHING) == f"<Raises: its repr raised {name}>"


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**7,
        b"x" * 10**7,
        bytearray(10**7),
        ["x" * 10**6] * 1000,
        {str(number) * 1000: "y" * 10**6 for number in range(100)},
        collections.defaultdict(list, {1: "z" * 10**6}),
        type("Long", (), {"__repr__": lambda self: "x" * 10**6})(),
    ],
    ids=["text", "bytes", "bytearray", "list", "dict", "defaultdict", "object"],
)
def test_a_huge_value_is_cut(value):
    text = show(value, NOTHING)
    assert len(text) < 500
    assert "…" in text


def test_a_value_that_holds_itself_has_an_end():
    value: list[object] = []
    value.append(value)
    assert show(value, NOTHING) == "[[[[…]]]]"


@pytest.mark.parametrize(
    "value",
    [
        {"password": "hunter2"},
        {b"Authorization": b"hunter2"},
        [("authorization", "hunter2")],
        [["X-Api-Key", "hunter2"]],
        {"a": [{"secret": ["hunter2"]}]},
        "password=hunter2",
        '{"token": "hunter2"}',
    ],
)
def test_secrets_are_hidden_inside_of_values(value):
    assert "hunter2" not in show(value, NOTHING)
    assert "***" in show(value, NOTHING)


@pytest.mark.parametrize("before", [0, 390, 395, 399, 400, 401])
@pytest.mark.parametrize("make", [str, str.encode, lambda text: [text]])
def test_no_part_of_a_known_secret_is_left_where_a_value_is_cut(before, make):
    mask = Mask(["0123456789" * 4])
    shown = show(make("x" * before + "0123456789" * 4 + "y" * 1000), mask)
    assert "012" not in shown.partition("…")[0]


def filled(*found):
    waiting = collections.deque((Value(f"v{index}"), one) for index, one in enumerate(found))
    written = [value for value, _ in waiting]
    fill(waiting, NOTHING)
    assert not waiting
    return [value.text for value in written]


def test_all_values_are_written():
    assert filled(1, Raises(SystemExit()), "a") == [
        "1",
        "<Raises: its repr raised SystemExit>",
        "'a'",
    ]


def test_a_repr_that_hangs_ends_the_writing_and_nothing_else(monkeypatch):
    monkeypatch.setattr(values, "_PATIENCE", 0.05)
    go_on = threading.Event()

    class Hangs:
        def __repr__(self):
            go_on.wait()
            return "late"

    class Held:
        pass

    held = Held()
    gone = weakref.ref(held)
    try:
        assert filled(1, Hangs(), held) == ["1", None, None]
        del held
        assert gone() is None  # The thread that hangs holds nothing but what it hangs in.
    finally:
        go_on.set()
    wait_until(lambda: all(one.name != "hwebserver-values" for one in threading.enumerate()))


def test_where_no_thread_can_be_had_values_are_left_out(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert filled(1, 2) == [None, None]


def test_a_repr_finds_the_context_of_its_caller():
    current = contextvars.ContextVar("current", default="nothing")
    current.set("the request")

    class Proxy:
        def __repr__(self):
            return current.get()

    assert filled(Proxy()) == ["the request"]
