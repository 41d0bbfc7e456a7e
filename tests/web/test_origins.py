"""Origins, and what CORS grants them."""

from __future__ import annotations

import pytest

from hwebserver.errors import OperationFailed
from hwebserver.settings import OPTIONS
from hwebserver.web.origins import Cors, Grant, parse_origin

DEFAULTS = {option.name: option.default for option in OPTIONS.values()}


def cors(**values):
    return Cors({**DEFAULTS, **values})


def granted(rules, text):
    return rules.grant(parse_origin(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a.example", ("http", "a.example", 80)),
        ("https://A.example", ("https", "a.example", 443)),
        ("HTTPS://a.example:8443", ("https", "a.example", 8443)),
        ("http://[::1]:8008", ("http", "[::1]", 8008)),
        ("http://[0::1]", ("http", "[::1]", 80)),
        ("chrome-extension://abcdef", ("chrome-extension", "abcdef", None)),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(text, expected):
    assert parse_origin(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "null", "*", "a.example", "http://", "http:///", "http://a/", "http://a/b", "http://a?b",
     "http://a, http://b", "http://a http://b", "http://a@b", "http://a:", "http://a:x", "://a",
     "http://a:99999", "http://[::g]", "http:a", "http//a", " http://a", "http://a ", "file://",
     "http://a#b", "1http://a", "http://" + "a" * 400],
)  # fmt: skip
def test_what_is_no_origin_is_none(text):
    assert parse_origin(text) is None


def test_two_spellings_of_an_origin_are_one():
    rules = cors(CORS_ALLOWED_ORIGINS=["https://A.example:443"])
    assert granted(rules, "https://a.example") is Grant.LISTED
    assert granted(rules, "http://a.example") is Grant.NOTHING
    assert granted(rules, "https://a.example:444") is Grant.NOTHING


def test_both_names_of_the_list_count():
    rules = cors(
        CORS_ALLOWED_ORIGINS=["http://a.example"], CORS_ORIGIN_WHITELIST=["http://b.example"]
    )
    assert granted(rules, "http://a.example") is granted(rules, "http://b.example") is Grant.LISTED


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("https://a.example.com", Grant.LISTED),
        ("https://a.example.com.evil.example", Grant.NOTHING),
        ("https://evil.example/https://a.example.com", Grant.NOTHING),
        ("http://a.example.com", Grant.NOTHING),
    ],
)
def test_a_regular_expression_matches_the_whole_origin(text, grant):
    rules = cors(CORS_ALLOWED_ORIGIN_REGEXES=[r"https://\w+\.example\.com"])
    assert granted(rules, text) is grant


@pytest.mark.parametrize("text", ["null", "http://a, http://b", "*"])
def test_what_is_no_origin_is_never_listed(text):
    rules = cors(CORS_ALLOWED_ORIGIN_REGEXES=[".*"], CORS_ALLOW_CREDENTIALS=True)
    assert granted(rules, text) is Grant.NOTHING


def test_every_origin_may_read_but_none_with_credentials_unless_it_is_listed():
    rules = cors(
        CORS_ALLOW_ALL_ORIGINS=True,
        CORS_ALLOW_CREDENTIALS=True,
        CORS_ALLOWED_ORIGINS=["http://a.example"],
    )
    assert rules.fields(granted(rules, "http://evil.example"), "http://evil.example") == (
        ("Access-Control-Allow-Origin", "*"),
    )
    assert rules.fields(granted(rules, "http://a.example"), "http://a.example") == (
        ("Access-Control-Allow-Origin", "http://a.example"),
        ("Access-Control-Allow-Credentials", "true"),
    )


def test_whom_nothing_is_granted_gets_no_field():
    rules = cors(CORS_ALLOWED_ORIGINS=["http://a.example"], CORS_EXPOSE_HEADERS=["X-A"])
    assert rules.fields(Grant.NOTHING, "http://b.example") == ()


def test_fields_are_exposed_in_answers_and_not_in_preflights():
    rules = cors(CORS_ALLOWED_ORIGINS=["http://a.example"], CORS_EXPOSE_HEADERS=["X-A", "X-B"])
    expose = ("Access-Control-Expose-Headers", "X-A, X-B")
    assert expose in rules.fields(Grant.LISTED, "http://a.example")
    assert expose not in rules.preflight(Grant.LISTED, "http://a.example", False)


def test_a_preflight_is_told_methods_fields_and_for_how_long():
    rules = cors(
        CORS_ALLOWED_ORIGINS=["http://a.example"],
        CORS_ALLOW_METHODS=["GET", "PUT"],
        CORS_ALLOW_HEADERS=["x-a", "x-b"],
        CORS_PREFLIGHT_MAX_AGE=60,
    )
    assert rules.preflight(Grant.LISTED, "http://a.example", False) == (
        ("Access-Control-Allow-Origin", "http://a.example"),
        ("Access-Control-Allow-Methods", "GET, PUT"),
        ("Access-Control-Allow-Headers", "x-a, x-b"),
        ("Access-Control-Max-Age", "60"),
    )


def test_a_maximum_age_of_zero_is_not_said():
    rules = cors(CORS_ALLOW_ALL_ORIGINS=True, CORS_PREFLIGHT_MAX_AGE=0)
    names = [name for name, _ in rules.preflight(Grant.ANY, "http://a.example", False)]
    assert "Access-Control-Max-Age" not in names


@pytest.mark.parametrize("grant", [Grant.LISTED, Grant.ANY, Grant.LOCAL])
def test_only_a_listed_origin_may_call_from_the_internet_into_a_private_network(grant):
    field = ("Access-Control-Allow-Private-Network", "true")
    answer = cors().preflight(grant, "http://a.example", True)
    assert (field in answer) is (grant is Grant.LISTED)
    assert field not in cors().preflight(grant, "http://a.example", False)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("CORS_ALLOWED_ORIGINS", "a.example"),
        ("CORS_ALLOWED_ORIGINS", "http://a.example/"),
        ("CORS_ALLOWED_ORIGINS", "null"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ORIGIN_WHITELIST", "http://a.example/path"),
        ("CORS_ALLOWED_ORIGIN_REGEXES", "("),
        ("CORS_ALLOW_METHODS", "GET\r\nX: y"),
        ("CORS_ALLOW_HEADERS", "x a"),
        ("CORS_EXPOSE_HEADERS", ""),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_value(setting, value):
    with pytest.raises(OperationFailed) as caught:
        cors(**{setting: [value]})
    assert setting in str(caught.value)
    assert repr(value) in str(caught.value)


def test_a_list_without_entries_is_a_setting_that_lets_nobody_in():
    assert (cors().configured, cors(CORS_ALLOWED_ORIGINS=[]).configured) == (False, True)
    assert cors(CORS_ALLOWED_ORIGINS=[]).closed
    assert not cors(CORS_ALLOW_ALL_ORIGINS=True).closed
