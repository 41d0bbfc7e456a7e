"""An embeddable HTTP/1.1 server with the API of the module of that name in Houdini.

    import hwebserver

    @hwebserver.urlHandler("/")
    def hello(request):
        return "Hello, world!"

    hwebserver.run()

The functions here are those of one default server; ``Server`` makes others.
"""

from __future__ import annotations

import logging

from .enums import HTTPStatus, Severity, Verbosity
from .errors import (
    APIError,
    DisallowedHost,
    HTTPError,
    OperationFailed,
    ProtocolError,
    UnsendableError,
    WebServerError,
)
from .hosts.mainthread import callInMainThread, processMainThreadCalls, setMainThreadAdapter
from .server import Server, default_server
from .web.events import eventStreamResponse
from .web.files import fileResponse
from .web.handlers import (
    AsyncURLCallbackHandler,
    AsyncURLHandler,
    URLCallbackHandler,
    URLHandler,
)
from .web.pages import errorResponse, notFoundResponse
from .web.request import Request
from .web.response import Response, redirect
from .web.uploads import UploadedFile
from .web.websocket import WebSocket

__version__ = "0.1.0"

logging.getLogger("hwebserver").addHandler(logging.NullHandler())

run = runServer = default_server.run
requestShutdown = default_server.requestShutdown
isRunning = default_server.isRunning
isInDebugMode = default_server.isInDebugMode
isUIAvailable = default_server.isUIAvailable
port = default_server.port
url = default_server.url
urlHandler = default_server.urlHandler
apiFunction = default_server.apiFunction
registerAPIFunction = default_server.registerAPIFunction
registerStaticFilesDirectory = default_server.registerStaticFilesDirectory
registerArchiveFile = default_server.registerArchiveFile
registerOpdefPath = default_server.registerOpdefPath
registerASGIApp = default_server.registerASGIApp
asgiApp = default_server.asgiApp
webSocket = default_server.webSocket
insertWebSocketForPort = default_server.insertWebSocketForPort
webSockets = default_server.webSockets
statistics = default_server.statistics
broadcast = default_server.broadcast
registerWSGIApp = default_server.registerWSGIApp
requestFilter = default_server.requestFilter
insertHandlerForPort = default_server.insertHandlerForPort
findHandlerForPort = default_server.findHandlerForPort
setSettingsForPort = default_server.setSettingsForPort
setPortInfo = default_server.setPortInfo
setSSL = default_server.setSSL
setSecurity = default_server.setSecurity
setLogInfo = default_server.setLogInfo
setCORSWhitelist = default_server.setCORSWhitelist
setAsyncioLoop = default_server.setAsyncioLoop
isAsyncioEnabled = default_server.isAsyncioEnabled
wsgiApp = default_server.wsgiApp

webServerVerbosity = Verbosity
webServerSeverity = Severity
Low, Medium, High = Verbosity
MessageSeverity, PromptSeverity, WarningSeverity, AbortSeverity, FatalSeverity = Severity

# The names that old programs know the base classes by.
PyServer = Server
PyURLHandler = APIUrlHandler = URLHandler
PyWebSocket = WebSocket

__all__ = [
    "APIError",
    "APIUrlHandler",
    "AbortSeverity",
    "AsyncURLCallbackHandler",
    "AsyncURLHandler",
    "DisallowedHost",
    "FatalSeverity",
    "HTTPError",
    "HTTPStatus",
    "High",
    "Low",
    "Medium",
    "MessageSeverity",
    "OperationFailed",
    "PromptSeverity",
    "ProtocolError",
    "PyServer",
    "PyURLHandler",
    "PyWebSocket",
    "Request",
    "Response",
    "Server",
    "Severity",
    "URLCallbackHandler",
    "URLHandler",
    "UnsendableError",
    "UploadedFile",
    "Verbosity",
    "WarningSeverity",
    "WebServerError",
    "WebSocket",
    "apiFunction",
    "asgiApp",
    "broadcast",
    "callInMainThread",
    "errorResponse",
    "eventStreamResponse",
    "fileResponse",
    "findHandlerForPort",
    "insertHandlerForPort",
    "insertWebSocketForPort",
    "isAsyncioEnabled",
    "isInDebugMode",
    "isRunning",
    "isUIAvailable",
    "notFoundResponse",
    "port",
    "processMainThreadCalls",
    "redirect",
    "registerAPIFunction",
    "registerASGIApp",
    "registerArchiveFile",
    "registerOpdefPath",
    "registerStaticFilesDirectory",
    "registerWSGIApp",
    "requestFilter",
    "requestShutdown",
    "run",
    "runServer",
    "setAsyncioLoop",
    "setCORSWhitelist",
    "setLogInfo",
    "setMainThreadAdapter",
    "setPortInfo",
    "setSSL",
    "setSecurity",
    "setSettingsForPort",
    "statistics",
    "url",
    "urlHandler",
    "webServerSeverity",
    "webServerVerbosity",
    "webSocket",
    "webSockets",
    "wsgiApp",
]
