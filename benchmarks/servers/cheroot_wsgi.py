"""Hello world on cheroot."""

from __future__ import annotations

from on_cheroot import serve
from wsgi_hello import application

if __name__ == "__main__":
    serve(application)
