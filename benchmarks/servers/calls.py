"""A function that is called by JSON, and the plainest way to call it, which the peers share."""

from __future__ import annotations

import json
from typing import Any


def summarise(title: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    """Say what a list of points amounts to, and give them back."""
    total = sum(point["weight"] for point in points)
    return {"title": title, "count": len(points), "total": total, "points": points}


FUNCTIONS = {"bench.summarise": summarise}


def answer(body: bytes) -> bytes:
    """Call the function that ``[name, [arguments], {"named": "arguments"}]`` asks for."""
    name, positional, named = json.loads(body)
    return json.dumps(FUNCTIONS[name](*positional, **named)).encode()
