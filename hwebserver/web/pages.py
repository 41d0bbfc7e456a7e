"""What is answered when something is wrong: a page for people, JSON for programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional

from ..protocol.headers import quality_values
from ..protocol.response import reason_phrase
from .response import Response

if TYPE_CHECKING:
    from .request import Request

app_logger = logging.getLogger("hwebserver.app")


def server_error(request: Request, error: BaseException) -> Response:
    """Return the answer for a handler that raised: 500.

    In debug mode local clients, and they alone, are shown the traceback.

    Args:
        request: The request that is answered.
        error: What the handler raised.
    """
    if request.isInDebugMode() and request.is_local:
        try:
            return _debug_answer(request, error)
        except Exception:  # What is shown is the handler's own, and may be anything.
            app_logger.exception("the page about a failure cannot be shown")
    return errorResponse(request, "The server failed to answer this request.", 500)


def _debug_answer(request: Request, error: BaseException) -> Response:
    """Show a traceback; what shows it is loaded by the first failure."""
    from .debugpage import debug_page
    from .failure import describe, trace_text
    from .masking import Mask

    site = request.site
    mask = Mask(site.secrets)
    trace = trace_text(error, mask)
    if prefers_json(request.headers().get("accept")):
        return error_json(500, trace)
    return debug_page(request, describe(error, mask, site.since), trace, mask)


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
    from html import escape

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
