"""Handlers for tests of clients: they give back what came, and send what no example sends."""

from __future__ import annotations

import queue
import threading
import zlib

import hwebserver

ROWS = [{"row": number, "square": number * number} for number in range(2000)]

#: What one client says, another one is sent; the empty text ends it.
words = queue.Queue()


def checksum(read):
    """Return the CRC-32 of what a function gives piece by piece."""
    value = 0
    while piece := read(1 << 20):
        value = zlib.crc32(piece, value)
    return value


def describe(file):
    return {
        "name": file.name(),
        "type": file.contentType(),
        "size": file.size(),
        "checksum": checksum(file.read),
        "in_memory": file.isInMemory(),
    }


@hwebserver.urlHandler("/", methods=["GET"])
def blank(request):
    return "<!DOCTYPE html><link rel='icon' href='data:,'><title>Playground</title>"


@hwebserver.urlHandler("/form", methods=["POST"])
def form(request):
    files = {name: [*map(describe, request.filesList(name))] for name in request.files()}
    return {"fields": request.POST(), "files": files}


@hwebserver.urlHandler("/body", methods=["POST", "PUT"])
def body(request):
    return {"size": request.contentLength(), "checksum": checksum(request.bodyFile().read)}


@hwebserver.urlHandler("/rows.json", methods=["GET"])
def rows_json(request):
    return ROWS


@hwebserver.urlHandler("/rows", methods=["GET"])
def rows(request):
    return "".join(f"<p>{row['row']}² = {row['square']}" for row in ROWS)


# A stream: each row is made when the one before is on its way.
@hwebserver.urlHandler("/rows.txt", methods=["GET"])
def rows_text(request):
    lines = (f"{row['row']}² = {row['square']}\n" for row in ROWS)
    return hwebserver.Response(lines, 200, "text/plain", compress="gzip" in request.GET())


@hwebserver.urlHandler("/blocks", methods=["GET"])
def blocks(request):
    return hwebserver.Response((bytes([n % 256]) * 65536 for n in range(384)), 200, "x/y")


@hwebserver.urlHandler("/said", methods=["GET"])
def said(request):
    return hwebserver.Response(iter(words.get, ""), 200, "text/plain")


@hwebserver.urlHandler("/say", methods=["POST"])
def say(request):
    words.put(request.body().decode())


# Two events and the end: the browser comes again and names the last one that it has.
@hwebserver.urlHandler("/events", methods=["GET"])
def events(request):
    last = int(request.headers().get("Last-Event-ID", 0))
    told = [{"id": last + 1, "data": f"after {last}"}, {"id": last + 2, "data": f"after {last}"}]
    return hwebserver.eventStreamResponse(told, retry=20)


# How many streams wait for a client that has not left yet.
open_streams = set()


@hwebserver.urlHandler("/silence", methods=["GET"])
def silence(request):
    left = threading.Event()
    open_streams.add(left)

    def events():
        try:
            yield "begin"
            left.wait()
        finally:
            open_streams.discard(left)

    return hwebserver.eventStreamResponse(events(), on_close=left.set)


@hwebserver.urlHandler("/silence/count", methods=["GET"])
def count_silence(request):
    return len(open_streams)
