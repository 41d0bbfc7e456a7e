"""A greeting, a nap and a stream on tornado."""

from __future__ import annotations

import asyncio

from on_tornado import serve
from tornado.web import Application, RequestHandler
from work import GREETING, NAP_SECONDS, PIECE, PIECES


class Hello(RequestHandler):
    """Answers with a greeting."""

    async def get(self):
        """Answer a GET request."""
        self.set_header("Content-Type", "text/plain")
        self.write(GREETING)


class Sleep(Hello):
    """Answers with a greeting after a nap."""

    async def get(self):
        """Answer a GET request."""
        await asyncio.sleep(NAP_SECONDS)
        await super().get()


class Stream(RequestHandler):
    """Answers piece by piece."""

    async def get(self):
        """Answer a GET request."""
        self.set_header("Content-Type", "text/plain")
        for _ in range(PIECES):
            self.write(PIECE)
            await self.flush()


if __name__ == "__main__":
    serve(Application([("/", Hello), ("/sleep", Sleep), ("/stream", Stream)]))
