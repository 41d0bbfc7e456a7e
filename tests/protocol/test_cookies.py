"""The Cookie field."""

from __future__ import annotations

import pytest

from hwebserver.protocol.cookies import parse_cookies


@pytest.mark.parametrize(
    ("value", "cookies"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;;c=3;", {"a": "1", "b": "2", "c": "3"}),
        (" a = 1 ;\tb\t=\t2", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "2"}),
        ("a=; b=2", {"a": "", "b": "2"}),
        ("a=b=c==", {"a": "b=c=="}),
        ('a="quoted value"', {"a": "quoted value"}),
        ('a="q\\"u\\\\o"', {"a": 'q"u\\o'}),
        ('a="open; b=2', {"a": '"open', "b": "2"}),
        ("a=%20+x", {"a": "%20+x"}),
        ("A=1; a=2", {"A": "1", "a": "2"}),
        ("\u00fc=\u00df", {"\u00fc": "\u00df"}),
        ("a=1, b=2", {"a": "1, b=2"}),
        ("$Version=1; a=1; $Path=/", {"$Version": "1", "a": "1", "$Path": "/"}),
        ("expires=Thu, 01 Jan 1970 00:00:00 GMT", {"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        ("__Host-a=1", {"__Host-a": "1"}),
    ],
)
def test_cookies_are_pairs_and_the_last_of_a_name_counts(value, cookies):
    assert parse_cookies(value) == cookies


@pytest.mark.parametrize("broken", ["=1", "novalue", "=", ";", " ", "=;=", "a b", "\\"])
def test_a_broken_pair_does_not_cost_the_others(broken):
    assert parse_cookies(f"a=1; {broken}; b=2") == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    "value",
    [
        'a="' + "\\\\" * 200_000 + '"', 'a="' + "\\\\" * 200_000, 'a="' + '\\"' * 200_000 + '"',
        "a=" + ";" * 500_000, "a=1;" * 100_000, "=" * 500_000, '"' * 500_000, "a" * 500_000,
    ],
)  # fmt: skip
def test_a_large_field_is_read_in_one_pass(value):
    # A reader that goes back for each backslash would not come to an end here.
    assert len(parse_cookies(value)) <= 1
