"""Static files from granian, which sends them without a step in Python."""

from __future__ import annotations

import sys
from pathlib import Path

from on_granian import serve

if __name__ == "__main__":
    # It takes no mount for all paths.
    mounts = [Path(sys.argv[2], "static")]
    serve("wsgi_hello:application", "wsgi", static_path_route=["/static"], static_path_mount=mounts)
