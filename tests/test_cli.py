"""The command line, as a person uses it: ``python -m hwebserver`` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from integration.program import environment, program, serving
from support import PATIENCE, receive_all, wait_until

import hwebserver
from hwebserver import cli
from hwebserver.settings import OPTIONS

posix_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")

#: Says what is known of the module it is in.
APP = """
import pickle, sys
import hwebserver

class Thing:
    pass

@hwebserver.urlHandler("/")
def index(request):
    return "the app"

@hwebserver.urlHandler("/name")
def name(request):
    return __name__

@hwebserver.urlHandler("/loaded")
def loaded(request):
    return sys.modules[__name__].Thing is Thing

@hwebserver.urlHandler("/pickled")
def pickled(request):
    return type(pickle.loads(pickle.dumps(Thing()))).__name__

if __name__ == "__main__":
    print("run as the main program")
    hwebserver.run(port=1)
"""

#: Has a handler that fails.
FAILS = """
import hwebserver

@hwebserver.urlHandler("/fails")
def fails(request):
    1 / 0

"""

#: Two servers, of which one can be named.
SERVERS = """
import hwebserver

first = hwebserver.Server("first")
second = hwebserver.Server("second")
no_server = "text"

@first.urlHandler("/")
def index_of_first(request):
    return "first"

@second.urlHandler("/")
def index_of_second(request):
    return "second"
"""

#: Answers ``/slow`` once it has been given a line; it says so when it waits for it.
SLOW = """
import os
import hwebserver

@hwebserver.urlHandler("/slow")
def slow(request):
    print("slow has begun")
    os.read(0, 1)
    return "done"
"""


@pytest.fixture
def write(tmp_path):
    """Write a file into the directory that the program starts in."""

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def serve(tmp_path):
    """Serve a target from a temporary directory; all servers are ended behind the test."""
    with contextlib.ExitStack() as stack:

        def start(target, *options, **variables):
            return stack.enter_context(serving(target, *options, cwd=tmp_path, **variables))

        yield start


@pytest.fixture
def command(tmp_path):
    """Run a command line that ends by itself."""

    def run(*arguments, **variables):
        return subprocess.run(
            [sys.executable, "-m", "hwebserver", *arguments],
            cwd=tmp_path,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


# --- what is served ---


@pytest.mark.parametrize(
    ("path", "target", "name"),
    [
        ("app.py", "app.py", "app"),
        ("app.py", os.path.join(".", "app.py"), "app"),
        ("my-first app.py", "my-first app.py", "my-first app"),
        ("app.py", "app", "app"),
        ("package/app.py", "package.app", "package.app"),
        ("package/app.py", "package/app.py", "app"),
    ],
    ids=lambda value: value.replace(os.sep, "/"),
)
def test_an_application_is_imported_under_its_name(write, serve, path, target, name):
    write(path, APP)
    server = serve(target)
    assert server.get("/").text == "the app"
    assert server.get("/name").text == name
    assert server.get("/loaded").text == "true"
    assert server.get("/pickled").text == "Thing"
    assert "main program" not in server.output


def test_a_file_is_found_by_its_whole_path_and_finds_its_neighbours(write, tmp_path):
    path = write("folder/app.py", "import neighbour\n" + APP)
    write("folder/neighbour.py", "")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with serving(str(path), cwd=elsewhere) as server:
        assert server.get("/").text == "the app"


@pytest.mark.parametrize("target", ["servers:second", "servers.py:second"])
def test_one_server_of_several_can_be_named(write, serve, target):
    write("servers.py", SERVERS)
    assert serve(target).get("/").text == "second"


def test_a_server_is_named_behind_a_path_that_holds_a_colon(write, serve, tmp_path):
    # As on Windows, where a whole path begins with a drive.
    folder = "C:" if os.name != "nt" else "folder"
    path = write(f"{folder}/servers.py", SERVERS)
    target = str(path) if os.name == "nt" else str(path.relative_to(tmp_path))
    assert serve(f"{target}:second").get("/").text == "second"


def test_the_only_server_of_an_application_needs_no_name(write, serve):
    write("app.py", SERVERS.partition("second =")[0] + "first.urlHandler('/')(lambda r: 'only')")
    assert serve("app.py").get("/").text == "only"


def test_a_server_that_the_application_runs_needs_no_name(write, serve):
    write("app.py", SERVERS + "second.run()")
    assert serve("app.py").get("/").text == "second"


def test_an_application_whose_servers_must_be_told_apart_names_them(write, command):
    write("app.py", SERVERS)
    ended = command("app.py", "--port", "0")
    assert ended.returncode == 2
    assert "app.py:first" in ended.stderr
    assert "app.py:second" in ended.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A served folder: a file, a folder without an index page and one with it."""
    root = tmp_path_factory.mktemp("folder")
    (root / "a file & more.txt").write_text("contents", encoding="utf-8")
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text("<p>index of sub", encoding="utf-8")
    with serving(str(root), cwd=root.parent) as server:
        yield server


def test_a_folder_lists_its_files(folder):
    answer = folder.get("/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "a%20file%20%26%20more.txt" in answer.text
    assert "a file &amp; more.txt" in answer.text
    assert "sub/" in answer.text


def test_a_folder_gives_its_files(folder):
    answer = folder.get("/a%20file%20%26%20more.txt")
    assert (answer.status, answer.text) == (200, "contents")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_folder_shows_an_index_page_instead_of_a_list(folder):
    assert folder.get("/sub/").text == "<p>index of sub"


def test_a_folder_is_left_by_no_path(folder):
    assert folder.get("/..%2f..%2f").status == 404
    assert folder.get("/nothing").status == 404


def test_the_folder_it_is_started_in_is_served_as_a_dot(write, serve):
    write("index.html", "<p>here")
    assert serve(".").get("/").text == "<p>here"


# --- options and variables ---


@pytest.fixture
def app(write):
    write("app.py", APP)
    return "app.py"


def test_tells_its_version(command):
    ended = command("--version")
    assert (ended.returncode, ended.stdout) == (0, f"hwebserver {hwebserver.__version__}\n")


def test_help_names_every_option(command):
    ended = command("--help")
    assert ended.returncode == 0
    for option in ("--host", "--port", "--threads", "--debug", "--no-debug", "--reload",
                   "--no-reload", "--access-log", "--verbosity", "--version", "--bind", "--uds",
                   "--fd", "--certfile", "--keyfile", "--ca-certs", "--allowed-host",
                   "--log-file", "--settings", "--set", "--show-settings"):  # fmt: skip
        assert option in ended.stdout


def test_serves_this_machine_alone_and_says_how_others_are_let_in(app, serve):
    server = serve(app)
    assert server.place[0] == "127.0.0.1"
    assert "this machine only" in server.output
    assert "--host 0.0.0.0" in server.output


def test_serves_other_machines_when_asked_to_and_gives_no_hint_then(app, serve):
    server = serve(app, "--host", "0.0.0.0")
    assert server.get("/").text == "the app"
    assert "this machine only" not in server.output


def test_serves_the_address_that_is_asked_for(app, serve):
    server = serve(app, "--host", "localhost")
    assert server.get("/").text == "the app"


def test_shows_tracebacks_with_debug(write, serve):
    write("app.py", FAILS)
    plain = serve("app.py").get("/fails")
    assert plain.status == 500
    assert "ZeroDivisionError" not in plain.text
    assert "ZeroDivisionError" in serve("app.py", "--debug").get("/fails").text


def test_runs_as_many_handlers_at_once_as_there_are_threads(write, serve):
    write(
        "app.py",
        """
import threading
import hwebserver

meeting = threading.Barrier(7)

@hwebserver.urlHandler("/")
def meet(request):
    meeting.wait(30)
    return "met"
""",
    )
    server = serve("app.py", "--threads", "7")
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(7):
            client = socket.create_connection(server.place, timeout=PATIENCE)
            clients.append(stack.enter_context(client))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert all(receive_all(client).endswith(b"met") for client in clients)


#: Says which threads there are once ``run`` has set its signal handlers, the last thing it does.
THREADS = """
import signal, threading
import hwebserver

@hwebserver.urlHandler("/")
def threads(request):
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return "starting"
    return " ".join(thread.name for thread in threading.enumerate())
"""


@pytest.mark.parametrize(
    ("options", "variables", "watched"),
    [
        ([], {}, False),
        (["--debug"], {}, True),
        (["--reload"], {}, True),
        (["--debug", "--no-reload"], {}, False),
        ([], {"HWEBSERVER_RELOAD": "1"}, True),
        (["--no-reload"], {"HWEBSERVER_RELOAD": "1"}, False),
    ],
)
def test_source_files_are_watched_when_asked_to_or_in_debug(
    write, serve, options, variables, watched
):
    write("app.py", THREADS)
    server = serve("app.py", *options, **variables)
    wait_until(lambda: server.get("/").text != "starting")
    assert ("hwebserver-reload" in server.get("/").text) is watched


@pytest.mark.parametrize(
    ("options", "variables", "logged"),
    [
        ([], {}, False),
        (["--access-log"], {}, True),
        (["--verbosity", "medium"], {}, True),
        (["--verbosity", "medium", "--no-access-log"], {}, False),
        ([], {"HWEBSERVER_ACCESS_LOG": "yes"}, True),
        (["--no-access-log"], {"HWEBSERVER_ACCESS_LOG": "yes"}, False),
        ([], {"HWEBSERVER_VERBOSITY": "1"}, True),
        (["--verbosity", "low"], {"HWEBSERVER_VERBOSITY": "1"}, False),
    ],
)
@posix_signals
def test_a_line_a_request_is_logged_when_asked_for(app, serve, options, variables, logged):
    server = serve(app, *options, **variables)
    server.get("/?page=1")
    assert server.stop() == 0
    assert ('"GET /?page=1 HTTP/1.1" 200 7' in server.output) is logged


def test_the_line_of_a_request_is_in_the_common_log_format(app, serve):
    server = serve(app, "--access-log")
    server.get("/")
    server.wait_for_line('^127.0.0.1 - - .*"GET / HTTP/1.1" 200 7$')


def test_high_verbosity_shows_header_fields_but_no_secrets(app, serve):
    server = serve(app, "--verbosity", "high")
    with socket.create_connection(server.place, timeout=PATIENCE) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Color: green\r\n"
            b"Authorization: Bearer hidden\r\nConnection: close\r\n\r\n"
        )
        receive_all(client)
    server.wait_for_line("X-Color: green")
    assert "hidden" not in server.output


def test_variables_set_what_options_set(app, tmp_path):
    variables = {"HWEBSERVER_PORT": "0", "HWEBSERVER_HOST": "127.0.0.1", "HWEBSERVER_THREADS": "2"}
    with program(["-m", "hwebserver", app], tmp_path, **variables) as started:
        assert started.get("/").text == "the app"
        assert "this machine only" not in started.output


def test_options_win_over_variables(app, serve):
    # These variables alone would let no server start.
    variables = {"HWEBSERVER_PORT": "65535", "HWEBSERVER_HOST": "192.0.2.1"}
    assert serve(app, "--host", "127.0.0.1", **variables).get("/").text == "the app"


def test_an_option_that_says_no_wins_over_a_variable_that_says_yes(write, serve):
    write("app.py", FAILS)
    server = serve("app.py", "--no-debug", HWEBSERVER_DEBUG="1")
    assert "ZeroDivisionError" not in server.get("/fails").text


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("HWEBSERVER_PORT", "eighty", ["HWEBSERVER_PORT", "'eighty'"]),
        ("HWEBSERVER_DEBUG", "perhaps", ["HWEBSERVER_DEBUG", "'perhaps'"]),
        ("HWEBSERVER_HOTS", "::1", ["HWEBSERVER_HOTS", "HWEBSERVER_HOST"]),
    ],
)
def test_a_wrong_variable_is_named(app, command, variable, value, told):
    ended = command(app, **{variable: value})
    assert ended.returncode == 1
    assert all(text in ended.stderr for text in told)
    assert "Traceback" not in ended.stderr


# --- where to listen, and every other option ---


def given(*arguments):
    """What the command line sets: option -> its value."""
    options = cli._parser().parse_args([".", *arguments])
    return {name: said.value for name, said in cli._given(options).items()}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["-b", "0.0.0.0:8123"], {"ADDRESS": "0.0.0.0", "PORT": 8123}),
        (["--bind", "[::1]:8123"], {"ADDRESS": "[::1]", "PORT": 8123}),
        (["--bind", "[::1]"], {"ADDRESS": "[::1]"}),
        (["--bind", "localhost"], {"ADDRESS": "localhost"}),
        (["--bind", ":8123"], {"PORT": 8123}),
        (["--bind", "8123"], {"PORT": 8123}),
        (["--bind", "unix:/run/web.sock"], {"ADDRESS": "unix:/run/web.sock"}),
        (["--uds", "/run/web:1.sock"], {"ADDRESS": "unix:/run/web:1.sock"}),
        (["--fd", "3"], {"ADDRESS": "fd:3"}),
        (["--bind", "fd:3"], {"ADDRESS": "fd:3"}),
        (["--allowed-host", "a", "--allowed-host", "b,c"], {"ALLOWED_HOSTS": ["a", "b", "c"]}),
        (["--set", "BODY_TIMEOUT=2.5"], {"BODY_TIMEOUT": 2.5}),
        (["--set", "IPV6=no", "--set", "IPV6=yes"], {"IPV6": True}),
        (["--set", "SHUTDOWN_TIMEOUT=none"], {"SHUTDOWN_TIMEOUT": None}),
        (["--set", "SSL_REDIRECT_HOST=a=b"], {"SSL_REDIRECT_HOST": "a=b"}),
        (
            ["--set", "CORS_ALLOWED_ORIGINS=a,b", "--set", "CORS_ALLOWED_ORIGINS=c"],
            {"CORS_ALLOWED_ORIGINS": ["a", "b", "c"]},
        ),
    ],
)
def test_an_option_of_the_command_line_sets(arguments, options):
    assert given(*arguments) == options


@pytest.mark.parametrize(
    "flags", [("--certfile", "--keyfile", "--ca-certs"),
              ("--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certs")],
)  # fmt: skip
def test_certificates_are_named_as_other_servers_name_them(tmp_path, flags):
    names = ("SSL_CERTIFICATE", "SSL_CERTIFICATE_KEY", "SSL_CLIENT_CA")
    path = tmp_path / "a.pem"
    path.write_text("")
    arguments = [text for flag in flags for text in (flag, str(path))]
    assert given(*arguments) == dict.fromkeys(names, str(path))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bind", "::1"], "--bind ::1: an IPv6 address stands in brackets"),
        (["--bind", "a:b"], "--bind a:b: 'b' is no number"),
        (["--bind", "a:65536"], "PORT is 65536 in --bind"),
        (["--bind", "http://a:80"], "--bind http://a:80: write HOST:PORT alone"),
        (["--bind", "http://a"], "--bind http://a: write HOST:PORT alone"),
        (["--bind", "a:80", "--port", "90"], "--port and --bind both set PORT"),
        (["--uds", "a", "--host", "b"], "--host and --uds both set ADDRESS"),
        (["--fd", "x"], "--fd"),
        (["--set", "BACKLOG"], "--set BACKLOG: write NAME=VALUE"),
        (["--set", "BACKLGO=5"], "did you mean BACKLOG?"),
        (["--set", "backlog=5"], "did you mean BACKLOG?"),
        (["--set", "BACKLOG=many"], "BACKLOG is 'many' in --set"),
        (["--set", "BACKLOG=0"], "BACKLOG is 0 in --set"),
        (["--set", "DEBUG=1", "--debug"], "--debug and --set both set DEBUG"),
        (["--set", "ACCESS_TOKEN=s3cret"], "set HWEBSERVER_ACCESS_TOKEN instead"),
        (["--certfile", "/no/such.pem"], "SSL_CERTIFICATE is '/no/such.pem' in --certfile"),
    ],
)
def test_a_wrong_value_is_an_error_of_usage_that_names_it(capsys, arguments, told):
    with pytest.raises(SystemExit) as ended:
        cli.main(["nowhere", *arguments])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert told in last
    assert "s3cret" not in last


def test_there_is_no_flag_for_a_secret():
    assert not [name for name, one in OPTIONS.items() if one.secret and (one.flag or one.argument)]


def test_options_win_over_what_the_application_says_of_the_number_of_its_port(write, command):
    write("app.py", APP + "hwebserver.setSettingsForPort({'BACKLOG': 7}, 8123)\n")
    ended = command("app.py", "--port", "8123", "--set", "BACKLOG=9", "--show-settings")
    assert re.search(r"^\* BACKLOG += 9 +# --set$", ended.stdout, re.MULTILINE)


def test_a_settings_file_is_named_instead_of_the_applications_own(write, serve):
    write("app.py", APP + "hwebserver.run(settings={'SERVER_HEADER': 'its own'})\n")
    write("web_settings.py", "SERVER_HEADER = 'named'\n")
    for named in ("web_settings.py", "web_settings"):
        assert serve("app.py", "--settings", named).get("/").headers["Server"] == "named"


def test_a_settings_file_that_is_not_there_is_named(app, command):
    ended = command(app, "--settings", "nowhere.py")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "nowhere.py" in ended.stderr


def test_the_settings_are_shown_and_nothing_is_started(write, command):
    write(
        "app.py",
        APP.replace("port=1", "port=1, ports=['files'], max_num_threads=3")
        + "hwebserver.setSecurity(access_token='s3cret')\n"
        + "hwebserver.run(1, ports=['files'], settings={'PORTS': {'files': {'PORT': 1}}})\n",
    )
    ended = command("app.py", "--debug", "--show-settings", HWEBSERVER_BACKLOG="9")
    assert (ended.returncode, ended.stderr) == (0, "")
    said = [" ".join(line.split()) for line in ended.stdout.splitlines() if "#" in line]
    assert said == [
        "* PORT = 1 # run(port=...)",
        "* DEBUG = True # --debug",
        "* ACCESS_TOKEN = *** # setSecurity",
        "* BACKLOG = 9 # the environment variable HWEBSERVER_BACKLOG",
        "* PORT = 1 # PORTS['files'] of run(settings=...)",
        "* DEBUG = True # --debug",
        "* BACKLOG = 9 # the environment variable HWEBSERVER_BACKLOG",
    ]


def test_the_settings_are_shown_without_a_target(command):
    ended = command("--show-settings", "--threads", "5", HWEBSERVER_HOST="::1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "main port: 2 set, " in ended.stdout


def test_settings_that_cannot_be_are_not_shown(command):
    ended = command("--show-settings", HWEBSERVER_PORT="eighty")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "HWEBSERVER_PORT" in ended.stderr


# --- what an application says itself ---


def test_what_the_application_runs_with_holds(write, serve):
    write("app.py", FAILS + "hwebserver.run(port=1, debug=True)\n")
    server = serve("app.py")
    assert "ZeroDivisionError" in server.get("/fails").text


def test_options_win_over_what_the_application_runs_with(write, serve):
    write("app.py", FAILS + "hwebserver.run(port=1, debug=True, in_background=True)\n")
    server = serve("app.py", "--no-debug")
    assert "ZeroDivisionError" not in server.get("/fails").text


def test_options_win_over_what_the_application_sets(write, serve):
    write("app.py", APP + "hwebserver.setSettingsForPort({'ADDRESS': '192.0.2.1', 'PORT': 1})\n")
    assert serve("app.py", "--host", "127.0.0.1").get("/").text == "the app"


def test_an_application_that_runs_as_the_main_program_needs_no_command_line(write, tmp_path):
    write("app.py", APP.replace("port=1", "port=0"))
    with program(["app.py"], tmp_path) as started:
        assert started.get("/name").text == "__main__"
        assert "run as the main program" in started.output


# --- exit codes: it could not start ---


def test_a_port_in_use_ends_it_with_one_line_that_names_the_port(app, command):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = str(other.getsockname()[1])
        ended = command(app, "--port", number)
    assert ended.returncode == 1
    assert number in ended.stderr
    assert "127.0.0.1" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("target", ["app.py", "app"])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("int('x')", "ValueError: invalid literal"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def", "SyntaxError: invalid syntax"),
    ],
)
def test_an_application_that_fails_ends_it_with_the_traceback(write, command, target, line, told):
    write("app.py", f"import hwebserver\n{line}\n")
    ended = command(target, "--port", "0")
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" in ended.stderr
    assert 'app.py", line 2' in ended.stderr
    assert told in ended.stderr


def test_an_application_that_exits_decides_the_exit_code(write, command):
    write("app.py", "import sys\nsys.exit(7)\n")
    assert command("app.py", "--port", "0").returncode == 7


@pytest.mark.parametrize("target", ["servers.py:third", "servers:third", "servers.py:no_server"])
def test_a_server_that_is_not_there_is_named(write, command, target):
    write("servers.py", SERVERS)
    ended = command(target, "--port", "0")
    assert ended.returncode == 2
    assert target.partition(":")[2] in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "target",
    [
        "nowhere",
        "nowhere.py",
        "./nowhere.py",
        "../nowhere.py",
        "nowhere/",
        "folder/nowhere.py",
        "package.nowhere",
        "notes.txt",
        ":server",
        "nowhere.py:server",
        "",
    ],
)
def test_a_target_that_is_not_there_is_an_error_of_usage(write, command, target):
    write("package/__init__.py", "")
    write("notes.txt", "")
    ended = command(target, "--port", "0")
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: python -m hwebserver ")
    assert target.partition(":")[0] in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_target_that_is_nearly_there_is_named(monkeypatch, capsys, tmp_path):
    (tmp_path / "scenes.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["scene.py"])
    usage, told = capsys.readouterr().err.splitlines()
    assert usage == "usage: python -m hwebserver [options] target"
    assert "no folder, file or module 'scene.py': did you mean scenes.py?" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "target"),
        ([".", "--no-such-option"], "--no-such-option"),
        ([".", "other"], "other"),
        ([".", "--port", "eighty"], "--port"),
        ([".", "--port", "-5"], "--port"),
        ([".", "--threads", "0"], "--threads"),
        ([".", "--verbosity", "loud"], "--verbosity"),
    ],
)
def test_a_wrong_option_is_an_error_of_usage_that_names_it(command, options, told):
    ended = command(*options)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: python -m hwebserver ")
    assert told in ended.stderr.splitlines()[-1]


# --- exit codes: it was stopped ---


def begin_slow_request(server, clients):
    """Send a request whose handler waits for a line, and wait until it runs."""
    client = clients.enter_context(socket.create_connection(server.place, timeout=PATIENCE))
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    server.wait_for_line("slow has begun")
    return client


@posix_signals
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_it_when_the_running_request_is_answered(write, serve, name):
    write("app.py", SLOW)
    server = serve("app.py", HWEBSERVER_SHUTDOWN_TIMEOUT="none")
    with contextlib.ExitStack() as clients:
        client = begin_slow_request(server, clients)
        server.send_signal(getattr(signal, name))
        server.wait_until_refusing()
        server.write_line()
        assert receive_all(client).endswith(b"\r\n\r\ndone")
    assert server.wait() == 0
    assert "Traceback" not in server.output


@posix_signals
def test_a_second_interrupt_stops_it_at_once(write, serve):
    write("app.py", SLOW)
    server = serve("app.py", HWEBSERVER_SHUTDOWN_TIMEOUT="none")
    with contextlib.ExitStack() as clients:
        client = begin_slow_request(server, clients)
        server.send_signal(signal.SIGINT)
        server.wait_until_refusing()
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        assert receive_all(client) == b""
    assert "Traceback" not in server.output
    assert "Fatal" not in server.output


@posix_signals
def test_a_signal_stops_it_as_soon_as_it_listens(write, serve):
    write(
        "app.py",
        """
import os
import hwebserver

def listening(port):
    print("listening")
    os.read(0, 1)

hwebserver.run(port_callback=listening)
""",
    )
    server = serve("app.py")
    server.wait_for_line("listening")
    server.send_signal(signal.SIGTERM)
    server.write_line()
    assert server.wait() == 0


@posix_signals
def test_idle_connections_do_not_delay_the_end(app, serve):
    server = serve(app, HWEBSERVER_SHUTDOWN_TIMEOUT="none")
    with socket.create_connection(server.place, timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not client.recv(65536).endswith(b"the app"):
            pass
        assert server.stop() == 0
    assert "Traceback" not in server.output


@posix_signals
def test_an_interrupt_while_the_application_is_imported_shows_no_traceback_of_ours(write, tmp_path):
    write("app.py", "import os\nprint('importing')\nos.read(0, 1)\n")
    with program(["-m", "hwebserver", "app.py", "--port", "0"], tmp_path) as started:
        started.wait_for_line("importing")
        started.send_signal(signal.SIGINT)
        assert started.wait() != 0
        assert "cli.py" not in started.output


def test_a_handler_can_stop_it(write, serve):
    write(
        "app.py",
        """
import hwebserver

@hwebserver.urlHandler("/stop")
def stop(request):
    request.requestServerShutdown()
    return "stopping"
""",
    )
    server = serve("app.py")
    assert server.get("/stop").text == "stopping"
    assert server.wait() == 0
    assert "Traceback" not in server.output


def test_settings_whose_reader_has_gone_are_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        arguments = [sys.executable, "-m", "hwebserver", "--show-settings"]
        ended = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")
