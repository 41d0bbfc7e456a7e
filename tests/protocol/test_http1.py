"""Request heads and bodies, without sockets: what is understood, what is refused, and when."""

from __future__ import annotations

import pytest

from hwebserver.errors import ProtocolError
from hwebserver.protocol.http1 import Limits, RequestReader, parse_head, parse_request_line

LIMITS = Limits()


def parse(*lines, limits=LIMITS):
    """Parse a head of lines; a Host is added to one that has the request line alone."""
    if len(lines) == 1:
        lines = (*lines, "Host: a")
    return parse_head("\r\n".join(lines).encode("latin-1"), limits)


def get(*fields):
    return parse("GET / HTTP/1.1", "Host: a", *fields)


def refused(*lines, limits=LIMITS):
    """Return the status that a head is refused with."""
    with pytest.raises(ProtocolError) as caught:
        parse(*lines, limits=limits)
    return caught.value.status


def refused_get(*fields):
    return refused("GET / HTTP/1.1", "Host: a", *fields)


class Fed:
    """A reader and the bytes it was fed with."""

    def __init__(self, data=b"", limits=LIMITS):
        self.reader = RequestReader(limits)
        self.feed(data)

    def feed(self, data):
        self.reader.receive(data)
        return self

    def head(self):
        return self.reader.next_head()

    def path(self):
        head = self.head()
        return None if head is None else head.path

    def status(self):
        """Return the status that what was fed is refused with."""
        with pytest.raises(ProtocolError) as caught:
            self.head()
        return caught.value.status


# --- the request line ---


def test_a_request_line_is_method_target_and_version():
    assert parse_request_line("GET /a?b HTTP/1.1", LIMITS) == ("GET", "/a?b", 1)
    assert parse_request_line("PUT /a HTTP/1.0", LIMITS) == ("PUT", "/a", 0)


def test_a_higher_minor_version_is_treated_as_the_highest_that_is_known():
    assert parse_request_line("GET / HTTP/1.9", LIMITS)[2] == 1


def test_an_unknown_method_is_understood():
    assert parse("BREW /pot HTTP/1.1").method == "BREW"


@pytest.mark.parametrize("method", ["get", "Get", "oPTIONS", "trace", "connect", "patch"])
def test_a_known_method_in_another_case_is_not_implemented(method):
    assert refused(f"{method} / HTTP/1.1") == 501


@pytest.mark.parametrize("method", ["", "G(T", "G/T", "GE:T", "G\xcbT", "G@T", '"GET"', "G\x00T"])
def test_a_method_that_is_no_token_is_refused(method):
    assert refused(f"{method} / HTTP/1.1") == 400


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
    ],
)
def test_a_request_line_that_is_not_three_parts_is_refused(line):
    assert refused(line) == 400


@pytest.mark.parametrize("target", ["", "/\x7f", "/\xe4", "/a#b", "#", "/\x00", "/\t"])
def test_a_target_with_what_no_uri_holds_is_refused(target):
    assert refused(f"GET {target} HTTP/1.1") == 400


@pytest.mark.parametrize(
    "version",
    [
        "HTTP/1.32",
        "HTTP/1",
        "HTTP/1.",
        "http/1.1",
        "HTTP/1.\xb9",
        "HTTP/+1.1",
        "HTTP/1.1\x00",
        "HTTP 1.1",
    ],
)
def test_what_is_no_version_is_refused(version):
    assert refused(f"GET / {version}") == 400


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"])
def test_a_version_of_another_kind_is_not_supported(version):
    assert refused(f"GET / {version}") == 505


def test_a_request_line_may_be_as_long_as_the_limit():
    limits = Limits(request_line=20)
    assert parse("GET /aaaaaa HTTP/1.1", limits=limits).path == "/aaaaaa"
    assert refused("GET /aaaaaaa HTTP/1.1", limits=limits) == 414


# --- the target ---


def test_the_query_is_what_is_behind_the_first_question_mark():
    head = parse("GET /a?b?c HTTP/1.1")
    assert (head.path, head.query, head.target) == ("/a", "b?c", "/a?b?c")


def test_an_absolute_target_wins_over_the_host_field():
    head = parse("GET http://b.example:80/c?d HTTP/1.1", "Host: a.example")
    assert (head.authority, head.scheme) == ("b.example:80", "http")
    assert (head.path, head.query) == ("/c", "d")


def test_an_origin_form_has_the_authority_of_the_host_field_and_no_scheme():
    head = parse("GET / HTTP/1.1", "Host: a.example:80")
    assert (head.authority, head.scheme) == ("a.example:80", None)


def test_options_may_ask_for_the_server_itself():
    assert parse("OPTIONS * HTTP/1.1").path == "*"
    assert refused("GET * HTTP/1.1") == 400


def test_connect_is_not_implemented():
    assert refused("CONNECT a:80 HTTP/1.1") == 501


# --- Host ---


def test_http_1_1_has_to_name_its_host():
    assert refused("GET / HTTP/1.1", "X-A: 1") == 400
    assert refused("GET / HTTP/1.2", "X-A: 1") == 400


def test_http_1_0_need_not_name_its_host():
    assert parse("GET / HTTP/1.0", "X-A: 1").authority is None


@pytest.mark.parametrize(
    "host", ["", "a, b", "a,b", "u@a", "a/", "a b", "a:b", "a:65536", "[::1", "::1"]
)
def test_a_host_field_that_holds_no_host_is_refused(host):
    assert refused("GET / HTTP/1.1", f"Host: {host}") == 400
    assert refused("GET / HTTP/1.0", f"Host: {host}") == 400


@pytest.mark.parametrize("name", ["Host", "host", "HOST"])
def test_a_second_host_is_refused(name):
    assert refused_get(f"{name}: a") == 400


# --- fields ---


def test_fields_keep_their_order_and_their_spelling():
    head = get("X-b: 1", "x-B: 2", "Accept: 3")
    assert list(head.fields) == [("Host", "a"), ("X-b", "1"), ("x-B", "2"), ("Accept", "3")]


def test_lines_of_one_name_are_combined():
    head = get("X-A: 1", "x-a: 2", "Cookie: a=1", "cookie: b=2")
    assert head.fields.get("x-a") == "1, 2"
    assert head.fields.get("cookie") == "a=1; b=2"
    assert head.fields.get("x-b") is None


def test_white_space_around_a_value_is_taken_away_and_no_other():
    assert get("X-A: \t 1 \t2\t ").fields.get("x-a") == "1 \t2"
    assert get("X-A: \xa01\x85").fields.get("x-a") == "\xa01\x85"


def test_a_value_may_be_empty():
    assert get("X-A:").fields.get("x-a") == ""


@pytest.mark.parametrize(
    "line",
    [
        "X-A",
        "X-A : 1",
        "X-A\t: 1",
        ": 1",
        " X-A: 1",
        "\tX-A: 1",
        "X A: 1",
        "X(: 1",
        "\xe4: 1",
        "Host",
        "",
    ],
)
def test_a_line_that_does_not_begin_with_a_name_and_a_colon_is_refused(line):
    assert refused_get(line, "X-B: 2") == 400


@pytest.mark.parametrize("byte", [*range(9), 10, 11, 12, 13, *range(14, 32), 127])
def test_a_control_byte_in_a_value_is_refused(byte):
    assert refused_get(f"X-A: 1{chr(byte)}2") == 400


@pytest.mark.parametrize("byte", [9, 32, 126, 128, 133, 160, 255])
def test_every_other_byte_in_a_value_is_kept(byte):
    assert get(f"X-A: 1{chr(byte)}2").fields.get("x-a") == f"1{chr(byte)}2"


def test_there_may_be_as_many_fields_as_the_limit():
    limits = Limits(field_count=2)
    assert parse("GET / HTTP/1.1", "Host: a", "X: 1", limits=limits)
    assert refused("GET / HTTP/1.1", "Host: a", "X: 1", "X: 1", limits=limits) == 431


def test_a_field_line_may_be_as_long_as_the_limit():
    limits = Limits(field_line=10)
    assert parse("GET / HTTP/1.1", "Host: a", "X: 1234567", limits=limits)
    assert refused("GET / HTTP/1.1", "Host: a", "X: 12345678", limits=limits) == 431


def test_a_request_line_is_no_field_line():
    assert parse("GET /aaaaaaaaaaaaaaaa HTTP/1.1", "Host: a", limits=Limits(field_line=7))


def test_a_head_without_any_field_is_one():
    assert parse_head(b"GET / HTTP/1.0", LIMITS).fields.lines == []


# --- framing ---


def test_no_framing_field_is_no_body():
    head = parse("POST / HTTP/1.1")
    assert (head.content_length, head.has_body) == (0, False)


@pytest.mark.parametrize(
    ("text", "length"), [("0", 0), ("5", 5), ("007", 7), ("9" * 19, 10**19 - 1)]
)
def test_a_length_is_a_number(text, length):
    head = get(f"Content-Length: {text}")
    assert (head.content_length, head.has_body) == (length, length > 0)


@pytest.mark.parametrize(
    "text", ["", "+5", "-5", "0_5", "5,5", "5, 5", "0x5", "5.0", "\xb2", "5 5", "1" * 20]
)
def test_what_is_no_length_is_refused(text):
    assert refused_get(f"Content-Length: {text}") == 400


@pytest.mark.parametrize("second", ["5", "6"])
def test_a_second_content_length_is_refused(second):
    assert refused_get("Content-Length: 5", f"Content-Length: {second}") == 400


@pytest.mark.parametrize("coding", ["chunked", "CHUNKED", "Chunked"])
def test_a_chunked_body_has_no_length(coding):
    head = get(f"Transfer-Encoding: {coding}")
    assert (head.content_length, head.has_body) == (None, True)


@pytest.mark.parametrize(
    "coding", ["gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked"]
)
def test_another_transfer_coding_is_not_implemented(coding):
    assert refused_get(f"Transfer-Encoding: {coding}") == 501


@pytest.mark.parametrize(
    "coding", ["", "chun ked", "chunked;q=1", '"chunked"', "\xa0chunked", "chunked\x85"]
)
def test_what_is_no_transfer_coding_is_refused(coding):
    assert refused_get(f"Transfer-Encoding: {coding}") == 400


def test_a_second_transfer_encoding_is_refused():
    assert refused_get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") == 400


@pytest.mark.parametrize("coding", ["chunked", "identity"])
def test_a_length_and_a_transfer_coding_exclude_each_other(coding):
    assert refused_get("Content-Length: 5", f"Transfer-Encoding: {coding}") == 400
    assert refused_get(f"Transfer-Encoding: {coding}", "Content-Length: 5") == 400


def test_http_1_0_knows_no_transfer_coding():
    assert refused("POST / HTTP/1.0", "Transfer-Encoding: chunked") == 400


# --- the connection and expectations ---


@pytest.mark.parametrize(
    ("version", "fields", "kept"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: Keep-Alive, CLOSE"], False),
        ("1.1", ["Connection: x", "Connection: close"], False),
        ("1.1", ["Connection: upgrade"], True),
        ("1.0", [], False),
        ("1.0", ["Connection: x"], False),
        ("1.0", ["Connection: Keep-Alive"], True),
        ("1.0", ["Connection: keep-alive, close"], False),
    ],
)
def test_who_may_use_the_connection_again(version, fields, kept):
    assert parse(f"GET / HTTP/{version}", "Host: a", *fields).keep_alive is kept


def test_an_expectation_that_can_be_met():
    assert get("Expect: 100-Continue", "Content-Length: 5").expects_continue
    assert not get("Content-Length: 5").expects_continue


def test_an_expectation_that_cannot_be_met_fails():
    assert refused_get("Expect: 200-ok") == 417
    assert refused_get("Expect:") == 417


@pytest.mark.parametrize("expectation", ["100-continue", "200-ok"])
def test_an_expectation_of_http_1_0_is_ignored(expectation):
    assert not parse("POST / HTTP/1.0", f"Expect: {expectation}").expects_continue


# --- the reader: heads ---

A = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
LONG = b"GET /long HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 50 + b"\r\n\r\n"


def test_a_reader_that_was_fed_with_nothing_has_nothing():
    fed = Fed()
    assert fed.reader.empty
    assert fed.head() is None
    assert fed.reader.body_complete
    assert fed.reader.take_body() == b""


def test_a_head_is_there_when_its_last_byte_is():
    fed = Fed(A[:-1])
    assert fed.head() is None
    assert not fed.reader.empty
    assert fed.feed(A[-1:]).path() == "/a"
    assert fed.reader.empty


def test_heads_come_one_by_one():
    fed = Fed(A + LONG + A)
    assert [fed.path() for _ in range(4)] == ["/a", "/long", "/a", None]


def test_the_same_head_is_the_same_object_so_that_what_it_leads_to_is_kept_with_it():
    fed = Fed(A + A)
    assert fed.head() is fed.head()


def test_another_head_is_another_object():
    fed = Fed(A + LONG)
    assert fed.head() is not fed.head()


def test_a_shorter_head_behind_one_that_came_twice_is_found():
    """What was known of the unfinished second head says nothing of the third."""
    fed = Fed(LONG)
    assert fed.path() == "/long"
    assert fed.feed(LONG[:-1]).head() is None
    fed.feed(LONG[-1:] + A)
    assert [fed.path(), fed.path(), fed.path()] == ["/long", "/a", None]


def test_a_bad_line_behind_a_head_that_came_twice_is_refused_at_its_end():
    fed = Fed(LONG)
    fed.head()
    assert fed.feed(LONG[:-1]).head() is None
    assert fed.feed(LONG[-1:] + b"GET /\r\n").path() == "/long"
    assert fed.status() == 400


def test_one_empty_line_before_a_request_is_passed_over():
    assert Fed(b"\r\n" + A).path() == "/a"


def test_an_empty_line_in_two_pieces_is_passed_over():
    fed = Fed(b"\r")
    assert fed.head() is None
    assert fed.feed(b"\n").head() is None
    assert fed.feed(A).path() == "/a"


def test_two_empty_lines_before_a_request_are_refused():
    assert Fed(b"\r\n\r\n" + A).status() == 400
    assert Fed(b"\r\n\r\n").status() == 400


def test_an_empty_line_is_not_counted_into_the_head():
    limits = Limits(head=len(A), request_line=len("GET /a HTTP/1.1"))
    assert Fed(b"\r\n" + A, limits).path() == "/a"


def test_a_bad_request_line_is_refused_when_it_ends():
    fed = Fed(b"GET /a HTTP/2.0")
    assert fed.head() is None
    assert fed.feed(b"\r").head() is None
    assert fed.feed(b"\n").status() == 505


def test_a_bad_target_is_refused_when_its_line_ends():
    assert Fed(b"GET * HTTP/1.1\r\n").status() == 400
    assert Fed(b"CONNECT a:80 HTTP/1.1\r\n").status() == 501


def test_a_good_request_line_is_looked_at_once():
    fed = Fed(b"GET /a HTTP/1.1\r\nHo")
    assert fed.head() is None
    assert fed.feed(b"st: a\r\n").head() is None
    assert fed.feed(b"\r\n").path() == "/a"


@pytest.mark.parametrize(
    "piece", [b"\0", b"GET /\x01", b"GET / HTTP/1.1\r\nX: \x7f", b"\n", b"\rX"]
)
def test_a_byte_that_no_head_holds_is_refused_when_it_comes(piece):
    assert Fed(piece).status() == 400


def test_a_fault_of_the_head_as_a_whole_is_refused_when_it_ends():
    fed = Fed(b"GET /a HTTP/1.1\r\nX-A: 1\r\n\r")
    assert fed.head() is None
    assert fed.feed(b"\n").status() == 400


def test_a_request_line_is_not_looked_for_behind_the_place_where_it_has_to_end():
    fed = Fed(b"GET /a HTTP/1.1\r\nHost: a\r\n", Limits(request_line=20))
    assert fed.head() is None
    assert fed.feed(b"GET\r\n").head() is None
    assert fed.feed(b"\r\n").status() == 400


def test_of_two_faults_the_one_that_shows_first_is_answered():
    assert Fed(b"CONNECT a:80 HTTP/1.1\r\nX-A: \0\r\n\r\n").status() == 501
    assert Fed(b"CONNECT a:80\0 HTTP/1.1\r\nX-A: 1\r\n\r\n").status() == 400
    assert Fed(b"GET * HTTP/1.1\r\nX-A: 1\r\n\r\n", Limits(field_count=0)).status() == 400


def test_half_a_line_end_is_no_fault_yet():
    fed = Fed(b"GET /a HTTP/1.1\r")
    assert fed.head() is None
    assert fed.feed(b"X").status() == 400


def test_a_bare_line_feed_behind_what_was_seen_already_is_refused():
    fed = Fed(b"GET /a HTTP/1.1\r\nHost: a")
    assert fed.head() is None
    assert fed.feed(b"\n").status() == 400


def test_a_request_line_that_does_not_end_is_refused_when_it_is_over_the_limit():
    fed = Fed(b"a" * 21, Limits(request_line=20))
    assert fed.head() is None  # the next two bytes cannot end it any more, but nobody knows yet
    assert fed.feed(b"a").status() == 414


def test_a_control_byte_behind_a_line_that_is_too_long_does_not_change_its_status():
    assert Fed(b"a" * 22 + b"\0", Limits(request_line=20)).status() == 414


def test_a_control_byte_in_a_line_that_is_too_long_comes_first():
    assert Fed(b"a\0" + b"a" * 22, Limits(request_line=20)).status() == 400


def test_a_head_that_does_not_end_is_refused_when_it_is_over_the_limit():
    limits = Limits(head=64)
    start = b"GET / HTTP/1.1\r\nX-A: "
    fed = Fed(start + b"a" * (63 - len(start)), limits)
    assert fed.head() is None
    assert fed.feed(b"a").status() == 431


def test_a_control_byte_behind_a_head_that_is_too_long_does_not_change_its_status():
    assert Fed(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 64 + b"\0", Limits(head=64)).status() == 431


def test_a_head_may_be_as_long_as_the_limit():
    assert Fed(A, Limits(head=len(A))).path() == "/a"
    assert Fed(A, Limits(head=len(A) - 1)).status() == 431


# --- the reader: bodies ---


def post(length):
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


def test_a_body_of_a_length_is_taken_as_it_comes():
    fed = Fed(post(5) + b"he")
    fed.head()
    assert fed.reader.take_body() == b"he"
    assert not fed.reader.body_complete
    assert fed.reader.take_body() == b""
    fed.feed(b"llo" + A)
    assert fed.reader.take_body() == b"llo"
    assert fed.reader.body_complete
    assert fed.path() == "/a"


def test_a_body_that_came_with_its_head_is_complete_when_it_is_taken():
    fed = Fed(post(5) + b"hello")
    fed.head()
    assert not fed.reader.body_complete
    assert fed.reader.take_body() == b"hello"
    assert fed.reader.body_complete
    assert fed.reader.empty


def test_a_body_may_look_like_a_head():
    fed = Fed(post(len(A)) + A + LONG)
    fed.head()
    assert fed.reader.take_body() == A
    assert fed.path() == "/long"


def test_a_length_of_nothing_is_complete_at_once():
    fed = Fed(post(0) + A)
    fed.head()
    assert fed.reader.body_complete
    assert fed.reader.take_body() == b""
    assert fed.path() == "/a"


def test_a_chunked_body_is_decoded():
    fed = Fed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    fed.head()
    assert fed.reader.take_body() == b"hel"
    assert not fed.reader.body_complete
    assert fed.feed(b"lo\r\n0\r\n\r\n" + A).reader.take_body() == b"lo"
    assert fed.reader.body_complete
    assert fed.path() == "/a"


def test_the_same_head_has_a_body_of_its_own_each_time():
    fed = Fed((post(5) + b"hello") * 2)
    for _ in range(2):
        fed.head()
        assert fed.reader.take_body() == b"hello"


def test_what_a_socket_delivered_is_not_changed():
    """The buffer grows in place, but never the object that was handed in."""
    first = b"GET /a HTTP/1.1\r\n"
    fed = Fed(first)
    fed.feed(A[len(first) :])
    fed.feed(A)
    assert first == b"GET /a HTTP/1.1\r\n"
    assert [fed.path(), fed.path()] == ["/a", "/a"]
