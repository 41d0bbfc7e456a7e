"""A greeting, a nap and a stream on cheroot."""

from __future__ import annotations

from functools import partial

from on_cheroot import serve
from work import run
from wsgi_work import application

if __name__ == "__main__":
    run(partial(serve, application, kept=100_000, timeout=600))
