"""The Cookie field (RFC 6265 4.2 and 5.4), read in one linear pass."""

from __future__ import annotations

from .headers import unquote_string


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
