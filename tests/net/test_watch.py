"""Watching sockets, with epoll and with what other systems have."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest

from hwebserver.net.endpoint import BOTH, READ, WRITE
from hwebserver.net.watch import Watch, begin_watch


@pytest.fixture(params=["best", "select"])
def watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    if request.param == "select":
        monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    made = begin_watch()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_who_waits_for_bytes_hears_when_they_come(watch, pair) -> None:
    ours, theirs = pair
    watch.add(ours, READ, "reader")
    assert watch.wait(0) == []
    theirs.send(b"x")
    assert watch.wait(5) == ["reader"]


def test_who_waits_for_room_hears_of_it_at_once(watch, pair) -> None:
    watch.add(pair[0], WRITE, "writer")
    assert watch.wait(5) == ["writer"]


def test_who_waits_for_both_hears_of_either(watch, pair) -> None:
    ours, theirs = pair
    watch.add(ours, BOTH, "both")
    theirs.send(b"x")
    assert watch.wait(5) == ["both"]


def test_what_is_waited_for_can_be_changed_and_who_hears(watch, pair) -> None:
    watch.add(pair[0], WRITE, "writer")
    watch.change(pair[0], READ, "reader")
    assert watch.wait(0) == []
    pair[1].send(b"x")
    assert watch.wait(5) == ["reader"]


def test_nobody_hears_of_a_socket_that_was_removed(watch, pair) -> None:
    pair[1].send(b"x")
    watch.add(pair[0], READ, "reader")
    watch.remove(pair[0], "reader")
    assert watch.wait(0) == []
    watch.add(pair[0], READ, "again")
    assert watch.wait(5) == ["again"]


def test_a_socket_that_was_closed_can_be_removed_still(watch, pair) -> None:
    watch.add(pair[0], READ, "reader")
    pair[0].close()
    watch.remove(pair[0], "reader")
    with socket.create_server(("127.0.0.1", 0)) as other:  # It may get the same descriptor.
        watch.add(other, READ, "other")
        assert watch.wait(0) == []


def test_the_end_of_a_watch_leaves_the_sockets_open(pair) -> None:
    made = begin_watch()
    made.add(pair[0], READ, "reader")
    made.close()
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_select_says_how_few_sockets_it_can_watch(monkeypatch) -> None:
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    made = begin_watch()
    assert made.most == 512
    made.close()


def test_a_closed_socket_that_another_descriptor_keeps_open_stops_nothing(watch, pair) -> None:
    kept = pair[0].dup()
    watch.add(pair[0], READ, "reader")
    pair[0].close()
    watch.remove(pair[0], "reader")
    pair[1].send(b"x")
    assert watch.wait(0) == []
    kept.close()
