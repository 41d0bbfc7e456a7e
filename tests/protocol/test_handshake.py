"""The opening handshake of a WebSocket: what is an upgrade, and how it is answered."""

from __future__ import annotations

import pytest

from hwebserver.errors import HTTPError
from hwebserver.protocol.handshake import (
    ExtensionOffer,
    Handshake,
    accept_value,
    is_upgrade,
    read_handshake,
    switching_protocols,
)
from hwebserver.protocol.headers import Fields
from hwebserver.protocol.http1 import Limits, combine_lines, parse_head

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 1.3

FIELDS = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(*more, line="GET /chat HTTP/1.1", **changed):
    """Return the head of an upgrade: with fields changed, left out (None) or added."""
    fields = {**FIELDS, **{name.replace("_", "-"): value for name, value in changed.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    # Large ones too: how long a field may be is not decided here.
    limits = Limits(field_line=1 << 20, head=1 << 21)
    return parse_head("\r\n".join([line, *lines, *more]).encode("latin-1"), limits)


def read(*more, **changed):
    return read_handshake(request(*more, **changed))


def refused(*more, **changed):
    """Return the status that an upgrade is refused with."""
    with pytest.raises(HTTPError) as caught:
        read(*more, **changed)
    return caught.value.status


def protocols(value):
    return read(f"Sec-WebSocket-Protocol: {value}").subprotocols


def extensions(value):
    return read(f"Sec-WebSocket-Extensions: {value}").extensions


# --- what is an upgrade ---


@pytest.mark.parametrize(
    ("upgrade", "connection", "verdict"),
    [
        ("websocket", "Upgrade", True),
        ("WebSocket", "upgrade", True),
        ("WEBSOCKET", "keep-alive, Upgrade", True),
        ("h2c, websocket", "Upgrade,HTTP2-Settings", True),
        ("websocket", "keep-alive", False),
        ("websocket", "upgraded", False),
        ("h2c", "Upgrade", False),
        ("websockets", "Upgrade", False),
        ("websocket/13", "Upgrade", False),
        ("", "Upgrade", False),
        (None, "Upgrade", False),
        ("websocket", None, False),
    ],
)
def test_an_upgrade_names_websocket_and_the_connection(upgrade, connection, verdict):
    lines = [] if upgrade is None else [f"Upgrade: {upgrade}"]
    lines += [] if connection is None else [f"Connection: {connection}"]
    assert is_upgrade(Fields([], combine_lines(lines))) is verdict


def test_the_names_may_come_in_several_field_lines():
    lines = ["Upgrade: h2c", "Upgrade: websocket", "Connection: close", "Connection: Upgrade"]
    assert is_upgrade(Fields([], combine_lines(lines)))


# --- what it asks for ---


def test_a_plain_upgrade_has_a_key_and_nothing_else():
    assert read() == Handshake(KEY, (), ())


def test_the_connection_may_be_a_list():
    assert read(Connection="keep-alive, Upgrade").key == KEY


def test_another_method_than_get_is_refused():
    assert refused(line="POST /chat HTTP/1.1") == 405
    assert refused(line="HEAD /chat HTTP/1.1") == 405


def test_http_1_0_knows_no_upgrade():
    assert refused(line="GET /chat HTTP/1.0") == 400


def test_a_host_is_needed_as_in_every_request():
    assert refused(Host=None) == 400


def test_a_plain_request_is_asked_to_upgrade():
    assert refused(Upgrade=None) == 426
    assert refused(Connection=None) == 426
    assert refused(Connection="close") == 426


@pytest.mark.parametrize("version", [None, "", "12", "8", "14", "013", "13, 13", "13, 8", "+13"])
def test_there_is_one_version(version):
    assert refused(Sec_WebSocket_Version=version) == 426


def test_an_upgrade_has_no_body():
    assert refused("Content-Length: 1") == 400
    assert refused("Transfer-Encoding: chunked") == 400
    assert read("Content-Length: 0").key == KEY


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "dGhlIHNhbXBsZQ==",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j_Q==",
        "dGhlIHNhbXBsZSBub25j-Q==",
        "dGhlIHNhbX\xe4sZSBub25jZQ==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        f"{KEY}, {KEY}",
        f'"{KEY}"',
    ],
)
def test_the_key_is_sixteen_bytes_in_base64(key):
    assert refused(Sec_WebSocket_Key=key) == 400


def test_a_second_key_is_refused_though_it_is_the_same():
    assert refused(f"Sec-WebSocket-Key: {KEY}") == 400


@pytest.mark.parametrize("key", ["A" * 22 + "==", "z09+/" * 4 + "aQ=="])
def test_every_digit_of_base64_may_stand_in_a_key(key):
    assert read(Sec_WebSocket_Key=key).key == key


# --- subprotocols ---


def test_subprotocols_are_tokens_in_order_and_with_their_case():
    assert protocols("chat, Chat,\tv2.super-chat") == ("chat", "Chat", "v2.super-chat")


def test_subprotocols_may_come_in_several_field_lines():
    assert read("Sec-WebSocket-Protocol: b", "Sec-WebSocket-Protocol: a").subprotocols == ("b", "a")


@pytest.mark.parametrize("value", ["", ",", " , ,"])
def test_empty_members_are_no_subprotocols(value):
    assert protocols(value) == ()
    assert protocols(f"a{',' if value else ''}{value}") == ("a",)


@pytest.mark.parametrize("value", ["a, a", "a b", 'a, "b"', "a;b", "a/b", "a, \xe4", "a@b", "a=1"])
def test_what_is_no_list_of_different_tokens_is_refused(value):
    assert refused(f"Sec-WebSocket-Protocol: {value}") == 400


# --- extensions ---


def test_extensions_have_parameters_in_order():
    assert extensions('a, b; c ;d=1;\te = "x\\y" ,, b;c;c=2') == (
        ExtensionOffer("a"),
        ExtensionOffer("b", (("c", None), ("d", "1"), ("e", "xy"))),
        ExtensionOffer("b", (("c", None), ("c", "2"))),
    )


def test_extensions_may_come_in_several_field_lines():
    more = ("Sec-WebSocket-Extensions: a;b", "Sec-WebSocket-Extensions: c")
    assert [offer.name for offer in read(*more).extensions] == ["a", "c"]


@pytest.mark.parametrize(
    "value",
    [
        ";",
        "a;",
        "a;;b",
        "a b",
        "=1",
        "a=1",
        "a;=1",
        "a; b=",
        'a; b=""',
        'a; b="',
        'a; b="x',
        'a; b="x"y',
        'a; b="x\\"',
        'a; b="\\"',
        'a; b="x y"',
        'a; b="x,y"',
        'a; b="x;y"',
        'a; "b"=x',
        '"a"',
        "a; b=c=d",
        "a; \xe4",
        "a; b=\xe4",
        "a(b)",
    ],
)
def test_malformed_extensions_are_refused(value):
    assert refused(f"Sec-WebSocket-Extensions: {value}") == 400


# A quadratic reader would need minutes for these.
LONG = 20_000


@pytest.mark.parametrize(
    "value",
    [
        "a" + " " * LONG + "b",
        "a" + " \t" * LONG + ",b c",
        "," * LONG + "(",
        "a," * LONG + "(",
        "a; b=" + '"' * LONG,
        'a; b="' + "\\" * LONG,
        'a; b="' + '\\"' * LONG,
        "a" + ";b" * LONG + ";",
        "a; b" + "=" * LONG,
        'a; b="' + "\\x" * LONG + '" c',
    ],
)
def test_long_lists_take_linear_time(value):
    assert refused(f"Sec-WebSocket-Protocol: {value}") == 400
    assert refused(f"Sec-WebSocket-Extensions: {value}") == 400


def test_long_lists_without_a_fault_take_linear_time():
    assert len(protocols(",".join(map(str, range(LONG))))) == LONG
    assert len(extensions("a," * LONG)) == LONG


# --- the answer ---


def test_the_answer_hashes_the_key():
    assert accept_value(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_answer_is_a_head_with_the_status_101():
    assert switching_protocols(Handshake(KEY)) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


def test_the_answer_says_what_was_chosen():
    head = switching_protocols(
        Handshake(KEY, ("chat", "superchat")),
        "superchat",
        "permessage-deflate; server_no_context_takeover",
        [("Server", "hwebserver"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
    )
    assert head.endswith(
        b"Sec-WebSocket-Protocol: superchat\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
        b"Server: hwebserver\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
    )


@pytest.mark.parametrize("subprotocol", ["", "Chat", "other", "chat\r\nX: 1"])
def test_only_a_subprotocol_that_was_offered_can_be_chosen(subprotocol):
    with pytest.raises(ValueError, match="does not offer"):
        switching_protocols(Handshake(KEY, ("chat",)), subprotocol)


@pytest.mark.parametrize(
    "field",
    [("X", "1\r\nY: 2"), ("X", "\0"), ("X\r\n", "1"), ("X Y", "1"), ("", "1"), ("X", "\u20ac")],
)
def test_a_field_that_cannot_be_sent_is_not_written(field):
    with pytest.raises(ValueError, match="field"):
        switching_protocols(Handshake(KEY), extra=[field])


def test_an_extension_cannot_end_its_line():
    with pytest.raises(ValueError, match="line end"):
        switching_protocols(Handshake(KEY), extension="a\r\nX: 1")


@pytest.mark.parametrize(
    "name",
    [
        "Upgrade",
        "connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Accept",
        "sec-websocket-protocol",
        "SEC-WEBSOCKET-EXTENSIONS",
    ],
)
def test_the_fields_of_the_handshake_are_its_own(name):
    with pytest.raises(ValueError, match="handshake's"):
        switching_protocols(Handshake(KEY), extra=[(name, "x")])
