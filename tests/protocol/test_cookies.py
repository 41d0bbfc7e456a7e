"""The Cookie field, and the Set-Cookie field."""

from __future__ import annotations

import email.utils
import enum
import random
import string
from urllib.parse import quote, unquote

import pytest

from hwebserver.protocol.cookies import format_cookie, parse_cookies

# --- Cookie ---


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
        ("a==", {"a": "="}),
        ('a="x=y"; b="', {"a": "x=y", "b": '"'}),
        ('a=""; b=" "', {"a": "", "b": " "}),
        ('a="x;y"', {"a": '"x'}),
        ('a="\\\\\\""', {"a": '\\"'}),
        ('a="1"; a=2; b=3; a=', {"a": "", "b": "3"}),
        ("\ta\t = \t1 2\t ;b=2 ", {"a": "1 2", "b": "2"}),
        ("a=\u00a0; \u00a0b=\x85", {"a": "\u00a0", "\u00a0b": "\x85"}),
        ('="1"; =2; a=3', {"a": "3"}),
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
        "a=" + "\\" * 100_000, 'a="' + "\\" * 100_001 + '"', 'a="' + '\\";' * 100_000,
        "a=" + " \t" * 250_000, "a=" + " " * 500_000 + "x", " " * 500_000 + "=x",
        'a="' + "\\101" * 100_000 + '"', 'a="' + "\\x" * 200_000 + '"',
    ],
)  # fmt: skip
def test_a_large_field_is_read_in_one_pass(value):
    # A reader that goes back for each backslash would not come to an end here.
    assert len(parse_cookies(value)) <= 1


def test_a_flood_of_backslashes_is_half_as_many_in_quotes():
    count = 100_000
    flood = "\\" * count
    assert parse_cookies(f"a={flood}") == {"a": flood}
    assert parse_cookies(f'a="{flood}"') == {"a": "\\" * (count // 2)}
    assert parse_cookies(f'a="{flood}x"; b=1') == {"a": "\\" * (count // 2) + "x", "b": "1"}


def test_ten_thousand_cookies_are_all_there():
    cookies = {f"name{number}": f"value={number}" for number in range(10_000)}
    assert parse_cookies("; ".join(f"{name}={text}" for name, text in cookies.items())) == cookies


def test_bytes_that_are_not_ascii_stay_latin_1():
    # The head is read as latin-1; whoever expects UTF-8 can go back to the bytes.
    value = parse_cookies("a=\u00fc\u20ac".encode().decode("latin-1"))["a"]
    assert value.encode("latin-1").decode() == "\u00fc\u20ac"


# --- Set-Cookie ---


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "a=1; Path=/; SameSite=Lax"),
        ({"path": "", "same_site": ""}, "a=1"),
        ({"path": "/x y/%20?=,"}, "a=1; Path=/x y/%20?=,; SameSite=Lax"),
        ({"max_age": 60}, "a=1; Max-Age=60; Path=/; SameSite=Lax"),
        ({"max_age": 0}, "a=1; Max-Age=0; Path=/; SameSite=Lax"),
        ({"max_age": -1}, "a=1; Max-Age=-1; Path=/; SameSite=Lax"),
        ({"expires": 0}, "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax"),
        (
            {"expires": 784111777.9},
            "a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Path=/; SameSite=Lax",
        ),
        ({"domain": "a-1.Example"}, "a=1; Path=/; Domain=a-1.Example; SameSite=Lax"),
        ({"domain": ".example.org"}, "a=1; Path=/; Domain=example.org; SameSite=Lax"),
        ({"secure": True}, "a=1; Path=/; Secure; SameSite=Lax"),
        ({"http_only": True}, "a=1; Path=/; HttpOnly; SameSite=Lax"),
        ({"same_site": "STRICT"}, "a=1; Path=/; SameSite=Strict"),
        ({"same_site": "lax"}, "a=1; Path=/; SameSite=Lax"),
        ({"same_site": "nOnE", "secure": True}, "a=1; Path=/; Secure; SameSite=None"),
        (
            {"partitioned": True, "secure": True},
            "a=1; Path=/; Secure; SameSite=Lax; Partitioned",
        ),
        (
            {
                "max_age": 1, "expires": 1, "path": "/p", "domain": "d", "secure": True,
                "http_only": True, "same_site": "None", "partitioned": True,
            },
            "a=1; Max-Age=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Path=/p; Domain=d; Secure; "
            "HttpOnly; SameSite=None; Partitioned",
        ),
    ],
)  # fmt: skip
def test_each_attribute_is_written_in_its_canonical_form(arguments, field):
    assert format_cookie("a", "1", **arguments) == field


def test_a_value_may_be_empty():
    assert format_cookie("a", "", path="", same_site="") == "a="


def test_every_octet_that_a_cookie_can_carry_is_carried_as_it_is():
    octets = "".join(sorted(set(string.printable) - set(string.whitespace) - set('",;\\')))
    assert len(octets) == 90
    token = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters
    field = format_cookie(token, octets, path="", same_site="")
    assert field == f"{token}={octets}"
    assert parse_cookies(field) == {token: octets}


@pytest.mark.parametrize(
    "bad", [chr(code) for code in range(0x21)] + list('",;\\\x7f\x80\xff\u0131\u2028\ud800')
)
def test_a_value_with_another_character_is_refused_and_told_to_be_encoded(bad):
    for value in (bad, f"x{bad}", f"{bad}x", f"x{bad}y"):
        with pytest.raises(ValueError, match=r"the value of the cookie a .* urllib\.parse\.quote"):
            format_cookie("a", value)


def test_a_refusal_does_not_show_the_value():
    with pytest.raises(ValueError, match="value") as caught:
        format_cookie("a", "secret;")
    assert "secret" not in str(caught.value)


def test_the_advice_of_the_message_works():
    source = random.Random(6265)
    for _ in range(500):
        text = "".join(map(chr, source.choices(range(0xD800), k=20)))
        field = format_cookie("a", quote(text), path="", same_site="")
        assert unquote(parse_cookies(field)["a"]) == text


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a=", "a;", 'a"', "a,b", "\u00fc", "a\r\nSet-Cookie: b", "a\n", "a/b", "[a]"],
)
def test_a_name_that_is_no_token_is_refused(name):
    with pytest.raises(ValueError, match="name"):
        format_cookie(name, "1")


def test_name_and_value_share_4096_bytes():
    assert format_cookie("name", "x" * 4092).startswith("name=xxx")
    assert format_cookie("n" * 4096, "").startswith("nnn")
    for name, value in (("name", "x" * 4093), ("n" * 4097, ""), ("a", "x" * 5_000_000)):
        with pytest.raises(ValueError, match="4096"):
            format_cookie(name, value)


def test_an_attribute_has_1024_bytes():
    assert f"Path=/{'p' * 1023};" in format_cookie("a", "1", path="/" + "p" * 1023)
    assert f"Domain={'d' * 1024};" in format_cookie("a", "1", domain="." + "d" * 1024)
    with pytest.raises(ValueError, match=r"Path .* 1024"):
        format_cookie("a", "1", path="/" + "p" * 1024)
    with pytest.raises(ValueError, match=r"Domain .* 1024"):
        format_cookie("a", "1", domain="d" * 1025)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        " /",
        "./",
        "*",
        "/;",
        "/a; Secure",
        "/\r\n",
        "/\n",
        "/\0",
        "/\t",
        "/\x7f",
        "/\u00fc",
        "/\u2028",
    ],
)
def test_a_path_that_a_browser_would_not_take_is_refused(path):
    with pytest.raises(ValueError, match="the Path of a cookie"):
        format_cookie("a", "1", path=path)


@pytest.mark.parametrize(
    "domain",
    [
        ".", "..", "..a", "a..b", "a.", "a;b", "a b", " a", "a\n", "a_b", "a:80", "[::1]", "a/b",
        "a,b", "b\u00fccher.example", "*.example.org", "a\r\nX: y",
    ],
)  # fmt: skip
def test_a_domain_that_is_no_host_name_is_refused(domain):
    with pytest.raises(ValueError, match="Domain"):
        format_cookie("a", "1", domain=domain)


@pytest.mark.parametrize("same_site", ["no", " Lax", "Lax;", "Lax, Strict", "True", "\u017ftrict"])
def test_an_unknown_same_site_is_refused(same_site):
    with pytest.raises(ValueError, match="SameSite"):
        format_cookie("a", "1", same_site=same_site)


def test_max_age_has_64_bits():
    assert "Max-Age=9223372036854775807;" in format_cookie("a", "1", max_age=2**63 - 1)
    for max_age in (2**63, -(2**63), 10**5000):
        with pytest.raises(ValueError, match="Max-Age"):
            format_cookie("a", "1", max_age=max_age)


def test_expires_has_the_years_that_a_date_can_say():
    last = 253402300799
    assert "Expires=Fri, 31 Dec 9999 23:59:59 GMT;" in format_cookie("a", "1", expires=last)
    for expires in (-1, -0.001, last + 0.5, last + 1, 1e300, 10**400, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Expires"):
            format_cookie("a", "1", expires=expires)


def test_expires_is_read_back_as_the_same_second():
    source = random.Random(1123)
    for _ in range(200):
        seconds = source.randrange(4_000_000_000)
        field = format_cookie("a", "1", expires=seconds, path="", same_site="")
        date = email.utils.parsedate_to_datetime(field.partition("Expires=")[2])
        assert date.timestamp() == seconds


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("a", {"same_site": "none"}, "SameSite=None must be Secure"),
        ("a", {"partitioned": True}, "Partitioned must be Secure"),
        ("__Secure-a", {}, "__Secure-a must be Secure"),
        ("__sEcUrE-", {}, "__sEcUrE- must be Secure"),
        ("__Host-a", {}, "__Host-a must be Secure"),
        ("__HOST-a", {"secure": True, "path": "/x"}, "Path of the cookie __HOST-a"),
        ("__Host-a", {"secure": True, "path": ""}, "Path of the cookie __Host-a"),
        ("__host-a", {"secure": True, "domain": "example.org"}, "__host-a must have no Domain"),
    ],
)
def test_a_promise_that_the_cookie_does_not_keep_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        format_cookie(name, "1", **arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("__Secure-a", {"secure": True, "path": "/x", "domain": "example.org"}),
        ("__Secure-a", {"secure": True, "path": ""}),
        ("__Host-a", {"secure": True}),
        ("__host-a", {"secure": True, "partitioned": True, "same_site": "None"}),
        ("__Host", {}),
        ("__Secure", {"domain": "example.org"}),
        ("a__Host-", {"path": "/x"}),
    ],
)
def test_a_prefix_is_no_matter_when_its_promise_is_kept(name, arguments):
    assert format_cookie(name, "1", **arguments).startswith(f"{name}=1; ")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"name": b"a"}, "name .* bytes"),
        ({"value": 1}, "value .* int"),
        ({"value": None}, "value .* NoneType"),
        ({"value": b"1"}, "value .* bytes"),
        ({"path": None}, "Path .* NoneType"),
        ({"domain": None}, "Domain .* NoneType"),
        ({"same_site": None}, "SameSite .* NoneType"),
        ({"same_site": True}, "SameSite .* bool"),
        ({"max_age": True}, "Max-Age .* bool"),
        ({"max_age": 1.5}, "Max-Age .* float"),
        ({"max_age": "60"}, "Max-Age .* str"),
        ({"expires": False}, "Expires .* bool"),
        ({"expires": "0"}, "Expires .* str"),
    ],
)
def test_an_argument_of_another_type_is_refused(arguments, what):
    with pytest.raises(TypeError, match=what):
        format_cookie(**{"name": "a", "value": "1", **arguments})


def test_a_text_that_is_an_enum_too_is_written_as_its_value():
    class Word(str, enum.Enum):
        NAME = "name"
        PATH = "/path"

    class Age(int, enum.Enum):
        HOUR = 3600

    field = format_cookie(Word.NAME, Word.NAME, path=Word.PATH, max_age=Age.HOUR, same_site="")
    assert field == "name=name; Max-Age=3600; Path=/path"
