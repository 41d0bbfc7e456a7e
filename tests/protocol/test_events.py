"""Server-sent events, read back by a reader that does what WHATWG HTML 9.2 says."""

from __future__ import annotations

import enum
import json
import random

import pytest

from hwebserver.protocol.events import HEARTBEAT, encode_event


class Reader:
    """Reads a whole stream by the rules of 9.2.6; written from them, not from the encoder.

    Collects the events as (type, data, last event ID), and what ``retry`` said last.
    """

    def __init__(self, stream):
        self.events = []
        self.retry = None
        self.last_id = ""
        self._data = self._type = self._id = ""
        text = stream.decode("utf-8")  # A stream of ours is valid UTF-8.
        for line in self._split(text.removeprefix("\ufeff")):
            self._line(line)

    @staticmethod
    def _split(text):
        """The lines that have an end: CR LF, LF or CR."""
        lines, line, position = [], "", 0
        while position < len(text):
            character = text[position]
            if character in "\r\n":
                lines.append(line)
                line = ""
                position += text[position : position + 2] == "\r\n"
            else:
                line += character
            position += 1
        return lines

    def _line(self, line):
        if not line:
            self._dispatch()
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            self._field(name, value.removeprefix(" "))

    def _field(self, name, value):
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry = int(value)

    def _dispatch(self):
        self.last_id = self._id
        if self._data:
            kind = self._type or "message"
            self.events.append((kind, self._data.removesuffix("\n"), self.last_id))
        self._data = self._type = ""


def read(*events):
    """Return what a page gets of some events."""
    return Reader(b"".join(map(encode_event, events)))


def data_of(event):
    """Return the data that a page gets of one event, which must be all that it gets."""
    ((kind, data, identifier),) = read(event).events
    assert (kind, identifier) == ("message", "")
    return data


# --- the bytes ---


@pytest.mark.parametrize(
    ("event", "block"),
    [
        ("hello", b"data: hello\n\n"),
        ("", b"data: \n\n"),
        ("a\nb", b"data: a\ndata: b\n\n"),
        ("a\r\nb\rc\nd", b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        ("a\n", b"data: a\ndata: \n\n"),
        ("\r\n\r\n", b"data: \ndata: \ndata: \n\n"),
        ("\n\r", b"data: \ndata: \ndata: \n\n"),
        ("\u00fc \u2028", "data: \u00fc \u2028\n\n".encode()),
        (b"bytes\xc3\xbc\r2", "data: bytes\u00fc\ndata: 2\n\n".encode()),
        (bytearray(b"x"), b"data: x\n\n"),
        (memoryview(b"a-b-")[::2], b"data: ab\n\n"),
        (7, b"data: 7\n\n"),
        (1.5, b"data: 1.5\n\n"),
        (True, b"data: true\n\n"),
        ([1, None, "a\nb"], b'data: [1, null, "a\\nb"]\n\n'),
        (("\u00fc",), 'data: ["\u00fc"]\n\n'.encode()),
        (None, b":\n\n"),
        ({"data": None}, b"data: null\n\n"),
        ({"data": {"data": 1}}, b'data: {"data": 1}\n\n'),
        ({"data": {}}, b"data: {}\n\n"),
        ({"data": "text"}, b"data: text\n\n"),
        ({"data": ""}, b"data: \n\n"),
        ({"data": b"1\n2"}, b"data: 1\ndata: 2\n\n"),
        ({"event": "tick", "data": 1}, b"event: tick\ndata: 1\n\n"),
        ({"event": "tick"}, b"event: tick\n\n"),
        ({"id": "7"}, b"id: 7\n\n"),
        ({"id": 7}, b"id: 7\n\n"),
        ({"id": ""}, b"id: \n\n"),
        ({"retry": 0}, b"retry: 0\n\n"),
        ({"retry": 1500}, b"retry: 1500\n\n"),
        ({"comment": "one"}, b": one\n\n"),
        ({"comment": "one\r\ntwo\rdata: no"}, b": one\n: two\n: data: no\n\n"),
        ({"comment": ""}, b": \n\n"),
    ],
)
def test_an_event_is_written_as_one_block(event, block):
    assert encode_event(event) == block


def test_the_fields_have_one_order_and_data_is_the_last():
    event = {"data": "d", "id": "i", "event": "e", "retry": 1, "comment": "c"}
    assert encode_event(event) == b": c\nretry: 1\nevent: e\nid: i\ndata: d\n\n"


def test_a_heartbeat_is_a_comment_that_no_page_sees():
    assert HEARTBEAT == b":\n\n"
    assert read(None, "x", None).events == [("message", "x", "")]


def test_a_text_that_is_an_enum_too_is_written_as_its_value():
    class Kind(str, enum.Enum):
        TICK = "tick"

    assert encode_event(Kind.TICK) == b"data: tick\n\n"
    assert encode_event({"event": Kind.TICK, "data": 1}) == b"event: tick\ndata: 1\n\n"


def test_a_lone_surrogate_does_not_end_the_stream():
    assert encode_event("a\ud800b") == b"data: a?b\n\n"
    assert encode_event(["\udfff"]) == b'data: ["?"]\n\n'
    assert encode_event({"event": "\ud800", "id": "\ud800"}) == b"event: ?\nid: ?\n\n"


def test_a_dict_is_left_as_it_was():
    event = {"data": [1], "id": "1"}
    encode_event(event)
    assert event == {"data": [1], "id": "1"}


# --- what is refused ---


@pytest.mark.parametrize("key", ["Data", "message", "", "retry ", 1, None])
def test_an_unknown_key_is_named_and_told_where_a_payload_goes(key):
    with pytest.raises(ValueError, match='under "data"') as caught:
        encode_event({"data": 1, key: 2})
    assert repr(key) in str(caught.value)


def test_an_empty_dict_is_no_event():
    with pytest.raises(ValueError, match='under "data"'):
        encode_event({})


@pytest.mark.parametrize("key", ["event", "id"])
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_end_cannot_smuggle_a_field_in(key, end):
    for text in (f"a{end}data: b", f"a{end}", f"{end}a"):
        with pytest.raises(ValueError, match=f"the {key} of an event"):
            encode_event({key: text, "data": 1})


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"id": "a\0b"}, "id .* NUL"),
        ({"retry": -1}, "retry .* negative"),
        (b"\xff", "not UTF-8"),
        ({"data": b"a\xc3"}, "not UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8"),
        (float("nan"), "JSON"),
        ({"data": [float("inf")]}, "JSON"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused(event, message):
    with pytest.raises(ValueError, match=message):
        encode_event(event)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"retry": True}, "retry .* bool"),
        ({"retry": 1.0}, "retry .* float"),
        ({"retry": "1"}, "retry .* str"),
        ({"retry": None}, "retry .* NoneType"),
        ({"event": b"tick"}, "event .* bytes"),
        ({"id": True}, "id .* bool"),
        ({"comment": None}, "comment .* NoneType"),
        (object(), "JSON"),
        ({"data": {1, 2}}, "JSON"),
        ([b"bytes"], "JSON"),
    ],
)
def test_a_value_of_another_type_is_refused(event, message):
    with pytest.raises(TypeError, match=message):
        encode_event(event)


def test_data_without_an_end_is_a_value_error():
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular"):
        encode_event(loop)
    deep = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        encode_event(deep)
    while deep:  # Taken apart here: older Pythons may overflow when they free it.
        deep = deep[0]


# --- read back ---


@pytest.mark.parametrize(
    "character", ["\v", "\f", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\0"]
)
def test_only_three_line_ends_split_the_data(character):
    text = f"a{character}b"
    assert encode_event(text).count(b"data:") == 1
    assert data_of(text) == text
    assert read({"event": text, "data": 1}).events[0][0] == text


@pytest.mark.parametrize("text", [" a", "  a", ":", ": a", "data: a", "\ufeff", "\t", "id: 1\n\nx"])
def test_what_looks_like_syntax_comes_back_as_text(text):
    assert data_of(text) == text


PIECES = ["\r", "\n", "\r\n", " ", ":", "data: ", "id: 9", "\0", "\v", "\x85", "\u2028", "\ufeff",
          "a", "\u00fc", "\u20ac", "\U0001f600"]  # fmt: skip


def random_text(source, pieces):
    return "".join(source.choices(pieces, k=source.randrange(12)))


def test_random_texts_come_back_with_their_line_ends_as_lf():
    source = random.Random(9_2_6)
    texts = [random_text(source, PIECES) for _ in range(3000)]
    got = read(*texts).events
    expected = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    assert got == [("message", text, "") for text in expected]
    assert any("\n\n" in text for text in expected)


def test_random_events_come_back_whole():
    source = random.Random(9_2_5)
    plain = [piece for piece in PIECES if not set(piece) & set("\r\n\0")]
    events = []
    for number in range(1000):
        event = {"data": [random_text(source, PIECES), number], "id": random_text(source, plain)}
        if source.random() < 0.5:
            event["event"] = random_text(source, plain)
        if source.random() < 0.5:
            event["comment"] = random_text(source, PIECES)
        event["retry"] = number
        events.append(event)
    reader = read(*events)
    assert reader.retry == 999
    assert [json.loads(data) for _, data, _ in reader.events] == [one["data"] for one in events]
    assert [kind for kind, _, _ in reader.events] == [
        one.get("event") or "message" for one in events
    ]
    assert [identifier for _, _, identifier in reader.events] == [one["id"] for one in events]


def test_an_id_and_a_retry_count_without_data():
    reader = read({"id": "7"}, {"retry": 20}, {"comment": "c"})
    assert (reader.events, reader.last_id, reader.retry) == ([], "7", 20)
    assert read({"id": "7"}, "x", {"id": ""}, "y").events == [
        ("message", "x", "7"),
        ("message", "y", ""),
    ]


def test_an_empty_text_is_an_event_all_the_same():
    assert data_of("") == ""


def test_many_lines_are_written_in_one_pass():
    count = 300_000
    block = encode_event({"data": "\r\n" * count, "comment": "\r" * count})
    assert block.count(b"\n") == 2 * count + 3
