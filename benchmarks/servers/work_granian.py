"""A greeting, a nap and a stream on granian, by WSGI."""

from __future__ import annotations

from on_granian import serve

if __name__ == "__main__":
    serve("wsgi_work:application", "wsgi", blocking_threads=4, backpressure=100_000)
