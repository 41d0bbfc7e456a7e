"""A function called by JSON on hwebserver."""

from __future__ import annotations

from typing import Any

import calls
from on_ours import hwebserver

application = hwebserver.Server()


@application.apiFunction("bench")
def summarise(
    request: hwebserver.Request, title: str, points: list[dict[str, Any]]
) -> dict[str, Any]:
    """Say what a list of points amounts to."""
    return calls.summarise(title, points)
