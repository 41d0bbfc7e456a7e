"""TLS, Unix sockets and passed sockets, with the programs that people use for them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from integration.components import find_program
from integration.program import environment, serving_tidily
from support import PATIENCE

pytestmark = pytest.mark.integration

EXAMPLE = str(Path("examples", "https.py"))

#: What curl exits with when a TLS handshake fails, and when the connection breaks behind it.
REFUSED = (35, 56)


def files(certificates):
    return {
        "HWEBSERVER_SSL_CERTIFICATE": certificates.chain,
        "HWEBSERVER_SSL_CERTIFICATE_KEY": certificates.chain_key,
    }


@pytest.fixture(scope="module")
def https(certificates, tmp_path_factory):
    """The example, encrypted."""
    root = tmp_path_factory.mktemp("https")
    with serving_tidily(EXAMPLE, root=root, **files(certificates)) as server:
        yield server


@pytest.fixture(scope="module")
def closed(certificates, tmp_path_factory):
    """The example, which lets nobody in without a certificate."""
    root = tmp_path_factory.mktemp("closed")
    own = {"HWEBSERVER_SSL_CLIENT_CA": certificates.ca}
    with serving_tidily(EXAMPLE, root=root, **files(certificates), **own) as server:
        yield server


def run(*command, text="", patience=PATIENCE):
    """Run a program to its end, and return it with its output."""
    return subprocess.run(
        list(map(str, command)),
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=patience,
        check=False,
    )


# --- curl ---


def test_curl_gets_a_page(curl, https, certificates):
    answer = curl(
        "--cacert", certificates.ca, "-w", " %{num_connects}", https.address, https.address
    )
    assert answer.stdout.count("<h1>Hello, stranger!</h1>") == 2
    assert answer.stdout.count("over an encrypted connection") == 2
    assert answer.stdout.endswith(" 0")


def test_curl_speaks_http_1_0(curl, https, certificates):
    assert "stranger" in curl("--http1.0", "--cacert", certificates.ca, https.address).stdout


def test_curl_shows_its_certificate(curl, closed, certificates):
    own = ["--cert", certificates.client, "--key", certificates.client_key]
    assert "Hello, Ada!" in curl("--cacert", certificates.ca, *own, closed.address).stdout


@pytest.mark.parametrize("client", ["", "stranger"])
def test_curl_is_refused_without_a_certificate(curl_command, closed, certificates, client):
    own = []
    if client:
        own = ["--cert", certificates.stranger, "--key", certificates.stranger_key]
    ended = run(*curl_command, "--cacert", certificates.ca, *own, closed.address)
    assert ended.returncode in REFUSED
    assert "alert" in ended.stdout


def test_curl_is_told_that_a_port_speaks_https(curl, https):
    answer = curl("-i", https.address.replace("https:", "http:"), code=22)
    assert "400 Bad Request" in answer.stdout
    assert "This port speaks https" in answer.stdout


def test_curl_uses_a_unix_socket(curl, tmp_path):
    path = tmp_path / "page.sock"
    with serving_tidily(EXAMPLE, "--host", f"unix:{path}", root=tmp_path):
        assert "in plain text" in curl("--unix-socket", path, "http://localhost/").stdout
    assert not path.exists()


# --- openssl ---


def s_client(server, certificates, *arguments):
    host, port = server.place
    command = [find_program("openssl"), "s_client", "-connect", f"{host}:{port}"]
    return run(*command, "-CAfile", certificates.ca, *arguments).stdout


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_openssl_agrees_on_a_version_and_a_protocol(https, certificates, option, version):
    seen = s_client(https, certificates, option, "-alpn", "h2,http/1.1")
    assert f"New, {version}, Cipher is " in seen
    assert "Verify return code: 0 (ok)" in seen
    assert "ALPN protocol: http/1.1" in seen
    assert "Compression: NONE" in seen


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_openssl_cannot_agree_on_an_old_version(https, certificates, option):
    # Level 0 lets openssl itself offer them, so that it is the server that refuses.
    seen = s_client(https, certificates, option, "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in seen


def test_openssl_cannot_agree_on_a_weak_cipher(https, certificates):
    seen = s_client(https, certificates, "-tls1_2", "-cipher", "AES128-SHA:ECDHE+AES+SHA1")
    assert "alert handshake failure" in seen


def test_openssl_cannot_renegotiate(https, certificates):
    host, port = https.place
    command = [find_program("openssl"), "s_client", "-connect", f"{host}:{port}", "-tls1_2"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        seen, _ = process.communicate("R\n", PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert re.search("no renegotiation|RENEGOTIATING", seen)
    assert "verify return" not in seen.partition("RENEGOTIATING")[2]


# --- sslscan ---


@pytest.mark.parametrize("kind", ["chain", "rsa"])
def test_sslscan_finds_nothing_weak(certificates, tmp_path, kind):
    own = {
        "HWEBSERVER_SSL_CERTIFICATE": getattr(certificates, kind),
        "HWEBSERVER_SSL_CERTIFICATE_KEY": getattr(certificates, f"{kind}_key"),
    }
    with serving_tidily(EXAMPLE, root=tmp_path, **own) as https:
        check_scan(https)


def check_scan(https):
    host, port = https.place
    command = [find_program("sslscan"), "--no-colour", "--show-sigs", f"{host}:{port}"]
    seen = run(*command, patience=6 * PATIENCE).stdout
    enabled = re.findall(r"^((?:SSL|TLS)v[\d.]+)\s+enabled", seen, re.MULTILINE)
    assert enabled == ["TLSv1.2", "TLSv1.3"]
    assert "Session renegotiation not supported" in seen
    assert "Compression enabled" not in seen
    assert "vulnerable" not in seen.replace("not vulnerable", "")
    ciphers = re.findall(r"^(?:Preferred|Accepted)\s+\S+\s+(\d+) bits\s+(\S+)", seen, re.MULTILINE)
    assert len(ciphers) >= 4
    for bits, name in ciphers:
        assert int(bits) >= 128, name
        assert name.startswith(("TLS_", "ECDHE-")), name
        assert re.search("GCM|CHACHA20", name), name


# --- systemd ---


def test_systemd_passes_a_socket(curl):
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    activate = find_program("systemd-socket-activate")
    passed = [f"--setenv={name}={value}" for name, value in environment().items()
              if name in ("PATH", "HOME", "PYTHONPATH", "PYTHONUNBUFFERED")]  # fmt: skip
    server = [sys.executable, "-m", "hwebserver", "examples/https.py"]
    process = subprocess.Popen(
        [activate, "-l", place, *passed, *server],
        cwd=Path(__file__).resolve().parents[2],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "Listening on" in process.stderr.readline()
        # The first connection starts the server, which finds it waiting.
        assert "in plain text" in curl(f"http://{place}/").stdout
        assert "in plain text" in curl(f"http://{place}/").stdout
        os.kill(process.pid, signal.SIGTERM)  # It has become the server.
        output = process.stderr.read()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert f"Serving on http://{place}/ (a socket that was passed to this process)" in output
