"""WSGI with what people use: frameworks in a server, and a server's handlers in gunicorn."""

from __future__ import annotations

import contextlib
import http.client
import sys
import textwrap

import pytest
import same_answers
from integration.components import find_module
from integration.program import ROOT
from integration.wsgi_servers import gunicorn
from same_answers import FURTHER, REQUESTS
from support import PATIENCE, running

pytestmark = pytest.mark.integration

BLOB = bytes(range(256)) * 2000


@pytest.fixture
def session():
    """A session of requests that uses no proxy."""
    with find_module("requests").Session() as session:
        session.trust_env = False
        yield session


# --- frameworks in a server ---


def flask_site(folder):
    """A site with pages, a session, an upload, a stream and a file."""
    flask = find_module("flask")
    site = flask.Flask("site")
    site.secret_key = "of the test"

    @site.get("/")
    def index():
        return f"<a href='{flask.url_for('hello', name='Ada')}'>"

    @site.get("/hello/<path:name>")
    def hello(name):
        return f"Hello, {name}!"

    @site.route("/count", methods=["GET", "POST"])
    def count():
        flask.session["count"] = flask.session.get("count", 0) + 1
        return flask.redirect(flask.url_for("count")) if flask.request.form else {
            "count": flask.session["count"]}  # fmt: skip

    @site.post("/upload")
    def upload():
        sent = flask.request.files["file"]
        sent.save(folder / "kept")
        return {"name": sent.filename, "title": flask.request.form["title"]}

    @site.get("/file")
    def file():
        return flask.send_file(folder / "kept", mimetype="application/x-kept", conditional=True)

    @site.get("/stream")
    def stream():
        def pieces():
            for number in range(300):
                yield f"{flask.request.args['word']} {number} ".encode() + b"." * 65536

        return flask.stream_with_context(pieces())

    @site.get("/raises")
    def raises():
        raise KeyError("out of order")

    return site


@pytest.fixture
def flask_server(server, tmp_path):
    """A server with a Flask site at /, beside handlers, files and functions."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "own.css").write_text("p {}")
    server.urlHandler("/own/{name}", methods=["GET"])(lambda request, name: f"own {name}")
    server.registerStaticFilesDirectory(str(tmp_path / "static"), "/")
    server.registerWSGIApp(flask_site(tmp_path).wsgi_app, "/")
    server.registerWSGIApp(flask_site(tmp_path), "/flask")

    @server.apiFunction("ns", arg_types={"x": int})
    def double(request, x):
        return 2 * x

    with running(server):
        yield server


@pytest.mark.parametrize("mount", ["", "/flask"])
def test_flask_answers_where_it_is_mounted(session, flask_server, mount):
    url = flask_server.url(mount)
    index = session.get(url or "/")
    assert index.text == f"<a href='{mount}/hello/Ada'>"
    assert session.get(f"{url.rstrip('/')}/hello/r%C3%B4le/x").text == "Hello, r\u00f4le/x!"
    assert session.get(f"{url.rstrip('/')}/none").status_code == 404


def test_flask_stands_beside_everything_else(session, flask_server):
    assert session.get(flask_server.url("/own/x")).text == "own x"
    assert session.get(flask_server.url("/own.css")).text == "p {}"
    form = {"cmd_function": "ns.double", "x": 21}
    assert session.post(flask_server.url("/api"), data=form).json() == 42
    assert session.post(flask_server.url("/own/x")).status_code == 404  # Flask's
    assert session.head(flask_server.url("/hello/Ada")).headers["Content-Length"] == "11"


def test_flask_keeps_a_session_and_redirects(session, flask_server):
    url = flask_server.url("/flask/count")
    assert session.get(url).json() == {"count": 1}
    answer = session.post(url, data={"again": "1"})
    assert answer.json() == {"count": 3}
    assert (answer.url, [step.status_code for step in answer.history]) == (url, [302])


def test_flask_takes_an_upload_and_sends_it_back(session, flask_server):
    url = flask_server.url("/flask")
    files = {"file": ("n\u00e4me.bin", BLOB * 10)}
    answer = session.post(f"{url}/upload", files=files, data={"title": "t\u00eftle"})
    assert answer.json() == {"name": "n\u00e4me.bin", "title": "t\u00eftle"}
    answer = session.get(f"{url}/file")
    assert (answer.content, answer.headers["Content-Type"]) == (BLOB * 10, "application/x-kept")
    part = session.get(f"{url}/file", headers={"Range": "bytes=5-300000"})
    assert (part.status_code, part.content) == (206, (BLOB * 10)[5:300001])
    again = session.get(f"{url}/file", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_flask_streams_with_its_request_at_hand(session, flask_server):
    answer = session.get(flask_server.url("/stream?word=piece"))
    assert answer.content.count(b"piece ") == 300
    with session.get(flask_server.url("/stream?word=piece"), stream=True) as answer:
        assert next(answer.iter_content(10)).startswith(b"piece 0")


def test_flask_has_a_page_for_its_own_errors(session, flask_server, capfd):
    answer = session.get(flask_server.url("/raises"))
    assert answer.status_code == 500
    assert "Internal Server Error" in answer.text


DJANGO = """
import django.conf

django.conf.settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="of the test", ROOT_URLCONF=__name__,
    FILE_UPLOAD_MAX_MEMORY_SIZE=100_000, DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True)

from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.urls import path, reverse

kept = {}

def form(request):
    if request.method == "POST":
        sent = request.FILES["file"]
        kept["path"] = getattr(sent, "temporary_file_path", str)()
        return JsonResponse({"title": request.POST["title"], "size": sent.size,
                             "sum": sum(map(sum, sent.chunks()))})
    page = engines["django"].from_string("<input value='{{ token }}'>{{ here }}")
    return HttpResponse(page.render({"token": get_token(request), "here": reverse("form")}))

def stream(request):
    return StreamingHttpResponse(b"%d " % number + b"." * 65536 for number in range(300))

def file(request):
    return FileResponse(open(request.GET["path"], "rb"))

urlpatterns = [path("form/", form, name="form"), path("stream/", stream), path("file/", file)]
application = get_wsgi_application()
"""


@pytest.fixture(scope="module")
def django_site(tmp_path_factory):
    """A site in one module, of which a process can have one."""
    find_module("django")
    folder = tmp_path_factory.mktemp("django")
    (folder / "django_site.py").write_text(DJANGO)
    sys.path.insert(0, str(folder))
    try:
        yield __import__("django_site")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def django_server(server, django_site):
    server.urlHandler("/own")(lambda request: "own")
    server.registerWSGIApp(django_site.application, "/shop")
    with running(server):
        yield server


def test_django_takes_a_form_with_an_upload(session, django_server):
    url = django_server.url("/shop/form/")
    page = session.get(url.rstrip("/")).text  # Django adds the slash
    assert page.endswith("/shop/form/")
    form = {"csrfmiddlewaretoken": page.split("'")[1], "title": "t\u00eftle"}
    for data in (b"small", BLOB):
        answer = session.post(url, data=form, files={"file": ("n", data)})
        assert answer.json() == {"title": "t\u00eftle", "size": len(data), "sum": sum(data)}
    assert session.post(url, data={"title": "forged"}).status_code == 403
    assert session.get(django_server.url("/own")).text == "own"


def test_django_streams_and_sends_files(session, django_server, tmp_path):
    assert session.get(django_server.url("/shop/stream/")).content.count(b" .") == 300
    path = tmp_path / "file.bin"
    path.write_bytes(BLOB)
    answer = session.get(django_server.url("/shop/file/"), params={"path": path})
    assert answer.content == BLOB
    assert answer.headers["Content-Length"] == str(len(BLOB))


# --- the handlers of a server in gunicorn ---


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder that the program serves."""
    folder = tmp_path_factory.mktemp("same")
    same_answers.make_files(folder)
    return folder


@pytest.fixture(scope="module")
def gunicorn_place(files):
    """Where gunicorn serves the program that all servers are compared by."""
    variables = {same_answers.FOLDER: str(files)}
    options = ("--pythonpath", str(ROOT / "tests"))
    with gunicorn("same_answers:app()", *options, cwd=ROOT, **variables) as (_, place):
        yield place


@pytest.mark.parametrize("asked", [*REQUESTS, *FURTHER], ids=str)
def test_gunicorn_gives_the_same_answer(gunicorn_place, files, asked):
    with running(same_answers.build(files)) as server:
        ours = same_answers.ask(("127.0.0.1", server.port()), asked)
    same_answers.compare(ours, same_answers.ask(gunicorn_place, asked))


PROGRAM = """
import threading
import hwebserver
from examples import hello

@hwebserver.urlHandler("/breaks")
def breaks(request):
    def pieces():
        yield "a piece"
        raise ValueError("out of order")
    return pieces()

@hwebserver.urlHandler("/events")
def events(request):
    gone = threading.Event()
    def ticks():
        while not gone.wait(0.01):
            yield "tick"
    def say():
        print("the client has left", flush=True)
        gone.set()
    return hwebserver.eventStreamResponse(ticks(), on_close=say)

app = hwebserver.wsgiApp()
"""


@pytest.fixture
def hello_in_gunicorn(tmp_path):
    """The smallest example and some more in two processes of gunicorn."""
    (tmp_path / "site_of_test.py").write_text(textwrap.dedent(PROGRAM))
    with gunicorn("site_of_test:app", "--workers", "2", cwd=tmp_path) as (started, place):
        yield started, place


def test_an_example_runs_in_gunicorn(session, hello_in_gunicorn):
    started, (host, port) = hello_in_gunicorn
    url = f"http://{host}:{port}"
    for _ in range(10):
        assert session.get(f"{url}/hello/Ada").text == "<h1>Hello, Ada!</h1>"
    form = {"cmd_function": "hello.add", "x": "2", "y": "3"}
    assert session.post(f"{url}/api", data=form).json() == 5
    assert started.stop() == 0


def test_a_body_that_breaks_off_is_seen_to(hello_in_gunicorn):
    started, place = hello_in_gunicorn
    connection = http.client.HTTPConnection(*place, timeout=PATIENCE)
    connection.request("GET", "/breaks")
    with contextlib.closing(connection), pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    started.wait_for_line("the handler of GET /breaks failed")


def test_an_event_stream_ends_with_its_client(hello_in_gunicorn):
    started, place = hello_in_gunicorn
    connection = http.client.HTTPConnection(*place, timeout=PATIENCE)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.read(12) == b"data: tick\n\n"
    response.close()
    connection.close()
    started.wait_for_line("the client has left")
