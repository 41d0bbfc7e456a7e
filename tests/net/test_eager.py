"""Messages that are taken without waking the task of their session behave as if it had been."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
import threading

import pytest
from support import running, wait_until
from wsclient import close, text, websocket

from hwebserver import WebSocket


def answers(server, *messages):
    """Send messages one by one and return what each is answered."""
    with running(server), websocket(server) as client:
        found = []
        for message in messages:
            client.send(text(message))
            found.append(client.message())
        return found


def serve(server):
    """Return what registers a coroutine function as ``receive`` of a socket."""

    def register(receive):
        server.webSocket("/")(type("Socket", (WebSocket,), {"receive": receive}))

    return register


def test_the_current_task_is_that_of_the_session(server):
    tasks = []

    @server.webSocket("/")
    class Socket(WebSocket):
        async def connect(self, req):
            tasks.append(asyncio.current_task())
            await self.accept()

        async def receive(self, message):
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())
            await self.send(message)

    assert answers(server, "a", "b") == ["a", "b"]
    assert len(tasks) == 5
    assert len(set(tasks)) == 1


def test_context_variables_last_from_message_to_message(server):
    variable = contextvars.ContextVar("variable", default="")

    @serve(server)
    async def receive(self, message):
        before = variable.get()
        variable.set(before + message)
        if message == "wait":
            await asyncio.sleep(0.001)
        await self.send(variable.get())

    assert answers(server, "a", "wait", "b") == ["a", "await", "awaitb"]


def test_a_coroutine_that_waits_more_than_once_goes_on_to_its_end(server):
    @serve(server)
    async def receive(self, message):
        for _ in range(3):
            await asyncio.sleep(0)
        value = await asyncio.get_running_loop().run_in_executor(None, str.upper, message)
        await self.send(value)

    assert answers(server, "a", "b") == ["A", "B"]


def test_two_sessions_may_wait_for_one_future(server):
    waiting = []

    @serve(server)
    async def receive(self, message):
        if not waiting:
            waiting.append(asyncio.get_running_loop().create_future())
        if message == "go":
            waiting[0].set_result("gone")
        await self.send(await waiting[0])

    with running(server), contextlib.ExitStack() as stack:
        one, two, three = [stack.enter_context(websocket(server)) for _ in range(3)]
        one.send(text("wait"))
        two.send(text("wait"))
        wait_until(lambda: waiting and len(waiting[0]._callbacks or ()) == 2)
        three.send(text("go"))
        assert [three.message(), one.message(), two.message()] == ["gone"] * 3


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is not there yet")
def test_a_timeout_ends_what_waits_in_its_block_alone(server):
    @serve(server)
    async def receive(self, message):
        try:
            async with asyncio.timeout(0 if message == "at once" else 0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            await self.send("timeout")

    assert answers(server, "at once", "soon", "at once") == ["timeout"] * 3


def test_a_coroutine_that_cancels_its_own_task_is_cancelled_where_it_waits_next(server):
    seen = []

    @serve(server)
    async def receive(self, message):
        asyncio.current_task().cancel()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            if hasattr(asyncio.current_task(), "uncancel"):
                asyncio.current_task().uncancel()
        await self.send(message)

    assert answers(server, "a", "b") == ["a", "b"]
    assert seen == ["cancelled"] * 2


@pytest.mark.parametrize("waits", [False, True])
def test_what_a_coroutine_raises_ends_its_session_with_1011_and_is_logged_once(
    server, caplog, waits
):
    @serve(server)
    async def receive(self, message):
        if waits:
            await asyncio.sleep(0)
        raise LookupError(message)

    with caplog.at_level(logging.ERROR), running(server), websocket(server) as client:
        client.send(text("the fault"), close())
        assert client.ended().code == 1011
    errors = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert ["the fault" in one.exc_text or "" for one in errors] == [True]


def test_messages_that_come_while_one_is_taken_wait_for_their_turn(server):
    seen, free = [], threading.Event()

    @serve(server)
    async def receive(self, message):
        seen.append(message)
        if message == "first":
            await asyncio.get_running_loop().run_in_executor(None, free.wait, 20)
        await self.send(message)

    with running(server), websocket(server) as client:
        client.send(text("first"))
        wait_until(lambda: seen)
        client.send(text("second"), text("third"))
        free.set()
        assert [client.message() for _ in range(3)] == ["first", "second", "third"]


def test_a_session_that_waits_is_cancelled_when_the_server_stops(server):
    seen = []

    @serve(server)
    async def receive(self, message):
        try:
            seen.append("waits")
            await asyncio.sleep(60)
        finally:
            seen.append("ended")

    server.setSettingsForPort({"SHUTDOWN_TIMEOUT": 0.05})
    with running(server), websocket(server) as client:
        client.send(text("a"))
        wait_until(lambda: seen)
    assert seen == ["waits", "ended"]
