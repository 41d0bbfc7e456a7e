"""Certificates for tests, made by openssl: nobody but the tests trusts them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import connect

import hwebserver

#: What the encrypted key is encrypted with.
PASSWORD = "open-sesame"

_EC = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
_DAYS = "-days 2"
_AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign"
_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"


class Certificates:
    """A folder of certificates and keys, by their names.

    Attributes:
        ca: The authority that has signed the others.
        server, server_key: For this machine.
        rsa, rsa_key: The same, but with a key of the older kind.
        chain: The certificate ``chained`` and that of the authority between it and the first.
        chain_key: The key of the first of them.
        renewed, renewed_key: Another one for this machine.
        encrypted_key: The key of ``server``, encrypted.
        client, client_key: For a client called Ada.
        stranger, stranger_key: For a client, signed by nobody.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("ca", "stranger"):
            key = f"{_EC} -keyout {name}_key.pem"
            usage = "-addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
            self._openssl(f"req -x509 {key} -out {name}.pem -subj /CN={name} {_DAYS} {usage}")
        self._sign("server", "ca", "localhost", _NAMES)
        self._sign("rsa", "ca", "localhost", _NAMES, "-newkey rsa:2048 -nodes")
        self._sign("renewed", "ca", "renewed", _NAMES)
        self._sign("client", "ca", "Ada", "extendedKeyUsage=clientAuth")
        self._sign("between", "ca", "between", _AUTHORITY)
        self._sign("chained", "between", "chained", _NAMES)
        chain = self._path("chained").read_text() + self._path("between").read_text()
        self._path("chain").write_text(chain)
        self._path("chain_key").write_text(self._path("chained_key").read_text())
        self._openssl(
            f"pkey -in server_key.pem -aes256 -passout pass:{PASSWORD} -out encrypted_key.pem"
        )

    def __getattr__(self, name: str) -> str:
        path = self._path(name)
        if not path.exists():
            raise AttributeError(name)
        return str(path)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def _sign(
        self, name: str, authority: str, subject: str, extension: str, key: str = _EC
    ) -> None:
        identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        (self.folder / f"{name}.ext").write_text(identifiers + extension)
        self._openssl(f"req -new {key} -keyout {name}_key.pem -out {name}.csr -subj /CN={subject}")
        signer = f"-CA {authority}.pem -CAkey {authority}_key.pem -CAcreateserial"
        self._openssl(
            f"x509 -req -in {name}.csr -out {name}.pem {_DAYS} {signer} -extfile {name}.ext"
        )

    def _openssl(self, arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments.split(" ")],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def client_context(self, client: str = "", **settings: Any) -> ssl.SSLContext:
        """Return what a client that trusts the authority needs.

        Args:
            client: The certificate that it shows; empty: none.
            settings: Attributes of the context.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if client:
            context.load_cert_chain(getattr(self, client), getattr(self, f"{client}_key"))
        for name, value in settings.items():
            setattr(context, name, value)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Make the certificates; a test that needs them is left out where openssl is not."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return Certificates(folder)


@contextlib.contextmanager
def connect_tls(
    server: hwebserver.Server, context: ssl.SSLContext, port: str = "main"
) -> Iterator[ssl.SSLSocket]:
    """Open an encrypted connection, and close it behind the block."""
    with contextlib.closing(connect(server, port)) as sock:
        yield from _wrapped(sock, context)


def _wrapped(sock: socket.socket, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
        yield wrapped
