"""JSON in and out."""

from __future__ import annotations

import json
import sys

import pytest

from hwebserver import UnsendableError
from hwebserver.web.jsontext import parse_json, write_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"null", None), (b"[1, 2.5, true, \"x\"]", [1, 2.5, True, "x"]), (b"{}", {}),
        ('"\u00fc"'.encode(), "\u00fc"), (b'"\\u00fc"', "\u00fc"), (b" [ ] \n", []),
        ('["\u00fc"]'.encode("utf-16"), ["\u00fc"]), (b"\xef\xbb\xbf[1]", [1]),
        (b'{"a": 1, "a": 2}', {"a": 2}), (b"1e400", float("inf")), (b"-0", 0),
    ],
)  # fmt: skip
def test_json_is_read(text, value):
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"{", b"[1,]", b"{'a': 1}", b"nul", b"[1] x", b"\xff", b'"\x01"', b"+1", b"01",
        b"NaN", b"[Infinity]", b'{"a": -Infinity}',
    ],
)  # fmt: skip
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(text)


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"a":' * 200_000, b"[{}," * 100_000])
def test_json_that_is_nested_too_deeply_is_a_value_error(text):
    with pytest.raises(ValueError, match="nested"):
        parse_json(text)
    assert parse_json(b"[[[1]]]") == [[[1]]]


def test_numbers_have_a_most_of_digits():
    assert parse_json(b"9" * 4300) == 10**4300 - 1
    for text in (b"9" * 4301, b"[-" + b"9" * 5000 + b"]", b'{"a": ' + b"1" * 1_000_000 + b"}"):
        with pytest.raises(ValueError, match=r"\d"):
            parse_json(text)


def test_a_long_text_of_short_numbers_is_read():
    assert parse_json(b"[" + b"1," * 5000 + b"1]") == [1] * 5001


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "\u00fc\ud800\0", [], (1, 2), {"a": {"b": [None]}}, 10**4000, 1e308],
)
def test_data_is_written_so_that_it_reads_the_same(value):
    text = write_json(value)
    assert text.isascii()
    assert json.loads(text) == (list(value) if isinstance(value, tuple) else value)


def test_keys_that_are_no_text_become_text():
    assert json.loads(write_json({2: "a", None: "b", 1.5: "c", False: "d"})) == {
        "2": "a", "null": "b", "1.5": "c", "false": "d",
    }  # fmt: skip


class Own:
    pass


FAULTS = [
    (Own(), "result is of type Own"),
    ([0, Own()], "result[1] is of type Own"),
    ({"a": {"b": [Own()]}}, "result['a']['b'][0] is of type Own"),
    ({1: (Own(),)}, "result[1][0] is of type Own"),
    ({"x": {1}}, "result['x'] is of type set"),
    (b"x", "result is of type bytes"),
    ({"a": {(1, 2): 1}}, "result['a'] has a key of type tuple"),
    (float("nan"), "result is the float nan"),
    ([float("inf")], "result[0] is the float inf"),
    ({"a": float("-inf")}, "result['a'] is the float -inf"),
]


@pytest.mark.parametrize(("value", "message"), FAULTS)
def test_what_json_cannot_hold_is_named_with_its_place(value, message):
    with pytest.raises(UnsendableError) as caught:
        write_json(value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"n": {float("nan"): 1}}, ("nan", "result['n']")),
        ([10**5000], ("int", "result[0]")),
    ],
)
def test_odd_faults_are_named_with_their_place_too(value, words):
    with pytest.raises(UnsendableError) as caught:
        write_json(value)
    for word in words:
        assert word in str(caught.value)


def test_the_message_for_a_large_number_is_short():
    with pytest.raises(UnsendableError) as caught:
        write_json({"n": 10**5000})
    assert len(str(caught.value)) < 300


def test_what_contains_itself_is_named():
    ring: list = [1]
    ring.append({"ring": ring})
    with pytest.raises(UnsendableError, match=r"contains itself"):
        write_json(ring)


def test_the_same_object_twice_is_no_ring():
    shared = [1]
    assert json.loads(write_json([shared, shared, {"a": shared}])) == [[1], [1], {"a": [1]}]
    with pytest.raises(UnsendableError, match="Own"):
        write_json([shared, shared, Own()])


def test_what_is_nested_too_deeply_is_an_error_and_no_recursion_error():
    deep: list = []
    for _ in range(sys.getrecursionlimit() * 100):
        deep = [deep]
    with pytest.raises(UnsendableError, match="nested"):
        write_json(deep)


def test_a_default_makes_json_of_what_is_none():
    assert write_json({"a": {2}}, default=sorted) == write_json({"a": [2]})


@pytest.mark.parametrize(("value", "message"), [one for one in FAULTS if one[0] != b"x"])
def test_what_a_default_cannot_make_is_named_with_its_place_too(value, message):
    def default(item):
        if isinstance(item, bytes):
            return item.hex()
        raise TypeError("no")

    with pytest.raises(UnsendableError) as caught:
        write_json([b"x", value], default=default)
    assert message.replace("result", "result[1]", 1) in str(caught.value)


def test_an_unsendable_error_is_a_type_error_for_old_programs():
    with pytest.raises(TypeError):
        write_json({1, 2})
