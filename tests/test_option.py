"""What a value of an option may be: paths, lists, patterns, secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hwebserver import OperationFailed
from hwebserver.option import check_value, near_miss, parse_text, shown
from hwebserver.settings import OPTIONS

FILES = [name for name, option in OPTIONS.items() if option.place == "file"]
FOLDERS = [name for name, option in OPTIONS.items() if option.place == "folder"]
LISTS = [name for name, option in OPTIONS.items() if option.kind is list]
SECRETS = [name for name, option in OPTIONS.items() if option.secret]


def check(name, value):
    return check_value(OPTIONS[name], value, "a test")


def refusal(name, value):
    with pytest.raises(OperationFailed) as caught:
        check(name, value)
    return str(caught.value)


def parse(name, text):
    option = OPTIONS[name]
    return check_value(option, parse_text(option, text, "a test"), "a test")


def test_these_options_are_paths_and_these_are_lists():
    assert set(FILES) == {
        "SSL_CERTIFICATE", "SSL_CERTIFICATE_KEY", "SSL_DH_PARAMS", "SSL_CLIENT_CA"
    }  # fmt: skip
    assert set(FOLDERS) == {"LOG_FILE", "ACCESS_LOG_FILE"}
    assert {"ALLOWED_HOSTS", "SSL_REDIRECT_EXEMPT", "CORS_ALLOWED_ORIGINS"} < set(LISTS)
    assert set(SECRETS) == {"ACCESS_TOKEN", "SSL_CERTIFICATE_KEY_PASSWORD"}


# --- paths ---


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_that_is_there_is_taken_as_an_absolute_path(tmp_path, monkeypatch, name, kind):
    (tmp_path / "cert.pem").write_text("")
    monkeypatch.chdir(tmp_path)
    assert check(name, kind("cert.pem")) == os.path.join(os.getcwd(), "cert.pem")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_there_is_told_with_the_nearest_one(tmp_path, name):
    for there in ("cert.pem", "other.txt"):
        (tmp_path / there).write_text("")
    (tmp_path / "cret.pem.d").mkdir()
    message = refusal(name, str(tmp_path / "cret.pem"))
    assert name in message
    assert str(tmp_path / "cret.pem") in message
    assert message.endswith(f"did you mean {tmp_path / 'cert.pem'}?")


@pytest.mark.parametrize("path", ["nothing/like/it.pem", "completely different", "nul\0.pem"])
def test_where_no_file_is_near_none_is_named(tmp_path, path):
    (tmp_path / "cert.pem").write_text("")
    assert "did you mean" not in refusal("SSL_CERTIFICATE", str(tmp_path / path))


@pytest.mark.parametrize("name", FILES + FOLDERS)
def test_a_folder_is_no_file(tmp_path, name):
    assert "folder" in refusal(name, str(tmp_path))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_log_file_may_come_to_be_but_its_folder_must_be_there(tmp_path, name):
    (tmp_path / "logs").mkdir()
    (tmp_path / "log").write_text("")
    assert check(name, tmp_path / "logs" / "web.log") == str(tmp_path / "logs" / "web.log")
    message = refusal(name, tmp_path / "lgs" / "web.log")
    assert str(tmp_path / "lgs") in message
    assert message.endswith(f"did you mean {tmp_path / 'logs'}?")


@pytest.mark.parametrize("name", FILES + FOLDERS)
def test_an_empty_path_is_none(name):
    assert check(name, "") is check(name, None) is None


@pytest.mark.parametrize("value", [5, b"cert.pem", ["cert.pem"], True])
def test_what_is_no_path_is_refused(value):
    assert "SSL_CERTIFICATE" in refusal("SSL_CERTIFICATE", value)


# --- lists ---


@pytest.mark.parametrize("name", LISTS)
def test_a_list_may_be_a_tuple_or_a_set(name):
    for value in (["a", "b"], ("a", "b"), {"b", "a"}, frozenset("ab")):
        found = check(name, value)
        assert found == ["a", "b"]
        assert found is not value


@pytest.mark.parametrize("name", LISTS)
def test_a_single_text_is_no_list_and_is_told_how_to_be_one(name):
    message = refusal(name, "a.example")
    assert name in message
    assert "['a.example']" in message


@pytest.mark.parametrize("value", [5, [5], ["a", None], [b"a"], {"a": 1}, [["a"]]])
def test_what_is_no_list_of_texts_is_refused(value):
    assert "list of texts" in refusal("ALLOWED_HOSTS", value)


def test_a_list_is_written_with_commas_outside_of_python():
    assert parse("ALLOWED_HOSTS", "a.example, b.example,") == ["a.example", "b.example"]
    assert parse("ALLOWED_HOSTS", "") == []
    assert parse("ALLOWED_HOSTS", "none") is None
    patterns = [r"https://\w{1,3}\.example", "https://b"]
    assert parse("CORS_ALLOWED_ORIGIN_REGEXES", " ".join(patterns)) == patterns


# --- patterns ---


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (re.compile(r"https://\w+\.example"), "https://a.example"),
        (re.compile(r"HTTPS://\w+\.EXAMPLE", re.IGNORECASE), "https://a.example"),
        (re.compile("(?i)HTTPS://A"), "https://a"),
        (re.compile("https://a  # that one", re.VERBOSE), "https://a"),
        (re.compile("HTTPS://a # that", re.VERBOSE | re.IGNORECASE), "https://a"),
    ],
)
def test_a_compiled_pattern_becomes_a_text_that_means_the_same(pattern, fits):
    (text,) = check("CORS_ALLOWED_ORIGIN_REGEXES", (pattern,))
    assert isinstance(text, str)
    assert re.fullmatch(text, fits)
    assert not re.fullmatch(text, "https://other")


def test_what_is_no_pattern_is_told():
    message = refusal("CORS_ALLOWED_ORIGIN_REGEXES", ["https://a", "(b"])
    assert "'(b'" in message
    assert "regular expression" in message
    assert refusal("CORS_ALLOWED_ORIGIN_REGEXES", [re.compile(b"a")])


# --- secrets and what else is shown ---


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_shown_to_nobody(name):
    assert shown(OPTIONS[name], "s3cret") == "***"
    assert shown(OPTIONS[name], None) == "None"
    assert "s3cret" not in refusal(name, b"s3cret")


def test_a_token_is_not_empty():
    assert "ACCESS_TOKEN" in refusal("ACCESS_TOKEN", "")


@pytest.mark.parametrize("text", ["660", "0660", "0o660"])
def test_permissions_are_written_as_everywhere(text):
    assert parse("UNIX_SOCKET_MODE", text) == 0o660
    assert shown(OPTIONS["UNIX_SOCKET_MODE"], 0o660) == "0o660"
    assert "at most 0o777" in refusal("UNIX_SOCKET_MODE", 0o1777)


# --- names ---

#: Settings of Django and of what is used with it that are like ours.
OTHERS = """
    CORS_ALLOW_PRIVATE_NETWORK CORS_ORIGIN_ALLOW_ALL CORS_ORIGIN_REGEX_WHITELIST
    CORS_REPLACE_HTTPS_REFERER CORS_URLS_REGEX EMAIL_SSL_CERTFILE EMAIL_SSL_KEYFILE EMAIL_USE_SSL
    SECURE_CONTENT_TYPE_NOSNIFF SECURE_CROSS_ORIGIN_OPENER_POLICY SECURE_PROXY_SSL_HEADER
    SECURE_REDIRECT_EXEMPT SECURE_REFERRER_POLICY SECURE_SSL_HOST SECURE_SSL_REDIRECT
    USE_X_FORWARDED_PORT SESSION_COOKIE_SECURE CSRF_TRUSTED_ORIGINS INTERNAL_IPS LOG_LEVEL LOGGING
    ACCESS_TOKEN_LIFETIME COMPRESS_ENABLED DEBUG_TOOLBAR_CONFIG REDIS_PORT DB_PORT SERVER_NAME
    MAX_UPLOAD_SIZE ALLOWED_CIDR_NETS TEMPLATE_DEBUG
""".split()


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_of_another_is_no_near_miss(name):
    assert near_miss(name, OPTIONS) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SSL_REDIRECT_EXEMPTS", "SSL_REDIRECT_EXEMPT"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("SSL_CERTIFICAT", "SSL_CERTIFICATE"),
        ("SECURE_HSTS_SECOND", "SECURE_HSTS_SECONDS"),
        ("CORS_ALLOWED_ORIGIN", "CORS_ALLOWED_ORIGINS"),
    ],
)
def test_a_slip_of_the_finger_is_one(name, meant):
    assert near_miss(name, OPTIONS) == meant
