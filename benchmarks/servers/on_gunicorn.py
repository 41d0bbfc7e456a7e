"""Run a WSGI application on gunicorn: one worker process with threads."""

from __future__ import annotations

from typing import Any

import told
from gunicorn.app.base import BaseApplication
from listening import listen

THREADS = 4


class Gunicorn(BaseApplication):
    """A program of one application.

    Args:
        application: A WSGI application.
        options: Settings of gunicorn.
    """

    def __init__(self, application: Any, options: dict[str, Any]) -> None:
        self._application = application
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Take the settings given."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Give the application."""
        return self._application


def serve(application: Any) -> None:
    """Run it on the port of the command line."""
    options = {
        "bind": f"fd://{listen().detach()}",
        "worker_class": "gthread",
        "threads": THREADS,
        "backlog": 1024,
        "keepalive": 600,
        # Connections beyond them are not accepted.
        "worker_connections": 100_000,
        "loglevel": "critical",
        "accesslog": told.ACCESS_LOG or None,
        "control_socket_disable": True,
        **told.when_encrypted(certfile=told.CERTFILE, keyfile=told.KEYFILE),
    }
    Gunicorn(application, options).run()
