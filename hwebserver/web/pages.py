"""The pages that a person sees when something is wrong."""

from __future__ import annotations

import traceback
from html import escape

from ..protocol.response import reason_phrase
from .request import Request
from .response import Response, error_json, errorResponse, html_page, prefers_json

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
    line = escape(f"{request.method()} {request.pathWithQueryString()}")
    content = (
        f"<h1>{summary}</h1>\n<p>{line}</p>\n"
        '<textarea readonly aria-label="Traceback">\n'
        f"Traceback:\n{escape(trace)}\n</textarea>"
    )
    return html_page(title, content, 500, _STYLE)
