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
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import HTTPError, IncompleteRequest, MainThreadError, UnsendableError
from ..exchange import (
    TAKE_BODY,
    Answer,
    Channel,
    ConnectionInfo,
    Deferred,
    FileBody,
    Later,
    OnMainThread,
    Pace,
    TakeBody,
    Upgrade,
)
from ..exchange import Exchange as Spent
from ..journal import UNIX_CLIENT, of_port
from ..protocol.headers import quality_values
from ..protocol.http1 import RequestHead
from ..protocol.paths import split_path
from ..protocol.response import Line
from .access import Access, Place, Refusal
from .api import API_PATH
from .extra import Extra
from .filters import Filter
from .handlers import Handler, as_response
from .lifespan import Lifespans
from .log import Subject, mask_token
from .logfiles import PortLog
from .mounts import AsyncMount, PathAnswer, PlainMount
from .onmain import OnMain, Then, for_setting, plain
from .pages import error_json, error_page, errorResponse, prefers_json, server_error
from .request import Request, Site
from .requestid import given_id, id_lines, with_id
from .response import Response
from .routing import Kind, Match, Router, precedence
from .uploads import Body, BodyBuffer, FormUpload
from .websocket import OpenSockets, SocketSession

if TYPE_CHECKING:
    from ..protocol.handshake import Handshake
    from .asgicall import Inlet
    from .static import Again
    from .tables import Registry, Tables

server_logger = logging.getLogger("hwebserver.server")
app_logger = logging.getLogger("hwebserver.app")

_NO_PACE = Pace()

#: What opening a file fails with when there is none of that name.
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)

#: A version that no tables have: what was found out holds for one request.
_NEVER = -1

#: Types of what mounted applications answer.
_OUTSIDE = (Answer, PathAnswer)

#: Types of what handlers return most, none of which is awaited.
_FREQUENT = frozenset((str, bytes, dict, list, type(None)))

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Plan:
    """What requests with one head lead to; found out once, and then only read.

    Args:
        version: That of the tables when this was found out.
        matches: The registrations that may answer, the one that wins first.
        refusal: What to say at once; then there are no matches.
        handshake: What an upgrade to a WebSocket asks for.

    Attributes:
        pace: That of the registration that wins.
        reader: What reads the body, if there is one.
        takes_body: Whether there is one, and it is for somebody.
        bare: Whether a request has no body, nor anything else that its answer needs.
        handler: The function that answers, where nothing but a call of it is to be done.
        again: Answers with a file that an earlier request has found; None: no file is asked for.
        request_id: The id that the requests bring; empty: none.
        info: What is believed of the connection.
        extra: What is added to the answer; None: nothing.
        guards: The filters that see the request before its body is read.
        subject: What the lines of the access log tell of the requests; None: there is none yet.
    """

    __slots__ = (
        "again",
        "bare",
        "extra",
        "guards",
        "handler",
        "handshake",
        "info",
        "matches",
        "pace",
        "reader",
        "refusal",
        "request_id",
        "subject",
        "takes_body",
        "version",
    )

    def __init__(
        self,
        version: int,
        matches: list[Match],
        refusal: Optional[Response] = None,
        handshake: Optional[Handshake] = None,
    ) -> None:
        self.version = version
        self.matches = matches
        self.refusal = refusal
        self.handshake = handshake
        self.pace = matches[0].route.pace if matches else _NO_PACE
        self.reader: Any = None
        self.takes_body = self.bare = False
        self.handler: Optional[Handler] = None
        self.again: Optional[Again] = None
        self.request_id = ""
        self.info: Optional[ConnectionInfo] = None
        self.extra: Optional[Extra] = None
        self.guards: tuple[Filter, ...] = ()
        self.subject: Optional[Subject] = None


class Application:
    """The registrations of a server as something that answers requests.

    Args:
        registry: Where paths and upgrades to WebSockets lead, and what sees requests before their
            bodies are read.
        site: What every request shares.
        opened: Where open WebSockets are known.
        lifespans: The mounted ASGI applications.
        access: Who may come in.
        log: Where requests, and what is refused, are written down.
    """

    def __init__(
        self,
        registry: Registry,
        site: Site,
        opened: OpenSockets,
        lifespans: Lifespans,
        access: Access,
        log: PortLog,
    ) -> None:
        self._registry = registry
        self._access = access
        self.site = site
        self.opened = opened
        self.lifespans = lifespans
        self.access, self.refusals = log

    def open(
        self, head: RequestHead, info: ConnectionInfo, spent: Optional[Spent] = None
    ) -> Exchange:
        """Begin with a request; see ``exchange.Application``."""
        plan = head.memo
        tables = self._registry.tables
        version = tables.version
        if plan is None or plan.version != version:
            plan = head.memo = self._plan(tables, version, head, info)
            self._complete(plan, head)
        if plan.bare:
            if type(spent) is Exchange and spent.plan is plan:
                return spent
            return Exchange(self, head, plan.info or info, plan)
        body: Optional[Body] = None
        inlet: Optional[Inlet] = None
        if isinstance(plan.reader, AsyncMount):
            inlet = plan.reader.inlet(head.has_body)
        elif plan.takes_body:
            body = self._body(head, plan.reader)
        kind = GuardedExchange if plan.guards else Exchange
        return kind(self, head, plan.info or info, plan, body, inlet)

    def _complete(self, plan: Plan, head: RequestHead) -> None:
        """Add to a plan what need not be found out for each of its requests."""
        decided = plan.refusal is not None or plan.handshake is not None
        reader = plan.reader = None if decided else _body_reader(plan)
        # A body of no bytes is one too: a form that is not even ended.
        sent = head.has_body or "content-length" in head.fields.combined
        plan.takes_body = sent and not decided
        plan.bare = not (plan.takes_body or plan.guards or isinstance(reader, AsyncMount))
        plan.request_id = given_id(head)
        plan.handler = _plain_handler(plan)
        plan.again = _known_file(plan, head)
        if plan.handler is not None and self.site.all_on_main_thread:
            plan.handler = for_setting(plan.handler)

    def _body(self, head: RequestHead, target: Any) -> Body:
        """Return where the body of a request goes.

        Raises:
            HTTPError: 400, it says that it is a form, but not what separates the parts.
        """
        site = self.site
        if isinstance(target, PlainMount):
            return BodyBuffer(site.in_memory)  # The application takes forms apart itself.
        content_type = head.fields.get("content-type") or ""
        if content_type[:9].lower() != "multipart":
            return BodyBuffer(site.in_memory)  # as most are
        from ..protocol.multipart import boundary_of

        boundary = boundary_of(content_type)
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
        request_id = given_id(head)
        self.log_refusal(error, info, request_id)
        response = _error_response(head, error.status, error.message)
        plan = Plan(0, [], response)
        plan.request_id, plan.info, plan.extra = request_id, info, extra
        return Exchange(self, head, info, plan)

    def log_refusal(self, error: HTTPError, info: ConnectionInfo, request_id: str) -> None:
        """Write down why a request is refused.

        Args:
            error: Why.
            info: The connection.
            request_id: The id of the request, as far as it has one.
        """
        reason = f"{error.status}: {error.message}{_named(request_id)}"
        if isinstance(error, IncompleteRequest):
            # That clients leave or lose their network is no event; the access log has a line of it.
            client = info.peer[0] or UNIX_CLIENT.rstrip(":")
            server_logger.debug("%s: %s", client, reason, extra=of_port(info.port))
        else:
            # That there are too many is logged once by what counts them.
            self.refusals.note(info.peer[0], reason, quiet=error.status == 503)

    def _plan(self, tables: Tables, version: int, head: RequestHead, info: ConnectionInfo) -> Plan:
        """Find out what a head leads to, and whether it may."""
        info = self._access.effective(head, info)
        upgrade = head.minor == 1 and _is_upgrade(head)
        found = tables.router.find(head.path, info.port.keys)
        verdict = self._access.judge(head, info, _place_of(head, upgrade, found))
        if verdict.refusal is not None:
            response = self._turn_away(head, info, verdict.refusal)
            # The next one is planned anew, so that it is logged too.
            plan = Plan(_NEVER, [], response)
        elif upgrade:
            plan = self._plan_upgrade(tables.sockets, version, head, info, found)
        else:
            plan = self._plan_request(tables.sockets, version, head, info, found)
        plan.info, plan.extra = info, verdict.extra
        if verdict.refusal is None:
            plan.guards = tables.filters.find(head.path, info.port.keys)
        return plan

    def _turn_away(self, head: RequestHead, info: ConnectionInfo, refusal: Refusal) -> Response:
        """Return the answer for one who may not come in, and log why."""
        if refusal.note:
            known = _named(given_id(head))
            self.refusals.note(info.peer[0], f"{refusal.status}: {refusal.note}{known}")
        if refusal.message:
            response = _error_response(head, refusal.status, refusal.message)
        else:
            response = Response(b"", refusal.status, "")
        for name, value in refusal.fields:
            response.setHeader(name, value)
        return response

    def _plan_request(
        self,
        sockets: Router,
        version: int,
        head: RequestHead,
        info: ConnectionInfo,
        found: list[Match],
    ) -> Plan:
        """Find what answers a request that is no upgrade."""
        if head.path == "*":
            return Plan(version, [], _allow(Response(b"", 204, ""), _METHODS))
        allowed = all(match.route.allows(head.method) for match in found)
        files = any(match.route.kind is Kind.FILES for match in found)
        if files and (head.method not in ("GET", "HEAD", "OPTIONS") or not allowed):
            # Files answer any method, with 405; but no body is awaited for one that is not there,
            # and what other registrations say of the method counts then.
            version = _NEVER  # Which files are there may be another thing at the next request.
            found = [match for match in found if _is_there(match)]
        matches = [match for match in found if match.route.allows(head.method)]
        if matches:
            return Plan(version, matches)
        if not found:
            if sockets.find(head.path, info.port.keys):
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
        self,
        sockets: Router,
        version: int,
        head: RequestHead,
        info: ConnectionInfo,
        matches: list[Match],
    ) -> Plan:
        """Find what takes an upgrade: WebSockets and ASGI applications alone."""
        found = [match for match in matches if isinstance(match.route.target, AsyncMount)]
        found += sockets.find(head.path, info.port.keys)
        found.sort(key=precedence)
        if not found:
            return Plan(version, [], _error_response(head, 404, "There is no WebSocket here."))
        from ..protocol.handshake import read_handshake

        try:
            handshake = read_handshake(head)
        except HTTPError as error:
            return Plan(version, [], _upgrade_error(head, error))
        return Plan(version, found[:1], None, handshake)


def _is_upgrade(head: RequestHead) -> bool:
    """Say whether a request asks for a WebSocket."""
    if "upgrade" not in head.fields.combined:
        return False  # as most do not
    from ..protocol.handshake import is_upgrade

    return is_upgrade(head.fields)


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


def _plain_handler(plan: Plan) -> Optional[Handler]:
    """Return the function that answers, if it is one that is given nothing but the request."""
    if plan.handshake is not None or not plan.matches:
        return None
    route = plan.matches[0].route
    return None if route.kind in (Kind.FILES, Kind.MOUNT) or route.parameters else route.target


def _known_file(plan: Plan, head: RequestHead) -> Optional[Again]:
    """Return what answers with a file that is known, if files are what a path leads to first."""
    if plan.handshake is not None or not plan.matches:
        return None
    match = plan.matches[0]
    return match.route.target.again(head, match.rest) if match.route.kind is Kind.FILES else None


def _upgrade_error(head: RequestHead, error: HTTPError) -> Response:
    """Return an error that tells a client how a WebSocket is opened (RFC 6455 4.2.2)."""
    response = _error_response(head, error.status, error.message)
    if error.status == 426:
        response.setHeader("Sec-WebSocket-Version", "13")
    return _allow(response, "GET") if error.status == 405 else response


def _named(request_id: str) -> str:
    """Return what a line of the log says of the id of a request, if it has one."""
    return f" (request {request_id})" if request_id else ""


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
    from .content import open_file

    return open_file(answer.path, answer.answer)


def _coroutine(result: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """Return an awaitable as a coroutine: the loop runs nothing else."""
    return result if isinstance(result, Coroutine) else _outcome(result)


async def _outcome(result: Awaitable[Any]) -> Any:
    return await result


class Exchange:
    """One request and its answer; see ``exchange.Exchange``."""

    __slots__ = (
        "_application",
        "_body",
        "_head",
        "_info",
        "_inlet",
        "_request",
        "_then",
        "pace",
        "plan",
        "refused",
    )

    guard: Optional[Pace] = None

    #: What is to be made of what the main thread returns; set when an answer is to come later.
    _then: Optional[Then]

    def __init__(
        self,
        application: Application,
        head: Optional[RequestHead],
        info: ConnectionInfo,
        plan: Plan,
        body: Optional[Body] = None,
        inlet: Optional[Inlet] = None,
    ) -> None:
        self._application = application
        self._head = head
        self._info = info
        self._body = body
        self._inlet = inlet
        self._request: Optional[Request] = None
        self.plan = plan
        self.pace = plan.pace
        self.refused = plan.refusal is not None

    @property
    def refusal(self) -> Optional[Answer]:
        """The answer that is decided already."""
        response = self.plan.refusal
        return None if response is None else self._dress(response.answer())

    @property
    def _known_id(self) -> str:
        """The id of the request, as far as it has one."""
        return self.plan.request_id if self._request is None else self._request.known_id

    def _dress(self, answer: Answer) -> Answer:
        """Return an answer with what the server adds to it."""
        extra, known_id = self.plan.extra, self._known_id
        if extra is not None:
            answer = extra.dress(answer)
        return with_id(answer, known_id) if known_id else answer

    def _error(self, request: Request, message: str, status: int) -> Answer:
        """Return an error for a request that has come to its handler."""
        return self._dress(errorResponse(request, message, status).answer())

    def admit(self) -> None:
        """Run what guards the request, where it may block; here is nothing.

        ``refusal`` says what came of it.
        """

    @property
    def sink(self) -> Body:
        """Where the body goes."""
        if self._body is None:
            self._body = BodyBuffer(self._application.site.in_memory)
        return self._body

    @property
    def queue(self) -> Optional[Inlet]:
        """Where a body goes that a mounted ASGI application gets as it arrives."""
        has_body = self._head is not None and self._head.has_body
        return self._inlet if has_body else None

    def respond(self, channel: Channel) -> Union[Answer, Later, Upgrade, TakeBody, None]:
        """Run the handler and return its answer."""
        if self._head is None:
            return self.refusal
        if self._body is not None:
            try:
                self._body.finish()
            except HTTPError as error:
                self._application.log_refusal(error, self._info, self.plan.request_id)
                response = _error_response(self._head, error.status, error.message)
                return self._dress(response.answer())
        site, plan = self._application.site, self.plan
        if plan.again is not None:
            answer = plan.again(self._head)
            if answer is not None:
                dressed = plan.extra is not None or plan.request_id
                return self._dress(answer) if dressed else answer
        request = self._request = Request(self._head, self._info, site, self._body, channel)
        if plan.request_id:
            request.known_id = plan.request_id
        if plan.handshake is not None:
            return self._upgrade(request, plan.handshake, plan.matches[0])
        try:
            result = self._run(request) if plan.handler is None else plan.handler(request)
        except BaseException as error:
            return self._conclude(channel, None, error)
        if type(result) is Response and not (request.started or request.sent):
            return self._answer(request, result)
        if type(result) not in _FREQUENT:
            if hasattr(result, "__await__"):
                self._then = None
                return Deferred(_coroutine(result))
            if isinstance(result, OnMain):
                self._then = result.then
                return OnMainThread(partial(site.call_in_main_thread, result.function))
        return self._conclude(channel, result, None)

    def _upgrade(self, request: Request, handshake: Handshake, match: Match) -> Upgrade:
        """Hand an upgrade to a session of what was registered."""
        request.channel = None
        request.bind(match.route.values(match.segments))
        refusal = self._error(request, "The upgrade is refused.", 403)
        target = match.route.target

        def fields() -> tuple[Line, ...]:
            extra = self.plan.extra
            return (*(() if extra is None else extra.lines), *id_lines(request.known_id))

        if not isinstance(target, AsyncMount):
            socket = SocketSession(target, request, refusal, self._application.opened)
            return Upgrade(handshake, socket.run, fields)
        lifespans = self._application.lifespans
        run = target.session(request, match.depth, handshake, refusal, lifespans, self._dress)
        return Upgrade(handshake, run, fields)

    def conclude(
        self, channel: Channel, result: Any, error: Optional[BaseException]
    ) -> Optional[Answer]:
        """Return the answer for what a handler returned or raised; see ``exchange.Exchange``."""
        if self._then is not None:
            try:
                result, error = self._then(plain(result), error), None
            except BaseException as raised:
                result, error = None, raised
        return self._conclude(channel, result, error)

    def _conclude(
        self, channel: Channel, result: Any, error: Optional[BaseException]
    ) -> Optional[Answer]:
        """Return the answer for what a handler has come to."""
        request = self._request
        if request is None:
            return self.unsendable(error or RuntimeError("there was no request"))
        request.channel = None
        response: Optional[Response] = None
        if error is None and not request.started:
            try:
                if isinstance(result, _OUTSIDE):
                    return self._dress(_open(result))  # A mounted application's, as it is.
                response = request.sent or as_response(result)
            except Exception as unsendable:
                error = unsendable
        # Whatever a handler raises costs its own client the answer, and nobody else anything.
        if error is not None:
            return self._broken(request, channel, error)
        return None if response is None else self._answer(request, response)

    def _answer(self, request: Request, response: Response) -> Answer:
        """Return the answer that a handler's response is."""
        request.channel = None
        try:
            answer = response.answer(self._head, self._application.site.compress_from)
        except (OSError, ValueError, UnsendableError) as unreadable:
            return self._unreadable(request, unreadable)
        extra, known_id = self.plan.extra, request.known_id
        if extra is not None:
            answer = extra.dress(answer)
        return with_id(answer, known_id) if known_id else answer

    def _broken(self, request: Request, channel: Channel, error: BaseException) -> Optional[Answer]:
        """Answer for a handler that raised, or end the answer that it had begun."""
        if not request.started:
            return self.failed(error)
        channel.abort()
        if not isinstance(error, ConnectionError):  # else the client has left: nobody's fault
            self.failed(error)
        return None

    def _run(self, request: Request) -> Any:
        for match in self.plan.matches:
            route = match.route
            if route.kind is Kind.FILES:
                response = route.target.respond(request, match.rest)
                if response is not None:
                    return response
            elif isinstance(route.target, AsyncMount):
                inlet = self._inlet or route.target.inlet(False)
                lifespans = self._application.lifespans
                return route.target.respond(request, match.depth, inlet, lifespans)
            elif route.kind is Kind.MOUNT:
                return route.target.respond(request, match.depth)
            else:
                values = route.values(match.segments)
                request.bind(values)
                everything = self._application.site.all_on_main_thread
                handler = for_setting(route.target) if everything else route.target
                return handler(request, **values)
        return errorResponse(request, "Not found", 404)

    def failed(self, error: BaseException, late: bool = False) -> Answer:
        """Log what a handler raised, or what made its body; see ``exchange.Exchange``."""
        request = self._request
        if request is None:
            return self.unsendable(error)
        if isinstance(error, HTTPError) and not late:
            return self._error(request, error.message, error.status)
        if isinstance(error, MainThreadError) and not late:
            return self._unserved(request, error)
        return self._failed(request, error, "handler", late)

    def _unserved(self, request: Request, error: MainThreadError) -> Answer:
        """Log that the main thread was not to be had, and return the answer: 503."""
        line = f"{request.method()} {mask_token(request.pathWithQueryString())}"
        message, extra = "%s got 503: %s%s", of_port(self._info.port)
        app_logger.warning(message, line, error, _named(request.known_id), extra=extra)
        message = "The main thread of the application is busy and did not take this. Try again."
        return self._error(request, message, 503)

    def _failed(
        self, request: Request, error: BaseException, what: str, late: bool = False
    ) -> Answer:
        """Log what a handler or a filter raised, and return the answer: 500."""
        line = f"{request.method()} {mask_token(request.pathWithQueryString())}"
        message, extra = "the %s of %s failed%s", of_port(self._info.port)
        known = _named(request.known_id)
        app_logger.error(message, what, line, known, exc_info=error, extra=extra)
        if isinstance(error, UnsendableError):
            return self._error(request, str(error), 500)
        if late:
            return error_page(500, "").answer()  # Nobody gets it.
        return self._dress(server_error(request, error).answer())

    def _unreadable(self, request: Request, error: Exception) -> Answer:
        """Answer for a file that cannot be opened: it is not there, or not for us."""
        missing = getattr(error, "errno", None) in _MISSING or isinstance(error, ValueError)
        if missing or isinstance(error, FileNotFoundError):
            return self._error(request, "Not found", 404)
        if isinstance(error, PermissionError):
            return self._error(request, "The file cannot be read.", 403)
        return self.failed(error)

    def unsendable(self, error: BaseException) -> Answer:
        """Return what is sent instead of an answer that cannot be sent: 500."""
        message, extra = "the answer of a handler cannot be sent: %s%s", of_port(self._info.port)
        app_logger.error(message, error, _named(self._known_id), extra=extra)
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
        access = self._application.access
        if access is not None and (
            access.put is not None or access.logger.isEnabledFor(logging.INFO)
        ):
            plan, request, head = self.plan, self._request, self._head
            if plan.subject is None:
                plan.subject = access.subject(self._info, head)
            known_id = plan.request_id if request is None else request.known_id
            access.log(plan.subject, head, status, sent, seconds, known_id)
        self._request = None


class GuardedExchange(Exchange):
    """One request to a path that has filters, and its answer.

    They run where handlers do, for they may block. Before a body, that is a run of its own: the
    body is taken, or refused, when they have decided.
    """

    __slots__ = ("_refused", "guard")

    def __init__(
        self,
        application: Application,
        head: Optional[RequestHead],
        info: ConnectionInfo,
        plan: Plan,
        body: Optional[Body] = None,
        inlet: Optional[Inlet] = None,
    ) -> None:
        super().__init__(application, head, info, plan, body, inlet)
        self.refused = False  # as long as the filters have not seen it
        self.guard: Optional[Pace] = plan.guards[0].pace
        self._refused: Optional[Answer] = None

    @property
    def refusal(self) -> Optional[Answer]:
        """The answer that is decided, once the filters have seen the request."""
        return self._refused

    def admit(self) -> None:
        """Show the request to its filters; the first that has an answer decides."""
        self.guard = None
        for one in self.plan.guards:
            self._refused = self._show(one)
            if self._refused is not None:
                break
        else:
            self._refused = super().refusal
        self.refused = self._refused is not None

    def _show(self, one: Filter) -> Optional[Answer]:
        """Return what a filter answers; None: the request may go on."""
        if self._head is None:
            return None
        site = self._application.site
        request = self._request = Request(self._head, self._info, site, None, None)
        if self.plan.request_id:
            request.known_id = self.plan.request_id
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
            return self._dress(response.answer(self._head, site.compress_from))
        except (OSError, ValueError, UnsendableError) as unreadable:
            return self._unreadable(request, unreadable)

    def respond(self, channel: Channel) -> Union[Answer, Later, Upgrade, TakeBody, None]:
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
