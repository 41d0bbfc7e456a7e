"""Run an application: ``run.py PORT SERVER APPLICATION``, both of them modules of this folder."""

from __future__ import annotations

import sys
from importlib import import_module

if __name__ == "__main__":
    import_module(sys.argv[2]).serve(import_module(sys.argv[3]).application)
