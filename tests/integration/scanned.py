"""A site with something of everything, for a scanner of vulnerabilities to work on.

Its files are in the folder that SITE_FOLDER names, which is empty at first.
"""

from __future__ import annotations

import collections
import io
import os
import zipfile
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

import hwebserver

NOTE = "The first shot of the reel still misses its lens flare."

files = Path(os.environ["SITE_FOLDER"])
(files / "site").mkdir()
(files / "site" / "notes.txt").write_text(NOTE, encoding="utf-8")
(files / "site" / "index.html").write_text("<a href='notes.txt'>Notes</a>", encoding="utf-8")
with zipfile.ZipFile(files / "docs.zip", "w") as archive:
    archive.writestr("index.html", "<a href='more.html?page=2'>More</a>")
    archive.writestr("more.html", NOTE)

hwebserver.registerStaticFilesDirectory(str(files / "site"), "/static")
hwebserver.registerArchiveFile(str(files / "docs.zip"), "/docs")


def page(title, text, status=200):
    html = f"<!DOCTYPE html><title>{title}</title><h1>{title}</h1>{text}<p><a href='/'>Home</a>"
    return hwebserver.Response(html, status)


def listed(pairs):
    return "<ul>" + "".join(f"<li>{escape(name)}: {escape(value)}" for name, value in pairs)


LINKS = [
    "/search?text=lens&order=name",
    "/shot/seq010/12",
    "/note?name=notes.txt",
    "/download?name=notes.txt",
    "/go?to=/form",
    "/refuse?reason=none",
    "/private",
    "/missing/page?of=book",
    "/static/",
    "/docs/index.html",
    "/form",
    "/mounted/guests?name=Ada",
]

FORMS = """
<form action="/form" method="post"><input name="name"><textarea name="text"></textarea>
<select name="kind"><option>one<option>two</select><button>Send</button></form>
<form action="/upload" method="post" enctype="multipart/form-data"><input name="title">
<input type="file" name="clip"><button>Upload</button></form>
<form action="/api" method="post"><input name="cmd_function" value="reel.rename">
<input name="name"><input name="frame" value="1"><button>Call</button></form>
<form action="/api" method="post"><input name="json" value='["reel.rename", ["a"], {"frame": 1}]'>
<button>Call</button></form>
<form action="/mounted/guests" method="post"><input name="name"><button>Sign</button></form>
"""


@hwebserver.urlHandler("/", methods=["GET"])
def index(request):
    links = "".join(f"<li><a href='{escape(link)}'>{escape(link)}</a>" for link in LINKS)
    answer = page("Reel", f"<ul>{links}</ul>{FORMS}")
    answer.setCookie("reel", "010", http_only=True, same_site="Strict")
    return answer


# --- what comes is given back ---


@hwebserver.urlHandler("/search", methods=["GET"])
def search(request):
    return page("Search", listed(request.GET().items()))


@hwebserver.urlHandler("/shot/{name}/{number:int}", methods=["GET"])
def shot(request, name, number):
    return page("Shot", f"{escape(name)} {number}")


# What has been sent stays for all who look at the page later.
sent = collections.deque(maxlen=20)


@hwebserver.urlHandler("/form", methods=["GET", "POST"])
def form(request):
    if request.method() == "POST":
        sent.extend(request.POST().items())
    return page("Form", listed(sent) + listed(request.cookies().items()))


@hwebserver.urlHandler("/upload", methods=["POST"])
def upload(request):
    clips = {name: f"{file.name()} {file.contentType()}" for name, file in request.files().items()}
    return page("Upload", listed(clips.items()) + listed(request.POST().items()))


@hwebserver.urlHandler("/refuse", methods=["GET"])
def refuse(request):
    return hwebserver.errorResponse(request, request.GET().get("reason", ""), 422)


# --- files and other places ---


@hwebserver.urlHandler("/note", methods=["GET"])
def note(request):
    name = os.path.basename(request.GET().get("name", ""))
    return hwebserver.fileResponse(str(files / "site" / name))


@hwebserver.urlHandler("/download", methods=["GET"])
def download(request):
    name = request.GET().get("name", "")
    notes = str(files / "site" / "notes.txt")
    return hwebserver.fileResponse(notes, download_as_filename=name)


@hwebserver.urlHandler("/go", methods=["GET"])
def go(request):
    place = request.GET().get("to", "")
    return hwebserver.redirect(request, place if place in LINKS else "/")


@hwebserver.requestFilter("/private")
def private(request):
    return page("Private", "This is for nobody.", 403)


# --- functions and an application ---


@hwebserver.apiFunction("reel", arg_types={"frame": int})
def rename(request, name, frame):
    if not name:
        raise hwebserver.APIError({"name": name})
    return {"name": name, "frame": frame}


def guests(environ, start_response):
    size = int(environ.get("CONTENT_LENGTH") or 0)
    text = environ["wsgi.input"].read(size).decode() if size else environ["QUERY_STRING"]
    given = [(name, value) for name, values in parse_qs(text).items() for value in values]
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return io.BytesIO(f"<title>Guests</title>{listed(given)}".encode())


hwebserver.registerWSGIApp(guests, "/mounted")
