"""Hello world on cheroot."""

from __future__ import annotations

import sys

from cheroot import wsgi
from wsgi_hello import application

if __name__ == "__main__":
    server = wsgi.Server(
        ("127.0.0.1", int(sys.argv[1])), application, numthreads=10, request_queue_size=1024
    )
    # By default it closes every connection beyond ten instead of keeping it alive.
    server.keep_alive_conn_limit = 2000
    server.prepare()
    print(server.bind_addr[1], flush=True)
    server.serve()
