"""Origins: whose pages may call, and what they may read (RFC 6454, and CORS of the Fetch standard).

A browser says of a request that a script or a form makes which page has made it: the origin, which
is a scheme, a host and a port. It asks beforehand (the preflight) when the request is none that a
form could make, and lets the script read an answer of another origin only when the answer says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Optional

from ..errors import OperationFailed, ProtocolError
from ..protocol.paths import split_authority
from ..protocol.response import Line
from ..protocol.target import check_authority
from ..protocol.tokens import TOKEN
from .hostnames import canonical_host

#: The ports that are not written. Only pages of these schemes come from a host.
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,63})://([^/]{1,300})\Z")

#: The settings that say who may; any of them replaces the default.
_WHO = (
    "CORS_ALLOWED_ORIGINS",
    "CORS_ORIGIN_WHITELIST",
    "CORS_ALLOWED_ORIGIN_REGEXES",
    "CORS_ALLOW_ALL_ORIGINS",
)


class Origin(NamedTuple):
    """Where a page comes from.

    Attributes:
        scheme: In lower case.
        host: As ``canonical_host`` returns it.
        port: The port, that of the scheme when none is named; None: the scheme has none.
    """

    scheme: str
    host: str
    port: Optional[int]

    @property
    def text(self) -> str:
        """The origin as browsers write it."""
        usual = self.port is None or self.port == DEFAULT_PORTS.get(self.scheme)
        return f"{self.scheme}://{self.host}" + ("" if usual else f":{self.port}")


def parse_origin(text: str) -> Optional[Origin]:
    """Read an origin (RFC 6454 7); None: it is none, or ``null``, or several."""
    match = _ORIGIN.match(text)
    if match is None or match[2][-1] == ":":
        return None
    try:
        host, port = split_authority(check_authority(match[2]))
    except ProtocolError:
        return None
    scheme = match[1].lower()
    return Origin(scheme, canonical_host(host), DEFAULT_PORTS.get(scheme) if port is None else port)


class Grant(Enum):
    """What the pages of an origin may."""

    NOTHING = 0
    LOCAL = 1  # it is on this machine, and nobody said anything: read answers of handlers
    ANY = 2  # every origin may call and read
    LISTED = 3  # this one may


class Cors:
    """What pages of other origins may, by the settings of a port.

    Args:
        values: The settings.

    Attributes:
        configured: Whether anybody said who may.
        closed: Whether nobody may then.

    Raises:
        OperationFailed: an origin is none, a regular expression is none, or a method or a field
            cannot be.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.configured = any(values[name] is not None for name in _WHO)
        self._origins = frozenset(_origins(values))
        self._patterns = tuple(_patterns(values))
        self._all = bool(values["CORS_ALLOW_ALL_ORIGINS"])
        self.closed = not (self._origins or self._patterns or self._all)
        self._credentials: bool = values["CORS_ALLOW_CREDENTIALS"]
        self._expose = _listed(values, "CORS_EXPOSE_HEADERS")
        self._methods = _listed(values, "CORS_ALLOW_METHODS")
        self._headers = _listed(values, "CORS_ALLOW_HEADERS")
        self._max_age: int = values["CORS_PREFLIGHT_MAX_AGE"]

    def grant(self, origin: Optional[Origin]) -> Grant:
        """Return what the settings grant an origin.

        Args:
            origin: The origin; None: it is ``null``, or none.
        """
        if origin is not None:
            text = origin.text
            if text in self._origins or any(one.fullmatch(text) for one in self._patterns):
                return Grant.LISTED
        return Grant.ANY if self._all else Grant.NOTHING

    def fields(self, grant: Grant, origin: str) -> tuple[Line, ...]:
        """Return the fields that let a page read an answer.

        Args:
            grant: What it may.
            origin: Its origin as sent.
        """
        lines = self._who(grant, origin)
        if lines and self._expose:
            lines += (("Access-Control-Expose-Headers", self._expose),)
        return lines

    def preflight(self, grant: Grant, origin: str, private: bool) -> tuple[Line, ...]:
        """Return the fields that answer whether a page may make a request.

        Args:
            grant: What it may.
            origin: Its origin as sent.
            private: Whether the browser asks if a page of the Internet may call into this network.
                Only an origin that is named may.
        """
        lines = list(self._who(grant, origin))
        for name, value in (("Methods", self._methods), ("Headers", self._headers)):
            if value:
                lines.append((f"Access-Control-Allow-{name}", value))
        if self._max_age:
            lines.append(("Access-Control-Max-Age", str(self._max_age)))
        if private and grant is Grant.LISTED:
            lines.append(("Access-Control-Allow-Private-Network", "true"))
        return tuple(lines)

    def _who(self, grant: Grant, origin: str) -> tuple[Line, ...]:
        """Return the fields that say who may read: ``*`` and credentials exclude each other."""
        if grant is Grant.NOTHING:
            return ()
        if grant is Grant.ANY:
            return (("Access-Control-Allow-Origin", "*"),)
        allowed = ("Access-Control-Allow-Origin", origin)
        if grant is Grant.LISTED and self._credentials:
            return (allowed, ("Access-Control-Allow-Credentials", "true"))
        return (allowed,)


def _origins(values: Mapping[str, Any]) -> list[str]:
    found = []
    for setting in ("CORS_ALLOWED_ORIGINS", "CORS_ORIGIN_WHITELIST"):
        for text in values[setting] or ():
            origin = parse_origin(text)
            if origin is None:
                hint = (
                    "CORS_ALLOW_ALL_ORIGINS lets all of them" if text == "*" else "it has no path"
                )
                raise OperationFailed(
                    f"{setting} holds {text!r}, which is no origin like https://example.com:8443 "
                    f"({hint})"
                )
            found.append(origin.text)
    return found


def _patterns(values: Mapping[str, Any]) -> list[re.Pattern[str]]:
    setting = "CORS_ALLOWED_ORIGIN_REGEXES"
    found = []
    for text in values[setting] or ():
        try:
            found.append(re.compile(text))
        except re.error as error:
            message = f"{setting} holds {text!r}, which is no regular expression: {error}"
            raise OperationFailed(message) from error
    return found


def _listed(values: Mapping[str, Any], setting: str) -> str:
    """Return methods or names of fields as one value."""
    for text in values[setting]:
        if TOKEN.match(text) is None:
            raise OperationFailed(f"{setting} holds {text!r}, which is no method or field name")
    return ", ".join(values[setting])
