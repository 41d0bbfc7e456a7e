"""The request as a handler sees it. Everything is worked out when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Optional

from ..errors import HTTPError, OperationFailed
from ..exchange import Answer, CallInMainThread, Channel, ConnectionInfo
from ..protocol.headers import Fields, media_type
from ..protocol.paths import decode, parse_form, split_authority
from .requestid import make_id, with_id
from .response import Response
from .uploads import Body, BodyBuffer, FormUpload, UploadedFile

if TYPE_CHECKING:
    from ..protocol.formlimits import FormLimits
    from ..protocol.http1 import RequestHead


class Site:
    """What every request of a server shares.

    Attributes:
        debug: Whether the server runs in debug mode.
        shutdown: Asks the server to stop.
        max_form_fields: Most fields of a query or an url-encoded form.
        in_memory: Bytes of a body, or of a file in a form, kept in memory.
        form_limits: What a form with files may cost.
        compress_from: Bytes of a body from which it is compressed; None: never.
        max_json_size: Bytes of the largest body that is read as JSON.
        max_archive_file_size: Bytes of the largest file that is served from an archive.
        call_in_main_thread: Has a function called on the host's main thread.
        all_on_main_thread: Whether all plain handlers are called there.
        secrets: What no page shows.
        since: When the server was started.
    """

    __slots__ = (
        "all_on_main_thread",
        "call_in_main_thread",
        "compress_from",
        "debug",
        "form_limits",
        "in_memory",
        "max_archive_file_size",
        "max_form_fields",
        "max_json_size",
        "secrets",
        "shutdown",
        "since",
    )

    def __init__(
        self,
        debug: bool,
        shutdown: Callable[[], None],
        max_form_fields: int,
        in_memory: int,
        form_limits: FormLimits,
        compress_from: Optional[int],
        max_json_size: int,
        max_archive_file_size: int,
        call_in_main_thread: CallInMainThread,
        all_on_main_thread: bool,
        secrets: tuple[str, ...],
        since: float,
    ) -> None:
        self.debug = debug
        self.shutdown = shutdown
        self.max_form_fields = max_form_fields
        self.in_memory = in_memory
        self.form_limits = form_limits
        self.compress_from = compress_from
        self.max_json_size = max_json_size
        self.max_archive_file_size = max_archive_file_size
        self.call_in_main_thread = call_in_main_thread
        self.all_on_main_thread = all_on_main_thread
        self.secrets = secrets
        self.since = since


class HeaderDict(dict[str, str]):
    """Header fields by their names as sent; looking one up ignores case."""

    def __init__(self, fields: Fields) -> None:
        super().__init__((name, fields.combined[name.lower()]) for name, _ in fields)
        self._combined = fields.combined

    def __getitem__(self, name: str) -> str:
        return self._combined[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._combined

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a field, or the default."""
        return self._combined.get(name.lower(), default)


class Request:
    """A request.

    Handlers get one; they do not make any. Where a name repeats, the plain methods give the last
    value and those that end in ``List`` all of them.

    These attributes are for the package.

    Attributes:
        known_id: The id, as far as it has one; ``requestId`` is what handlers ask.
        channel: The connection, as long as a response can be sent by hand.
        sent: The response that was given to ``send``.
        started: Whether a response is being sent by hand.
    """

    __slots__ = (
        "_body",
        "_forms",
        "_head",
        "_headers",
        "_info",
        "_parameters",
        "_site",
        "channel",
        "known_id",
        "sent",
        "started",
    )

    def __init__(
        self,
        head: RequestHead,
        info: ConnectionInfo,
        site: Site,
        body: Optional[Body],
        channel: Optional[Channel],
    ) -> None:
        self._head = head
        self._info = info
        self._site = site
        self._body = body
        self.channel = channel
        self._parameters: Mapping[str, Any] = {}
        self._headers: Optional[HeaderDict] = None
        self._forms: Optional[dict[str, Mapping[str, list[str]]]] = None
        self.sent: Optional[Response] = None
        self.started = False
        self.known_id = ""

    # --- the request line ---

    def method(self) -> str:
        """Return the method, as sent."""
        return self._head.method

    def path(self) -> str:
        """Return the path, percent-decoded once and not normalised."""
        return decode(self._head.path)

    def pathParameters(self) -> dict[str, Any]:
        """Return the values of the path template that matched."""
        return dict(self._parameters)

    def queryString(self) -> str:
        """Return the query as sent, without the question mark."""
        return self._head.query

    def pathWithQueryString(self) -> str:
        """Return the path and the query as sent."""
        head = self._head
        return f"{head.path}?{head.query}" if head.query else head.path

    def absoluteURI(self, location: Optional[str] = None) -> str:
        """Return this request's URI, or that of a location relative to it.

        Args:
            location: A path, a relative reference or a whole URI; None: this request.
        """
        from urllib.parse import quote, urljoin

        base = f"{self.scheme()}://{self.host()}"
        if location is None:
            return base + quote(self.pathWithQueryString(), safe="/:?#[]@!$&'()*+,;=%~|^{}")
        if location.startswith("/"):
            return base + location  # //host/path too is a path of this server
        return urljoin(base + self._head.path, location)

    def protocol(self) -> str:
        """Return the protocol, ``HTTP/1.1`` or ``HTTP/1.0``."""
        return f"HTTP/1.{self._head.minor}"

    def requestId(self) -> str:
        """Return the id of the request, by which it is found in the logs.

        That is what its ``X-Request-ID`` says, if it has one of 1 to 128 visible ASCII characters
        without quotes and separators; else one is made. The answer carries it in the field of that
        name, unless its head was sent before this is called.
        """
        if not self.known_id:
            self.known_id = make_id()
        return self.known_id

    # --- where it came from, and to whom ---

    def isSecure(self) -> bool:
        """Return whether the connection is encrypted."""
        return self._info.secure

    def scheme(self) -> str:
        """Return ``https`` or ``http``."""
        return "https" if self.isSecure() else "http"

    def host(self) -> str:
        """Return the host that the client asked for, with the port if it named one."""
        return host_of(self._head, self._info)

    def port(self) -> int:
        """Return the number of the port that the request came to."""
        return self._info.port.number

    def portName(self) -> str:
        """Return the name of the port that the request came to, ``main`` for the main port."""
        return self._info.port.name

    def clientAddress(self) -> tuple[str, int]:
        """Return the address and the port of the client; of one by a Unix socket, ("", 0)."""
        return self._info.peer

    def serverAddress(self) -> tuple[str, int]:
        """Return the address and the port that the client connected to.

        For a Unix socket that is ("unix:/path", 0).
        """
        return self._info.local

    def clientCertificate(self) -> Optional[dict[str, Any]]:
        """Return the certificate that the client has shown; None: none was asked for, or shown.

        It is as ``ssl.SSLSocket.getpeercert`` has it, and was checked against SSL_CLIENT_CA.
        """
        certificate = self._info.certificate
        return None if certificate is None else dict(certificate)

    def socketFD(self) -> int:
        """Return the descriptor of the connection. The server goes on using it."""
        return self._info.descriptor

    # --- header fields ---

    def headers(self) -> HeaderDict:
        """Return the header fields, named as sent; looking one up ignores case."""
        if self._headers is None:
            self._headers = HeaderDict(self._head.fields)
        return self._headers

    def cookies(self) -> dict[str, str]:
        """Return the cookies."""
        from ..protocol.cookies import parse_cookies

        return parse_cookies(self._head.fields.get("cookie") or "")

    def contentType(self) -> str:
        """Return the Content-Type, empty if there is none."""
        return self._head.fields.get("content-type") or ""

    def contentLength(self) -> int:
        """Return the number of bytes of the body; that of a chunked one is counted."""
        length = self._head.content_length
        if length is not None:
            return length
        return 0 if self._body is None else self._body.size

    # --- query, form and body ---

    def body(self) -> bytes:
        """Return the body, read back from its file if it was too large for memory.

        Raises:
            OperationFailed: it is a form with files, which was taken apart as it came.
        """
        return b"" if self._body is None else self._plain_body(self._body).read()

    def bodyFile(self) -> IO[bytes]:
        """Return the body as an open file, at its beginning; for one that is too large for memory.

        Raises:
            OperationFailed: it is a form with files, which was taken apart as it came.
        """
        return BytesIO() if self._body is None else self._plain_body(self._body).open()

    def _plain_body(self, body: Body) -> BodyBuffer:
        if isinstance(body, FormUpload):
            raise OperationFailed(
                "a form with files is taken apart as it arrives, so there is no body left of it: "
                "POST(), POSTList(name), files() and filesList(name) have what was in it"
            )
        return body

    def json(self) -> Any:
        """Return what the body says in JSON.

        Raises:
            HTTPError: 400, it is no JSON; 413, it is too large to be read into memory.
        """
        from .jsontext import parse_json

        if isinstance(self._body, FormUpload):
            raise HTTPError(400, "The body is not JSON: it is a form with files.")
        self.check_size(self._site.max_json_size, "JSON")
        try:
            return parse_json(self.body())
        except ValueError as error:
            raise HTTPError(400, f"The body is not JSON: {error}") from error

    def GET(self) -> dict[str, str]:
        """Return the fields of the query."""
        return {name: values[-1] for name, values in self._form("GET").items()}

    def GETList(self, name: str) -> list[str]:
        """Return all values that the query has for a name."""
        return list(self._form("GET").get(name, ()))

    def POST(self) -> dict[str, str]:
        """Return the fields of the form in the body, its files left out; empty for another body."""
        return {name: values[-1] for name, values in self._form("POST").items()}

    def POSTList(self, name: str) -> list[str]:
        """Return all values that the form in the body has for a name."""
        return list(self._form("POST").get(name, ()))

    def files(self) -> dict[str, UploadedFile]:
        """Return the files of the form in the body, by the names of their form fields."""
        return dict(self._body.files) if isinstance(self._body, FormUpload) else {}

    def filesList(self, name: str) -> list[UploadedFile]:
        """Return all files that the form in the body has for a name."""
        files = self._body.files if isinstance(self._body, FormUpload) else []
        return [file for own, file in files if own == name]

    def _form(self, which: str) -> Mapping[str, list[str]]:
        if self._forms is None:
            self._forms = {}
        form = self._forms.get(which)
        if form is None:
            form = {}
            pairs = self._parse(self._head.query) if which == "GET" else self._posted()
            for name, value in pairs:
                form.setdefault(name, []).append(value)
            self._forms[which] = form
        return form

    def _parse(self, text: str) -> list[tuple[str, str]]:
        return parse_form(text, self._site.max_form_fields)

    def _posted(self) -> list[tuple[str, str]]:
        """Return the fields of the form in the body."""
        if isinstance(self._body, FormUpload):
            return self._body.fields
        return self._parse(self._form_text())

    def _form_text(self) -> str:
        kind, _ = media_type(self.contentType())
        # RFC 9110 8.3: a body without a type may be examined; simple clients send forms so.
        if kind not in ("application/x-www-form-urlencoded", ""):
            return ""
        self.check_size(self._site.form_limits.fields, "a form")
        return self.body().decode("utf-8", "replace")

    # --- the server ---

    def isInDebugMode(self) -> bool:
        """Return whether the server runs in debug mode."""
        return self._site.debug

    def requestServerShutdown(self) -> None:
        """Ask the server to stop; this request is still answered."""
        self._site.shutdown()

    # --- a response that is sent by hand ---

    def send(self, response: Response) -> None:
        """Answer with a response; what the handler returns is not looked at then.

        Args:
            response: The response.

        Raises:
            RuntimeError: a response is under way already.
            TypeError: it is none.
        """
        if self.started or self.sent is not None:
            raise RuntimeError("the request has been answered already")
        if not isinstance(response, Response):
            raise TypeError(f"send takes a Response, not {type(response).__name__}")
        self.sent = response

    def sendHeaders(self, response: Response) -> None:
        """Send the head of a response now; its body follows by ``sendBody``.

        Without a Content-Length the body goes in chunks.

        Args:
            response: The status and the header fields; its body is not sent.

        Raises:
            RuntimeError: a response is under way already.
            ConnectionError: the client has left.
        """
        self.start(response.head_answer())

    def sendBody(self, data: Any) -> None:
        """Send a piece of the body; blocks while the client does not take it.

        Args:
            data: Text or bytes.

        Raises:
            RuntimeError: no head was sent.
            ValueError: it is more than the Content-Length said.
            ConnectionError: the client has left.
        """
        if not self.started:
            raise RuntimeError("the body of a response follows its head: call sendHeaders first")
        if self.channel is None:
            raise RuntimeError("the handler has returned: its response is complete")
        self.channel.write(data.encode("utf-8") if isinstance(data, str) else bytes(data))

    # --- for the package ---

    @property
    def head(self) -> RequestHead:
        """The head of the request."""
        return self._head

    def check_size(self, most: int, what: str) -> None:
        """Refuse to read a body into memory that is too large for it.

        Args:
            most: Bytes that may be read.
            what: What the body is read as.

        Raises:
            HTTPError: 413.
        """
        if self._body is not None and self._body.size > most:
            raise HTTPError(413, f"A body that is {what} is at most {most} bytes.")

    @property
    def site(self) -> Site:
        """What all requests of the server share."""
        return self._site

    def start(self, answer: Answer) -> None:
        """Send a head now, as ``sendHeaders`` does.

        Raises:
            RuntimeError: a response is under way already.
            ConnectionError: the client has left.
            ValueError: it cannot be sent, and nothing of it was.
        """
        if self.channel is None or self.started or self.sent is not None:
            raise RuntimeError("the request has been answered already")
        self.started = True
        plan = self._head.memo
        if plan is not None and plan.extra is not None:
            answer = plan.extra.dress(answer)
        try:
            self.channel.start(with_id(answer, self.known_id))
        except ValueError:
            self.started = False  # Nothing of it was sent.
            raise

    def bind(self, parameters: Mapping[str, Any]) -> None:
        """Take the values of the path template that matched."""
        self._parameters = parameters

    @property
    def port_keys(self) -> frozenset[str]:
        """The names that registrations may mean the request's port by."""
        return self._info.port.keys

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine's user sees the answer.

        The peer is loopback or a Unix socket, the host is loopback, and no proxy stands between (a
        field that says so may be forged, but only to see less).
        """
        fields = self._head.fields.combined
        if any(name == "forwarded" or name.startswith("x-forwarded-") for name in fields):
            return False
        name = split_authority(self.host())[0]
        peer = self._info.peer[0]
        # Another server's client without an address (``wsgiApp``) may be anybody.
        near = is_loopback(peer) if peer else self._info.local[0].startswith("unix:")
        return near and is_loopback(name)


def host_of(head: RequestHead, info: ConnectionInfo) -> str:
    """Return the host that a request is for, with the port if it names one.

    One that names none is for the address that it came to.
    """
    named = info.host or head.authority
    if named is not None:
        return named
    address, number = info.local
    if not number:
        return "localhost"  # It came by a Unix socket.
    return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Say whether a host name or an address means this machine alone (RFC 6761 6.3)."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or name == "::1":
        return True
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() for part in parts)
