"""Files and streams, sent and read by requests: the client that most Python programs use."""

from __future__ import annotations

import json
import os
import urllib.parse
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from integration.components import find_module

pytestmark = pytest.mark.integration

#: Names of files that a form must escape, or say in UTF-8.
NAMES = ["Straße — 日本.txt", 'the "final" cut.mov', "semi;colon=100%.txt"]


def listed(answer):
    """Return the names and sizes of the files that the playground got."""
    return [(file["name"], file["size"]) for file in answer.json()["files"]["file"]]


def test_a_session_posts_several_files_and_fields(session, playground):
    files = [("file", (name, bytes(size))) for name, size in zip(NAMES, (0, 10, 3_000_000))]
    answer = session.post(
        f"{playground.address}/form", data={"note": "größer", "x": ["1", "2"]}, files=files
    )
    assert answer.json()["fields"] == {"note": "größer", "x": "2"}
    assert listed(answer) == list(zip(NAMES, (0, 10, 3_000_000)))


def test_a_session_posts_a_file_whose_name_is_given_as_rfc_8187_says(session, playground):
    """As older clients of Python do for names outside ASCII."""
    extended = f"filename*=UTF-8''{urllib.parse.quote(NAMES[0], safe='')}"
    field = find_module("urllib3.fields").RequestField("file", b"content")
    field.headers["Content-Disposition"] = f'form-data; name="file"; {extended}'
    body, kind = find_module("urllib3.filepost").encode_multipart_formdata([field])
    answer = session.post(f"{playground.address}/form", data=body, headers={"Content-Type": kind})
    assert listed(answer) == [(NAMES[0], 7)]


def test_a_session_posts_a_form_in_small_pieces(session, playground):
    body, kind = find_module("urllib3.filepost").encode_multipart_formdata(
        {"note": "x", "file": ("clip.bin", bytes(range(256)) * 40)}
    )
    pieces = (body[start : start + 7] for start in range(0, len(body), 7))
    answer = session.post(f"{playground.address}/form", data=pieces, headers={"Content-Type": kind})
    assert answer.json()["fields"] == {"note": "x"}
    assert listed(answer) == [("clip.bin", 10240)]
    assert answer.json()["files"]["file"][0]["checksum"] == zlib.crc32(bytes(range(256)) * 40)


def test_a_session_uploads_what_a_generator_makes(session, playground):
    block = os.urandom(100_000)
    answer = session.put(f"{playground.address}/body", data=(block for _ in range(100)))
    assert answer.json() == {"size": 10_000_000, "checksum": zlib.crc32(block * 100)}


def test_a_session_reads_a_stream_piece_by_piece(session, playground):
    """What is said next is said when the piece before has been read."""
    say = f"{playground.address}/say"
    session.post(say, data="one")
    read = []
    with session.get(f"{playground.address}/said", stream=True) as stream:
        pieces = stream.iter_content(None, decode_unicode=True)
        for following in ("two ä", "three", ""):
            read.append(next(pieces))
            session.post(say, data=following.encode())
        assert list(pieces) == []
    assert read == ["one", "two ä", "three"]


def test_a_session_leaves_a_stream_and_the_next_request_is_answered(session, playground):
    with session.get(f"{playground.address}/blocks", stream=True) as stream:
        assert len(next(stream.iter_content(1000))) == 1000
    assert session.get(f"{playground.address}/rows.json").json()[3] == {"row": 3, "square": 9}


# --- the review page ---


def shared_clip(session, dailies):
    """Return the URL of a clip, which is made at the first call."""
    url = f"{dailies.address}/clips/ä.wav"
    if not session.get(url).ok:
        files = {"clip": ("ä.wav", b"content and its end")}
        assert session.post(f"{dailies.address}/clips", files=files).ok
    return url


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [("0-6", 206, b"content"), ("-3", 206, b"end"), ("100-", 416, None), ("x", 200, None)],
)
def test_a_session_asks_for_a_range(session, dailies, asked, status, part):
    url = shared_clip(session, dailies)
    answer = session.get(url, headers={"Range": f"bytes={asked}"})
    assert answer.status_code == status
    assert part is None or answer.content == part


def test_a_session_asks_for_a_range_of_what_has_changed(session, dailies):
    url = shared_clip(session, dailies)
    tag = session.get(url).headers["ETag"]
    ask = {"Range": "bytes=0-6"}
    assert session.get(url, headers={**ask, "If-Range": tag}).content == b"content"
    assert session.get(url, headers={**ask, "If-Range": '"other"'}).status_code == 200


def test_a_session_calls_a_function_with_json_and_a_file(session, dailies):
    call = json.dumps(["dailies.add", [], {"note": "größer"}])
    files = {"clip": (NAMES[1], b"\x00\r\n--content")}
    clip = session.post(f"{dailies.address}/api", data={"json": call}, files=files).json()
    assert (clip["name"], clip["note"], clip["size"]) == (NAMES[1], "größer", 12)
    content = session.get(f"{dailies.address}/clips/{urllib.parse.quote(NAMES[1])}")
    assert content.content == b"\x00\r\n--content"
    assert content.headers["Content-Type"] == "video/quicktime"


def test_a_session_is_told_the_name_to_save_a_clip_under(session, dailies):
    url = shared_clip(session, dailies)
    assert "Content-Disposition" not in session.get(url).headers
    value = session.get(url, params={"download": ""}).headers["Content-Disposition"]
    assert value == "attachment; filename=\"_.wav\"; filename*=UTF-8''%C3%A4.wav"


def test_clips_that_many_add_at_once_under_one_name_are_all_kept(session, dailies):
    def add(number):
        files = {"clip": ("shot.txt", str(number))}
        return session.post(f"{dailies.address}/clips", files=files).json()[0]["name"]

    with ThreadPoolExecutor(8) as clients:
        names = list(clients.map(add, range(40)))
    kept = {session.get(f"{dailies.address}/clips/{name}").text for name in names}
    assert len(set(names)) == 40
    assert kept == {str(number) for number in range(40)}


def test_a_page_that_is_sent_as_a_clip_is_never_shown_as_one(session, dailies):
    files = [("clip", (name, "<script>alert(1)</script>")) for name in ("a.html", "a.svg")]
    assert session.post(f"{dailies.address}/clips", files=files).ok
    for name in ("a.html", "a.svg"):
        head = session.head(f"{dailies.address}/clips/{name}").headers
        assert head["Content-Disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("name", [".notes.json", "..", ".", "...", "CON", "x" * 300 + ".txt"])
def test_a_clip_of_a_wicked_name_is_kept_under_another(session, dailies, name):
    (clip,) = session.post(f"{dailies.address}/clips", files={"clip": (name, b"content")}).json()
    assert session.get(f"{dailies.address}/clips/{clip['name']}").content == b"content"
    assert not clip["name"].startswith(".")
