"""The page that says whether the source that is on the disk is the one that answers.

A change that does not compile, or cannot be imported, leaves the old code in its place: every path
answers as before, and programs that call it see nothing of an unfinished line. Who wants to know
opens this page; it is there in debug mode, for those who may see tracebacks.
"""

from __future__ import annotations

from html import escape

from .pages import error_json, html_page, notFoundResponse, prefers_json
from .request import Request
from .response import Response

RELOAD_PATH = "/__reload__"

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "pre{white-space:pre-wrap;font:13px/1.5 monospace}"
)


class ReloadPage:
    """What is wrong with the source of a server.

    Attributes:
        watching: Whether it is watched.
        problem: What is wrong; empty: nothing.
    """

    def __init__(self) -> None:
        self.watching = False
        self.problem = ""

    def tell(self, problem: str) -> None:
        """Take what is wrong; empty: nothing."""
        self.problem = problem

    def respond(self, request: Request) -> Response:
        """Show it: 503 while something is wrong, else 200."""
        if not (self.watching and request.isInDebugMode() and request.is_local):
            return notFoundResponse(request)
        problem = self.problem
        status = 503 if problem else 200
        if prefers_json(request.headers().get("accept")):
            return error_json(status, problem or None)
        if problem:
            content = (
                "<h1>The changed source is not loaded</h1>\n"
                f"<p>The old code goes on serving.</p>\n<pre>{escape(problem)}</pre>"
            )
        else:
            content = "<h1>The source is loaded</h1>\n<p>What is on the disk is what answers.</p>"
        return html_page("Reload", content, status, _STYLE)
