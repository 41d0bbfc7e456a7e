"""A thousand routes on hwebserver."""

from __future__ import annotations

from on_ours import hwebserver
from paths import PATHS

application = hwebserver.Server()


def hello(request: hwebserver.Request) -> hwebserver.Response:
    """Answer with a greeting."""
    return hwebserver.Response("Hello, world!", content_type="text/plain")


for path in PATHS:
    application.urlHandler(path)(hello)
