"""Field lines, lists, media types, weights, quoted strings."""

from __future__ import annotations

import pytest

from hwebserver.protocol.headers import (
    Fields,
    combine,
    list_items,
    media_type,
    quality_values,
    split_unquoted,
    unquote_string,
)


def test_fields_keep_their_lines_and_are_looked_up_by_the_lower_case_name():
    lines = [("X-One", "1"), ("Host", "localhost"), ("x-one", "2")]
    fields = Fields(lines, {"x-one": "1, 2", "host": "localhost"})
    assert list(fields) == lines
    assert fields.get("x-one") == "1, 2"
    assert fields.get("x-two") is None


def test_repeated_lines_are_joined_by_commas_and_cookies_by_semicolons():
    assert combine("accept", "a", "b") == "a, b"
    assert combine("cookie", "a=1", "b=2") == "a=1; b=2"


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("", []), (",", []), (" , ,\t", []), ("close", ["close"]),
        ("Keep-Alive , CLOSE", ["keep-alive", "close"]), (",a,,b,", ["a", "b"]),
        ("a b", ["a b"]), ("a\x0b", ["a\x0b"]), ("\xa0a", ["\xa0a"]),
    ],
)  # fmt: skip
def test_a_list_has_members_and_empty_ones_do_not_count(value, items):
    assert list_items(value) == items


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        ("", "", {}),
        ("text/html", "text/html", {}),
        ("Text/HTML;Charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        (" text/html ; charset = utf-8 ; a=b", "text/html", {"charset": "utf-8", "a": "b"}),
        ('a/b; x="1;2,3"; y=z', "a/b", {"x": "1;2,3", "y": "z"}),
        ('a/b; x="q\\"u"', "a/b", {"x": 'q"u'}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ("a/b; x; =1; y=", "a/b", {"": "1", "y": ""}),
        ("a/b;;;", "a/b", {}),
        ('a/b; x="open; y=1', "a/b", {"x": '"open; y=1'}),
    ],
)
def test_a_media_type_has_parameters(value, kind, parameters):
    assert media_type(value) == (kind, parameters)


@pytest.mark.parametrize(
    ("value", "weights"),
    [
        ("", {}),
        (" , ", {}),
        ("text/html", {"text/html": 1.0}),
        ("Text/HTML;Q=0.5, */*;q=0.125", {"text/html": 0.5, "*/*": 0.125}),
        ("a/b;level=1;q=0.3", {"a/b": 0.3}),
        ("a/b;q=0.2, a/b;q=0.9", {"a/b": 0.2}),
        ('a/b;x=",;";q=0.5, c/d', {"a/b": 0.5, "c/d": 1.0}),
        ("a/b;q=0, c/d;q=0.000, e/f;q=1.000", {"a/b": 0.0, "c/d": 0.0, "e/f": 1.0}),
        ("a/b;q=1., c/d;q=0.", {"a/b": 1.0, "c/d": 0.0}),
    ],
)
def test_members_of_accept_have_weights(value, weights):
    assert quality_values(value) == weights


@pytest.mark.parametrize(
    "weight", ["", "2", "-1", "+1", ".5", "0.1234", "0,5", "1e0", "nan", "inf", "0x1", "\u0661",
               "0.\u0665", "1.5", "1.001", "0 .5", "0.5x"],
)  # fmt: skip
def test_a_weight_that_is_none_counts_as_refused(weight):
    assert quality_values(f"a/b;q={weight}")["a/b"] == 0.0


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("", [""]), ("a", ["a"]), ("a,b", ["a", "b"]), ('"a,b",c', ['"a,b"', "c"]),
        ('"a\\",b",c', ['"a\\",b"', "c"]), ('a"b,c"d,e', ['a"b,c"d', "e"]),
        ('"open,a', ['"open,a']), ('a\\,b"",c', ["a\\", 'b""', "c"]), ('"",', ['""', ""]),
    ],
)  # fmt: skip
def test_a_separator_inside_quotes_separates_nothing(value, parts):
    assert split_unquoted(value, ",") == parts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""), ("a", "a"), ('"', '"'), ('""', ""), ('"a b"', "a b"), ('"a\\"b"', 'a"b'),
        ('"a\\\\b"', "a\\b"), ('"\\a\\b"', "ab"), ('"a', '"a'), ('a"', 'a"'),
        ('"\\\\\\""', '\\"'),
    ],
)  # fmt: skip
def test_a_quoted_string_is_unquoted(value, text):
    assert unquote_string(value) == text


def test_large_values_are_read_in_one_pass():
    # A reader that goes back for each character would not come to an end here.
    count = 200_000
    assert len(list_items("a," * count)) == count
    assert len(split_unquoted('"a",' * count, ",")) == count + 1
    assert unquote_string('"' + "\\\\" * count + '"') == "\\" * count
    assert len(split_unquoted('"' * (count + 1) + "\\" * count, ",")) == 1
    assert quality_values("a/b;q=0.1," * count) == {"a/b": 0.1}
    assert media_type("a/b" + ';x="' * count)[0] == "a/b"
    assert len(media_type("a/b" + ";x=1" * count)[1]) == 1
