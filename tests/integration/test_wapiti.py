"""A scanner of vulnerabilities, wapiti, finds none in a site of ours; in a bad one it does.

It is given the modules that attack. Left out are those that look for what is the application's to
decide (csp, http_headers, cookieflags, csrf, https_redirect, brute_login_form), those that guess
which product answers or which files it has, partly by lists from the Internet (wapp, htp, cms,
wp_enum, nikto, buster, network_device, takeover), those for programs in Java (log4shell,
spring4shell), and ssl, for which test_tls_tools.py has its own tools.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from integration.components import missing
from integration.program import serving_tidily
from support import PATIENCE

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parent

MODULES = [
    "backup",
    "crlf",
    "exec",
    "file",
    "htaccess",
    "ldap",
    "methods",
    "permanentxss",
    "redirect",
    "shellshock",
    "sql",
    "ssrf",
    "timesql",
    "upload",
    "xss",
    "xxe",
]

#: What the bad site has.
LEAKS = {
    "Command execution",
    "Htaccess Bypass",
    "Open Redirect",
    "Path Traversal",
    "Reflected Cross Site Scripting",
    "SQL Injection",
    "Server Side Request Forgery",
}


def find_wapiti():
    """Return its path; it may be installed beside this Python without being on the PATH."""
    path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))
    return shutil.which("wapiti", path=path) or missing("wapiti")


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """The bad site."""
    target = str(FOLDER / "leaking.py")
    with serving_tidily(target, root=tmp_path_factory.mktemp("leaking")) as server:
        yield server


@pytest.fixture
def scan(leaking, tmp_path):
    """Scan a site, and return what was found, by the name of what it is."""

    def run(address, modules):
        report = tmp_path / "report.json"
        command = [find_wapiti(), "--url", f"{address}/", "--module", ",".join(modules)]
        command += ["--scope", "domain", "--depth", "4", "--max-links-per-page", "50"]
        command += ["--max-scan-time", "60", "--endpoint", f"{leaking.address}/listener/"]
        command += ["--store-session", tmp_path / "session", "--store-config", tmp_path / "config"]
        command += ["--no-bugreport", "--format", "json", "--output", report]
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=6 * PATIENCE,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "*"},
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        for module in modules:
            assert f"Launching module {module}" in ended.stdout
        return json.loads(report.read_text(encoding="utf-8"))

    return run


def found(report, kind):
    """Return what a report has of a kind, with its places, and print it."""
    kinds = {name: entries for name, entries in report[kind].items() if entries}
    for name, entries in kinds.items():
        for entry in entries:
            print(kind, name, entry["method"], entry["path"], entry["parameter"], entry["info"])
    return kinds


def test_wapiti_finds_nothing(scan, tmp_path):
    target = str(FOLDER / "scanned.py")
    folder = tmp_path / "files"
    folder.mkdir()
    options = {"root": tmp_path, "SITE_FOLDER": str(folder)}
    with serving_tidily(target, "--access-log", **options) as site:
        report = scan(site.address, MODULES)
        output = site.output
    # It has been everywhere and nothing failed on its way (what it may not do is no finding).
    assert report["infos"]["crawled_pages_nbr"] >= 25
    for place in ("/api", "/upload", "/mounted/guests", "/docs/more.html", "/static/notes.txt"):
        assert output.count(place) > 20, place
    assert "Traceback" not in output
    found(report, "additionals")
    assert found(report, "vulnerabilities") == {}
    assert found(report, "anomalies") == {}


def test_wapiti_would_find_what_was_there(scan, leaking):
    modules = ["exec", "file", "htaccess", "redirect", "sql", "ssrf", "xss"]
    report = scan(leaking.address, modules)
    assert set(found(report, "vulnerabilities")) >= LEAKS
