"""A greeting from nginx."""

from __future__ import annotations

from on_nginx import serve
from work import GREETING

if __name__ == "__main__":
    content = f'location = / {{ default_type text/plain; return 200 "{GREETING.decode()}"; }}'
    serve(content, connections=100_000)
