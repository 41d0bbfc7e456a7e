"""Messages that nobody thought of: those of the corpus, damaged at random, always the same way.

What becomes of one does not matter here, only that it depends on its bytes and on nothing else.
"""

from __future__ import annotations

import random

import pytest
from wire.corpus import CASES
from wire.replay import each_byte, replay

#: What damage is done with: the bytes and words that readers of HTTP disagree on.
WORDS = [
    *(bytes([code]) for code in (0, 9, 10, 11, 13, 32, 34, 44, 48, 58, 59, 127, 133, 160, 255)),
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"0\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"GET / HTTP/1.1\r\n",
    b"get ",
    b"HTTP/2.0",
]

ROUNDS = 20
PER_ROUND = 500


def damaged(message: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(message) + 1)
        cut = chance.choice((0, 0, 1, 2, 5))
        word = chance.choice(WORDS) if chance.random() < 0.8 else b""
        message = message[:at] + word + message[at + cut :]
    return message


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_outcome_does_not_depend_on_how_a_damaged_message_is_cut(seed):
    chance = random.Random(seed)
    for _ in range(PER_ROUND):
        case = chance.choice(CASES)
        message = damaged(case.message, chance)
        whole = replay([message], case.limits)
        assert replay(each_byte(message), case.limits) == whole, message
        cuts = sorted(chance.choices(range(len(message) + 1), k=3))
        pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)])]
        assert replay(pieces, case.limits) == whole, pieces
