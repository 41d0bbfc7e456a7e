"""permessage-deflate: what is agreed on, and what goes through it."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest

from hwebserver.protocol.deflate import DeflateParams, Deflater, Inflater, negotiate
from hwebserver.protocol.frames import WebSocketFailure
from hwebserver.protocol.handshake import ExtensionOffer

TAIL = b"\x00\x00\xff\xff"
PLAIN = DeflateParams()


def offer(*parameters, name="permessage-deflate"):
    """Return an offer; a parameter is a name, or a name, an equals sign and a value."""
    pairs = [text.partition("=") for text in parameters]
    return ExtensionOffer(name, tuple((key, value if sign else None) for key, sign, value in pairs))


def inflater(limit=1 << 20, **params):
    return Inflater(DeflateParams(**params), limit)


def message(one, *pieces):
    """Unpack a message that comes in pieces."""
    return b"".join([one.inflate(piece) for piece in pieces]) + one.finish()


def refused(one, *pieces):
    """Return the code that a message is refused with."""
    with pytest.raises(WebSocketFailure) as caught:
        message(one, *pieces)
    return caught.value.code


class Peer:
    """The other side: zlib as a client uses it."""

    def __init__(self, bits=15, **options):
        self.compressor = zlib.compressobj(wbits=-bits, **options)
        self.decompressor = zlib.decompressobj(-bits)

    def pack(self, data):
        data = self.compressor.compress(data) + self.compressor.flush(zlib.Z_SYNC_FLUSH)
        assert data.endswith(TAIL)
        return data[:-4]

    def unpack(self, data):
        return self.decompressor.decompress(data + TAIL)


# --- negotiation ---


@pytest.mark.parametrize(
    ("parameters", "response", "params"),
    [
        ([], "", (False, False, 12, 15)),
        (["server_no_context_takeover"], "; server_no_context_takeover", (True, False, 12, 15)),
        (["client_no_context_takeover"], "; client_no_context_takeover", (False, True, 12, 15)),
        (["client_max_window_bits"], "; client_max_window_bits=12", (False, False, 12, 12)),
        (["client_max_window_bits=15"], "; client_max_window_bits=12", (False, False, 12, 12)),
        (["client_max_window_bits=12"], "; client_max_window_bits=12", (False, False, 12, 12)),
        (["client_max_window_bits=11"], "; client_max_window_bits=11", (False, False, 12, 11)),
        (["client_max_window_bits=8"], "; client_max_window_bits=8", (False, False, 12, 8)),
        (["server_max_window_bits=15"], "; server_max_window_bits=12", (False, False, 12, 15)),
        (["server_max_window_bits=9"], "; server_max_window_bits=9", (False, False, 9, 15)),
        (
            [
                "client_max_window_bits",
                "server_no_context_takeover",
                "server_max_window_bits=10",
                "client_no_context_takeover",
            ],
            "; client_max_window_bits=12; server_no_context_takeover"
            "; server_max_window_bits=10; client_no_context_takeover",
            (True, True, 10, 12),
        ),
    ],
)
def test_an_offer_is_confirmed_within_our_window(parameters, response, params):
    assert negotiate([offer(*parameters)]) == (
        "permessage-deflate" + response,
        DeflateParams(*params),
    )


@pytest.mark.parametrize(
    "parameters",
    [
        ["unknown"],
        ["server_no_context_takeover=1"],
        ["client_no_context_takeover=true"],
        ["server_max_window_bits"],
        ["server_max_window_bits=8"],  # zlib cannot
        *([f"server_max_window_bits={value}"] for value in ("7", "16", "010", "9x", "+9", "-9")),
        *([f"client_max_window_bits={value}"] for value in ("7", "16", "010", "1e1", "\u0669")),
        ["server_no_context_takeover", "server_no_context_takeover"],
        ["client_max_window_bits", "client_max_window_bits=10"],
        ["Server_No_Context_Takeover"],
    ],
)
def test_an_offer_that_cannot_be_met_is_declined(parameters):
    assert negotiate([offer(*parameters)]) == ("", None)


def test_another_extension_is_declined():
    assert negotiate([offer(name="x-webkit-deflate-frame")]) == ("", None)
    assert negotiate([]) == ("", None)


def test_the_first_offer_that_can_be_met_is_answered():
    offers = [
        offer(name="x-other"),
        offer("server_max_window_bits=8"),
        offer("server_no_context_takeover"),
        offer(),
    ]
    assert negotiate(offers) == (
        "permessage-deflate; server_no_context_takeover",
        DeflateParams(server_no_context_takeover=True),
    )


# --- sending ---


def test_messages_refer_to_those_before_them():
    one, peer = Deflater(PLAIN), Peer()
    text = bytes(random.Random(1).choices(b"abcdefgh", k=200))
    first, second = one.deflate(text), one.deflate(text)
    assert (peer.unpack(first), peer.unpack(second)) == (text, text)
    assert len(second) < 20 < len(first)


def test_without_context_takeover_each_message_stands_for_itself():
    one = Deflater(DeflateParams(server_no_context_takeover=True))
    first, second = one.deflate(b"hello hello"), one.deflate(b"hello hello")
    assert first == second
    assert Peer().unpack(second) == b"hello hello"


def test_an_empty_message_is_one_byte_each_time():
    one, peer = Deflater(PLAIN), Peer()
    assert [one.deflate(data) for data in (b"", b"")] == [b"\x00", b"\x00"]
    one.deflate(b"")
    for data in (b"", b"a", b"", b"", b"aa", b""):
        assert peer.unpack(one.deflate(data)) == data


@pytest.mark.parametrize("bits", [9, 10, 11, 12])
def test_nothing_refers_back_beyond_the_window(bits):
    one = Deflater(DeflateParams(server_max_window_bits=bits))
    block = random.Random(bits).getrandbits(8 << bits).to_bytes(1 << bits, "little")
    data = block * 4 + block[:100]
    # A reader with no larger window fails if something does.
    assert Peer(bits).unpack(one.deflate(data)) == data


# --- receiving ---


def test_a_message_may_come_in_pieces():
    packed = Peer().pack(b"hello hello hello")
    for cut in range(len(packed) + 1):
        assert message(inflater(), packed[:cut], packed[cut:]) == b"hello hello hello"
    assert message(inflater(), *(bytes([byte]) for byte in packed)) == b"hello hello hello"


def test_messages_of_the_client_refer_to_those_before_them():
    one, peer = inflater(), Peer()
    text = bytes(random.Random(2).choices(b"abcdefgh", k=200))
    for _ in range(3):
        assert message(one, peer.pack(text)) == text


def test_without_context_takeover_the_window_is_forgotten():
    one, peer = inflater(client_no_context_takeover=True), Peer()
    text = b"once upon a time there was a window"
    assert message(one, peer.pack(text)) == text
    assert refused(one, peer.pack(text)) == 1007  # which refers to the first
    assert message(inflater(client_no_context_takeover=True), Peer().pack(text)) == text


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 15])
def test_a_client_may_use_all_of_its_window(bits):
    one = inflater(client_max_window_bits=bits)
    peer = Peer(max(9, bits))  # an old zlib uses 9 where it was told 8
    block = random.Random(bits).getrandbits(8 << bits).to_bytes(1 << bits, "little")
    assert message(one, peer.pack(block * 3)) == block * 3


@pytest.mark.parametrize(
    "packed",
    [
        bytes.fromhex("f248cdc9c90700"),  # 7.2.3.1: one block
        bytes.fromhex("000500faff48656c6c6f00"),  # 7.2.3.3: a stored block
        bytes.fromhex("f348cdc9c9070000"),  # 7.2.3.4: a last block
        bytes.fromhex("f24805000000ffffcac9c90700"),  # 7.2.3.5: two blocks
        bytes.fromhex("f348cdc9c90700"),  # a last block without the byte that should follow it
    ],
)
def test_the_examples_of_the_rfc_say_hello(packed):
    one = inflater()
    assert message(one, packed) == b"Hello"
    assert message(one, packed) == b"Hello"
    for cut in range(len(packed)):
        assert message(inflater(), packed[:cut], packed[cut:]) == b"Hello"


def test_the_second_message_of_the_rfc_refers_to_the_first():
    one = inflater()
    assert message(one, bytes.fromhex("f248cdc9c90700")) == b"Hello"
    assert message(one, bytes.fromhex("f200110000")) == b"Hello"


def test_what_follows_a_last_block_is_part_of_the_message():
    one = inflater()
    last, more = bytes.fromhex("f348cdc9c90700"), Peer().pack(b", World")
    assert message(one, last + last + more) == b"HelloHello, World"
    assert message(one, last, last, more) == b"HelloHello, World"


def test_an_empty_message_may_be_one_byte_or_none():
    one, peer = inflater(), Peer()
    assert message(one) == b""
    assert message(one, b"\x00") == b""
    assert message(one, peer.pack(b"hello")) == b"hello"
    assert message(one) == b""
    assert message(one, b"\x00") == b""
    assert message(one, peer.pack(b"hello")) == b"hello"


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_RLE])
def test_every_kind_of_block_is_unpacked(level, strategy):
    one, peer = inflater(), Peer(level=level, strategy=strategy)
    data = bytes(random.Random(level).choices(range(256), k=20000))
    for text in (data, data[:7] * 500, b"", data[:1]):
        assert message(one, peer.pack(text)) == text


# --- faults and limits ---


@pytest.mark.parametrize(
    "packed",
    [
        b"\xff",
        b"\x07",
        b"hello",
        b"\x00\x01\x00",
        b"\x00\x05\x00\xfa\xffHel",  # a stored block that lacks two bytes
        bytes.fromhex("f248cdc9c907"),  # what ends inside a block
        bytes.fromhex("f348cdc9"),
        bytes.fromhex("f248cdc9c90700") + TAIL,  # the tail was left where it is
        bytes.fromhex("f348cdc9c90700ff"),
        zlib.compress(b"hello"),
    ],
)
def test_garbage_is_refused(packed):
    assert refused(inflater(), packed) == 1007


def test_random_garbage_is_refused_or_unpacked_and_nothing_else():
    chance = random.Random(3)
    good = Peer().pack(b"hello hello hello, world world" * 3)
    for _ in range(3000):
        packed = bytearray(good)
        packed[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        try:
            message(inflater(), bytes(packed[: chance.randrange(len(good) + 1)]))
        except WebSocketFailure as failure:
            assert failure.code == 1007  # noqa: PT017 (most are refused, but not all)


@pytest.mark.parametrize("size", [1, 100, 70000])
def test_a_message_may_unpack_to_the_limit(size):
    data = b"x" * size
    for limit in (size, size + 1):
        one, peer = inflater(limit), Peer()
        assert message(one, peer.pack(data)) == data
        assert message(one, peer.pack(data)) == data  # the limit is for each message
    packed = Peer().pack(data)
    assert refused(inflater(size - 1), packed) == 1009
    assert refused(inflater(size - 1), *(bytes([byte]) for byte in packed)) == 1009


def test_the_limit_counts_what_comes_behind_a_last_block_too():
    last = bytes.fromhex("f348cdc9c90700")
    assert message(inflater(10), last + last) == b"HelloHello"
    assert refused(inflater(9), last + last) == 1009
    assert refused(inflater(9), last, last) == 1009


@pytest.mark.parametrize("takeover", [True, False])
def test_a_bomb_is_not_unpacked(takeover):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = block * 200
    one = inflater(1 << 16, client_no_context_takeover=not takeover)
    message(one, Peer().pack(b"hello"))
    tracemalloc.start()
    try:
        assert refused(one, bomb) == 1009
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


def test_a_message_may_end_its_stream_256_times():
    last = b"\x03\x00"
    one = inflater()
    assert message(one, last * 256) == b""
    assert message(one, last * 256 + Peer().pack(b"hello")) == b"hello"
    assert refused(one, last * 257) == 1009
    assert refused(inflater(), *[last] * 257) == 1009


def test_ending_the_stream_over_and_over_is_refused_before_it_costs_quadratic_time():
    assert refused(inflater(), b"\x03\x00" * (1 << 20)) == 1009
