"""The WSGI application for static files that the WSGI servers share: werkzeug's."""

from __future__ import annotations

import sys

from werkzeug.exceptions import NotFound
from werkzeug.middleware.shared_data import SharedDataMiddleware

application = SharedDataMiddleware(NotFound(), {"/": sys.argv[-1]})
