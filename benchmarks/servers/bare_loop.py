"""The yardstick: receives, sends a fixed answer, and parses nothing.

bare_loop.py PORT [ANSWER] [--close]
"""

from __future__ import annotations

import selectors
import socket
import sys

BODY = sys.argv[2].encode() if len(sys.argv) > 2 else b"Hello, world!"
#: Have a new connection for each request.
CLOSES = "--close" in sys.argv
# The header lines that a real server would send, so that the same bytes go over the wire.
ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"Server: bare\r\n"
    b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\n"
    b"Content-Length: %d\r\n%s\r\n" % (len(BODY), b"Connection: close\r\n" if CLOSES else b"")
) + BODY


def answer(connection: socket.socket) -> bool:
    """Answer whatever came; say whether the connection is still open."""
    try:
        if connection.recv(65536):
            connection.send(ANSWER)
            return not CLOSES
    except OSError:
        pass
    return False


def serve(listener: socket.socket) -> None:
    """Poll, receive and send, all in this thread, for ever."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            connection = key.data
            if connection is None:
                connection, _ = listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, connection)
            elif not answer(connection):
                selector.unregister(connection)
                connection.close()


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as listening:
        print(listening.getsockname()[1], flush=True)
        serve(listening)
