"""Remote calls by POST to /api."""

from __future__ import annotations

import functools
import json
import os
import socket
import tempfile
import types
from urllib.parse import urlencode

import pytest
from support import connect, fetch, receive_all, receive_response, running, wait_until

from hwebserver import APIError, HTTPError, OperationFailed, Response, UploadedFile

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def call_form(server, name, path="/api", headers=None, port="main", **arguments):
    body = urlencode({"cmd_function": name, **arguments})
    return fetch(server, path, "POST", body, {**FORM, **(headers or {})}, port)


def call_json(server, name, *args, headers=None, path="/api", **kwargs):
    body = json.dumps([name, list(args), kwargs])
    return fetch(server, path, "POST", body, {**JSON, **(headers or {})})


def error_of(answer, status=422):
    """The error of an answer that is one, as JSON."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    data = json.loads(answer.body)
    assert list(data) == ["error"]
    return data["error"]


@pytest.fixture
def api(server):
    """A server with a few functions."""

    def add(request, x, y=0, *, scale=1):
        return (x + y) * scale

    def echo(request, **arguments):
        return arguments

    def values(request, *args):
        return list(args)

    for function in (add, echo, values):
        server.apiFunction("ns")(function)
    return server


# --- the ways to call ---


def test_a_form_gives_arguments_as_text(api):
    with running(api):
        answer = call_form(api, "ns.echo", x="1", y="two words & \u00fc")
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == {"x": "1", "y": "two words & \u00fc"}


def test_a_field_json_gives_arguments_as_json(api):
    body = urlencode({"json": json.dumps(["ns.add", [1, 2.5], {"scale": 2}])})
    with running(api):
        answer = fetch(api, "/api", "POST", body, FORM)
    assert (answer.status, json.loads(answer.body)) == (200, 7.0)


def test_a_body_of_json_means_the_same(api):
    with running(api):
        assert json.loads(call_json(api, "ns.add", 1, y=2, scale=3).body) == 9
        assert json.loads(call_json(api, "ns.values", 1, None, "x", {"a": []}).body) == [
            1, None, "x", {"a": []},
        ]  # fmt: skip


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_the_type_of_the_body_may_have_parameters_and_any_case(api, kind):
    with running(api):
        answer = fetch(api, "/api", "POST", b'["ns.add", [1], {}]', {"Content-Type": kind})
    assert (answer.status, answer.body) == (200, b"1")


def test_a_form_without_a_type_is_a_form(api):
    body = b"cmd_function=ns.echo&x=1"
    request = b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with running(api), connect(api) as sock:
        sock.sendall(request + body)
        assert json.loads(receive_response(sock).body) == {"x": "1"}


def test_a_repeated_field_of_a_form_gives_its_last_value(api):
    with running(api):
        answer = fetch(api, "/api", "POST", "cmd_function=ns.echo&x=1&x=2", FORM)
    assert json.loads(answer.body) == {"x": "2"}


def test_a_large_call_arrives_whole(api):
    text = "x" * 4_000_000  # more than is kept in memory
    with running(api):
        assert json.loads(call_json(api, "ns.values", text).body) == [text]


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_the_path_may_end_in_a_slash(api, path):
    with running(api):
        assert call_json(api, "ns.add", 1, path=path).body == b"1"
        assert call_form(api, "ns.echo", path=path).body == b"{}"


def test_the_first_argument_is_the_request(server):
    @server.apiFunction()
    def look(request, node):
        return [request.method(), request.path(), request.headers()["x-own"], node]

    with running(server):
        answer = call_json(server, "look", node="a", headers={"X-Own": "mine"})
    assert json.loads(answer.body) == ["POST", "/api", "mine", "a"]


# --- registering ---


def test_a_function_is_called_by_its_namespace_and_name(server):
    def plain(request):
        return "plain"

    server.registerAPIFunction(plain)
    server.registerAPIFunction(plain, "a.b")
    server.apiFunction("direct")(plain)
    server.apiFunction(namespace="named")(plain)

    @server.apiFunction
    def bare(request):
        return "bare"

    with running(server):
        for name in ("plain", "a.b.plain", "direct.plain", "named.plain"):
            assert call_json(server, name).body == b'"plain"'
        assert call_form(server, "bare").body == b'"bare"'
        assert call_json(server, "other.plain").status == 422


def test_a_second_registration_of_a_name_replaces_the_first(server):
    def first():
        def name(request):
            return 1

        return name

    def second():
        def name(request):
            return 2

        return name

    server.apiFunction()(first())
    server.apiFunction()(second())
    with running(server):
        assert call_json(server, "name").body == b"2"
        server.apiFunction()(first())
        assert call_json(server, "name").body == b"1"


def test_a_function_can_be_called_on_its_ports_alone(server):
    def name(request):
        return request.portName()

    server.registerAPIFunction(name, "here", ports=["other"])
    server.registerAPIFunction(name, "every", ports=[-1])
    server.registerAPIFunction(name, "main")
    with running(server, ports=[("other", 0)]):
        assert call_form(server, "here.name", port="other").body == b'"other"'
        assert call_form(server, "every.name", port="other").body == b'"other"'
        assert call_form(server, "every.name").body == b'"main"'
        assert call_form(server, "here.name").status == 422
        assert call_form(server, "main.name", port="other").status == 422


@pytest.mark.parametrize("function", [None, 5, functools.partial(print)])
def test_what_has_no_name_or_cannot_be_called_is_refused_at_once(server, function):
    with pytest.raises(OperationFailed):
        server.registerAPIFunction(function)


def test_a_wrapper_gets_the_request_first_though_the_function_takes_none(server):
    def with_user(function):
        @functools.wraps(function)
        def wrapper(request, *args, **kwargs):
            return [request.method(), function(*args, **kwargs)]

        return wrapper

    @server.apiFunction("ns")
    @with_user
    def add(x, y=1):
        return x + y

    with running(server):
        assert json.loads(call_json(server, "ns.add", 1).body) == ["POST", 2]
        assert json.loads(call_json(server, "ns.add", x=1, y=5).body) == ["POST", 6]
        missing = error_of(call_json(server, "ns.add"))
        unknown = error_of(call_json(server, "ns.add", 1, z=2))
    assert "ns.add" in missing
    assert "'x'" in missing
    assert "ns.add" in unknown
    assert "'z'" in unknown


def test_a_function_that_hides_its_signature_can_be_called(server):
    server.registerAPIFunction(dir)
    with running(server):
        assert "pathWithQueryString" in json.loads(call_json(server, "dir").body)


# --- arguments and their types ---


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "-12", -12), (float, "1e3", 1000.0), (str, "1", "1"), (bool, "true", True),
        (bool, "Off", False), (bool, "0", False), (bool, "1", True), (list, "[1, 2]", [1, 2]),
        (dict, '{"a": 1}', {"a": 1}), (str.upper, "abc", "ABC"),
    ],
)  # fmt: skip
def test_arg_types_make_of_text_what_the_function_wants(server, kind, text, value):
    def take(request, x):
        return x

    server.registerAPIFunction(take, arg_types={"x": kind})
    with running(server):
        by_name = json.loads(call_form(server, "take", x=text).body)
        by_place = json.loads(call_json(server, "take", text).body)
    assert by_name == by_place == value
    assert type(by_name) is type(value)


@pytest.mark.parametrize(("kind", "value"), [(int, 5), (float, 2.5), (bool, True), (list, [1])])
def test_arg_types_leave_what_is_of_the_type_already(server, kind, value):
    def take(request, x):
        return x

    server.registerAPIFunction(take, arg_types={"x": kind})
    with running(server):
        assert json.loads(call_json(server, "take", value).body) == value
        assert json.loads(call_json(server, "take", x=value).body) == value


def test_arg_types_leave_defaults_and_other_arguments_alone(server):
    def take(request, x="default", **others):
        return [x, others]

    server.registerAPIFunction(take, arg_types={"x": int, "y": int})
    with running(server):
        assert json.loads(call_form(server, "take", z="1").body) == ["default", {"z": "1"}]
        assert json.loads(call_form(server, "take", y="1").body) == ["default", {"y": 1}]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "abc"), (int, ""), (int, "1.5"), (int, 1.5), (int, None), (int, [1]),
        (int, "9" * 5000), (float, "x"), (float, {}), (bool, "maybe"), (list, "{}"), (list, "[1"),
        (list, "[" * 100_000), (dict, "[]"), (dict, "x"),
    ],
)  # fmt: skip
def test_a_badly_typed_argument_is_a_422_that_names_function_and_argument(server, kind, value):
    def take(request, other, size=1):
        return "never"

    server.registerAPIFunction(take, "ns", arg_types={"size": kind})
    with running(server):
        for answer in (
            call_json(server, "ns.take", 1, size=value),
            call_json(server, "ns.take", 1, value),
        ):
            error = error_of(answer)
            assert "ns.take" in error
            assert "'size'" in error
            assert len(error) < 400


@pytest.mark.parametrize(
    ("args", "kwargs", "argument"),
    [
        ([], {}, "'x'"),
        ([], {"y": 1}, "'x'"),
        ([1], {"z": 1}, "'z'"),
        ([1, 2, 3], {}, "argument"),
        ([1], {"x": 2}, "'x'"),
        ([1], {"request": 2}, "'request'"),
        ([1], {"self": 2}, "'self'"),
        ([1], {"": 2}, "''"),
        ([1], {"a b": 2}, "'a b'"),
    ],
)
def test_wrong_arguments_are_a_422_that_names_function_and_argument(api, args, kwargs, argument):
    body = json.dumps(["ns.add", args, kwargs])
    with running(api):
        error = error_of(fetch(api, "/api", "POST", body, JSON))
    assert "ns.add" in error
    assert argument in error


def test_wrong_arguments_of_a_form_are_named_too(api):
    with running(api):
        assert "'x'" in error_of(call_form(api, "ns.add"))
        assert "'z'" in error_of(call_form(api, "ns.add", x=1, z=1))


@pytest.mark.parametrize("name", ["none", "ns.none", "ns", "", "add", "NS.add", "__class__"])
def test_an_unknown_function_is_a_422_that_names_it(api, name):
    with running(api):
        assert f"'{name}'" in error_of(call_json(api, name))
        assert f"'{name}'" in error_of(call_form(api, name))


def test_a_name_that_is_no_unicode_is_only_unknown(api):
    with running(api):
        for accept in ("application/json", "text/html"):
            answer = call_json(api, "\ud800", headers={"Accept": accept})
            assert answer.status == 422
        assert call_json(api, "ns.add", 1).body == b"1"


# --- what is no call ---


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nothing", b"\xff\xfe\xfd", b'["ns.add", [1], {}', b"[NaN]", b"null", b"5",
        b'"ns.add"', b"{}", b"[]", b'["ns.add"]', b'["ns.add", [1]]', b'["ns.add", [1], {}, 1]',
        b'[5, [], {}]', b'["ns.add", {}, []]', b'["ns.add", "x", {}]', b'["ns.add", [NaN], {}]',
        b'["ns.add", [Infinity], {}]', b'["ns.add", [-Infinity], {}]',
    ],
)  # fmt: skip
def test_malformed_json_is_a_422_that_says_so(api, body):
    with running(api):
        direct = error_of(fetch(api, "/api", "POST", body, JSON))
        in_form = error_of(fetch(api, "/api", "POST", urlencode({"json": body}), FORM))
        assert call_json(api, "ns.add", 1).body == b"1"
    assert direct
    assert in_form


def test_a_form_that_names_no_function_is_a_422(api):
    with running(api):
        for body in (b"", b"x=1", b"cmd_functio=ns.add", b"\xff\xff"):
            assert "cmd_function" in error_of(fetch(api, "/api", "POST", body, FORM))


def test_deeply_nested_json_is_a_422_and_the_server_goes_on(api):
    deep = "[" * 200_000
    with running(api):
        for body in (deep, f'["ns.add", [{deep}', '["ns.add", [], ' + '{"a":' * 100_000):
            error_of(fetch(api, "/api", "POST", body, JSON))
            error_of(fetch(api, "/api", "POST", urlencode({"json": body}), FORM))
        assert call_json(api, "ns.add", 1).body == b"1"


def test_a_number_of_too_many_digits_is_a_422_and_the_server_goes_on(api):
    with running(api):
        for number in ("9" * 5000, "-" + "9" * 500_000):
            error_of(fetch(api, "/api", "POST", f'["ns.add", [{number}], {{}}]', JSON))
        assert call_json(api, "ns.add", 10**300).body == b"1" + b"0" * 300


def test_a_body_that_is_no_call_at_all_is_refused(api):
    with running(api):
        for kind in ("text/plain", "image/png", "application/xml"):
            answer = fetch(api, "/api", "POST", b"x", {"Content-Type": kind})
            assert kind in error_of(answer, 415)


def test_a_form_of_too_many_fields_is_a_400(api):
    with running(api, settings={"MAX_FORM_FIELDS": 3}):
        error_of(call_form(api, "ns.echo", a=1, b=2, c=3), 400)
        assert call_form(api, "ns.echo", a=1).status == 200


def test_a_call_that_is_too_large_is_a_413(api):
    with running(api, max_request_size=1000):
        error_of(call_json(api, "ns.values", "x" * 2000), 413)
        assert call_json(api, "ns.add", 1).body == b"1"


# --- what the function does ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, b"null"), ("text", b'"text"'), (1, b"1"), (True, b"true"), ([], b"[]"),
        ((1, 2), b"[1, 2]"), ({"a": {"b": 1}}, b'{"a": {"b": 1}}'), ({1: 2}, b'{"1": 2}'),
        ("\u00fc\ud800", b'"\\u00fc\\ud800"'),
    ],
)  # fmt: skip
def test_data_is_json(server, value, text):
    def give(request):
        return value

    server.registerAPIFunction(give)
    with running(server):
        answer = call_json(server, "give")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.body == text


@pytest.mark.parametrize("value", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_are_sent_as_they_are(server, value):
    def give(request):
        return value

    server.registerAPIFunction(give)
    with running(server):
        answer = call_json(server, "give")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert answer.body == b"\x00\xff"


@pytest.mark.parametrize("value", ["gr\u00fcn", "gr\u00fcn".encode()])
def test_return_binary_sends_the_result_as_it_is(server, value):
    def give(request):
        return value

    server.registerAPIFunction(give, return_binary=True)
    with running(server):
        answer = call_form(server, "give")
    assert (answer.headers["Content-Type"], answer.body) == (
        "application/octet-stream",
        "gr\u00fcn".encode(),
    )


def test_a_response_is_sent_as_it_is(server):
    @server.apiFunction()
    def give(request):
        return Response("made", 201, "text/plain")

    with running(server):
        answer = call_json(server, "give")
    assert (answer.status, answer.text) == (201, "made")


@pytest.mark.parametrize("data", ["a message", {"code": 5, "fields": ["x"]}, ["a"], 7, None, ""])
def test_an_api_error_is_a_422_with_its_data(server, data):
    @server.apiFunction()
    def refuse(request):
        raise APIError(data)

    assert APIError(data).status_code == 422
    with running(server):
        assert error_of(call_json(server, "refuse")) == data
        assert error_of(call_form(server, "refuse", headers={"Accept": "*/*"})) == data


def test_an_api_error_with_data_that_json_cannot_hold_is_still_a_422(server):
    @server.apiFunction()
    def refuse(request):
        raise APIError({"a": {1, 2}})

    with running(server):
        assert "{1, 2}" in error_of(call_json(server, "refuse"))


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, SystemExit, RecursionError])
def test_any_other_error_is_a_500_without_details(server, error):
    @server.apiFunction()
    def fail(request):
        raise error("the secret")

    with running(server):
        data = call_json(server, "fail", headers={"Accept": "application/json"})
        page = call_json(server, "fail")
    assert "secret" not in error_of(data, 500)
    assert page.status == 500
    assert page.headers["Content-Type"].startswith("text/html")
    assert "secret" not in page.text


def test_a_type_error_inside_the_function_is_no_wrong_argument(server):
    def inner(x):
        return x

    @server.apiFunction()
    def fail(request):
        return inner()

    def decorated(function):
        return functools.wraps(function)(lambda request, *args, **names: function(*args, **names))

    @server.apiFunction()
    @decorated
    def wrapped():
        return len(5)

    with running(server):
        assert call_json(server, "fail").status == 500
        assert call_json(server, "wrapped").status == 500


def test_a_wrapped_function_that_raises_a_type_error_is_no_wrong_argument(server):
    def plain(function):
        @functools.wraps(function)
        def wrapper(request, *args):
            return function(*args)

        return wrapper

    @server.apiFunction()
    @plain
    def fail():
        raise TypeError("fail() takes nothing of this")

    with running(server):
        assert call_json(server, "fail").status == 500


def test_in_debug_mode_the_traceback_comes_with_the_500(server):
    @server.apiFunction()
    def fail(request):
        raise ValueError("the reason")

    with running(server, debug=True):
        error = error_of(call_json(server, "fail", headers={"Accept": "application/json"}), 500)
        page = call_json(server, "fail")
    assert error.startswith("Traceback ")
    assert "ValueError: the reason" in error
    assert "\nTraceback:\n" in page.text


def test_an_http_error_is_its_status(server):
    @server.apiFunction()
    def fail(request):
        raise HTTPError(409, "in the way")

    with running(server):
        assert error_of(call_json(server, "fail"), 409) == "in the way"


class Thing:
    pass


def encode_namespace(value):
    if isinstance(value, types.SimpleNamespace):
        return vars(value)
    raise TypeError(f"no encoding for {type(value).__name__}")


def circle():
    ring: list = []
    ring.append(ring)
    return {"ring": ring}


def deep():
    data: list = []
    for _ in range(100_000):
        data = [data]
    return data


@pytest.mark.parametrize(
    ("make", "what", "where"),
    [
        (Thing, "Thing", "result"),
        (lambda: {"a": [0, {"b": Thing()}]}, "Thing", "result['a'][1]['b']"),
        (lambda: [{1, 2}], "set", "result[0]"),
        (lambda: ({"x": b"bytes"},), "bytes", "result[0]['x']"),
        (lambda: {"a": {(1, 2): 3}}, "tuple", "result['a']"),
        (lambda: [float("nan")], "nan", "result[0]"),
        (lambda: {"n": float("-inf")}, "-inf", "result['n']"),
        (lambda: {"n": {float("nan"): 1}}, "nan", "result['n']"),
        (lambda: {"n": 10**5000}, "int", "result['n']"),
        (circle, "itself", "result['ring'][0]"),
        (deep, "deep", "result"),
    ],
)
@pytest.mark.parametrize("default", [None, encode_namespace], ids=["plain", "json_default"])
def test_what_json_cannot_hold_is_a_500_that_says_what_and_where(
    server, make, what, where, default
):
    def give(request):
        return make()

    server.registerAPIFunction(give, json_default=default)
    with running(server):
        error = error_of(call_json(server, "give", headers={"Accept": "application/json"}), 500)
        assert call_json(server, "none").status == 422
    assert what in error
    assert where in error


def test_json_default_makes_json_of_what_is_none(server):
    @server.apiFunction(json_default=sorted)
    def give(request):
        return {"a": {3, 1, 2}}

    with running(server):
        assert json.loads(call_json(server, "give").body) == {"a": [1, 2, 3]}


# --- /api itself ---


def test_without_a_function_there_is_no_api(server):
    with running(server):
        error_of(call_json(server, "name"), 404)
        error_of(fetch(server, "/api"), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_calls(api, method):
    with running(api):
        answer = fetch(api, "/api", method)
        error_of(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
        assert fetch(api, "/api", "HEAD").status == 405


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/plain", "image/*",
                                    "text/html;q=0", "text/*"])  # fmt: skip
def test_errors_are_json_unless_html_is_named(api, accept):
    headers = {} if accept is None else {"Accept": accept}
    with running(api):
        error_of(call_json(api, "none", headers=headers))
        error_of(call_form(api, "ns.add", headers=headers))
        error_of(fetch(api, "/api/", "GET", None, headers), 405)


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_errors_are_pages_for_browsers(api, accept):
    with running(api):
        answers = [
            call_json(api, "<none>", headers={"Accept": accept}),
            fetch(api, "/api", "GET", None, {"Accept": accept}),
        ]
    assert [answer.status for answer in answers] == [422, 405]
    for answer in answers:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<none>" not in answer.text


def test_a_path_below_api_is_not_found(api):
    with running(api):
        assert fetch(api, "/api/ns.add", "POST", b"", FORM).status == 404
        assert fetch(api, "/apis", "POST", b"", FORM).status == 404


def test_a_call_that_ends_early_calls_nothing(server):
    calls = []

    @server.apiFunction()
    def note(request):
        calls.append(1)

    body = b'["note", [], {}]'
    with running(server), connect(server) as sock:
        head = b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        sock.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body) + 1, body))
        sock.shutdown(socket.SHUT_WR)
        receive_all(sock)
    assert calls == []


@pytest.mark.parametrize("result", [{}, [], 1, None])
def test_a_binary_function_that_returns_none_of_it_is_a_500_that_says_so(server, result):
    server.apiFunction(return_binary=True)(_named("binary", lambda request: result))
    with running(server):
        answer = fetch(server, "/api", "POST", "cmd_function=binary")
    assert answer.status == 500
    assert f"binary returns {type(result).__name__}" in answer.text


def test_null_is_none_where_the_function_says_so(server):
    function = _named("optional", lambda request, x=None: [x])
    server.apiFunction(arg_types={"x": int})(function)
    with running(server):
        answer = fetch(
            server,
            "/api",
            "POST",
            '["optional", [], {"x": null}]',
            {"Content-Type": "application/json"},
        )
    assert (answer.status, answer.text) == (200, "[null]")


def test_an_error_that_json_cannot_hold_is_sent_as_text(server):
    def fails(request):
        raise APIError(float("nan"))

    server.apiFunction()(fails)
    with running(server):
        answer = fetch(server, "/api", "POST", "cmd_function=fails")
    assert (answer.status, json.loads(answer.text)) == (422, {"error": "nan"})


def _named(name, function):
    function.__name__ = name
    return function


# --- calls with files ---

LARGE = b"\x00\xff\r\n" * 5000  # more than is kept in memory in these tests


def part(name, value, file_name=None):
    """A part of a form: a text, or a file where it has a file name."""
    shown = "" if file_name is None else f'; filename="{file_name}"'
    head = f'--xYz\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'
    return head.encode() + (value.encode() if isinstance(value, str) else value) + b"\r\n"


def file(name, data=LARGE, file_name="a.exr"):
    return part(name, data, file_name)


def call_multipart(server, *parts, headers=None, end=b"--xYz--\r\n"):
    kind = {"Content-Type": "multipart/form-data; boundary=xYz"}
    return fetch(server, "/api", "POST", b"".join(parts) + end, {**kind, **(headers or {})})


def by_form(name, **fields):
    """The fields that call a function with texts."""
    return b"".join(part(key, value) for key, value in {"cmd_function": name, **fields}.items())


def by_json(name, *args, **kwargs):
    """The field that calls a function with any data."""
    return part("json", json.dumps([name, list(args), kwargs]))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An own directory for temporary files, which is empty in the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    wait_until(lambda: os.listdir(tmp_path) == [])


@pytest.fixture
def uploads(server, temporary):
    """A server with a function that says what it got, and keeps it in a list."""
    server.got = []

    def take(request, image, size="1", *more, mode=None, **others):
        server.got.append(image.read() if isinstance(image, UploadedFile) else image)
        return [_shown(one) for one in (image, size, *more, mode, others)]

    server.apiFunction("ns")(take)
    with running(server, max_in_memory_file_upload_size=1000):
        yield server


def _shown(value):
    """A value as JSON can hold it: of a file its name and whether it is in memory."""
    if isinstance(value, UploadedFile):
        return [value.name(), value.isInMemory()]
    return {k: _shown(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(("data", "in_memory"), [(LARGE, False), (b"small", True), (b"", True)])
def test_a_file_beside_a_form_call_is_the_argument_of_its_name(uploads, data, in_memory):
    answer = call_multipart(uploads, by_form("ns.take", size="2", x="y"), file("image", data))
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == [["a.exr", in_memory], "2", None, {"x": "y"}]
    assert uploads.got == [data]


@pytest.mark.parametrize(("data", "in_memory"), [(LARGE, False), (b"small", True)])
def test_a_file_beside_a_json_call_is_the_argument_of_its_name(uploads, data, in_memory):
    answer = call_multipart(uploads, by_json("ns.take", size=[2], x=None), file("image", data))
    assert json.loads(answer.body) == [["a.exr", in_memory], [2], None, {"x": None}]
    assert uploads.got == [data]


def test_the_parts_of_a_call_may_come_in_any_order(uploads):
    for call in (by_form("ns.take", size="2"), by_json("ns.take", size="2")):
        answer = call_multipart(uploads, file("image"), call, file("mask", b"m", "m.png"))
        expected = [["a.exr", False], "2", None, {"mask": ["m.png", True]}]
        assert json.loads(answer.body) == expected


def test_a_file_may_stand_beside_arguments_by_place(uploads):
    answer = call_multipart(uploads, by_json("ns.take", "i", 2, 3, x=4), file("mode"))
    assert json.loads(answer.body) == ["i", 2, 3, ["a.exr", False], {"x": 4}]


def test_a_form_with_no_files_calls_too(uploads):
    for call in (by_form("ns.take", image="text"), by_json("ns.take", "text")):
        assert json.loads(call_multipart(uploads, call).body) == ["text", "1", None, {}]


def test_a_file_input_in_which_nothing_was_chosen_is_no_argument(uploads):
    error = error_of(call_multipart(uploads, by_form("ns.take"), file("image", b"", "")))
    assert "ns.take" in error
    assert "'image'" in error


@pytest.mark.parametrize(
    "parts",
    [
        [by_form("ns.take", image="text"), file("image")],
        [file("image"), by_form("ns.take", image="")],
        [by_json("ns.take", image=None), file("image")],
        [by_json("ns.take", "by place"), file("image")],
        [by_form("ns.take"), file("image"), file("image", b"small")],
        [by_json("ns.take"), file("image", b""), file("image")],
    ],
)
def test_an_argument_that_is_given_twice_is_a_422_that_names_it(uploads, temporary, parts):
    error = error_of(call_multipart(uploads, *parts))
    assert "ns.take" in error
    assert "'image'" in error
    assert uploads.got == []
    wait_until(lambda: os.listdir(temporary) == [])


@pytest.mark.parametrize("name", ["request", "none", "", "a b"])
def test_a_file_that_is_no_argument_is_a_422_that_names_it(api, temporary, name):
    with running(api, max_in_memory_file_upload_size=1000):
        error = error_of(call_multipart(api, by_json("ns.add", 1), file(name)))
    assert "ns.add" in error
    assert f"'{name}'" in error


@pytest.mark.parametrize("kind", [int, float, str, bool, list, dict, str.upper])
@pytest.mark.parametrize("call", [by_form("ns.take"), by_json("ns.take")])
def test_a_file_for_an_argument_of_another_type_is_a_422(server, temporary, kind, call):
    function = _named("take", lambda request, size=1: "never")
    server.registerAPIFunction(function, "ns", arg_types={"size": kind})
    with running(server, max_in_memory_file_upload_size=1000):
        error = error_of(call_multipart(server, call, file("size")))
    assert "ns.take" in error
    assert "'size'" in error
    assert "a.exr" in error


def test_a_text_for_an_argument_that_is_a_file_is_a_422(server):
    function = _named("take", lambda request, image: image.name())
    server.registerAPIFunction(function, arg_types={"image": UploadedFile})
    with running(server):
        assert call_multipart(server, by_form("take"), file("image")).body == b'"a.exr"'
        error = error_of(call_multipart(server, by_form("take", image="text")))
    assert "'image'" in error
    assert "UploadedFile" in error


def test_an_unknown_function_is_a_422_and_its_files_are_gone(uploads, temporary):
    for call in (by_form("ns.none"), by_json("ns.none")):
        assert "'ns.none'" in error_of(call_multipart(uploads, call, file("image")))
        wait_until(lambda: os.listdir(temporary) == [])


def test_a_form_with_files_that_is_no_call_is_a_422(uploads, temporary):
    for wrong in (b"", part("x", "1"), part("json", "{"), part("json", "[1]"), part("json", "")):
        error_of(call_multipart(uploads, wrong, file("image")))
    assert "cmd_function" in error_of(call_multipart(uploads, file("cmd_function")))
    wait_until(lambda: os.listdir(temporary) == [])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (APIError("no"), 422),
        (ValueError("no"), 500),
        (HTTPError(409, "no"), 409),
        (SystemExit, 500),
    ],
)
def test_the_files_of_a_function_that_raises_are_gone(server, temporary, error, status):
    seen = []

    @server.apiFunction()
    def fail(request, image):
        seen.append(os.path.exists(image.temporaryFilePath()))
        raise error

    with running(server, max_in_memory_file_upload_size=1000):
        answer = call_multipart(
            server, by_form("fail"), file("image"), headers={"Accept": "application/json"}
        )
        error_of(answer, status)
        wait_until(lambda: os.listdir(temporary) == [])
    assert seen == [True]


@pytest.mark.parametrize("binary", [True, False])
def test_a_file_goes_back_as_it_came(server, temporary, binary):
    function = _named("back", lambda request, image: image.read())
    server.registerAPIFunction(function, "ns", return_binary=binary)
    with running(server, max_in_memory_file_upload_size=1000):
        for call in (by_form("ns.back"), by_json("ns.back")):
            answer = call_multipart(server, call, file("image"))
            assert (answer.status, answer.body) == (200, LARGE)
            assert answer.headers["Content-Type"] == "application/octet-stream"


def test_a_function_that_returns_its_file_is_a_500_that_says_so(server):
    server.apiFunction("ns")(_named("back", lambda request, image: {"image": image}))
    with running(server):
        answer = call_multipart(
            server, by_form("ns.back"), file("image"), headers={"Accept": "application/json"}
        )
    error = error_of(answer, 500)
    assert "UploadedFile" in error
    assert "result['image']" in error


def test_a_call_that_is_cut_off_is_a_400_and_calls_nothing(uploads, temporary):
    for end in (b"", b"--xYz", file("more")[:-10]):
        error = error_of(call_multipart(uploads, by_form("ns.take"), file("image"), end=end), 400)
        assert "boundary" in error
    assert uploads.got == []


def test_errors_of_calls_with_files_are_pages_for_browsers(uploads):
    answer = call_multipart(
        uploads, by_form("<none>"), file("image"), headers={"Accept": "text/html"}
    )
    assert (answer.status, answer.headers["Content-Type"]) == (422, "text/html; charset=utf-8")
    assert "<none>" not in answer.text
