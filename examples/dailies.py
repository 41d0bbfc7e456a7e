"""A review page: drop renders, watch them as they come in, take all of them home.

    python -m hwebserver examples/dailies.py

Open the address it prints. Clips are kept in the folder that DAILIES_FOLDER names; without it in a
temporary folder, which is gone when the program ends. A render farm adds a clip like this:

    curl -F cmd_function=dailies.add -F clip=@shot.mov -F note=comp http://127.0.0.1:8008/api
"""

import atexit
import hashlib
import json
import mimetypes
import os
import shutil
import tempfile
import threading
import zipfile
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path

import hwebserver

named = os.environ.get("DAILIES_FOLDER")
FOLDER = Path(named or tempfile.mkdtemp(prefix="dailies-")).resolve()
FOLDER.mkdir(parents=True, exist_ok=True)
if not named:
    atexit.register(shutil.rmtree, FOLDER)
NOTES = FOLDER / ".notes.json"  # no clip: their names do not begin with a dot

# Handlers run on several threads, so what they share is used under a lock; this one can also be
# waited for, until somebody tells of a change.
changed = threading.Condition()
clips = {}  # name: clip, the oldest first


def describe(path, note):
    size, time = path.stat().st_size, int(path.stat().st_mtime * 1000)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {"name": path.name, "note": note, "size": size, "time": time, "type": kind}


notes = json.loads(NOTES.read_text("utf-8")) if NOTES.exists() else {}
found = [path for path in FOLDER.iterdir() if path.is_file() and not path.name.startswith(".")]
for path in sorted(found, key=os.path.getmtime):
    clips[path.name] = describe(path, notes.get(path.name, ""))


def change(name, clip):
    """List a clip, or list it no more if it is None."""
    with changed:
        if clip is not None:
            clips[name] = clip
        elif clips.pop(name, None) is None:
            raise hwebserver.HTTPError(404, f"There is no clip {name}.")
        NOTES.write_text(json.dumps({each: clips[each]["note"] for each in clips}), "utf-8")
        changed.notify_all()
    return clip


def newest_first():
    with changed:
        return [*reversed(clips.values())]


def version():
    return hashlib.sha256(json.dumps(newest_first()).encode()).hexdigest()[:16]


def reserve(name):
    """Return a path in the folder that is no other clip's, whatever the client calls its file."""
    stem, ending = os.path.splitext(name.lstrip(".") or "clip")
    for number in count(1):
        path = FOLDER / (f"{stem} ({number}){ending}" if number > 1 else stem + ending)
        with suppress(FileExistsError):
            path.touch(exist_ok=False)
            return path


def keep(upload, note):
    try:
        path = reserve(upload.name())
        mode = path.stat().st_mode
        upload.saveToDisk()  # small ones come in memory
        shutil.move(upload.temporaryFilePath(), path)
        path.chmod(mode)  # a temporary file is for its owner alone
    except OSError as error:  # the disk is full, or the system has no such names
        raise hwebserver.HTTPError(422, f"{upload.name()} cannot be kept: {error.strerror}.")
    return change(path.name, describe(path, note.strip()))


hwebserver.registerStaticFilesDirectory(Path(__file__).resolve().parent / "dailies_static", "/")


# The page learns of each change here. A browser that lost the connection comes back by itself and
# names the version that it has seen last, so it misses nothing and is told nothing twice.
@hwebserver.urlHandler("/events", methods=["GET"])
def events(request):
    gone = threading.Event()

    def versions(seen):
        while not gone.is_set():
            with changed:
                while version() == seen and not gone.is_set():
                    changed.wait()
                seen, data = version(), newest_first()
            yield {"id": seen, "data": data}

    def leave():  # the browser has left: end the thread that waits
        gone.set()
        with changed:
            changed.notify_all()

    seen = request.headers().get("Last-Event-ID")
    return hwebserver.eventStreamResponse(versions(seen), retry=1000, on_close=leave)


# A form with files is taken apart while it arrives: large ones go to the disk, not into memory.
@hwebserver.urlHandler("/clips", methods=["POST"])
def upload(request):
    files = request.filesList("clip")
    if not files:
        raise hwebserver.HTTPError(422, "Choose at least one file.")
    return [keep(file, request.POST().get("note", "")) for file in files]


# Players seek with ranges, which fileResponse answers.
@hwebserver.urlHandler("/clips/{name}", methods=["GET"])
def show(request, name):
    clip = clips.get(name)
    if clip is None:
        raise hwebserver.HTTPError(404, f"There is no clip {name}.")
    # A page or a drawing could run scripts in the name of this site: all but media is saved only.
    is_media = clip["type"].startswith(("audio/", "image/", "video/")) and "svg" not in clip["type"]
    saved_as = None if is_media and "download" not in request.GET() else name
    return hwebserver.fileResponse(FOLDER / name, clip["type"], download_as_filename=saved_as)


@hwebserver.urlHandler("/dailies.zip", methods=["GET"])
def download_all(request):
    response = hwebserver.Response(zipped(newest_first()), content_type="application/zip")
    response.setHeader("Content-Disposition", 'attachment; filename="dailies.zip"')
    return response


# A response made of an iterator is made while it is sent: each piece when the client has taken the
# one before. So the archive is never in memory, nor on the disk.
def zipped(listed):
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:  # stored: renders are compressed already
        for path in (FOLDER / clip["name"] for clip in listed if clip["name"] in clips):
            entry = zipfile.ZipInfo.from_file(path, path.name, strict_timestamps=False)
            with open(path, "rb") as clip, archive.open(entry, "w", force_zip64=True) as member:
                while block := clip.read(1 << 18):
                    member.write(block)
                    yield pipe.take()
    yield pipe.take()


class Pipe(deque):
    """What zipfile writes to: it cannot seek, and holds what was not taken yet."""

    def write(self, data):
        self.append(bytes(data))
        return len(data)

    def flush(self):
        pass

    def take(self):
        taken = b"".join(self)
        self.clear()
        return taken


# What follows is called by POST to /api.
@hwebserver.apiFunction("dailies")
def add(request, clip, note=""):
    if not isinstance(clip, hwebserver.UploadedFile):
        raise hwebserver.APIError("Send the clip as a file.")
    return keep(clip, note)


@hwebserver.apiFunction("dailies")
def remove(request, name):
    change(name, None)
    (FOLDER / name).unlink(missing_ok=True)


@hwebserver.apiFunction("dailies")
def list(request):
    return newest_first()


if __name__ == "__main__":
    hwebserver.run()
