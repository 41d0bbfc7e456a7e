"""Static files from tornado."""

from __future__ import annotations

import sys

from on_tornado import serve
from tornado.web import Application, StaticFileHandler

if __name__ == "__main__":
    serve(Application([("/(.*)", StaticFileHandler, {"path": sys.argv[2]})]))
