"""Frames of a WebSocket: how a header is read and written, masks, close codes."""

from __future__ import annotations

import random

import pytest

from hwebserver.protocol.frames import (
    FIRST_BYTES,
    FIRST_BYTES_DEFLATE,
    CloseCode,
    Opcode,
    WebSocketFailure,
    encode_frame,
    is_close_code,
    read_header,
    unmask,
)

MASK = b"\x01\x02\x03\x04"


def header(data, position=0, first_bytes=FIRST_BYTES):
    return read_header(bytes(data), position, first_bytes)


def refused(data, first_bytes=FIRST_BYTES):
    """Return the code that a header is refused with."""
    with pytest.raises(WebSocketFailure) as caught:
        header(data, first_bytes=first_bytes)
    assert len(caught.value.reason.encode()) <= 123  # so that it fits in a close frame
    return caught.value.code


def test_the_length_of_a_frame_is_one_byte_or_three_or_nine():
    assert header([0x81, 0x80]) == (0x81, 0, 6)
    assert header([0x81, 0x80 | 125]) == (0x81, 125, 6)
    assert header([0x82, 0xFE, 0, 126]) == (0x82, 126, 8)
    assert header([0x82, 0xFE, 0xFF, 0xFF]) == (0x82, 65535, 8)
    assert header([0x02, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]) == (0x02, 65536, 14)
    assert header([0x02, 0xFF, 0x7F] + [0xFF] * 7) == (0x02, 2**63 - 1, 14)


def test_a_header_is_read_where_it_stands():
    assert header(b"abc\x89\x83" + MASK, position=3) == (0x89, 3, 9)


@pytest.mark.parametrize(
    "data", [[], [0x81], [0x81, 0xFE], [0x81, 0xFE, 0], [0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0]]
)
def test_a_header_is_not_there_before_its_length_is(data):
    assert header(data) is None


def test_a_first_byte_is_fin_and_an_opcode_and_nothing_else():
    good = {0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A}
    for first in range(256):
        if first in good:
            assert header([first, 0x80]) == (first, 0, 6)
        else:
            assert refused([first, 0x80]) == 1002


def test_compression_adds_rsv1_on_the_first_frame_of_a_message_only():
    good = {0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x41, 0x42, 0xC1, 0xC2}
    for first in range(256):
        if first in good:
            assert header([first, 0x80], first_bytes=FIRST_BYTES_DEFLATE) == (first, 0, 6)
        else:
            assert refused([first, 0x80], first_bytes=FIRST_BYTES_DEFLATE) == 1002


@pytest.mark.parametrize(
    ("first", "fault"),
    [
        (0x83, "opcode 3"),
        (0x0F, "opcode 15"),
        (0xBB, "opcode 11"),
        (0xC1, "reserved bit"),
        (0x90, "reserved bit"),
        (0x19, "reserved bit"),
        (0x09, "fragmented"),
    ],
)
def test_the_reason_says_what_is_wrong_with_a_first_byte(first, fault):
    with pytest.raises(WebSocketFailure, match=fault):
        header([first, 0x80])


@pytest.mark.parametrize("second", [0, 5, 125, 126, 127])
def test_a_frame_of_a_client_is_masked(second):
    assert refused([0x81, second]) == 1002


@pytest.mark.parametrize("opcode", [Opcode.CLOSE, Opcode.PING, Opcode.PONG])
def test_a_control_frame_has_at_most_125_bytes(opcode):
    assert header([0x80 | opcode, 0x80 | 125]) == (0x80 | opcode, 125, 6)
    assert refused([0x80 | opcode, 0xFE]) == 1002
    assert refused([0x80 | opcode, 0xFF]) == 1002


@pytest.mark.parametrize(
    "data",
    [
        [0xFE, 0, 0],
        [0xFE, 0, 125],
        [0xFF, 0, 0, 0, 0, 0, 0, 0, 0],
        [0xFF, 0, 0, 0, 0, 0, 0, 0, 126],
        [0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
    ],
)
def test_a_length_is_written_in_the_shortest_way(data):
    assert refused([0x81, *data]) == 1002


def test_the_highest_bit_of_a_length_is_not_used():
    assert refused([0x82, 0xFF, 0x80] + [0] * 7) == 1002
    assert refused([0x82, 0xFF] + [0xFF] * 8) == 1002


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_is_written_with_the_shortest_length_and_no_mask(length, head):
    assert encode_frame(Opcode.BINARY, b"x" * length) == head + b"x" * length


def test_the_bits_of_a_frame_say_what_its_message_is():
    assert encode_frame(Opcode.TEXT, b"", fin=False) == b"\x01\x00"
    assert encode_frame(Opcode.BINARY, b"", fin=False) == b"\x02\x00"
    assert encode_frame(Opcode.CONTINUATION, b"") == b"\x80\x00"
    assert encode_frame(Opcode.TEXT, b"", rsv1=True) == b"\xc1\x00"
    assert encode_frame(Opcode.PONG, b"a") == b"\x8a\x01a"


def test_a_control_frame_that_nobody_may_send_is_not_written():
    assert len(encode_frame(Opcode.PING, b"x" * 125)) == 127
    with pytest.raises(ValueError, match="125"):
        encode_frame(Opcode.PING, b"x" * 126)
    with pytest.raises(ValueError, match="one frame"):
        encode_frame(Opcode.CLOSE, b"", fin=False)


@pytest.mark.parametrize("size", [*range(10), 125, 1023, 1024, 1025, 1026, 1027, 1028, 5001])
def test_unmasking_is_xor_with_the_mask_over_and_over(size):
    data = random.Random(size).getrandbits(8 * size + 1).to_bytes(size + 1, "little")[:size]
    for mask in (MASK, b"\0\0\0\0", b"\xff\x00\x80\x7f"):
        plain = unmask(data, mask)
        assert plain == bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        assert isinstance(plain, bytes)
        assert unmask(plain, mask) == data


def test_close_codes_are_those_that_can_go_over_the_wire():
    good = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(-1, 70000) if is_close_code(code)} == good


def test_the_close_codes_with_names_have_the_numbers_of_the_rfc():
    assert list(CloseCode) == [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1013]
