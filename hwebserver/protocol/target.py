"""The request target: its four forms, and the host it is for.

RFC 9112 3.2 knows origin-form (``/path?query``), absolute-form (``http://host/path``),
authority-form (``host:port``, for CONNECT alone) and asterisk-form (``*``, for OPTIONS alone).
``paths`` takes further apart what is found to be one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Optional

from ..errors import ProtocolError
from . import grammar
from .paths import split_authority


class Target(NamedTuple):
    """A request target, taken apart but not decoded.

    ``scheme`` and ``authority`` are None unless the target was in absolute-form.
    """

    path: str
    query: str
    scheme: Optional[str] = None
    authority: Optional[str] = None


def parse_target(method: str, text: str) -> Target:
    """Take a request target apart (RFC 9112 3.2).

    Raises:
        ProtocolError: 400 for a form that the method cannot have, 501 for CONNECT.
    """
    if method == "CONNECT":
        raise ProtocolError(501, "This server is not a proxy: it opens no tunnel for CONNECT.")
    if text[0] == "/":
        path, _, query = text.partition("?")
        return Target(path, query)
    if text == "*" and method == "OPTIONS":
        return Target("*", "")
    absolute = grammar.ABSOLUTE_FORM.match(text)
    if absolute is None:
        raise ProtocolError(400, "The request target is neither a path nor an http URI.")
    scheme, authority, path, query = absolute.groups()
    # RFC 9110 4.2.4: user information in an http URI is an error; the grammar of a host says so.
    return Target(path or "/", query or "", scheme.lower(), check_authority(authority))


@lru_cache(maxsize=256)  # Clients ask for few hosts, each of them again and again.
def check_authority(text: str) -> str:
    """Return a host with an optional port as it came, if it is one (RFC 9110 7.2, RFC 3986 3.2).

    Raises:
        ProtocolError: 400 for one that is empty, a list, has user information, a path or a port
            that cannot be.
    """
    if grammar.AUTHORITY.match(text) is None:
        raise ProtocolError(400, "The Host field is not a host with an optional port.")
    host, port = split_authority(text)
    if host[0] == "[":
        _check_ipv6(host[1:-1])
    if port is not None and port > 65535:
        raise ProtocolError(400, "The port in the Host field is above 65535.")
    return text


def _check_ipv6(text: str) -> None:
    from ipaddress import AddressValueError, IPv6Address

    try:
        IPv6Address(text)
    except AddressValueError as error:
        raise ProtocolError(400, "The Host field holds no valid IPv6 address.") from error
