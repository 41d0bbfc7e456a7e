"""The exceptions of the package, in one tree.

    WebServerError
    ├── OperationFailed        the server cannot do what it was told to (start, register, configure)
    │   └── MainThreadError    the main thread of the host has not called what it was to: 503
    ├── UnsendableError        a handler returned what JSON cannot hold: 500 and what it is
    ├── APIError               an API function refuses its arguments: 422 and the message
    └── HTTPError              a request that is answered with an error status
        ├── ProtocolError      the bytes are no valid HTTP message; the connection closes
        ├── IncompleteRequest  the client left or stalled before its request was whole
        └── DisallowedHost     the request names a host that is not served here

Every error that a client can cause carries the status it is answered with, so that no layer above
has to guess one.
"""

from __future__ import annotations

from typing import Any


class WebServerError(Exception):
    """The base of every exception that this package raises on its own account."""


class OperationFailed(WebServerError):
    """The server could not be started, configured or changed as asked; the message says why."""


class MainThreadError(OperationFailed):
    """The main thread has not called what it was to call, and will not; the message says why."""


class APIError(WebServerError):
    """Raised by an API function to answer 422 with a message.

    Args:
        message: A text, or any data that JSON can hold; sent as ``{"error": message}``.
    """

    status_code = 422

    def __init__(self, message: Any = "") -> None:
        super().__init__(message)
        self.message = message


class UnsendableError(WebServerError, TypeError):
    """A handler returned what JSON cannot hold; the message names it and where it stands."""


class HTTPError(WebServerError):
    """A request that is answered with an error status.

    Args:
        status: The HTTP status code of the answer.
        message: One sentence for the client and the log.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ProtocolError(HTTPError):
    """Bytes that are not a valid HTTP/1.1 message, or over a limit; the connection cannot go on."""


class IncompleteRequest(HTTPError):
    """A request of which a part never came: the client has left (400) or is too slow (408)."""


class DisallowedHost(HTTPError):
    """A request for a host that this server does not answer for (400)."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)
