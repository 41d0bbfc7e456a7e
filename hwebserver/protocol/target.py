"""The request target: its four forms, the host it is for, its path and its query.

RFC 9112 3.2 knows origin-form (``/path?query``), absolute-form (``http://host/path``),
authority-form (``host:port``, for CONNECT alone) and asterisk-form (``*``, for OPTIONS alone).
A path is percent-decoded once, segment by segment, so that an encoded slash never becomes a
separator; it is not normalised.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Optional
from urllib.parse import parse_qsl, unquote

from ..errors import HTTPError, ProtocolError
from . import grammar


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


def split_authority(text: str) -> tuple[str, Optional[int]]:
    """Return the host (an IPv6 address in its brackets) and the port, None where there is none."""
    host, colon, digits = text.rpartition(":")
    if not colon or text[-1] == "]":
        return text, None
    return host, int(digits) if digits else None


def _check_ipv6(text: str) -> None:
    from ipaddress import AddressValueError, IPv6Address

    try:
        IPv6Address(text)
    except AddressValueError as error:
        raise ProtocolError(400, "The Host field holds no valid IPv6 address.") from error


def decode(text: str) -> str:
    """Percent-decode a text once, as UTF-8; bytes that are none become U+FFFD."""
    return unquote(text, "utf-8", "replace") if "%" in text else text


def split_path(path: str) -> list[str]:
    """Return the decoded segments of an undecoded path; slashes at its end change nothing."""
    trimmed = path.rstrip("/")
    if not trimmed:
        return []
    segments = trimmed[1:].split("/")
    return [decode(segment) for segment in segments] if "%" in trimmed else segments


def parse_form(text: str, max_fields: int) -> list[tuple[str, str]]:
    """Return the names and values of a query or an url-encoded form, in order, decoded once.

    Only ``&`` separates (WHATWG URL 5.1).

    Raises:
        HTTPError: 400 for more than ``max_fields`` of them.
    """
    try:
        return parse_qsl(
            text,
            keep_blank_values=True,
            encoding="utf-8",
            errors="replace",
            max_num_fields=max_fields,
            separator="&",
        )
    except ValueError as error:
        raise HTTPError(400, f"The form has more than {max_fields} fields.") from error
