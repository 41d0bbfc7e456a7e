"""Echo on tornado."""

from __future__ import annotations

import asyncio

from listening import listen
from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Echo(WebSocketHandler):
    """Send back what comes."""

    def open(self):
        """Send without delay."""
        self.set_nodelay(True)

    def on_message(self, message):
        """Send a message back."""
        self.write_message(message, binary=isinstance(message, bytes))


async def main() -> None:
    """Serve until the process is ended."""
    listener = listen()
    listener.setblocking(False)
    server = HTTPServer(Application([("/", Echo)], websocket_max_message_size=1 << 40))
    server.add_sockets([listener])
    await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main())
