"""The listening socket of the servers that take one over."""

from __future__ import annotations

import socket
import sys


def listen() -> socket.socket:
    """Listen on the port of the command line, and tell the harness which it is."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
    # Some set it when they take the socket over, too late for connections that are there by then.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    return listener
