"""A program that stands behind a proxy, in processes of gunicorn and in one of its own."""

from __future__ import annotations

import os
import threading
import zlib

import hwebserver


@hwebserver.urlHandler("/process", methods=["GET"])
def process(request):
    return {"process": os.getpid(), "host": request.headers().get("Host")}


@hwebserver.urlHandler("/form", methods=["POST"])
def form(request):
    file = request.files()["file"]
    content = file.read()
    return {
        "note": request.POST()["note"],
        "name": file.name(),
        "size": len(content),
        "checksum": zlib.crc32(content),
    }


# One event, and silence until the client has left.
@hwebserver.urlHandler("/events", methods=["GET"])
@hwebserver.urlHandler("/live/events", methods=["GET"])
def events(request):
    left = threading.Event()

    def told():
        yield {"id": 1, "data": f"from {os.getpid()}"}
        left.wait()

    def leave():
        print("the reader has left", flush=True)
        left.set()

    return hwebserver.eventStreamResponse(told(), heartbeat=0.2, on_close=leave)


@hwebserver.webSocket("/live/echo")
class Echo(hwebserver.WebSocket):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(bytes_data if text_data is None else text_data)

    async def disconnect(self, code):
        print("the echo ended with", code, flush=True)


app = hwebserver.wsgiApp()
asgi = hwebserver.asgiApp()
