"""Response heads, and how bodies are framed."""

from __future__ import annotations

import itertools

import pytest

from hwebserver.protocol.response import (
    CONTINUE,
    LAST_CHUNK,
    RESERVED_FIELDS,
    Framing,
    HeadWriter,
    check_field,
    chunk,
    frame,
    reason_phrase,
)

DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


def write(status=200, fields=(), length=5, writer=None, **others):
    """A head, as text, and its framing."""
    options = {"chunked": False, "method": "GET", "minor": 1, "close": False, "date": DATE}
    options.update(others)
    writer = writer or HeadWriter("hwebserver")
    head, framing = writer.head(status=status, fields=tuple(fields), length=length, **options)
    return head.decode("latin-1"), framing


def lines(*arguments, **options):
    """The lines of a head, without its end."""
    head, _ = write(*arguments, **options)
    assert head.endswith("\r\n\r\n")
    return head[:-4].split("\r\n")


# --- fields ---


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(200, "OK"), (404, "Not Found"), (431, "Request Header Fields Too Large"), (299, ""),
     (999, "")],
)  # fmt: skip
def test_a_status_has_a_phrase(status, phrase):
    assert reason_phrase(status) == phrase


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-One", "1"), ("x", ""), ("!#$%&'*+-.^_`|~09aZ", "a\tb"), ("X", "\x80\xff"), ("X", " \t")],
)
def test_a_name_is_a_token_and_a_value_has_no_control_characters(name, value):
    check_field(name, value)


@pytest.mark.parametrize(
    "name", ["", " ", "X One", "X:", "X\r\n", "X\n", "X\0", "(X)", "X,Y", "\u00fc", "X\t", "X/Y",
             '"X"', "X\x7f"],
)  # fmt: skip
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match="header"):
        check_field(name, "value")


@pytest.mark.parametrize(
    "character", [*map(chr, range(9)), *map(chr, range(10, 32)), "\x7f", "\u0100", "\u2028",
                  "\u560a", "\U0001f600", "\ud800"],
)  # fmt: skip
def test_a_character_that_ends_or_leaves_latin_1_is_refused(character):
    with pytest.raises(ValueError, match="X-One"):
        check_field("X-One", f"a{character}b")
    with pytest.raises(ValueError, match="X-One"):
        check_field("X-One", f"a{character}")


# --- framing ---


@pytest.mark.parametrize(
    ("method", "minor", "status", "length", "chunked", "expected"),
    [
        ("GET", 1, 200, 5, False, Framing(5, False, True, False)),
        ("GET", 1, 200, 0, False, Framing(0, False, True, False)),
        ("GET", 1, 200, 5, True, Framing(None, True, True, False)),
        ("GET", 1, 200, None, False, Framing(None, True, True, False)),
        ("GET", 0, 200, 5, False, Framing(5, False, True, False)),
        ("GET", 0, 200, 5, True, Framing(5, False, True, False)),
        ("GET", 0, 200, None, False, Framing(None, False, True, True)),
        ("GET", 0, 200, None, True, Framing(None, False, True, True)),
        ("HEAD", 1, 200, 5, False, Framing(5, False, False, False)),
        ("HEAD", 1, 200, None, False, Framing(None, True, False, False)),
        ("HEAD", 0, 200, None, False, Framing(None, False, False, False)),
        ("GET", 1, 204, 5, False, Framing(None, False, False, False)),
        ("GET", 1, 304, 5, True, Framing(None, False, False, False)),
        ("GET", 1, 205, 5, True, Framing(0, False, False, False)),
    ],
)
def test_a_body_is_framed(method, minor, status, length, chunked, expected):
    assert frame(method, minor, status, length, chunked) == expected


def test_no_framing_is_ever_ambiguous():
    for method, minor, status, length, chunked in itertools.product(
        ("GET", "HEAD", "POST"), (0, 1), (200, 204, 205, 304, 404, 500), (None, 0, 5), (True, False)
    ):
        framing = frame(method, minor, status, length, chunked)
        assert not (framing.chunked and framing.length is not None)
        assert not (framing.chunked and not minor)
        assert not (framing.has_body and (method == "HEAD" or status in (204, 205, 304)))
        # What has a body says where it ends, or the end of the connection does.
        assert (
            not framing.has_body or framing.chunked or framing.close or framing.length is not None
        )


def test_chunks():
    assert chunk(b"") == b""
    assert chunk(b"hello") == b"5\r\nhello\r\n"
    assert chunk(b"x" * 31) == b"1f\r\n" + b"x" * 31 + b"\r\n"
    assert LAST_CHUNK == b"0\r\n\r\n"
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


# --- heads ---


def test_a_head_has_status_fields_server_date_and_length():
    assert lines(200, [("Content-Type", "text/plain"), ("X-One", "1")]) == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain",
        "X-One: 1",
        "Server: hwebserver",
        f"Date: {DATE}",
        "Content-Length: 5",
    ]


def test_fields_keep_their_order_and_may_repeat():
    fields = [("Set-Cookie", "b=2"), ("X-One", "1"), ("Set-Cookie", "a=1")]
    assert lines(200, fields)[1:4] == ["Set-Cookie: b=2", "X-One: 1", "Set-Cookie: a=1"]


@pytest.mark.parametrize("name", ["Server", "server", "Date", "DATE"])
def test_a_field_of_the_application_wins_over_the_servers(name):
    found = [line for line in lines(200, [(name, "own")]) if line.lower().startswith(name.lower())]
    assert found == [f"{name}: own"]


def test_without_a_server_there_is_no_such_field():
    assert not [one for one in lines(writer=HeadWriter("")) if one.startswith("Server")]
    with pytest.raises(ValueError, match="Server"):
        HeadWriter("a\r\nX-Evil: 1")


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        ({}, "Content-Length: 5", "Transfer-Encoding"),
        ({"chunked": True}, "Transfer-Encoding: chunked", "Content-Length"),
        ({"length": None}, "Transfer-Encoding: chunked", "Content-Length"),
        ({"length": None, "minor": 0}, "Connection: close", "Transfer-Encoding"),
        ({"chunked": True, "minor": 0}, "Content-Length: 5", "Transfer-Encoding"),
        ({"status": 204}, "HTTP/1.1 204 No Content", "Content-Length"),
        ({"status": 304}, "HTTP/1.1 304 Not Modified", "Content-Length"),
        ({"status": 205}, "Content-Length: 0", "Transfer-Encoding"),
        ({"method": "HEAD"}, "Content-Length: 5", "Transfer-Encoding"),
        ({"close": True}, "Connection: close", "keep-alive"),
        ({"minor": 0}, "Connection: keep-alive", "close"),
        ({}, "HTTP/1.1 200 OK", "Connection"),
    ],
)
def test_a_head_says_how_the_body_goes_and_whether_the_connection_stays(options, present, absent):
    found = lines(**options)
    assert present in found
    assert not [line for line in found if absent in line]


def test_a_status_without_a_phrase_keeps_its_space():
    assert lines(299)[0] == "HTTP/1.1 299 "


@pytest.mark.parametrize("status", [200, 299, 599])
def test_a_status_of_a_response_is_200_to_599(status):
    assert lines(status)[0].startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 600, 1000, 200.5])
def test_another_status_is_refused(status):
    with pytest.raises(ValueError, match=r"status|format code"):
        write(status)


@pytest.mark.parametrize("name", sorted(RESERVED_FIELDS))
def test_the_fields_that_frame_are_not_the_applications(name):
    for spelling in (name, name.title(), name.upper()):
        with pytest.raises(ValueError, match="server's"):
            write(200, [(spelling, "1")])


@pytest.mark.parametrize(
    "field",
    [("X-One", "a\r\nX-Evil: 1"), ("X-One\r\nX-Evil", "1"), ("X-One", "a\n"), ("", "1"),
     ("X-One", "\u20ac")],
)  # fmt: skip
def test_a_head_cannot_be_split(field):
    with pytest.raises(ValueError, match="header"):
        write(200, [field])


def test_a_head_that_is_kept_is_the_same_and_follows_the_date():
    writer = HeadWriter("hwebserver")
    later = "Thu, 01 Jan 1970 00:00:01 GMT"
    first, _ = write(writer=writer)
    assert write(writer=writer) == write(writer=writer)
    assert f"Date: {later}" in write(writer=writer, date=later)[0]
    assert write(writer=writer)[0] == first


def test_every_head_that_is_kept_is_that_of_its_own_response():
    kept, others = HeadWriter("hwebserver"), set()
    for status, fields, length, chunked, method, minor, close in itertools.product(
        (200, 404), ((), (("X-One", "1"),), (("X-One", "2"),)), (0, 1, 5, None), (True, False),
        ("GET", "HEAD"), (0, 1), (True, False),
    ):  # fmt: skip
        options = {"chunked": chunked, "method": method, "minor": minor, "close": close}
        for _ in range(2):
            assert write(status, fields, length, kept, **options) == write(
                status, fields, length, None, **options
            )
        others.add(write(status, fields, length, kept, **options)[0])
    assert len(others) > 50


def test_many_different_heads_are_written_like_the_first():
    writer = HeadWriter("hwebserver")
    for number in range(3000):
        assert f"X-One: {number}" in write(200, [("X-One", str(number))], writer=writer)[0]
