"""Run an ASGI application on uvicorn, with all of it that is written in C."""

from __future__ import annotations

from typing import Any

import told
import uvicorn
from listening import listen


def serve(application: Any, **options: Any) -> None:
    """Run it on the port of the command line."""
    config = uvicorn.Config(
        application,
        lifespan="off",
        backlog=1024,
        access_log=bool(told.ACCESS_LOG),
        log_level="critical",
        **told.when_encrypted(ssl_certfile=told.CERTFILE, ssl_keyfile=told.KEYFILE),
        **{"loop": "uvloop", "http": "httptools", **options},
    )
    told.log_to_file("uvicorn.access")
    uvicorn.Server(config).run(sockets=[listen()])
