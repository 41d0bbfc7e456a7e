"""The thousand paths of `routes.py`."""

from __future__ import annotations

PATHS = [f"/area{number // 20}/page{number}" for number in range(1000)]
