"""Forms with files and other large bodies, sent by curl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from integration.program import serving_tidily
from support import PATIENCE, wait_until

pytestmark = pytest.mark.integration

#: What ``curl --fail-with-body`` exits with when the status is 400 or more.
FAILED = 22

MEGABYTE = 1 << 20

#: The memory that an upload may take beside what the server has anyway: 4 MB, whatever its size.
FLAT = 4 * MEGABYTE

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """The playground, where a request has at most a megabyte."""
    playground = str(Path(__file__).with_name("playground.py"))
    root = tmp_path_factory.mktemp("narrow")
    with serving_tidily(playground, root=root, HWEBSERVER_MAX_REQUEST_SIZE="1000000") as server:
        yield server


@pytest.fixture
def large(tmp_path):
    """Make a file of a size that takes no room on the disk."""

    def make(size):
        path = tmp_path / "large.exr"
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    return make


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def form_file(path, field="file"):
    """Return the argument that has curl send a file, whatever its name holds."""
    quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'{field}=@"{quoted}"'


def files_in(server_root):
    return [one for one in server_root.rglob("*") if one.is_file()]


# --- forms ---


def test_sends_several_files_and_fields(curl, playground, tmp_path):
    small = write(tmp_path, "small.txt", b"\r\n--\r\nsmall\r\n")
    large = write(tmp_path, "large.bin", os.urandom(3 * MEGABYTE))
    arguments = ["-F", "note=ä & b", "-F", form_file(small), "-F", form_file(large)]
    answer = json.loads(curl(*arguments, f"{playground.address}/form").stdout)
    assert answer["fields"] == {"note": "ä & b"}
    first, second = answer["files"]["file"]
    assert first["name"] == "small.txt"
    assert first["type"] == "text/plain"
    assert first["in_memory"]
    assert first["checksum"] == zlib.crc32(small.read_bytes())
    assert second["name"] == "large.bin"
    assert not second["in_memory"]
    assert second["checksum"] == zlib.crc32(large.read_bytes())


@pytest.mark.parametrize(
    "name", ["Straße — 日本.txt", 'the "final" cut.mov', "semi;colon=100%.txt", "a\u0301.txt", "'"]
)
def test_sends_a_file_of_any_name(curl, playground, tmp_path, name):
    path = write(tmp_path, name, b"content")
    answer = json.loads(curl("-F", form_file(path), f"{playground.address}/form").stdout)
    assert [one["name"] for one in answer["files"]["file"]] == [name]


def test_sends_a_name_with_a_path_and_only_the_name_is_kept(curl, playground, tmp_path):
    path = write(tmp_path, "x", b"content")
    argument = f"file=@{path};filename=../../etc/passwd"
    answer = json.loads(curl("-F", argument, f"{playground.address}/form").stdout)
    assert answer["files"]["file"][0]["name"] == "passwd"


def test_sends_a_form_in_chunks(curl, playground, tmp_path):
    path = write(tmp_path, "clip.bin", os.urandom(5 * MEGABYTE + 1))
    chunked = ["-H", "Transfer-Encoding: chunked"]
    answer = curl(*chunked, "-F", "x=1", "-F", form_file(path), f"{playground.address}/form").stdout
    (file,) = json.loads(answer)["files"]["file"]
    assert file["size"] == 5 * MEGABYTE + 1
    assert file["checksum"] == zlib.crc32(path.read_bytes())


def test_sends_what_it_reads_from_a_program_in_chunks(curl_command, playground):
    arguments = ["-T", "-", "-H", "Expect:", f"{playground.address}/body"]
    content = os.urandom(3 * MEGABYTE + 7)
    ended = subprocess.run(
        [*curl_command, *arguments],
        input=content,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert json.loads(ended.stdout) == {"size": len(content), "checksum": zlib.crc32(content)}


def test_gives_an_api_function_a_file(curl, dailies, tmp_path):
    path = write(tmp_path, "clip.bin", os.urandom(MEGABYTE))
    call = ["-F", "cmd_function=dailies.add", "-F", "note=ready", "-F", form_file(path, "clip")]
    clip = json.loads(curl(*call, f"{dailies.address}/api").stdout)
    assert (clip["name"], clip["note"], clip["size"]) == ("clip.bin", "ready", MEGABYTE)


def test_is_told_that_an_api_function_wants_a_file(curl, dailies):
    call = ["-F", "cmd_function=dailies.add", "-F", "clip=text"]
    answer = curl(*call, f"{dailies.address}/api", code=FAILED)
    assert json.loads(answer.stdout) == {"error": "Send the clip as a file."}


def test_is_told_which_file_is_sent_twice(curl, dailies, tmp_path):
    file = form_file(write(tmp_path, "x", b"content"), "clip")
    call = ["-F", "cmd_function=dailies.add", "-F", file, "-F", file]
    answer = curl(*call, f"{dailies.address}/api", code=FAILED)
    error = json.loads(answer.stdout)["error"]
    assert "dailies.add" in error
    assert "'clip'" in error


# --- what is large ---


def as_form(path):
    return ["-F", form_file(path), "/form"]


def as_form_in_chunks(path):
    return ["-H", "Transfer-Encoding: chunked", *as_form(path)]


def as_body(path):
    return ["-T", path, "/body"]


@linux_only
@pytest.mark.parametrize(
    # What malloc keeps between pieces of many sizes, and for each thread that slow disks call
    # in, is more, but nowhere near the upload.
    ("way", "size", "most"),
    [(as_form, 1024, FLAT), (as_body, 256, 2 * FLAT), (as_form_in_chunks, 256, 6 * FLAT)],
)
def test_sends_a_large_file_that_never_is_in_memory(curl, playground, large, way, size, most):
    def send(megabytes):
        *arguments, target = way(large(megabytes * MEGABYTE))
        url = f"{playground.address}{target}"
        answer = curl(*arguments, url, patience=6 * PATIENCE).stdout
        assert f'"size": {megabytes * MEGABYTE}' in answer

    send(64)  # what any upload takes, whichever thread takes it, is no growth
    before = playground.forget_peak_memory()
    send(size)
    assert playground.peak_memory() - before < most


@linux_only
def test_gets_an_archive_that_never_is_in_memory(curl, dailies, large):
    curl("-F", form_file(large(200 * MEGABYTE), "clip"), f"{dailies.address}/clips")
    curl("-o", os.devnull, "--range", "0-0", f"{dailies.address}/dailies.zip")
    before = dailies.forget_peak_memory()
    size = curl("-o", os.devnull, "-w", "%{size_download}", f"{dailies.address}/dailies.zip").stdout
    assert int(size) > 200 * MEGABYTE
    assert dailies.peak_memory() - before < FLAT
    curl("-d", "cmd_function=dailies.remove", "-d", "name=large.exr", f"{dailies.address}/api")


def test_breaks_an_upload_off_and_nothing_of_it_stays(curl_beside, tmp_path_factory, large):
    root = tmp_path_factory.mktemp("broken")
    target = str(Path(__file__).with_name("playground.py"))
    with serving_tidily(target, root=root) as server:
        rate = ["--limit-rate", "5M"]
        upload = curl_beside(
            *rate, "-F", form_file(large(1024 * MEGABYTE)), f"{server.address}/form"
        )
        wait_until(lambda: files_in(root))
        upload.kill()
        wait_until(lambda: not files_in(root))
        assert server.get("/rows").status == 200


# --- what is too large ---


@pytest.mark.parametrize("option", ["-F", "--data-binary"])
def test_is_refused_what_is_too_large_before_it_is_sent(curl, narrow, tmp_path, option):
    path = write(tmp_path, "large", bytes(2 * MEGABYTE))
    body = form_file(path) if option == "-F" else f"@{path}"
    arguments = ["-v", "-H", "Expect: 100-continue", option, body, "-w", " %{size_upload}"]
    answer = curl(*arguments, f"{narrow.address}/form", code=FAILED)
    assert "HTTP/1.1 413 " in answer.stderr
    assert "100 Continue" not in answer.stderr
    assert answer.stdout.endswith(" 0")


def test_is_refused_what_turns_out_to_be_too_large(curl, narrow, tmp_path):
    path = write(tmp_path, "large", bytes(2 * MEGABYTE))
    arguments = ["-v", "-H", "Expect:", "-H", "Transfer-Encoding: chunked", "-F", form_file(path)]
    answer = curl(*arguments, f"{narrow.address}/form", code=FAILED)
    assert "HTTP/1.1 413 " in answer.stderr


def test_is_told_that_it_is_too_large_although_it_does_not_wait(curl, narrow, tmp_path):
    path = write(tmp_path, "large", bytes(2 * MEGABYTE))
    arguments = ["-v", "-H", "Expect:", "-F", form_file(path)]
    answer = curl(*arguments, f"{narrow.address}/form", code=FAILED)
    assert "HTTP/1.1 413 " in answer.stderr
