"""The request target, authorities, percent-decoding, forms."""

from __future__ import annotations

import pytest

from hwebserver import HTTPError, ProtocolError
from hwebserver.protocol.paths import decode, parse_form, split_authority, split_path
from hwebserver.protocol.target import Target, check_authority, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/", Target("/", "")),
        ("/a/b?c=d", Target("/a/b", "c=d")),
        ("/?", Target("/", "")),
        ("/a?b?c", Target("/a", "b?c")),
        ("//host/a", Target("//host/a", "")),
        ("/http://host/", Target("/http://host/", "")),
        ("/../a/./b", Target("/../a/./b", "")),
        ("/%2e%2F", Target("/%2e%2F", "")),
        ("http://host", Target("/", "", "http", "host")),
        ("http://host?a", Target("/", "a", "http", "host")),
        ("HTTPS://Host:81/a?b", Target("/a", "b", "https", "Host:81")),
        ("http://[::1]:80/", Target("/", "", "http", "[::1]:80")),
        ("http://host//evil/a", Target("//evil/a", "", "http", "host")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PURGE"])
def test_a_target_is_a_path_or_a_whole_uri(method, text, target):
    assert parse_target(method, text) == target


def test_the_asterisk_is_for_options_alone():
    assert parse_target("OPTIONS", "*") == Target("*", "")
    for method in ("GET", "POST", "options"):
        with pytest.raises(ProtocolError) as caught:
            parse_target(method, "*")
        assert caught.value.status == 400


def test_connect_is_not_implemented():
    for text in ("host:443", "/", "http://host/"):
        with pytest.raises(ProtocolError) as caught:
            parse_target("CONNECT", text)
        assert caught.value.status == 501


@pytest.mark.parametrize(
    "text",
    [
        "a", "host:80", "?a", "**", "*/", "\\a", "ftp://host/", "file:///etc/passwd", "http:/host",
        "http:host", "http://", "http:///a", "http://user@host/", "http://user:pass@host/",
        "http://host:x/", "http://host:65536/", "http://a,b/", "http://[::1/", "http://[::g]/",
        "http://ho st/", "http://host:80:81/", "javascript:alert(1)", "data:,", "://host/",
        "http://:80/", "http://host\\evil/",
    ],
)  # fmt: skip
def test_another_target_is_refused(text):
    with pytest.raises(ProtocolError) as caught:
        parse_target("GET", text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "text",
    [
        "localhost", "localhost:8008", "a.b-c_d~e", "127.0.0.1:0", "127.0.0.1:65535", "[::1]",
        "[::1]:80", "[2001:db8::1.2.3.4]", "xn--bcher-kva.example", "a%20b", "host:", "1",
        "a" * 255,
    ],
)  # fmt: skip
def test_an_authority_is_a_host_with_an_optional_port(text):
    assert check_authority(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":80", "a b", "a,b", "a, b", "user@host", "a/b", "a?b", "a#b", "a\\b", "host:x",
        "host:-1", "host:+1", "host: 80", "host:65536", "host:99999", "host:123456", "host:80:80",
        "::1", "[::1", "::1]", "[]", "[::1]x", "[::1]:x", "[1.2.3.4]", "[g::]", "[::1%25eth0]",
        "[::1]80", "b\u00fccher", "a\x00", "a\r", "a\t", "a%", "a%2", "a%zz", "a" * 256, "<host>",
        '"host"', "a;b", "a=b", "h\xa0", "host:\u0668\u0660",
    ],
)  # fmt: skip
def test_what_is_no_authority_is_refused(text):
    with pytest.raises(ProtocolError) as caught:
        check_authority(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("host", "host", None), ("host:80", "host", 80), ("host:", "host", None),
        ("[::1]", "[::1]", None), ("[::1]:80", "[::1]", 80), ("127.0.0.1:8008", "127.0.0.1", 8008),
    ],
)  # fmt: skip
def test_an_authority_is_split_into_host_and_port(text, host, port):
    assert split_authority(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("", ""), ("a+b", "a+b"), ("%61%62", "ab"), ("%C3%BC", "\u00fc"), ("%c3%bc", "\u00fc"),
        ("%2541", "%41"), ("%25%32%35", "%25"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"),
        ("%00", "\0"), ("%ff", "\ufffd"), ("%c3", "\ufffd"), ("%ed%a0%80", "\ufffd" * 3),
        ("%c0%af", "\ufffd\ufffd"), ("%u0041", "%u0041"), ("%0\u0661", "%0\u0661"),
    ],
)  # fmt: skip
def test_a_text_is_decoded_once_and_what_is_no_utf_8_is_replaced(text, decoded):
    assert decode(text) == decoded


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", []), ("//", []), ("/a", ["a"]), ("/a/", ["a"]), ("/a//", ["a"]),
        ("/a/b", ["a", "b"]), ("/a//b", ["a", "", "b"]), ("//a", ["", "a"]),
        ("/a%2Fb/c", ["a/b", "c"]), ("/%2e%2e/a", ["..", "a"]), ("/../a", ["..", "a"]),
        ("/a%2F", ["a/"]), ("/%2F", ["/"]), ("/a%00b", ["a\0b"]), ("/%252F", ["%2F"]),
        ("/a+b", ["a+b"]), ("/a;b=c", ["a;b=c"]),
    ],
)  # fmt: skip
def test_a_path_is_split_before_it_is_decoded(path, segments):
    assert split_path(path) == segments


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", []),
        ("a", [("a", "")]),
        ("a=", [("a", "")]),
        ("=a", [("", "a")]),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("a=1;b=2", [("a", "1;b=2")]),
        ("a=b=c", [("a", "b=c")]),
        ("&&a&", [("a", "")]),
        ("a+b=c+d", [("a b", "c d")]),
        ("a=%2B%26%3D", [("a", "+&=")]),
        ("a=%252B", [("a", "%2B")]),
        ("%C3%BC=%c3%9f", [("\u00fc", "\u00df")]),
        ("a=%ff&b=%zz&c=%", [("a", "\ufffd"), ("b", "%zz"), ("c", "%")]),
        ("a=\u00fc", [("a", "\u00fc")]),
        ("a=%00", [("a", "\0")]),
    ],
)
def test_a_form_is_decoded_once_and_only_ampersands_separate(text, fields):
    assert parse_form(text, 100) == fields


@pytest.mark.parametrize(("count", "allowed"), [(4, True), (5, True), (6, False), (10_000, False)])
def test_a_form_has_a_most_of_fields(count, allowed):
    text = "&".join(["a=1"] * count)
    if allowed:
        assert len(parse_form(text, 5)) == count
    else:
        with pytest.raises(HTTPError) as caught:
            parse_form(text, 5)
        assert caught.value.status == 400
        assert "5" in caught.value.message


def test_large_texts_are_decoded_in_one_pass():
    count = 300_000
    assert decode("%41" * count) == "A" * count
    assert decode("%" * count) == "%" * count
    assert len(split_path("/a" * count)) == count
    assert parse_form("a=" + "%c3" * count, 5) == [("a", "\ufffd" * count)]
