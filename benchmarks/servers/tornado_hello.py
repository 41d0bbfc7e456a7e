"""Hello world on tornado."""

from __future__ import annotations

from tornado.web import Application, RequestHandler


class Hello(RequestHandler):
    """Answers with a greeting."""

    def get(self):
        """Answer a GET request."""
        self.set_header("Content-Type", "text/plain")
        self.write(b"Hello, world!")


application = Application([("/", Hello)])
