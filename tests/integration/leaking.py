"""A site with mistakes that scanners of vulnerabilities look for, and the scanner's listener."""

from __future__ import annotations

import contextlib
import subprocess
import urllib.request

import hwebserver

LINKS = ["/search?text=a", "/note?name=a", "/say?text=a", "/go?to=a", "/get?url=a", "/locked"]


@hwebserver.urlHandler("/", methods=["GET"])
def index(request):
    return "<title>Leaks</title>" + "".join(f"<a href='{link}'>{link}</a>" for link in LINKS)


@hwebserver.urlHandler("/search", methods=["GET"])
def search(request):
    text = request.GET().get("text", "")
    if "'" in text:
        return 'sqlite3.OperationalError: unrecognized token: "a"'
    return f"<p>You asked for {text}</p>"


@hwebserver.urlHandler("/note", methods=["GET"])
def note(request):
    with contextlib.suppress(OSError, ValueError), open(request.GET().get("name", "")) as file:
        return file.read()
    return hwebserver.notFoundResponse(request)


@hwebserver.urlHandler("/say", methods=["GET"])
def say(request):
    command = f"echo {request.GET().get('text', '')}".replace("\0", "")
    done = subprocess.run(
        command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.stdout.decode("utf-8", "replace")


@hwebserver.urlHandler("/go", methods=["GET"])
def go(request):
    response = hwebserver.Response("", 302)
    response.setHeader("Location", request.GET().get("to", "/"))
    return response


@hwebserver.urlHandler("/get", methods=["GET"])
def get(request):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, ValueError), direct.open(request.GET().get("url", "")):
        pass
    return "Thank you."


@hwebserver.urlHandler("/locked")
def locked(request):
    return hwebserver.Response("", 403 if request.method() in ("GET", "POST") else 200)


# --- the listener: who calls it has been made to ---

calls = {}


@hwebserver.urlHandler("/listener/ssrf/{session}/{number}/{parameter}", methods=["GET"])
def called(request, session, number, parameter):
    told = {"url": request.path(), "date": "", "ip": "", "method": request.method()}
    calls.setdefault(number, {}).setdefault(parameter, []).append(told)


@hwebserver.urlHandler("/listener/get_ssrf.php", methods=["GET"])
def told(request):
    return calls
