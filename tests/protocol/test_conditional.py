"""Preconditions, ranges and dates, without sockets: what a request gets of a representation."""

from __future__ import annotations

import calendar
import email.parser
import email.policy
import itertools
import random
import time

import pytest

from hwebserver.protocol.conditional import (
    MAX_RANGES,
    RANGE_GAP,
    ByteRange,
    Verdict,
    content_range,
    evaluate,
    multipart_ranges,
    parse_http_date,
)
from hwebserver.protocol.dates import http_date
from hwebserver.protocol.headers import Fields

NOW = 784111777  # the date that RFC 9110 writes in three ways
NOW_TEXT = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE_TEXT = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER_TEXT = "Sun, 06 Nov 1994 08:49:38 GMT"
TAG = '"one"'


def verdict(method="GET", size=1000, etag=TAG, modified=NOW, **values):
    """Evaluate a request; if_match="x" is the field If-Match, range="x" is Range."""
    combined = {name.replace("_", "-"): value for name, value in values.items()}
    return evaluate(method, Fields(list(combined.items()), combined), size, etag, modified)


def status(method="GET", **values):
    return verdict(method, **values).status


def pieces(text, size=1000):
    """Return the ranges of a GET as pairs, or the status if it is not 206."""
    found = verdict(range=text, size=size)
    assert bool(found.ranges) == (found.status == 206)
    return [tuple(piece) for piece in found.ranges] if found.ranges else found.status


# --- the order of preconditions ---


def test_without_conditions_all_is_sent():
    assert verdict() == Verdict(200, ())


# Each condition: its field, and for true and false the values (None: the field is absent).
STEPS = {
    "if_match": (None, TAG, '"two"'),
    "if_unmodified_since": (None, NOW_TEXT, BEFORE_TEXT),
    "if_none_match": (None, '"two"', TAG),
    "if_modified_since": (None, BEFORE_TEXT, NOW_TEXT),
    "range": (None, "bytes=0-9", "bytes=1000-"),
    "if_range": (None, TAG, '"two"'),
}
ABSENT, TRUE, FALSE = range(3)
COMBINATIONS = list(itertools.product(range(3), repeat=len(STEPS)))


def expected(method, match, unmodified, none_match, modified, asked, same):
    """The steps of RFC 9110 13.2.2, one by one, for conditions that are absent, true or false."""
    reads = method in ("GET", "HEAD")
    if match == FALSE:
        return 412
    if match == ABSENT and unmodified == FALSE:
        return 412
    if none_match == FALSE:
        return 304 if reads else 412
    if none_match == ABSENT and reads and modified == FALSE:
        return 304
    if method == "GET" and asked != ABSENT and same != FALSE:
        return 206 if asked == TRUE else 416
    return 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get"])
def test_every_combination_of_conditions_follows_the_order_of_the_rfc(method):
    for states in COMBINATIONS:
        values = {name: STEPS[name][state] for name, state in zip(STEPS, states)}
        present = {name: value for name, value in values.items() if value is not None}
        assert status(method, **present) == expected(method, *states), present


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT"])
def test_a_method_that_selects_nothing_has_no_preconditions(method):
    for states in COMBINATIONS:
        values = {name: STEPS[name][state] for name, state in zip(STEPS, states)}
        present = {name: value for name, value in values.items() if value is not None}
        assert verdict(method, **present) == Verdict(200), present


# --- entity tags ---


@pytest.mark.parametrize(
    ("ours", "theirs", "strong", "weak"),
    [
        ('"1"', '"1"', True, True),
        ('"1"', '"2"', False, False),
        ('"1"', 'W/"1"', False, True),
        ('W/"1"', '"1"', False, True),
        ('W/"1"', 'W/"1"', False, True),  # RFC 9110 8.8.3.2, first row
        ('W/"1"', 'W/"2"', False, False),
        ('""', '""', True, True),
        ('""', 'W/""', False, True),
        ('"a"', '"A"', False, False),
        ("", '"1"', False, False),
        ("", '""', False, False),
        ("", "", False, False),
        ("", 'W/""', False, False),
        ('"a\xe4"', '"a\xe4"', True, True),
        ('"a\\"', '"a\\"', True, True),  # a backslash escapes nothing in a tag
    ],
)
def test_if_match_and_if_range_compare_strongly_and_if_none_match_weakly(
    ours, theirs, strong, weak
):
    assert status(etag=ours, if_match=theirs) == (200 if strong else 412)
    assert status(etag=ours, if_none_match=theirs) == (304 if weak else 200)
    assert status("PUT", etag=ours, if_none_match=theirs) == (412 if weak else 200)
    assert status(etag=ours, if_range=theirs, range="bytes=0-1") == (206 if strong else 200)


@pytest.mark.parametrize(
    "tags",
    [
        '"a","one"',
        '"one","a"',
        '"a" \t,\t "one" ,"b"',
        ',, "one" ,\t,',
        '"a,b", "one"',
        '",","one"',
        '"W/","one"',
        'W/"two", "one", "three"',
        '"one", "one"',
        '"\x80\xff!#~","one"',
        '"\\","one"',
    ],
)
def test_a_tag_is_found_in_a_list(tags):
    assert status(if_match=tags) == 200
    assert status(if_none_match=tags) == 304


def test_a_tag_with_a_comma_is_one_tag():
    assert status(etag='"a,b"', if_match='"x", "a,b"') == 200
    assert status(etag='"a,b"', if_none_match='"x", W/"a,b"') == 304
    assert status(etag='"b"', if_match='"a,"b"') == 412


@pytest.mark.parametrize(
    "tags",
    [
        "",
        ",",
        " , ",
        "one",
        '"one',
        'one"',
        "'one'",
        '"one" "two"',
        '"one""two"',
        '"one"; "two"',
        '"one", two',
        'two, "one"',
        '"one", *',
        '*, "one"',
        "*, *",
        "**",
        '"*"',
        '"one", "two',
        'w/"one"',
        'w/"two", "one"',
        'W/ "one"',
        'W"one"',
        'W/W/"one"',
        '"one", "a b"',
        '"one", "a\tb"',
        '"one", "a\x7f"',
        '"one", "\u0161"',
        '"one"\x0b',
        '"one",\xa0"two"',
        '\x0c"one"',
        '"one", W/',
        '"one"/W',
        '"one"\\',
    ],
)
def test_a_list_with_a_fault_in_it_matches_nothing(tags):
    assert status(if_match=tags) == 412
    assert status(if_none_match=tags) == 200
    assert status("PUT", if_none_match=tags) == 200


def test_a_list_with_a_fault_in_it_still_keeps_the_date_out():
    assert status(if_match="one", if_unmodified_since=NOW_TEXT) == 412
    assert status(if_none_match="one", if_modified_since=NOW_TEXT) == 200


@pytest.mark.parametrize("etag", ["", TAG, 'W/"one"'])
def test_a_star_matches_whatever_is_there(etag):
    assert status(if_match="*", etag=etag) == 200
    assert status(if_none_match="*", etag=etag) == 304
    assert status("HEAD", if_none_match="*", etag=etag) == 304
    assert status("PUT", if_none_match="*", etag=etag) == 412


def test_a_list_of_many_tags_is_read_in_one_pass():
    # A reader that goes back for each member or space would not come to an end here.
    count = 100_000
    assert status(if_match=f'"{"x" * 9}", ' * count + TAG) == 200
    assert status(if_none_match=f'W/{TAG[:-1]}x", ' * count + TAG) == 304
    assert status(if_match=TAG + "," * count) == 200
    assert status(if_match=TAG + " " * count * 10 + "x") == 412
    assert status(if_match=" " * count * 10 + "x") == 412
    assert status(if_match=" ," * count + TAG + " " * count) == 200
    assert status(if_match='"' + "x" * count) == 412
    assert status(if_match='"' * count + "x") == 412
    assert status(if_match="W/" * count) == 412


# --- dates as conditions ---


@pytest.mark.parametrize(
    ("text", "unmodified", "since"),
    [(BEFORE_TEXT, 412, 200), (NOW_TEXT, 200, 304), (AFTER_TEXT, 200, 304)],
)
def test_a_representation_is_unmodified_since_its_own_second(text, unmodified, since):
    for method in ("GET", "HEAD"):
        assert status(method, if_unmodified_since=text) == unmodified
        assert status(method, if_modified_since=text) == since
    assert status("PUT", if_unmodified_since=text) == unmodified
    assert status("PUT", if_modified_since=text) == 200


@pytest.mark.parametrize(
    "text",
    ["", "now", "0", str(NOW), NOW_TEXT + ", " + NOW_TEXT, NOW_TEXT[:-4], TAG, "*"],
)
def test_a_date_that_is_none_is_no_condition(text):
    for modified in (NOW, None, -(10**15), 10**15):
        assert status(if_unmodified_since=text, modified=modified) == 200
        assert status(if_modified_since=text, modified=modified) == 200


def test_without_a_time_of_our_own_dates_are_no_condition():
    for text in (BEFORE_TEXT, NOW_TEXT, AFTER_TEXT):
        assert status(modified=None, if_unmodified_since=text) == 200
        assert status(modified=None, if_modified_since=text) == 200


def test_a_representation_of_the_epoch_has_a_time():
    text = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert status(modified=0, if_modified_since=text) == 304
    assert status(modified=1, if_unmodified_since=text) == 412
    assert status(modified=0, if_range=text, range="bytes=0-1") == 206


# --- If-Range ---


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (TAG, True),
        ('"two"', False),
        ('W/"one"', False),
        ('"one", "two"', False),
        ('"one","one"', False),
        ("one", False),
        ('"one', False),
        ("*", False),
        ("", False),
        (NOW_TEXT, True),
        ("Sunday, 06-Nov-94 08:49:37 GMT", True),
        ("Sun Nov  6 08:49:37 1994", True),
        (BEFORE_TEXT, False),
        (AFTER_TEXT, False),
        (NOW_TEXT + "x", False),
        ("yesterday", False),
    ],
)
def test_a_range_counts_only_for_exactly_this_representation(text, holds):
    assert status(if_range=text, range="bytes=0-1") == (206 if holds else 200)
    assert status(if_range=text, range="bytes=5000-") == (416 if holds else 200)
    assert status(if_range=text) == 200
    assert status("HEAD", if_range=text, range="bytes=0-1") == 200


@pytest.mark.parametrize("text", ["", "x", "*", '""', 'W/"one"', TAG, NOW_TEXT])
def test_a_representation_without_validators_is_never_the_same(text):
    assert status(etag="", modified=None, if_range=text, range="bytes=0-1") == 200


@pytest.mark.parametrize("text", ['W/"one"', TAG])
def test_a_weak_tag_of_ours_is_never_the_same(text):
    assert status(etag='W/"one"', if_range=text, range="bytes=0-1") == 200


# --- Range: which fields count ---


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "Get"])
@pytest.mark.parametrize("text", ["bytes=0-1", "bytes=5000-", "bytes=x"])
def test_only_get_has_ranges(method, text):
    assert verdict(method, range=text) == Verdict(200)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes",
        "bytes=",
        "=0-1",
        "0-1",
        "bytes 0-1",
        "bytes:0-1",
        "byte=0-1",
        "bytess=0-1",
        "items=0-1",
        "none=0-1",
        "bytes =0-1",
        " bytes=0-1",
        "bytes= 0-1",
        "bytes=0-1 ",
        "bytes=\t0-1",
        "bytes==0-1",
        "bytes=,",
        "bytes=, ,\t,",
        "bytes=-",
        "bytes=--1",
        "bytes=0",
        "bytes=0-1-2",
        "bytes=0--1",
        "bytes=-1-",
        "bytes=+0-1",
        "bytes=0-+1",
        "bytes=1_0-2_0",
        "bytes=0x1-0x2",
        "bytes=1.0-2",
        "bytes=1e1-",
        "bytes=0 -1",
        "bytes=0- 1",
        "bytes=- 1",
        "bytes=a-b",
        "bytes=*",
        "bytes=0-*",
        "bytes=\u0660-\u0661",
        "bytes=0-\u0661",
        "bytes=\xb2-\xb3",
        "bytes=\xb9-",
        "bytes=0\u20131",
        "bytes=0-1\n",
        "bytes=0-1\r\n",
        "bytes=0-1\x0b",
        "bytes=\xa00-1",
        "bytes=0-1;2-3",
        "bytes=0-1 2-3",
        "bytes=0-1,x",
        "bytes=x,0-1",
        "bytes=0-1,-",
        "bytes=0-1, bytes=2-3",
        "bytes=0-1,\xa02-3",
        "bytes=1-0",
        "bytes=0-1,5-4",
        "bytes=5-4,0-1",
        "bytes=500-0499",
        "bytes=2000-1999",
        "bytes=" + "9" * 300 + "-" + "9" * 299,
        "bytes=" + "9" * 300 + "-" + "9" * 299 + "8",
        "bytes=" + "9" * 300 + "-0" + "9" * 299 + "8",
        "bytes=0-1," + "9" * 20 + "-" + "1" * 20,
    ],
)
def test_what_is_no_valid_range_of_bytes_is_ignored(text):
    assert verdict(range=text) == Verdict(200)


@pytest.mark.parametrize("unit", ["bytes", "BYTES", "Bytes", "bYtEs"])
def test_the_unit_has_no_case(unit):
    assert pieces(f"{unit}=0-9") == [(0, 10)]


# --- Range: what is selected ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=999-999", [(999, 1000)]),
        ("bytes=999-", [(999, 1000)]),
        ("bytes=500-", [(500, 1000)]),
        ("bytes=998-999", [(998, 1000)]),
        ("bytes=998-1000", [(998, 1000)]),
        ("bytes=998-5000", [(998, 1000)]),
        ("bytes=00000-0009", [(0, 10)]),
        ("bytes=" + "0" * 300 + "5-" + "0" * 299 + "06", [(5, 7)]),
        ("bytes=0-" + "9" * 19, [(0, 1000)]),
        ("bytes=0-" + "9" * 20, [(0, 1000)]),
        ("bytes=0-" + "9" * 5000, [(0, 1000)]),
        ("bytes=-1", [(999, 1000)]),
        ("bytes=-500", [(500, 1000)]),
        ("bytes=-999", [(1, 1000)]),
        ("bytes=-05", [(995, 1000)]),
        # The whole of it is still a range.
        ("bytes=0-", [(0, 1000)]),
        ("bytes=0-999", [(0, 1000)]),
        ("bytes=-1000", [(0, 1000)]),
        ("bytes=-1001", [(0, 1000)]),
        ("bytes=-" + "9" * 19, [(0, 1000)]),
        ("bytes=-" + "9" * 20, [(0, 1000)]),
        ("bytes=-" + "9" * 5000, [(0, 1000)]),
        # Empty members and white space around commas.
        ("bytes=,0-9", [(0, 10)]),
        ("bytes=0-9,", [(0, 10)]),
        ("bytes=,, ,0-9 ,\t,", [(0, 10)]),
        ("bytes=0-9 \t, \t500-509", [(0, 10), (500, 510)]),
        # What cannot be satisfied is dropped beside what can.
        ("bytes=1000-,0-9", [(0, 10)]),
        ("bytes=0-9,-0", [(0, 10)]),
        ("bytes=2000-3000,-0,5-6," + "9" * 300 + "-", [(5, 7)]),
    ],
)
def test_ranges_are_cut_to_the_representation(text, found):
    assert pieces(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "bytes=1000-",
        "bytes=1000-1000",
        "bytes=1001-2000",
        "bytes=-0",
        "bytes=-000",
        "bytes=-0,-0",
        "bytes=1000-,-0,5000-6000",
        "bytes=" + "9" * 19 + "-",
        "bytes=" + "1" * 20 + "-" + "1" * 20,
        "bytes=" + "9" * 299 + "-" + "1" * 300,
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_ranges_that_are_all_behind_the_end_cannot_be_satisfied(text):
    assert verdict(range=text) == Verdict(416)


@pytest.mark.parametrize("text", ["0-", "0-0", "0-9", "1-", "-0", "-1", "-5", "0-,-1"])
def test_nothing_of_an_empty_representation_can_be_selected(text):
    assert verdict(range=f"bytes={text}", size=0) == Verdict(416)


def test_an_empty_representation_has_no_need_of_a_range_that_is_none():
    assert verdict(range="bytes=1-0", size=0) == Verdict(200)
    assert verdict(size=0) == Verdict(200)


@pytest.mark.parametrize("text", ["0-", "0-0", "0-9", "-1", "-9"])
def test_a_single_byte_can_be_selected(text):
    assert pieces(f"bytes={text}", size=1) == [(0, 1)]


def test_a_representation_may_be_as_large_as_any():
    size = 2**63 - 1
    assert pieces(f"bytes={size - 1}-", size) == [(size - 1, size)]
    assert pieces(f"bytes=0-0,{size - 2}-{size}", size) == [(0, 1), (size - 2, size)]
    assert pieces(f"bytes={size}-", size) == 416
    assert pieces(f"bytes=-{size}", size) == [(0, size)]


# --- Range: merging, order, bounds ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0-9,5-14", [(0, 15)]),
        ("5-14,0-9", [(0, 15)]),
        ("0-99,10-19", [(0, 100)]),
        ("10-19,0-99", [(0, 100)]),
        ("0-9,0-9", [(0, 10)]),
        ("0-9,10-19", [(0, 20)]),
        ("10-19,0-9", [(0, 20)]),
        ("0-9,500-509,505-519", [(0, 10), (500, 520)]),
        # What is merged ascends, all of it.
        ("700-709,500-509,505-519,0-9", [(0, 10), (500, 520), (700, 710)]),
        ("0-,-1", [(0, 1000)]),
        ("-5,0-4", [(995, 1000), (0, 5)]),
        ("0-0,-1", [(0, 1), (999, 1000)]),
        ("999-,0-0,500-500", [(999, 1000), (0, 1), (500, 501)]),
        ("0-299,600-899,300-599", [(0, 900)]),
        # What cannot be satisfied does not count as merged.
        ("999-,2000-,0-0", [(999, 1000), (0, 1)]),
    ],
)
def test_ranges_that_overlap_or_touch_are_merged_and_others_keep_their_order(text, found):
    assert pieces(f"bytes={text}") == found


def test_a_gap_is_sent_along_when_it_is_smaller_than_a_head():
    def with_gap(gap):
        return pieces(f"bytes={10 + gap}-{19 + gap},0-9")

    assert with_gap(RANGE_GAP - 1) == [(0, RANGE_GAP + 19)]
    assert with_gap(RANGE_GAP) == [(RANGE_GAP + 10, RANGE_GAP + 20), (0, 10)]
    assert with_gap(RANGE_GAP + 1) == [(RANGE_GAP + 11, RANGE_GAP + 21), (0, 10)]


def test_the_gap_is_about_the_size_of_the_head_of_a_part():
    heads, _ = multipart_ranges(
        [ByteRange(0, 1), ByteRange(500, 501)], 10**6, "application/octet-stream", "b" * 24
    )
    assert len(heads[1]) <= RANGE_GAP


def spread(count, separator=","):
    """Return that many ranges that do not merge, and how large a representation holds them."""
    step = RANGE_GAP + 1
    return "bytes=" + separator.join(f"{n * step}-{n * step}" for n in range(count)), count * step


def test_the_bounds_are_these():
    assert (MAX_RANGES, RANGE_GAP) == (100, 128)


def test_there_may_be_as_many_ranges_as_the_bound():
    for count in (MAX_RANGES - 1, MAX_RANGES):
        text, size = spread(count)
        assert len(pieces(text, size)) == count
    text, size = spread(MAX_RANGES + 1)
    assert pieces(text, size) == 200


def test_ranges_that_would_merge_count_one_by_one():
    assert pieces("bytes=" + "0-9," * (MAX_RANGES - 1) + "0-9") == [(0, 10)]
    assert pieces("bytes=" + "0-9," * MAX_RANGES + "0-9") == 200
    assert pieces("bytes=" + "5000-," * MAX_RANGES + "0-9") == 200


def test_empty_members_are_no_ranges_but_have_a_bound_too():
    text, size = spread(MAX_RANGES, ", ,")
    assert len(pieces(text + ",,", size)) == MAX_RANGES
    assert pieces(text + ",,,", size) == 200


def test_many_ranges_are_ignored_before_they_are_read(monkeypatch):
    read = []
    monkeypatch.setattr("hwebserver.protocol.conditional._range_spec", read.append)
    for count in (MAX_RANGES + 1, 1000, 10_000):
        assert pieces("bytes=" + ",".join(["0-0"] * count)) == 200
    assert read == []
    pieces("bytes=0-0")
    assert read == ["0-0"]


def test_long_numbers_and_lists_are_read_in_one_pass():
    # int() of this many digits, or a reader that goes back, would not come to an end here.
    digits = "9" * 1_000_000
    assert pieces(f"bytes={digits}-{digits}") == 416
    assert pieces(f"bytes=-{digits}") == [(0, 1000)]
    assert pieces(f"bytes={digits}") == 200
    assert pieces("bytes=" + "0" * 1_000_000 + "1-1") == [(1, 2)]
    assert pieces("bytes=0-1" + " " * 1_000_000 + ",x") == 200
    assert pieces("bytes=" + "-" * 1_000_000) == 200
    assert pieces("bytes=" + ", " * 1_000_000) == 200


def naive(specs, size):
    """Return the bytes that ranges name, each range on its own; None for an invalid list."""
    wanted = set()
    for first, last in specs:
        if first is None:
            wanted.update(range(max(0, size - last), size))
        elif last is not None and first > last:
            return None
        else:
            wanted.update(range(first, size if last is None else min(last + 1, size)))
    return wanted


def random_spec(source, size):
    first = source.randrange(size + 20)
    return source.choice(
        [
            (first, None),
            (None, source.randrange(size + 20)),
            (first, first + source.randrange(40)),
            (first, first + source.randrange(40)),
            (first, first + source.randrange(40)),
            (first, source.randrange(first, first + size + 1)),
            (first, max(0, first - (source.random() < 0.1))),
        ]
    )


@pytest.mark.parametrize("seed", range(8))
def test_what_is_sent_is_what_was_asked_for_and_small_gaps(seed):
    source = random.Random(seed)
    seen = set()
    for _ in range(100):
        size = source.choice([0, 1, 10, 200, 1500])
        specs = [random_spec(source, size) for _ in range(source.randrange(1, 6))]
        text = ",".join(
            f"{'' if first is None else first}-{'' if last is None else last}"
            for first, last in specs
        )
        found = verdict(range=f"bytes={text}", size=size)
        wanted = naive(specs, size)
        seen.add(found.status)
        if not wanted:
            assert found == Verdict(200 if wanted is None else 416), text
            continue
        check_ranges(found.ranges, wanted, size)
        in_order = [piece for piece in (naive([spec], size) for spec in specs) if piece]
        if len(found.ranges) == len(in_order):
            assert [set(range(*piece)) for piece in found.ranges] == in_order
        else:
            assert list(found.ranges) == sorted(found.ranges)
    assert seen == {200, 206, 416}


def check_ranges(ranges, wanted, size):
    """See that ranges hold the wanted bytes, and no others but in gaps that are small enough."""
    assert all(0 <= piece.start < piece.end <= size for piece in ranges)
    assert sum(piece.size for piece in ranges) <= size
    ascending = sorted(ranges)
    for one, other in zip(ascending, ascending[1:]):
        assert other.start - one.end >= RANGE_GAP
    for piece in ranges:
        assert {piece.start, piece.end - 1} <= wanted
        gap = 0
        for position in range(*piece):
            gap = 0 if position in wanted else gap + 1
            assert gap < RANGE_GAP
    assert wanted <= {position for piece in ranges for position in range(*piece)}


# --- dates ---


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (NOW_TEXT, NOW),
        ("Sunday, 06-Nov-94 08:49:37 GMT", NOW),
        ("Sun Nov  6 08:49:37 1994", NOW),
        ("Sun Nov 06 08:49:37 1994", NOW),
        ("Wed Nov 16 08:49:37 1994", NOW + 10 * 86400),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Tue, 19 Jan 2038 03:14:08 GMT", 2**31),
        ("Sun, 07 Feb 2106 06:28:16 GMT", 2**32),
        ("Mon, 01 Jan 0001 00:00:00 GMT", -62135596800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        ("Tue, 29 Feb 2000 12:00:00 GMT", 951825600),
        ("Thu, 29 Feb 2024 12:00:00 GMT", 1709208000),
        ("Fri, 01 Mar 2024 00:00:00 GMT", 1709251200),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),  # a leap second
        # Two digits are a year from 1970 to 2069.
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ("Friday, 31-Dec-99 23:59:59 GMT", 946684799),
        ("Saturday, 01-Jan-00 00:00:00 GMT", 946684800),
        ("Tuesday, 31-Dec-69 23:59:59 GMT", 3155759999),
        # The name of the day decides nothing.
        ("Mon, 06 Nov 1994 08:49:37 GMT", NOW),
    ],
)
def test_a_date_has_three_formats(text, seconds):
    assert parse_http_date(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "GMT",
        "0",
        "784111777",
        " " + NOW_TEXT,
        NOW_TEXT + " ",
        NOW_TEXT + "\n",
        NOW_TEXT.lower(),
        NOW_TEXT.upper(),
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, 06 Nov 999999999999999999999 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun,  06 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT",
        "Sun,\t06 Nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 November 1994 08:49:37 GMT",
        "Sun, 06 Okt 1994 08:49:37 GMT",
        "Sun, 06 11 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 32 Jan 1994 08:49:37 GMT",
        "Sun, 99 Jan 1994 08:49:37 GMT",
        "Sun, 30 Feb 2024 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:99 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37.0 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 \uff10\uff18:49:37 GMT",
        "Sun, 06 Nov 199\xb2 08:49:37 GMT",
        "Sun, 06\xa0Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\0",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 6-Nov-94 08:49:37 GMT",
        "Sunday, 31-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Tueday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  0 08:49:37 1994",
        "Sun Nov 31 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 19941",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, Nov  6 08:49:37 1994",
        "Sun Nov  6 24:49:37 1994",
        "1994-11-06T08:49:37Z",
        "\u0661" * 30,
        "9" * 5000,
        "Sun, 06 Nov " + "9" * 5000 + " 08:49:37 GMT",
        "Sun, " * 50_000,
    ],
)
def test_what_is_no_date_is_none(text):
    assert parse_http_date(text) is None


def test_every_day_of_four_centuries_is_where_the_calendar_has_it():
    for year in range(1899, 2300):
        month, day = 1 + year % 12, 1 + year % 28
        text = f"Mon, {day:02} {calendar.month_abbr[month]} {year} 12:34:56 GMT"
        assert parse_http_date(text) == calendar.timegm((year, month, day, 12, 34, 56))
    for day in range(-800, 800):
        text = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(951782400 + day * 86400))
        assert parse_http_date(text) == 951782400 + day * 86400


def test_what_is_written_is_read_back():
    source = random.Random(9110)
    for _ in range(500):
        seconds = source.randrange(253402300800)
        assert parse_http_date(http_date(seconds)) == seconds


# --- what goes with an answer ---


def test_content_range_names_the_last_byte():
    assert content_range(ByteRange(0, 5), 10) == "bytes 0-4/10"
    assert content_range(ByteRange(9, 10), 10) == "bytes 9-9/10"


def test_content_range_of_nothing_names_the_size():
    assert content_range(None, 10) == "bytes */10"
    assert content_range(None, 0) == "bytes */0"


def test_a_range_knows_its_size():
    assert ByteRange(3, 10).size == 7


def multipart(ranges, data, content_type="", boundary="token"):
    heads, closing = multipart_ranges(ranges, len(data), content_type, boundary)
    pairs = zip(heads, ranges)
    return b"".join(head + data[one.start : one.end] for head, one in pairs) + closing


def test_parts_are_written_like_this():
    data = bytes(range(256))
    assert multipart([ByteRange(65, 68), ByteRange(48, 49)], data, "text/plain") == (
        b"--token\r\nContent-Type: text/plain\r\nContent-Range: bytes 65-67/256\r\n\r\nABC"
        b"\r\n--token\r\nContent-Type: text/plain\r\nContent-Range: bytes 48-48/256\r\n\r\n0"
        b"\r\n--token--\r\n"
    )
    assert multipart([ByteRange(65, 66)], data) == (
        b"--token\r\nContent-Range: bytes 65-65/256\r\n\r\nA\r\n--token--\r\n"
    )


@pytest.mark.parametrize("content_type", ["", "application/octet-stream", 'text/x; a="\xe4"'])
@pytest.mark.parametrize("text", ["0-99", "0-0,500-600,-1", "900-,0-9"])
def test_a_parser_of_mail_finds_the_parts(content_type, text):
    data = random.Random(5).getrandbits(8000).to_bytes(1000, "big")
    # The parser takes any line end for one, so the data has none of them.
    data = data.translate(bytes(byte if byte not in b"\r\n" else 0 for byte in range(256)))
    ranges = verdict(range=f"bytes={text}").ranges
    head = b"Content-Type: multipart/byteranges; boundary=b0undary\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        head + multipart(ranges, data, content_type, "b0undary")
    )
    parts = message.get_payload()
    assert not message.defects
    assert not message.preamble
    assert not message.epilogue
    assert [part.get_payload(decode=True) for part in parts] == [
        data[start:end] for start, end in ranges
    ]
    assert [part["Content-Range"] for part in parts] == [
        content_range(piece, 1000) for piece in ranges
    ]
    if content_type.isascii():
        assert [part["Content-Type"] for part in parts] == [content_type or None] * len(ranges)


@pytest.mark.parametrize("content_type", ["a/b\r\nX: y", "a/b\n", "a/b\r", "a/b\0", "a/\u0161"])
def test_a_content_type_cannot_write_fields_of_its_own(content_type):
    with pytest.raises(ValueError, match="Content-Type"):
        multipart_ranges([ByteRange(0, 1)], 1, content_type, "token")
