"""A WebSocket behind its handshake: messages, faults, limits and the end, however they are cut."""

from __future__ import annotations

import itertools
import random
import tracemalloc
import zlib
from functools import partial

import pytest

from hwebserver.protocol.deflate import DeflateParams
from hwebserver.protocol.frames import Opcode, is_close_code, unmask
from hwebserver.protocol.websocket import (
    CloseReceived,
    Ping,
    Pong,
    ProtocolFailure,
    State,
    WebSocketLimits,
    WebSocketProtocol,
)

TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG
MASK = b"\x37\xfa\x21\x3d"
DEFLATE = DeflateParams()


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK):
    """Return a frame as a client sends it."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    return bytes([first]) + length_field(len(payload)) + mask + unmask(payload, mask)


def length_field(length):
    """Return the length of a masked frame in the shortest way."""
    if length < 126:
        return bytes([0x80 | length])
    if length < 65536:
        return b"\xfe" + length.to_bytes(2, "big")
    return b"\xff" + length.to_bytes(8, "big")


def pack(data):
    """Compress a message on its own."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def websocket(deflate=None, **limits):
    return WebSocketProtocol(WebSocketLimits(**limits), deflate)


def received(*pieces, deflate=None, **limits):
    """Return the events of what comes in pieces; a failure as the code alone."""
    protocol = websocket(deflate, **limits)
    events = [event for piece in pieces for event in protocol.receive(piece)]
    return [event.code if isinstance(event, ProtocolFailure) else event for event in events]


def one_by_one(data):
    return [data[index : index + 1] for index in range(len(data))]


text, binary, ping, pong, close = (
    partial(frame, code) for code in (TEXT, BINARY, PING, PONG, CLOSE)
)
more = partial(frame, CONTINUATION)


def parts(*pieces, opcode=TEXT):
    """Return a message in one frame for each piece."""
    last = len(pieces) - 1
    return b"".join(
        frame(CONTINUATION if index else opcode, piece, fin=index == last)
        for index, piece in enumerate(pieces)
    )


#: Name: what the client sends, and what comes of it. A number is the code of a failure.
MATRIX = {
    "text": (text(b"hello"), ["hello"]),
    "text not in ascii": (text("ä€😀".encode()), ["ä€😀"]),
    "binary": (binary(b"\0\xff"), [b"\0\xff"]),
    "empty": (text() + binary(), ["", b""]),
    "several": (text(b"a") + binary(b"b") + ping(b"c"), ["a", b"b", Ping(b"c")]),
    "126 bytes": (text(b"x" * 126), ["x" * 126]),
    "65536 bytes": (binary(b"x" * 65536), [b"x" * 65536]),
    "fragments": (parts(b"h", b"", b"ello"), ["hello"]),
    "binary fragments": (parts(b"h", b"ello", opcode=BINARY), [b"hello"]),
    "empty fragments": (parts(b"", b"", b""), [""]),
    "a character over two fragments": (parts(b"\xe2", b"\x82", b"\xac"), ["€"]),
    "ping between fragments": (
        text(b"he", fin=False) + ping(b"1") + more(b"llo"),
        [Ping(b"1"), "hello"],
    ),
    "ping": (ping(b"x" * 125) + ping(), [Ping(b"x" * 125), Ping(b"")]),
    "pong": (pong(b"late"), [Pong(b"late")]),
    "close": (close(b"\x03\xe8bye"), [CloseReceived(1000, "bye")]),
    "close without a code": (close(), [CloseReceived(1005, "")]),
    "close between fragments": (
        text(b"a", fin=False) + close(b"\x03\xe9"),
        [CloseReceived(1001, "")],
    ),
    "behind a close": (close(b"\x03\xe8") + text(b"late"), [CloseReceived(1000, "")]),
    "mask of zeros": (text(b"hello", mask=bytes(4)), ["hello"]),
    # Faults: what is complete before them is reported.
    "unmasked": (text(b"a") + b"\x81\x05hello", ["a", 1002]),
    "rsv1 without extension": (text(b"hello", rsv=4), [1002]),
    "rsv2": (text(b"hello", rsv=2), [1002]),
    "rsv3": (text(b"hello", rsv=1), [1002]),
    "rsv on a ping": (ping(rsv=4), [1002]),
    "opcode 3": (frame(3, b"hello"), [1002]),
    "opcode 11": (frame(11, b"hello"), [1002]),
    "ping over 125": (ping(b"x" * 126), [1002]),
    "ping in fragments": (ping(b"a", fin=False) + more(b"b"), [1002]),
    "close in fragments": (close(b"\x03\xe8", fin=False), [1002]),
    "continuation first": (more(b"hello"), [1002]),
    "continuation behind a message": (parts(b"a", b"b") + more(b"c"), ["ab", 1002]),
    "text in fragments": (text(b"a", fin=False) + text(b"b"), [1002]),
    "binary in fragments": (text(b"a", fin=False) + binary(b"b", fin=False), [1002]),
    "bad utf-8": (text(b"hell\xff"), [1007]),
    "bad utf-8 in a fragment": (text(b"a", fin=False) + more(b"\xff", fin=False), [1007]),
    "surrogate (cesu-8)": (text(b"\xed\xa0\xbd\xed\xb8\x80"), [1007]),
    "overlong": (text(b"\xc0\xaf"), [1007]),
    "over U+10FFFF": (text(b"\xf4\x90\x80\x80"), [1007]),
    "half a character at the end": (text(b"\xe2\x82"), [1007]),
    "half a character at the end of fragments": (parts(b"\xe2", b"\x82"), [1007]),
    "bad utf-8 is fine in binary": (binary(b"\xff"), [b"\xff"]),
    "close of one byte": (close(b"\x03"), [1002]),
    "close 999": (close(b"\x03\xe7"), [1002]),
    "close 1005": (close(b"\x03\xed"), [1002]),
    "close with bad utf-8": (close(b"\x03\xe8\xff"), [1007]),
    "close with half a character": (close(b"\x03\xe8\xe2\x82"), [1007]),
    "length 2^63": (b"\x82\xff\x80" + bytes(7), [1002]),
    "length 2^40": (b"\x82\xff\0\0\1\0\0\0\0\0", [1009]),
    "non-minimal length": (b"\x81\xfe\0\x05" + MASK + unmask(b"hello", MASK), [1002]),
    "32 MB": (b"\x82" + length_field(32 << 20), [1009]),
    "two faults": (text(b"\xff") + text(b"\xff"), [1007]),
}


@pytest.mark.parametrize(("data", "events"), MATRIX.values(), ids=MATRIX)
def test_each_row_of_the_matrix(data, events):
    found = received(data)
    assert found == events
    # A Ping equals a Pong with the same payload, being a tuple.
    assert list(map(type, found)) == list(map(type, events))


@pytest.mark.parametrize(("data", "events"), MATRIX.values(), ids=MATRIX)
def test_each_row_is_the_same_wherever_it_is_cut(data, events):
    cuts = range(len(data)) if len(data) < 300 else [1, 5, 9, 10, 13, 14, 15, len(data) - 1]
    for cut in cuts:
        assert received(data[:cut], data[cut:]) == events
    if len(data) < 300:
        assert received(*one_by_one(data)) == events


def test_messages_are_plain_text_and_plain_bytes():
    for pieces in ([text(b"a") + binary(b"b")], one_by_one(parts(b"a") + binary(b"b"))):
        first, second = received(*pieces)
        assert (type(first), type(second)) == (str, bytes)


def test_the_limits_are_16_mib_and_65536_fragments():
    assert WebSocketLimits() == (16 << 20, 65536)


def test_nothing_is_no_event():
    assert received(b"", b"") == []


def test_a_large_message_in_pieces_of_any_size_is_put_together():
    data = random.Random(1).getrandbits(8 * 300_000).to_bytes(300_000, "little")
    stream = binary(data) + ping(b"next")
    for size in (1021, 4096, 65535, 1 << 20):
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert received(*pieces) == [data, Ping(b"next")]


# --- at which byte a fault shows ---


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x83\x80", 1002),  # a reserved opcode
        (b"\x81\x7f", 1002),  # no mask
        (b"\x89\xfe", 1002),  # a long ping
        (b"\x80\x81", 1002),  # a continuation of nothing
        (b"\x82\xff\0\0\0\0\1\0\0\1", 1009),  # one byte over the limit of 16 MiB
        (b"\x81\xfe\0\x7d", 1002),  # a length that needs fewer bytes
    ],
)
def test_a_header_is_refused_before_its_mask_and_payload_have_come(data, code):
    assert received(data) == [code]
    assert received(data[:-1]) == []


def test_a_header_is_refused_in_the_middle_of_a_message_too():
    start = text(b"a", fin=False)
    assert received(start, b"\x81\x80") == [1002]
    assert received(start, b"\x80", b"\xff\0\0\0\0\1\0\0\0") == [1009]


def leads_to_utf8(data):
    """Say whether some valid UTF-8 begins with these bytes: the table of RFC 3629 4."""
    second = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}
    left, low, high = 0, 0x80, 0xBF
    for byte in data:
        if left:
            if not low <= byte <= high:
                return False
            left, low, high = left - 1, 0x80, 0xBF
        elif byte > 0x7F:
            if not 0xC2 <= byte <= 0xF4:
                return False
            left = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
            low, high = second.get(byte, (0x80, 0xBF))
    return True


def first_bad_byte(data):
    return next((at for at in range(len(data)) if not leads_to_utf8(data[: at + 1])), None)


def test_bad_utf8_is_refused_at_the_first_byte_that_makes_it_so():
    edges = bytes.fromhex("41 7f 80 8f 90 9f a0 bf c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff")
    inner = bytes.fromhex("41 80 8f 90 9f a0 bf c2")
    cases = [bytes(case) for case in itertools.product(edges, repeat=2)]
    cases += [bytes(case) for case in itertools.product(b"\xe0\xe1\xed\xef", inner, inner)]
    cases += [bytes(case) for case in itertools.product(b"\xf0\xf1\xf4", inner, inner, inner)]
    for case in cases:
        # A frame that never ends, byte by byte.
        protocol = websocket()
        protocol.receive(b"\x01\xff\0\0\0\0\0\1\0\0" + bytes(4))
        events = [bool(protocol.receive(bytes([byte]))) for byte in case]
        bad = first_bad_byte(case)
        assert events == [at == bad for at in range(len(case))], case.hex()


def test_bad_utf8_is_refused_at_its_byte_in_fragments_and_under_compression():
    assert received(text(b"\xe2\x82", fin=False), more(b"\x41", fin=False)) == [1007]
    packed = pack(b"hello \xed\xa0 and on" * 10)
    stream = text(packed, rsv=4, fin=False)
    assert received(stream, deflate=DEFLATE) == [1007]
    assert received(text(packed, rsv=4)[:-1], deflate=DEFLATE) == [1007]


# --- limits ---


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_may_be_as_long_as_the_limit(opcode):
    for limit in (7, 200, 70000):
        data = b"x" * limit
        whole = [data.decode() if opcode == TEXT else data]
        assert received(frame(opcode, data), message=limit) == whole
        assert received(frame(opcode, data[1:]), message=limit) == [whole[0][1:]]
        assert received(parts(data[:3], data[3:], b"", opcode=opcode), message=limit) == whole
        over = frame(opcode, data + b"x")
        assert received(over[: over.index(MASK)], message=limit) == [1009]
        assert received(parts(data, b"x", opcode=opcode), message=limit) == [1009]


def test_a_fragment_over_the_limit_is_refused_at_its_header():
    assert received(parts(b"1234567", b"8"), message=7) == [1009]
    start = text(b"1234567", fin=False)
    assert received(start, more(b"")[:2], message=7) == []
    assert received(start, more(b"8")[:2], message=7) == [1009]


def test_the_limit_is_for_each_message():
    assert received(parts(b"1234", b"567") * 3 + text(b"7654321"), message=7) == [
        *["1234567"] * 3,
        "7654321",
    ]


def test_a_message_may_have_as_many_fragments_as_the_limit():
    assert received(parts(*[b"a"] * 4), fragments=4) == ["aaaa"]
    assert received(parts(*[b"a"] * 5), fragments=4) == ["aaaaa"]  # the first continues nothing
    assert received(parts(*[b"a"] * 6), fragments=4) == [1009]
    assert received(parts(*[b"a"] * 5) * 2 + text(b"b"), fragments=4) == ["aaaaa", "aaaaa", "b"]
    assert received(text(b"a"), fragments=0) == ["a"]


def test_a_fragment_too_many_is_refused_at_its_header():
    start = parts(*[b"a"] * 9)[:-7]
    assert received(start, b"\x80", fragments=7) == []
    assert received(start, b"\x80\x80", fragments=7) == [1009]


def test_pings_are_not_fragments():
    stream = text(b"a", fin=False) + ping() * 9 + more(b"b")
    assert received(stream, fragments=1) == [*[Ping(b"")] * 9, "ab"]


def test_endless_empty_fragments_are_refused():
    flood = text(b"", fin=False) + more(b"", fin=False) * 66_000
    assert received(flood) == [1009]


def test_two_megabytes_are_no_trouble():
    assert received(binary(bytes(2 << 20))) == [bytes(2 << 20)]


def test_a_frame_that_has_not_come_costs_no_memory():
    protocol = websocket()
    tracemalloc.start()
    try:
        protocol.receive(b"\x82\xff\0\0\0\0\1\0\0\0" + MASK)
        for _ in range(10_000):
            protocol.receive(b"ab")
        # 20,000 bytes have come; as objects of two bytes they would take twenty times as much.
        assert tracemalloc.get_traced_memory()[0] < 40_000
    finally:
        tracemalloc.stop()


def test_a_long_frame_in_single_bytes_takes_linear_time():
    data = bytes(100_000)
    assert received(*one_by_one(binary(data))) == [data]


def test_a_flood_of_pings_is_all_reported():
    assert received(ping(b"x") * 5000) == [Ping(b"x")] * 5000


# --- close ---


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 1100, 2000, 2999,
             3000, 3999, 4000, 4999, 5000, 65535]
)  # fmt: skip
def test_a_close_frame_has_a_code_that_can_be_sent(code):
    expected = CloseReceived(code, "why") if is_close_code(code) else 1002
    assert received(close(code.to_bytes(2, "big") + b"why")) == [expected]


def test_a_reason_may_fill_the_frame():
    reason = "ä" * 61 + "!"
    assert received(close(b"\x03\xe8" + reason.encode())) == [CloseReceived(1000, reason)]


def test_nothing_is_read_behind_a_close_frame():
    protocol = websocket()
    assert protocol.receive(close(b"\x03\xe8") + b"\xff\xff") == [CloseReceived(1000, "")]
    assert protocol.receive(text(b"late")) == []
    assert protocol.receive(b"\xff\xff") == []


def test_nothing_is_read_behind_a_failure():
    protocol = websocket()
    (failure,) = protocol.receive(b"\xff\xff")
    assert failure[0] == 1002
    assert protocol.receive(text(b"late")) == []
    assert protocol.receive(close(b"\x03\xe8")) == []


def test_the_reason_of_a_failure_fits_in_a_close_frame():
    for data, _ in MATRIX.values():
        for event in websocket().receive(data):
            if isinstance(event, ProtocolFailure):
                reply = websocket().close(*event)
                assert reply[2:] == event.code.to_bytes(2, "big") + event.reason.encode()
                assert type(event.code) is int


def test_the_client_may_close_first():
    protocol = websocket()
    assert protocol.state is State.OPEN
    (event,) = protocol.receive(close(b"\x03\xe9away"))
    assert protocol.state is State.CLOSING
    assert protocol.close(event.code) == b"\x88\x02\x03\xe9"
    assert protocol.state is State.CLOSED


def test_a_close_frame_without_a_code_is_answered_with_one_like_it():
    protocol = websocket()
    (event,) = protocol.receive(close())
    assert protocol.close(event.code) == b"\x88\x00"


def test_the_server_may_close_first():
    protocol = websocket()
    assert protocol.close(1001, "bye") == b"\x88\x05\x03\xe9bye"
    assert protocol.state is State.CLOSING
    assert protocol.receive(close(b"\x03\xe9")) == [CloseReceived(1001, "")]
    assert protocol.state is State.CLOSED


def test_a_failure_is_answered_with_a_close_frame():
    protocol = websocket()
    protocol.receive(b"\xff\xff")
    assert protocol.state is State.CLOSING
    assert protocol.close(1002) == b"\x88\x02\x03\xea"
    assert protocol.state is State.CLOSED


def test_messages_behind_our_close_frame_are_passed_over():
    late = (
        parts(b"a", b"b") + ping() + pong() + binary(bytes(70_000)) + more(b"\xff") + text(b"\xff")
    )
    stream = late + close(b"\x03\xe8")
    for pieces in ([stream], [stream[:9], stream[9:]], one_by_one(stream)):
        protocol = websocket(message=100)
        protocol.close()
        assert [event for piece in pieces for event in protocol.receive(piece)] == [
            CloseReceived(1000, "")
        ]


@pytest.mark.parametrize("cut", range(24))
def test_our_close_frame_may_come_in_the_middle_of_a_message(cut):
    stream = parts(b"abc", b"defg") + ping() + close(b"\x03\xe8")
    protocol = websocket()
    protocol.receive(stream[:cut])
    protocol.close()
    assert protocol.receive(stream[cut:]) == [CloseReceived(1000, "")]


def test_frames_behind_our_close_frame_are_still_frames():
    protocol = websocket()
    protocol.close()
    assert protocol.receive(b"\x81\x00")[0][0] == 1002


def test_a_message_is_dropped_when_we_close():
    tracemalloc.start()
    try:
        protocol = websocket()
        protocol.receive(binary(bytes(100_000))[:-2])
        protocol.close()
        protocol.receive(b"x")
        assert tracemalloc.get_traced_memory()[0] < 20_000
        protocol.receive(b"x" + binary(bytes(1 << 20)))
        assert tracemalloc.get_traced_memory()[0] < 20_000
        assert protocol.receive(close()) == [CloseReceived(1005, "")]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("end", [close(), b"\xff\xff"])
def test_a_message_that_the_end_cut_off_takes_no_memory(end):
    tracemalloc.start()
    try:
        protocol = websocket()
        protocol.receive(binary(bytes(100_000), fin=False))
        assert protocol.receive(end)
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


# --- sending ---


def test_messages_are_sent_in_one_frame():
    protocol = websocket()
    assert protocol.send_text("ä") == b"\x81\x02\xc3\xa4"
    assert protocol.send_binary(b"\0\1") == b"\x82\x02\0\1"
    assert protocol.send_text("") == b"\x81\x00"
    assert protocol.send_binary(b"x" * 126) == b"\x82\x7e\x00\x7e" + b"x" * 126
    assert protocol.ping() == b"\x89\x00"
    assert protocol.ping(b"a") == b"\x89\x01a"
    assert protocol.pong(b"a") == b"\x8a\x01a"


def test_what_cannot_be_sent_is_not_written():
    protocol = websocket()
    with pytest.raises(ValueError, match="surrogates"):
        protocol.send_text("\ud800")
    with pytest.raises(ValueError, match="125"):
        protocol.ping(b"x" * 126)
    with pytest.raises(ValueError, match="125"):
        protocol.pong(b"x" * 126)
    with pytest.raises(ValueError, match="surrogates"):
        protocol.close(1000, "\ud800")
    assert protocol.state is State.OPEN


def test_nothing_is_sent_behind_a_close_frame():
    protocol = websocket()
    protocol.close()
    with pytest.raises(ValueError, match="behind a close frame"):
        protocol.send_text("late")
    with pytest.raises(ValueError, match="behind a close frame"):
        protocol.send_binary(b"late")
    assert (protocol.ping(), protocol.pong(b"late"), protocol.close()) == (b"", b"", b"")


def test_messages_can_be_sent_behind_the_close_frame_of_the_client():
    protocol = websocket()
    protocol.receive(close())
    assert protocol.send_text("last") == b"\x81\x04last"


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 70000])
def test_a_code_that_cannot_be_sent_is_refused(code):
    protocol = websocket()
    with pytest.raises(ValueError, match="code"):
        protocol.close(code)
    assert protocol.state is State.OPEN


def test_a_long_reason_is_cut_at_a_character():
    assert websocket().close(1000, "x" * 123) == b"\x88\x7d\x03\xe8" + b"x" * 123
    assert websocket().close(1000, "x" * 124) == b"\x88\x7d\x03\xe8" + b"x" * 123
    assert websocket().close(1000, "€" * 50) == b"\x88\x7d\x03\xe8" + "€".encode() * 41
    assert websocket().close(1000, "xx" + "€" * 50) == b"\x88\x7c\x03\xe8xx" + "€".encode() * 40


def test_a_reason_cannot_leave_its_frame():
    assert websocket().close(1000, "a\r\n\0b") == b"\x88\x07\x03\xe8a\r\n\0b"


# --- compression ---


def test_compressed_messages_are_unpacked():
    stream = text(pack(b"hello"), rsv=4) + binary(pack(b"\xff"), rsv=4) + text(b"plain")
    for pieces in ([stream], one_by_one(stream)):
        assert received(*pieces, deflate=DEFLATE) == ["hello", b"\xff", "plain"]


def test_a_compressed_message_may_come_in_fragments_with_a_ping_between():
    packed = pack(b"hello hello")
    stream = text(packed[:3], fin=False, rsv=4) + ping() + more(packed[3:])
    for cut in range(len(stream)):
        assert received(stream[:cut], stream[cut:], deflate=DEFLATE) == [Ping(b""), "hello hello"]


@pytest.mark.parametrize(
    "data",
    [
        text(b"a", fin=False) + more(b"b", rsv=4),
        text(b"a", fin=False, rsv=4) + more(b"b", rsv=4),
        ping(pack(b"a"), rsv=4),
        close(pack(b"\x03\xe8"), rsv=4),
        text(b"a", rsv=2),
        text(b"a", rsv=6),
        frame(3, b"a", rsv=4),
    ],
)
def test_rsv1_stands_only_on_the_first_frame_of_a_message(data):
    assert received(data, deflate=DEFLATE) == [1002]


def test_compressed_garbage_is_refused():
    assert received(text(b"\xff\xff\xff\xff", rsv=4), deflate=DEFLATE) == [1007]
    assert received(text(pack(b"hello")[:-2], rsv=4), deflate=DEFLATE) == [1007]


@pytest.mark.parametrize("size", [1, 20, 5000, 70000])
def test_a_compressed_message_may_unpack_to_the_limit(size):
    for data in (bytes(size), random.Random(size).getrandbits(8 * size).to_bytes(size, "little")):
        packed = binary(pack(data), rsv=4)
        assert received(packed, deflate=DEFLATE, message=size) == [data]
        first, second = pack(data)[:2], pack(data)[2:]
        fragments = binary(first, fin=False, rsv=4) + more(second)
        assert received(fragments, deflate=DEFLATE, message=size) == [data]
        assert received(packed, deflate=DEFLATE, message=size - 1) == [1009]


def test_a_compressed_frame_that_cannot_be_within_the_limit_is_refused_at_its_header():
    allowed = 8000 + 1000 + 1024
    assert received(b"\xc2" + length_field(allowed), deflate=DEFLATE, message=8000) == []
    assert received(b"\xc2" + length_field(allowed + 1), deflate=DEFLATE, message=8000) == [1009]
    packed = pack(b"hello")
    start = binary(packed, fin=False, rsv=4)
    rest = b"\x80" + length_field(allowed - len(packed) + 1)
    assert received(start, rest, deflate=DEFLATE, message=8000) == [1009]


def test_a_bomb_of_200_megabytes_is_refused():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    assert received(binary(block * 200, rsv=4), deflate=DEFLATE) == [1009]


def test_what_is_sent_is_compressed_once_that_is_agreed_on():
    protocol = websocket(DEFLATE)
    client = zlib.decompressobj(-15)
    for message in ("hello", "", "hello hello"):
        data = protocol.send_text(message)
        assert data[0] == 0xC1
        assert client.decompress(data[2:] + b"\0\0\xff\xff") == message.encode()
    assert protocol.send_binary(b"")[0] == 0xC2
    assert protocol.ping(b"a") == b"\x89\x01a"
    assert protocol.close() == b"\x88\x02\x03\xe8"


# --- anything at all ---


def reference(data, limits):
    """Read a stream the slow way: each frame by the book, nothing kept between frames but lists."""
    events, opcode, pieces = [], None, []
    while len(data) >= 2:
        fin, rsv, code = data[0] >> 7, data[0] >> 4 & 7, data[0] & 15
        if rsv or code not in (0, 1, 2, 8, 9, 10) or (code > 7 and not fin) or not data[1] >> 7:
            return [*events, 1002]
        length, size = data[1] & 127, {126: 2, 127: 8}.get(data[1] & 127, 0)
        if code > 7 and size:
            return [*events, 1002]
        if len(data) < 2 + size:
            return events
        if size:
            length = int.from_bytes(data[2 : 2 + size], "big")
            if length < {2: 126, 8: 65536}[size] or length >= 1 << 63:
                return [*events, 1002]
        if code < 8:
            if (code == 0) != (opcode is not None):
                return [*events, 1002]
            if length + sum(map(len, pieces)) > limits.message or len(pieces) > limits.fragments:
                return [*events, 1009]
        data = data[2 + size :]
        mask, payload, data = data[:4], data[4 : 4 + length], data[4 + length :]
        if len(mask) < 4:
            return events
        whole = len(payload) == length
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        if code < 8:
            opcode = code or opcode
            pieces.append(payload)
            message = b"".join(pieces)
            if opcode == 1:
                if not leads_to_utf8(message):
                    return [*events, 1007]
                if whole and fin:
                    try:
                        message = message.decode()
                    except UnicodeDecodeError:
                        return [*events, 1007]
            if whole and fin:
                events.append(message)
                opcode, pieces = None, []
        elif whole and code > 8:
            events.append(Ping(payload) if code == 9 else Pong(payload))
        elif whole:
            if len(payload) == 1 or (
                payload and not is_close_code(int.from_bytes(payload[:2], "big"))
            ):
                return [*events, 1002]
            try:
                reason = payload[2:].decode()
            except UnicodeDecodeError:
                return [*events, 1007]
            return [*events, CloseReceived(int.from_bytes(payload[:2], "big") or 1005, reason)]
        if not whole:
            return events
    return events


def random_payload(chance, most):
    if chance.random() < 0.3:
        return bytes(chance.choices(b"a\xc3\xa4\xe2\x82\xac\xff", k=chance.randrange(4)))
    return ("aä€😀" * (1 + most // 10)).encode()[: chance.randrange(most)]


def random_stream(chance):
    """Return frames that are mostly valid in themselves and in their order."""
    stream, inside = b"", False
    for _ in range(chance.randrange(1, 12)):
        payload, roll = random_payload(chance, chance.choice([5, 60, 200])), chance.random()
        fin = chance.random() < 0.6
        mask = chance.getrandbits(32).to_bytes(4, "big")
        if roll < 0.75:
            code = CONTINUATION if inside else chance.choice([TEXT, BINARY])
            inside = not fin
            stream += frame(code, payload, fin, mask=mask)
        elif roll < 0.93:
            stream += frame(chance.choice([PING, PONG]), payload[:125], mask=mask)
        elif roll < 0.97:
            code = chance.choice([999, 1000, 1001, 1005, 3000, 4999, 5000])
            stream += frame(CLOSE, code.to_bytes(2, "big") + payload[:123], mask=mask)
        else:
            stream += frame(chance.choice([TEXT, CONTINUATION, CLOSE, 5]), payload, fin, mask=mask)
    if chance.random() < 0.3:
        at = chance.randrange(len(stream))
        stream = stream[:at] + bytes([chance.randrange(256)]) + stream[at + 1 :]
    return stream[: len(stream) if chance.random() < 0.7 else chance.randrange(len(stream))]


def random_pieces(chance, stream):
    cuts = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(6)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)])]


def test_any_stream_in_any_pieces_gives_what_a_simple_reader_finds():
    chance = random.Random(6455)
    kinds = set()
    for _ in range(1500):
        limits = WebSocketLimits(chance.choice([30, 250, 1 << 20]), chance.choice([1, 3, 99]))
        stream = random_stream(chance)
        events = reference(stream, limits)
        for pieces in ([stream], random_pieces(chance, stream)):
            found = received(*pieces, **limits._asdict())
            assert found == events, stream.hex()
            assert list(map(type, found)) == list(map(type, events))
        kinds.update(map(type, events))
        kinds.update(event for event in events if isinstance(event, int))
    # The streams are good enough to end in every way there is.
    assert kinds == {str, bytes, Ping, Pong, CloseReceived, int, 1002, 1007, 1009}


def test_compressed_messages_survive_any_fragments_and_pieces():
    chance = random.Random(7692)
    for _ in range(60):
        packer = zlib.compressobj(chance.choice([1, 6, 9]), zlib.DEFLATED, -15)
        stream, messages = b"", []
        for _ in range(chance.randrange(1, 6)):
            messages.append("".join(chance.choices("aä€😀 hello", k=chance.randrange(300))))
            data = packer.compress(messages[-1].encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
            pieces = random_pieces(chance, data[:-4])
            for index, piece in enumerate(pieces):
                code, rsv = (CONTINUATION, 0) if index else (TEXT, 4)
                stream += frame(code, piece, index == len(pieces) - 1, rsv)
        assert received(*random_pieces(chance, stream), deflate=DEFLATE) == messages
