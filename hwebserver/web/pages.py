"""What is answered when something is wrong: a page for people, JSON for programs."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Optional

from ..protocol.headers import quality_values
from ..protocol.response import reason_phrase
from .log import mask_token
from .response import Response

if TYPE_CHECKING:
    from .request import Request

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "textarea{width:100%;height:32em;font:13px/1.5 monospace}"
)


def server_error(request: Request, error: BaseException) -> Response:
    """Return the answer for a handler that raised: 500.

    The traceback is shown in debug mode, and to local clients alone.

    Args:
        request: The request that is answered.
        error: What the handler raised.
    """
    if not (request.isInDebugMode() and request.is_local):
        return errorResponse(request, "The server failed to answer this request.", 500)
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if prefers_json(request.headers().get("accept")):
        return error_json(500, trace)
    return _debug_page(request, error, trace)


def _debug_page(request: Request, error: BaseException, trace: str) -> Response:
    """Show a traceback.

    The vendor's client looks for a line ``Traceback:`` and reads up to ``</textarea>``.
    """
    title = f"500 {reason_phrase(500)}"
    summary = escape("".join(traceback.format_exception_only(type(error), error)).strip())
    line = escape(f"{request.method()} {mask_token(request.pathWithQueryString())}")
    content = (
        f"<h1>{summary}</h1>\n<p>{line}</p>\n"
        '<textarea readonly aria-label="Traceback">\n'
        f"Traceback:\n{escape(trace)}\n</textarea>"
    )
    return html_page(title, content, 500, _STYLE)


def prefers_json(accept: Optional[str]) -> bool:
    """Say whether an Accept field wants JSON rather than HTML (RFC 9110 12.5.1)."""
    if not accept or "json" not in accept.lower():
        return False
    weights = quality_values(accept)
    named = [kind for kind in weights if kind == "application/json" or kind.endswith("+json")]
    json_weight = max((weights[kind] for kind in named), default=0.0)
    return json_weight > 0 and json_weight >= html_weight(weights)


def html_weight(weights: Mapping[str, float]) -> float:
    """Return the weight of HTML in the members of an Accept field, the most specific one's."""
    for kind in ("text/html", "text/*", "*/*"):
        if kind in weights:
            return weights[kind]
    return 0.0


def error_page(status: int, message: str, use_heading: bool = True) -> Response:
    """Return an HTML page that says what is wrong; the message is escaped."""
    title = f"{status} {reason_phrase(status)}".rstrip()
    text = escape(message)
    shown = f"<h1>{text}</h1>" if use_heading else text
    return html_page(title, shown, status)


def html_page(title: str, content: str, status: int = 200, style: str = "") -> Response:
    """Return a page of our own; what is no Unicode in it is shown as question marks.

    Args:
        title: Its title, escaped.
        content: What stands in its body, in HTML.
        status: The HTTP status code.
        style: Its style sheet.
    """
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        + (f"<style>{style}</style>" if style else "")
        + f"</head>\n<body>\n{content}\n</body>\n</html>\n"
    )
    return Response(page.encode("utf-8", "replace"), status)


def error_json(status: int, error: Any) -> Response:
    """Return ``{"error": error}``."""
    from .jsontext import write_json

    return Response(write_json({"error": error}), status, "application/json")


def errorResponse(
    request: Optional[Request], error_message: str, status: int, use_heading: bool = True
) -> Response:
    """Return an error as JSON to clients that want that, else as a page.

    Args:
        request: The request that is answered.
        error_message: What is wrong.
        status: The HTTP status code.
        use_heading: Whether the page shows the message as a heading.
    """
    accept = None if request is None else request.headers().get("accept")
    if prefers_json(accept):
        return error_json(status, error_message)
    return error_page(status, str(error_message), use_heading)


def notFoundResponse(request: Optional[Request]) -> Response:
    """Return the answer for what is not there (404).

    Args:
        request: The request that is answered.
    """
    return errorResponse(request, "Not found", 404)
