"""Hello world on hwebserver."""

from __future__ import annotations

from on_ours import hwebserver

application = hwebserver.Server()


@application.urlHandler("/")
def hello(request: hwebserver.Request) -> hwebserver.Response:
    """Answer with a greeting."""
    return hwebserver.Response("Hello, world!", content_type="text/plain")
