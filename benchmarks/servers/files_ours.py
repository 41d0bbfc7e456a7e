"""Static files from hwebserver."""

from __future__ import annotations

import sys

from on_ours import hwebserver, serve

if __name__ == "__main__":
    server = hwebserver.Server()
    server.registerStaticFilesDirectory(sys.argv[2], "/")
    serve(server)
