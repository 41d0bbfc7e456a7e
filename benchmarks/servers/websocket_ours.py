"""Echo on hwebserver."""

from __future__ import annotations

from on_ours import hwebserver, serve

server = hwebserver.Server()


@server.webSocket("/")
class Echo(hwebserver.WebSocket):
    """Send back what comes."""

    async def receive(self, text_data=None, bytes_data=None):
        """Send a message back."""
        await self.send(text_data if text_data is not None else bytes_data)


if __name__ == "__main__":
    serve(server)
