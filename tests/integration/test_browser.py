"""The notes board, used by a person with a browser."""

from __future__ import annotations

import pytest
from integration.components import find_module, find_program
from support import PATIENCE

pytestmark = pytest.mark.integration

OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=800,900",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser without a window and without a past."""
    webdriver = find_module("selenium.webdriver")
    service = find_module("selenium.webdriver.chrome.service")
    options = webdriver.ChromeOptions()
    options.binary_location = find_program("chromium")
    for option in OPTIONS:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, service.Service(find_program("chromedriver")))
    driver.implicitly_wait(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture
def board(browser, notes):
    """The page of the board; a test that leaves something in the console fails."""
    browser.get(f"{notes.address}/")
    yield browser
    assert browser.get_log("browser") == []


def find(browser, selector):
    return browser.find_element("css selector", selector)


def wait_for(browser, condition):
    ui = find_module("selenium.webdriver.support.ui")
    ui.WebDriverWait(browser, PATIENCE, poll_frequency=0.02).until(condition)


def add(browser, text):
    """Add a note as a person does, and wait until it is listed."""
    find(browser, "#new textarea").send_keys(text)
    find(browser, "#new button").click()
    wait_for(browser, lambda _: listed(browser)[:1] == [text])


def listed(browser):
    """Return the texts of the notes as they are listed."""
    script = "return Array.from(document.querySelectorAll('#notes .text'), e => e.textContent)"
    return browser.execute_script(script)


def test_a_note_is_added_and_listed_and_its_link_leads_to_it(board):
    text = "Render <em>shot 12</em> again & again"
    add(board, text)
    assert find(board, "#new textarea").get_property("value") == ""
    find(board, "#notes .card a").click()
    wait_for(board, lambda browser: "/note/" in browser.current_url)
    assert find(board, ".text").text == text
    assert find(board, "h1").text.startswith("Note ")
    find(board, "header a").click()
    wait_for(board, lambda browser: listed(browser)[:1] == [text])


def test_notes_are_listed_newest_first_and_stay_after_a_reload(board):
    add(board, "older")
    add(board, "newer")
    board.refresh()
    wait_for(board, lambda browser: listed(browser)[:2] == ["newer", "older"])


def test_a_removed_note_is_listed_no_more(board):
    add(board, "to stay")
    add(board, "to go")
    find(board, "#notes .card button").click()
    wait_for(board, lambda browser: listed(browser)[:1] == ["to stay"])
    assert "to go" not in listed(board)


def test_what_is_wrong_is_said_beside_the_form(browser, notes):
    browser.get(f"{notes.address}/")
    find(browser, "#new textarea").send_keys("   ")
    find(browser, "#new button").click()
    problem = find(browser, "#problem")
    wait_for(browser, lambda _: problem.text == "A note needs some text.")
    (entry,) = browser.get_log("browser")  # The browser itself notes every 422.
    assert "422" in entry["message"]
