"""nginx in front of programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from integration.components import find_program, missing
from support import PATIENCE

# Where root runs the tests, the worker is to write to folders that are root's, too; nobody else can
# choose the user, and nginx warns of it and goes on.
_BEGINNING = """
daemon off;
user root;
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
"""

_EVENTS = "events {{}}\n"

_HTTP = """
http {{
    access_log off;
    client_max_body_size 100m;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""


_STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def nginx_path() -> str:
    """Return the path of nginx; where the system has it, users may not look for programs."""
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or find_program("nginx")


@contextlib.contextmanager
def nginx(folder: Path, configuration: str, count: int = 1, **places: str) -> Iterator[list[int]]:
    """Run nginx in front of programs; yield the ports that it serves on.

    Args:
        folder: Where it keeps what it needs.
        configuration: The inside of its ``http`` block, a template in which ``ports[0]`` is the
            first port.
        count: How many ports it is to have.
        places: What else stands in the template.
    """
    template = f"{_BEGINNING}{_EVENTS}{_HTTP}{configuration}}}}}\n"
    with _nginx(folder, template, count, places) as ports:
        yield ports


@contextlib.contextmanager
def nginx_stream(folder: Path, configuration: str, **places: str) -> Iterator[int]:
    """Run nginx in front of a program, of which it passes bytes on; yield the port it serves on.

    Args:
        folder: Where it keeps what it needs.
        configuration: The inside of its ``stream`` block, a template as that of ``nginx``.
        places: What else stands in the template.
    """
    if not _STREAM_MODULE.exists():
        missing("the stream module of nginx (libnginx-mod-stream)")
    load = f"load_module {_STREAM_MODULE};\n"
    template = f"{load}{_BEGINNING}{_EVENTS}stream {{{{\n{configuration}}}}}\n"
    with _nginx(folder, template, 1, places) as (port,):
        yield port


@contextlib.contextmanager
def _nginx(folder: Path, template: str, count: int, places: dict[str, str]) -> Iterator[list[int]]:
    with contextlib.ExitStack() as opened:
        listeners = [
            opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        ports = [listener.getsockname()[1] for listener in listeners]
        file = folder / "nginx.conf"
        file.write_text(template.format(folder=folder, ports=ports, **places))
        # It inherits the sockets, as from an nginx that it replaces: so nobody can take the ports
        # before it, and who connects before it is up waits for it.
        descriptors = [listener.fileno() for listener in listeners]
        process = subprocess.Popen(
            [nginx_path(), "-p", folder, "-e", "stderr", "-c", file],
            env={**os.environ, "NGINX": "".join(f"{one};" for one in descriptors)},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield ports
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
