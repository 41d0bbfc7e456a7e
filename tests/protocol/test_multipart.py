"""Forms with files, without sockets: what comes out, what is refused; cuts do not matter."""

from __future__ import annotations

import itertools
import random

import pytest

from hwebserver.errors import HTTPError
from hwebserver.protocol.formlimits import FormLimits
from hwebserver.protocol.multipart import (
    EPILOGUE_LIMIT,
    FILE_NAME_LIMIT,
    PART_END,
    PREAMBLE_LIMIT,
    FormParser,
    Part,
    PartEnd,
    boundary_of,
    clean_file_name,
)

FIELD = b'Content-Disposition: form-data; name="a"\r\n'
FILE = b'Content-Disposition: form-data; name="a"; filename="f"\r\n'
CLOSED = b"\r\n--b--\r\n"


def pieces_of(body, size):
    """Cut a body into pieces of one size."""
    return (body[start : start + size] for start in range(0, len(body), size))


def events_of(pieces, boundary=b"b", **limits):
    """Return what comes out of a form that has ended."""
    parser = FormParser(boundary, FormLimits(**limits))
    events = [event for piece in pieces for event in parser.feed(piece)]
    parser.finish()
    return events


def parts_of(events):
    """Put the events together: pairs of a Part and its data."""
    parts, data = [], None
    for event in events:
        if isinstance(event, Part):
            assert data is None, "a part begins before the one before it ends"
            part, data = event, []
        elif event is PART_END:
            parts.append((part, b"".join(data)))
            data = None
        else:
            assert event, "data that is empty"
            data.append(event)
    assert data is None, "a part does not end"
    return parts


def parse(body, boundary=b"b", **limits):
    return parts_of(events_of([body], boundary, **limits))


def verdict(pieces, **limits):
    """Return the parts of a form, or the status that it is refused with."""
    try:
        return parts_of(events_of(pieces, **limits))
    except HTTPError as error:
        return error.status


def status_of(body, **limits):
    """Return the status that a form is refused with, which the size of pieces does not change."""
    status = verdict([body], **limits)
    assert isinstance(status, int), f"accepted: {status}"
    assert verdict(pieces_of(body, 1), **limits) == status
    return status


def feed_until_refused(body, size):
    """Return how many bytes were fed when a body was refused, how many came out, and the status."""
    parser = FormParser(b"b", FormLimits())
    fed = given = 0
    for piece in pieces_of(body, size):
        fed += len(piece)
        try:
            given += sum(len(event) for event in parser.feed(piece) if isinstance(event, bytes))
        except HTTPError as error:
            return fed, given, error.status
    raise AssertionError("accepted")


def form(*parts):
    """Return a form of pairs of head and data."""
    return b"".join(b"--b\r\n%b\r\n%b\r\n" % part for part in parts) + b"--b--\r\n"


def data_of(body, **limits):
    """Return the data of the only part of a form."""
    [(_, data)] = parse(body, **limits)
    return data


def part_of(*lines):
    """Return the only Part of a form with these header lines."""
    [(part, _)] = parse(form((b"".join(line + b"\r\n" for line in lines), b"")))
    return part


def disposed(parameters):
    """Return the Part of a form with these parameters of its Content-Disposition."""
    return part_of(b"Content-Disposition: form-data" + parameters)


def name_status(parameters):
    return status_of(form((b"Content-Disposition: form-data" + parameters + b"\r\n", b"")))


# --- forms ---


def test_a_form_of_a_field_and_a_file_as_browsers_write_it():
    body = (
        b"------WebKitFormBoundaryx1\r\n"
        b'Content-Disposition: form-data; name="title"\r\n\r\n'
        b"Hello\r\n"
        b"------WebKitFormBoundaryx1\r\n"
        b'Content-Disposition: form-data; name="photo"; filename="p.png"\r\n'
        b"Content-Type: image/png\r\n\r\n"
        b"\x89PNG\r\n\x1a\n\0\r\n"
        b"------WebKitFormBoundaryx1--\r\n"
    )
    assert events_of([body], b"----WebKitFormBoundaryx1") == [
        Part("title", None, ""),
        b"Hello",
        PART_END,
        Part("photo", "p.png", "image/png"),
        b"\x89PNG\r\n\x1a\n\0",
        PART_END,
    ]


def test_the_end_of_a_part_has_its_own_type():
    assert isinstance(PART_END, PartEnd)


def test_a_form_may_have_no_parts():
    assert parse(b"--b--\r\n") == []
    assert parse(b"--b--") == []


def test_data_may_be_empty_and_is_then_no_event():
    assert events_of([form((FIELD, b""))]) == [Part("a", None, ""), PART_END]


def test_the_empty_line_may_begin_the_delimiter_of_a_part_without_a_body():
    """RFC 2046 5.1.1: a body-part is its header fields and, if there is a body, CR LF and it."""
    body = b"--b\r\n" + FIELD + b"\r\n--b\r\n" + FILE + b"\r\n--b--"
    assert parse(body) == [(Part("a", None, ""), b""), (Part("a", "f", ""), b"")]


def test_parts_keep_their_order_and_names_may_repeat():
    body = form(*[(FIELD, b"%d" % number) for number in range(100)])
    assert [data for _, data in parse(body)] == [b"%d" % number for number in range(100)]


def test_a_name_may_be_there_as_often_as_there_may_be_parts():
    body = form(*[(FIELD, b"")] * 10000)
    assert len(parse(body, parts=10000)) == 10000


def test_a_form_within_a_part_is_data():
    inner = (
        b"--c\r\nContent-Disposition: file; filename=x\r\n\r\nx\r\n--c--\r\n"
        b"--bb\r\n\r\n\r\n--c\r\n --b\r\n"
    )
    head = FIELD + b"Content-Type: multipart/mixed; boundary=c\r\n"
    assert parse(form((head, inner))) == [
        (Part("a", None, "multipart/mixed; boundary=c"), inner),
    ]


# --- delimiters ---


@pytest.mark.parametrize("padding", [b"", b" ", b"\t", b" \t" * 32])
def test_a_delimiter_may_have_padding(padding):
    body = b"--b" + padding + b"\r\n" + FIELD + b"\r\nx\r\n--b" + padding + b"\r\n"
    assert [data for _, data in parse(body + FIELD + b"\r\ny" + CLOSED)] == [b"x", b"y"]


@pytest.mark.parametrize(
    "near",
    [
        b"\r\n--b" + b" " * 65 + b"\r\n",
        b"\r\n--bb\r\n",
        b"\r\n--bX",
        b"\r\n--b-",
        b"\r\n--b-\r\n",
        b"\r\n--b -",
        b"\r\n--b --",
        b"\r\n--b\r",
        b"\r\n--b\rX",
        b"\r\n--b\n",
        b"\r\n--b\n\r\n",
        b"\r\n--b \r",
        b"\r\n--b\0\r\n",
        b"\r\n--b\x0b\r\n",
        b"\r\n--B\r\n",
        b"\r\n--",
        b"\r\n-b--",
        b"\r\n --b--",
        b"\r\n---b--",
        b"\r--b--",
        b"\n--b--\r\n",
        b"\r\r--b--",
        b"--b--",
        b"--b\r\n!",
        b"\r",
        b"\r\n",
        b"\r\r",
        b"\n",
        b"-",
    ],
)
def test_what_is_almost_a_delimiter_is_data(near):
    for data in (b"x" + near, b"x" + near + b"y", b"x" + near * 3 + b"y", b"x" + near + b"\r"):
        body = form((FIELD, data))
        assert data_of(body) == data
        for size in (1, 2, 3, 5):
            assert parts_of(events_of(pieces_of(body, size))) == [(Part("a", None, ""), data)]


def test_a_delimiter_may_follow_what_is_almost_one_at_once():
    first, second = b"x\r\n--bX\r\n--b \t!\r\n--b-", b"\r\n--b-\r\n-"
    body = form((FIELD, first), (FILE, second))
    assert [data for _, data in parse(body)] == [first, second]


def test_only_cr_lf_ends_a_line():
    body = form((FIELD, b"x"))
    assert status_of(body.replace(b"\r\n", b"\n")) == 400
    assert status_of(body.replace(b"\r\n", b"\r")) == 400
    assert status_of(b"--b\r\n" + FIELD.replace(b"\r", b"") + b"\nx" + CLOSED) == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"--b",
        b"--b-",
        b"--b\r\n",
        b"--b\r\n" + FIELD,
        b"--b\r\n" + FIELD + b"\r\n",
        b"--b\r\n" + FIELD + b"\r\nx",
        b"--b\r\n" + FIELD + b"\r\nx\r\n",
        b"--b\r\n" + FIELD + b"\r\nx\r\n--b",
        b"--b\r\n" + FIELD + b"\r\nx\r\n--b-",
        b"--b\r\n" + FIELD + b"\r\nx\r\n--b\r\n",
        b"--c\r\n" + FIELD + b"\r\nx\r\n--c--\r\n",
        b"x--b--\r\n",
        b"a=1&b=2",
    ],
)
def test_a_form_without_its_closing_boundary_is_refused_and_never_empty(body):
    assert status_of(body) == 400


def test_a_body_that_never_came_is_no_form():
    parser = FormParser(b"b", FormLimits())
    with pytest.raises(HTTPError) as caught:
        parser.finish()
    assert caught.value.status == 400


def test_the_boundary_is_text_and_no_pattern():
    boundary, data = b"a+(.)?", b"x\r\n--a+(.)?X\r\n--aab\r\n--a"
    body = form((FIELD, data)).replace(b"--b", b"--" + boundary)
    assert parts_of(events_of([body], boundary)) == [(Part("a", None, ""), data)]


def test_a_boundary_of_seventy_characters_works():
    boundary = b"-" * 69 + b"x"
    body = form((FIELD, b"-" * 200 + b"\r\n" + b"-" * 70)).replace(b"--b", b"--" + boundary)
    for size in (1, 7, 1000):
        [(_, data)] = parts_of(events_of(pieces_of(body, size), boundary))
        assert data == b"-" * 200 + b"\r\n" + b"-" * 70


# --- before and behind the form ---


@pytest.mark.parametrize("preamble", [b"", b"x", b"--bX", b"\r\n--bX", b"--b-", b"\r\n", b"a\r\nb"])
def test_a_preamble_is_passed_over(preamble):
    assert data_of(preamble + b"\r\n" + form((FIELD, b"x"))) == b"x"


def test_a_preamble_may_be_as_long_as_the_limit():
    for size in (PREAMBLE_LIMIT - 1, PREAMBLE_LIMIT):
        assert data_of(b"p" * size + b"\r\n" + form((FIELD, b"x"))) == b"x"
    assert status_of(b"p" * (PREAMBLE_LIMIT + 1) + b"\r\n" + form((FIELD, b"x"))) == 400


def test_a_preamble_without_end_is_refused_at_the_limit():
    parser = FormParser(b"b", FormLimits())
    assert parser.feed(b"p" * PREAMBLE_LIMIT) == []
    with pytest.raises(HTTPError):
        parser.feed(b"p")


@pytest.mark.parametrize("behind", [b"", b"\r\n", b"x", b"\r\n\r\n", b" \r\nx", CLOSED, b"\0"])
def test_an_epilogue_is_passed_over(behind):
    assert data_of(form((FIELD, b"x")) + behind) == b"x"


def test_parts_in_an_epilogue_are_none():
    assert len(parse(form((FIELD, b"x")) * 3)) == 1


def test_an_epilogue_may_be_as_long_as_the_limit():
    whole = form((FIELD, b"x"))[:-2]
    for size in (EPILOGUE_LIMIT - 1, EPILOGUE_LIMIT):
        assert data_of(whole + b"e" * size) == b"x"
    assert status_of(whole + b"e" * (EPILOGUE_LIMIT + 1)) == 400


def test_an_epilogue_may_come_in_many_pieces():
    body = form((FIELD, b"x"))[:-2] + b"e" * EPILOGUE_LIMIT
    for size in (1, 3, 100):
        assert len(parts_of(events_of(pieces_of(body, size)))) == 1


def test_the_budget_of_the_epilogue_is_its_own():
    body = b"p" * PREAMBLE_LIMIT + b"\r\n" + form((FIELD, b"x"))[:-2]
    assert data_of(body + b"e" * EPILOGUE_LIMIT) == b"x"


# --- after the end, after an error ---


def test_what_comes_after_the_end_brings_nothing():
    parser = FormParser(b"b", FormLimits())
    parser.feed(form((FIELD, b"x")))
    parser.finish()
    assert parser.feed(form((FIELD, b"x"))) == []
    assert parser.feed(b"") == []
    parser.finish()


def test_an_error_stays():
    parser = FormParser(b"b", FormLimits(parts=0))
    for call in (
        lambda: parser.feed(form((FIELD, b"x"))),
        lambda: parser.feed(form((FIELD, b"x"))),
        lambda: parser.feed(b""),
        parser.finish,
        parser.finish,
    ):
        with pytest.raises(HTTPError, match="more than 0 parts") as caught:
            call()
        assert caught.value.status == 413


def test_a_form_that_ended_too_early_takes_no_more():
    parser = FormParser(b"b", FormLimits())
    parser.feed(b"--b\r\n")
    for call in (parser.finish, lambda: parser.feed(FIELD), parser.finish):
        with pytest.raises(HTTPError) as caught:
            call()
        assert caught.value.status == 400


# --- the head of a part ---


def test_fields_are_found_in_any_case_and_order():
    part = part_of(
        b"X-Other: \xff\xe4\t~",
        b"cOnTeNt-TyPe:text/plain; charset=utf-8 \t",
        b"CONTENT-DISPOSITION: \tFORM-DATA;NAME=a;FileName=f.txt",
        b"Content-Length: 7",
    )
    assert part == Part("a", "f.txt", "text/plain; charset=utf-8")


@pytest.mark.parametrize("encoding", [b"7bit", b"8bit", b"binary", b"Binary", b" 8BIT\t"])
def test_encodings_that_change_nothing_are_fine(encoding):
    head = FIELD + b"Content-Transfer-Encoding:" + encoding + b"\r\n"
    assert data_of(form((head, b"x"))) == b"x"


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"", b"7bit, 8bit", b"x"])
def test_other_encodings_are_refused(encoding):
    head = FIELD + b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    assert status_of(form((head, b"eA=="))) == 400


@pytest.mark.parametrize(
    "line",
    [b"X", b":", b": x", b"X : x", b"X\t: x", b"X(: x", b"\xe4: x", b"--b", b"X x: x", b'"X": x'],
)
def test_a_line_that_is_no_field_is_refused(line):
    assert status_of(form((FIELD + line + b"\r\n", b"x"))) == 400
    assert status_of(form((line + b"\r\n" + FIELD, b"x"))) == 400


@pytest.mark.parametrize("fold", [b" ", b"\t", b"  X: x"])
def test_folded_lines_are_refused(fold):
    head = b"Content-Disposition: form-data;\r\n" + fold + b'name="a"\r\n'
    assert status_of(form((head, b"x"))) == 400
    assert status_of(form((fold + FIELD, b"x"))) == 400


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_a_control_character_in_a_head_is_refused_before_its_line_ends(byte):
    """A CR alone is one when the byte behind it is there."""
    for head in (FIELD + b"X: x%cy", b'Content-Disposition: form-data; name="%c"', b"X%cY: x"):
        bad = b"--b\r\n" + head % byte
        assert status_of(bad + b"\r\n\r\nx" + CLOSED) == 400
        parser = FormParser(b"b", FormLimits())
        with pytest.raises(HTTPError) as caught:
            parser.feed(bad + b"y")
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "line", [FIELD, FILE, b"Content-Type: a/b\r\n", b"Content-Transfer-Encoding: 8bit\r\n"]
)
def test_a_field_that_means_something_stands_there_once(line):
    head = FIELD if line not in (FIELD, FILE) else b""
    assert parse(form((head + line, b"x")))
    assert status_of(form((head + line + b"X: x\r\n" + line.upper(), b"x"))) == 400


@pytest.mark.parametrize("head", [b"", b"Content-Type: text/plain\r\n", b"X-Name: a\r\n"])
def test_a_part_without_disposition_is_refused(head):
    assert status_of(form((head, b"x"))) == 400
    assert status_of(form((FIELD, b"x"), (head, b"x"))) == 400


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b";name=a",
        b"form-data",
        b"form-data;",
        b"attachment; name=a",
        b"file; name=a",
        b"form-datax; name=a",
        b"form-data x; name=a",
        b"form-data, form-data; name=a",
        b'"form-data"; name=a',
        b"name=a",
    ],
)
def test_a_disposition_that_is_no_form_data_with_a_name_is_refused(value):
    assert status_of(form((b"Content-Disposition: " + value + b"\r\n", b"x"))) == 400


@pytest.mark.parametrize(
    "parameters",
    [
        b"; name",
        b"; name=",
        b"; name=a b",
        b"; name =a",
        b"; name= a",
        b'; name="a',
        b'; name="a\\"',
        b'; name="a"b',
        b'; name="a" b',
        b'; name="a"filename="b"',
        b'; name=a"b"',
        b"; name=a=b",
        b"; name='\xc3\xa4'",
        b"; name=a/b",
        b"; =a; name=a",
        b"; (=a; name=a",
        b'; "name"=a',
        b"; \xc3\xa4=a; name=a",
        b" name=a",
        b", name=a",
        b"; name=a, filename=b",
        b"; filename=f",
        b"; filename=f; xname=a",
        b'; filename="; name=a"',
        b"; name*=utf-8''a",
    ],
)
def test_malformed_parameters_are_refused(parameters):
    assert name_status(parameters) == 400


@pytest.mark.parametrize("parameter", [b"name=a", b'filename="f"', b"filename*=utf-8''f", b"x=y"])
def test_a_parameter_stands_there_once(parameter):
    other = b"; filename=f" if parameter == b"name=a" else b"; name=a"
    assert disposed(other + b"; " + parameter)
    assert name_status(other + b"; " + parameter + b"; " + parameter) == 400
    assert name_status(other + b"; " + parameter + b"; " + parameter.upper()) == 400


def test_empty_and_unknown_parameters_are_passed_over():
    assert disposed(b' ; ;;\tname="a" ; size=3;x="y;name=z"; ') == Part("a", None, "")


# --- names ---


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b'""', ""),
        (b"a", "a"),
        (b'"a"', "a"),
        (b'"a;b; name=c"', "a;b; name=c"),
        (b'"a=b"', "a=b"),
        (b'" a\t"', " a\t"),
        (b'"a\\"b"', 'a"b'),
        (b'"\\""', '"'),
        (b'"a\\"; filename=\\"f"', 'a"; filename="f'),
        (b'"a\\\\b"', "a\\b"),
        (b'"\\\\"', "\\"),
        (b'"\\\\\\""', '\\"'),
        (b'"\\a\\\\\\b"', "\\a\\\\b"),
        (b'"a%22b%0D%0Ac"', 'a"b\r\nc'),
        (b"a%22b", 'a"b'),
        (b'"%41%2e%00%0d%25%2522%"', "%41%2e%00%0d%25%2522%"),
        (b'"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"', "ä€😀"),
        (b'"\xe4\xff"', "\ufffd\ufffd"),
        (b'"\xc3"', "\ufffd"),
        (b'"a[b][]"', "a[b][]"),
        (b'"=?utf-8?q?a?="', "=?utf-8?q?a?="),
        (b'"__proto__"', "__proto__"),
    ],
)
def test_names_are_read_as_they_are_meant(sent, name):
    assert disposed(b"; name=" + sent) == Part(name, None, "")
    assert disposed(b"; filename=f; name=" + sent) == Part(name, "f", "")


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b'""', ""),
        (b"f.txt", "f.txt"),
        (b'"f;g.txt"', "f;g.txt"),
        (b'"f\\"g.txt"', 'f"g.txt'),
        (b'"f%22g%0D%0Ah.txt"', 'f"gh.txt'),
        (b'"f%2Fg%00.txt"', "f%2Fg%00.txt"),
        (b'"C:\\dir\\file.txt"', "file.txt"),
        (b'"C:\\\\dir\\\\file.txt"', "file.txt"),
        (b'"\\\\\\\\host\\\\share\\\\file.txt"', "file.txt"),
        (b'"..\\\\..\\\\etc/passwd"', "passwd"),
        (b'"..\\..\\etc/passwd"', "passwd"),
        (b'"../../etc/passwd"', "passwd"),
        (b'"/etc/passwd"', "passwd"),
        (b'".."', ""),
        (b'"a/.."', ""),
        (b'"dir/"', ""),
        (b'"\xc3\xa4.txt"', "ä.txt"),
        (b'"\xe4.txt"', "\ufffd.txt"),
        (b'"' + b"x" * 300 + b'.txt"', "x" * 251 + ".txt"),
    ],
)
def test_file_names_are_cleaned(sent, name):
    assert disposed(b"; name=a; filename=" + sent) == Part("a", name, "")


def test_a_file_without_a_name_is_still_a_file():
    """Browsers send it for a file input with nothing chosen."""
    assert disposed(b'; name="a"; filename=""').file_name == ""
    assert disposed(b'; name="a"').file_name is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"UTF-8''%e2%82%ac%20rates.txt", "€ rates.txt"),
        (b"utf-8'en'na%C3%AFve.txt", "naïve.txt"),
        (b"ISO-8859-1'de-AT'%E4%FC.txt", "äü.txt"),
        (b"UTF-8''%2e%2e%2fpasswd", "passwd"),
        (b"UTF-8''%2E%2E", ""),
        (b"UTF-8''a%00b.txt", "ab.txt"),
        (b"UTF-8''%e4.txt", "\ufffd.txt"),
        (b"UTF-8''%2522.txt", "%22.txt"),
        (b"UTF-8''", ""),
    ],
)
def test_an_extended_file_name_counts_where_there_is_no_plain_one(value, name):
    assert disposed(b"; name=a; filename*=" + value) == Part("a", name, "")
    assert disposed(b"; name=a; FILENAME*=" + value + b'; filename="f"') == Part("a", "f", "")


@pytest.mark.parametrize(
    "value",
    [
        b"f.txt",
        b"''f.txt",
        b"UTF-8'f.txt",
        b"UTF-16''f.txt",
        b"utf8''f.txt",
        b"UTF-8''f%.txt",
        b"UTF-8''f%2.txt",
        b"UTF-8''f%GG.txt",
        b"UTF-8''f'g.txt",
        b"UTF-8''f*g.txt",
        b"UTF-8'*'f.txt",
        b"\"UTF-8''f.txt\"",
        b"UTF-8''\xc3\xa4.txt",
        b"UTF-8''a b",
    ],
)
def test_a_malformed_extended_file_name_is_refused(value):
    assert name_status(b"; name=a; filename*=" + value) == 400


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("", ""),
        ("a.txt", "a.txt"),
        ("a", "a"),
        (".profile", ".profile"),
        ("a b.txt", "a b.txt"),
        ("a..b", "a..b"),
        ("..a", "..a"),
        ("dir/a.txt", "a.txt"),
        ("dir\\a.txt", "a.txt"),
        ("/a/b\\c/d\\e.txt", "e.txt"),
        ("\\\\host\\share\\a.txt", "a.txt"),
        ("a/", ""),
        ("a\\", ""),
        ("/", ""),
        (".", ""),
        ("..", ""),
        ("...", ""),
        (". .", ""),
        (".. ", ""),
        ("  ", ""),
        ("../..", ""),
        (" a.txt ", "a.txt"),
        ("a\0b.txt", "ab.txt"),
        ("\0", ""),
        (".\0.", ""),
        ("a\r\nb\t\x7f\x85.txt", "ab.txt"),
        ("a.txt\0.png", "a.txt.png"),
        ("C:a.txt", "a.txt"),
        ("c:\\a.txt", "a.txt"),
        ("C:", ""),
        ("C:..", ""),
        ("C:D:a.txt", "a.txt"),
        (" C: D: a.txt", "a.txt"),
        ("C\0:a.txt", "a.txt"),
        ("dir/C:a.txt", "a.txt"),
        ("ab:c", "ab:c"),
        ("\ud800.txt", "?.txt"),
        ("ä€😀.txt", "ä€😀.txt"),
    ],
)
def test_a_clean_name_has_no_path_drive_or_control_characters(name, clean):
    assert clean_file_name(name) == clean
    assert clean_file_name(clean) == clean


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("NUL", "_NUL"),
        ("C:\\con", "_con"),
        ("con.txt", "_con.txt"),
        ("aux .tar.gz", "_aux .tar.gz"),
        ("prn:stream", "_prn:stream"),
        ("COM1", "_COM1"),
        ("lpt\u00b9.log", "_lpt\u00b9.log"),
        ("CONIN$", "_CONIN$"),
        ("con" + " " * 300 + "x", "_con"),
        ("con." + "x" * 251, "_co." + "x" * 251),
        ("console.txt", "console.txt"),
        ("com10", "com10"),
        ("_con", "_con"),
        ("a.con", "a.con"),
    ],
)
def test_a_clean_name_is_no_device_of_windows(name, clean):
    assert clean_file_name(name) == clean
    assert clean_file_name(clean) == clean
    assert len(clean) <= FILE_NAME_LIMIT


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 255),
        ("x" * 251 + ".txt", "x" * 251 + ".txt"),
        ("x" * 252 + ".txt", "x" * 251 + ".txt"),
        ("€" * 85, "€" * 85),
        ("€" * 86, "€" * 85),
        ("€" * 84 + ".txt", "€" * 83 + ".txt"),
        ("😀" * 100 + ".tar.gz", "😀" * 63 + ".gz"),
        ("a." + "x" * 253, "a." + "x" * 253),
        ("ab." + "x" * 253, "a." + "x" * 253),
        ("a." + "x" * 254, "a." + "x" * 253),
        ("." + "x" * 300, "." + "x" * 254),
        ("." * 260 + "x" * 300, ""),
        ("x" * 254 + " " + "y" * 9, "x" * 254),
    ],
)
def test_a_long_name_is_cut_before_its_extension(name, clean):
    assert clean_file_name(name) == clean
    assert len(clean.encode()) <= FILE_NAME_LIMIT
    assert clean_file_name(clean) == clean


def test_what_is_clean_stays_clean_whatever_was_sent():
    chance = random.Random(7578)
    for _ in range(5000):
        name = "".join(chance.choices("aC:./\\ \0\x85\u00a0€", k=chance.randrange(12)))
        clean = clean_file_name(name)
        assert clean_file_name(clean) == clean
        assert clean not in (".", "..")
        assert not set(clean) & set("/\\\0\x85")
        assert clean[1:2] != ":" or clean[0] != "C"


# --- the boundary ---


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=b", b"b"),
        ("Multipart/Form-DATA;BOUNDARY=B", b"B"),
        ('multipart/form-data ; charset=utf-8 ;\tboundary="b" ', b"b"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
        ('multipart/form-data; boundary="a\'()+_,-./:=? z"', b"a'()+_,-./:=? z"),
        ("multipart/form-data; boundary=----=_Part_1.2", b"----=_Part_1.2"),
        ('multipart/form-data; x="; boundary=c"; boundary=b', b"b"),
        ('multipart/form-data; boundary="a;b"', None),
        ('multipart/form-data; boundary="\\b"', b"b"),
    ],
)
def test_the_boundary_is_found(content_type, boundary):
    if boundary is None:
        with pytest.raises(HTTPError):
            boundary_of(content_type)
    else:
        assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/mixed; boundary=b",
        "application/x-www-form-urlencoded",
        "multipart/form-data-x; boundary=b",
        "text/plain; x=multipart/form-data; boundary=b",
        "text/plain, multipart/form-data; boundary=b",
    ],
)
def test_other_media_types_are_no_forms(content_type):
    assert boundary_of(content_type) is None


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        ";",
        "; boundary",
        "; boundary=",
        '; boundary=""',
        '; boundary=" "',
        '; boundary="b "',
        '; boundary="b',
        "; boundary=" + "x" * 71,
        '; boundary="' + "x" * 70 + ' "',
        '; boundary="b\r\n"',
        '; boundary="b\n"',
        '; boundary="a\rb"',
        "; boundary=b\n",
        '; boundary="a\tb"',
        '; boundary="a\0b"',
        "; boundary=a@b",
        "; boundary=a*b",
        "; boundary=ä",
        "; boundary=\u0661",
        "; boundary*=utf-8''b",
        "; boundary*0=b",
        "; xboundary=b",
        "; boundary=b; boundary=b",
        "; boundary=a; Boundary=b",
        "; boundary=a; boundary",
        "; boundary; boundary=a",
        "; boundary=a, multipart/form-data; boundary=b",
    ],
)
def test_a_form_without_one_valid_boundary_is_refused(parameters):
    with pytest.raises(HTTPError) as caught:
        boundary_of("multipart/form-data" + parameters)
    assert caught.value.status == 400


# --- limits ---


def test_there_may_be_as_many_parts_as_the_limit():
    assert len(parse(form((FIELD, b"x"), (FIELD, b"")), parts=3)) == 2
    assert len(parse(form(*[(FIELD, b"x")] * 3), parts=3)) == 3
    assert status_of(form(*[(FIELD, b"x")] * 4), parts=3) == 413


def test_a_part_too_many_is_refused_at_its_delimiter():
    parser = FormParser(b"b", FormLimits(parts=1))
    parser.feed(b"--b\r\n" + FIELD + b"\r\nx\r\n--b")
    with pytest.raises(HTTPError, match="more than 1 parts"):
        parser.feed(b"\r\n")


def test_twenty_thousand_parts_are_refused():
    assert status_of(form(*[(FIELD, b"x")] * 20000)) == 413
    assert len(parse(form(*[(FIELD, b"x")] * 1000))) == 1000
    assert status_of(form(*[(FIELD, b"x")] * 1001)) == 413


def test_a_part_may_have_as_many_header_fields_as_the_limit():
    for count in (1, 2):
        assert data_of(form((FIELD + b"X: x\r\n" * count, b"x")), part_headers=3) == b"x"
    assert status_of(form((FIELD + b"X: x\r\n" * 3, b"x")), part_headers=3) == 413
    assert len(parse(form(*[(FIELD + b"X: x\r\n" * 2, b"x")] * 3), part_headers=3)) == 3


def test_fifty_thousand_header_fields_are_refused_at_the_ninth():
    parser = FormParser(b"b", FormLimits())
    assert parser.feed(b"--b\r\n" + FIELD + b"X: x\r\n" * 7) == []
    with pytest.raises(HTTPError) as caught:
        parser.feed(b"X: x\r\n")
    assert caught.value.status == 413
    assert status_of(form((FIELD + b"X: x\r\n" * 50000, b"x"))) == 413


def test_a_header_field_may_be_as_long_as_the_limit():
    """Its line end does not count."""
    for size in (59, 60):
        head = FIELD + b"X:" + b"x" * (size - 2) + b"\r\n"
        assert data_of(form((head, b"x")), part_header=60) == b"x"
    assert status_of(form((FIELD + b"X:" + b"x" * 59 + b"\r\n", b"x")), part_header=60) == 413
    assert status_of(form((FIELD + b"X:" + b"x" * 60 + b"\r\n", b"x")), part_header=60) == 413


def test_a_header_field_without_end_is_refused_when_it_is_over_the_limit():
    parser = FormParser(b"b", FormLimits(part_header=60))
    assert parser.feed(b"--b\r\nX:" + b"x" * 59) == []  # one over, where the CR may still stand
    with pytest.raises(HTTPError) as caught:
        parser.feed(b"x")
    assert caught.value.status == 413


@pytest.mark.parametrize("size", [1, 7, 4096, 65536, 5000000])
def test_four_megabytes_of_header_field_are_refused_in_whatever_pieces(size):
    fed, _, status = feed_until_refused(b"--b\r\nX: " + b"x" * 4000000, size)
    assert status == 413
    assert fed <= 4096 + 7 + size


def test_of_two_faults_in_a_head_the_first_one_counts():
    assert status_of(b"--b\r\nX: \0" + b"x" * 100 + b"\r\n", part_header=60) == 400
    assert status_of(b"--b\r\n" + b"x" * 61 + b"\0\r\n", part_header=60) == 400
    assert status_of(b"--b\r\n" + b"x" * 62 + b"\0\r\n", part_header=60) == 413
    assert status_of(b"--b\r\n" + b"x" * 60 + b"\rx", part_header=60) == 400
    assert status_of(b"--b\r\n" + b"x" * 61 + b"\r\nx", part_header=60) == 413
    assert status_of(b"--b\r\n" + FIELD + b"X: \0\r\n", part_headers=1) == 400


def test_a_field_may_be_as_long_as_the_limit():
    for size in (9, 10):
        assert data_of(form((FIELD, b"x" * size)), field=10) == b"x" * size
    assert status_of(form((FIELD, b"x" * 11)), field=10) == 413
    assert status_of(form((FIELD, b"\r\n" * 6)), field=10) == 413
    assert len(parse(form(*[(FIELD, b"x" * 10)] * 3), field=10)) == 3


def test_the_fields_together_may_be_as_long_as_the_limit():
    for size in (3, 4):
        assert parse(form((FIELD, b"x" * 6), (FILE, b"x" * 99), (FIELD, b"x" * size)), fields=10)
    assert status_of(form((FIELD, b"x" * 6), (FIELD, b"x" * 5)), fields=10) == 413


def test_files_are_not_counted_as_fields():
    assert data_of(form((FILE, b"x" * 1000)), field=0, fields=0) == b"x" * 1000
    unnamed = FIELD[:-2] + b'; filename=""\r\n'
    assert data_of(form((unnamed, b"x" * 1000)), field=0, fields=0) == b"x" * 1000


def test_a_field_is_refused_before_more_of_it_than_allowed_comes_out():
    head = b"--b\r\n" + FIELD + b"\r\n"
    for size in (1 << 16, 5 << 20, 12 << 20):
        fed, given, status = feed_until_refused(head + bytes(16 << 20), size)
        assert status == 413
        assert fed <= len(head) + (8 << 20) + size
        assert given <= 8 << 20


def test_a_field_of_sixteen_megabytes_in_one_piece_is_refused():
    assert verdict([form((FIELD, bytes(16 << 20)))]) == 413


def test_the_default_limits():
    assert FormLimits() == (1000, 8, 4096, 8388608, 16777215)


# --- pieces ---

#: Small forms, good and bad, for every way to cut them.
SMALL = {
    "two parts": form((FIELD, b"x\r\n--bX"), (FILE, b"\r\n--b\r")),
    "no body": b"--b\r\n" + FIELD + b"\r\n--b \t\r\n" + FILE + b"\r\n\r\n--b--epilogue",
    "preamble": b"--b-\r\n--bb\r\n\r\n--b\r\n" + FIELD + b"\r\n\r\r\n--b--",
    "no parts": b"\r\n--b--\r\n--b\r\n",
    "not closed": form((FIELD, b"x\r\n--"))[:-5],
    "nothing": b"\r\n-",
    "bare LF": b"--b\r\n" + FIELD.replace(b"\r", b"") + b"\r\nx" + CLOSED,
    "bare CR": b"--b\r\nX: \rx" + FIELD + b"\r\nx" + CLOSED,
    "control": b"--b\r\nX: \0x\r\n" + FIELD + b"\r\nx" + CLOSED,
    "fold": b"--b\r\n" + FIELD + b" x\r\n\r\nx" + CLOSED,
    "no head": form((b"", b"x")),
    "no name": form((b"Content-Disposition: form-data\r\n", b"x")),
    "parts": form((FIELD, b"x"), (FIELD, b"y"), (FIELD, b"z")),
    "headers": form((FIELD + b"X: x\r\nY: y\r\n", b"x")),
    "header": form((FIELD + b"X:" + b"x" * 60 + b"\r\n", b"x")),
    "header of the limit": form((FIELD + b"X:" + b"x" * 56 + b"\r\n", b"x")),
    "header, late": form((FIELD + b"X:" + b"x" * 57 + b"\r\n", b"x")),
    "field": form((FIELD, b"x" * 21)),
    "field, almost": form((FIELD, b"x" * 14 + b"\r\n--bX")),
    "field, not closed": b"--b\r\n" + FIELD + b"\r\n" + b"x" * 18 + b"\r\n-",
    "fields": form((FIELD, b"x" * 20), (FIELD, b"\r\n" * 6)),
    "padding": b"--b" + b" " * 65 + b"\r\n--b" + b"\t" * 64 + b"\r\n" + FIELD + b"\r\n" + CLOSED,
}
TIGHT = {"parts": 2, "part_headers": 2, "part_header": 58, "field": 20, "fields": 30}


def test_the_small_forms_are_good_and_bad():
    verdicts = {name: verdict([body], **TIGHT) for name, body in SMALL.items()}
    refused = {name: status for name, status in verdicts.items() if isinstance(status, int)}
    assert refused == {
        "not closed": 400, "nothing": 400, "bare LF": 400, "bare CR": 400, "control": 400,
        "fold": 400, "no head": 400, "no name": 400, "parts": 413, "headers": 413, "header": 413,
        "header, late": 413, "field": 413, "fields": 413, "field, not closed": 400,
    }  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_where_a_form_is_cut_does_not_matter(name):
    body = SMALL[name]
    whole = verdict([body], **TIGHT)
    for size in range(1, 20):
        assert verdict(pieces_of(body, size), **TIGHT) == whole
    for cut in range(len(body) + 1):
        assert verdict([body[:cut], body[cut:]], **TIGHT) == whole
        assert verdict([body[:cut], b"", *pieces_of(body[cut:], 1)], **TIGHT) == whole


def test_two_cuts_do_not_matter_either():
    body = b"--b\r\n" + FILE + b"\r\n\r\n--b-\r\n\r\n--b \r\n" + FIELD + b"\r\n--b--"
    whole = verdict([body])
    assert [data for _, data in whole] == [b"\r\n--b-\r\n", b""]
    for first, second in itertools.combinations(range(0, len(body) + 1), 2):
        assert verdict([body[:first], body[first:second], body[second:]]) == whole


def test_random_forms_come_back_whole_however_they_are_cut():
    chance = random.Random(2046)
    alphabet = [b"\r\n", b"\r", b"\n", b"--", b"-", b"bnd", b"bn", b" ", b"\t", b"\0", b"x\xff"]
    for _ in range(400):
        sent = []
        for number in range(chance.randrange(5)):
            name = "".join(chance.choices('a;="\\ä ', k=chance.randrange(6)))
            quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
            data = b"".join(chance.choices(alphabet, k=chance.randrange(30)))
            data = data.replace(b"\r\n--bnd", b"\r\n-bnd")
            if data.startswith(b"--bnd"):
                data = b"x" + data
            file_name = None if chance.random() < 0.5 else f"{number}.bin"
            sent.append((name, quoted, file_name, data))
        body = b""
        for _, quoted, file_name, data in sent:
            more = b"" if file_name is None else b"; filename=" + file_name.encode()
            body += b'--bnd\r\nContent-Disposition: form-data; name="%b"%b\r\n' % (quoted, more)
            body += b"Content-Type: x/y\r\n\r\n" + data + b"\r\n"
        body += b"--bnd--\r\n"
        cuts = sorted(chance.choices(range(len(body) + 1), k=chance.randrange(12)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)])]
        assert parts_of(events_of(pieces, b"bnd")) == [
            (Part(name, file_name, "x/y"), data) for name, _, file_name, data in sent
        ]


def test_random_bytes_have_one_verdict_and_raise_nothing_else():
    chance = random.Random(5987)
    tokens = [
        b"\r\n--b", b"--b", b"--", b"\r\n", b"\r", b"\n", b"-", b" ", b"\t", b"x", b"\0", b"\xff",
        FIELD, FILE, FIELD[:-2], b"\r\n\r\n", b"X: y\r\n", b'"', b"\\", b";", b"name=a", b"*=",
        b"filename", b"Content-Disposition: form-data", b"\r\n--b--",
    ]  # fmt: skip
    kinds = set()
    for _ in range(4000):
        body = b"--b\r\n" * (chance.random() < 0.8)
        body += b"".join(chance.choices(tokens, k=chance.randrange(15)))
        body += CLOSED * (chance.random() < 0.7)
        cuts = sorted(chance.choices(range(len(body) + 1), k=chance.randrange(6)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)])]
        whole = verdict([body], **TIGHT)
        assert verdict(pieces, **TIGHT) == whole, pieces
        kinds.add(whole if isinstance(whole, int) else list)
    assert kinds == {list, 400, 413}


# --- cost ---


def opened(head=FILE, boundary=b"boundary", **limits):
    """Return a parser that is within the first part of a form."""
    parser = FormParser(boundary, FormLimits(**limits))
    parser.feed(b"--" + boundary + b"\r\n" + head + b"\r\n")
    parser.feed(b"x")  # Data has begun: the empty line can be no delimiter any more.
    return parser


def test_a_piece_without_a_delimiter_is_handed_on_as_it_is():
    parser = opened()
    for piece in (b"data" * 1000, b"\r\n" * 1000 + b"x", b"\r\n--boundarX", b"\r\n--boundaryX"):
        [event] = parser.feed(piece)
        assert event is piece


FLOODS = {
    "NUL": b"\0",
    "CR LF": b"\r\n",
    "CR": b"\r",
    "LF": b"\n",
    "the beginning of a delimiter": b"\r\n--boundar",
    "a delimiter that goes on": b"\r\n--boundaryX",
    "a delimiter with one dash": b"\r\n--boundary-X",
    "a delimiter with padding": b"\r\n--boundary" + b" " * 64 + b"X",
    "a delimiter with too much padding": b"\r\n--boundary" + b" " * 70,
}


@pytest.mark.parametrize("size", [65536, 4 << 20])
@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_passed_through_in_few_pieces(unit, size):
    """A parser that is quadratic would not come to an end."""
    flood = unit * ((4 << 20) // len(unit))
    parser = opened()
    total = 0
    for piece in pieces_of(flood, size):
        events = parser.feed(piece)
        assert len(events) <= 1
        total += sum(map(len, events))
    assert len(flood) - total < 66 + len(b"\r\n--boundary")
    *rest, end = parser.feed(b"\r\n--boundary--")
    assert total + sum(map(len, rest)) == len(flood)
    assert end is PART_END


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS)
def test_a_flood_in_single_bytes_holds_back_less_than_a_delimiter(unit):
    parser = opened()
    total = 0
    for fed, byte in enumerate((unit * 20000)[:20000], 1):
        events = parser.feed(b"%c" % byte)
        total += sum(map(len, events))
        assert len(events) <= 1
        assert fed - total < 66 + len(b"\r\n--boundary")


def test_heads_made_to_be_slow_are_read_in_linear_time():
    """Each of these is a head at its limit, a thousand times."""
    slow = [
        b' name="' + b'\\"' * 2000 + b'"',
        b' name="' + b"\\\\" * 2000 + b'"',
        b' name="' + b"%22" * 1300 + b'"',
        b" name=a;" + b" ;" * 2000,
        b" name=a" + b" " * 4000 + b";",
        b' name=a; filename="' + b"C:" * 2000 + b'"',
        b' name=a; filename="' + b"../" * 1300 + b'"',
        b' name=a; filename="' + b" " * 4000 + b'"',
        b" name=a; filename*=utf-8''" + b"%41" * 1300,
    ]
    for parameters in slow:
        head = b"Content-Disposition: form-data;" + parameters + b"\r\n"
        assert len(parse(form(*[(head, b"")] * 100))) == 100
    for parameters in (
        b' name="' + b'\\"' * 2000,
        b" name=a" + b" " * 4000 + b"x",
        b" " + b"a" * 4000,
    ):
        head = b"Content-Disposition: form-data;" + parameters + b"\r\n"
        assert all(verdict([form((head, b""))]) == 400 for _ in range(100))
