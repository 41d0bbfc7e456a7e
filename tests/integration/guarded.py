"""What pages of other origins may not touch; each part of it prints a line when it runs."""

from __future__ import annotations

import json

import hwebserver

PAGE = "<!DOCTYPE html><link rel='icon' href='data:,'><title>Guarded</title><h1>Guarded</h1>"


def note(*words):
    print("ran", *words, flush=True)


@hwebserver.urlHandler("/", methods=["GET"])
def page(request):
    return PAGE


@hwebserver.urlHandler("/pixel", methods=["GET"])
def pixel(request):
    return None


@hwebserver.urlHandler("/visit/{word}", methods=["GET", "PUT"])
def visit(request, word):
    note("visit", word)
    seen = {"word": word, "cookie": request.cookies().get("visitor")}
    response = hwebserver.Response(json.dumps(seen), 200, "application/json")
    response.setCookie("visitor", word, secure=True, http_only=True)
    return response


@hwebserver.apiFunction("scene")
def touch(request, word):
    note("touch", word)
    return {"touched": word}


@hwebserver.webSocket("/echo")
class Echo(hwebserver.WebSocket):
    async def connect(self, req):
        note("socket", req.GET()["word"])
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data)
