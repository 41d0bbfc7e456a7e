"""Which registration answers: precedence, templates, methods, ports, replacing, look-up cost."""

from __future__ import annotations

import http.client
import json
import sys
import threading

import pytest
from support import PATIENCE, Answer, fetch, running

from hwebserver import OperationFailed, Response, Server
from hwebserver.web.routing import Kind, Route, Router, port_keys


def answering(text):
    """A handler that says who it is, whatever it is called with."""
    return lambda request, **values: text


def said(server, path, **options):
    """What the handler says that answers a path; the status where none does."""
    answer = fetch(server, path, **options)
    return answer.text if answer.status == 200 else answer.status


def allowed(answer: Answer) -> set[str]:
    return set(answer.headers["Allow"].split(", "))


# --- precedence ---

EXACT, PREFIX = False, True

PRECEDENCE = [
    # Most segments first, whatever the kind.
    ("/a/b", [("/a/b", EXACT), ("/a", PREFIX)], "/a/b"),
    ("/a/b", [("/a/b", PREFIX), ("/a/{rest:path}", EXACT)], "/a/b"),
    ("/a/b/c", [("/a/b", PREFIX), ("/a", PREFIX), ("/", PREFIX)], "/a/b"),
    ("/a/b/c", [("/{x}/b", PREFIX), ("/a", PREFIX)], "/{x}/b"),
    ("/a/b/c", [("/a/b/{rest:path}", EXACT), ("/a", PREFIX)], "/a/b/{rest:path}"),
    ("/a/b/c", [("/{x}/{y}/{z}", EXACT), ("/a/b", PREFIX)], "/{x}/{y}/{z}"),
    # At equal length: exact, templates, prefix, {:path}.
    ("/a/b", [("/a/b", EXACT), ("/a/{x}", EXACT)], "/a/b"),
    ("/a/b", [("/a/b", EXACT), ("/a/b", PREFIX)], "/a/b"),
    ("/a/b", [("/{x}/{y}", EXACT), ("/a/b", PREFIX)], "/{x}/{y}"),
    ("/a/b", [("/a", PREFIX), ("/a/{rest:path}", EXACT)], "/a"),
    ("/a", [("/", PREFIX), ("/{rest:path}", EXACT)], "/"),
    # Templates by the number of their literal segments.
    ("/a/b/c", [("/a/{x}/c", EXACT), ("/a/{x}/{y}", EXACT)], "/a/{x}/c"),
    ("/a/b/c", [("/{x}/b/c", EXACT), ("/a/{x}/{y}", EXACT)], "/{x}/b/c"),
    # A digit is a text too, but a number says more.
    ("/a/7", [("/a/{x:int}", EXACT), ("/a/{x}", EXACT)], "/a/{x:int}"),
    ("/a/b", [("/a/{x:int}", EXACT), ("/a/{x}", EXACT)], "/a/{x}"),
    # What looks better but does not match is no obstacle.
    ("/a/c", [("/a/b", EXACT), ("/{x}/{y}", EXACT)], "/{x}/{y}"),
    ("/a/b/d", [("/a/{x}/c", EXACT), ("/{x}/b/{y}", EXACT)], "/{x}/b/{y}"),
    ("/other", [("/a", PREFIX), ("/", PREFIX)], "/"),
]


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize(("path", "routes", "winner"), PRECEDENCE)
def test_the_most_specific_registration_wins_in_whatever_order(
    server, path, routes, winner, reverse
):
    for route, is_prefix in reversed(routes) if reverse else routes:
        kind = " as a prefix" if is_prefix else ""
        server.urlHandler(route, is_prefix)(answering(route + kind))
    with running(server):
        assert said(server, path).partition(" ")[0] == winner


def test_an_exact_path_goes_before_a_prefix_of_the_same_path(server):
    server.urlHandler("/a", is_prefix=True)(answering("prefix"))
    server.urlHandler("/a")(answering("exact"))
    with running(server):
        assert [said(server, "/a"), said(server, "/a/b")] == ["exact", "prefix"]


def test_files_come_last_at_equal_length(server, tmp_path):
    (tmp_path / "one.txt").write_text("file")
    server.registerStaticFilesDirectory(str(tmp_path), "/f")
    server.urlHandler("/f", is_prefix=True)(answering("prefix"))
    server.registerStaticFilesDirectory(str(tmp_path), "/g")
    server.urlHandler("/g/{rest:path}")(answering("path"))
    with running(server):
        assert said(server, "/f/one.txt") == "prefix"
        assert said(server, "/g/one.txt") == "path"


def test_files_under_more_segments_go_before_a_shorter_prefix(server, tmp_path):
    (tmp_path / "one.txt").write_text("file")
    server.urlHandler("/", is_prefix=True)(answering("prefix"))
    server.registerStaticFilesDirectory(str(tmp_path), "/f")
    with running(server):
        assert said(server, "/f/one.txt") == "file"


# --- slashes and segments ---


@pytest.mark.parametrize("registered", ["/a/b", "/a/b/", "a/b"])
@pytest.mark.parametrize("asked", ["/a/b", "/a/b/", "/a/b//"])
def test_trailing_slashes_change_nothing_on_either_side(server, registered, asked):
    server.urlHandler(registered)(answering("here"))
    with running(server):
        assert said(server, asked) == "here"


@pytest.mark.parametrize("registered", ["/node", "/node/"])
def test_a_prefix_matches_on_segment_borders_only(server, registered):
    server.urlHandler(registered, is_prefix=True)(answering("here"))
    with running(server):
        for path in ("/node", "/node/", "/node/a", "/node/a/b/", "/node?x=1"):
            assert said(server, path) == "here"
        for path in ("/nodes", "/nod", "/node.txt", "/Node", "/x/node", "/"):
            assert said(server, path) == 404


@pytest.mark.parametrize("registered", ["/", ""])
def test_the_root_is_a_path_like_any_other(server, registered):
    server.urlHandler(registered)(answering("root"))
    with running(server):
        assert said(server, "/") == "root"
        assert said(server, "/?x=/y") == "root"
        assert said(server, "/a") == 404


def test_a_prefix_at_the_root_matches_everything(server):
    server.urlHandler("/", is_prefix=True)(answering("all"))
    with running(server):
        for path in ("/", "/a", "/a/b/c", "/..", "//a"):
            assert said(server, path) == "all"


def test_case_and_inner_slashes_count(server):
    server.urlHandler("/a/b")(answering("here"))
    with running(server):
        for path in ("/A/b", "/a//b", "//a/b", "/a/./b", "/a/x/../b"):
            assert said(server, path) == 404


def test_an_encoded_slash_is_no_separator(server):
    server.urlHandler("/a/b")(answering("two segments"))
    server.urlHandler("/{name}")(lambda request, name: f"one: {name}")
    with running(server):
        assert said(server, "/a%2Fb") == "one: a/b"
        assert said(server, "/a%2fb") == "one: a/b"
        assert said(server, "/a/b") == "two segments"


def test_a_segment_is_decoded_once_before_it_is_compared(server):
    server.urlHandler("/caf\u00e9/a b")(answering("here"))
    server.urlHandler("/50%/{x}")(lambda request, x: x)
    with running(server):
        assert said(server, "/caf%C3%A9/a%20b") == "here"
        assert said(server, "/%63af%c3%a9/a%20b") == "here"
        assert said(server, "/caf%25C3%25A9/a%2520b") == 404
        assert said(server, "/50%25/%2541") == "%41"


def test_a_path_of_thousands_of_segments_is_only_not_found(server):
    server.urlHandler("/a/{x}")(answering("here"))
    server.urlHandler("/a/b", is_prefix=True)(answering("prefix"))
    with running(server):
        assert said(server, "/x" * 3000) == 404
        assert said(server, "/a/b" + "/x" * 3000) == "prefix"


# --- templates ---


def test_the_values_of_a_template_are_keyword_arguments_and_path_parameters(server):
    seen = {}

    @server.urlHandler("/node/{name}/{index:int}/{rest:path}")
    def node(request, **values):
        seen.update(arguments=values, parameters=request.pathParameters())

    with running(server):
        fetch(server, "/node/box1/07/geo/main.bgeo?x=1")
    assert seen["arguments"] == {"name": "box1", "index": 7, "rest": "geo/main.bgeo"}
    assert seen["parameters"] == seen["arguments"]
    assert type(seen["arguments"]["index"]) is int


def test_without_a_template_there_are_no_path_parameters(server):
    server.urlHandler("/a")(lambda request: request.pathParameters())
    with running(server):
        assert json.loads(fetch(server, "/a").body) == {}


def test_path_parameters_are_a_copy(server):
    @server.urlHandler("/{name}")
    def look(request, name):
        request.pathParameters()["name"] = "other"
        return request.pathParameters()["name"]

    with running(server):
        assert said(server, "/mine") == "mine"


@pytest.mark.parametrize("segment", ["x", "-1", "+1", "1.5", "0x1", "1_0", "%D9%A5", "%20", "1%20"])
def test_an_int_segment_is_digits_and_nothing_else(server, segment):
    server.urlHandler("/{number:int}")(answering("number"))
    with running(server):
        assert said(server, f"/{segment}") == 404


def test_an_int_segment_of_any_length_does_no_harm(server):
    server.urlHandler("/{number:int}")(lambda request, number: str(number))
    with running(server):
        assert said(server, "/" + "9" * 100) == "9" * 100
        assert said(server, "/" + "9" * 6000) == 404


def test_a_parameter_is_never_empty(server):
    server.urlHandler("/a/{name}/b")(answering("name"))
    server.urlHandler("/p/{rest:path}")(answering("path"))
    with running(server):
        for path in ("/a//b", "/a/b", "/p", "/p/"):
            assert said(server, path) == 404


def test_a_path_parameter_takes_all_that_is_left_decoded(server):
    server.urlHandler("/p/{rest:path}")(lambda request, rest: rest)
    with running(server):
        assert said(server, "/p/a") == "a"
        assert said(server, "/p/a/b%20c/d/") == "a/b c/d"


def test_a_prefix_may_be_a_template(server):
    server.urlHandler("/node/{name}", is_prefix=True)(lambda request, name: name)
    with running(server):
        assert said(server, "/node/a") == "a"
        assert said(server, "/node/a/b/c") == "a"
        assert said(server, "/node") == 404


@pytest.mark.parametrize(
    "path",
    [
        "/{}", "/{1}", "/{a b}", "/{a:float}", "/{a:}x", "/x{a}", "/{a}{b}", "/{a", "/a}",
        "/{rest:path}/b", "/{a:path}/{b:path}", "/{a}/{a}",
    ],
)  # fmt: skip
def test_a_path_that_is_no_template_is_refused_at_once(server, path):
    with pytest.raises(OperationFailed):
        server.urlHandler(path)(answering("never"))


# --- methods ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
def test_without_methods_every_method_reaches_the_function(server, method):
    server.urlHandler("/a")(lambda request: request.method())
    with running(server):
        assert said(server, "/a", method=method) == method


def test_other_methods_than_those_named_get_405_with_allow(server):
    server.urlHandler("/a", methods=["GET", "PUT"])(answering("here"))
    with running(server):
        assert said(server, "/a", method="PUT") == "here"
        for method in ("POST", "DELETE", "PURGE"):
            answer = fetch(server, "/a", method)
            assert answer.status == 405
            assert allowed(answer) == {"GET", "HEAD", "OPTIONS", "PUT"}


def test_methods_may_be_written_in_small_letters(server):
    server.urlHandler("/a", methods=["get"])(answering("here"))
    with running(server):
        assert said(server, "/a") == "here"
        assert said(server, "/a", method="POST") == 405


def test_head_calls_the_function_and_drops_the_body(server):
    calls = []

    @server.urlHandler("/a", methods=["GET"])
    def here(request):
        calls.append(request.method())
        return "hello"

    with running(server):
        answer = fetch(server, "/a", "HEAD")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "5")
    assert calls == ["HEAD"]


def test_head_is_refused_where_get_is(server):
    server.urlHandler("/a", methods=["POST"])(answering("here"))
    with running(server):
        answer = fetch(server, "/a", "HEAD")
    assert (answer.status, answer.body) == (405, b"")
    assert allowed(answer) == {"OPTIONS", "POST"}


def test_options_is_answered_when_no_function_asked_for_it(server):
    server.urlHandler("/a", methods=["GET"])(answering("get"))
    server.urlHandler("/b", methods=["OPTIONS"])(answering("mine"))
    with running(server):
        answer = fetch(server, "/a", "OPTIONS")
        assert (answer.status, answer.body) == (204, b"")
        assert allowed(answer) == {"GET", "HEAD", "OPTIONS"}
        assert said(server, "/b", method="OPTIONS") == "mine"
        assert said(server, "/none", method="OPTIONS") == 404


def test_options_of_the_whole_server_is_answered(server):
    with running(server):
        answer = fetch(server, "*", "OPTIONS")
    assert answer.status == 204
    assert {"GET", "HEAD", "POST", "OPTIONS"} <= allowed(answer)


def test_functions_for_several_methods_share_a_path(server):
    server.urlHandler("/a", methods=["GET"])(answering("get"))
    server.urlHandler("/a", methods=["POST"])(answering("post"))
    with running(server):
        assert said(server, "/a") == "get"
        assert said(server, "/a", method="POST") == "post"
        assert allowed(fetch(server, "/a", "PUT")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("methods", ["GET", [], ["G T"], [""], ["GET\r\n"]])
def test_what_is_no_list_of_methods_is_refused_at_once(server, methods):
    with pytest.raises(OperationFailed):
        server.urlHandler("/a", methods=methods)(answering("never"))


# --- replacing ---


def test_the_same_registration_replaces_the_first(server):
    for text in ("first", "second"):
        server.urlHandler("/a", methods=["GET"])(answering(text))
        server.urlHandler("/p", is_prefix=True)(answering(text))
        server.urlHandler("/t/{x}")(answering(text))
    server.urlHandler("/a/", methods=["GET"])(answering("third"))
    with running(server):
        assert said(server, "/a") == "third"
        assert said(server, "/p/x") == "second"
        assert said(server, "/t/x") == "second"


def test_another_kind_method_or_port_replaces_nothing(server):
    server.urlHandler("/a", methods=["GET"])(answering("get"))
    server.urlHandler("/a", methods=["POST"])(answering("post"))
    server.urlHandler("/a", is_prefix=True)(answering("prefix"))
    server.urlHandler("/a", ports=["other"], methods=["GET"])(answering("other"))
    with running(server, ports=[("other", 0)]):
        assert said(server, "/a") == "get"
        assert said(server, "/a", method="POST") == "post"
        assert said(server, "/a/b") == "prefix"
        assert said(server, "/a", port="other") == "other"


# --- ports ---


def test_ports_are_named_by_name_and_by_number(server):
    server.urlHandler("/main")(answering("main"))
    server.urlHandler("/named", ports=["files"])(answering("named"))
    server.urlHandler("/number", ports=[8123])(answering("number"))
    server.urlHandler("/text", ports=["8123"])(answering("text"))
    server.urlHandler("/both", ports=["main", "files"])(answering("both"))
    server.urlHandler("/every", ports=[-1])(answering("every"))
    found = {}
    with running(server, ports=[("files", 0), ("8123", 0)]):
        for port in ("main", "files", "8123"):
            paths = ("/main", "/named", "/number", "/text", "/both", "/every")
            found[port] = [path[1:] for path in paths if said(server, path, port=port) != 404]
    assert found == {
        "main": ["main", "both", "every"],
        "files": ["named", "both", "every"],
        "8123": ["number", "text", "every"],
    }


@pytest.mark.parametrize("ports", ["files", ("files",), {"files"}])
def test_a_single_port_need_not_stand_in_a_list(server, ports):
    server.urlHandler("/a", ports=ports)(answering("here"))
    with running(server, ports=[("files", 0)]):
        assert said(server, "/a", port="files") == "here"
        assert said(server, "/a") == 404


@pytest.mark.parametrize("port", ["main", "", 0])
def test_the_main_port_goes_by_three_names(server, port):
    server.urlHandler("/a", ports=[port])(answering("here"))
    with running(server, ports=[("other", 0)]):
        assert said(server, "/a") == "here"
        assert said(server, "/a", port="other") == 404


def test_the_number_of_the_main_port_means_the_main_port(server):
    with running(server):
        server.urlHandler("/a", ports=[server.port()])(answering("here"))
        assert said(server, "/a") == "here"


def test_a_path_of_another_port_is_not_found(server):
    server.urlHandler("/a", ports=["other"], methods=["POST"])(answering("here"))
    with running(server, ports=[("other", 0)]):
        assert said(server, "/a") == 404
        assert said(server, "/a", method="OPTIONS") == 404
        assert said(server, "/a", port="other") == 405


@pytest.mark.parametrize("ports", [[1.5], [None], [True], [("a", 1)]])
def test_what_is_no_port_is_refused_at_once(server, ports):
    with pytest.raises(OperationFailed):
        server.urlHandler("/a", ports=ports)


# --- registration while the server runs ---


def test_a_registration_holds_at_once_for_connections_that_are_open(server):
    with running(server):
        connection = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=PATIENCE)

        def ask():
            connection.request("GET", "/a")
            response = connection.getresponse()
            return response.status, response.read()

        try:
            assert ask()[0] == 404
            server.urlHandler("/a")(answering("first"))
            assert ask() == (200, b"first")
            server.urlHandler("/a")(answering("second"))
            assert ask() == (200, b"second")
        finally:
            connection.close()


def test_a_handler_may_register_another(server):
    @server.urlHandler("/a")
    def register(request):
        server.urlHandler("/b")(answering("registered"))
        return "registered"

    with running(server):
        assert said(server, "/a") == "registered"
        assert said(server, "/b") == "registered"


def test_several_threads_register_while_requests_are_answered(server):
    server.urlHandler("/fixed")(answering("fixed"))
    ready = threading.Barrier(6)

    def register(thread):
        ready.wait(PATIENCE)
        for number in range(40):
            server.urlHandler(f"/{thread}/{number}")(answering(f"{thread} {number}"))
            server.urlHandler(f"/{thread}/{number}/{{x}}")(answering("template"))

    threads = [threading.Thread(target=register, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    with running(server):
        ready.wait(PATIENCE)
        while any(thread.is_alive() for thread in threads):
            assert said(server, "/fixed") == "fixed"
        for thread in threads:
            thread.join()
        for thread in range(5):
            assert said(server, f"/{thread}/0/x") == "template"
            for number in (0, 17, 39):
                assert said(server, f"/{thread}/{number}") == f"{thread} {number}"


def test_decorators_return_what_they_decorated(server):
    def function(request, x=1):
        return Response("")

    assert server.urlHandler("/a")(function) is function
    assert server.urlHandler("/a/{x}", True, [-1], methods=["GET"])(function) is function
    assert server.apiFunction()(function) is function
    assert server.apiFunction("ns")(function) is function
    assert server.apiFunction(namespace="ns", arg_types={"x": int})(function) is function
    assert server.apiFunction(function) is function


# --- looking a path up ---


def operations(function) -> int:
    """Count the bytecode instructions that a call executes: the same on every machine."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    for _ in range(2):  # in 3.12 the first trace of instructions only prepares the next
        count = 0
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(before)
    return count


def router_of(count: int) -> Router:
    router = Router()
    for number in range(count):
        router.add(Route(f"/scene/{number}", None))
        router.add(Route(f"/scene/{number}/{{part}}/{{index:int}}", None))
        router.add(Route(f"/tree/{number}", None, kind=Kind.PREFIX))
    return router


@pytest.mark.parametrize("path", ["/scene/7", "/scene/7/geo/3", "/tree/7/a/b", "/none", "/scene/x"])
def test_looking_a_path_up_costs_the_same_however_many_routes_there_are(path):
    few, many = router_of(10), router_of(2000)
    ports = port_keys([])
    cost = operations(lambda: few.find(path, ports))
    assert cost > 10
    assert operations(lambda: many.find(path, ports)) == cost


def test_finding_a_handler_follows_the_same_rules(server):
    exact, other = answering("exact"), answering("other")
    server.urlHandler("/a")(exact)
    server.urlHandler("/", is_prefix=True, ports=["other"])(other)
    assert server.findHandlerForPort("/a") is exact
    assert server.findHandlerForPort("/a/") is exact
    assert server.findHandlerForPort("/b") is None
    assert server.findHandlerForPort("/a", "other") is other
    assert server.findHandlerForPort("/a", "none") is None


def test_servers_share_no_registrations():
    one, two = Server("one"), Server("two")
    one.urlHandler("/a")(answering("one"))
    with running(one), running(two):
        assert said(one, "/a") == "one"
        assert said(two, "/a") == 404
