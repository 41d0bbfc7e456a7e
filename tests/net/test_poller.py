"""When the poller looks at deadlines; what it does for connections is seen in their own tests."""

from __future__ import annotations

import threading
import time

import pytest
from support import PATIENCE, wait_until

from hwebserver.net.endpoint import NEVER, READ
from hwebserver.net.poller import Poller


@pytest.fixture
def looked():
    """The moments at which a poller has looked."""
    return []


@pytest.fixture
def poller(looked):
    """A poller without connections that has looked, and will not do so again for hours."""
    made = Poller(10, 10_000.0, on_look=looked.append, pending=lambda: True)
    poll(made, 0.0)
    poll(made, 0.0)
    assert len(looked) == 1
    yield made
    made.close()


def poll(poller, longest=PATIENCE):
    assert poller.poll(lambda connection, wants: wants, longest)


def test_deadlines_are_looked_at_soon_when_somebody_asks(poller, looked):
    poller.look_soon()
    poll(poller)
    assert len(looked) == 2


def test_deadlines_are_looked_at_soon_though_the_poller_waits_already(poller, looked):
    def wait_twice():
        poll(poller)
        poll(poller)

    thread = threading.Thread(target=wait_twice)
    thread.start()
    wait_until(lambda: poller._selecting)
    poller.look_soon()
    wait_until(lambda: len(looked) == 2, PATIENCE / 2)
    thread.join()


def test_while_nothing_happens_deadlines_are_looked_at_when_the_first_is_due(looked):
    class Waiting:
        interest = READ
        deadline = time.monotonic() + 1000

    made = Poller(10, 0.01, on_look=looked.append)
    made._connections.add(Waiting())
    poll(made, 0.0)
    poll(made, 0.0)  # A look behind one that saw nothing happen is the last for a while.
    seen = len(looked)
    poll(made, 0.05)
    assert len(looked) == seen
    made.wake()
    poll(made)
    poll(made)
    assert len(looked) > seen
    made._connections.clear()
    made.close()


def test_who_asks_while_deadlines_are_looked_at_is_not_forgotten():
    looked, came = [], []

    class Late:
        """A connection, and another thread that asks at the worst moment."""

        interest = None

        @property
        def deadline(self):
            if not came:
                poller.look_soon()
                came.append(True)
            return NEVER

    poller = Poller(10, 10_000.0, on_look=looked.append, pending=lambda: bool(came))
    poller._connections.add(Late())
    try:
        poll(poller, 0.0)
        assert came
        assert len(looked) == 1
        poll(poller)
        assert len(looked) == 2
    finally:
        poller._connections.clear()
        poller.close()
