"""Hello world over TLS: on connections that are kept, and on a new one for each request."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import command
import hello
import table
from harness import Work

SERVERS = {
    name: hello.SERVERS[name]
    for name in (
        table.OURS,
        "gunicorn",
        "tornado",
        "uvicorn",
        "hypercorn",
        "aiohttp",
        "granian",
        "nginx",
    )
}


def make_certificate(folder: Path) -> tuple[str, str]:
    """Have openssl make a certificate for 127.0.0.1, as today's are made; returns both files."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def works(certificate: str, key: str) -> list[Work]:
    """What is asked with this certificate."""
    told = ("--certfile", certificate, "--keyfile", key)
    return [
        Work("/", hello.BODY, told, name="TLS kept", certificate=certificate),
        Work("/", hello.BODY, told, name="TLS close", certificate=certificate, closes=True),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = command.load_parser("Hello world over TLS: hwebserver against its peers.", SERVERS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hwebserver-tls-") as folder:
        return command.run_works(
            options, lambda: works(*make_certificate(Path(folder))), tools=("openssl",)
        )


if __name__ == "__main__":
    sys.exit(main())
