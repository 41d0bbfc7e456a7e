"""The notes board, used by a person with a browser."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def board(browser, notes):
    """The page of the board; a test that leaves something in the console fails."""
    browser.open(f"{notes.address}/")
    yield browser
    assert browser.console() == []


def add(board, text):
    """Add a note as a person does, and wait until it is listed."""
    board.find("#new textarea").send_keys(text)
    board.find("#new button").click()
    board.wait_until(lambda: listed(board)[:1] == [text])


def listed(board):
    """Return the texts of the notes as they are listed."""
    return board.texts("#notes .text")


def test_a_note_is_added_and_listed_and_its_link_leads_to_it(board):
    text = "Render <em>shot 12</em> again & again"
    add(board, text)
    assert board.find("#new textarea").get_property("value") == ""
    board.find("#notes .card a").click()
    board.wait_until(lambda: "/note/" in board.driver.current_url)
    assert board.find(".text").text == text
    assert board.find("h1").text.startswith("Note ")
    board.find("header a").click()
    board.wait_until(lambda: listed(board)[:1] == [text])


def test_notes_are_listed_newest_first_and_stay_after_a_reload(board):
    add(board, "older")
    add(board, "newer")
    board.driver.refresh()
    board.wait_until(lambda: listed(board)[:2] == ["newer", "older"])


def test_a_removed_note_is_listed_no_more(board):
    add(board, "to stay")
    add(board, "to go")
    board.find("#notes .card button").click()
    board.wait_until(lambda: listed(board)[:1] == ["to stay"])
    assert "to go" not in listed(board)


def test_what_is_wrong_is_said_beside_the_form(browser, notes):
    browser.open(f"{notes.address}/")
    browser.find("#new textarea").send_keys("   ")
    browser.find("#new button").click()
    problem = browser.find("#problem")
    browser.wait_until(lambda: problem.text == "A note needs some text.")
    (message,) = browser.console()  # The browser itself notes every 422.
    assert "422" in message
