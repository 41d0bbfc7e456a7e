"""The settings of every port and who set them, as a person reads them."""

from __future__ import annotations

import os
import re

import pytest

from hwebserver import High, OperationFailed
from hwebserver.settings import OPTIONS, Said


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Hide what the shell of the person who runs the tests may have set."""
    for name in os.environ:
        if name.startswith("HWEBSERVER_"):
            monkeypatch.delenv(name)


def ports(text):
    """Take an overview apart: heading -> option -> (value, who said it)."""
    found, heading = {}, ""
    for line in text.splitlines():
        option = re.fullmatch(r"([* ]) (\w+) += (.*?)(?:  +# (.*))?", line)
        if option:
            mark, name, value, source = option.groups()
            assert (mark == "*") is (source is not None)
            assert name not in found[heading]
            found[heading][name] = (value, source)
        elif line:
            heading = line.partition(":")[0]
            found[heading] = {}
    return found


def test_every_option_is_there_once_with_its_default(server):
    (main,) = ports(server.describeSettings()).values()
    assert set(main) == {name for name, option in OPTIONS.items() if not option.alias_of}
    assert main["PORT"] == ("8008", None)
    assert main["CORS_ALLOW_METHODS"][0].startswith("['DELETE', ")
    assert main["UNIX_SOCKET_MODE"] == ("0o600", None)


def test_what_was_set_comes_first_with_who_set_it(server, monkeypatch, tmp_path):
    file = tmp_path / "own.py"
    file.write_text("SEND_TIMEOUT = 5\nPORTS = {'files': {'PORT': 8123}, 'idle': {}}\n")
    monkeypatch.setenv("HWEBSERVER_THREADS", "7")
    server.setPortInfo(allowed_hosts=["a", "b"])
    server.setSettingsForPort({"SERVER_HEADER": "x"}, -1)
    server.overrule({"DEBUG": Said(True, "--debug")})
    arguments = {"port": 0, "verbosity": High, "settings": file, "ports": ["files", ("more", 9)]}
    text = server.describeSettings(arguments)
    found = ports(text)
    idle = "port 'idle', which is not in the ports of run and not opened"
    assert list(found) == ["main port", "port 'files'", "port 'more'", idle]
    said = {name: one for name, one in found["main port"].items() if one[1]}
    assert said == {
        "PORT": ("0", "run(port=...)"),
        "DEBUG": ("True", "--debug"),
        "MAX_NUM_THREADS": ("7", "the environment variable HWEBSERVER_THREADS"),
        "VERBOSITY": ("2", "run(verbosity=...)"),
        "ALLOWED_HOSTS": ("['a', 'b']", "setPortInfo"),
        "SERVER_HEADER": ("'x'", "setSettingsForPort"),
        "SEND_TIMEOUT": ("5.0", f"the file {file}"),
    }
    assert list(found["main port"])[: len(said)] == list(said)
    assert found["port 'files'"]["PORT"] == ("8123", f"PORTS['files'] of the file {file}")
    assert found["port 'files'"]["ALLOWED_HOSTS"] == ("None", None)
    assert found["port 'more'"]["PORT"] == ("9", "run(ports=...)")
    assert found[idle]["PORT"] == ("None", None)


def test_the_values_stand_below_one_another(server):
    server.setPortInfo(address="127.0.0.1")
    lines = [line for line in server.describeSettings().splitlines() if " = " in line]
    assert len({line.index(" = ") for line in lines}) == 1


def test_secrets_are_masked(server, monkeypatch):
    monkeypatch.setenv("HWEBSERVER_SSL_CERTIFICATE_KEY_PASSWORD", "s3cret")
    server.setSecurity(access_token="s3cret")
    text = server.describeSettings()
    assert "s3cret" not in text
    (main,) = ports(text).values()
    assert main["ACCESS_TOKEN"] == ("***", "setSecurity")
    assert main["SSL_CERTIFICATE_KEY_PASSWORD"][0] == "***"


def test_to_look_at_settings_changes_none(server):
    server.describeSettings({"port": 5, "settings": {"SERVER_HEADER": "x"}})
    found = server._settings.for_port("main")
    assert (found["PORT"], found["SERVER_HEADER"]) == (8008, "hwebserver")


def test_what_would_not_start_is_told_instead(server, monkeypatch):
    with pytest.raises(OperationFailed, match="verbosity"):
        server.describeSettings({"verbosity": 9})
    monkeypatch.setenv("HWEBSERVER_PROT", "1")
    with pytest.raises(OperationFailed, match="HWEBSERVER_PROT"):
        server.describeSettings()
