"""Run an ASGI application on uvicorn, all of it written in Python."""

from __future__ import annotations

from functools import partial

import on_uvicorn

serve = partial(on_uvicorn.serve, loop="asyncio", http="h11")
