"""Run an ASGI application on uvicorn, with all of it that is written in C."""

from __future__ import annotations

from typing import Any

import uvicorn
from listening import listen


def serve(application: Any, **options: Any) -> None:
    """Run it on the port of the command line."""
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        backlog=1024,
        access_log=False,
        log_level="critical",
        **options,
    )
    uvicorn.Server(config).run(sockets=[listen()])
