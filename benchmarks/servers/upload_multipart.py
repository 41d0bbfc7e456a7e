"""Uploads to the parser of `multipart` on cheroot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multipart import parse_form_data
from on_cheroot import serve


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with the size of the file."""
    _, files = parse_form_data(environ, strict=True, buffer_size=1 << 18)
    upload = files["file"]
    body = b"%d" % upload.size
    upload.close()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    serve(application)
