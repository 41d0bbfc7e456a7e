"""Event streams, as a browser's EventSource sees them."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest
from support import (
    PATIENCE,
    connect,
    fetch,
    receive_response,
    receive_until,
    running,
    wait_until,
)

from hwebserver import Response, eventStreamResponse

REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
HEARTBEAT = b":\n\n"


def test_events_arrive_as_they_are_given(server):
    events = [
        "text",
        "two\nlines",
        {"event": "kind", "id": 7, "data": {"a": [1, None]}},
        {"comment": "only"},
        [1, 2],
        3.5,
        None,
        "\u00fc",
    ]
    server.urlHandler("/events")(lambda request: eventStreamResponse(events))
    with running(server):
        answer = fetch(server, "/events")
    assert answer.status == 200
    assert answer.text == (
        "data: text\n\n"
        "data: two\ndata: lines\n\n"
        'event: kind\nid: 7\ndata: {"a": [1, null]}\n\n'
        ": only\n\n"
        "data: [1, 2]\n\n"
        "data: 3.5\n\n"
        ":\n\n"
        "data: \u00fc\n\n"
    )


def test_the_head_keeps_caches_and_proxies_from_holding_events_back(server):
    server.urlHandler("/events")(lambda request: eventStreamResponse(["one"]))
    with running(server):
        headers = fetch(server, "/events", headers={"Accept-Encoding": "gzip"}).headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Content-Encoding"] is None


def test_a_handler_may_set_fields_of_its_own(server):
    @server.urlHandler("/events")
    def events(request):
        response = eventStreamResponse(["one"])
        response.setHeader("Cache-Control", "no-store")
        response.setHeader("Access-Control-Allow-Origin", "*")
        return response

    with running(server):
        headers = fetch(server, "/events").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_head_and_retry_are_there_before_the_first_event(server, asynchronous):
    go_on = threading.Event()

    def events():
        assert go_on.wait(PATIENCE)
        yield "first"

    async def async_events():
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        yield "first"

    make = async_events if asynchronous else events
    server.urlHandler("/events")(lambda request: eventStreamResponse(make(), retry=1500))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % (b"events", b""))
        receive_until(sock, b"retry: 1500\n\n")
        go_on.set()
        receive_until(sock, b"data: first\n\n")


def test_a_browser_that_comes_again_says_what_it_saw_last(server):
    @server.urlHandler("/events")
    def events(request):
        last = int(request.headers().get("Last-Event-ID", 0))
        return eventStreamResponse({"id": n, "data": n} for n in range(last + 1, last + 3))

    with running(server):
        assert fetch(server, "/events").text == "id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n"
        again = fetch(server, "/events", headers={"Last-Event-ID": "41"})
    assert again.text == "id: 42\ndata: 42\n\nid: 43\ndata: 43\n\n"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_heartbeats_come_while_there_is_nothing_to_tell(server, asynchronous):
    told = queue.Queue()

    async def async_events():
        while told.empty():
            await asyncio.sleep(0.001)
        yield told.get()

    @server.urlHandler("/events")
    def events(request):
        source = async_events() if asynchronous else iter(told.get, None)
        return eventStreamResponse(source, heartbeat=0.01, on_close=lambda: told.put(None))

    server.setSettingsForPort({"LINGER_TIMEOUT": 0.02})
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % (b"events", b""))
        receive_until(sock, HEARTBEAT)
        receive_until(sock, HEARTBEAT)
        told.put("news")
        receive_until(sock, b"data: news\n\n")


def test_no_heartbeat_is_sent_that_was_not_wanted(server):
    """Nor to a stream that is no event stream, while another one has them."""
    told, go_on = queue.Queue(), threading.Event()

    async def pieces():
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        yield "end"

    def events(heartbeat):
        return eventStreamResponse(iter(told.get, None), heartbeat=heartbeat)

    server.urlHandler("/quiet")(lambda request: events(0))
    server.urlHandler("/beats")(lambda request: events(0.01))
    server.urlHandler("/async")(lambda request: Response(pieces()))
    server.setSettingsForPort({"LINGER_TIMEOUT": 0.02})
    with running(server), connect(server) as one, connect(server) as two, connect(server) as three:
        one.sendall(REQUEST % (b"quiet", b""))
        three.sendall(REQUEST % (b"async", b""))
        two.sendall(REQUEST % (b"beats", b""))
        for _ in range(5):
            receive_until(two, HEARTBEAT)
        go_on.set()
        told.put(None)
        told.put(None)
        assert receive_response(one).body == b""
        assert receive_response(three).body == b"end"


def test_a_client_that_sends_heartbeats_nobody_takes_is_found_out(server):
    """It has vanished without a word, and nothing else is ever sent to it."""
    closed = threading.Event()
    told = queue.Queue()

    def close():
        closed.set()
        told.put(None)

    server.urlHandler("/events")(
        lambda request: eventStreamResponse(iter(told.get, None), heartbeat=0.01, on_close=close)
    )
    server.setSettingsForPort({"LINGER_TIMEOUT": 0.02})
    with running(server), connect(server) as sock:
        # So much is waiting behind the stream that the end of the connection is not seen.
        sock.sendall(REQUEST % (b"events", b"") + b"x" * 100_000)
        receive_until(sock, HEARTBEAT)
        sock.close()
        assert closed.wait(PATIENCE)


def test_an_old_client_gets_events_until_the_connection_ends(server):
    server.urlHandler("/events")(lambda request: eventStreamResponse(["one"], retry=5))
    with running(server), connect(server) as sock:
        sock.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        answer = receive_response(sock)
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Transfer-Encoding"] is None
    assert answer.body == b"retry: 5\n\ndata: one\n\n"


def test_head_gets_the_head_of_an_event_stream_and_begins_none(server):
    begun = []

    def events():
        begun.append(1)
        yield "one"

    server.urlHandler("/events")(lambda request: eventStreamResponse(events(), retry=5))
    with running(server):
        answer = fetch(server, "/events", "HEAD")
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert not begun


def test_what_is_no_event_ends_the_stream_and_is_logged(server, caplog):
    server.urlHandler("/events")(lambda request: eventStreamResponse([{"date": "typo"}]))
    with running(server), connect(server) as sock:
        sock.sendall(REQUEST % (b"events", b""))
        while sock.recv(65536):
            pass
        wait_until(lambda: "an event has no field 'date'" in caplog.text)


@pytest.mark.parametrize("events", ["text", b"bytes", bytearray(), {"data": 1}, 7, None, print])
def test_what_is_no_series_of_events_is_refused_at_once(events):
    with pytest.raises(TypeError, match="events come from an iterator"):
        eventStreamResponse(events)


@pytest.mark.parametrize("heartbeat", [-1, -0.1, float("nan")])
def test_a_heartbeat_that_cannot_be_is_refused_at_once(heartbeat):
    with pytest.raises(ValueError, match="heartbeat"):
        eventStreamResponse([], heartbeat=heartbeat)


@pytest.mark.parametrize(("retry", "error"), [(-1, ValueError), ("5", TypeError), (1.5, TypeError)])
def test_a_retry_that_cannot_be_is_refused_at_once(retry, error):
    with pytest.raises(error, match="retry"):
        eventStreamResponse([], retry=retry)
