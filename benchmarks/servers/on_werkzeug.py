"""Run a WSGI application on werkzeug's own server, which keeps no connection alive."""

from __future__ import annotations

from typing import Any

from listening import listen
from told import log_to_file
from werkzeug.serving import make_server


def serve(application: Any) -> None:
    """Run it on the port of the command line."""
    log_to_file("werkzeug")
    descriptor = listen().detach()
    make_server("127.0.0.1", 0, application, threaded=True, fd=descriptor).serve_forever()
