"""What is registered, for other people's servers: made of the same parts as a server of ours.

There is no poller and no pool: the other server has the sockets and the threads. A loop of ours
runs coroutines where the other server has none, and event streams have threads of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .net.awaited import outcome_of
from .net.loop import LoopThread
from .net.stream import Producers
from .ports import limits_of
from .web.application import Application
from .web.asgi_inside import Inside, Workers
from .web.asgi_out import ASGIApp
from .web.lifespan import ASGIApplication, Lifespans
from .web.logfiles import Logs, PortLog
from .web.wsgi_out import WSGIApp

Values = Mapping[str, Any]

#: Makes what answers requests.
MakeApplication = Callable[[Values, Lifespans, PortLog], Application]


class _Helpers:
    """What streams and coroutines need.

    Args:
        name: Begins the names of the threads.
        values: The settings.
    """

    def __init__(self, name: str, values: Values) -> None:
        self.loop = LoopThread(f"{name}-asyncio")
        self.producers = Producers(self.loop, values["MAX_EVENT_STREAMS"], name)
        self._logs = Logs([(None, values)])
        self.log = self._logs.ports[0]

    def end(self) -> None:
        """End the threads."""
        self.producers.stop()
        self.producers.join()
        self._logs.close()


def wsgi_app(name: str, values: Values, make: MakeApplication) -> WSGIApp:
    """Return a WSGI application.

    Args:
        name: Begins the names of its threads.
        values: The settings.
        make: Makes what answers requests.
    """
    helpers = _Helpers(name, values)
    loop = helpers.loop
    lifespans = Lifespans(loop.lasting, loop.spawn)
    loop.farewell = lifespans.stop
    return WSGIApp(
        make(values, lifespans, helpers.log),
        limits_of(values),
        helpers.producers.start,
        partial(outcome_of, loop),
        helpers.end,
    )


def asgi_app(
    name: str,
    values: Values,
    make: MakeApplication,
    mounted: Callable[[], list[ASGIApplication]],
) -> ASGIApp:
    """Return an ASGI application.

    Args:
        name: Begins the names of its threads.
        values: The settings.
        make: Makes what answers requests.
        mounted: Returns the ASGI applications that are to be started.
    """
    helpers = _Helpers(name, values)
    lifespans = Lifespans(set())
    inside = Inside(
        make(values, lifespans, helpers.log),
        limits_of(values),
        values["MAX_WEBSOCKET_QUEUE_SIZE"],
        lifespans,
        mounted,
        Workers(values["MAX_NUM_THREADS"], f"{name}-worker"),
        helpers.producers.start,
        helpers.end,
    )
    return ASGIApp(inside)
