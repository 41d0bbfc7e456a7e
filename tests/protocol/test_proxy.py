"""The PROXY protocol: what is a header, what is none, and where one ends."""

from __future__ import annotations

import struct

import pytest

from hwebserver import OperationFailed, ProtocolError
from hwebserver.protocol.forwarded import NEARBY, TrustedProxies
from hwebserver.protocol.proxy import HEADER_LIMIT, ProxyHeader, read_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([203, 0, 113, 7, 192, 0, 2, 1]) + struct.pack("!HH", 40000, 443)
V4_SAID = (("203.0.113.7", 40000), ("192.0.2.1", 443))
V6 = bytes.fromhex("20010db8000000000000000000000007" + "0" * 31 + "1" + "ffff0050")
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def block(content=V4, kind=0x11, command=0x21, length=None):
    size = len(content) if length is None else length
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", size) + content


def note(kind, value, length=None):
    return struct.pack("!BH", kind, len(value) if length is None else length) + value


def tls(client, more=b""):
    return note(0x20, bytes([client]) + b"\0\0\0\0" + more)


def line(text):
    return text.encode() + b"\r\n"


HEADERS = [
    (line("PROXY TCP4 203.0.113.7 192.0.2.1 40000 443"), *V4_SAID, False),
    (line("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535"),
     ("0.0.0.0", 0), ("255.255.255.255", 65535), False),
    (line("PROXY TCP6 2001:DB8::7 ::1 1 2"), ("2001:db8::7", 1), ("::1", 2), False),
    (line("PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2"), ("203.0.113.7", 1), ("::1", 2), False),
    (line("PROXY UNKNOWN"), None, None, False),
    (line("PROXY UNKNOWN ffff::1 whatever  99999"), None, None, False),
    (line("PROXY UNKNOWN " + "x" * 91), None, None, False),  # 107 bytes
    (block(), *V4_SAID, False),
    (block(V6, 0x21), ("2001:db8::7", 65535), ("::1", 80), False),
    (block(bytes(216), 0x31), ("", 0), None, False),
    (block(bytes(216) + tls(1), 0x31), ("", 0), None, True),
    (block(b"", 0, 0x20), None, None, False),
    (block(b"anything", 0x77, 0x20), None, None, False),
    (block(b"", 0), None, None, False),
    (block(b"\xff\xff\xff", 0), None, None, False),
    (block(V4 + tls(1)), *V4_SAID, True),
    (block(V4 + tls(7, note(0x21, b"TLSv1.3"))), *V4_SAID, True),
    (block(V4 + tls(0)), *V4_SAID, False),
    (block(V4 + tls(6)), *V4_SAID, False),
    (block(V4 + note(1, b"h2") + note(4, b"") + tls(1)), *V4_SAID, True),
    (block(V4 + note(4, bytes(4096 - 15))), *V4_SAID, False),
]  # fmt: skip


@pytest.mark.parametrize(("data", "source", "destination", "secure"), HEADERS)
def test_a_header_says_who_the_client_is_and_where_it_ends(data, source, destination, secure):
    expected = ProxyHeader(len(data), source, destination, secure)
    assert read_header(data) == expected
    for behind in (b"\r\n", REQUEST, data, b"\x16\x03\x01"):
        assert read_header(data + behind) == expected
    assert len(data) <= HEADER_LIMIT


@pytest.mark.parametrize("data", [one[0] for one in HEADERS])
def test_a_part_of_a_header_is_not_decided_yet(data):
    assert [n for n in range(len(data)) if read_header(data[:n]) is not None] == []


@pytest.mark.parametrize(
    "data",
    [
        b"G", b"\x16\x03\x01", b"\n", b"p", b"POST", b"PROXY\t", b"\r\nG", SIGNATURE[:-1] + b"\r",
        line("PROXY "), line("PROXY"), line("PROXY TCP4"), line("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2"),
        line("PROXY TCP4 1.2.3.4 1.2.3.4  1 2"), line("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 "),
        line("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3"), line("PROXY TCP4 1.2.3.4 1.2.3.4 1"),
        line("PROXY tcp4 1.2.3.4 1.2.3.4 1 2"), line("PROXY UDP4 1.2.3.4 1.2.3.4 1 2"),
        line("PROXY UNKNOWNS"), line("PROXY TCP4\t1.2.3.4 1.2.3.4 1 2"),
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", b"PROXY UNKNOWN\n", b"\rPROXY",
        *(line(f"PROXY TCP4 {one} 1.2.3.4 1 2") for one in (
            "01.2.3.4", "1.2.3", "1.2.3.4.5", "256.2.3.4", "1.2.3.-4", "::1", "localhost", "",
            "1.2.3.\u0664", "1.2.3.4\0", "0x1.2.3.4", "1.2.3.4\n", "1.2.3.\xb2")),
        *(line(f"PROXY TCP6 {one} ::1 1 2") for one in (
            "1.2.3.4", "::1%1", "[::1]", ":::", "1::2::3", "g::", "::01.2.3.4", "12345::", "")),
        *(line(f"PROXY TCP4 1.2.3.4 1.2.3.4 {one} 2") for one in (
            "65536", "-1", "+1", "01", "00", "1_0", "1e1", "999999", "", "\xb2")),
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", b"PROXY UNKNOWN " + b"x" * 93,
        block(command=0x22), block(command=0x11), block(command=0x31), block(command=0x01),
        *(block(kind=one) for one in (0x12, 0x22, 0x32, 0x13, 0x41, 0x10, 0x01, 0xFF)),
        block(b"", length=4097), block(b"", 0, 0x20, length=65535),
        block(V4[:-1]), block(V4, 0x21), block(bytes(215), 0x31),
        *(block(V4 + one) for one in (
            b"\4", b"\4\0", note(4, b"", 1), note(4, b"", 65535), note(0x20, b"\1\0\0\0"),
            note(0x20, b""), tls(1) + tls(0), tls(1, b"\x21"), tls(1, note(0x21, b"", 1)),
            tls(1) + b"\0")),
    ],
)  # fmt: skip
def test_what_is_no_header_is_refused(data):
    with pytest.raises(ProtocolError) as caught:
        read_header(data)
    assert caught.value.status == 400


def test_nothing_is_decided_of_nothing():
    assert read_header(b"") is None


@pytest.mark.parametrize(
    ("entries", "trusted", "others"),
    [
        ([], ["", "unix:/a", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"],
         ["10.0.0.1", "::2", "fe80::1%eth0"]),
        (["10.0.0.5", "10.1.0.0/16"], ["10.0.0.5", "10.1.2.3", "::ffff:10.1.2.3"],
         ["", "127.0.0.1", "10.0.0.6", "::1"]),
        (["unix"], ["", "unix:/a"], ["127.0.0.1"]),
        (["fe80::/10"], ["fe80::1", "fe80::1%eth0"], ["::1", "127.0.0.1", ""]),
    ],
)  # fmt: skip
def test_those_are_trusted_that_are_listed_or_else_this_machine(entries, trusted, others):
    trusts = TrustedProxies(entries or NEARBY).trusts
    assert [one for one in trusted if not trusts(one)] == []
    assert [one for one in others if trusts(one)] == []


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.1/8", "", 5, None, "10.0.0.0/33"])
def test_an_entry_that_is_no_address_is_refused_by_name(entry):
    with pytest.raises(OperationFailed, match="TRUSTED_PROXIES"):
        TrustedProxies([entry])
