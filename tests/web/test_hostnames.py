"""Names of hosts: what a list of them allows, and which mean this machine."""

from __future__ import annotations

import pytest

from hwebserver.errors import OperationFailed
from hwebserver.web.hostnames import canonical_host, is_address, machine_names, parse_hosts


def allows(pattern, name, port=80):
    return parse_hosts("ALLOWED_HOSTS", [pattern])[0].matches(canonical_host(name), port)


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("example.com", ["example.com", "EXAMPLE.com", "example.com."], ["a.example.com", "x.com"]),
        ("Example.COM.", ["example.com"], ["example.co"]),
        (".example.com", ["example.com", "a.b.example.com"], ["notexample.com", "com"]),
        ("*.example.com", ["a.example.com", "a.b.example.com"], ["example.com", "xexample.com"]),
        ("*", ["example.com", "10.0.0.1", "[::1]", "a"], []),
        ("[::1]", ["[::1]", "[0:0::1]"], ["[::2]", "localhost"]),
        ("::1", ["[::1]"], ["[::2]"]),
        ("10.0.0.1", ["10.0.0.1"], ["10.0.0.11", "110.0.0.1"]),
        ("my_host-1", ["my_host-1"], ["my-host-1"]),
    ],
)
def test_a_pattern_means_what_django_means_by_it(pattern, allowed, refused):
    assert [name for name in allowed if not allows(pattern, name)] == []
    assert [name for name in refused if allows(pattern, name)] == []


@pytest.mark.parametrize(
    "pattern", ["example.com:81", ".example.com:81", "*.example.com:81", "*:81", "a.example.com:81"]
)
def test_a_pattern_with_a_port_means_that_port_alone(pattern):
    name = "example.com" if pattern == "example.com:81" else "a.example.com"
    assert allows(pattern, name, 81)
    assert not allows(pattern, name, 80)


@pytest.mark.parametrize(
    "pattern",
    ["", ".", "*.", "http://example.com", "example.com/", "a b", "a*", "*a", "a.*.com", "**",
     "a@b", "a:99999", "[::1", "10.0.0.*", "*.*.example.com", "a,b", "::g"],
)  # fmt: skip
def test_what_is_no_pattern_is_named_with_its_setting(pattern):
    with pytest.raises(OperationFailed) as caught:
        parse_hosts("ALLOWED_HOSTS", ["good.example", pattern])
    assert "ALLOWED_HOSTS" in str(caught.value)
    assert repr(pattern) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("10.0.0.1", True), ("255.255.255.255", True), ("[fe80::1]", True), ("256.0.0.1", False),
        ("10.0.1", False), ("10.0.0.1.evil.example", False), ("10.0.0.evil", False), ("a", False),
        ("1.2.3.4.5", False), ("...", False), ("", False), ("0x7f.0.0.1", False),
    ],
)  # fmt: skip
def test_an_address_is_told_from_a_name(name, is_one):
    assert is_address(name) is is_one


def test_a_machine_goes_by_its_name_alone_and_in_its_network():
    assert machine_names("Box.Studio.lan") == {"box.studio.lan", "box", "box.local"}
    assert machine_names("box.local") == {"box.local", "box"}
    assert machine_names("") == frozenset()
