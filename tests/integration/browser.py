"""A browser without a window, driven as a person does it and watched from inside the page."""

from __future__ import annotations

from pathlib import Path

from integration.components import find_module, find_program
from support import PATIENCE

_OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--window-size=800,900",
]


class Browser:
    """Chromium.

    Args:
        profile: A folder for what it keeps.
        more: Options beside those that every test needs.
    """

    def __init__(self, profile: Path, *more: str) -> None:
        webdriver = find_module("selenium.webdriver")
        service = find_module("selenium.webdriver.chrome.service")
        options = webdriver.ChromeOptions()
        options.binary_location = find_program("chromium")
        for option in (*_OPTIONS, *more):
            options.add_argument(option)
        options.add_argument(f"--user-data-dir={profile}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, service.Service(find_program("chromedriver")))
        self.driver.implicitly_wait(PATIENCE)
        self.driver.set_script_timeout(PATIENCE)

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def open(self, url: str) -> None:
        """Open a page; what the console said before is forgotten."""
        self.console()
        self.driver.get(url)

    def console(self) -> list[str]:
        """Return what the console has said since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def find(self, selector: str):
        """Return the first element of the page that matches."""
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that match, also of those out of sight."""
        script = "return Array.from(document.querySelectorAll(arguments[0]), e => e.textContent)"
        return self.driver.execute_script(script, selector)

    def run(self, script: str, *arguments):
        """Run the body of a function in the page and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script: str, *arguments):
        """Run the body of an async function in the page and return what it returns at last."""
        names = f"(async (...args) => {{ {script} }})(...Array.from(arguments).slice(0, -1))"
        answer = "arguments[arguments.length - 1]"
        call = f"const answer = {answer}; {names}.then(answer, e => answer(`failed: ${{e}}`))"
        return self.driver.execute_async_script(call, *arguments)

    def wait_until(self, condition) -> None:
        """Wait until a condition holds; fail when it does not come to."""
        ui = find_module("selenium.webdriver.support.ui")
        wait = ui.WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02)
        wait.until(lambda _: condition())
