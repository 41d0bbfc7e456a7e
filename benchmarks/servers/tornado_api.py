"""A function called by JSON on tornado."""

from __future__ import annotations

from calls import answer
from tornado.web import Application, RequestHandler


class Api(RequestHandler):
    """Calls functions."""

    def post(self):
        """Call what the body asks for."""
        self.set_header("Content-Type", "application/json")
        self.write(answer(self.request.body))


application = Application([("/api", Api)])
