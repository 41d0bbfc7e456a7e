"""Responses that are made while they are sent, read by a browser."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def page(browser, playground):
    """A page without anything on it; a test that leaves something in the console fails."""
    browser.open(f"{playground.address}/")
    yield browser
    assert browser.console() == []


def test_a_script_reads_a_response_piece_by_piece(page):
    read = page.run_async("""
        const say = body => fetch("/say", {method: "POST", body});
        await say("one");
        const response = await fetch("/said");
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        const read = [];
        // What comes next is said when the piece before has been read, so none can wait for it.
        for (const next of ["two — 二", "three", ""]) {
          read.push((await reader.read()).value);
          await say(next);
        }
        return [...read, (await reader.read()).done];
    """)
    assert read == ["one", "two — 二", "three", True]


def test_an_event_source_comes_again_and_names_the_last_event(page):
    told = page.run_async("""
        const source = new EventSource("/events");
        const told = [];
        await new Promise(resolve => {
          source.onmessage = event => {
            told.push([event.lastEventId, event.data]);
            if (told.length === 6) resolve();
          };
        });
        source.close();
        return told;
    """)
    assert told == [[str(n), f"after {(n - 1) // 2 * 2}"] for n in range(1, 7)]


def test_an_event_source_that_is_closed_frees_its_stream(page, playground):
    page.run_async("""
        window.source = new EventSource("/silence");
        await new Promise(resolve => { source.onmessage = resolve; });
    """)
    assert playground.get("/silence/count").text == "1"
    page.run("source.close()")
    page.wait_until(lambda: playground.get("/silence/count").text == "0")


def test_more_streams_than_workers_leave_room_for_requests(page, playground):
    """A browser opens six connections to one host; each of these streams has one."""
    page.run_async("""
        window.sources = Array.from({length: 5}, () => new EventSource("/silence"));
        await Promise.all(sources.map(
            source => new Promise(resolve => { source.onmessage = resolve; })));
    """)
    rows = page.run_async("return (await (await fetch('/rows.json')).json()).length")
    assert rows == 2000
    page.run("sources.forEach(source => source.close())")
    page.wait_until(lambda: playground.get("/silence/count").text == "0")


def test_a_stream_that_is_compressed_is_read_as_it_was(page):
    size = page.run_async("""
        const plain = await fetch("/rows.txt");
        const packed = await fetch("/rows.txt?gzip");
        return [
          packed.headers.get("Content-Encoding"),
          await plain.text() === await packed.text(),
        ];
    """)
    assert size == ["gzip", True]


def test_a_script_posts_a_form_with_a_blob(page):
    answer = page.run_async("""
        const form = new FormData();
        form.append("note", "line\\nend");
        form.append("file", new Blob([new Uint8Array(3_000_000)]), "blob “1”\\n.bin");
        form.append("file", new File([], "empty.txt", {type: "text/plain"}));
        return await (await fetch("/form", {method: "POST", body: form})).json();
    """)
    assert answer["fields"] == {"note": "line\r\nend"}
    assert [one["name"] for one in answer["files"]["file"]] == ["blob “1”.bin", "empty.txt"]
    assert [one["size"] for one in answer["files"]["file"]] == [3_000_000, 0]
    assert answer["files"]["file"][1]["type"] == "text/plain"
