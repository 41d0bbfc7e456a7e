"""A thousand routes on tornado."""

from __future__ import annotations

from paths import PATHS
from tornado.web import Application
from tornado_hello import Hello

application = Application([(path, Hello) for path in PATHS])
