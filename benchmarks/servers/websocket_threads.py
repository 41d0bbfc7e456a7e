"""Echo on websockets, by threads."""

from __future__ import annotations

from listening import listen
from websockets.sync.server import ServerConnection, serve


def echo(connection: ServerConnection) -> None:
    """Send back what comes."""
    for message in connection:
        connection.send(message)


if __name__ == "__main__":
    with serve(echo, sock=listen(), compression=None, max_size=None) as server:
        server.serve_forever()
