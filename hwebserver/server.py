"""``Server``: what is registered, and its life from ``run`` to the last closed socket.

What only a server that runs needs is imported when it is started: many programs import the package
and run nothing, a host at its own start among them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union
from weakref import WeakSet

from .configuration import Configuration
from .enums import Verbosity
from .errors import MainThreadError, OperationFailed
from .hosts.graphical import is_ui_available
from .hosts.mainthread import dispatcher
from .registration import Registrations
from .settings import (
    EVERY_PORT,
    MAIN_PORT,
    OPTIONS,
    Said,
    Settings,
    Source,
    port_key,
    settings_path,
)
from .web.handlers import URLHandler
from .web.onmain import OnMainThread
from .web.routing import Route, port_keys
from .web.tables import Renewal, executing_module

logger = logging.getLogger("hwebserver.server")
reload_logger = logging.getLogger("hwebserver.reload")

if TYPE_CHECKING:
    import asyncio

    from .exchange import CallInMainThread
    from .net.endpoint import Endpoint
    from .net.loop import Loop
    from .net.pool import Pool
    from .ports import OpenPort, RunPorts
    from .reloader import Reloader
    from .sources import Stamps
    from .web.asgi_out import ASGIApp
    from .web.lifespan import ASGIApplication, Lifespans
    from .web.logfiles import Logs
    from .web.reloadpage import ReloadPage
    from .web.wsgi_out import WSGIApp

#: How often a waiting main thread wakes, in seconds: Windows delivers Ctrl+C only then, and on
#: other systems a signal that comes just before the wait begins does not end it.
_JOIN_TURN = 0.2


#: The module and the class that a server was made by, and with which arguments.
_Origin = tuple[str, str, tuple[Any, ...], tuple[Any, ...]]

#: All servers of the process, and the order in which they were made.
_servers: WeakSet[Server] = WeakSet()
_numbers = count()
_SERVERS_LOCK = threading.Lock()


class _Default(int):
    """The default of a parameter of ``run``: it can be told from the same value given."""

    _shown = ""

    def __new__(cls, value: int) -> _Default:
        default = super().__new__(cls, value)
        default._shown = repr(value)
        return default

    def __repr__(self) -> str:
        return self._shown


_PORT: Any = _Default(8008)
_THREADS: Any = _Default(4)
_FALSE: Any = _Default(False)
_LOW: Any = _Default(Verbosity.Low)


class RecordedRun:
    """A call of ``run`` that was only written down (the command line runs the server itself)."""

    __slots__ = (
        "arguments",
        "server",
    )

    def __init__(
        self,
        server: Server,
        arguments: dict[str, Any],
    ) -> None:
        self.server = server
        self.arguments = arguments


class Server(Configuration, Registrations):
    """A web server: what it answers, and its life.

    Args:
        name: For people: it stands in the names of the threads.
    """

    #: While this is a list, ``run`` of every server only writes its call down in it.
    recording: ClassVar[Optional[list[RecordedRun]]] = None

    _origin: _Origin
    _lifespans: Lifespans  # those of the last run

    def __new__(cls, *arguments: Any, **named: Any) -> Server:
        """Make a server; while a module is imported again, the one of it that runs is kept."""
        origin = (executing_module(), cls.__qualname__, arguments, tuple(named.items()))
        kept = _kept_server(origin)
        if kept is None:
            kept = super().__new__(cls)
            kept._origin = origin
        return kept

    def __init__(self, name: str = "") -> None:
        if "_registry" in vars(self):
            return  # It is one that was kept.
        super().__init__()
        self._name = name
        with _SERVERS_LOCK:
            _servers.add(self)
            self._number = next(_numbers)
        self._settings = Settings()
        self._starting = threading.Lock()
        self._pool: Optional[Pool] = None
        self._open: list[OpenPort] = []
        self._endpoints: list[Endpoint] = []
        self._since: Optional[float] = None
        self._shutdown_timeout: Optional[float] = None
        self._debug = False
        self._restart = False
        self._told_to_stop = False
        self._reloader: Optional[Reloader] = None
        self._reload_page: Optional[ReloadPage] = None
        self._host_loop: Optional[asyncio.AbstractEventLoop] = None

    def name(self) -> str:
        """Return the name of the server."""
        return self._name

    @property
    def _thread_name(self) -> str:
        """What the names of its threads begin with."""
        return f"hwebserver-{self._name}" if self._name else "hwebserver"

    # --- what was registered ---

    def findHandlerForPort(self, path: str, port_name: Union[int, str] = "") -> Optional[Any]:
        """Return what would answer a path: a handler object or a function, None if nothing would.

        Args:
            path: The path of a request.
            port_name: The port it comes to.
        """
        from .web.mounts import Mount

        keys = port_keys([port_name]) | {EVERY_PORT}
        if self.isRunning():
            for one in self._open:
                if not one.port.keys.isdisjoint(keys - {EVERY_PORT}):
                    keys = one.port.keys
        for match in self._registry.tables.router.find(path, keys):
            target = match.route.target
            if isinstance(target, Mount):
                return target.application
            if isinstance(target, OnMainThread):
                target = target.function
            owner = getattr(target, "__self__", target)
            return owner if isinstance(owner, URLHandler) else target
        return None

    # --- in another server ---

    def asgiApp(self) -> ASGIApp:
        """Return what is registered for the main port as an ASGI application (ASGI 3).

        Other servers run it: uvicorn, hypercorn, granian. What is registered later is answered
        too; the settings are those of now.

        Raises:
            OperationFailed: a setting is wrong.
        """
        from .outside import asgi_app

        keys = frozenset((MAIN_PORT, EVERY_PORT))

        def mounted() -> list[ASGIApplication]:
            dispatcher.prepare()  # The loop that asks for them may be the main thread's.
            return self._asgi_applications(keys)

        return asgi_app(
            self._thread_name,
            self._settings.for_port(MAIN_PORT),
            partial(self._application, outside=True),
            mounted,
        )

    def wsgiApp(self) -> WSGIApp:
        """Return what is registered for the main port as a WSGI application (PEP 3333).

        Other servers run it: gunicorn, uWSGI, mod_wsgi. What is registered later is answered too;
        the settings are those of now.

        Raises:
            OperationFailed: a setting is wrong.
        """
        from .outside import wsgi_app

        values = self._settings.for_port(MAIN_PORT)
        return wsgi_app(self._thread_name, values, partial(self._application, outside=True))

    def setAsyncioLoop(self, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        """Have coroutines run on an asyncio loop that the program runs, from the next ``run`` on.

        Handlers that are coroutines, and WebSockets, can use there what belongs to the loop. The
        server never stops it; at its end it cancels what it began there, and nothing else.

        Args:
            loop: The loop; None: the server starts one of its own when the first coroutine comes.

        Raises:
            OperationFailed: it is no loop, it is closed, or the server is running.
        """
        if loop is not None and not hasattr(loop, "call_soon_threadsafe"):
            raise OperationFailed(f"setAsyncioLoop takes an asyncio loop, not {loop!r}")
        if loop is not None and loop.is_closed():
            raise OperationFailed("setAsyncioLoop takes a loop that runs, and this one is closed")
        if self.isRunning():
            if Renewal.of_this_thread() is not None:
                return  # A module that is imported again says what it has said before.
            raise OperationFailed("the server is running: setAsyncioLoop comes before run")
        self._host_loop = loop

    def isAsyncioEnabled(self) -> bool:
        """Return whether handlers may be coroutines: always, whether a loop was given or not."""
        return True

    # --- life ---

    def run(
        self,
        port: int = _PORT,
        debug: bool = _FALSE,
        max_num_threads: int = _THREADS,
        in_background: Optional[bool] = None,
        reload_source_changes: Optional[bool] = None,
        max_in_memory_file_upload_size: Optional[int] = None,
        max_request_size: Optional[int] = None,
        settings: Optional[Source] = None,
        ports: RunPorts = (),
        verbosity: int = _LOW,
        port_callback: Optional[Callable[..., Any]] = None,
        up_to_port: Optional[int] = None,
        use_free_port_on_failure: bool = _FALSE,
    ) -> None:
        """Start the server.

        Args:
            port: The number to listen on; 0: the system chooses; -1: PORT of the settings.
            debug: Log to the console, and show tracebacks to local clients.
            max_num_threads: Most handlers that run at once.
            in_background: Return when every port listens (True), or when the server has stopped
                (False); None: True in a graphical session.
            reload_source_changes: Have the new code answer when a loaded source file changes;
                None: in debug mode, unless the session is graphical. In the foreground of the main
                thread the process is restarted, and keeps its listening sockets. Else it must
                live: the changed modules, and those that import them, are imported again, and what
                they register takes the place of what they had registered. Their variables begin
                anew, and objects that were made before keep their old classes, open WebSockets
                among them; settings hold from the next ``run`` on.
            max_in_memory_file_upload_size: Bytes of an upload kept in memory.
            max_request_size: Most bytes of the body of a request.
            settings: A settings file: its path, a module's name, a module or a dict.
            ports: Further ports: numbers, names that have a PORT setting, or (name, number).
            verbosity: ``webServerVerbosity.Low``, ``Medium`` (a line a request) or ``High``.
            port_callback: Called for each port that listens, with its name and its number; one
                that takes a single argument gets the number of the main port.
            up_to_port: The last number to try when ``port`` cannot be had.
            use_free_port_on_failure: Let the system choose when all of those fail.

        Raises:
            OperationFailed: the server is running already, a port cannot be had, or a setting is
                wrong.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        if Server.recording is not None:
            Server.recording.append(RecordedRun(self, given))
            return
        background = is_ui_available() if in_background is None else in_background
        if Renewal.of_this_thread() is not None and (self.isRunning() or not background):
            reload_logger.debug("a module that is imported again runs the server: it runs already")
            return
        if background:
            self._start(given, background)
            return
        on_main_thread = threading.current_thread() is threading.main_thread()
        with _signals(self._interrupted) if on_main_thread else _nothing():
            self._start(given, background)
            self._wait()
        if self._restart and not self._told_to_stop:
            self._begin_again()
        self._let_go()

    def _start(self, given: Mapping[str, Any], background: bool) -> None:
        if not self._starting.acquire(blocking=False):
            raise OperationFailed("the server is being started already")
        try:
            self._open_and_serve(given, background)
        finally:
            self._starting.release()

    def _open_and_serve(self, given: Mapping[str, Any], background: bool) -> None:
        from .ports import open_ports
        from .web.logfiles import Logs

        if self.isRunning():
            raise OperationFailed("the server is running already: requestShutdown stops it")
        callback = given["port_callback"]
        if callback is not None and not callable(callback):
            raise OperationFailed(f"port_callback is a function, not {callback!r}")
        _take_arguments(self._settings, given)
        values = self._settings.for_port(MAIN_PORT)
        opened = open_ports(self._settings, given["ports"], self._name)
        logs: Optional[Logs] = None
        try:
            logs = Logs([(one.port, one.values) for one in opened])
            pool = self._make_pool(values, opened, logs)
        except BaseException:
            for one in opened:
                one.close()
            if logs is not None:
                logs.close()
            raise
        self._debug = values["DEBUG"]
        self._restart = self._told_to_stop = False
        _started.add(self)
        dispatcher.timeout = values["MAIN_THREAD_TIMEOUT"]
        dispatcher.prepare()
        self._shutdown_timeout = values["SHUTDOWN_TIMEOUT"]
        self._open = opened
        self._since = time.time()
        self._pool = pool  # from here on there is something that can be told to stop
        try:
            self._watch_sources(values, background, settings_path(given["settings"]))
            self._start_applications(pool)
            pool.start()
        except BaseException:
            pool.abandon()
            raise
        try:
            for one in opened:
                one.announce()
            self._call_back(given["port_callback"])
        except BaseException:
            pool.stop(0.0)  # A run that raises leaves no server behind, and nothing that watches.
            self._stop_watching()
            raise

    def _forget(self) -> None:
        """Count as not running in the child of a fork: the threads are the parent's."""
        self._starting = threading.Lock()
        self._reloader = None
        pool, self._pool = self._pool, None
        if pool is not None:
            _abandoned.append(pool)
            pool.forget()

    def overrule(self, said: Mapping[str, Said]) -> None:
        """Take options that win over all that the program says; the command line calls this.

        Args:
            said: Option name to its value and who says so.
        """
        self._settings.set_command_line(said)

    def describeSettings(self, arguments: Optional[Mapping[str, Any]] = None) -> str:
        """Return every option of every port and who set it, as text; nothing is started.

        Args:
            arguments: Those that ``run`` would be called with.

        Raises:
            OperationFailed: a setting is wrong.
        """
        from copy import copy

        from .overview import describe

        given = arguments or {}
        settings = copy(self._settings)  # What a running server was started with stays.
        _take_arguments(settings, given)
        return describe(settings, given.get("ports", ()))

    def _start_applications(self, pool: Pool) -> None:
        """Start the ASGI applications on the open ports, before the first request.

        On a loop of the host's that the calling thread runs, or nobody yet, they are started by
        their first requests.
        """
        from .net.awaited import wait_for

        keys = frozenset[str]().union(*(one.port.keys for one in self._open))
        applications = self._asgi_applications(keys)
        if applications and pool.loop.can_be_awaited:
            start = self._lifespans.start(applications)
            with dispatcher.hold("the start of an ASGI application"):
                wait_for(start, pool.loop, lambda: pool.stopping)

    def _watch_sources(
        self, values: Mapping[str, Any], background: bool, settings_file: Optional[str]
    ) -> None:
        """Watch source files if that is wanted, from before anybody hears that the server runs.

        On a change the process is restarted if this run has its main thread; else it must live,
        and what has changed is imported again.
        """
        wanted = values["RELOAD_SOURCE_CHANGES"]
        if self._reload_page is not None:
            self._reload_page.watching = False
        if wanted is None:
            wanted = values["DEBUG"] and not is_ui_available()
        if not wanted:
            return
        from .reloader import Reloader
        from .sources import Files
        from .web.reloadpage import RELOAD_PATH, ReloadPage

        restarts = not background and threading.current_thread() is threading.main_thread()
        extra = [*values["RELOAD_EXTRA_FILES"], *([settings_file] if settings_file else [])]
        page = self._reload_page = ReloadPage()
        page.watching = True
        routes = self._registry.tables.router
        if values["DEBUG"] and not any(one.path == RELOAD_PATH for one in routes):
            every = frozenset((EVERY_PORT,))
            route = Route(RELOAD_PATH, page.respond, methods=["GET"], ports=every)
            self._registry.add_own(route)
        self._reloader = Reloader(
            Files(extra),
            self._restart_soon if restarts else self._import_again,
            page.tell,
            values["RELOAD_INTERVAL"],
        )
        self._reloader.start()

    def _make_pool(self, values: Mapping[str, Any], opened: list[OpenPort], logs: Logs) -> Pool:
        from .net.endpoint import Endpoint
        from .net.poller import Poller
        from .net.pool import Pool
        from .net.sockets import Sockets
        from .net.stream import Producers
        from .web.lifespan import Lifespans

        tick = min(1.0, *(one.timeouts.shortest / 2 for one in opened))
        if values["MAIN_THREAD_TIMEOUT"]:
            tick = min(tick, values["MAIN_THREAD_TIMEOUT"] / 2)
        name = self._thread_name
        writers = [one.writer for one in opened]  # this may fail: nothing is open yet
        trust = [one.trusts_proxy for one in opened]  # and this
        loop = self._make_loop(name)
        lifespans = self._lifespans = Lifespans(loop.lasting, loop.spawn)
        loop.farewell = lifespans.stop
        applications = [
            self._application(one.values, lifespans, log) for one, log in zip(opened, logs.ports)
        ]  # so may this
        sockets = Sockets(loop)
        if any(self._registry.tables.sockets):
            from .net import websocket  # noqa: F401  (now, and not with the first upgrade)
        limit = _connection_limit(values["MAX_CONNECTIONS"])

        def look(now: float) -> bool:
            loop.look(now)
            logs.look(now)
            return loop.started

        poller = Poller(limit, max(0.01, tick), sockets.__len__, look, logs.pending)
        sockets.on_end = poller.wake
        logs.delay(poller.look_soon)
        producers = Producers(loop, values["MAX_EVENT_STREAMS"], name)
        endpoints = [
            Endpoint(
                one.port,
                application,
                one.limits,
                one.timeouts,
                writer,
                producers,
                sockets,
                one.socket_settings,
                poller.nudge,
                log.refusals,
                one.tls,
                trusts_proxy,
            )
            for one, application, writer, log, trusts_proxy in zip(
                opened, applications, writers, logs.ports, trust
            )
        ]
        self._endpoints = endpoints
        for one, endpoint in zip(opened, endpoints):
            for listener in one.listeners:
                poller.listen(listener, endpoint)
        most = values["MAX_NUM_THREADS"]

        def end() -> None:
            logs.close()
            if self._reloader is not None:
                self._reloader.end()
            dispatcher.nudge()  # A ``run`` that holds the main thread waits for this.

        pool = Pool(poller, producers, sockets, most, name, lifespans.__len__, end)
        lifespans.on_end = pool.look
        return pool

    def _make_loop(self, name: str) -> Loop:
        from .net.loop import HostLoop, LoopThread

        if self._host_loop is None:
            return LoopThread(f"{name}-asyncio")
        if self._host_loop.is_closed():
            raise OperationFailed("the loop that setAsyncioLoop was given is closed")
        return HostLoop(self._host_loop)

    def _call_back(self, callback: Optional[Callable[..., Any]]) -> None:
        """Tell the caller which ports listen; an error of theirs is logged and stops nothing."""
        if callback is None:
            return
        arguments: list[tuple[Any, ...]]
        if _takes_two(callback):
            arguments = [(one.port.name, one.port.number) for one in self._open]
        else:
            arguments = [(self._open[0].port.number,)]
        for each in arguments:
            try:
                callback(*each)
            except Exception:
                logger.exception("the port_callback failed")

    def _wait(self) -> None:
        """Wait until the server has stopped, and run what the main thread is wanted for."""
        pool = self._pool
        if pool is None:
            return
        said = False

        def is_over() -> bool:
            nonlocal said
            if pool.stopping and not said:
                said = True
                logger.info("Stopping: running requests are waited for; Ctrl+C again ends them")
            return pool.ended

        if dispatcher.on_main_thread:
            dispatcher.serve(is_over)
        with dispatcher.hold("the end of the server"):
            while not pool.join(_JOIN_TURN):
                is_over()
        self._stop_watching()

    def _main_thread_calls(self, timeout: Optional[float], outside: bool) -> CallInMainThread:
        begin = dispatcher.begin_anyhow if outside else dispatcher.begin
        return partial(begin, timeout=timeout)

    def _stop_watching(self) -> None:
        reloader, self._reloader = self._reloader, None
        if reloader is not None:
            reloader.stop()

    def _restart_soon(self, changed: Stamps) -> None:
        """Stop, for the process to be restarted, if nobody else has told the server to stop."""
        pool = self._pool
        if pool is None or pool.stopping:
            return
        reload_logger.info("%s changed: restarting", ", ".join(sorted(changed)))
        from .ports import hold

        self._restart = True
        hold(self._open)
        pool.stop(self._shutdown_timeout)

    def _begin_again(self) -> None:
        """Run the program again, with the same sockets where that can be."""
        from .ports import hand_over_ports, numbers_of
        from .reloader import replaces_process, restart

        if replaces_process():
            restart(hand_over_ports(self._open, self._name))
        self._let_go()
        restart(numbers_of(self._open))

    def _let_go(self) -> None:
        """Close the sockets that were kept for a restart."""
        from .ports import let_go

        let_go(self._open)

    def _import_again(self, changed: Stamps) -> Optional[str]:
        """Have the modules of changed files in the process; return what is wrong with them.

        What they do when they are imported may touch the host, so it is done on its main thread.
        """
        from .reimport import reimport

        def renew() -> Optional[str]:
            return reimport(changed, Renewal())

        reload_logger.info("%s changed", ", ".join(sorted(changed)))
        if not dispatcher.is_served:
            return renew()
        try:
            wrong: Optional[str] = dispatcher.call(renew)
        except MainThreadError as error:
            return str(error)
        return wrong

    def _interrupted(self) -> None:
        """Stop on a signal: gently on the first, at once on the second."""
        pool = self._pool
        if pool is None or not pool.alive:
            raise KeyboardInterrupt  # The server is only being started.
        self._told_to_stop = True  # and not to restart
        pool.stop(0.0 if pool.stopping else self._shutdown_timeout)

    def requestShutdown(self) -> None:
        """Have the server stop, and return at once.

        No new connections are accepted; requests that have come are answered, for at most
        SHUTDOWN_TIMEOUT seconds. Any thread may call this, a handler and a signal handler too,
        and more than once; a server that does not run ignores it.
        """
        self._told_to_stop = True
        if self._pool is not None:
            self._pool.stop(self._shutdown_timeout)

    def isRunning(self) -> bool:
        """Return whether sockets are open or threads run, but for handlers that never return."""
        watched = self._reloader is not None and self._reloader.alive
        return self._pool is not None and (self._pool.alive or watched)

    def isInDebugMode(self) -> bool:
        """Return whether the server runs, or ran last, in debug mode."""
        return self._debug

    def isUIAvailable(self) -> bool:
        """Return whether the process is graphical."""
        return is_ui_available()

    def port(self, name: Union[int, str] = MAIN_PORT) -> int:
        """Return the number that a port listens on.

        Args:
            name: The port.

        Raises:
            OperationFailed: no such port is open.
        """
        return self._find_port(name).port.number

    def url(self, path: str = "/", name: Union[int, str] = MAIN_PORT) -> str:
        """Return the URL of a path of this server, as seen from this machine.

        Args:
            path: The path.
            name: The port.

        Raises:
            OperationFailed: no such port is open.
        """
        return self._find_port(name).url + "/" + path.lstrip("/")

    def statistics(self) -> dict[str, Any]:
        """Return what the server has done since ``run``, in numbers; JSON can hold them.

        Any thread may ask, a handler too. Behind the end of a run they are those of that run, and
        before the first one there are only zeros.

        Returns:
            ``since`` (when it was started, in seconds since the epoch; None: it was not),
            ``connections`` (open now, WebSockets among them), ``websockets``, ``accepted`` (all
            connections so far), ``requests`` (that are over), ``running`` (handlers on workers
            now), ``queued`` (requests that wait for a worker), ``idle_workers``, ``received`` and
            ``sent`` (bytes of all connections), ``answers`` (``"1xx"`` to ``"5xx"``; a client that
            leaves before gets none), ``refused`` (by the server, before a handler, and not
            because there is no such path or method) and ``ports`` (name of a port to its own
            numbers, but for what is the whole server's).
        """
        from .net.pool import Load
        from .tally import add_up

        pool = self._pool
        ports = {one.port.name: one.numbers() for one in self._endpoints}
        load = Load() if pool is None else pool.load
        return {
            "since": self._since,
            **add_up(ports.values()),
            "running": load.running,
            "queued": load.queued,
            "idle_workers": load.idle,
            "ports": ports,
        }

    def _find_port(self, name: Union[int, str]) -> OpenPort:
        key = port_key(name)
        if self.isRunning():
            for one in self._open:
                if key in one.port.keys:
                    return one
        reason = (
            "" if Server.recording is None else ": the command line has yet to start the server"
        )
        raise OperationFailed(f"the port {name!r} is not open{reason}")


def _kept_server(origin: _Origin) -> Optional[Server]:
    """Return the running server that the code of a module makes again; None: it makes a new one."""
    renewal = Renewal.of_this_thread()
    if renewal is None:
        return None
    with _SERVERS_LOCK:
        known = sorted(_servers, key=lambda one: one._number)
    same = [one for one in known if one._origin == origin and one.isRunning()]
    index = renewal.count(repr(origin))
    return same[index] if index < len(same) else None


def _take_arguments(settings: Settings, given: Mapping[str, Any]) -> None:
    """Have the settings of a run: the file, and the arguments that are options."""
    settings.load(given.get("settings"))
    settings.set_arguments(_given_options(given))


def _given_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that arguments of ``run`` set; defaults leave them to the settings."""
    found: dict[str, Any] = {}
    for option in OPTIONS.values():
        value = given.get(option.argument)
        from_settings = option.argument == "port" and value == -1
        if value is not None and not isinstance(value, _Default) and not from_settings:
            found[option.name] = value
    return found


def _connection_limit(wanted: int) -> int:
    """Return how many connections there may be: descriptors are left for everything else."""
    import selectors

    with selectors.DefaultSelector() as selector:
        if isinstance(selector, selectors.SelectSelector):
            return min(wanted, 500)
    try:
        import resource
    except ImportError:
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - 100))


def _takes_two(callback: Callable[..., Any]) -> bool:
    import inspect

    try:
        inspect.signature(callback).bind("main", 0)
    except TypeError:
        return False
    except ValueError:
        return True  # No signature to be had.
    return True


@contextmanager
def _signals(interrupted: Callable[[], None]) -> Iterator[None]:
    """Have the signals that end a program call a function, until the block is left."""
    import signal

    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda received, frame: interrupted())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


#: The servers that have been run.
_started: WeakSet[Server] = WeakSet()

#: Pools of the parent, kept as they are in the child of a fork: an asyncio loop that is collected
#: would take what it watches out of a selector that the parent shares.
_abandoned: list[Pool] = []


def _forget_all() -> None:
    for server in list(_started):
        server._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)

#: The server that the functions of the package speak of.
default_server = Server("")
