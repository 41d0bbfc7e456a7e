"""The review page, used by people with a browser while others add and remove clips."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import pytest
from integration.program import ROOT, serving, serving_tidily
from support import wait_until

pytestmark = pytest.mark.integration

DAILIES = str(Path("examples", "dailies.py"))

#: Names that a form must escape, or say in UTF-8.
NAMES = ["shot 010.txt", 'the "final" cut.txt', "Straße 2 — déjà vu 日本.txt", "100%25;a=b.txt"]


@pytest.fixture
def board(browser, dailies):
    """The page; a test that leaves something in the console fails."""
    open_board(browser, dailies)
    yield browser
    assert browser.console() == []


def open_board(browser, dailies):
    browser.open(f"{dailies.address}/")
    wait_until_live(browser)


def wait_until_live(browser):
    browser.wait_until(lambda: browser.texts("#state") == ["live"])


def choose(board, paths, note=""):
    """Fill the form in and send it."""
    board.find("#new input[type=file]").send_keys("\n".join(map(str, paths)))
    board.find("#new input[type=text]").send_keys(note)
    board.find("#new button").click()


def wait_for(board, *names):
    """Wait until clips of these names, and perhaps others, are listed."""
    board.wait_until(lambda: set(names) <= set(listed(board)))


def listed(board):
    """Return the names of the clips as they are listed."""
    return board.texts("#clips h2")


def card(board, name):
    """Return the card of a clip."""
    cards = board.driver.find_elements("css selector", "#clips .card")
    (found,) = (one for one in cards if one.find_element("css selector", "h2").text == name)
    return found


def write(folder, name, text="content"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def add_from_elsewhere(session, server, name, content=b"content"):
    """Add a clip as a program does."""
    form = {"cmd_function": "dailies.add", "note": "from the farm"}
    return session.post(f"{server.address}/api", data=form, files={"clip": (name, content)}).json()


def remove_from_elsewhere(session, server, name):
    form = {"cmd_function": "dailies.remove", "name": name}
    assert session.post(f"{server.address}/api", data=form).ok


def test_several_files_are_sent_by_the_form_and_keep_their_names(board, dailies, session, tmp_path):
    paths = [write(tmp_path, name, f"this is {name}") for name in NAMES]
    choose(board, paths, "all of <these> & more")
    wait_for(board, *NAMES)
    assert set(board.texts("#clips p")) == {"all of <these> & more"}
    assert board.find("#new input[type=text]").get_property("value") == ""
    links = board.run("return Array.from(document.querySelectorAll('#clips a'), a => a.href)")
    contents = {session.get(link).content.decode() for link in links}
    assert contents >= {f"this is {name}" for name in NAMES}


def test_a_file_of_a_name_that_is_taken_gets_another_one(board, tmp_path):
    choose(board, [write(tmp_path, "twice.txt", "first")])
    wait_for(board, "twice.txt")
    choose(board, [write(tmp_path, "twice.txt", "second")])
    wait_for(board, "twice.txt", "twice (2).txt")


def test_files_that_are_dropped_on_the_page_are_added(board):
    board.run("""
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["one"], "dropped “1”.txt"));
        dataTransfer.items.add(new File(["two"], "dropped 2.txt"));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true}));
    """)
    wait_for(board, "dropped “1”.txt", "dropped 2.txt")


def test_what_others_add_and_remove_is_listed_without_a_reload(board, dailies, session):
    board.run("window.loadedOnce = true")
    add_from_elsewhere(session, dailies, "from elsewhere.txt")
    wait_for(board, "from elsewhere.txt")
    remove_from_elsewhere(session, dailies, "from elsewhere.txt")
    board.wait_until(lambda: "from elsewhere.txt" not in listed(board))
    assert board.run("return window.loadedOnce") is True


def test_a_clip_that_is_removed_is_gone_for_everybody(board, dailies, session, tmp_path):
    choose(board, [write(tmp_path, "to go.txt")])
    wait_for(board, "to go.txt")
    card(board, "to go.txt").find_element("css selector", "button").click()
    board.wait_until(lambda: "to go.txt" not in listed(board))
    assert session.get(f"{dailies.address}/clips/to go.txt").status_code == 404


def test_a_download_is_saved_under_its_own_name(board, tmp_path):
    name = "Straße zum Meer 海.txt"
    choose(board, [write(tmp_path, name, "content of it")])
    wait_for(board, name)
    saved = tmp_path / "saved"
    board.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)}
    )
    card(board, name).find_element("css selector", "a").click()
    wait_until((saved / name).exists)
    assert (saved / name).read_text(encoding="utf-8") == "content of it"


def test_what_is_wrong_is_said_beside_the_form(browser, dailies):
    open_board(browser, dailies)
    browser.run("""
        document.querySelector("#new input").required = false;
        document.querySelector("#new").requestSubmit();
    """)
    problem = browser.find("#problem")
    browser.wait_until(lambda: problem.text == "Choose at least one file.")
    (message,) = browser.console()  # The browser itself notes every 422.
    assert "422" in message


# --- playing ---


@pytest.fixture(scope="module")
def concert(tmp_path_factory):
    """A review page whose folder holds three minutes of silence, in 32 MB, when it starts."""
    root = tmp_path_factory.mktemp("concert")
    clips = root / "clips"
    clips.mkdir()
    with wave.open(str(clips / "silence.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        for _ in range(3):
            file.writeframes(bytes(60 * 44100 * 4))
    variables = {"DAILIES_FOLDER": str(clips)}
    with serving_tidily(DAILIES, "--verbosity", "high", root=root, **variables) as server:
        yield server


def test_a_player_seeks_by_asking_for_a_range(browser, concert):
    open_board(browser, concert)
    wait_for(browser, "silence.wav")
    place = browser.run_async("""
        const audio = document.querySelector("audio");
        while (audio.readyState < audio.HAVE_METADATA) {
          await new Promise(resolve => audio.addEventListener("loadedmetadata", resolve));
        }
        const seeked = new Promise(resolve => { audio.onseeked = resolve; });
        audio.currentTime = audio.duration - 2;
        await seeked;
        return audio.currentTime;
    """)
    assert place == 178
    answered = r'"GET /clips/silence.wav HTTP/1.1" 206 \d+\n.* Range: bytes=[1-9]\d{6,}-'
    wait_until(lambda: re.search(answered, concert.output))
    assert browser.console() == []


def test_a_clip_that_plays_goes_on_when_the_list_changes(browser, concert, session):
    open_board(browser, concert)
    wait_for(browser, "silence.wav")
    browser.run_async("await document.querySelector('audio').play()")
    add_from_elsewhere(session, concert, "another.txt")
    wait_for(browser, "another.txt")
    remove_from_elsewhere(session, concert, "another.txt")
    browser.wait_until(lambda: listed(browser) == ["silence.wav"])
    assert browser.run("return document.querySelector('audio').paused") is False
    browser.run("document.querySelector('audio').pause()")
    assert browser.console() == []


# --- a restart ---


def test_a_page_comes_back_after_a_restart_and_shows_what_it_missed(browser, session, tmp_path):
    clips = {"DAILIES_FOLDER": str(tmp_path / "clips")}
    with serving(DAILIES, cwd=ROOT, **clips) as first:
        port = str(first.place[1])
        add_from_elsewhere(session, first, "before.txt")
        open_board(browser, first)
        wait_for(browser, "before.txt")
        assert first.stop() == 0
    browser.wait_until(lambda: browser.texts("#state") == ["connecting"])
    write(tmp_path / "clips", "meanwhile.txt")
    with serving(DAILIES, "--port", port, cwd=ROOT, **clips) as second:
        browser.wait_until(lambda: listed(browser) == ["meanwhile.txt", "before.txt"])
        assert browser.texts("#clips p") == ["", "from the farm"]
        wait_until_live(browser)
        browser.open("about:blank")
        assert second.stop() == 0
