"""The examples, driven by curl."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.integration

#: What ``curl --fail-with-body`` exits with when the status is 400 or more.
FAILED = 22


def test_gets_a_page(curl, hello):
    assert "<h1>Hello, world!</h1>" in curl(hello.address).stdout


def test_gets_a_page_of_a_name_outside_ascii(curl, hello):
    assert curl(f"{hello.address}/hello/%C3%89lo%C3%AFse").stdout == "<h1>Hello, Éloïse!</h1>"


def test_calls_a_function_with_a_form(curl, hello):
    answer = curl("-d", "cmd_function=hello.add", "-d", "x=2", "-d", "y=3", f"{hello.address}/api")
    assert json.loads(answer.stdout) == 5


def test_calls_a_function_with_json_in_a_form(curl, hello):
    call = 'json=["hello.add", [2], {"y": 0.5}]'
    answer = curl("--data-urlencode", call, f"{hello.address}/api")
    assert json.loads(answer.stdout) == 2.5


def test_calls_a_function_with_json(curl, hello):
    kind = "Content-Type: application/json"
    answer = curl("-H", kind, "-d", '["hello.add", [2, 3], {}]', f"{hello.address}/api")
    assert json.loads(answer.stdout) == 5


def test_is_told_what_is_wrong_with_a_call(curl, hello):
    answer = curl(
        "-d", "cmd_function=hello.add", "-d", "x=two", f"{hello.address}/api", code=FAILED
    )
    error = json.loads(answer.stdout)["error"]
    assert "hello.add" in error
    assert "'x'" in error
    assert "422" in answer.stderr


def test_fails_for_a_page_that_is_not_there(curl, hello):
    answer = curl(f"{hello.address}/nothing", code=FAILED)
    assert "404" in answer.stderr


def test_gets_a_page_over_http_1_0(curl, hello):
    answer = curl("--http1.0", "-i", hello.address)
    assert answer.stdout.startswith("HTTP/1.1 200 OK\n")
    assert "Transfer-Encoding" not in answer.stdout
    assert "<h1>Hello, world!</h1>" in answer.stdout


def test_asks_for_the_head_alone(curl, hello):
    length = len(curl(hello.address).stdout)
    head = curl("-I", hello.address).stdout
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert f"Content-Length: {length}\n" in head
    assert head.endswith("\n\n")


def test_asks_for_the_methods(curl, hello):
    head = curl("-i", "-X", "OPTIONS", f"{hello.address}/hello/Ada").stdout
    assert head.startswith("HTTP/1.1 204 ")
    assert "Allow: GET, HEAD, OPTIONS\n" in head


def test_is_told_that_a_method_is_not_allowed(curl, hello):
    answer = curl("-i", "-X", "DELETE", f"{hello.address}/hello/Ada", code=FAILED).stdout
    assert answer.startswith("HTTP/1.1 405 ")
    assert "Allow: GET, HEAD, OPTIONS\n" in answer


def test_uses_one_connection_for_several_pages(curl, hello):
    page = f"{hello.address}/hello/Ada"
    answer = curl("-w", " %{num_connects}\n", page, page, page)
    assert answer.stdout.splitlines() == [f"<h1>Hello, Ada!</h1> {n}" for n in (1, 0, 0)]


def test_waits_for_leave_to_send_a_large_body(curl, hello, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * 3_000_000)
    expect = "Expect: 100-continue"
    answer = curl("-v", "-H", expect, "--data-binary", f"@{body}", hello.address)
    assert "HTTP/1.1 100 Continue" in answer.stderr
    assert "<h1>Hello, world!</h1>" in answer.stdout


def test_is_refused_a_large_body_before_it_is_sent(curl, hello, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * 3_000_000)
    arguments = ["-H", "Expect: 100-continue", "--data-binary", f"@{body}"]
    answer = curl("-v", *arguments, "-w", "%{size_upload}", f"{hello.address}/nothing", code=FAILED)
    assert "100 Continue" not in answer.stderr
    assert answer.stdout.endswith("</html>\n0")


# --- the notes board ---


def test_keeps_a_note_and_downloads_it(curl, notes, tmp_path):
    text = "Ünïcode & <b>signs</b>,\n  a second line = 100 % + more"
    source = tmp_path / "note.txt"
    source.write_text(text, encoding="utf-8")
    call = ["-d", "cmd_function=notes.add", "--data-urlencode", f"text@{source}"]
    note = json.loads(curl(*call, f"{notes.address}/api").stdout)
    assert note["text"] == text
    saved = tmp_path / "saved"
    saved.mkdir()
    curl("-O", "-J", "--output-dir", str(saved), f"{notes.address}/notes.txt")
    assert text in (saved / "notes.txt").read_text(encoding="utf-8")


def test_keeps_a_large_note_whole(curl, notes, tmp_path):
    text = "".join(f"line {n}\n" for n in range(200_000)).strip()
    source = tmp_path / "note.txt"
    source.write_text(text, encoding="utf-8")
    call = ["-d", "cmd_function=notes.add", "--data-urlencode", f"text@{source}"]
    note = json.loads(curl(*call, f"{notes.address}/api").stdout)
    assert note["text"] == text
    assert text in curl(f"{notes.address}/note/{note['number']}").stdout


def test_is_told_that_a_note_needs_text(curl, notes):
    call = ["-d", "cmd_function=notes.add", "-d", "text= "]
    answer = curl(*call, f"{notes.address}/api", code=FAILED)
    assert json.loads(answer.stdout) == {"error": "A note needs some text."}


def test_removes_a_note(curl, notes):
    add = ["--data-urlencode", 'json=["notes.add", ["to be removed"], {}]']
    number = json.loads(curl(*add, f"{notes.address}/api").stdout)["number"]
    remove = ["-d", "cmd_function=notes.remove", "-d", f"number={number}"]
    assert json.loads(curl(*remove, f"{notes.address}/api").stdout) is None
    assert "404" in curl(f"{notes.address}/note/{number}", code=FAILED).stderr


@pytest.mark.parametrize("path", ["/note/0", "/note/first", "/note/1/more", "/note/-1"])
def test_finds_no_note_that_is_not_there(curl, notes, path):
    assert "404" in curl(f"{notes.address}{path}", code=FAILED).stderr


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("notes.css", "text/css; charset=utf-8"),
        ("notes.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_gets_the_files_of_the_board(curl, notes, name, kind):
    head = curl("-I", f"{notes.address}/static/{name}").stdout
    assert f"Content-Type: {kind}\n" in head
