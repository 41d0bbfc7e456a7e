"""Files and streams, fetched by curl: whole, in part, resumed, compressed, slowly and again."""

from __future__ import annotations

import email
import gzip
import json
import os
import signal
import zipfile

import pytest
from integration.components import curl_option
from integration.program import ROOT, serving
from support import wait_until

pytestmark = pytest.mark.integration

FAILED = 22

#: Random, and more than curl takes at once before it minds its limit of speed.
CONTENT = os.urandom(24 << 20)

SIZE = len(CONTENT)

PAGE = "<!DOCTYPE html>\n" + "<p>All work and no play.\n" * 500

STYLE = "body { color: black }\n" * 1000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a large file, a page and a style sheet that also is there compressed."""
    root = tmp_path_factory.mktemp("files")
    (root / "clip.bin").write_bytes(CONTENT)
    (root / "page.html").write_text(PAGE, encoding="utf-8")
    (root / "style.css").write_text(STYLE, encoding="utf-8")
    (root / "style.css.gz").write_bytes(gzip.compress(STYLE.encode(), mtime=0))
    with serving(str(root), "--threads", "2", cwd=root) as server:
        yield server


@pytest.fixture
def url(files):
    """Where the large file is."""
    return f"{files.address}/clip.bin"


@pytest.fixture
def saved(tmp_path):
    """Where curl writes to."""
    return tmp_path / "saved"


def heads(path):
    """Return the lines of what ``--dump-header`` wrote."""
    return path.read_text(encoding="ascii").splitlines()


# --- ranges ---


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("0-0", 0, 1), ("1000-1999", 1000, 2000), ("-10", -10, None), ("25165800-", 25165800, None)],
)
def test_gets_a_range(curl, url, saved, asked, start, end):
    status = curl("--range", asked, "-o", saved, "-w", "%{http_code}", url).stdout
    assert status == "206"
    assert saved.read_bytes() == CONTENT[start:end]


def test_gets_several_ranges(curl, url, saved, tmp_path):
    head = tmp_path / "head"
    curl("--range", "0-9,1000000-1000999,-5", "-o", saved, "-D", head, url)
    assert heads(head)[0] == "HTTP/1.1 206 Partial Content"
    (kind,) = (line for line in heads(head) if line.startswith("Content-Type:"))
    message = email.message_from_bytes(kind.encode() + b"\n\n" + saved.read_bytes())
    parts = message.get_payload()
    assert [one["Content-Range"] for one in parts] == [
        f"bytes 0-9/{SIZE}",
        f"bytes 1000000-1000999/{SIZE}",
        f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}",
    ]
    # What the parser of mails makes of line ends in such data is its own; the sizes are ours.
    length = [line for line in heads(head) if line.startswith("Content-Length:")]
    assert length == [f"Content-Length: {saved.stat().st_size}"]
    for piece in (CONTENT[:10], CONTENT[1000000:1001000], CONTENT[-5:]):
        assert b"\r\n\r\n" + piece + b"\r\n--" in saved.read_bytes()


def test_is_told_that_there_is_no_such_range(curl, url, tmp_path):
    head = tmp_path / "head"
    curl("--range", f"{SIZE}-", "-D", head, url, code=FAILED)
    assert heads(head)[0].startswith("HTTP/1.1 416 ")
    assert f"Content-Range: bytes */{SIZE}" in heads(head)


def test_resumes_a_download_that_was_cut(curl, curl_beside, url, saved):
    download = curl_beside("--limit-rate", "1M", "-o", saved, url)
    wait_until(lambda: saved.exists() and saved.stat().st_size)
    download.kill()
    download.wait()
    assert 0 < saved.stat().st_size < SIZE
    assert curl("-C", "-", "-o", saved, "-w", "%{http_code}", url).stdout == "206"
    assert saved.read_bytes() == CONTENT


def test_resumes_a_download_that_is_complete(curl, url, saved):
    curl("-o", saved, url)
    ended = curl("-C", "-", "-o", saved, "-w", "%{http_code}", url, code=FAILED)
    assert ended.stdout == "416"
    assert saved.read_bytes() == CONTENT


# --- compressed ---


def decoded(curl, url, saved, head):
    """Return what a compressed answer is when curl has unpacked it; see that it was compressed."""
    curl("--compressed", "-o", saved, "-D", head, url)
    assert "Content-Encoding: gzip" in heads(head)
    assert any(line.startswith("Vary:") and "Accept-Encoding" in line for line in heads(head))
    return saved.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["/rows.json", "/rows", "/rows.txt?gzip"])
def test_gets_an_answer_compressed(curl, playground, saved, tmp_path, path):
    url = f"{playground.address}{path}"
    assert decoded(curl, url, saved, tmp_path / "head") == curl(url).stdout


def test_gets_the_compressed_sibling_of_a_file(curl, files, saved, tmp_path):
    url = f"{files.address}/style.css"
    assert decoded(curl, url, saved, tmp_path / "head") == STYLE
    assert "Content-Type: text/css; charset=utf-8" in heads(tmp_path / "head")
    assert curl(url).stdout == STYLE


def test_gets_a_range_of_the_compressed_sibling(curl, files, saved):
    accept = ["-H", "Accept-Encoding: gzip"]
    curl(*accept, "--range", "0-9", "-o", saved, f"{files.address}/style.css")
    assert saved.read_bytes() == gzip.compress(STYLE.encode(), mtime=0)[:10]


# --- again ---


def test_gets_a_file_only_if_it_is_newer(curl, files, saved):
    url = f"{files.address}/page.html"
    curl("--remote-time", "-o", saved, url)
    assert curl("-z", saved, "-w", "%{http_code}", url).stdout == "304"
    os.utime(saved, (0, 1_000_000_000))
    assert curl("-z", saved, url).stdout == PAGE


@pytest.mark.parametrize("compressed", [[], ["--compressed"]])
@pytest.mark.parametrize("name", ["page.html", "style.css"])
def test_gets_a_file_only_if_its_tag_is_another(curl, files, saved, tmp_path, name, compressed):
    url = f"{files.address}/{name}"
    tag = tmp_path / "tag"
    curl(*compressed, curl_option("--etag-save"), tag, "-o", saved, url)
    again = [*compressed, "--etag-compare", tag, "-w", "%{http_code}"]
    assert curl(*again, url).stdout == "304"
    tag.write_text('"another"\n', encoding="ascii")
    assert curl(*again, url).stdout.endswith("200")


# --- heads ---


def test_asks_for_the_head_of_a_file(curl, url):
    head = curl("-I", url).stdout.splitlines()
    assert head[0] == "HTTP/1.1 200 OK"
    assert f"Content-Length: {SIZE}" in head
    assert "Accept-Ranges: bytes" in head
    assert head[-1] == ""


@pytest.mark.parametrize("path", ["/rows.txt", "/rows.txt?gzip", "/rows.json"])
def test_asks_for_the_head_of_an_answer_and_for_the_answer_behind_it(curl, playground, path):
    url = f"{playground.address}{path}"
    count = curl("-I", url, "--next", "-s", "-o", os.devnull, "-w", "%{num_connects}", url).stdout
    assert count.startswith("HTTP/1.1 200 OK\n")
    assert count.endswith("\n\n0")


# --- slow clients and streams ---


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="the system cannot halt a process")
@pytest.mark.parametrize(("kind", "path"), [("files", "/clip.bin"), ("playground", "/blocks")])
def test_takes_its_time_while_others_are_answered(curl_beside, request, tmp_path, kind, path):
    """More slow downloads than workers; none of them holds one."""
    server = request.getfixturevalue(kind)
    copies = [tmp_path / f"slow{number}" for number in range(6)]
    url = f"{server.address}{path}"
    slow = [curl_beside("--limit-rate", "10M", "-o", copy, url) for copy in copies]
    wait_until(lambda: all(copy.exists() and copy.stat().st_size for copy in copies))
    for process in slow:
        process.send_signal(signal.SIGSTOP)
    assert all(copy.stat().st_size < SIZE for copy in copies)
    assert {server.get("/nothing").status for _ in range(10)} == {404}
    whole = server.get(path).body
    for process in slow:
        process.send_signal(signal.SIGCONT)
    assert [process.wait() for process in slow] == [0] * 6
    assert len(whole) == SIZE
    assert all(copy.read_bytes() == whole for copy in copies)
    for copy in copies:
        copy.unlink()  # pytest would keep 144 MB


def test_gets_a_stream_whole_over_http_1_0(curl, playground):
    url = f"{playground.address}/rows.txt"
    assert curl("--http1.0", url).stdout == curl(url).stdout
    assert curl(url).stdout.endswith("1999² = 3996001\n")


def test_reads_a_stream_while_it_is_made(curl, curl_beside, playground):
    """What is said next has not been said when the piece before arrives."""
    curl("-d", "one\n", f"{playground.address}/say")
    reader = curl_beside("-N", f"{playground.address}/said")
    assert reader.stdout.readline() == b"one\n"
    curl("--data-binary", "two\n", f"{playground.address}/say")
    assert reader.stdout.readline() == b"two\n"
    curl("-X", "POST", f"{playground.address}/say")
    assert reader.stdout.read() == b""
    assert reader.wait() == 0


def events(stream):
    """Yield the data of the events that come, as it comes."""
    for line in stream:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def test_reads_events_as_they_come(curl, curl_beside, dailies, tmp_path):
    path = tmp_path / "new.txt"
    path.write_text("content", encoding="utf-8")
    reader = curl_beside("-N", f"{dailies.address}/events")
    told = events(reader.stdout)
    assert next(told) == []
    curl("-F", f"clip=@{path}", "-F", "note=ä", f"{dailies.address}/clips")
    assert [(clip["name"], clip["note"]) for clip in next(told)] == [("new.txt", "ä")]
    curl("-d", "cmd_function=dailies.remove", "-d", "name=new.txt", f"{dailies.address}/api")
    assert next(told) == []


def test_is_told_at_once_that_the_server_stops(curl_beside, tmp_path):
    target = str(ROOT / "examples" / "dailies.py")
    with serving(target, cwd=tmp_path, DAILIES_FOLDER=str(tmp_path)) as server:
        reader = curl_beside("-N", f"{server.address}/events")
        next(events(reader.stdout))
        assert server.stop() == 0
        assert reader.wait() == 18  # its transfer is not complete: it would have gone on


def test_gets_all_clips_as_an_archive(curl, dailies, tmp_path, saved):
    contents = {"ä.txt": b"content", "empty.bin": b"", "large.bin": CONTENT}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        curl("-F", f"clip=@{tmp_path / name}", f"{dailies.address}/clips")
    saved.mkdir()
    curl("-O", "-J", "--output-dir", saved, f"{dailies.address}/dailies.zip")
    with zipfile.ZipFile(saved / "dailies.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == contents
