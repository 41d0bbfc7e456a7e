"""Run an application on granian: ``run_granian.py PORT INTERFACE MODULE``."""

from __future__ import annotations

import sys

from on_granian import serve

if __name__ == "__main__":
    serve(f"{sys.argv[3]}:application", sys.argv[2])
