"""Static files from werkzeug on cheroot, in larger pieces than the 8 KiB of werkzeug's default."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from on_cheroot import serve
from werkzeug.wsgi import FileWrapper
from wsgi_files import application


def in_pieces(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Have werkzeug wrap the file in what cheroot, unlike waitress, does not bring along."""
    environ["wsgi.file_wrapper"] = lambda file, _: FileWrapper(file, 1 << 18)
    return application(environ, start_response)


if __name__ == "__main__":
    serve(in_pieces)
