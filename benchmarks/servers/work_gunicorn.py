"""A greeting, a nap and a stream on gunicorn with threads."""

from __future__ import annotations

from on_gunicorn import serve
from wsgi_work import application

if __name__ == "__main__":
    serve(application)
