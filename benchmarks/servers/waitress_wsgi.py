"""Hello world on waitress."""

from __future__ import annotations

from on_waitress import serve
from wsgi_hello import application

if __name__ == "__main__":
    serve(application)
