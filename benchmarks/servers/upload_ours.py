"""Uploads to hwebserver."""

from __future__ import annotations

from on_ours import hwebserver, serve

server = hwebserver.Server()


@server.urlHandler("/", methods=["POST"])
def take(request: hwebserver.Request) -> str:
    """Answer with the size of the file."""
    upload = request.files()["file"]
    return str(upload.size())


if __name__ == "__main__":
    serve(server, max_request_size=1 << 40)
