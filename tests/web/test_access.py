"""Who may come in: pure decisions, and then some over real sockets."""

from __future__ import annotations

import io
import logging
import os
import socket

import pytest
import wsclient
from asgi_driver import Driver, http_scope
from support import connect, fetch, receive_all, receive_response, running, wait_until

import hwebserver
from hwebserver.errors import OperationFailed
from hwebserver.exchange import ConnectionInfo, Port
from hwebserver.protocol.http1 import Limits, parse_head
from hwebserver.settings import EVERY_PORT, MAIN_PORT, OPTIONS
from hwebserver.web.access import Access, Place

DEFAULTS = {option.name: option.default for option in OPTIONS.values()}

TOKEN = "a+b/c==.-_~9"


def access(**values):
    return Access({**DEFAULTS, **values}, lambda: "Box.studio.lan")


def connection(bind="127.0.0.1", descriptor=5, secure=False, local="127.0.0.1"):
    port = Port(MAIN_PORT, 8008, frozenset((MAIN_PORT, EVERY_PORT)), secure, bind)
    return ConnectionInfo(("127.0.0.1", 1), (local, 8008), port, descriptor, secure)


def head_of(method="GET", target="/", host="localhost", minor=1, **fields):
    lines = [f"{method} {target} HTTP/1.{minor}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return parse_head("\r\n".join(lines).encode("latin-1"), Limits())


def judge(rules, head, info=None, place=Place.HANDLER):
    """The status of what a request is refused with (None: it is not), its fields and the added."""
    from hwebserver.exchange import Answer

    verdict = rules.judge(head, info or connection(), place)
    refusal = verdict.refusal
    answer = Answer(200, (("ETag", "x"),) if refusal is None else refusal.fields)
    if verdict.extra is not None:
        answer = verdict.extra.dress(answer)
    fields = dict(answer.fields)
    fields.pop("ETag", None)
    return None if refusal is None else refusal.status, fields


def status(rules, head, info=None, place=Place.HANDLER):
    return judge(rules, head, info, place)[0]


# --- hosts ---

LOOPBACK = ["localhost", "LOCALHOST.", "localhost:1", "a.localhost", "127.0.0.1", "127.1.2.3:99",
            "[::1]", "[::1]:8008"]  # fmt: skip
ADDRESSES = ["10.0.0.1", "192.168.1.2:8008", "[fe80::1]:1", "0.0.0.0"]
OWN_NAMES = ["box", "BOX.studio.lan", "box.local:8008"]
FOREIGN = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost",
           "box.evil.example", "127.0.0.1.", "2130706433", "%6cocalhost"]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK + ADDRESSES + OWN_NAMES + FOREIGN)
def test_a_loopback_port_goes_by_the_names_of_loopback_alone(host):
    allowed = host in LOOPBACK or host == "127.0.0.1."
    assert status(access(), head_of(host=host)) == (None if allowed else 400)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.2"])
@pytest.mark.parametrize("host", LOOPBACK + ADDRESSES + OWN_NAMES + FOREIGN)
def test_another_port_goes_by_addresses_and_the_names_of_the_machine_too(bind, host):
    refused = host in FOREIGN and host != "127.0.0.1."
    assert status(access(), head_of(host=host), connection(bind)) == (400 if refused else None)


def test_the_name_that_a_port_was_opened_by_is_its_own():
    rules = access(ADDRESS="Render.example")
    assert status(rules, head_of(host="render.example:8008"), connection("10.0.0.1")) is None
    assert status(rules, head_of(host="a.render.example"), connection("10.0.0.1")) == 400


def test_the_machine_is_asked_for_its_name_once_and_only_when_that_matters():
    asked = []
    rules = Access(DEFAULTS, lambda: asked.append(1) or "box")
    assert status(rules, head_of(host="evil.example")) == 400
    assert status(rules, head_of(host="10.0.0.1"), connection("0.0.0.0")) is None
    assert asked == []
    for host in ("box", "evil.example", "box"):
        status(rules, head_of(host=host), connection("0.0.0.0"))
    assert asked == [1]


@pytest.mark.parametrize(
    "info",
    [connection("unix:/tmp/x"), connection("/tmp/x"), connection("any.example", descriptor=-1)],
)
@pytest.mark.parametrize("host", ["evil.example", "localhost"])
def test_who_stands_behind_another_server_or_a_socket_file_is_not_checked_unless_told(info, host):
    assert status(access(), head_of(host=host), info) is None
    listed = access(ALLOWED_HOSTS=["evil.example"])
    assert status(listed, head_of(host=host), info) == (None if host == "evil.example" else 400)


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_a_list_replaces_the_default(bind):
    rules = access(ALLOWED_HOSTS=["a.example:8008", ".b.example"])
    hosts = ["a.example:8008", "b.example", "x.b.example:1"]
    others = ["a.example", "localhost", "127.0.0.1", "box", "10.0.0.1"]
    info = connection(bind)
    assert [status(rules, head_of(host=host), info) for host in hosts] == [None] * 3
    assert [status(rules, head_of(host=host), info) for host in others] == [400] * 5


def test_a_host_without_a_port_is_asked_for_at_the_usual_one():
    for port, secure in ((80, False), (443, True)):
        rules = access(ALLOWED_HOSTS=[f"a.example:{port}"])
        assert status(rules, head_of(host="a.example"), connection(secure=secure)) is None
        assert status(rules, head_of(host="a.example"), connection(secure=not secure)) == 400


def test_an_empty_list_as_of_a_new_django_project_means_the_default():
    rules = access(ALLOWED_HOSTS=[])
    assert status(rules, head_of()) is None
    assert status(rules, head_of(host="evil.example")) == 400


def test_a_request_that_names_no_host_is_for_the_address_that_it_came_to():
    old = head_of(host=None, minor=0)
    assert status(access(), old) is None
    assert status(access(), old, connection("0.0.0.0", local="192.168.1.2")) is None
    assert status(access(), old, connection("unix:/x", local="")) is None
    assert status(access(ALLOWED_HOSTS=["a.example"]), old) == 400
    assert status(access(ALLOWED_HOSTS=["127.0.0.1:8008"]), old) is None


def test_the_host_of_an_absolute_target_is_the_one_that_counts():
    assert status(access(), head_of(target="http://evil.example/", host="localhost")) == 400
    assert status(access(), head_of(target="http://localhost/", host="evil.example")) is None


def test_the_host_that_a_believed_proxy_names_is_the_one_that_counts():
    rules = access(ALLOWED_HOSTS=["a.example"])
    assert status(rules, head_of(host="inner"), connection()._replace(host="a.example")) is None
    assert status(rules, head_of(host="a.example"), connection()._replace(host="inner")) == 400


# --- origins where functions are called and WebSockets opened ---

GUARDED = pytest.mark.parametrize("place", [Place.API, Place.UPGRADE])


@GUARDED
@pytest.mark.parametrize(
    ("host", "origin", "own"),
    [
        ("localhost:8008", "http://localhost:8008", True),
        ("localhost:8008", "https://localhost:8008", True),  # a proxy may have TLS
        ("localhost:8008", "http://127.0.0.1:8008", True),
        ("127.0.0.1:8008", "http://[::1]:8008", True),
        ("[::1]:8008", "http://a.localhost:8008", True),
        ("localhost:8008", "http://localhost:8009", False),
        ("localhost:8008", "http://localhost", False),
        ("localhost", "http://localhost", True),
        ("localhost", "https://localhost", True),
        ("localhost", "https://localhost:80", False),
        ("localhost:443", "https://localhost", True),
        ("localhost:443", "http://localhost", False),
        ("localhost:8008", "http://evil.example", False),
        ("localhost:8008", "http://localhost.evil.example:8008", False),
        ("localhost:8008", "http://evil.example:8008", False),
        ("localhost:8008", "null", False),
        ("localhost:8008", "", False),
        ("localhost:8008", "http://localhost:8008/", False),
        ("localhost:8008", "http://localhost:8008, http://localhost:8008", False),
        ("localhost:8008", "localhost:8008", False),
        ("localhost", "app://localhost", False),
        ("localhost:8008", "app://localhost:8008", False),
    ],
)
def test_a_page_may_call_when_it_is_of_this_server(place, host, origin, own):
    head = head_of("POST", "/api", host, Origin=origin)
    assert status(access(), head, place=place) == (None if own else 403)


@GUARDED
def test_two_origin_fields_are_refused(place):
    raw = b"POST /api HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nOrigin: http://a"
    rules = access(ALLOWED_HOSTS=["*"])
    assert status(rules, parse_head(raw, Limits()), place=place) == 403


@GUARDED
def test_who_says_no_origin_is_no_page(place):
    assert status(access(), head_of("POST", "/api"), place=place) is None


@GUARDED
def test_names_of_loopback_are_not_equal_where_others_may_come_in(place):
    head = head_of("POST", "/api", "127.0.0.1:8008", Origin="http://localhost:8008")
    for info in (connection("0.0.0.0"), connection("unix:/x"), connection(descriptor=-1)):
        assert status(access(), head, info, place) == 403
    same = head_of("POST", "/api", "a.example", Origin="https://A.example")
    assert status(access(ALLOWED_HOSTS=["*"]), same, connection("0.0.0.0"), place) is None


@GUARDED
def test_a_listed_origin_may_call(place):
    rules = access(CORS_ALLOWED_ORIGINS=["https://tool.example"])
    for origin, expected in (("https://tool.example", None), ("https://other.example", 403)):
        assert status(rules, head_of("POST", "/api", Origin=origin), place=place) == expected


@GUARDED
def test_every_origin_may_call_where_all_are_allowed_but_never_with_cookies_or_as_null(place):
    rules = access(CORS_ALLOW_ALL_ORIGINS=True, CORS_ALLOW_CREDENTIALS=True)
    stranger = {"Origin": "http://evil.example"}
    assert status(rules, head_of("POST", "/api", **stranger), place=place) is None
    assert status(rules, head_of("POST", "/api", Cookie="a=b", **stranger), place=place) == 403
    assert status(rules, head_of("POST", "/api", Origin="null"), place=place) == 403
    own = head_of("POST", "/api", Origin="http://localhost", Cookie="a=b")
    assert status(rules, own, place=place) is None


@GUARDED
def test_a_page_of_this_machine_may_not_call_unasked(place):
    assert status(
        access(), head_of("POST", "/api", Origin="http://localhost:3000"), place=place
    ) == (403)


def test_an_origin_is_no_reason_to_refuse_what_only_answers():
    for origin in ("http://evil.example", "null", "nonsense"):
        assert judge(access(), head_of(Origin=origin)) == (None, {"Vary": "Origin"})


# --- what pages of other origins may read ---


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1"])
def test_a_page_of_this_machine_may_read_what_handlers_of_a_loopback_port_answer(origin):
    expected = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    assert judge(access(CORS_ALLOW_CREDENTIALS=True), head_of(Origin=origin)) == (None, expected)


@pytest.mark.parametrize(
    ("values", "info", "place", "origin"),
    [
        ({}, connection("0.0.0.0"), Place.HANDLER, "http://localhost:3000"),
        ({}, connection("unix:/x"), Place.HANDLER, "http://localhost:3000"),
        ({}, connection(descriptor=-1), Place.HANDLER, "http://localhost:3000"),
        ({}, connection(), Place.OTHER, "http://localhost:3000"),
        ({}, connection(), Place.API, "http://localhost:8008"),
        ({}, connection(), Place.HANDLER, "http://localhost.evil.example"),
        ({}, connection(), Place.HANDLER, "app://localhost"),
        ({}, connection(), Place.HANDLER, "null"),
        ({"CORS_ALLOWED_ORIGINS": []}, connection(), Place.HANDLER, "http://localhost:3000"),
        ({"CORS_ORIGIN_WHITELIST": ["http://a"]}, connection(), Place.HANDLER, "http://localhost"),
        ({"CORS_ALLOWED_ORIGIN_REGEXES": []}, connection(), Place.HANDLER, "http://localhost"),
        ({"CORS_ALLOW_ALL_ORIGINS": False}, connection(), Place.HANDLER, "http://localhost"),
    ],
)
def test_nothing_else_is_reflected(values, info, place, origin):
    fields = judge(access(**values), head_of(Origin=origin, host="localhost:8008"), info, place)[1]
    assert "Access-Control-Allow-Origin" not in fields


@pytest.mark.parametrize("place", list(Place))
def test_a_listed_origin_may_read_with_credentials_when_the_settings_say_so(place):
    rules = access(CORS_ALLOWED_ORIGINS=["https://a.example"], CORS_ALLOW_CREDENTIALS=True)
    assert judge(rules, head_of(Origin="https://a.example"), place=place) == (
        None,
        {
            "Access-Control-Allow-Origin": "https://a.example",
            "Access-Control-Allow-Credentials": "true",
            "Vary": "Origin",
        },
    )


def test_answers_say_that_they_depend_on_the_origin_also_to_those_who_name_none():
    rules = access(CORS_ALLOWED_ORIGINS=["https://a.example"])
    assert judge(rules, head_of()) == (None, {"Vary": "Origin"})
    assert judge(rules, head_of(), place=Place.OTHER) == (None, {"Vary": "Origin"})
    assert judge(access(), head_of()) == (None, {"Vary": "Origin"})
    assert judge(access(), head_of(), place=Place.OTHER) == (None, {})
    assert judge(access(CORS_ALLOWED_ORIGINS=[]), head_of()) == (None, {})


def preflight(origin, **fields):
    return head_of("OPTIONS", Origin=origin, Access_Control_Request_Method="PUT", **fields)


def test_a_preflight_is_answered_where_cors_applies_and_before_the_token():
    rules = access(CORS_ALLOWED_ORIGINS=["https://a.example"], ACCESS_TOKEN=TOKEN)
    for place in (Place.HANDLER, Place.OTHER, Place.API):
        found, fields = judge(rules, preflight("https://a.example"), place=place)
        assert found == 204
        assert fields["Access-Control-Allow-Origin"] == "https://a.example"
        assert "PUT" in fields["Access-Control-Allow-Methods"]
        assert "authorization" in fields["Access-Control-Allow-Headers"]
        assert fields["Vary"] == "Origin"
    assert status(access(), preflight("http://localhost:3000")) == 204


def test_a_preflight_that_is_not_answered_is_a_request_like_any_other():
    origin = "https://b.example"
    for values in ({}, {"CORS_ALLOWED_ORIGINS": ["https://a.example"]}):
        assert status(access(**values), preflight(origin)) is None
        assert status(access(**values), preflight(origin), place=Place.API) == 403
        assert status(access(ACCESS_TOKEN=TOKEN, **values), preflight(origin)) == 401


@pytest.mark.parametrize(
    "head",
    [
        head_of("GET", Origin="https://a.example", Access_Control_Request_Method="PUT"),
        head_of("OPTIONS", Origin="https://a.example"),
        head_of("OPTIONS", Access_Control_Request_Method="PUT"),
    ],
)
def test_what_looks_like_a_preflight_needs_the_token(head):
    rules = access(CORS_ALLOWED_ORIGINS=["https://a.example"], ACCESS_TOKEN=TOKEN)
    assert status(rules, head) == 401


# --- the token ---

WRONG = 'Bearer realm="access", error="invalid_token"'


@pytest.mark.parametrize("place", list(Place))
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens_everything(place, scheme):
    rules = access(ACCESS_TOKEN=TOKEN)
    assert status(rules, head_of(Authorization=f"{scheme} {TOKEN}"), place=place) is None


@pytest.mark.parametrize("place", list(Place))
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_without_the_token_nothing_is_open(place, method):
    found, fields = judge(access(ACCESS_TOKEN=TOKEN), head_of(method), place=place)
    assert (found, fields["WWW-Authenticate"]) == (401, 'Bearer realm="access"')


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer x{TOKEN}",
     f"Bearer {TOKEN}, Bearer {TOKEN}", "Bearer t\xf6ken"],
)  # fmt: skip
def test_a_wrong_token_is_said_to_be_wrong(value):
    found, fields = judge(access(ACCESS_TOKEN=TOKEN), head_of(Authorization=value))
    assert (found, fields["WWW-Authenticate"]) == (401, WRONG)


def test_another_scheme_is_no_token():
    found, fields = judge(access(ACCESS_TOKEN=TOKEN), head_of(Authorization=f"Basic {TOKEN}"))
    assert (found, fields["WWW-Authenticate"]) == (401, 'Bearer realm="access"')


PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("sent", [TOKEN, TOKEN.replace("+", "%2B"), "a%2bb%2Fc%3D%3D.-_~9"])
def test_a_page_and_an_upgrade_may_have_the_token_in_the_query(sent):
    rules = access(ACCESS_TOKEN=TOKEN)
    target = f"/?x=1&access_token={sent}&y"
    for method in ("GET", "HEAD"):
        found, fields = judge(rules, head_of(method, target, **PAGE))
        assert (found, fields["Referrer-Policy"]) == (None, "no-referrer")
    assert status(rules, head_of("GET", target), place=Place.UPGRADE) is None


@pytest.mark.parametrize(
    ("method", "query", "fields", "place"),
    [
        ("POST", f"access_token={TOKEN}", PAGE, Place.HANDLER),
        ("GET", f"access_token={TOKEN}", {}, Place.HANDLER),
        ("GET", f"access_token={TOKEN}", {"Accept": "*/*"}, Place.HANDLER),
        ("GET", f"access_token={TOKEN}", {"Accept": "text/html;q=0"}, Place.HANDLER),
        ("GET", f"access_token={TOKEN}x", PAGE, Place.HANDLER),
        ("GET", "access_token=", PAGE, Place.HANDLER),
        ("GET", "access_token", PAGE, Place.HANDLER),
        ("GET", f"access_token={TOKEN}&access_token={TOKEN}", PAGE, Place.HANDLER),
        ("GET", f"Access_Token={TOKEN}", PAGE, Place.HANDLER),
        ("GET", f"access%5Ftoken={TOKEN}", PAGE, Place.HANDLER),
        ("GET", f"my_access_token={TOKEN}", PAGE, Place.HANDLER),
        ("GET", f"access_token={TOKEN}x", {}, Place.UPGRADE),
        ("GET", f"access_token={TOKEN}", {**PAGE, "Authorization": "Bearer no"}, Place.HANDLER),
    ],
)
def test_no_other_request_may_have_it_there(method, query, fields, place):
    head = head_of(method, f"/?{query}", **fields)
    assert status(access(ACCESS_TOKEN=TOKEN), head, place=place) == 401


def test_the_token_is_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    rules = access(ACCESS_TOKEN=TOKEN)
    assert status(rules, head_of(Authorization="Bearer wrong")) == 401
    assert status(rules, head_of("GET", f"/?access_token={TOKEN}", **PAGE)) is None
    assert compared == [(b"wrong", TOKEN.encode()), (TOKEN.encode(),) * 2]


@pytest.mark.parametrize("token", ["", "two words", "t\xf6ken", "line\nend", "tab\t"])
def test_a_token_that_cannot_be_stops_the_start_and_is_not_named(token):
    with pytest.raises(OperationFailed, match="ACCESS_TOKEN") as caught:
        access(ACCESS_TOKEN=token)
    assert not token or token not in str(caught.value)


# --- https ---


def test_a_browser_is_sent_to_https():
    rules = access(SSL_REDIRECT=True, ALLOWED_HOSTS=["a.example"])
    for method in ("GET", "HEAD"):
        head = head_of(method, "/x?y=%20", "a.example:8008", Upgrade_Insecure_Requests="1")
        assert judge(rules, head) == (
            307,
            {"Location": "https://a.example/x?y=%20", "Vary": "Upgrade-Insecure-Requests"},
        )


@pytest.mark.parametrize("host", ["b.example", "b.example:8443"])
def test_another_host_may_have_the_https(host):
    rules = access(SSL_REDIRECT=True, SSL_REDIRECT_HOST=host)
    head = head_of(target="/x", Upgrade_Insecure_Requests="1")
    assert judge(rules, head)[1]["Location"] == f"https://{host}/x"


@pytest.mark.parametrize(
    ("head", "place"),
    [
        (head_of(), Place.HANDLER),
        (head_of(Upgrade_Insecure_Requests="0"), Place.HANDLER),
        (head_of("POST", Upgrade_Insecure_Requests="1"), Place.HANDLER),
        (head_of("OPTIONS", Upgrade_Insecure_Requests="1"), Place.OTHER),
        (head_of(Upgrade_Insecure_Requests="1"), Place.UPGRADE),
        (preflight("https://a.example"), Place.HANDLER),
    ],
)
def test_all_else_over_plain_http_is_refused(head, place):
    rules = access(SSL_REDIRECT=True, CORS_ALLOWED_ORIGINS=["https://a.example"])
    assert judge(rules, head, place=place) == (403, {"Vary": "Upgrade-Insecure-Requests"})


def test_an_encrypted_connection_and_an_exempt_host_are_not_sent_anywhere():
    rules = access(SSL_REDIRECT=True, SSL_REDIRECT_EXEMPT=["health.localhost", "127.0.0.1:8008"])
    assert status(rules, head_of(), connection(secure=True)) is None
    assert status(rules, head_of(host="health.localhost:1")) is None
    assert status(rules, head_of(host="127.0.0.1:8008")) is None
    assert status(rules, head_of(host="127.0.0.1")) == 403


def test_a_foreign_host_is_sent_nowhere():
    head = head_of(host="evil.example", Upgrade_Insecure_Requests="1")
    assert status(access(SSL_REDIRECT=True), head) == 400


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"SECURE_HSTS_SECONDS": 60}, "max-age=60"),
        (
            {
                "SECURE_HSTS_SECONDS": 60,
                "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
                "SECURE_HSTS_PRELOAD": True,
            },
            "max-age=60; includeSubDomains; preload",
        ),
        ({"SECURE_HSTS_SECONDS": 60, "SECURE_HSTS_PRELOAD": True}, "max-age=60; preload"),
        ({"SECURE_HSTS_PRELOAD": True}, None),
    ],
)
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_browsers_are_kept_at_https_by_every_answer_over_it(values, expected, host):
    name = "Strict-Transport-Security"
    rules = access(ACCESS_TOKEN=TOKEN, **values)
    for head in (head_of(host=host), head_of(host=host, Origin="http://localhost")):
        assert judge(rules, head, connection(secure=True))[1].get(name) == expected
        assert name not in judge(rules, head)[1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("ALLOWED_HOSTS", ["http://a"]),
        ("SSL_REDIRECT_EXEMPT", ["/health"]),
        ("SSL_REDIRECT_HOST", "https://a"),
        ("CORS_ALLOWED_ORIGINS", ["a"]),
        ("ACCESS_TOKEN", "two words"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_start(server, setting, value):
    server.setSettingsForPort({setting: value})
    with pytest.raises(OperationFailed, match=setting):
        server.run(0, in_background=True)
    assert not server.isRunning()


# --- over sockets ---


class Site:
    """A server, and what its handlers have seen."""

    def __init__(self, settings):
        self.calls = []
        self.server = hwebserver.Server("access")
        self.server.setSettingsForPort(settings)
        self.server.urlHandler("/", is_prefix=True)(self._handle)
        self.server.apiFunction()(self.act)
        self.server.insertWebSocketForPort(Echo, "/socket")
        self.server.registerStaticFilesDirectory(os.path.dirname(__file__), "/files")
        self.server.registerWSGIApp(self._wsgi, "/wsgi")
        self.server.registerASGIApp(self._asgi, "/asgi")

    def _handle(self, request):
        self.calls.append(request.path())
        if request.path() == "/fail":
            raise RuntimeError("on purpose")
        if request.path() == "/hand":
            request.sendHeaders(hwebserver.Response())
            request.sendBody("by hand")
            return None
        if request.path() == "/pieces":
            return hwebserver.Response(iter(["a", "b"]))
        if request.path() == "/json":
            return request.json()
        return "handled"

    def act(self, request):
        self.calls.append("act")

    def _wsgi(self, environ, start_response):
        start_response("200 OK", [("Vary", "Cookie")])
        return [b"wsgi"]

    async def _asgi(self, scope, receive, send):
        if scope["type"] == "websocket":
            self.calls.append("asgi")
            kind = "websocket.http.response"
            await send({"type": f"{kind}.start", "status": 404, "headers": []})
            await send({"type": f"{kind}.body", "body": b""})
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"asgi"})


class Echo(hwebserver.WebSocket):
    async def connect(self, request):
        if request.GET().get("refuse"):
            await self.close()
        else:
            await self.accept()


@pytest.fixture
def plain():
    """A server with the settings that a server has."""
    site = Site({})
    with running(site.server):
        yield site


LISTED = "https://tool.example"


@pytest.fixture
def guarded():
    """A server with all that there is."""
    site = Site(
        {
            "ACCESS_TOKEN": TOKEN,
            "CORS_ALLOWED_ORIGINS": [LISTED],
            "CORS_ALLOW_CREDENTIALS": True,
            "SECURE_HSTS_SECONDS": 60,
        }
    )
    with running(site.server):
        yield site


AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(params=["plain", "guarded"])
def site(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("path", ["/", "/api", "/files/test_access.py", "/none", "/wsgi", "/asgi"])
def test_a_foreign_host_reaches_nothing(site, path):
    answer = fetch(site.server, path, headers={"Host": "evil.example", **AUTHORIZED})
    assert answer.status == 400
    assert "evil.example" in answer.text
    assert site.calls == []


def test_each_refusal_of_a_foreign_host_is_logged_with_what_opens_the_server(caplog):
    server = hwebserver.Server()
    request = b"GET / HTTP/1.1\r\nHost: evil.example:1\r\n\r\n"
    with running(server), connect(server) as sock, caplog.at_level(logging.WARNING):
        for _ in range(3):
            sock.sendall(request)
            assert receive_response(sock).status == 400
    refused = [line for line in caplog.messages if "400" in line]
    assert len(refused) == 3
    for line in refused:
        assert "400: the host evil.example:1 is not one of ALLOWED_HOSTS" in line
        assert "['*']" in line


def test_a_flood_of_foreign_hosts_does_not_flood_the_log(caplog):
    server = hwebserver.Server()
    many = 150
    with running(server), connect(server) as sock, caplog.at_level(logging.WARNING):
        for number in range(many):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: evil%d.example\r\n\r\n" % number)
            assert receive_response(sock).status == 400
        assert len(caplog.messages) < many / 2
    assert "more were refused" in caplog.messages[-1]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://a/b"]
)
@pytest.mark.parametrize("path", ["/api", "/api/", "/%61pi", "/api//"])
def test_a_foreign_page_cannot_call_a_function(site, path, origin):
    headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded", **AUTHORIZED}
    answer = fetch(site.server, path, "POST", "cmd_function=act", headers)
    assert (answer.status, site.calls) == (403, [])
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_a_foreign_page_is_refused_before_its_body_is_read(site):
    head = (
        "POST /api HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: 1000000\r\n\r\n"
    )
    with connect(site.server) as sock:
        sock.sendall(head.encode())
        answer = receive_response(sock)
    assert (answer.status, answer.headers["Connection"], site.calls) == (403, "close", [])


def test_this_servers_page_calls_a_function(site):
    number = site.server.port()
    for origin in (None, f"http://127.0.0.1:{number}", f"http://localhost:{number}"):
        own = {} if origin is None else {"Origin": origin}
        headers = {**AUTHORIZED, **own}
        answer = fetch(site.server, "/api", "POST", "cmd_function=act", headers)
        assert answer.status == 200, answer
    assert site.calls == ["act"] * 3


def upgrade(server, path, **fields):
    """Ask for an upgrade; return the head of the answer."""
    fields.setdefault("Authorization", AUTHORIZED["Authorization"])
    with connect(server) as sock:
        sock.sendall(wsclient.head(path, **fields))
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock).partition(b"\r\n\r\n")[0].decode()


@pytest.mark.parametrize("path", ["/socket", "/asgi", "/none"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_a_foreign_page_cannot_open_a_websocket(site, path, origin):
    assert upgrade(site.server, path, Origin=origin).startswith("HTTP/1.1 403 ")
    assert site.calls == []


def test_this_servers_page_and_a_listed_one_open_a_websocket(plain, guarded):
    for one in (plain, guarded):
        own = f"http://localhost:{one.server.port()}"
        answer = upgrade(one.server, "/socket", Host=own[7:], Origin=own)
        assert answer.startswith("HTTP/1.1 101 ")
    assert upgrade(guarded.server, "/socket", Origin=LISTED).startswith("HTTP/1.1 101 ")


def test_an_upgrade_needs_the_token_and_may_have_it_in_the_query(guarded, caplog):
    server = guarded.server
    with caplog.at_level(logging.DEBUG):
        refused = upgrade(server, "/socket", Authorization=None)
        opened = upgrade(server, f"/socket?access_token={TOKEN}", Authorization=None)
    assert refused.startswith("HTTP/1.1 401 ")
    assert "WWW-Authenticate: Bearer" in refused
    assert opened.startswith("HTTP/1.1 101 ")
    assert TOKEN not in caplog.text


PATHS = ["/", "/fail", "/hand", "/pieces", "/files/test_access.py", "/none/", "/wsgi", "/asgi",
         "/api", "/json"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_listed_origin_may_read_every_answer(guarded, path):
    headers = {"Origin": LISTED, **AUTHORIZED}
    answer = fetch(guarded.server, path, headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == LISTED
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers.get_all("Vary") == ["Cookie, Origin" if path == "/wsgi" else "Origin"]
    assert "Strict-Transport-Security" not in answer.headers  # This port is not encrypted.


def test_a_listed_origin_may_read_that_it_sends_too_much_or_no_token(guarded):
    refused = fetch(guarded.server, headers={"Origin": LISTED})
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, LISTED)
    body = b"x" * 100
    headers = {"Origin": LISTED, "Content-Type": "multipart/form-data; boundary=b", **AUTHORIZED}
    bad = fetch(guarded.server, "/", "POST", body, headers)
    assert (bad.status, bad.headers["Access-Control-Allow-Origin"]) == (400, LISTED)


@pytest.mark.parametrize("path", PATHS)
def test_another_origin_may_read_none(guarded, path):
    headers = {"Origin": "http://evil.example", **AUTHORIZED}
    answer = fetch(guarded.server, path, headers=headers)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_a_preflight_reaches_no_handler_where_it_is_answered_and_else_one(plain, guarded):
    asks = {"Access-Control-Request-Method": "PUT"}
    for one, origin in ((plain, "http://localhost:1"), (guarded, LISTED)):
        one.calls.clear()
        answer = fetch(one.server, "/x", "OPTIONS", headers={"Origin": origin, **asks})
        assert (answer.status, one.calls) == (204, [])
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Vary"] == "Origin"
    foreign = {"Origin": "http://evil.example", **asks}
    assert fetch(plain.server, "/x", "OPTIONS", headers=foreign).text == "handled"


def test_files_and_mounted_applications_are_not_for_pages_of_other_ports(plain):
    headers = {"Origin": "http://localhost:1"}
    for path in ("/files/test_access.py", "/wsgi", "/asgi"):
        assert (
            "Access-Control-Allow-Origin" not in fetch(plain.server, path, headers=headers).headers
        )
    allowed = fetch(plain.server, "/", headers=headers).headers
    assert allowed["Access-Control-Allow-Origin"] == "http://localhost:1"
    assert "Access-Control-Allow-Credentials" not in allowed


def test_requests_on_one_connection_are_judged_each_by_its_own_head(guarded):
    good = f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    bad = good.replace(TOKEN.encode(), b"wrong")
    with connect(guarded.server) as sock:
        for request, expected in ((good, 200), (good, 200), (bad, 401), (bad, 401), (good, 200)):
            sock.sendall(request)
            assert receive_response(sock).status == expected


def test_the_token_is_in_no_log_and_no_page(caplog):
    site = Site({"ACCESS_TOKEN": TOKEN})
    target = f"/fail?a=1&access_token={TOKEN}"
    headers = {**PAGE, "Referer": f"http://localhost/?access_token={TOKEN}"}
    with caplog.at_level(logging.DEBUG), running(site.server, debug=True, verbosity=2):
        answer = fetch(site.server, target, headers=headers)
        fetch(site.server, target.replace("TOKEN", "wrong"), headers=headers)
        fetch(site.server, target, "POST", headers=headers)
    assert (answer.status, answer.headers["Referrer-Policy"]) == (500, "no-referrer")
    assert "Traceback" in answer.text
    assert "/fail?a=1&amp;access_token=***" in answer.text
    assert "the handler of GET /fail?a=1&access_token=*** failed" in caplog.text
    assert "GET /fail?a=1&access_token=*** HTTP" in caplog.text
    assert TOKEN not in caplog.text + answer.text


def test_a_handler_sees_the_query_as_it_was_sent(guarded):
    seen = []
    guarded.server.urlHandler("/query")(lambda request: seen.append(request.queryString()))
    fetch(guarded.server, f"/query?access_token={TOKEN}", headers=PAGE)
    assert seen == [f"access_token={TOKEN}"]


def test_another_port_has_its_own_rules():
    server = hwebserver.Server()
    server.urlHandler("/", ports=[-1])(lambda request: "here")
    server.setSettingsForPort({"PORT": 0, "ACCESS_TOKEN": TOKEN, "ALLOWED_HOSTS": ["*"]}, "other")
    with running(server, ports=["other"]):
        foreign = {"Host": "a.example"}
        assert fetch(server, headers=foreign).status == 400
        assert fetch(server).status == 200
        assert fetch(server, headers=foreign, port="other").status == 401
        assert fetch(server, headers={**foreign, **AUTHORIZED}, port="other").status == 200


# --- in other servers ---


HSTS = {"SECURE_HSTS_SECONDS": 60, "MAX_REQUEST_SIZE": 10}


def test_every_answer_over_https_says_so_also_what_is_refused_or_sent_by_hand():
    app = Site(HSTS).server.wsgiApp()
    answers = []

    def ask(path="/", scheme="https", **fields):
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "a", "wsgi.input": io.BytesIO(), "wsgi.url_scheme": scheme,
            "SERVER_NAME": "a", "SERVER_PORT": "443", **fields,
        }  # fmt: skip

        def start(status, lines):
            answers.append((int(status[:3]), dict(lines).get("Strict-Transport-Security")))
            return lambda data: None

        app(environ, start).close()

    try:
        for path in ("/", "/fail", "/hand", "/pieces", "/none", "/wsgi"):
            ask(path)
        ask(CONTENT_LENGTH="99", REQUEST_METHOD="POST")
        ask(HTTP_HOST="a b")
        ask(scheme="http")
    finally:
        app.close()
    statuses = [200, 500, 200, 200, 200, 200, 413, 400]
    assert answers == [*((status, "max-age=60") for status in statuses), (200, None)]


def test_an_upgrade_over_https_says_so_accepted_or_not():
    app = Site(HSTS).server.asgiApp()
    field = (b"strict-transport-security", b"max-age=60")
    with Driver(app) as driver:
        for path, kind in (
            ("/socket", "websocket.accept"),
            ("/socket?refuse=1", "websocket.http.response.start"),
            ("/asgi", "websocket.http.response.start"),
        ):
            scope = http_scope(path, headers={"host": "a"}, type="websocket", scheme="wss")
            scope["extensions"] = {"websocket.http.response": {}}
            call = driver.begin(
                scope, {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}
            )
            call.end()
            assert call.sent[0]["type"] == kind
            assert field in call.sent[0]["headers"]


def test_a_foreign_page_cannot_call_or_open_in_another_server():
    site = Site({})
    with Driver(site.server.asgiApp()) as driver:
        fields = {"host": "a.example", "origin": "http://evil.example", "content-length": "16"}
        event = {"type": "http.request", "body": b"cmd_function=act", "more_body": False}
        call = driver.begin(http_scope("/api", "POST", fields), event)
        call.end()
        assert call.sent[0]["status"] == 403
        scope = http_scope("/socket", headers=fields, type="websocket", scheme="ws")
        scope["headers"] = [one for one in scope["headers"] if one[0] != b"content-length"]
        call = driver.begin(scope, {"type": "websocket.connect"})
        call.end()
        assert [event["type"] for event in call.sent] == ["websocket.close"]
    assert site.calls == []


# --- behind proxies ---


@pytest.fixture
def told(server):
    """A server that says what it believes of its clients."""

    @server.urlHandler("/")
    def index(request):
        return [request.clientAddress()[0], request.scheme(), request.host()]

    @server.urlHandler("/moved")
    def moved(request):
        return hwebserver.redirect(request, "/")

    return server


FORWARDED = {
    "X-Forwarded-For": "127.0.0.1, 192.0.2.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "public.example",
    "Host": "localhost",
}


def test_nobody_is_believed_unless_it_is_said(told):
    with running(told):
        assert fetch(told, headers=FORWARDED).text == '["127.0.0.1", "http", "localhost"]'


def test_a_trusted_proxy_is_believed(told, caplog):
    told.setSettingsForPort({"TRUSTED_PROXIES": ["127.0.0.0/8"], "ACCESS_LOG": True})
    with caplog.at_level(logging.INFO), running(told):
        assert fetch(told, headers=FORWARDED).text == '["192.0.2.9", "https", "localhost"]'
        location = fetch(told, "/moved", headers=FORWARDED).headers["Location"]
        assert location == "https://localhost/"
        wait_until(lambda: len([line for line in caplog.messages if "GET /" in line]) == 2)
    assert all(line.startswith("192.0.2.9 ") for line in caplog.messages if "GET /" in line)


def test_the_host_that_a_trusted_proxy_names_has_to_be_allowed(told):
    told.setSettingsForPort({"TRUSTED_PROXIES": ["127.0.0.1"], "USE_X_FORWARDED_HOST": True})
    with running(told):
        assert fetch(told, headers=FORWARDED).status == 400
    told.setSettingsForPort({"ALLOWED_HOSTS": ["public.example"]})
    with running(told):
        assert fetch(told, headers=FORWARDED).text == '["192.0.2.9", "https", "public.example"]'


def test_a_proxy_that_is_wrong_in_the_settings_stops_the_start(server):
    server.setSettingsForPort({"TRUSTED_PROXIES": ["10.0.0.1/8"]})
    with pytest.raises(OperationFailed, match=r"TRUSTED_PROXIES lists '10\.0\.0\.1/8'"):
        server.run(0, in_background=True)


def test_mounted_applications_see_the_host_that_was_checked(server):
    def wsgi(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        names = ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme", "REMOTE_ADDR")
        return [" ".join(environ[name] for name in names).encode()]

    async def asgi(scope, receive, send):
        if scope["type"] != "http":
            raise ValueError
        shown = [dict(scope["headers"])[b"host"].decode(), scope["scheme"], scope["client"][0]]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": " ".join(shown).encode()})

    server.registerWSGIApp(wsgi, "/wsgi")
    server.registerASGIApp(asgi, "/asgi")
    server.setSettingsForPort({"TRUSTED_PROXIES": ["127.0.0.1"], "USE_X_FORWARDED_HOST": True})
    server.setSettingsForPort({"ALLOWED_HOSTS": ["public.example"]})
    fields = {**FORWARDED, "Host": "evil.example"}
    with running(server):
        answer = fetch(server, "/wsgi", headers=fields).text
        assert answer == "public.example public.example 443 https 192.0.2.9"
        assert fetch(server, "/asgi", headers=fields).text == "public.example https 192.0.2.9"
