"""Uploads to werkzeug on waitress."""

from __future__ import annotations

import os

from on_waitress import serve
from werkzeug import Request, Response


@Request.application
def application(request: Request) -> Response:
    """Answer with the size of the file."""
    upload = request.files["file"]
    upload.seek(0, os.SEEK_END)
    return Response(str(upload.tell()))


if __name__ == "__main__":
    serve(application, max_request_body_size=1 << 40, recv_bytes=1 << 18)
