"""Paths, queries and authorities taken apart, and percent-decoding (RFC 3986).

A path is percent-decoded once, segment by segment, so that an encoded slash never becomes a
separator; it is not normalised.
"""

from __future__ import annotations

from typing import Optional

from ..errors import HTTPError


def split_authority(text: str) -> tuple[str, Optional[int]]:
    """Return the host (an IPv6 address in its brackets) and the port, None where there is none."""
    host, colon, digits = text.rpartition(":")
    if not colon or text[-1] == "]":
        return text, None
    return host, int(digits) if digits else None


def decode(text: str) -> str:
    """Percent-decode a text once, as UTF-8; bytes that are none become U+FFFD."""
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text, "utf-8", "replace")


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
    from urllib.parse import parse_qsl

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
