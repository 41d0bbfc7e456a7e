"""A greeting, a nap and a stream on uvicorn, by coroutines."""

from __future__ import annotations

from functools import partial

from asgi_work import application
from on_uvicorn import serve
from work import run

if __name__ == "__main__":
    run(partial(serve, application, timeout_keep_alive=600))
