"""Settings: what they may be, where they come from, who wins."""

from __future__ import annotations

import inspect
import os
import re
import socket
import sys
import threading
import types

import pytest
from support import PATIENCE, fetch, running

import hwebserver
from hwebserver import OperationFailed
from hwebserver.settings import MAIN_PORT, OPTIONS, Said, Settings, port_key, ports_key


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Hide what the shell of the person who runs the tests may have set."""
    for name in os.environ:
        if name.startswith("HWEBSERVER_"):
            monkeypatch.delenv(name)


def settings_of(file=None, own=None, arguments=None, command_line=None):
    """The settings after everybody has spoken."""
    settings = Settings()
    settings.load(file)
    for name, these in (own or {}).items():
        settings.set_for_port(these, ports_key(name))
    settings.set_arguments(arguments or {})
    settings.set_command_line({n: Said(v, "--set") for n, v in (command_line or {}).items()})
    return settings


def values(*said, port=MAIN_PORT, **more):
    """The settings of a port after everybody has spoken."""
    return settings_of(*said, **more).for_port(port)


def refusal(server, port=0, **arguments):
    """The message with which run refuses; a server that starts nevertheless is stopped."""
    with pytest.raises(OperationFailed) as caught, running(server, port=port, **arguments):
        pass
    assert not server.isRunning()
    return str(caught.value)


def header(server, port="main"):
    """The Server field of an answer: a setting that every client sees."""
    return fetch(server, port=port).headers["Server"]


# --- the table ---


def test_every_option_is_described_and_its_default_is_of_its_type():
    for name, option in OPTIONS.items():
        assert option.name == name == name.upper()
        assert option.doc
        assert "\n" not in option.doc
        if option.default is None:
            assert option.optional
        else:
            assert isinstance(option.default, option.kind)
            assert option.least is None or option.default >= option.least


def test_the_defaults_are_those_that_the_api_names():
    found = values()
    assert found["PORT"] == 8008
    assert found["MAX_NUM_THREADS"] == 4
    assert found["MAX_IN_MEMORY_FILE_UPLOAD_SIZE"] == 2621440
    assert found["MAX_REQUEST_SIZE"] == 3221225472
    assert found["SHUTDOWN_TIMEOUT"] == 10
    assert found["SERVER_HEADER"] == "hwebserver"
    assert found["ADDRESS"] == ""
    assert found["DEBUG"] is found["ALLOW_SYSTEM_PORT"] is False


#: API.md, part 1, "Settings", and what part 2 adds; unset is None.
NAMES = {
    "PORT": 8008, "MAX_PORT": None, "ALLOW_SYSTEM_PORT": False, "ADDRESS": "", "IPV6": True,
    "ALLOWED_HOSTS": None, "USE_X_FORWARDED_HOST": False, "LOG_FILE": None,
    "MIN_LOG_SEVERITY": hwebserver.WarningSeverity, "SSL_CERTIFICATE": None,
    "SSL_CERTIFICATE_KEY": None, "SSL_DH_PARAMS": None, "SSL_CLIENT_CA": None,
    "SSL_VERIFY_PEER": True, "SSL_REDIRECT": False, "SSL_REDIRECT_HOST": "",
    "SSL_REDIRECT_EXEMPT": [], "SECURE_HSTS_SECONDS": 0, "SECURE_HSTS_INCLUDE_SUBDOMAINS": False,
    "SECURE_HSTS_PRELOAD": False, "CORS_ALLOWED_ORIGINS": None, "CORS_ORIGIN_WHITELIST": None,
    "CORS_ALLOWED_ORIGIN_REGEXES": None, "CORS_ALLOW_ALL_ORIGINS": None,
    "CORS_ALLOW_METHODS": ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"],
    "CORS_ALLOW_HEADERS": ["accept", "authorization", "content-type", "user-agent",
                           "x-csrftoken", "x-requested-with"],
    "CORS_EXPOSE_HEADERS": [], "CORS_ALLOW_CREDENTIALS": False, "CORS_PREFLIGHT_MAX_AGE": 86400,
    "ACCESS_TOKEN": None, "TRUSTED_PROXIES": [], "SERVER_HEADER": "hwebserver",
}  # fmt: skip


def test_every_name_of_the_api_is_in_the_table_with_its_default():
    found = values()
    assert {name: found[name] for name in NAMES} == NAMES


def test_every_argument_of_run_that_sets_an_option_is_in_the_table():
    others = {"in_background", "settings", "ports", "port_callback"}
    parameters = set(inspect.signature(hwebserver.run).parameters) - others
    assert {option.argument for option in OPTIONS.values() if option.argument} == parameters


def test_a_list_that_was_given_back_belongs_to_who_has_it():
    lists = [name for name, option in OPTIONS.items() if option.kind is list]
    mine = ["mine"]
    settings = settings_of(own={"main": {"TRUSTED_PROXIES": mine}})
    mine.append("changed")
    for name in lists:
        (settings.for_port("main")[name] or []).append("changed")
    assert settings.for_port("main")["TRUSTED_PROXIES"] == ["mine"]
    assert not any("changed" in (settings.for_port("files")[name] or []) for name in lists)
    assert not any("changed" in (option.default or []) for option in map(OPTIONS.get, lists))


# --- what is wrong is an error at once ---

WRONG = [
    ({"PORT": "8008"}, ["PORT", "'8008'", "int"]),
    ({"PORT": True}, ["PORT", "True"]),
    ({"PORT": -1}, ["PORT", "-1"]),
    ({"PORT": None}, ["PORT", "None"]),
    ({"PORT": 80.0}, ["PORT", "80.0"]),
    ({"DEBUG": 1}, ["DEBUG", "1", "bool"]),
    ({"ADDRESS": 5}, ["ADDRESS", "5", "str"]),
    ({"MAX_NUM_THREADS": 0}, ["MAX_NUM_THREADS", "0", "1"]),
    ({"SHUTDOWN_TIMEOUT": "10"}, ["SHUTDOWN_TIMEOUT", "'10'", "float"]),
    ({"SHUTDOWN_TIMEOUT": -1}, ["SHUTDOWN_TIMEOUT", "-1"]),
    ({"SHUTDOWN_TIMEOUT": float("nan")}, ["SHUTDOWN_TIMEOUT", "nan"]),
    ({"ALLOWED_HOSTS": "a.example"}, ["ALLOWED_HOSTS", "['a.example']"]),
    ({"SSL_CERTIFICATE": "/no/such.pem"}, ["SSL_CERTIFICATE", "/no/such.pem", "not there"]),
    ({"LOG_FILE": "/no/such/folder/log"}, ["LOG_FILE", "/no/such/folder", "not there"]),
    ({"MIN_LOG_SEVERITY": 5}, ["MIN_LOG_SEVERITY", "5", "4"]),
    ({"ACCESS_LOG_FORMAT": "apache"}, ["ACCESS_LOG_FORMAT", "'apache'", "combined"]),
]
UNKNOWN = [
    ({"PROT": 8008}, ["PROT", "8008", "PORT"]),
    ({"DEBUGG": True}, ["DEBUGG", "True", "DEBUG"]),
    ({"MAX_NUM_THREAD": 4}, ["MAX_NUM_THREAD", "4", "MAX_NUM_THREADS"]),
    ({"ADRESS": "x"}, ["ADRESS", "'x'", "ADDRESS"]),
    ({"port": 8008}, ["port", "8008"]),
    ({"NOTHING_LIKE_IT": 5}, ["NOTHING_LIKE_IT", "5"]),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG + UNKNOWN)
@pytest.mark.parametrize("way", ["setSettingsForPort", "settings", "PORTS"])
def test_what_is_wrong_is_refused_with_its_name_its_value_and_the_nearest_name(
    server, wrong, words, way
):
    if way == "setSettingsForPort":
        with pytest.raises(OperationFailed) as caught:
            server.setSettingsForPort(wrong)
        message = str(caught.value)
    else:
        message = refusal(server, settings=wrong if way == "settings" else {"PORTS": {"a": wrong}})
    for word in words:
        assert word in message


def test_a_call_with_something_wrong_sets_nothing(server):
    with pytest.raises(OperationFailed):
        server.setSettingsForPort({"SERVER_HEADER": "half", "PROT": 5})
    with running(server):
        assert header(server) == "hwebserver"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"port": "8008"}, ["port", "'8008'"]),
        ({"port": -2}, ["port", "-2"]),
        ({"port": 65536}, ["65536"]),
        ({"max_num_threads": 0}, ["max_num_threads", "0"]),
        ({"max_num_threads": "four"}, ["max_num_threads", "'four'"]),
        ({"max_request_size": "1 GB"}, ["max_request_size", "'1 GB'"]),
        ({"debug": "yes"}, ["debug", "'yes'"]),
        ({"verbosity": "High"}, ["verbosity", "'High'"]),
        ({"up_to_port": 1.5}, ["up_to_port", "1.5"]),
    ],
)
def test_a_wrong_argument_of_run_is_refused_with_its_name_and_value(server, arguments, words):
    message = refusal(server, **arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize("ports", [5, ["a"], {"a": 5}, {"a": None}, None])
def test_ports_must_be_a_dict_of_dicts(server, ports):
    assert "PORTS" in refusal(server, settings={"PORTS": ports})


@pytest.mark.parametrize("source", [5, ["a"], object()])
def test_what_is_no_source_of_settings_is_refused(server, source):
    assert "settings" in refusal(server, settings=source)


def test_whole_numbers_pass_for_seconds():
    found = values({"SHUTDOWN_TIMEOUT": 3})["SHUTDOWN_TIMEOUT"]
    assert found == 3
    assert values({"SHUTDOWN_TIMEOUT": None})["SHUTDOWN_TIMEOUT"] is None


def test_a_run_that_failed_leaves_the_server_ready(server):
    assert refusal(server, settings={"PROT": 1})
    with running(server):
        assert header(server) == "hwebserver"


# --- files ---


def test_a_settings_file_is_python(server, tmp_path):
    file = tmp_path / "site_settings.py"
    file.write_text(
        "import os\n"
        "name = 'from'\n"
        "SERVER_HEADER = name + ' ' + os.path.basename(__file__)\n"
        "PORTS = {'files': {'PORT': 0}}\n"
    )
    for source in (str(file), file):
        with running(server, settings=source, ports=["files"]):
            assert header(server) == header(server, "files") == "from site_settings.py"


def test_a_settings_file_may_be_named_relative_to_the_current_directory(
    server, tmp_path, monkeypatch
):
    (tmp_path / "mine.py").write_text("SERVER_HEADER = 'mine'\n")
    monkeypatch.chdir(tmp_path)
    with running(server, settings="mine.py"):
        assert header(server) == "mine"


def test_a_module_is_named_by_its_dotted_name(server, tmp_path, monkeypatch):
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "web_settings.py").write_text("SERVER_HEADER = 'module'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with running(server, settings="own_package.web_settings"):
            assert header(server) == "module"
    finally:
        for name in ("own_package", "own_package.web_settings"):
            sys.modules.pop(name, None)


def test_a_module_or_a_dict_is_taken_as_it_is(server):
    module = types.ModuleType("own")
    module.SERVER_HEADER = "module"
    module.server_header = "not this"
    with running(server, settings=module):
        assert header(server) == "module"
    with running(server, settings={"SERVER_HEADER": "dict"}):
        assert header(server) == "dict"


@pytest.mark.parametrize(
    "source", ["none.py", "no/such/file.py", "no_such_module", "no.such.module"]
)
def test_a_source_that_is_not_there_is_refused_with_its_name(server, source):
    assert source in refusal(server, settings=source)


def test_a_file_that_is_not_there_is_refused_with_the_nearest_one(server, tmp_path):
    (tmp_path / "settings.py").write_text("")
    assert str(tmp_path / "settings.py") in refusal(server, settings=str(tmp_path / "setings.py"))


@pytest.mark.parametrize("text", ["1 / 0", "def", "import no_such_module", "raise ValueError('x')"])
def test_a_file_that_fails_is_refused_with_its_name(server, tmp_path, text):
    file = tmp_path / "broken.py"
    file.write_text(text)
    assert "broken.py" in refusal(server, settings=str(file))


DJANGO = """
    ABSOLUTE_URL_OVERRIDES ADMINS APPEND_SLASH ASGI_APPLICATION AUTH_PASSWORD_VALIDATORS
    AUTH_USER_MODEL AUTHENTICATION_BACKENDS BASE_DIR CACHES CACHE_MIDDLEWARE_SECONDS CONN_MAX_AGE
    CSRF_COOKIE_AGE CSRF_COOKIE_NAME CSRF_TRUSTED_ORIGINS DATABASES DATABASE_ROUTERS DATE_FORMAT
    DATA_UPLOAD_MAX_MEMORY_SIZE DATA_UPLOAD_MAX_NUMBER_FIELDS DEBUG_PROPAGATE_EXCEPTIONS
    DEFAULT_AUTO_FIELD DEFAULT_CHARSET DEFAULT_FROM_EMAIL DISALLOWED_USER_AGENTS EMAIL_BACKEND
    EMAIL_HOST EMAIL_HOST_PASSWORD EMAIL_HOST_USER EMAIL_PORT EMAIL_SUBJECT_PREFIX EMAIL_TIMEOUT
    EMAIL_USE_TLS FILE_UPLOAD_HANDLERS FILE_UPLOAD_MAX_MEMORY_SIZE FILE_UPLOAD_PERMISSIONS
    FILE_UPLOAD_TEMP_DIR FIXTURE_DIRS FORCE_SCRIPT_NAME FORM_RENDERER IGNORABLE_404_URLS
    INSTALLED_APPS INTERNAL_IPS LANGUAGES LANGUAGE_CODE LOCALE_PATHS LOGGING LOGGING_CONFIG
    LOGIN_REDIRECT_URL LOGIN_URL LOGOUT_REDIRECT_URL MANAGERS MEDIA_ROOT MEDIA_URL MESSAGE_LEVEL
    MESSAGE_STORAGE MIDDLEWARE MIGRATION_MODULES PASSWORD_HASHERS PASSWORD_RESET_TIMEOUT
    PREPEND_WWW ROOT_URLCONF SECRET_KEY SECRET_KEY_FALLBACKS SERVER_EMAIL SESSION_CACHE_ALIAS
    SESSION_COOKIE_AGE SESSION_COOKIE_DOMAIN SESSION_COOKIE_HTTPONLY SESSION_COOKIE_NAME
    SESSION_ENGINE SITE_ID STATICFILES_DIRS STATICFILES_FINDERS STATIC_ROOT STATIC_URL STORAGES
    TEMPLATES TEST_RUNNER TIME_FORMAT TIME_ZONE USE_I18N USE_THOUSAND_SEPARATOR USE_TZ
    WSGI_APPLICATION X_FRAME_OPTIONS YEAR_MONTH_FORMAT
"""


def test_the_settings_of_a_django_project_are_left_alone(server, tmp_path):
    file = tmp_path / "settings.py"
    lines = [f"{name} = 'of Django'" for name in DJANGO.split()]
    file.write_text("\n".join([*lines, "SERVER_HEADER = 'ours'", "DEBUG = False"]))
    with running(server, settings=str(file)):
        assert header(server) == "ours"


#: As people have it: the names that Django and we share, in the forms that Django takes.
PROJECT = """
import re
from pathlib import Path
from corsheaders_like import default_headers

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "django-insecure-0"
DEBUG = False
ALLOWED_HOSTS = ("localhost", ".studio.example")
INSTALLED_APPS = ["django.contrib.admin", "corsheaders"]
MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware"]
ROOT_URLCONF = "site.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db"}}
STATIC_URL = "static/"
LOGGING = {"version": 1}
USE_X_FORWARDED_HOST = True
USE_X_FORWARDED_PORT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_SSL_HOST = "studio.example"
SECURE_REDIRECT_EXEMPT = [r"^health$"]
SECURE_HSTS_SECONDS = 60 * 60
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
CORS_ALLOWED_ORIGINS = ("https://studio.example",)
CORS_ALLOWED_ORIGIN_REGEXES = [re.compile(r"^https://\\w+\\.studio\\.example$"), r"https://b"]
CORS_ALLOW_METHODS = ("GET", "POST")
CORS_ALLOW_HEADERS = (*default_headers, "x-render")
CORS_EXPOSE_HEADERS = ()
CORS_ALLOW_CREDENTIALS = True
CORS_PREFLIGHT_MAX_AGE = 600
CORS_URLS_REGEX = r"^/api/.*$"
LOG_FILE = BASE_DIR / "web.log"
PORTS = {"admin": {"PORT": 0, "ALLOWED_HOSTS": ("localhost",)}}
"""


def test_the_settings_of_a_django_project_hold_where_they_mean_the_same(tmp_path, monkeypatch):
    (tmp_path / "corsheaders_like.py").write_text("default_headers = ('accept', 'dnt')\n")
    (tmp_path / "settings.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "corsheaders_like", raising=False)
    settings = settings_of(tmp_path / "settings.py")
    found = settings.for_port("main")
    assert {name: found[name] for name in NAMES if found[name] != OPTIONS[name].default} == {
        "ALLOWED_HOSTS": ["localhost", ".studio.example"],
        "USE_X_FORWARDED_HOST": True,
        "SECURE_HSTS_SECONDS": 3600,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SECURE_HSTS_PRELOAD": True,
        "CORS_ALLOWED_ORIGINS": ["https://studio.example"],
        "CORS_ALLOWED_ORIGIN_REGEXES": [r"^https://\w+\.studio\.example$", r"https://b"],
        "CORS_ALLOW_METHODS": ["GET", "POST"],
        "CORS_ALLOW_HEADERS": ["accept", "dnt", "x-render"],
        "CORS_ALLOW_CREDENTIALS": True,
        "CORS_PREFLIGHT_MAX_AGE": 600,
        "LOG_FILE": str(tmp_path / "web.log"),
    }
    assert settings.for_port("admin")["ALLOWED_HOSTS"] == ["localhost"]


def test_the_older_name_of_an_option_is_another_name_of_it(monkeypatch):
    older, newer = {"CORS_ORIGIN_WHITELIST": ["https://a"]}, {"CORS_ALLOWED_ORIGINS": ["https://b"]}
    for said, wins in [
        ([older], "https://a"),
        ([{**newer, **older}], "https://b"),
        ([older, {"main": newer}], "https://b"),
        ([newer, {"main": older}], "https://a"),
    ]:
        found = values(*said)
        assert found["CORS_ALLOWED_ORIGINS"] == [wins]
        assert found["CORS_ORIGIN_WHITELIST"] is None
    monkeypatch.setenv("HWEBSERVER_CORS_ORIGIN_WHITELIST", "https://c,https://d")
    assert values()["CORS_ALLOWED_ORIGINS"] == ["https://c", "https://d"]
    assert values(newer)["CORS_ALLOWED_ORIGINS"] == ["https://b"]


@pytest.mark.parametrize("name", ["SERVER_HEADERS", "MAX_REQUEST_SIZ", "DEBUGS", "PROTS"])
def test_a_near_miss_in_a_file_is_refused_with_the_nearest_name(server, tmp_path, name):
    file = tmp_path / "settings.py"
    file.write_text(f"{name} = 5\n")
    nearest = {"SERVER_HEADERS": "SERVER_HEADER", "MAX_REQUEST_SIZ": "MAX_REQUEST_SIZE",
               "DEBUGS": "DEBUG", "PROTS": "PORTS"}[name]  # fmt: skip
    message = refusal(server, settings=str(file))
    assert re.search(rf"\b{name}\b", message)
    assert re.search(rf"\b{nearest}\b", message)


def test_the_settings_of_one_run_do_not_hold_for_the_next(server):
    with running(server, settings={"SERVER_HEADER": "first"}):
        assert header(server) == "first"
    with running(server):
        assert header(server) == "hwebserver"


# --- ports ---


def test_names_outside_ports_hold_for_every_port(server):
    settings = {
        "SERVER_HEADER": "every",
        "PORTS": {"files": {"PORT": 0, "SERVER_HEADER": "files"}, "other": {"PORT": 0}},
    }
    with running(server, settings=settings, ports=["files", "other"]):
        assert header(server) == header(server, "other") == "every"
        assert header(server, "files") == "files"


@pytest.mark.parametrize("main", ["main", "", 0])
def test_the_main_port_has_settings_of_its_own(server, main):
    settings = {"SERVER_HEADER": "every", "PORTS": {main: {"SERVER_HEADER": "main"}}}
    with running(server, settings=settings, ports=[("other", 0)]):
        assert header(server) == "main"
        assert header(server, "other") == "every"


@pytest.mark.parametrize("main", ["main", "", 0, "0"])
def test_settings_set_for_the_main_port_are_its_own(server, main):
    server.setSettingsForPort({"SERVER_HEADER": "main"}, main)
    with running(server, ports=[("other", 0)]):
        assert header(server) == "main"
        assert header(server, "other") == "hwebserver"


def test_settings_set_for_a_number_are_those_of_the_name_in_digits(server):
    server.setSettingsForPort({"SERVER_HEADER": "number"}, 8123)
    with running(server, ports=[("8123", 0)]):
        assert header(server, "8123") == header(server, 8123) == "number"


def test_calls_merge(server):
    server.setSettingsForPort({"SERVER_HEADER": "first", "MAX_FORM_FIELDS": 7})
    server.setSettingsForPort({"SERVER_HEADER": "second"})
    server.setSettingsForPort({"PORT": 0})
    server.urlHandler("/")(lambda request: str(len(request.GET())))
    with running(server, port=-1):
        assert header(server) == "second"
        assert fetch(server, "/?a&b&c&d&e&f&g&h").status == 400


def test_the_port_minus_one_is_that_of_the_settings(server):
    server.setSettingsForPort({"PORT": 0})
    with running(server, port=-1):
        assert server.port() > 0


def test_a_named_port_has_the_number_of_its_settings(server):
    assert "files" in refusal(server, ports=["files"])
    server.setSettingsForPort({"PORT": 0}, "files")
    with running(server, ports=["files"]):
        assert server.port("files") not in (0, server.port())


def test_minus_one_in_ports_means_every_port_that_has_settings(server):
    server.setSettingsForPort({"PORT": 0}, "files")
    with running(server, settings={"PORTS": {"other": {"PORT": 0}}}, ports=[-1]):
        assert len({server.port(), server.port("files"), server.port("other")}) == 3


def test_the_number_of_the_main_port_is_never_that_of_another():
    assert values({"PORT": 8123}, port="files")["PORT"] is None
    assert values({"PORT": 8123, "MAX_PORT": 9000}, port="8200")["PORT"] == 8200
    assert values({"PORT": 8123, "MAX_PORT": 9000}, port="8200")["MAX_PORT"] is None
    assert values({}, arguments={"PORT": 8123}, port="files")["PORT"] is None


def test_a_port_that_is_taken_is_given_up_where_the_settings_allow_it(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert str(number) in refusal(server, number)
        server.setSettingsForPort({"PORT": number, "ALLOW_SYSTEM_PORT": True})
        with running(server, port=-1):
            assert server.port() != number


@pytest.mark.parametrize(
    ("port", "key"),
    [("", "main"), ("main", "main"), (0, "main"), ("0", "main"), (8123, "8123"), ("8123", "8123"),
     ("files", "files")],
)  # fmt: skip
def test_a_port_goes_by_one_name(port, key):
    assert port_key(port) == key


@pytest.mark.parametrize("port", [None, 1.5, True, b"main", ["main"]])
def test_what_is_no_name_of_a_port_is_refused(server, port):
    with pytest.raises(OperationFailed):
        server.setSettingsForPort({}, port)


@pytest.mark.parametrize("port", [-2, 65536, 1 << 40, "*"])
def test_what_can_be_no_port_is_refused_wherever_it_is_named(server, port):
    for call in (
        lambda: server.setSettingsForPort({}, port),
        lambda: server.urlHandler("/", ports=[port]),
        lambda: server.run(0, ports=[port], in_background=True),
    ):
        with pytest.raises(OperationFailed, match=re.escape(str(port))):
            call()


#: What one port cannot have for itself.
OF_SERVER = {
    "MAX_NUM_THREADS": 8, "VERBOSITY": 1, "RELOAD_SOURCE_CHANGES": False, "MAX_CONNECTIONS": 9,
    "MAX_EVENT_STREAMS": 9, "SHUTDOWN_TIMEOUT": None, "RELOAD_EXTRA_FILES": ["*.html"],
    "RELOAD_INTERVAL": 0.5, "MAIN_THREAD_TIMEOUT": 9.0,
}  # fmt: skip


def test_these_options_belong_to_the_whole_server():
    assert {name for name, option in OPTIONS.items() if option.of_server} == set(OF_SERVER)


@pytest.mark.parametrize("name", OF_SERVER)
def test_an_option_of_the_whole_server_is_refused_for_one_port(server, name):
    own = {name: OF_SERVER[name]}
    words = rf"{name} belongs to the whole server.*'files'"
    with pytest.raises(OperationFailed, match=words):
        server.setSettingsForPort(own, "files")
    with pytest.raises(OperationFailed, match=words):
        values({"PORTS": {"files": own}})
    for port in ("", "main", 0, -1):
        assert values(own={port: own})[name] == OF_SERVER[name]
    assert values({"PORTS": {"main": own}})[name] == values(own)[name] == OF_SERVER[name]


def test_whose_number_a_number_is_shows_when_the_ports_are_opened():
    settings = settings_of(own={8123: {"MAX_NUM_THREADS": 8}}, arguments={"PORT": 8123})
    assert settings.for_port("main")["MAX_NUM_THREADS"] == 8
    with pytest.raises(OperationFailed, match="MAX_NUM_THREADS belongs to the whole server"):
        settings_of(own={8123: {"MAX_NUM_THREADS": 8}}).for_port("8123")


# --- the environment ---


def test_the_environment_sets_options(server, monkeypatch):
    monkeypatch.setenv("HWEBSERVER_SERVER_HEADER", "environment")
    monkeypatch.setenv("HWEBSERVER_PORT", "0")
    with running(server, port=-1):
        assert header(server) == "environment"


@pytest.mark.parametrize(
    ("name", "text", "option", "value"),
    [
        ("PORT", "8123", "PORT", 8123),
        ("HOST", "127.0.0.1", "ADDRESS", "127.0.0.1"),
        ("THREADS", "7", "MAX_NUM_THREADS", 7),
        ("MAX_NUM_THREADS", "7", "MAX_NUM_THREADS", 7),
        ("DEBUG", "1", "DEBUG", True),
        ("DEBUG", "True", "DEBUG", True),
        ("DEBUG", "off", "DEBUG", False),
        ("DEBUG", "", "DEBUG", False),
        ("SHUTDOWN_TIMEOUT", "2.5", "SHUTDOWN_TIMEOUT", 2.5),
        ("SHUTDOWN_TIMEOUT", "None", "SHUTDOWN_TIMEOUT", None),
        ("SERVER_HEADER", "", "SERVER_HEADER", ""),
        ("ACCESS_LOG", "no", "ACCESS_LOG", False),
        ("ALLOWED_HOSTS", "a.example, [::1]", "ALLOWED_HOSTS", ["a.example", "[::1]"]),
        ("ALLOWED_HOST", "a.example", "ALLOWED_HOSTS", ["a.example"]),
        ("TRUSTED_PROXIES", "", "TRUSTED_PROXIES", []),
        ("CORS_ALLOWED_ORIGINS", "None", "CORS_ALLOWED_ORIGINS", None),
        ("SSL_CERTIFICATE", "", "SSL_CERTIFICATE", None),
        ("UNIX_SOCKET_MODE", "660", "UNIX_SOCKET_MODE", 0o660),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_option(monkeypatch, name, text, option, value):
    monkeypatch.setenv(f"HWEBSERVER_{name}", text)
    found = values()[option]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text"),
    [("PORT", "abc"), ("PORT", ""), ("PORT", "-1"), ("DEBUG", "maybe"), ("SHUTDOWN_TIMEOUT", "x"),
     ("SHUTDOWN_TIMEOUT", "nan"), ("THREADS", "0"), ("SSL_CERTIFICATE", "/no/such.pem"),
     ("UNIX_SOCKET_MODE", "999"), ("ACCESS_TOKEN", "")],
)  # fmt: skip
def test_a_wrong_variable_is_refused_with_its_name_and_value(server, monkeypatch, name, text):
    monkeypatch.setenv(f"HWEBSERVER_{name}", text)
    message = refusal(server)
    assert f"HWEBSERVER_{name}" in message
    assert text in message


def test_a_near_miss_in_the_environment_is_refused_with_the_nearest_name(server, monkeypatch):
    monkeypatch.setenv("HWEBSERVER_SERVER_HEADRE", "x")
    message = refusal(server)
    assert "HWEBSERVER_SERVER_HEADRE" in message
    assert "HWEBSERVER_SERVER_HEADER" in message


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("BIND", "HWEBSERVER_HOST and HWEBSERVER_PORT"),
        ("UDS", "HWEBSERVER_HOST=unix:PATH"),
        ("FD", "HWEBSERVER_HOST=fd:N"),
        ("SETTINGS", "--settings"),
    ],
)
def test_a_variable_for_what_is_no_setting_is_refused_with_what_is(server, monkeypatch, name, told):
    monkeypatch.setenv(f"HWEBSERVER_{name}", "x")
    message = refusal(server)
    assert f"unknown environment variable HWEBSERVER_{name}" in message
    assert told in message


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("CERTFILE", "SSL_CERTIFICATE"),
        ("SSL_CERTFILE", "SSL_CERTIFICATE"),
        ("SSL_KEYFILE", "SSL_CERTIFICATE_KEY"),
        ("SSL_CA_CERTS", "SSL_CLIENT_CA"),
    ],
)
def test_a_variable_may_have_any_name_of_the_flag(monkeypatch, tmp_path, name, option):
    path = tmp_path / "a.pem"
    path.write_text("")
    monkeypatch.setenv(f"HWEBSERVER_{name}", str(path))
    assert values()[option] == str(path)


def test_other_variables_are_left_alone(server, monkeypatch):
    monkeypatch.setenv("HWEBSERVER_UNLIKE_ANY_OPTION", "x")
    monkeypatch.setenv("WEBSERVER_PORT", "x")
    monkeypatch.setenv("PORT", "x")
    with running(server):
        assert header(server) == "hwebserver"


# --- who wins ---


def test_the_later_wins(server, monkeypatch):
    order = []
    with running(server):
        order.append(header(server))
    monkeypatch.setenv("HWEBSERVER_SERVER_HEADER", "environment")
    with running(server):
        order.append(header(server))
    with running(server, settings={"SERVER_HEADER": "file"}):
        order.append(header(server))
    settings = {"SERVER_HEADER": "file", "PORTS": {"main": {"SERVER_HEADER": "file, of the port"}}}
    with running(server, settings=settings):
        order.append(header(server))
    server.setSettingsForPort({"SERVER_HEADER": "set"})
    with running(server, settings=settings):
        order.append(header(server))
    assert order == ["hwebserver", "environment", "file", "file, of the port", "set"]


def test_of_two_that_say_something_the_later_wins(monkeypatch):
    """Every pair of sources, each with its own value, in the order of who wins."""

    def main_port(*levels):
        monkeypatch.delenv("HWEBSERVER_BODY_TIMEOUT", raising=False)
        if 1 in levels:
            monkeypatch.setenv("HWEBSERVER_BODY_TIMEOUT", "1")
        one = {level: {"BODY_TIMEOUT": float(level)} for level in levels}
        file = {**one.get(2, {}), "PORTS": {"main": one.get(3, {})}}
        own = {-1: one.get(4, {}), "main": one.get(5, {})}
        return values(file, own, command_line=one.get(6, {}))["BODY_TIMEOUT"]

    for lower in range(1, 7):
        for upper in range(lower, 7):
            assert main_port(lower, upper) == upper


def test_the_command_line_speaks_of_the_main_port_and_for_run_of_all():
    line = {"ADDRESS": "0.0.0.0", "PORT": 8123, "DEBUG": True, "SERVER_HEADER": "line"}
    own = {"files": {"PORT": 8200, "DEBUG": False}}
    arguments = {"PORT": 1, "DEBUG": False}
    settings = settings_of({"SERVER_HEADER": "file"}, own, arguments, line)
    main, files = settings.for_port("main"), settings.for_port("files")
    assert {name: main[name] for name in line} == line
    assert {name: files[name] for name in line} == {
        "ADDRESS": "", "PORT": 8200, "DEBUG": True, "SERVER_HEADER": "file",
    }  # fmt: skip


def test_who_said_it_is_known(monkeypatch, tmp_path):
    (tmp_path / "own.py").write_text(
        "SEND_TIMEOUT = 1\nPORTS = {8123: {'HEAD_TIMEOUT': 1}, '': {'BODY_TIMEOUT': 1}}\n"
    )
    monkeypatch.setenv("HWEBSERVER_HOST", "127.0.0.1")
    own = {"main": {"LINGER_TIMEOUT": 1}, "files": {"PORT": 1}}
    settings = settings_of(tmp_path / "own.py", own, {"DEBUG": True}, {"BACKLOG": 5})
    main = {name: one.source for name, one in settings.explain("main").items()}
    assert {name: who for name, who in main.items() if who != "default"} == {
        "ADDRESS": "the environment variable HWEBSERVER_HOST",
        "SEND_TIMEOUT": f"the file {tmp_path / 'own.py'}",
        "BODY_TIMEOUT": f"PORTS[''] of the file {tmp_path / 'own.py'}",
        "LINGER_TIMEOUT": "setSettingsForPort",
        "DEBUG": "run(debug=...)",
        "BACKLOG": "--set",
    }
    other = settings.explain("8123")
    assert other["PORT"] == (8123, "its name")
    assert other["HEAD_TIMEOUT"].source == f"PORTS[8123] of the file {tmp_path / 'own.py'}"


def test_the_arguments_of_run_win_over_everything(server, monkeypatch):
    server.urlHandler("/", methods=["POST"])(lambda request: "taken")
    monkeypatch.setenv("HWEBSERVER_MAX_REQUEST_SIZE", "10")
    server.setSettingsForPort({"MAX_REQUEST_SIZE": 20})
    with running(server, settings={"MAX_REQUEST_SIZE": 15}):
        assert fetch(server, "/", "POST", b"x" * 20).status == 200
        assert fetch(server, "/", "POST", b"x" * 21).status == 413
    with running(server, settings={"MAX_REQUEST_SIZE": 15}, max_request_size=30):
        assert fetch(server, "/", "POST", b"x" * 30).status == 200
        assert fetch(server, "/", "POST", b"x" * 31).status == 413


def test_arguments_of_run_that_are_none_leave_it_to_the_settings(server):
    server.urlHandler("/")(lambda request: "taken")
    settings = {"MAX_REQUEST_SIZE": 15, "DEBUG": True}
    with running(server, settings=settings, max_request_size=None):
        assert server.isInDebugMode()
        assert fetch(server, "/", "POST", b"x" * 16).status == 413


def test_an_argument_that_was_given_wins_though_it_equals_the_default(server):
    together = threading.Barrier(2)
    server.urlHandler("/")(lambda request: str(together.wait(PATIENCE)))
    answers = []
    with running(server, settings={"MAX_NUM_THREADS": 1}, max_num_threads=4):
        threads = [
            threading.Thread(target=lambda: answers.append(fetch(server).status)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200, 200]


def test_debug_that_was_refused_in_run_wins_over_the_settings(server):
    with running(server, settings={"DEBUG": True}, debug=False):
        assert not server.isInDebugMode()


def test_a_free_port_that_was_refused_in_run_wins_over_the_settings(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert refusal(
            server,
            number,
            settings={"ALLOW_SYSTEM_PORT": True},
            use_free_port_on_failure=False,
        )


def test_the_module_has_the_names_of_verbosity_and_severity():
    assert [hwebserver.Low, hwebserver.Medium, hwebserver.High] == list(
        hwebserver.webServerVerbosity
    )
    names = "MessageSeverity PromptSeverity WarningSeverity AbortSeverity FatalSeverity".split()
    assert [one.name for one in hwebserver.webServerSeverity] == names
    assert [getattr(hwebserver, name) for name in names] == list(hwebserver.webServerSeverity)
