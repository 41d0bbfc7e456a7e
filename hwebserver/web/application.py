"""From a request head to an answer: what ``net`` is handed.

When a head is complete the request is either refused (who may not come in, no such path, wrong
method) or gets a place for its body, once the filters of its path have let it in; when that is
complete its handler runs, and whatever happens in there becomes one answer. What a path leads to is
kept with the head, since the next request of a connection mostly has the same.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, NamedTuple, Optional, Union

from ..errors import HTTPError, IncompleteRequest, UnsendableError
from ..exchange import (
    TAKE_BODY,
    Answer,
    Channel,
    ConnectionInfo,
    Deferred,
    FileBody,
    Pace,
    TakeBody,
    Upgrade,
)
from ..protocol.handshake import Handshake, is_upgrade, read_handshake
from ..protocol.headers import quality_values
from ..protocol.http1 import RequestHead
from ..protocol.multipart import boundary_of
from ..protocol.target import split_path
from .access import Access, Place, Refusal
from .asgi import ASGIMount, ASGISession
from .asgicall import Inlet, PathAnswer
from .content import open_file
from .extra import Extra
from .filters import Filter, Filters
from .handlers import as_response
from .lifespan import Lifespans
from .log import access_logger, log_access, masked
from .pages import error_json, error_page, errorResponse, prefers_json, server_error
from .request import Request, Site
from .response import Response
from .routing import Kind, Match, Router, precedence
from .uploads import Body, BodyBuffer, FormUpload
from .websocket import OpenSockets, SocketSession
from .wsgi import WSGIMount

server_logger = logging.getLogger("hwebserver.server")
app_logger = logging.getLogger("hwebserver.app")

API_PATH = "/api"

_NO_PACE = Pace()

#: What opening a file fails with when there is none of that name.
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)

#: A version that no router has: what was found out holds for one request.
_NEVER = -1

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

#: How many different refusals of those who may not come in are logged.
_MOST_NOTES = 100


class Plan(NamedTuple):
    """What requests with one head lead to.

    Attributes:
        version: That of the router when this was found out.
        matches: The registrations that may answer, the one that wins first.
        refusal: What to say at once; then there are no matches.
        pace: That of the registration that wins.
        handshake: What an upgrade to a WebSocket asks for.
        reader: What reads the body, if there is one.
        info: What is believed of the connection.
        extra: What is added to the answer; None: nothing.
        guards: The filters that see the request before its body is read.
    """

    version: int
    matches: list[Match]
    refusal: Optional[Response] = None
    pace: Pace = _NO_PACE
    handshake: Optional[Handshake] = None
    reader: Any = None
    info: Optional[ConnectionInfo] = None
    extra: Optional[Extra] = None
    guards: tuple[Filter, ...] = ()


class Application:
    """The registrations of a server as something that answers requests.

    Args:
        router: Where paths lead.
        sockets: Where upgrades to WebSockets lead.
        site: What every request shares.
        opened: Where open WebSockets are known.
        lifespans: The mounted ASGI applications.
        access: Who may come in.
        filters: What sees requests before their bodies are read.
    """

    def __init__(
        self,
        router: Router,
        sockets: Router,
        site: Site,
        opened: OpenSockets,
        lifespans: Lifespans,
        access: Access,
        filters: Filters,
    ) -> None:
        self._router = router
        self._sockets = sockets
        self._opened = opened
        self._lifespans = lifespans
        self._access = access
        self._filters = filters
        self._noted: set[str] = set()
        self.site = site

    def open(self, head: RequestHead, info: ConnectionInfo) -> Exchange:
        """Begin with a request; see ``exchange.Application``."""
        plan = head.memo
        version = self._router.version + self._sockets.version + self._filters.version
        if plan is None or plan.version != version:
            plan = head.memo = self._plan(head, info, version)
        # A body of no bytes is one too: a form that is not even ended.
        sent = head.has_body or "content-length" in head.fields.combined
        body: Optional[Body] = None
        inlet: Optional[Inlet] = None
        if plan.refusal is None and plan.handshake is None:
            target = plan.reader
            if isinstance(target, ASGIMount):
                inlet = Inlet(head.has_body)
            elif sent:
                body = self._body(head, target)
        kind = GuardedExchange if plan.guards else Exchange
        return kind(
            self.site, head, plan.info or info, plan, body, self._opened, self._lifespans, inlet
        )

    def _body(self, head: RequestHead, target: Any) -> Body:
        """Return where the body of a request goes.

        Raises:
            HTTPError: 400, it says that it is a form, but not what separates the parts.
        """
        site = self.site
        if isinstance(target, WSGIMount):
            return BodyBuffer(site.in_memory)  # The application takes forms apart itself.
        boundary = boundary_of(head.fields.get("content-type") or "")
        if boundary is None:
            return BodyBuffer(site.in_memory)
        return FormUpload(boundary, site.form_limits, site.in_memory)

    def refuse(
        self, error: HTTPError, head: Optional[RequestHead], info: ConnectionInfo
    ) -> Exchange:
        """Answer what cannot be understood; see ``exchange.Application``."""
        plan: Optional[Plan] = None if head is None else head.memo
        if plan is not None and plan.info is not None:
            info, extra = plan.info, plan.extra
        else:
            info = info if head is None else self._access.effective(head, info)
            extra = self._access.added(info)
        _log_refusal(error, info)
        response = _error_response(head, error.status, error.message)
        refused = Plan(0, [], response, extra=extra)
        return Exchange(self.site, head, info, refused, None, self._opened, self._lifespans)

    def _plan(self, head: RequestHead, info: ConnectionInfo, version: int) -> Plan:
        """Find out what a head leads to, and whether it may."""
        info = self._access.effective(head, info)
        upgrade = head.minor == 1 and is_upgrade(head.fields)
        found = self._router.find(head.path, info.port.keys)
        verdict = self._access.judge(head, info, _place_of(head, upgrade, found))
        if verdict.refusal is not None:
            response = self._turn_away(head, info, verdict.refusal)
            return Plan(version, [], response, info=info, extra=verdict.extra)
        if upgrade:
            plan = self._plan_upgrade(version, head, info, found)
        else:
            plan = self._plan_request(version, head, info, found)
        return plan._replace(
            reader=_body_reader(plan),
            info=info,
            extra=verdict.extra,
            guards=self._filters.find(head.path, info.port.keys),
        )

    def _turn_away(self, head: RequestHead, info: ConnectionInfo, refusal: Refusal) -> Response:
        """Return the answer for one who may not come in, and log it once."""
        if refusal.note and refusal.subject not in self._noted and len(self._noted) < _MOST_NOTES:
            self._noted.add(refusal.subject)
            server_logger.warning("%s: %d: %s", info.peer[0], refusal.status, refusal.note)
            if len(self._noted) == _MOST_NOTES:
                server_logger.warning("no more of those who may not come in are logged")
        if refusal.message:
            response = _error_response(head, refusal.status, refusal.message)
        else:
            response = Response(b"", refusal.status, "")
        for name, value in refusal.fields:
            response.setHeader(name, value)
        return response

    def _plan_request(
        self, version: int, head: RequestHead, info: ConnectionInfo, found: list[Match]
    ) -> Plan:
        """Find what answers a request that is no upgrade."""
        if head.path == "*":
            return Plan(version, [], _allow(Response(b"", 204, ""), _METHODS))
        allowed = all(match.route.allows(head.method) for match in found)
        if head.method not in ("GET", "HEAD", "OPTIONS") or not allowed:
            # Files answer any method, with 405; but no body is awaited for one that is not there,
            # and what other registrations say of the method counts then.
            version = _NEVER  # Which files are there may be another thing at the next request.
            found = [match for match in found if _is_there(match)]
        matches = [match for match in found if match.route.allows(head.method)]
        if matches:
            return Plan(version, matches, None, matches[0].route.pace)
        if not found:
            if self._sockets.find(head.path, info.port.keys):
                error = HTTPError(426, "Here is a WebSocket, which is opened by an upgrade.")
                return Plan(version, [], _upgrade_error(head, error))
            return Plan(version, [], _error_response(head, 404, "Not found"))
        methods: set[str] = {"OPTIONS"}
        for match in found:
            methods |= match.route.methods or set()
        if head.method == "OPTIONS":
            # RFC 9110 9.3.7: nobody asked for these requests, so the server answers.
            return Plan(version, [], _allow(Response(b"", 204, ""), ", ".join(sorted(methods))))
        # The method is not named: the answer to HEAD has the length of that to GET.
        response = _error_response(head, 405, "This method is not allowed here.")
        return Plan(version, [], _allow(response, ", ".join(sorted(methods))))

    def _plan_upgrade(
        self, version: int, head: RequestHead, info: ConnectionInfo, matches: list[Match]
    ) -> Plan:
        """Find what takes an upgrade: WebSockets and ASGI applications alone."""
        found = [match for match in matches if isinstance(match.route.target, ASGIMount)]
        found += self._sockets.find(head.path, info.port.keys)
        found.sort(key=precedence)
        if not found:
            return Plan(version, [], _error_response(head, 404, "There is no WebSocket here."))
        try:
            handshake = read_handshake(head)
        except HTTPError as error:
            return Plan(version, [], _upgrade_error(head, error))
        return Plan(version, found[:1], None, found[0].route.pace, handshake)


def _place_of(head: RequestHead, upgrade: bool, found: list[Match]) -> Place:
    """Say what a request is for, as far as that decides who may come in."""
    if upgrade:
        return Place.UPGRADE
    if split_path(head.path) == [API_PATH[1:]]:
        return Place.API
    handled = found and found[0].route.kind not in (Kind.FILES, Kind.MOUNT)
    return Place.HANDLER if handled else Place.OTHER


def _body_reader(plan: Plan) -> Any:
    """Return the target that reads the body: that of the first match, but files read none."""
    routes = (match.route for match in plan.matches)
    return next((route.target for route in routes if route.kind is not Kind.FILES), None)


def _upgrade_error(head: RequestHead, error: HTTPError) -> Response:
    """Return an error that tells a client how a WebSocket is opened (RFC 6455 4.2.2)."""
    response = _error_response(head, error.status, error.message)
    if error.status == 426:
        response.setHeader("Sec-WebSocket-Version", "13")
    return _allow(response, "GET") if error.status == 405 else response


def _log_refusal(error: HTTPError, info: ConnectionInfo) -> None:
    """Write down why a request is refused."""
    # That clients leave or lose their network is no event; the access log has a line of it.
    # That there are too many is logged once by what counts them.
    quiet = isinstance(error, IncompleteRequest) or error.status == 503
    level = logging.DEBUG if quiet else logging.WARNING
    server_logger.log(level, "%s: %d: %s", info.peer[0], error.status, error.message)


def _is_there(match: Match) -> bool:
    """Say whether a registration has what the path names: only files may not."""
    route = match.route
    return route.kind is not Kind.FILES or route.target.find(match.rest) is not None


def _allow(response: Response, methods: str) -> Response:
    response.setHeader("Allow", methods)
    return response


def _error_response(head: Optional[RequestHead], status: int, message: str) -> Response:
    """Return an error for a request that no handler sees.

    What calls ``/api`` expects JSON, unless it is a browser that shows a page.
    """
    accept = None if head is None else head.fields.get("accept")
    json = prefers_json(accept)
    if not json and head is not None and head.path.rstrip("/") == API_PATH and status < 500:
        json = quality_values(accept or "").get("text/html", 0.0) == 0
    return error_json(status, message) if json else error_page(status, message)


def _open(answer: Union[Answer, PathAnswer]) -> Answer:
    """Return the answer of a mounted application, with the file that it has named."""
    if isinstance(answer, Answer):
        return answer
    return open_file(answer.path, answer.answer)


def _coroutine(result: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """Return an awaitable as a coroutine: the loop runs nothing else."""
    return result if isinstance(result, Coroutine) else _outcome(result)


async def _outcome(result: Awaitable[Any]) -> Any:
    return await result


class Exchange:
    """One request and its answer; see ``exchange.Exchange``."""

    __slots__ = (
        "_body",
        "_head",
        "_info",
        "_inlet",
        "_lifespans",
        "_opened",
        "_plan",
        "_request",
        "_site",
        "pace",
    )

    guard: Optional[Pace] = None

    def __init__(
        self,
        site: Site,
        head: Optional[RequestHead],
        info: ConnectionInfo,
        plan: Plan,
        body: Optional[Body],
        opened: OpenSockets,
        lifespans: Lifespans,
        inlet: Optional[Inlet] = None,
    ) -> None:
        self._site = site
        self._opened = opened
        self._lifespans = lifespans
        self._inlet = inlet
        self._head = head
        self._info = info
        self._plan = plan
        self._body = body
        self._request: Optional[Request] = None
        self.pace = plan.pace

    @property
    def refusal(self) -> Optional[Answer]:
        """The answer that is decided already."""
        response = self._plan.refusal
        return None if response is None else self._dress(response.answer())

    def _dress(self, answer: Answer) -> Answer:
        """Return an answer with what the server adds to it."""
        extra = self._plan.extra
        return answer if extra is None else extra.dress(answer)

    def admit(self) -> None:
        """Run what guards the request, where it may block; here is nothing.

        ``refusal`` says what came of it.
        """

    @property
    def sink(self) -> Body:
        """Where the body goes."""
        if self._body is None:
            self._body = BodyBuffer(self._site.in_memory)
        return self._body

    @property
    def queue(self) -> Optional[Inlet]:
        """Where a body goes that a mounted ASGI application gets as it arrives."""
        has_body = self._head is not None and self._head.has_body
        return self._inlet if has_body else None

    def respond(self, channel: Channel) -> Union[Answer, Deferred, Upgrade, TakeBody, None]:
        """Run the handler and return its answer."""
        if self._head is None:
            return self.refusal
        if self._body is not None:
            try:
                self._body.finish()
            except HTTPError as error:
                _log_refusal(error, self._info)
                return self._dress(
                    _error_response(self._head, error.status, error.message).answer()
                )
        request = self._request = Request(self._head, self._info, self._site, self._body, channel)
        if self._plan.handshake is not None:
            return self._upgrade(request, self._plan.handshake, self._plan.matches[0])
        try:
            result = self._run(request)
        except BaseException as error:
            return self.conclude(channel, None, error)
        if hasattr(result, "__await__"):
            return Deferred(_coroutine(result))
        return self.conclude(channel, result, None)

    def _upgrade(self, request: Request, handshake: Handshake, match: Match) -> Upgrade:
        """Hand an upgrade to a session of what was registered."""
        request.end()
        request.bind(match.route.values(match.segments))
        refusal = self._dress(errorResponse(request, "The upgrade is refused.", 403).answer())
        fields = () if self._plan.extra is None else self._plan.extra.lines
        target = match.route.target
        if not isinstance(target, ASGIMount):
            run = SocketSession(target, request, refusal, self._opened).run
            return Upgrade(handshake, run, fields)
        session = ASGISession(
            target.application,
            request,
            match.depth,
            handshake,
            refusal,
            self._lifespans,
            self._dress,
        )
        return Upgrade(handshake, session.run, fields)

    def conclude(
        self, channel: Channel, result: Any, error: Optional[BaseException]
    ) -> Optional[Answer]:
        """Return the answer for what a handler returned or raised; see ``exchange.Exchange``."""
        request = self._request
        if request is None:
            return self.unsendable(error or RuntimeError("there was no request"))
        request.end()
        response: Optional[Response] = None
        if error is None and not request.started:
            try:
                if isinstance(result, (Answer, PathAnswer)):
                    return self._dress(_open(result))  # A mounted application's, as it is.
                response = request.sent or as_response(result)
            except Exception as unsendable:
                error = unsendable
        # Whatever a handler raises costs its own client the answer, and nobody else anything.
        if error is not None:
            return self._broken(request, channel, error)
        if response is None:
            return None
        try:
            answer = response.answer(self._head, self._site.compress_from)
        except (OSError, ValueError, UnsendableError) as unreadable:
            return self._unreadable(request, unreadable)
        extra = self._plan.extra
        return answer if extra is None else extra.dress(answer)

    def _broken(self, request: Request, channel: Channel, error: BaseException) -> Optional[Answer]:
        """Answer for a handler that raised, or end the answer that it had begun."""
        if not request.started:
            return self.failed(error)
        channel.abort()
        if not isinstance(error, ConnectionError):  # else the client has left: nobody's fault
            self.failed(error)
        return None

    def _run(self, request: Request) -> Any:
        for match in self._plan.matches:
            route = match.route
            if route.kind is Kind.FILES:
                response = route.target.respond(request, match.rest)
                if response is not None:
                    return response
            elif isinstance(route.target, ASGIMount):
                inlet = self._inlet or Inlet(False)
                return route.target.respond(request, match.depth, inlet, self._lifespans)
            elif route.kind is Kind.MOUNT:
                return route.target.respond(request, match.depth)
            elif route.parameters:
                values = route.values(match.segments)
                request.bind(values)
                return route.target(request, **values)
            else:
                return route.target(request)
        return errorResponse(request, "Not found", 404)

    def failed(self, error: BaseException, late: bool = False) -> Answer:
        """Log what a handler raised, or what made its body; see ``exchange.Exchange``."""
        request = self._request
        if request is None:
            return self.unsendable(error)
        if isinstance(error, HTTPError) and not late:
            return self._dress(errorResponse(request, error.message, error.status).answer())
        return self._failed(request, error, "handler")

    def _failed(self, request: Request, error: BaseException, what: str) -> Answer:
        """Log what a handler or a filter raised, and return the answer: 500."""
        line = f"{request.method()} {masked(request.pathWithQueryString())}"
        app_logger.error("the %s of %s failed", what, line, exc_info=error)
        if isinstance(error, UnsendableError):
            return self._dress(errorResponse(request, str(error), 500).answer())
        return self._dress(server_error(request, error).answer())

    def _unreadable(self, request: Request, error: Exception) -> Answer:
        """Answer for a file that cannot be opened: it is not there, or not for us."""
        missing = getattr(error, "errno", None) in _MISSING or isinstance(error, ValueError)
        if missing or isinstance(error, FileNotFoundError):
            return self._dress(errorResponse(request, "Not found", 404).answer())
        if isinstance(error, PermissionError):
            return self._dress(errorResponse(request, "The file cannot be read.", 403).answer())
        return self.failed(error)

    def unsendable(self, error: BaseException) -> Answer:
        """Return what is sent instead of an answer that cannot be sent: 500."""
        app_logger.error("the answer of a handler cannot be sent: %s", error)
        page = error_page(500, "The server failed to answer this request.")
        return self._dress(page.answer())

    def drop(self) -> None:
        """Let go of the body."""
        body, self._body = self._body, None
        if body is not None:
            body.close()
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close()

    def finish(self, status: int, sent: int, seconds: float) -> None:
        """Log the exchange and let go of the body."""
        if self._body is not None or self._inlet is not None:
            self.drop()
        if access_logger.isEnabledFor(logging.INFO):
            log_access(self._info, self._head, status, sent, seconds)


class GuardedExchange(Exchange):
    """One request to a path that has filters, and its answer.

    They run where handlers do, for they may block. Before a body, that is a run of its own: the
    body is taken, or refused, when they have decided.
    """

    __slots__ = ("_refused", "guard")

    def __init__(
        self,
        site: Site,
        head: Optional[RequestHead],
        info: ConnectionInfo,
        plan: Plan,
        body: Optional[Body],
        opened: OpenSockets,
        lifespans: Lifespans,
        inlet: Optional[Inlet] = None,
    ) -> None:
        super().__init__(site, head, info, plan, body, opened, lifespans, inlet)
        self.guard: Optional[Pace] = plan.guards[0].pace
        self._refused: Optional[Answer] = None

    @property
    def refusal(self) -> Optional[Answer]:
        """The answer that is decided, once the filters have seen the request."""
        return self._refused

    def admit(self) -> None:
        """Show the request to its filters; the first that has an answer decides."""
        self.guard = None
        for one in self._plan.guards:
            self._refused = self._show(one)
            if self._refused is not None:
                return
        self._refused = super().refusal

    def _show(self, one: Filter) -> Optional[Answer]:
        """Return what a filter answers; None: the request may go on."""
        if self._head is None:
            return None
        request = self._request = Request(self._head, self._info, self._site, None, None)
        try:
            result = one.function(request)
            if result is None and request.sent is None:
                return None
            response = request.sent or as_response(result)
        except HTTPError as error:
            return self.failed(error)
        except BaseException as error:
            return self._failed(request, error, "filter")
        try:
            return self._dress(response.answer(self._head, self._site.compress_from))
        except (OSError, ValueError, UnsendableError) as unreadable:
            return self._unreadable(request, unreadable)

    def respond(self, channel: Channel) -> Union[Answer, Deferred, Upgrade, TakeBody, None]:
        """Run the filters, and without a body to wait for the handler too."""
        if self.guard is not None:
            self.admit()
            if self._head is not None and self._head.has_body:
                return TAKE_BODY
        return self._refused or super().respond(channel)

    def finish(self, status: int, sent: int, seconds: float) -> None:
        """Log the exchange and let go of what it holds."""
        if self._refused is not None and isinstance(self._refused.body, FileBody):
            self._refused.body.close()  # It may not have come to be sent.
        super().finish(status, sent, seconds)
