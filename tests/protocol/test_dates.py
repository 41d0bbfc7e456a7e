"""Times as HTTP writes them."""

from __future__ import annotations

import email.utils
import random

import pytest

from hwebserver.protocol.dates import http_date

NOW = 784111777
NOW_TEXT = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (NOW, NOW_TEXT),
        (NOW + 0.999, NOW_TEXT),
        (NOW + 0.9999997, NOW_TEXT),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_a_date_is_written_with_its_fraction_cut_off(seconds, text):
    assert http_date(seconds) == text


@pytest.mark.parametrize(
    "seconds", [253402300800, -62135596801, 1e18, 10**40, float("inf"), float("nan")]
)
def test_a_time_that_cannot_be_written_is_a_value_error(seconds):
    with pytest.raises(ValueError):  # noqa: PT011
        http_date(seconds)


def test_a_date_is_what_the_standard_library_writes():
    source = random.Random(5322)
    for _ in range(500):
        seconds = source.randrange(253402300800)
        assert http_date(seconds) == email.utils.formatdate(seconds, usegmt=True)
