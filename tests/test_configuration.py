"""The plain forms of ``setSettingsForPort``."""

from __future__ import annotations

import inspect
import re

import pytest
from support import fetch, running

import hwebserver
from hwebserver import OperationFailed
from hwebserver.option import nearest
from hwebserver.settings import OPTIONS

PLAIN = ["setPortInfo", "setSSL", "setSecurity", "setLogInfo"]


@pytest.fixture
def files(tmp_path):
    """A folder with a file that is there."""
    (tmp_path / "a.pem").write_text("")
    return tmp_path


def values(server, port="main"):
    return server._settings.for_port(port)


def changed(server, port="main"):
    """The options of a port that are not what they are by default."""
    return {n: v for n, v in values(server, port).items() if v != OPTIONS[n].default}


def test_port_info_is_set_by_place_as_programs_for_houdini_do(server):
    server.setPortInfo("files", 8123, 8130, True, "127.0.0.1", False, ["localhost"], True)
    assert changed(server, "files") == {
        "PORT": 8123, "MAX_PORT": 8130, "ALLOW_SYSTEM_PORT": True, "ADDRESS": "127.0.0.1",
        "IPV6": False, "ALLOWED_HOSTS": ["localhost"], "USE_X_FORWARDED_HOST": True,
    }  # fmt: skip
    assert changed(server) == {}


def test_ssl_is_set_by_name(server, files):
    path = str(files / "a.pem")
    server.setSSL(
        certificate=path, certificate_key=files / "a.pem", certificate_key_password="x",
        dh_params=path, client_ca=path, verify_peer=False,
    )  # fmt: skip
    assert changed(server) == {
        "SSL_CERTIFICATE": path, "SSL_CERTIFICATE_KEY": path, "SSL_DH_PARAMS": path,
        "SSL_CLIENT_CA": path, "SSL_CERTIFICATE_KEY_PASSWORD": "x", "SSL_VERIFY_PEER": False,
    }  # fmt: skip


def test_security_is_set_by_name(server):
    server.setSecurity(
        redirect=True, redirect_host="a", redirect_exempt=["b"], hsts_seconds=5,
        hsts_include_subdomains=True, hsts_preload=True, access_token="t",
    )  # fmt: skip
    assert changed(server) == {
        "SSL_REDIRECT": True, "SSL_REDIRECT_HOST": "a", "SSL_REDIRECT_EXEMPT": ["b"],
        "SECURE_HSTS_SECONDS": 5, "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SECURE_HSTS_PRELOAD": True, "ACCESS_TOKEN": "t",
    }  # fmt: skip


def test_log_info_is_set_by_name(server, files):
    log = str(files / "log")
    server.setLogInfo(
        log_file=log, min_log_severity=hwebserver.FatalSeverity, access_log_file=log,
        access_log_format="json", log_file_max_size=100, log_file_count=2,
    )  # fmt: skip
    assert changed(server) == {
        "LOG_FILE": log, "MIN_LOG_SEVERITY": 4, "ACCESS_LOG_FILE": log,
        "ACCESS_LOG_FORMAT": "json", "LOG_FILE_MAX_SIZE": 100, "LOG_FILE_COUNT": 2,
    }  # fmt: skip


def test_the_origins_that_may_call_are_set(server):
    server.setCORSWhitelist(("https://a.example",))
    server.setCORSWhitelist([], "files")
    assert changed(server) == {"CORS_ALLOWED_ORIGINS": ["https://a.example"]}
    assert values(server, "files")["CORS_ALLOWED_ORIGINS"] == []


@pytest.mark.parametrize("name", PLAIN)
def test_only_what_is_given_is_set(server, name):
    getattr(server, name)()
    getattr(server, name)("files")
    assert changed(server) == {}


@pytest.mark.parametrize("name", PLAIN)
def test_the_first_parameter_is_the_port_and_every_other_one_sets_an_option(server, name):
    parameters = list(inspect.signature(getattr(server, name)).parameters.values())
    assert parameters[0].name == "port_name"
    for one in parameters[1:-1]:
        assert one.default is None
        assert nearest(one.name.upper(), OPTIONS), one.name


@pytest.mark.parametrize("name", PLAIN)
def test_any_other_option_is_taken_by_its_name_in_lower_case(server, name):
    getattr(server, name)(allowed_hosts=["127.0.0.1"], max_form_fields=7)
    assert changed(server) == {"ALLOWED_HOSTS": ["127.0.0.1"], "MAX_FORM_FIELDS": 7}
    getattr(server, name)(allowed_hosts=None, ssl_certificate=None, max_form_fields=1000)
    assert values(server)["MAX_FORM_FIELDS"] == 1000


def test_a_wrong_value_or_name_is_told_with_the_function_and_sets_nothing(server, files):
    for call, words in [
        (lambda: server.setSSL(certificate=files / "b.pem"), "setSSL.*did you mean .*a.pem"),
        (lambda: server.setSSL(verify_peer=5), "SSL_VERIFY_PEER is 5 in setSSL"),
        (lambda: server.setSecurity(redirect_exempt="a"), r"SSL_REDIRECT_EXEMPT.*\['a'\]"),
        (lambda: server.setPortInfo(port="80"), "PORT is '80' in setPortInfo"),
        (lambda: server.setLogInfo(log_fil="x", log_file_count=1), "LOG_FIL.*mean LOG_FILE"),
        (lambda: server.setCORSWhitelist("https://a"), r"setCORSWhitelist.*\['https://a'\]"),
        (lambda: server.setPortInfo("files", max_num_threads=3), "belongs to the whole server"),
        (lambda: server.setPortInfo(-1, 8123), "PORT is one port's"),
        (lambda: server.setPortInfo(1.5), "1.5"),
    ]:
        with pytest.raises(OperationFailed, match=words):
            call()
    assert changed(server) == {}


def test_what_is_set_for_every_port_is_below_what_one_port_says(server):
    server.setPortInfo("files", server_header="files")
    server.setSettingsForPort({"SERVER_HEADER": "every"}, -1)
    assert values(server)["SERVER_HEADER"] == values(server, "8123")["SERVER_HEADER"] == "every"
    assert values(server, "files")["SERVER_HEADER"] == "files"


def test_a_running_server_keeps_its_settings_until_the_next_run(server):
    server.setPortInfo(port=0, server_header="one")
    with running(server, port=-1):
        server.setPortInfo(server_header="two")
        assert fetch(server).headers["Server"] == "one"
    with running(server, port=-1):
        assert fetch(server).headers["Server"] == "two"


def test_the_module_has_them_too():
    for name in [*PLAIN, "setCORSWhitelist", "setSettingsForPort"]:
        function = getattr(hwebserver, name)
        assert function.__self__ is hwebserver.default_server
        assert name in hwebserver.__all__


def test_no_function_prints_a_secret(server):
    for call in (
        lambda: server.setSecurity(access_token=b"s3cret"),
        lambda: server.setSecurity(acces_token="s3cret"),
        lambda: server.setSettingsForPort({"SSL_CERTIFICATE_KEY_PASWORD": "s3cret"}),
    ):
        with pytest.raises(OperationFailed) as caught:
            call()
        assert not re.search("s3cret", str(caught.value))
