"""The chunked coding, without sockets: what is decoded, what is refused, and at which byte."""

from __future__ import annotations

import pytest

from hwebserver.errors import ProtocolError
from hwebserver.protocol.chunked import FORBIDDEN_TRAILERS, ChunkedBody
from hwebserver.protocol.http1 import Limits


def decode(data, **limits):
    """Return the decoded body, what is left behind it, and whether it is complete."""
    body = ChunkedBody(Limits(**limits))
    piece, rest = body.take(data)
    return piece, bytes(rest), body.complete


def refused(data, **limits):
    """Return the status that a body is refused with."""
    with pytest.raises(ProtocolError) as caught:
        decode(data, **limits)
    return caught.value.status


def accepted(data, **limits):
    return decode(data, **limits)[2]


# --- chunks ---


def test_chunks_are_put_together():
    assert decode(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") == (b"hello world", b"", True)


def test_what_is_behind_the_end_is_left():
    assert decode(b"1\r\nx\r\n0\r\n\r\nGET /") == (b"x", b"GET /", True)


def test_a_body_may_be_empty():
    assert decode(b"0\r\n\r\n") == (b"", b"", True)


def test_nothing_is_no_fault():
    assert decode(b"") == (b"", b"", False)


def test_nothing_is_taken_behind_the_end():
    body = ChunkedBody(Limits())
    body.take(b"0\r\n\r\n")
    assert body.take(b"1\r\nx\r\n") == (b"", b"1\r\nx\r\n")


def test_a_buffer_that_can_change_is_decoded_too():
    piece, rest = ChunkedBody(Limits()).take(bytearray(b"1\r\nx\r\n0\r\n\r\nrest"))
    assert (piece, bytes(rest)) == (b"x", b"rest")
    assert isinstance(piece, bytes)


def test_data_is_given_out_before_its_chunk_is_complete():
    body = ChunkedBody(Limits())
    assert body.take(b"5\r\nhe") == (b"he", b"")
    assert body.take(b"llo") == (b"llo", b"")
    assert body.take(b"\r\n0\r\n\r\n") == (b"", b"")
    assert body.complete


def test_a_line_that_is_not_complete_is_left():
    assert decode(b"5") == (b"", b"5", False)
    assert decode(b"5;a=b\r") == (b"", b"5;a=b\r", False)
    assert decode(b"1\r\nx\r") == (b"x", b"\r", False)
    assert decode(b"0\r\nX-A: 1") == (b"", b"X-A: 1", False)
    assert decode(b"0\r\n\r") == (b"", b"\r", False)


@pytest.mark.parametrize(("size", "length"), [(b"a", 10), (b"A", 10), (b"0a", 10), (b"1F", 31)])
def test_a_size_is_hexadecimal(size, length):
    assert decode(size + b"\r\n" + b"x" * length + b"\r\n0\r\n\r\n")[0] == b"x" * length


@pytest.mark.parametrize(
    "size",
    [
        b"",
        b" 5",
        b"5 ",
        b"\t5",
        b"+5",
        b"-5",
        b"0x5",
        b"0_5",
        b"5.",
        b"g",
        b"5h",
        b"\xd9\xa5",
        b"5,5",
        b"1" * 17,
    ],
)
def test_what_is_no_size_is_refused(size):
    assert refused(size + b"\r\nhello\r\n0\r\n\r\n") == 400


def test_the_last_chunk_is_a_size_like_any_other():
    assert accepted(b"0000\r\n\r\n")
    assert refused(b"-0\r\n\r\n") == 400


@pytest.mark.parametrize("end", [b"XX", b"\n", b"\rX", b"\r\r", b"\n\r", b"0\r\n", b" \r\n"])
def test_data_ends_with_exactly_a_line_end(end):
    assert refused(b"5\r\nhello" + end + b"0\r\n\r\n") == 400


def test_the_line_end_of_data_may_come_in_two_pieces():
    body = ChunkedBody(Limits())
    assert body.take(b"1\r\nx\r") == (b"x", b"\r")
    assert body.take(b"\r\n0\r\n\r\n") == (b"", b"")
    assert body.complete


@pytest.mark.parametrize("line", [b"5\n", b"5\rX", b"5;a\nb", b"5;a\rb", b"\n", b"5\0", b"5;\x7f"])
def test_a_bad_byte_in_a_line_is_refused_before_the_line_ends(line):
    assert refused(line) == 400


# --- extensions ---


@pytest.mark.parametrize(
    "extensions",
    [b";a", b";a=b", b' ; a = "b;\\"c"', b"\t;\ta\t=\tb ;c", b';a=""', b';a="\xe4\t"'],
)
def test_extensions_are_passed_over(extensions):
    assert decode(b"1" + extensions + b"\r\nx\r\n0" + extensions + b"\r\n\r\n")[0] == b"x"


@pytest.mark.parametrize(
    "extensions",
    [
        b";",
        b";a=",
        b";=b",
        b";a b",
        b";a;",
        b';a="',
        b';a="b"c',
        b';a="\\"',
        b" ",
        b";a ",
        b"g",
        b";\xe4",
    ],
)
def test_what_is_no_extension_is_refused(extensions):
    assert refused(b"1" + extensions + b"\r\nx\r\n0\r\n\r\n") == 400


def test_extensions_may_cost_their_share_of_each_chunk_and_one_line_beyond():
    share = {"chunk_extension": 2}
    assert accepted((b"1;a\r\nx\r\n" * 1000) + b"0\r\n\r\n", **share)
    # Each of these costs one byte more than its share; the first line has 256 to spend.
    assert accepted(b"1;ab\r\nx\r\n" * 254 + b"0\r\n\r\n", **share)
    assert refused(b"1;ab\r\nx\r\n" * 255 + b"0\r\n\r\n", **share) == 400


def test_chunks_without_extensions_save_for_those_that_have_some():
    plain, long = b"1\r\nx\r\n" * 100, b"1;" + b"a" * 200 + b"\r\nx\r\n"
    assert refused(long * 3) == 400
    assert not accepted(plain + long * 3)  # no fault, only no end


# --- limits ---


def test_a_line_may_be_as_long_as_the_limit():
    assert accepted(b"0;" + b"a" * 14 + b"\r\n\r\n", chunk_line=16)
    assert refused(b"0;" + b"a" * 15 + b"\r\n\r\n", chunk_line=16) == 400


def test_a_line_that_does_not_end_is_refused_when_it_is_over_the_limit():
    assert decode(b"0;" + b"a" * 15, chunk_line=16)[1] != b""
    assert refused(b"0;" + b"a" * 16, chunk_line=16) == 400


def test_a_body_may_be_as_long_as_the_limit():
    assert accepted(b"4\r\naaaa\r\n4\r\nbbbb\r\n0\r\n\r\n", body=8)
    assert refused(b"9\r\n", body=8) == 413


def test_a_chunk_that_would_be_too_much_is_refused_at_its_size():
    assert refused(b"4\r\naaaa\r\n5\r\n", body=8) == 413


def test_the_largest_size_is_too_much_and_no_more():
    assert refused(b"f" * 16 + b"\r\n") == 413


# --- trailers ---


def test_trailers_are_dropped():
    assert decode(b"1\r\nx\r\n0\r\nX-A: 1\r\nx-a:\r\nX-B: \xe4\t\r\n\r\nrest") == (
        b"x",
        b"rest",
        True,
    )


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_a_trailer_that_would_change_the_meaning_is_refused(name):
    assert refused(f"0\r\n{name}: 1\r\n\r\n".encode()) == 400
    assert refused(f"0\r\nX-A: 1\r\n{name.upper()}: 1\r\n\r\n".encode()) == 400


@pytest.mark.parametrize(
    "name",
    [
        "content-length",
        "transfer-encoding",
        "host",
        "authorization",
        "cookie",
        "trailer",
        "connection",
    ],
)
def test_the_trailers_that_smuggle_are_among_them(name):
    assert name in FORBIDDEN_TRAILERS


@pytest.mark.parametrize(
    "line",
    [b"X-A", b": 1", b"X-A : 1", b" X-A: 1", b"\tX-A: 1", b"X(: 1", b"\xe4: 1", b"GET / HTTP/1.1"],
)
def test_a_trailer_line_begins_with_a_name_and_a_colon(line):
    assert refused(b"0\r\n" + line + b"\r\n\r\n") == 400


@pytest.mark.parametrize("byte", [0, 1, 8, 10, 11, 12, 13, 27, 31, 127])
def test_a_control_byte_in_a_trailer_is_refused(byte):
    assert refused(b"0\r\nX-A: 1" + bytes([byte]) + b"2\r\n\r\n") == 400
    assert refused(b"0\r\nX-A: 1" + bytes([byte]) + b"2") == 400


def test_a_trailer_that_ends_in_two_cr_is_refused():
    assert refused(b"0\r\nX-A: 1\r\r\n\r\n") == 400


def test_the_trailer_section_may_be_as_long_as_the_limit():
    """The line ends count."""
    assert accepted(b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", trailer_section=16)
    assert refused(b"0\r\nX-A: 1\r\nX-B: 23\r\n\r\n", trailer_section=16) == 431


def test_a_trailer_that_does_not_end_is_refused_when_it_is_over_the_limit():
    assert decode(b"0\r\nX-A: " + b"a" * 12, trailer_section=16)[1] != b""
    assert refused(b"0\r\nX-A: " + b"a" * 13, trailer_section=16) == 431


def test_there_may_be_as_many_trailers_as_the_limit():
    assert accepted(b"0\r\n" + b"X: 1\r\n" * 2 + b"\r\n", trailer_count=2)
    assert refused(b"0\r\n" + b"X: 1\r\n" * 3 + b"\r\n", trailer_count=2) == 431


def test_where_no_trailers_are_allowed_the_end_still_is():
    assert accepted(b"0\r\n\r\n", trailer_section=0, trailer_count=0)
    assert refused(b"0\r\nX: 1\r\n\r\n", trailer_section=0, trailer_count=0) == 431


def test_a_trailer_that_is_too_long_is_so_whatever_is_behind_it():
    assert refused(b"0\r\nX-A: " + b"a" * 20 + b"\r\n\r\n\0", trailer_section=16) == 431
