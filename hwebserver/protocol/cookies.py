"""Cookies (RFC 6265 and its revision, 6265bis): the Cookie field read, Set-Cookie written.

The two directions differ in how strict they are. What a browser sends was set by anybody, scripts
and other servers of the domain included, so reading takes what it can use and leaves the rest out.
It is one linear pass: readers of quoted values that went back for every backslash could be kept
busy for minutes by one field (CVE-2024-7592, CVE-2024-52804).

What we send is written by the program, and a browser that does not like it drops the cookie, or
just one attribute of it, without a word. The cookie then is lost, or lives longer or goes further
than it was meant to. So writing refuses whatever a browser would drop or read otherwise, and says
what is wrong. Nothing is quoted or encoded silently: there is no encoding of values that all
readers share.
"""

from __future__ import annotations

import re
from typing import Optional

from . import tokens
from .headers import unquote_string

#: RFC 6265bis 5.6: a browser drops a cookie whose name and value are longer together, and an
#: attribute whose value is longer.
_MAX_PAIR = 4096
_MAX_ATTRIBUTE = 1024

#: What is no cookie-octet (RFC 6265 4.1.1): controls, space, DQUOTE, comma, semicolon, backslash,
#: and all that is not ASCII.
_NO_COOKIE_OCTET = re.compile(r"[^!#-+\--:<-\[\]-~]")

#: What is not in path-value (RFC 6265 4.1.1): it is any ASCII but controls and the semicolon.
_NOT_IN_PATH = re.compile(r"[^ -:<-~]")

_DOMAIN = re.compile(r"[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\Z")

_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}

#: The last second of the year 9999: a date has four digits for the year (RFC 9110 5.6.7).
_LAST_SECOND = 253_402_300_799


def parse_cookies(value: str) -> dict[str, str]:
    """Return the cookies of a Cookie field; of a repeated name the last one.

    Pairs without a name or an equals sign are left out: browsers send what scripts set, so a
    cookie that is malformed must not cost the others.

    Args:
        value: The combined value of the Cookie field.
    """
    cookies: dict[str, str] = {}
    for pair in value.split(";"):
        name, equals, text = pair.partition("=")
        name = name.strip(" \t")
        if equals and name:
            cookies[name] = unquote_string(text.strip(" \t"))
    return cookies


def format_cookie(
    name: str,
    value: str,
    *,
    max_age: Optional[int] = None,
    expires: Optional[float] = None,
    path: str = "/",
    domain: str = "",
    secure: bool = False,
    http_only: bool = False,
    same_site: str = "Lax",
    partitioned: bool = False,
) -> str:
    """Return the value of a Set-Cookie field (RFC 6265 4.1, RFC 6265bis 4.1).

    Args:
        name: A token. ``__Secure-`` and ``__Host-`` in front are promises that browsers check.
        value: Visible ASCII without quotes, commas, semicolons and backslashes; it may be empty.
        max_age: Seconds that the cookie lives; 0 or less deletes it. It beats ``expires``.
        expires: When the cookie ends, in seconds since the epoch. Without both the cookie lives
            as long as the browser runs.
        path: The cookie goes to URLs below it; empty: below the folder of the request's URL.
        domain: The cookie goes to this domain and all below it; empty: to this host alone.
        secure: Whether the cookie goes over HTTPS alone.
        http_only: Whether the cookie is hidden from scripts.
        same_site: ``Strict``, ``Lax`` or ``None``, in any case; empty: what the browser makes of
            it.
        partitioned: Whether each site that embeds this one gets a cookie of its own.

    Raises:
        ValueError: a browser would drop this cookie or one of its attributes; the message names
            what is wrong.
        TypeError: an argument is not of its type.
    """
    name, value = _text("name", name), _text("value", value)
    path, domain = _text("Path", path), _text("Domain", domain)
    _check_pair(name, value)
    parts = [f"{name}={value}"]
    if max_age is not None:
        parts.append(f"Max-Age={_max_age(max_age)}")
    if expires is not None:
        parts.append(f"Expires={_expires(expires)}")
    if path:
        parts.append(f"Path={_path(path)}")
    if domain:
        parts.append(f"Domain={_domain(domain)}")
    if secure:
        parts.append("Secure")
    if http_only:
        parts.append("HttpOnly")
    site = _same_site(_text("SameSite", same_site))
    if site:
        parts.append(f"SameSite={site}")
    if partitioned:
        parts.append("Partitioned")
    if not secure:
        _check_insecure(name, site, partitioned)
    _check_host_prefix(name, path, domain)
    return "; ".join(parts)


def _text(what: str, value: object) -> str:
    """Return a text as it is, and refuse anything else."""
    if not isinstance(value, str):
        raise TypeError(f"the {what} of a cookie must be a str, not {type(value).__name__}")
    # A member of an enum that is a str too would be written as its name, which nobody checked.
    return str.__str__(value)


def _check_pair(name: str, value: str) -> None:
    # The messages do not show the value, for it may be a secret and messages end up in logs.
    if tokens.TOKEN.match(name) is None:
        raise ValueError(f"the name {name!r} of a cookie is not a token")
    bad = _NO_COOKIE_OCTET.search(value)
    if bad is not None:
        raise ValueError(
            f"the value of the cookie {name} holds {bad[0]!r}, which no cookie can carry: "
            "encode it, e.g. with urllib.parse.quote"
        )
    if len(name) + len(value) > _MAX_PAIR:
        raise ValueError(f"the name and the value of a cookie are over {_MAX_PAIR} bytes together")


def _check_length(attribute: str, value: str) -> None:
    if len(value) > _MAX_ATTRIBUTE:
        raise ValueError(f"the {attribute} of a cookie is over {_MAX_ATTRIBUTE} bytes")


def _max_age(seconds: object) -> str:
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        kind = type(seconds).__name__
        raise TypeError(f"the Max-Age of a cookie must be an int, not {kind}")
    # Nothing reads more than 64 bits, and the digits of a huge number take quadratic time.
    if seconds.bit_length() > 63:
        raise ValueError("the Max-Age of a cookie does not fit in 64 bits")
    return f"{int(seconds)}"


def _expires(seconds: object) -> str:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        kind = type(seconds).__name__
        raise TypeError(f"the Expires of a cookie must be a number of seconds, not {kind}")
    # Not before the epoch, since Windows has no dates there; this also refuses NaN.
    if not 0 <= seconds <= _LAST_SECOND:
        raise ValueError("the Expires of a cookie must be between the years 1970 and 9999")
    from email.utils import formatdate

    return formatdate(seconds, usegmt=True)


def _path(path: str) -> str:
    # RFC 6265bis 5.6.4: a browser puts its own default for a path that does not begin so.
    if not path.startswith("/"):
        raise ValueError('the Path of a cookie must begin with "/"')
    bad = _NOT_IN_PATH.search(path)
    if bad is not None:
        raise ValueError(f"the Path of a cookie holds {bad[0]!r}: it must be percent-encoded")
    _check_length("Path", path)
    return path


def _domain(domain: str) -> str:
    # RFC 6265bis 5.6.3: a leading dot means nothing any more.
    host = domain[1:] if domain.startswith(".") else domain
    _check_length("Domain", host)
    if _DOMAIN.match(host) is None:
        raise ValueError(
            f"the Domain {domain!r} of a cookie must be letters, digits and hyphens "
            "with single dots between them"
        )
    return host


def _same_site(same_site: str) -> str:
    if not same_site:
        return ""
    site = _SAME_SITE.get(same_site.lower())
    if site is None:
        raise ValueError(f"the SameSite of a cookie must be Strict, Lax or None, not {same_site!r}")
    return site


def _check_insecure(name: str, site: str, partitioned: bool) -> None:
    """Refuse what browsers take from a secure cookie only (RFC 6265bis 5.7, and CHIPS)."""
    if site == "None":
        raise ValueError("a cookie with SameSite=None must be Secure")
    if partitioned:
        raise ValueError("a cookie that is Partitioned must be Secure")
    if name.lower().startswith(("__secure-", "__host-")):
        raise ValueError(f"the cookie {name} must be Secure, its prefix promises that")


def _check_host_prefix(name: str, path: str, domain: str) -> None:
    """Hold a cookie to the promise of ``__Host-`` (RFC 6265bis 4.1.3.2)."""
    if not name.lower().startswith("__host-"):
        return
    if path != "/":
        raise ValueError(f'the Path of the cookie {name} must be "/", its prefix promises that')
    if domain:
        raise ValueError(f"the cookie {name} must have no Domain, its prefix promises that")
