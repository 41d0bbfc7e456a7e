"""Who may come in: hosts, origins, the token, and https for those who should use it.

A server on a desk is reached by more than its user: every page that a browser shows can send
requests to it. So a request has to name a host that this server goes by (a foreign name that leads
here is how DNS rebinding reads answers), and what calls functions or opens WebSockets has to come
from a page of this server, or of an origin that is listed.

All of it is decided from a head and its connection, before a byte of a body is read, and is kept
with the head. Nothing here sends or logs: ``judge`` returns what is to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ..errors import DisallowedHost, OperationFailed, ProtocolError
from ..exchange import ConnectionInfo
from ..protocol.headers import quality_values
from ..protocol.http1 import RequestHead
from ..protocol.paths import split_authority
from ..protocol.response import Line
from ..protocol.target import check_authority
from .extra import Extra
from .hostnames import canonical_host, is_address, machine_names, parse_hosts
from .origins import DEFAULT_PORTS, Cors, Grant, Origin, parse_origin
from .request import host_of, is_loopback

if TYPE_CHECKING:
    from ..protocol.forwarded import TrustedProxies

_TOKEN_PARAMETER = "access_token"

#: What an address begins with that is none of a network.
_UNIX = ("unix:", "/", "@", "\0")


class Place(Enum):
    """What a request is for."""

    API = "api"
    UPGRADE = "upgrade"
    HANDLER = "handler"
    OTHER = "other"


#: Where pages of other origins have no business, unless they are listed.
_GUARDED = (Place.API, Place.UPGRADE)


class Bind(Enum):
    """From where a port can be reached."""

    LOOPBACK = "loopback"
    NETWORK = "network"
    #: By those alone who may open a socket file, or through another server, which has the names.
    HIDDEN = "hidden"


class Refusal(NamedTuple):
    """An answer that is decided without a handler.

    Attributes:
        status: Its status.
        message: What the client is told; empty: nothing.
        fields: Its fields.
        note: What is logged; empty: nothing.
    """

    status: int
    message: str = ""
    fields: tuple[Line, ...] = ()
    note: str = ""


class Verdict(NamedTuple):
    """What is decided about a request.

    Attributes:
        refusal: How it is answered at once; None: it may go on.
        extra: What is added to its answer; None: nothing.
    """

    refusal: Optional[Refusal] = None
    extra: Optional[Extra] = None


class Access:
    """Who may come in by one port.

    Args:
        values: Its settings.
        host_name: Returns what the system calls this machine; asked once, when it is needed.

    Raises:
        OperationFailed: a setting cannot be.
    """

    def __init__(self, values: Mapping[str, Any], host_name: Callable[[], str]) -> None:
        # An empty list is what a new Django project has, and means what None means.
        self._hosts = parse_hosts("ALLOWED_HOSTS", values["ALLOWED_HOSTS"] or ())
        self._address: str = values["ADDRESS"].lower()
        self._host_name = host_name
        self._machine_names: Optional[frozenset[str]] = None
        self._proxies = _trusted_proxies(values["TRUSTED_PROXIES"])
        self._believes_host: bool = values["USE_X_FORWARDED_HOST"]
        self._token = _token_bytes(values["ACCESS_TOKEN"])
        self._cors = Cors(values)
        self._redirects: bool = values["SSL_REDIRECT"]
        self._redirect_host = _redirect_host(values["SSL_REDIRECT_HOST"])
        self._exempt = parse_hosts("SSL_REDIRECT_EXEMPT", values["SSL_REDIRECT_EXEMPT"])
        self._hsts = _hsts(values)
        self._secure = Extra(self._hsts) if self._hsts else None
        # What pages of this site get, which differs little.
        self._extras: dict[tuple[object, ...], Extra] = {}

    def effective(self, head: RequestHead, info: ConnectionInfo) -> ConnectionInfo:
        """Return what is believed of a connection: what a trusted proxy says, else what is seen.

        Args:
            head: The head of a request.
            info: The connection.
        """
        if self._proxies is None:
            return info
        from ..protocol.forwarded import believe

        said = believe(head.fields.combined, info.peer, self._proxies)
        if said is None:
            return info
        return info._replace(
            peer=said.client,
            secure=info.secure if said.secure is None else said.secure,
            host=said.host if self._believes_host else None,
        )

    def added(self, info: ConnectionInfo) -> Optional[Extra]:
        """Return what is added to every answer on a connection."""
        return self._secure if info.secure else None

    def judge(self, head: RequestHead, info: ConnectionInfo, place: Place) -> Verdict:
        """Decide about a request.

        Args:
            head: Its head.
            info: What is believed of its connection.
            place: What it is for.
        """
        bind = _bind_of(info)
        host = _read_host(host_of(head, info), info.secure)
        refusal = self._check_host(host, bind)
        if refusal is not None:
            return Verdict(refusal, self.added(info))
        if self._redirects and not info.secure and not host.among(self._exempt):
            refusal = self._redirect(head, host, place)
            return Verdict(refusal, Extra(vary=("Upgrade-Insecure-Requests",)))
        caller = self._caller(head, bind, place)
        extra = self._extra(head, info, bind, place, caller)
        if caller is not None and _is_preflight(head, place) and caller.grant is not Grant.NOTHING:
            private = head.fields.get("access-control-request-private-network") == "true"
            fields = self._cors.preflight(caller.grant, caller.sent, private)
            return Verdict(Refusal(204, "", fields), extra)
        if (
            caller is not None
            and place in _GUARDED
            and not self._may_call(head, host, bind, caller)
        ):
            return Verdict(_wrong_origin(caller, place), extra)
        return Verdict(self._check_token(head, place), extra)

    # --- the host ---

    def _check_host(self, host: _Host, bind: Bind) -> Optional[Refusal]:
        if self._hosts:
            allowed = host.among(self._hosts)
        elif bind is Bind.HIDDEN:
            allowed = True
        else:
            allowed = is_loopback(host.name) or (bind is Bind.NETWORK and self._is_ours(host.name))
        if allowed:
            return None
        # Its status and its message are those that a handler would see raised.
        error = DisallowedHost(f"This server does not answer for the host {host.text}.")
        note = (
            f"the host {host.text} is not one of ALLOWED_HOSTS, which lists those that this server "
            "goes by (unset: this machine's); ['*'] opens it to all"
        )
        return Refusal(error.status, error.message, (), note)

    def _is_ours(self, name: str) -> bool:
        """Say whether a name means this machine in its network: no foreign name can."""
        if is_address(name) or name == self._address:
            return True
        names = self._machine_names
        if names is None:
            names = self._machine_names = machine_names(self._host_name())
        return name in names

    # --- https ---

    def _redirect(self, head: RequestHead, host: _Host, place: Place) -> Refusal:
        """Send a browser to https, and refuse all else: what it sent was not safe on its way."""
        wants = head.fields.get("upgrade-insecure-requests") == "1"
        if head.method not in ("GET", "HEAD") or not wants or place is Place.UPGRADE:
            note = "a request over plain http, which SSL_REDIRECT refuses unless a browser makes it"
            return Refusal(403, "This server is reached by https.", (), note)
        query = f"?{head.query}" if head.query else ""
        location = f"https://{self._redirect_host or host.bare}{head.path}{query}"
        # Not for good (301): a browser would not come back when the setting is taken back.
        return Refusal(307, "", (("Location", location),))

    # --- origins ---

    def _caller(self, head: RequestHead, bind: Bind, place: Place) -> Optional[_Caller]:
        """Return whose page makes a request; None: the client does not say, so it is no page."""
        sent = head.fields.get("origin")
        if sent is None:
            return None
        origin = parse_origin(sent)
        if self._cors.configured:
            return _Caller(sent, origin, self._cors.grant(origin))
        local = (
            bind is Bind.LOOPBACK
            and place is Place.HANDLER
            and origin is not None
            and origin.scheme in DEFAULT_PORTS
            and is_loopback(origin.host)
        )
        return _Caller(sent, origin, Grant.LOCAL if local else Grant.NOTHING)

    def _extra(
        self,
        head: RequestHead,
        info: ConnectionInfo,
        bind: Bind,
        place: Place,
        caller: Optional[_Caller],
    ) -> Optional[Extra]:
        """Return what is added to the answer."""
        lines = self._hsts if info.secure else ()
        always: tuple[Line, ...] = ()
        if self._token and _tokens(head.query):
            always = (("Referrer-Policy", "no-referrer"),)
        local = bind is Bind.LOOPBACK and place is Place.HANDLER
        depends = not self._cors.closed if self._cors.configured else local
        vary = ("Origin",) if depends or place in _GUARDED else ()
        if caller is not None:
            return Extra(lines, self._cors.fields(caller.grant, caller.sent), vary, always=always)
        if not (lines or vary or always):
            return None
        # Unless CORS is set up, pages of other origins are rare, and most answers are never kept.
        key = lines, vary, always
        extra = self._extras.get(key)
        if extra is None:
            extra = self._extras[key] = Extra(lines, (), vary, self._cors.closed, always)
        return extra

    def _may_call(self, head: RequestHead, host: _Host, bind: Bind, caller: _Caller) -> bool:
        """Say whether pages of an origin may call functions and open WebSockets."""
        if caller.origin is None:
            return False
        if caller.grant is Grant.ANY and "cookie" not in head.fields.combined:
            return True  # Whom nobody named comes without what only the user's browser has.
        return caller.grant is Grant.LISTED or host.is_origin(caller.origin, bind)

    # --- the token ---

    def _check_token(self, head: RequestHead, place: Place) -> Optional[Refusal]:
        """Demand the token (RFC 6750 2.1 and 2.3)."""
        if self._token is None:
            return None
        from hmac import compare_digest

        scheme, _, value = (head.fields.get("authorization") or "").partition(" ")
        given: Optional[bytes] = None
        if scheme.lower() == "bearer":
            given = value.strip(" ").encode("latin-1")
        elif place is Place.UPGRADE or _is_page(head):
            values = _tokens(head.query)
            given = values[0] if len(values) == 1 else b"" if values else None
        if given is not None and compare_digest(given, self._token):
            return None
        challenge = 'Bearer realm="access"'  # RFC 6750 3: at least one parameter.
        if given is None:
            message, note = "This server wants an access token.", "a request without ACCESS_TOKEN"
        else:
            challenge += ', error="invalid_token"'
            message, note = "The access token is wrong.", "a request with a wrong ACCESS_TOKEN"
        return Refusal(401, message, (("WWW-Authenticate", challenge),), note)


class _Caller(NamedTuple):
    """Whose page makes a request.

    Attributes:
        sent: The Origin field.
        origin: What it says; None: ``null``, or nothing that is understood.
        grant: What CORS grants it.
    """

    sent: str
    origin: Optional[Origin]
    grant: Grant


class _Host(NamedTuple):
    """The host that a request is for.

    Attributes:
        text: As the client wrote it.
        name: In its canonical spelling, without the port.
        port: The port it named; None: none.
        usual: The port of a client that names none.
    """

    text: str
    name: str
    port: Optional[int]
    usual: int

    @property
    def bare(self) -> str:
        """As the client wrote it, without the port."""
        return split_authority(self.text)[0]

    def among(self, patterns: tuple[Any, ...]) -> bool:
        """Say whether a list of hosts has it."""
        port = self.usual if self.port is None else self.port
        return any(one.matches(self.name, port) for one in patterns)

    def is_origin(self, origin: Origin, bind: Bind) -> bool:
        """Say whether a page comes from this host.

        The scheme may be another: a proxy may have had the connection encrypted.
        """
        usual = DEFAULT_PORTS.get(origin.scheme)
        if usual is None or origin.port != (usual if self.port is None else self.port):
            return False
        if origin.host == self.name:
            return True
        return bind is Bind.LOOPBACK and is_loopback(origin.host) and is_loopback(self.name)


@lru_cache(maxsize=256)  # Clients ask for few hosts, each of them again and again.
def _read_host(text: str, secure: bool) -> _Host:
    name, port = split_authority(text)
    try:
        name = canonical_host(name)
    except ValueError:
        pass  # An address with a zone, of a connection that named no host.
    return _Host(text, name, port, 443 if secure else 80)


def _bind_of(info: ConnectionInfo) -> Bind:
    address = info.port.host
    if info.descriptor < 0 or address.startswith(_UNIX):
        return Bind.HIDDEN
    return Bind.LOOPBACK if is_loopback(address) else Bind.NETWORK


def _is_preflight(head: RequestHead, place: Place) -> bool:
    """Say whether a browser asks what a page may, before it sends the page's request."""
    asks = "access-control-request-method" in head.fields.combined
    return asks and head.method == "OPTIONS" and place is not Place.UPGRADE


def _wrong_origin(caller: _Caller, place: Place) -> Refusal:
    shown = ascii(caller.sent[:200])
    what = "call /api" if place is Place.API else "open WebSockets"
    note = (
        f"the origin {shown} may not {what} here: CORS_ALLOWED_ORIGINS lists those that may, "
        "beside this server's own"
    )
    message = "Pages of this origin may not call this server."
    return Refusal(403, message, (), note)


def _is_page(head: RequestHead) -> bool:
    """Say whether a browser asks for a page to show."""
    if head.method not in ("GET", "HEAD"):
        return False
    return quality_values(head.fields.get("accept") or "").get("text/html", 0.0) > 0


def _tokens(query: str) -> list[bytes]:
    """Return the tokens in a query; a plus sign is one, since no token has a space."""
    if _TOKEN_PARAMETER not in query:
        return []
    from urllib.parse import unquote_to_bytes

    pairs = (part.partition("=") for part in query.split("&"))
    return [unquote_to_bytes(value) for name, _, value in pairs if name == _TOKEN_PARAMETER]


def _trusted_proxies(entries: Sequence[Any]) -> Optional[TrustedProxies]:
    if not entries:
        return None
    from ..protocol.forwarded import TrustedProxies

    return TrustedProxies(entries)


def _token_bytes(token: Optional[str]) -> Optional[bytes]:
    """Return the token; what is wrong with it is said without naming it."""
    if token is None:
        return None
    if not token:
        raise OperationFailed("ACCESS_TOKEN is empty: leave it unset if no token is wanted")
    if not all("!" <= character <= "~" for character in token):
        raise OperationFailed(
            "ACCESS_TOKEN holds a space or a character that is not ASCII, which clients cannot send"
        )
    return token.encode("ascii")


def _redirect_host(text: str) -> str:
    try:
        return check_authority(text) if text else ""
    except ProtocolError as error:
        raise OperationFailed(
            f"SSL_REDIRECT_HOST is {text!r}, but must be a host with an optional port"
        ) from error


def _hsts(values: Mapping[str, Any]) -> tuple[Line, ...]:
    """Return the field that keeps browsers at https (RFC 6797 6.1)."""
    seconds = values["SECURE_HSTS_SECONDS"]
    if not seconds:
        return ()
    value = f"max-age={seconds}"
    if values["SECURE_HSTS_INCLUDE_SUBDOMAINS"]:
        value += "; includeSubDomains"
    if values["SECURE_HSTS_PRELOAD"]:
        value += "; preload"
    return (("Strict-Transport-Security", value),)
