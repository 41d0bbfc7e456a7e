"""Static files from nginx."""

from __future__ import annotations

import sys

from on_nginx import serve

if __name__ == "__main__":
    serve(f'root "{sys.argv[2]}";')
