"""What is believed of what proxies say."""

from __future__ import annotations

import pytest

from hwebserver import OperationFailed
from hwebserver.protocol import forwarded
from hwebserver.protocol.forwarded import NEARBY, TrustedProxies, believe

PROXY = ("10.0.0.1", 4000)
TRUSTED = TrustedProxies(["10.0.0.0/8", "2001:db8::/32"])


def client(value, peer=PROXY, name="x-forwarded-for", trusted=TRUSTED):
    said = believe({name: value}, peer, trusted)
    return None if said is None else said.client


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("192.0.2.9", ("192.0.2.9", 0)),
        ("192.0.2.9:81", ("192.0.2.9", 81)),
        ("[2001:db9::1]:81", ("2001:db9::1", 81)),
        ("[2001:db9::1]", ("2001:db9::1", 0)),
        ("2001:db9::1", ("2001:db9::1", 0)),
        ("::ffff:192.0.2.9", ("192.0.2.9", 0)),
        ("192.0.2.9, 10.0.0.2", ("192.0.2.9", 0)),
        ("192.0.2.9, 2001:db8::5, 10.0.0.2", ("192.0.2.9", 0)),
        # The beginning is the client's own invention.
        ("127.0.0.1, 192.0.2.9", ("192.0.2.9", 0)),
        ("127.0.0.1, 192.0.2.9, 10.0.0.2", ("192.0.2.9", 0)),
        # All are proxies that are believed: the first of them.
        ("10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),
        # What is no address ends the walk.
        ("127.0.0.1, unknown", PROXY),
        ("127.0.0.1, unknown, 10.0.0.2", ("10.0.0.2", 0)),
        ("127.0.0.1, _hidden, 10.0.0.2", ("10.0.0.2", 0)),
        ("127.0.0.1,, 10.0.0.2", ("10.0.0.2", 0)),
        ("", PROXY),
        ("1.2.3", PROXY),
        ("01.2.3.4", PROXY),
        ("[2001:db9::1", PROXY),
        ("[2001:db9::1]81", PROXY),
        ("fe80::1%eth0", PROXY),
        ("\u0661.2.3.4", PROXY),
        ("192.0.2.9:_x", ("192.0.2.9", 0)),
        ("192.0.2.9:999999", ("192.0.2.9", 0)),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_trusted_proxy(value, expected):
    assert client(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.9", ("192.0.2.9", 0)),
        ('For="192.0.2.9:81";proto=https', ("192.0.2.9", 81)),
        ('for="[2001:db9::1]:81"', ("2001:db9::1", 81)),
        ("for=127.0.0.1, for=192.0.2.9;by=10.0.0.1", ("192.0.2.9", 0)),
        ("for=192.0.2.9, for=10.0.0.2", ("192.0.2.9", 0)),
        ("for=127.0.0.1, for=unknown", PROXY),
        ("for=127.0.0.1, for=_x", PROXY),
        ("for=127.0.0.1, proto=https", PROXY),
        # A quoted string that has no end hides nothing that the proxy adds.
        ('for="127.0.0.1, for=192.0.2.9', ("192.0.2.9", 0)),
        ('for="\\", for=192.0.2.9', ("192.0.2.9", 0)),
        ('for="127.0.0.1, for="192.0.2.9:81"', ("192.0.2.9", 81)),
        ("for", PROXY),
    ],
)
def test_forwarded_is_read_in_the_same_way(value, expected):
    assert client(value, name="forwarded") == expected


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "", "not an address"])
def test_a_peer_that_is_not_trusted_is_not_believed(peer):
    assert client("192.0.2.9", (peer, 1)) is None


@pytest.mark.parametrize(
    "name", ["x_forwarded_for", "X-Forwarded-For", "x-forwarded-fore", "x-real-ip", "forwarded-for"]
)
def test_other_fields_say_nothing(name):
    assert client("192.0.2.9", name=name) is None


def test_forwarded_does_not_count_beside_what_the_proxy_writes():
    fields = {"forwarded": "for=127.0.0.1", "x-forwarded-for": "192.0.2.9"}
    assert believe(fields, PROXY, TRUSTED).client == ("192.0.2.9", 0)
    fields = {"forwarded": "for=127.0.0.1;host=evil.example", "x-forwarded-proto": "https"}
    assert believe(fields, PROXY, TRUSTED) == (PROXY, True, None)


@pytest.mark.parametrize(
    ("fields", "secure", "host"),
    [
        ({"x-forwarded-proto": "https"}, True, None),
        ({"x-forwarded-proto": "HTTP"}, False, None),
        ({"x-forwarded-proto": "wss"}, True, None),
        ({"x-forwarded-proto": "gopher"}, None, None),
        # What the client has sent stands before what the proxy has added.
        ({"x-forwarded-proto": "https, http"}, False, None),
        ({"x-forwarded-for": "1.1.1.1, 192.0.2.9", "x-forwarded-proto": "https,http"}, False, None),
        # Each of two proxies has added its own: that of the one which the client has called.
        ({"x-forwarded-for": "192.0.2.9, 10.0.0.2", "x-forwarded-proto": "https,http"}, True, None),
        ({"x-forwarded-host": "a.example"}, None, "a.example"),
        ({"x-forwarded-host": "evil.example, a.example:81"}, None, "a.example:81"),
        ({"x-forwarded-host": "a b"}, None, None),
        ({"x-forwarded-host": "a.example/b"}, None, None),
        ({"forwarded": "for=192.0.2.9;proto=https;host=a.example"}, True, "a.example"),
        ({"forwarded": 'for=1.1.1.1;proto=https, for=192.0.2.9;host="b:1"'}, None, "b:1"),
        ({"forwarded": "for=192.0.2.9;proto=https, for=10.0.0.2;proto=http"}, True, None),
    ],
)
def test_scheme_and_host_are_those_of_the_hop_that_is_believed(fields, secure, host):
    said = believe(fields, PROXY, TRUSTED)
    assert (said.secure, said.host) == (secure, host)


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded"])
def test_of_a_list_without_end_only_the_end_is_read(monkeypatch, name):
    looked = []
    parse = forwarded._parse
    monkeypatch.setattr(forwarded, "_parse", lambda text: looked.append(text) or parse(text))
    item = "10.0.0.2" if name == "x-forwarded-for" else "for=10.0.0.2"
    client(", ".join([item] * 10_000), name=name)
    assert len(looked) < 200


def test_who_is_nearby():
    trusted = TrustedProxies(NEARBY)
    assert all(map(trusted.trusts, ["", "unix:/a", "127.0.0.1", "127.9.9.9", "::1"]))
    assert not any(map(trusted.trusts, ["10.0.0.1", "128.0.0.1", "::2", "localhost"]))


def test_everybody_may_be_trusted_and_nobody():
    assert client("1.1.1.1, 192.0.2.9", ("8.8.8.8", 1), trusted=TrustedProxies(["*"])) == (
        "1.1.1.1",
        0,
    )
    assert client("192.0.2.9", trusted=TrustedProxies([])) is None


@pytest.mark.parametrize("entry", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", 7, None])
def test_an_entry_that_is_no_address_is_named(entry):
    with pytest.raises(OperationFailed, match="TRUSTED_PROXIES lists"):
        TrustedProxies([entry])
