"""What no page shows."""

from __future__ import annotations

import pytest

from hwebserver.web.masking import Mask, is_secret, mask_named, mask_query

SECRET_NAMES = [
    "password", "PASSWORD", "db_passwd", "new_password2", "pwd", "secret", "client_secret",
    "token", "ACCESS_TOKEN", "csrfToken", "X-Auth-Token", "Authorization", "Proxy-Authorization",
    "Cookie", "Set-Cookie", "cookies", "credentials", "api_key", "apikey", "X-Api-Key", "API-KEY",
    "private_key", "SECRET_KEY", "aws_access_key_id", b"authorization",
]  # fmt: skip
PLAIN_NAMES = ["key", "keys", "user", "path", "passage", "author", "monkey", "", 5, None, b"host"]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_known_by_its_name(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_other_names_are_no_secrets(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "Login(user='ada', password='hun,ter2')",
        "Login(password=hunter2, user='ada')",
        "{'password': 'hunter2', 'a': 1}",
        '{"password": "hunt\\"er2", "a": 1}',
        "'{\\'password\\': \\'hunter2\\'}'",
        "b'GET / HTTP/1.1\\r\\nAuthorization: Bearer hunter2\\r\\nA: b'",
        "b'Cookie: a=hunter1; b=hunter2\\r\\n'",
        "Headers([('authorization', 'Bearer hunter2'), ('a', 'b')])",
        "[(b'authorization', b'Bearer hunter2')]",
        "http://localhost/?access_token=hunter2&a=b",
        "http://localhost/?access_token=hunt",
        "password='hunter2",
    ],
)
def test_values_behind_the_names_of_secrets_are_taken_out(text):
    assert "hunt" not in mask_named(text)
    assert "er2" not in mask_named(text)
    assert "***" in mask_named(text)


@pytest.mark.parametrize("text", ["user='ada'", "{'key': 'value'}", "{'a': 'password'}", "x"])
def test_other_values_stay(text):
    assert mask_named(text) == text


def test_a_query_keeps_what_is_no_secret():
    query = "a=1&pass%77ord=x&&token=a%26b;api_key=c&password&b"
    masked = "a=1&pass%77ord=***&&token=***;api_key=***&password&b"
    assert mask_query(query) == masked
    assert mask_query("") == ""


@pytest.mark.parametrize("secret", ["plain", "with'quote", 'with"quote', "back\\slash", "a+b/c=%&"])
def test_a_known_secret_is_taken_out_in_every_spelling(secret):
    from json import dumps
    from urllib.parse import quote

    mask = Mask([secret])
    for text in (secret, repr(secret), repr(secret + "'"), dumps(secret), quote(secret, safe="")):
        shown = mask.text(f"before {text} after")
        assert secret not in shown
        assert quote(secret, safe="") not in shown
        assert shown.startswith("before ")
        assert shown.endswith(" after")
        assert "***" in shown


def test_without_known_secrets_a_text_stays():
    assert Mask([]).text("text") == Mask([""]).text("text") == "text"
