"""What pages in a browser may do with a server that guards itself, and what they may not.

Names that end in ``.example`` lead to this machine, for this browser alone: they stand for sites in
the Internet. It takes one certificate that nobody has signed.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from integration.browser import Browser
from integration.components import find_program
from integration.program import ROOT, serving_tidily

pytestmark = pytest.mark.integration

TARGET = str(Path(__file__).with_name("guarded.py"))

TOKEN = "quite-a-secret"

#: Each call has a word of its own, by which it is found in what the server writes.
_numbers = itertools.count()


@pytest.fixture
def word():
    return f"word{next(_numbers)}"


# --- the parts ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for this machine and its key, made as the example tells its readers."""
    folder = tmp_path_factory.mktemp("certificate")
    text = (ROOT / "examples" / "https.py").read_text(encoding="utf-8")
    command = re.search(r"^    openssl (.*?[^\\])$", text, re.MULTILINE | re.DOTALL)[1]
    arguments = command.replace("\\\n", " ").split()
    subprocess.run(
        [find_program("openssl"), *arguments], cwd=folder, capture_output=True, check=True
    )
    return folder / "certificate.pem"


@pytest.fixture(scope="module")
def serve(certificate, tmp_path_factory):
    """Return what serves the guarded program; the settings are variables of the environment."""

    def start(*options, encrypted=True, **settings):
        if encrypted:
            key = certificate.with_name("key.pem")
            settings.update(SSL_CERTIFICATE=str(certificate), SSL_CERTIFICATE_KEY=str(key))
        variables = {f"HWEBSERVER_{name}": value for name, value in settings.items()}
        root = tmp_path_factory.mktemp("guarded")
        return serving_tidily(TARGET, "--access-log", *options, root=root, **variables)

    return start


@pytest.fixture(scope="module")
def pages(serve):
    """A server of others, by whatever name; its log has the pages that requests came from."""
    with serve("--access-log-format", "combined", ALLOWED_HOSTS="*") as server:
        yield server


@pytest.fixture(scope="module")
def guarded(serve, pages):
    """Ours, which lists one origin of others."""
    with serve(
        ALLOWED_HOSTS="localhost, farm.studio.example",
        CORS_ALLOWED_ORIGINS=at(pages, "app.studio.example"),
        CORS_ALLOW_CREDENTIALS="yes",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def plain(serve):
    """Ours, as it is when nobody has said anything."""
    with serve(encrypted=False) as server:
        yield server


@pytest.fixture(scope="module")
def closed(serve):
    """Ours, which lets nobody in without the token."""
    with serve("--access-log-format", "combined", ACCESS_TOKEN=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def traveller(certificate, tmp_path_factory):
    """A browser that knows the certificate and the names of others."""
    command = ["openssl", "x509", "-in", certificate, "-noout", "-pubkey"]
    lines = subprocess.check_output(command, text=True).split("\n")
    key = base64.b64decode("".join(line for line in lines if not line.startswith("--")))
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode()
    started = Browser(
        tmp_path_factory.mktemp("traveller"),
        f"--ignore-certificate-errors-spki-list={digest}",
        "--host-resolver-rules=MAP *.example 127.0.0.1",
    )
    yield started
    started.close()


def at(server, name):
    """Return the address of a server by another name."""
    parts = urlsplit(server.address)
    return f"{parts.scheme}://{name}:{parts.port}"


def answered(server, word):
    """Wait until the request that has the word in its target is answered; return the status."""
    return int(server.wait_for_line(rf'"[A-Z]+ \S*\b{word} HTTP/1\.1" (\d+) ')[1])


def has_run(server, word):
    """Say whether a handler has been called with the word."""
    return re.search(rf"^ran .*\b{word}$", server.output, re.MULTILINE) is not None


# --- what pages do; what does not succeed says "failed: ..." ---

FETCH = """
    const answer = await fetch(args[0], {credentials: "include", ...args[1]});
    return answer.type === "opaque" ? "opaque" : [answer.status, await answer.text()];
"""

SOCKET = """
    return await new Promise((resolve, reject) => {
        const socket = new WebSocket(args[0]);
        socket.onclose = event => reject(event.code);
        socket.onopen = () => socket.send("hello");
        socket.onmessage = event => resolve(event.data);
    });
"""

# A frame that may run scripts and is of no origin. Its script is told what to do and answers.
SANDBOX = """
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.srcdoc = `<script>
        const work = async (...args) => { ${args[0]} };
        work(...${JSON.stringify(args.slice(1))})
            .catch(error => "failed: " + error)
            .then(said => parent.postMessage([origin, said], "*"));
    </` + `script>`;
    const said = new Promise(resolve => addEventListener("message", e => resolve(e.data)));
    document.body.append(frame);
    return await said;
"""

FORM = """
    const form = document.createElement("form");
    form.method = "POST";
    form.action = arguments[0];
    for (const [name, value] of Object.entries(arguments[1])) {
        const field = document.createElement("input");
        [field.name, field.value] = [name, value];
        form.append(field);
    }
    document.body.append(form);
    form.submit();
"""


def call(word):
    """Return a call of the function as a form has it."""
    return {"cmd_function": "scene.touch", "word": word}


def posted(word, **more):
    """Return what a script fetches to make that call."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "&".join("=".join(pair) for pair in call(word).items())
    return {"method": "POST", "body": body, "headers": kind, **more}


def socket_url(address, word):
    return f"{address.replace('http', 'ws', 1)}/echo?word={word}"


#: What a browser asks about beforehand.
PUT = {"method": "PUT", "headers": {"X-Requested-With": "a page"}}


# --- reading the answers ---


@pytest.mark.parametrize("name", ["wiki.studio.example", "evil.example"])
def test_a_page_that_is_not_listed_reads_no_answer(traveller, pages, guarded, word, name):
    traveller.open(at(pages, name))
    url = f"{at(guarded, 'farm.studio.example')}/visit/{word}"
    assert traveller.run_async(FETCH, url, {}) == "failed: TypeError: Failed to fetch"
    assert "blocked by CORS policy" in traveller.console()[0]


def test_a_page_that_is_not_listed_runs_nothing_that_is_asked_about(
    traveller, pages, guarded, word
):
    traveller.open(at(pages, "wiki.studio.example"))
    url = f"{at(guarded, 'farm.studio.example')}/visit/{word}"
    assert traveller.run_async(FETCH, url, PUT) == "failed: TypeError: Failed to fetch"
    answered(guarded, word)
    assert not has_run(guarded, word)


def test_a_page_that_is_listed_reads_the_answers_with_its_cookie(traveller, pages, guarded, word):
    traveller.open(at(pages, "app.studio.example"))
    url = f"{at(guarded, 'farm.studio.example')}/visit/{word}"
    traveller.driver.delete_all_cookies()
    traveller.run_async(FETCH, url, {})
    told = f'{{"word": "{word}", "cookie": "{word}"}}'
    assert traveller.run_async(FETCH, url, {}) == [200, told]
    assert traveller.run_async(FETCH, url, PUT) == [200, told]
    without = traveller.run_async(FETCH, url, {"credentials": "omit"})
    assert without == [200, told.replace(f'"{word}"}}', "null}")]
    assert f'"OPTIONS /visit/{word} HTTP/1.1" 204 ' in guarded.output
    assert traveller.console() == []


def test_a_page_that_is_listed_may_not_send_any_field(traveller, pages, guarded, word):
    traveller.open(at(pages, "app.studio.example"))
    url = f"{at(guarded, 'farm.studio.example')}/visit/{word}"
    fields = {"headers": {"X-Unheard-Of": "1"}}
    assert traveller.run_async(FETCH, url, fields) == "failed: TypeError: Failed to fetch"
    assert answered(guarded, word) == 204
    assert not has_run(guarded, word)


@pytest.mark.parametrize("mode", ["omit", "include"])
def test_unless_told_otherwise_other_pages_of_this_machine_read_without_a_cookie(
    traveller, pages, plain, word, mode
):
    traveller.open(at(pages, "localhost"))
    said = traveller.run_async(FETCH, f"{plain.address}/visit/{word}", {"credentials": mode})
    if mode == "omit":
        assert said == [200, f'{{"word": "{word}", "cookie": null}}']
    else:
        assert said == "failed: TypeError: Failed to fetch"


def test_unless_told_otherwise_pages_of_others_read_nothing(traveller, pages, plain, word):
    traveller.open(at(pages, "evil.example"))
    said = traveller.run_async(FETCH, f"{plain.address}/visit/{word}", {"credentials": "omit"})
    assert said == "failed: TypeError: Failed to fetch"


def test_a_page_in_a_sandbox_is_of_no_origin_and_gets_nothing(traveller, guarded, word):
    traveller.open(guarded.address)
    farm = guarded.address
    assert traveller.run_async(SANDBOX, FETCH, f"{farm}/visit/{word}", {}) == [
        "null",
        "failed: TypeError: Failed to fetch",
    ]


# --- calling functions ---


@pytest.mark.parametrize("origin", ["foreign", "sandbox", "own", "listed"])
def test_only_own_and_listed_pages_call_functions(traveller, pages, guarded, word, origin):
    farm = at(guarded, "farm.studio.example")
    url = f"{farm}/api?{word}"
    if origin in ("own", "sandbox"):
        traveller.open(farm)
    else:
        name = "app.studio.example" if origin == "listed" else "evil.example"
        traveller.open(at(pages, name))
    if origin == "sandbox":
        said = traveller.run_async(SANDBOX, FETCH, url, posted(word))[1]
    else:
        said = traveller.run_async(FETCH, url, posted(word))
    status = answered(guarded, word)
    if origin in ("own", "listed"):
        assert said == [200, f'{{"touched": "{word}"}}']
        assert has_run(guarded, word)
    else:
        assert said == "failed: TypeError: Failed to fetch"
        assert status == 403
        assert not has_run(guarded, word)


@pytest.mark.parametrize("how", ["form", "no-cors", "beacon"])
@pytest.mark.parametrize("target", ["guarded", "plain"])
def test_a_form_of_a_foreign_page_calls_no_function(traveller, pages, request, word, how, target):
    server = request.getfixturevalue(target)
    url = f"{at(server, 'localhost')}/api?{word}"
    traveller.open(at(pages, "evil.example"))
    if how == "form":
        traveller.run(FORM, url, call(word))
        traveller.wait_until(lambda: traveller.driver.title == "403 Forbidden")
        assert "Pages of this origin may not call" in traveller.find("h1").text
    elif how == "no-cors":
        assert traveller.run_async(FETCH, url, posted(word, mode="no-cors")) == "opaque"
    else:
        body = "new URLSearchParams(arguments[1])"
        assert traveller.run(f"return navigator.sendBeacon(arguments[0], {body})", url, call(word))
    assert answered(server, word) == 403
    assert not has_run(server, word)


@pytest.mark.parametrize("target", ["guarded", "plain"])
def test_a_form_of_the_server_s_own_page_calls_a_function(traveller, request, word, target):
    server = request.getfixturevalue(target)
    traveller.open(at(server, "localhost"))
    traveller.run(FORM, f"/api?{word}", call(word))
    assert answered(server, word) == 200
    assert has_run(server, word)
    traveller.wait_until(lambda: f'{{"touched": "{word}"}}' in traveller.driver.page_source)


# --- WebSockets ---


@pytest.mark.parametrize("origin", ["foreign", "sandbox"])
def test_a_foreign_page_opens_no_socket(traveller, pages, guarded, word, origin):
    url = socket_url(at(guarded, "localhost"), word)
    if origin == "sandbox":
        traveller.open(at(guarded, "localhost"))
        said = traveller.run_async(SANDBOX, SOCKET, url)[1]
    else:
        traveller.open(at(pages, "evil.example"))
        said = traveller.run_async(SOCKET, url)
    assert said == "failed: 1006"
    assert answered(guarded, word) == 403
    assert not has_run(guarded, word)


@pytest.mark.parametrize("origin", ["own", "listed"])
def test_own_and_listed_pages_open_sockets(traveller, pages, guarded, word, origin):
    own = origin == "own"
    traveller.open(at(guarded, "localhost") if own else at(pages, "app.studio.example"))
    assert traveller.run_async(SOCKET, socket_url(at(guarded, "localhost"), word)) == "hello"
    assert has_run(guarded, word)


# --- a foreign name that leads here (DNS rebinding) ---


def test_a_foreign_name_that_leads_here_opens_nothing(traveller, plain, word):
    foreign = at(plain, "evil.example")
    traveller.open(f"{foreign}/visit/{word}")
    assert traveller.driver.title == "400 Bad Request"
    assert "does not answer for the host evil.example" in traveller.find("h1").text
    # The page of the refusal stands for one that came before the name led here.
    assert traveller.run("return origin") == foreign
    assert traveller.run_async(FETCH, f"/visit/{word}", PUT)[0] == 400
    assert traveller.run_async(FETCH, f"/api?{word}", posted(word))[0] == 400
    assert traveller.run_async(SOCKET, socket_url(foreign, word)) == "failed: 1006"
    assert answered(plain, word) == 400
    assert not has_run(plain, word)


# --- the token ---


def test_a_page_is_shown_for_the_token_in_its_address_alone(traveller, closed):
    traveller.open(closed.address)
    assert traveller.driver.title == "401 Unauthorized"
    assert traveller.find("h1").text == "This server wants an access token."
    traveller.open(f"{closed.address}/?access_token={TOKEN}x")
    assert traveller.find("h1").text == "The access token is wrong."
    traveller.open(f"{closed.address}/?access_token={TOKEN}")
    assert traveller.find("h1").text == "Guarded"
    assert TOKEN not in closed.output


def test_a_page_calls_and_opens_sockets_with_the_token(traveller, closed, word):
    traveller.open(f"{closed.address}/?access_token={TOKEN}")
    with_token = posted(word)
    with_token["headers"]["Authorization"] = f"Bearer {TOKEN}"
    assert traveller.run_async(FETCH, "/api", posted("nobody"))[0] == 401
    assert traveller.run_async(FETCH, "/api", with_token)[0] == 200
    url = socket_url(closed.address, word)
    assert traveller.run_async(SOCKET, url) == "failed: 1006"
    assert traveller.run_async(SOCKET, f"{url}&access_token={TOKEN}") == "hello"
    assert not has_run(closed, "nobody")
    assert TOKEN not in closed.output


REFERER = r'"GET /pixel\?%s HTTP/1\.1" \d+ \S+ "([^"]*)"'


def test_the_address_with_the_token_is_told_to_nobody(traveller, pages, closed, guarded, word):
    elsewhere = f"{at(pages, 'evil.example')}/pixel?{word}"
    quiet = {"mode": "no-cors"}
    traveller.open(f"{closed.address}/?access_token={TOKEN}")
    traveller.run_async(FETCH, elsewhere, quiet)
    assert pages.wait_for_line(REFERER % word)[1] == "-"
    traveller.run_async(FETCH, f"/pixel?{word}", {})
    assert closed.wait_for_line(REFERER % word)[1] == "-"
    # As it is else, the other server is told where the page comes from.
    traveller.open(guarded.address)
    traveller.run_async(FETCH, elsewhere, quiet)
    assert pages.wait_for_line(REFERER % word)[1] == f"{guarded.address}/"


# --- from the plain port to the encrypted one ---


def test_a_browser_is_sent_to_the_encrypted_port_and_told_to_stay_there(traveller, serve, word):
    # A name of its own: the browser keeps to https for it from now on.
    with serve(SECURE_HSTS_SECONDS="3600", SECURE_HSTS_INCLUDE_SUBDOMAINS="yes") as encrypted:
        home = at(encrypted, "home.localhost")
        place = home.partition("//")[2]
        with serve(encrypted=False, SSL_REDIRECT="yes", SSL_REDIRECT_HOST=place) as door:
            traveller.open(f"{at(door, 'home.localhost')}/visit/{word}?now=1")
            assert answered(door, rf"{word}\?now=1") == 307
            assert not has_run(door, word)
        assert traveller.driver.current_url == f"{home}/visit/{word}?now=1"
        assert has_run(encrypted, word)
        told = "return (await fetch('/pixel')).headers.get('Strict-Transport-Security')"
        assert traveller.run_async(told) == "max-age=3600; includeSubDomains"
