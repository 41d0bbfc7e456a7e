"""A greeting, a nap and a stream on waitress."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import wsgi_work
from on_waitress import serve
from work import PIECE, PIECES, run


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Tell waitress the length of the stream: it closes the connection behind one without."""

    def start(status: str, headers: list[tuple[str, str]]) -> Any:
        if environ["PATH_INFO"] == "/stream":
            headers.append(("Content-Length", str(len(PIECE) * PIECES)))
        return start_response(status, headers)

    return wsgi_work.application(environ, start)


if __name__ == "__main__":
    # select(), its default, knows no more than 1,024 descriptors.
    run(partial(serve, application, connection_limit=100_000, asyncore_use_poll=True))
