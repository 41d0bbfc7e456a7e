"""Fields that the server adds to answers, whoever made them."""

from __future__ import annotations

import pytest

from hwebserver.exchange import Answer
from hwebserver.web.extra import Extra, add_vary

HTML = ("Content-Type", "text/html")
ALLOW = ("Access-Control-Allow-Origin", "http://a.example")


def dressed(extra, *fields):
    return extra.dress(Answer(200, fields)).fields


def test_all_else_of_an_answer_stays():
    answer = Answer(203, (HTML,), b"body", 4, True, True)
    assert Extra((("X-A", "1"),)).dress(answer) == answer._replace(fields=(HTML, ("X-A", "1")))


def test_nothing_to_add_leaves_the_answer_as_it_is():
    answer = Answer(200, (HTML,))
    assert Extra().dress(answer) is answer


@pytest.mark.parametrize(
    "extra",
    [
        Extra((("X-A", "1"),), (ALLOW,), ("Origin",), always=(("Referrer-Policy", "no-referrer"),)),
        Extra(cors=(ALLOW, ("Access-Control-Allow-Credentials", "true"))),
        Extra(vary=("Origin",)),
    ],
)
def test_a_second_time_changes_nothing(extra):
    once = extra.dress(Answer(200, (HTML, ("Vary", "Cookie"))))
    assert extra.dress(once) == once


def test_a_field_of_the_answer_goes_before_one_that_is_added():
    extra = Extra((("Strict-Transport-Security", "max-age=1"),))
    own = ("strict-transport-security", "max-age=0")
    assert dressed(extra, own) == (own,)


def test_a_field_that_is_always_sent_goes_before_that_of_the_answer():
    extra = Extra(always=(("Referrer-Policy", "no-referrer"),))
    assert dressed(extra, HTML, ("referrer-policy", "unsafe-url")) == (
        HTML,
        ("Referrer-Policy", "no-referrer"),
    )


def test_a_handler_that_allows_an_origin_itself_decides_alone():
    extra = Extra(cors=(ALLOW, ("Access-Control-Allow-Credentials", "true")))
    own = ("access-control-allow-origin", "*")
    assert dressed(extra, own) == (own,)


def test_a_handler_cannot_add_credentials_to_an_origin_that_the_settings_allow():
    own = ("Access-Control-Allow-Credentials", "true")
    assert dressed(Extra(cors=(ALLOW,)), HTML, own) == (HTML, ALLOW)


@pytest.mark.parametrize(
    ("own", "vary"),
    [
        ([], ["Origin"]),
        (["Cookie"], ["Cookie, Origin"]),
        (["Cookie", "Accept"], ["Cookie, Accept, Origin"]),
        (["cookie, ORIGIN"], ["cookie, ORIGIN"]),
        (["*"], ["*"]),
    ],
)
def test_vary_is_joined_to_what_the_answer_says(own, vary):
    fields = add_vary(tuple(("Vary", value) for value in own), ["Origin"])
    assert [value for _, value in fields] == vary


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (HTML, False), (("ETag", '"x"'), True), (("cache-control", "max-age=1"), True),
        (("Last-Modified", "x"), True), (("Expires", "x"), True),
    ],
)  # fmt: skip
def test_vary_may_be_left_out_where_no_cache_keeps_the_answer(field, said):
    extra = Extra(vary=("Origin",), when_kept=True)
    assert (("Vary", "Origin") in dressed(extra, field)) is said
    assert ("Vary", "Origin") in dressed(Extra(vary=("Origin",)), field)


def test_what_was_made_for_other_fields_is_not_used_again():
    extra = Extra((("X-A", "1"),))
    first, second = (HTML,), (("Content-Type", "text/plain"),)
    for fields in (first, second, first):
        assert dressed(extra, *fields) == (*fields, ("X-A", "1"))
