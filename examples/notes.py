"""A notes board: pages, a style sheet and a script, functions the script calls, a download.

    python -m hwebserver examples/notes.py

Open the address it prints. Notes are kept in memory: they are gone when the program ends.
"""

import threading
from datetime import datetime
from html import escape
from itertools import count
from pathlib import Path

import hwebserver

STATIC = Path(__file__).resolve().parent / "notes_static"

# Handlers run on several threads, so what they share is used under a lock.
lock = threading.Lock()
notes = {}  # number: note, the oldest first
numbers = count(1)

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="icon" href="/static/icon.svg">
  <link rel="stylesheet" href="/static/notes.css">
</head>
<body>
{body}
</body>
</html>
"""

BOARD = """\
<header>
  <h1>Notes</h1>
  <a href="/notes.txt">Download all</a>
</header>
<form id="new">
  <textarea name="text" rows="3" placeholder="What is worth keeping?" aria-label="A new note"
            required autofocus></textarea>
  <p id="problem" role="alert"></p>
  <button>Add note</button>
</form>
<ul id="notes"></ul>
<p id="empty" hidden>Nothing here yet.</p>
<script src="/static/notes.js"></script>"""

NOTE = """\
<header>
  <h1>Note {number}</h1>
  <a href="/">All notes</a>
</header>
<article class="card">
  <p class="text">{text}</p>
  <footer><time>{time}</time></footer>
</article>"""

# The files are looked for on the disk at each request: edit one and reload the page.
hwebserver.registerStaticFilesDirectory(STATIC, "/static")


@hwebserver.urlHandler("/", methods=["GET"])
def board(request):
    return PAGE.format(title="Notes", body=BOARD)


# What stands in braces is passed by its name; what is no whole number is not found.
@hwebserver.urlHandler("/note/{number:int}", methods=["GET"])
def show(request, number):
    with lock:
        note = notes.get(number)
    if note is None:
        return hwebserver.errorResponse(request, f"There is no note {number}.", 404)
    # Everything that people have typed is escaped on its way into a page.
    body = NOTE.format(number=number, text=escape(note["text"]), time=note["time"])
    return PAGE.format(title=f"Note {number}", body=body)


@hwebserver.urlHandler("/notes.txt", methods=["GET"])
def download(request):
    with lock:
        parts = [f"Note {n['number']}, {n['time']}\n\n{n['text']}\n" for n in notes.values()]
    response = hwebserver.Response(f"\n{'-' * 40}\n\n".join(parts), content_type="text/plain")
    response.setHeader("Content-Disposition", 'attachment; filename="notes.txt"')
    return response


# The functions below are called by POST to /api; notes.js shows both forms of a call.


@hwebserver.apiFunction("notes")
def add(request, text):
    text = text.strip()
    if not text:
        raise hwebserver.APIError("A note needs some text.")  # the caller gets 422 and this
    with lock:
        number = next(numbers)
        time = datetime.now().strftime("%Y-%m-%d %H:%M")
        notes[number] = {"number": number, "text": text, "time": time}
        return notes[number]


@hwebserver.apiFunction("notes")
def newest_first(request):
    with lock:
        return list(reversed(list(notes.values())))


# A form holds text alone: arg_types says what to make of it.
@hwebserver.apiFunction("notes", arg_types={"number": int})
def remove(request, number):
    with lock:
        if notes.pop(number, None) is None:
            raise hwebserver.APIError(f"There is no note {number}.")


if __name__ == "__main__":
    hwebserver.run()
