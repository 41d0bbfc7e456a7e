"""Hello world from nginx."""

from __future__ import annotations

from on_nginx import serve

if __name__ == "__main__":
    serve('location = / { default_type text/plain; return 200 "Hello, world!"; }')
