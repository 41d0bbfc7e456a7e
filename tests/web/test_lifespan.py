"""The lifespan of mounted ASGI applications."""

from __future__ import annotations

import asyncio
import threading

import pytest
from support import fetch, running, wait_until

import hwebserver


class App:
    """An application that keeps what happens to it in order."""

    def __init__(self, log=None):
        self.log = [] if log is None else log

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
        else:
            self.log.append(("request", dict(scope["state"])))
            scope["state"]["own"] = True
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"hello"})

    async def live(self, scope, receive, send):
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        self.log.append((await receive())["type"])
        scope["state"]["x"] = 1
        await send({"type": "lifespan.startup.complete"})
        self.log.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})


def test_an_application_is_started_before_its_first_request_and_ended_behind_the_last():
    server, app = hwebserver.Server(), App()
    server.registerASGIApp(app, "/")
    for _ in range(2):  # each run has a life of its own
        app.log.clear()
        with running(server):
            assert app.log == ["lifespan.startup"]
            fetch(server)
            fetch(server)
        assert app.log == [
            "lifespan.startup",
            ("request", {"x": 1}),
            ("request", {"x": 1}),  # and not what the first has added
            "lifespan.shutdown",
        ]


def test_one_that_is_registered_later_is_started_by_its_first_request():
    server, app = hwebserver.Server(), App()
    with running(server):
        server.registerASGIApp(app, "/")
        assert app.log == []
        fetch(server)
        assert app.log == ["lifespan.startup", ("request", {"x": 1})]
    assert app.log[-1] == "lifespan.shutdown"


def test_one_that_is_mounted_twice_lives_once():
    server, app = hwebserver.Server(), App()
    server.registerASGIApp(app, "/a")
    server.registerASGIApp(app, "/b")
    with running(server):
        pass
    assert app.log == ["lifespan.startup", "lifespan.shutdown"]


def test_one_on_a_port_that_is_not_open_is_not_started():
    server, app = hwebserver.Server(), App()
    server.registerASGIApp(app, "/", ports=["other"])
    with running(server):
        pass
    assert app.log == []


def test_a_start_that_fails_fails_run_and_leaves_no_server():
    class Failing(App):
        async def live(self, scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})

    server, good = hwebserver.Server(), App()
    server.registerASGIApp(good, "/a")
    server.registerASGIApp(Failing(), "/b")
    with pytest.raises(hwebserver.OperationFailed, match="no database"):
        server.run(port=0, in_background=True)
    assert not server.isRunning()
    assert good.log == ["lifespan.startup", "lifespan.shutdown"]


def test_a_late_start_that_fails_is_answered_500(caplog):
    class Failing(App):
        async def live(self, scope, receive, send):
            await send({"type": "lifespan.startup.failed", "message": "no database"})

    server = hwebserver.Server()
    with running(server):
        server.registerASGIApp(Failing(), "/")
        assert fetch(server).status == 500
    assert "no database" in caplog.text


@pytest.mark.parametrize("knows", ["raises", "returns", "ends"])
def test_one_that_knows_no_lifespan_is_served_without(knows):
    class Simple(App):
        async def live(self, scope, receive, send):
            if knows == "raises":
                raise AssertionError(scope["type"])
            if knows == "ends":
                raise SystemExit(1)

    server, app = hwebserver.Server(), Simple()
    server.registerASGIApp(app, "/")
    with running(server):
        assert fetch(server).body == b"hello"
    assert app.log == [("request", {})]


def test_a_life_that_fails_in_the_end_is_logged(caplog):
    class Failing(App):
        async def live(self, scope, receive, send):
            await super().live(scope, receive, send)
            raise KeyError("in the end")

    server = hwebserver.Server()
    server.registerASGIApp(Failing(), "/")
    with running(server):
        pass
    assert "in the end" in caplog.text


def test_the_end_waits_for_what_runs_behind_a_response():
    go_on, log = threading.Event(), []

    class Busy(App):
        async def __call__(self, scope, receive, send):
            await super().__call__(scope, receive, send)
            if scope["type"] == "http":
                await asyncio.get_running_loop().run_in_executor(None, go_on.wait)
                self.log.append("done")

    server = hwebserver.Server()
    server.registerASGIApp(Busy(log), "/")
    with running(server):
        fetch(server)
        server.requestShutdown()
        assert not server._pool.join(0.1)
        go_on.set()
    assert log[-2:] == ["done", "lifespan.shutdown"]


def test_an_application_that_does_not_end_is_cancelled(monkeypatch, caplog):
    monkeypatch.setattr("hwebserver.net.loop.FAREWELL", 0.05)

    class Lasting(App):
        async def live(self, scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.log.append("cancelled")
                raise

    server, app = hwebserver.Server(), Lasting()
    server.registerASGIApp(app, "/")
    with running(server):
        pass
    assert app.log == ["cancelled"]


def test_a_start_that_lasts_ends_with_the_server():
    class Lasting(App):
        async def live(self, scope, receive, send):
            self.log.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                self.log.append("ended")

    server, app = hwebserver.Server(), Lasting()
    server.registerASGIApp(app, "/")

    def stop():
        wait_until(lambda: app.log)
        server.requestShutdown()

    stopper = threading.Thread(target=stop)
    stopper.start()
    server.run(port=0, in_background=True)
    stopper.join()
    wait_until(lambda: not server.isRunning())
    assert app.log == ["begun", "ended"]
