"""What a server answers: handlers, API functions, files; registered at any time, by any thread."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from .errors import OperationFailed
from .web.api import APIFunction
from .web.filters import Filter
from .web.handlers import URLHandler, check_callable
from .web.onmain import on_main_thread
from .web.routing import Kind, Route, port_keys
from .web.tables import Registry
from .web.websocket import OpenSockets, WebSocket, broadcast, inspect_class

if TYPE_CHECKING:
    from .exchange import CallInMainThread
    from .web.application import Application
    from .web.lifespan import ASGIApplication, Lifespans
    from .web.logfiles import PortLog

Ports = Iterable[Union[int, str]]
Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound="type[WebSocket]")


class Registrations(ABC):
    """All that was registered with one server."""

    def __init__(self) -> None:
        self._registry = Registry()
        self._opened = OpenSockets()

    def urlHandler(
        self,
        path: str,
        is_prefix: bool = False,
        ports: Ports = (),
        *,
        methods: Optional[Iterable[str]] = None,
        main_thread: bool = False,
    ) -> Callable[[Function], Function]:
        """Return a decorator that has a function answer a path.

        Args:
            path: The path. ``{name}`` stands for a segment, ``{name:int}`` for one of digits, and
                ``{name:path}``, at the end, for all that is left; the values are passed as keyword
                arguments.
            is_prefix: Whether every path below is answered, too.
            ports: Numbers and names of ports; none: the main port; -1: every port.
            methods: The methods that reach the function; None: all of them.
            main_thread: Call it on the host's main thread, where the scene and the windows may be
                touched; see ``callInMainThread``. No worker waits for it. What it sends by hand
                (``request.send``) it sends from there, so a slow client holds the host; what it
                returns does not, but an iterator is read on workers.

        Returns:
            The decorator; it returns the function itself.

        Raises:
            OperationFailed: the path, a port or a method cannot be, or a coroutine function is to
                run on the main thread.
        """
        keys = port_keys(ports)
        kind = Kind.PREFIX if is_prefix else Kind.EXACT

        def register(function: Function) -> Function:
            check_callable(function)
            target = on_main_thread(function) if main_thread else function
            self._registry.add(Route(path, target, methods=methods, ports=keys, kind=kind))
            return function

        return register

    def requestFilter(self, path: str = "/", ports: Ports = ()) -> Callable[[Function], Function]:
        """Return a decorator that has a function see requests before their bodies are read.

        It sees every request to the path and below it, whatever answers there: handlers, files,
        ``/api``, mounted applications, upgrades. It gets the request with its header fields, and
        returns None to let it go on, or what is answered instead, as a handler does. What it
        raises is answered with 500. Of several the one for the most general path is asked first.

        Args:
            path: The path; ``/node`` means ``/node/a`` too, but not ``/nodes``.
            ports: Numbers and names of ports; none: the main port; -1: every port.

        Returns:
            The decorator; it returns the function itself.

        Raises:
            OperationFailed: the path or a port cannot be, or the function is a coroutine function.
        """
        keys = port_keys(ports)

        def register(function: Function) -> Function:
            self._registry.add(Filter(path, function, keys))
            return function

        return register

    def insertHandlerForPort(self, handler: URLHandler, port_name: Union[int, str] = "") -> None:
        """Register a handler object.

        Args:
            handler: The handler.
            port_name: The port it answers on; empty: the main port; -1: every port.

        Raises:
            OperationFailed: it is no handler, or its path or methods cannot be.
        """
        if not isinstance(handler, URLHandler):
            raise OperationFailed(f"a handler is a URLHandler, not {handler!r}")
        check_callable(handler.handle)
        self._registry.add(
            Route(
                handler.path(),
                handler.handle,
                methods=handler.methods(),
                ports=port_keys([port_name]),
                kind=Kind.PREFIX if handler.allowsPartial() else Kind.EXACT,
            )
        )

    def apiFunction(
        self,
        namespace: Any = None,
        return_binary: bool = False,
        arg_types: Optional[Mapping[str, Callable[[Any], Any]]] = None,
        ports: Ports = (),
        *,
        json_default: Optional[Callable[[Any], Any]] = None,
        main_thread: bool = False,
    ) -> Any:
        """Return a decorator that lets clients call a function by POST to ``/api``.

        Args:
            namespace: Clients call ``namespace.function_name``; None: ``function_name``.
            return_binary: Whether the result is sent as it is, not as JSON.
            arg_types: Argument name to type; arguments that are text are converted.
            ports: Numbers and names of ports; none: the main port; -1: every port.
            json_default: Makes JSON of what is none, as for ``json.dumps``.
            main_thread: Call it on the host's main thread, as for ``urlHandler``.

        Returns:
            The decorator; it returns the function itself, whose first argument is the request.
        """
        if callable(namespace):  # @apiFunction without parentheses
            self.registerAPIFunction(namespace)
            return namespace

        def register(function: Function) -> Function:
            self.registerAPIFunction(
                function,
                namespace,
                return_binary,
                arg_types,
                ports,
                json_default=json_default,
                main_thread=main_thread,
            )
            return function

        return register

    def registerAPIFunction(
        self,
        function: Callable[..., Any],
        namespace: Optional[str] = None,
        return_binary: bool = False,
        arg_types: Optional[Mapping[str, Callable[[Any], Any]]] = None,
        ports: Ports = (),
        *,
        json_default: Optional[Callable[[Any], Any]] = None,
        main_thread: bool = False,
    ) -> None:
        """Let clients call a function; the plain form of ``apiFunction``.

        Raises:
            OperationFailed: it is no function with a name, a port cannot be, or a coroutine
                function is to run on the main thread.
        """
        check_callable(function)
        own_name = getattr(function, "__name__", None)
        if not own_name:
            raise OperationFailed(f"{function!r} has no name to call it by")
        name = f"{namespace}.{own_name}" if namespace else own_name
        keys = port_keys(ports)
        self._registry.add(
            APIFunction(
                name,
                function,
                keys,
                return_binary=return_binary,
                arg_types=arg_types,
                json_default=json_default,
                main_thread=main_thread,
            )
        )

    def webSocket(
        self, path: str, is_prefix: bool = False, ports: Ports = ()
    ) -> Callable[[Class], Class]:
        """Return a decorator that has a class answer upgrades to a WebSocket.

        Args:
            path: The path, as for ``urlHandler``; ``connect`` finds the values of a template in
                ``req.pathParameters()``.
            is_prefix: Whether every path below is answered, too.
            ports: Numbers and names of ports; none: the main port; -1: every port.

        Returns:
            The decorator; it returns the class itself, a subclass of ``WebSocket``.

        Raises:
            OperationFailed: the path, a port or the class cannot be.
        """
        keys = port_keys(ports)
        kind = Kind.PREFIX if is_prefix else Kind.EXACT

        def register(made: Class) -> Class:
            target = inspect_class(made)
            route = Route(path, target, methods=["GET"], ports=keys, kind=kind)
            self._registry.add(route, upgrades=True)
            return made

        return register

    def insertWebSocketForPort(
        self,
        web_socket: type[WebSocket],
        path: str,
        port_name: Union[int, str] = "",
        is_prefix: bool = False,
    ) -> None:
        """Register a class of WebSockets; the plain form of ``webSocket``.

        Args:
            web_socket: The class.
            path: The path that it answers.
            port_name: The port it answers on; empty: the main port; -1: every port.
            is_prefix: Whether every path below is answered, too.

        Raises:
            OperationFailed: the path, the port or the class cannot be.
        """
        self.webSocket(path, is_prefix, [port_name])(web_socket)

    def webSockets(self, path: str) -> list[WebSocket]:
        """Return the open WebSockets of a path, as clients have asked for it.

        Args:
            path: The path.
        """
        return self._opened.find(path)

    def broadcast(self, path: str, data: Union[str, bytes]) -> int:
        """Send a message to all open WebSockets of a path, from any thread.

        A socket whose client does not read is closed, and delays nobody.

        Args:
            path: The path.
            data: Text or bytes.

        Returns:
            To how many it goes.

        Raises:
            TypeError: it is neither text nor bytes.
        """
        return broadcast(self._opened.find(path), data)

    def registerStaticFilesDirectory(
        self,
        directory: str,
        url_prefix: str = "/static",
        port: Union[int, str] = -1,
        *,
        listing: bool = False,
    ) -> None:
        """Serve the files of a directory.

        Args:
            directory: Where they are; it may come to be later.
            url_prefix: The path that stands for the directory.
            port: The port; -1: the main port.
            listing: Whether a directory without an index page is listed.

        Raises:
            OperationFailed: the port cannot be.
        """
        from .web.static import StaticDirectory

        self._add_files(url_prefix, StaticDirectory(os.fspath(directory), listing), port)

    def registerArchiveFile(
        self, archive_file: str, url_prefix: str, port: Union[int, str] = -1
    ) -> None:
        """Serve the files in a zip archive, as if it were a directory.

        Args:
            archive_file: The archive; it may come to be later, and may change.
            url_prefix: The path that stands for the archive.
            port: The port; -1: the main port.

        Raises:
            OperationFailed: the port cannot be.
        """
        from .web.archive import Archive

        self._add_files(url_prefix, Archive(os.fspath(archive_file)), port)

    def registerOpdefPath(self, prefix: str = "/opdef", port: Union[int, str] = -1) -> None:
        """Serve the sections of node types' definitions: ``/opdef/obj/geo?Help``.

        Args:
            prefix: The path that stands for all node types.
            port: The port; -1: the main port.

        Raises:
            OperationFailed: this process is no Houdini, or the port cannot be.
        """
        from .web.opdef import OpdefSections

        self._add_files(prefix, OpdefSections(), port)

    def registerWSGIApp(
        self, application: Callable[..., Iterable[bytes]], path: str, ports: Ports = ()
    ) -> None:
        """Have a WSGI application (PEP 3333) answer a path and all below it.

        What else is registered goes before it where it names as many segments or more; files do
        where they exist.

        Args:
            application: The application.
            path: Where it is mounted, its SCRIPT_NAME; ``/``: it answers what nothing else does.
            ports: Numbers and names of ports; none: the main port; -1: every port.

        Raises:
            OperationFailed: it cannot be called, or the path or a port cannot be.
        """
        from .web.wsgi import WSGIMount

        if not callable(application):
            raise OperationFailed(f"a WSGI application can be called, and {application!r} cannot")
        mount = WSGIMount(application)
        self._registry.add(Route(path, mount, ports=port_keys(ports), kind=Kind.MOUNT))

    def registerASGIApp(self, application: ASGIApplication, path: str, ports: Ports = ()) -> None:
        """Have an ASGI application (ASGI 3) answer a path and all below it, WebSockets too.

        What else is registered goes before it where it names as many segments or more; files do
        where they exist. The application is started by ``run``, or by its first request when it
        is registered later, and is told when the server ends (lifespan).

        Args:
            application: The application.
            path: Where it is mounted, its root_path; ``/``: it answers what nothing else does.
            ports: Numbers and names of ports; none: the main port; -1: every port.

        Raises:
            OperationFailed: it cannot be called, or the path or a port cannot be.
        """
        from .web.asgi import ASGIMount

        if not callable(application):
            raise OperationFailed(f"an ASGI application can be called, and {application!r} cannot")
        mount = ASGIMount(application)
        self._registry.add(Route(path, mount, ports=port_keys(ports), kind=Kind.MOUNT))

    def _asgi_applications(self, keys: frozenset[str]) -> list[ASGIApplication]:
        """Return the ASGI applications on ports of these keys, in the order of their paths."""
        from .web.mounts import AsyncMount

        routes = [one for one in self._registry.tables.router if isinstance(one.target, AsyncMount)]
        routes.sort(key=lambda route: route.path)
        return [one.target.application for one in routes if not keys.isdisjoint(one.ports)]

    @abstractmethod
    def requestShutdown(self) -> None:
        """Have the server stop; see ``Server``."""

    @abstractmethod
    def _main_thread_calls(self, timeout: Optional[float], outside: bool) -> CallInMainThread:
        """Return what has functions called on the host's main thread.

        Args:
            timeout: Seconds in which one is to begin; None: as long as it takes.
            outside: Whether another server has the threads: there may be nothing that runs calls
                on the main one.
        """

    def _application(
        self, values: Mapping[str, Any], lifespans: Lifespans, log: PortLog, outside: bool = False
    ) -> Application:
        """Return what answers requests, by the settings of a port."""
        import socket
        import time

        from .protocol.formlimits import FormLimits
        from .web.access import Access
        from .web.application import Application
        from .web.request import Site

        site = Site(
            values["DEBUG"],
            self.requestShutdown,
            values["MAX_FORM_FIELDS"],
            values["MAX_IN_MEMORY_FILE_UPLOAD_SIZE"],
            FormLimits(
                parts=values["MAX_FORM_PARTS"],
                part_headers=values["MAX_PART_FIELD_COUNT"],
                part_header=values["MAX_PART_FIELD_LINE_SIZE"],
                field=values["MAX_FORM_FIELD_SIZE"],
                fields=values["MAX_FORM_FIELDS_SIZE"],
            ),
            values["COMPRESS_MIN_SIZE"],
            values["MAX_JSON_SIZE"],
            values["MAX_ARCHIVE_FILE_SIZE"],
            self._main_thread_calls(values["MAIN_THREAD_TIMEOUT"], outside),
            values["MAIN_THREAD_HANDLERS"],
            tuple(filter(None, (values["ACCESS_TOKEN"],))),
            time.time(),
        )
        access = Access(values, socket.gethostname)
        return Application(self._registry, site, self._opened, lifespans, access, log)

    def _add_files(self, prefix: str, source: Any, port: Union[int, str]) -> None:
        keys = port_keys([] if port == -1 else [port])
        self._registry.add(Route(prefix, source, methods=["GET"], ports=keys, kind=Kind.FILES))
