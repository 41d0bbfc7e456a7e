"""Media types by file name."""

from __future__ import annotations

import mimetypes

import pytest

from hwebserver.web.mime import guess_type


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html"), ("a.htm", "text/html"), ("a.css", "text/css"),
        ("a.js", "text/javascript"), ("a.mjs", "text/javascript"), ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"), ("a.png", "image/png"), ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"), ("a.gif", "image/gif"), ("a.webp", "image/webp"),
        ("a.avif", "image/avif"), ("a.txt", "text/plain"), ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"), ("a.mp4", "video/mp4"), ("a.pdf", "application/pdf"),
        ("a.zip", "application/zip"), ("a.xml", "text/xml"), ("a.glb", "model/gltf-binary"),
        ("a.csv", "text/csv"),
    ],
)  # fmt: skip
def test_what_the_web_needs_has_a_type(name, kind):
    assert guess_type(name) == kind


@pytest.mark.parametrize("name", ["A.HTML", "a.Html", "dir.css/a.html", "a.b.c.html", ".x.html"])
def test_the_end_of_the_name_decides_in_any_case(name):
    assert guess_type(name) == "text/html"


@pytest.mark.parametrize("name", ["", "a", "html", ".html", "a.", "a.html.", "a.unknown-ending",
                                  "dir.html/a", "a.html~"])  # fmt: skip
def test_what_is_unknown_is_octets(name):
    assert guess_type(name) == "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "kind"), [("a.tar.gz", "application/gzip"), ("a.svg.gz", "application/gzip")]
)
def test_a_compressed_file_is_what_its_last_ending_says(name, kind):
    assert guess_type(name) == kind


def test_types_that_only_python_knows_are_known(tmp_path):
    assert guess_type("a.tar") == "application/x-tar"
    assert guess_type("a.py") == "text/x-python"


def test_what_the_system_or_the_program_says_changes_nothing(tmp_path, monkeypatch):
    known = tmp_path / "mime.types"
    known.write_text("text/wrong js html own\n")
    monkeypatch.setattr(mimetypes, "knownfiles", [str(known)])
    mimetypes.init()
    try:
        mimetypes.add_type("text/wrong", ".js")
        mimetypes.add_type("text/wrong", ".own")
        assert mimetypes.guess_type("a.own")[0] == "text/wrong"
        assert guess_type("a.js") == "text/javascript"
        assert guess_type("a.own") == "application/octet-stream"
    finally:
        monkeypatch.undo()
        mimetypes.init()
