"""Numbers that connections count for themselves, and their sums."""

from __future__ import annotations

import json

from hwebserver.tally import PortTally, add_up

NOTHING = {
    "connections": 0,
    "accepted": 0,
    "websockets": 0,
    "requests": 0,
    "received": 0,
    "sent": 0,
    "answers": {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0},
}


class Bytes:
    """Counts as a transport does."""

    def __init__(self, received, sent):
        self.received = received
        self.sent = sent


def test_a_port_begins_with_zeros():
    assert PortTally().numbers() == NOTHING


def test_an_open_connection_counts_as_it_stands():
    port = PortTally()
    tally = port.begin(Bytes(10, 20))
    tally.fine += 3
    tally.count(0)
    tally.websocket = True
    assert port.numbers() == {
        "connections": 1,
        "accepted": 1,
        "websockets": 1,
        "requests": 4,
        "received": 10,
        "sent": 20,
        "answers": {"1xx": 0, "2xx": 3, "3xx": 0, "4xx": 0, "5xx": 0},
    }


def test_what_a_connection_has_done_stays_when_it_ends():
    port = PortTally()
    for _ in range(3):
        tally = port.begin(Bytes(10, 20))
        tally.count(404)
        tally.count(400)
        tally.end()
        tally.end()
    assert port.numbers() == {
        **NOTHING,
        "accepted": 3,
        "requests": 6,
        "received": 30,
        "sent": 60,
        "answers": {**NOTHING["answers"], "4xx": 6},
    }


def test_the_numbers_of_ports_are_added_up():
    port = PortTally()
    port.begin(Bytes(1, 2)).count(500)
    one = {**port.numbers(), "refused": 4}
    assert add_up([one, one]) == {
        "connections": 2,
        "accepted": 2,
        "websockets": 0,
        "requests": 2,
        "received": 2,
        "sent": 4,
        "answers": {**NOTHING["answers"], "5xx": 2},
        "refused": 8,
    }
    assert add_up([]) == {**NOTHING, "refused": 0}
    assert json.loads(json.dumps(one)) == one
