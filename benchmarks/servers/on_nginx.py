"""Run nginx: one worker, sendfile, no log unless it is told to keep one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import told

CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections {connections}; }}
http {{
    access_log {log};
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024{ssl};
        {certificate}
        {content}
    }}
}}
"""
CERTIFICATE = 'ssl_certificate "{}"; ssl_certificate_key "{}";'


def free_port(wanted: int) -> int:
    """Find out which port 0 gives: nginx cannot say."""
    with socket.create_server(("127.0.0.1", wanted)) as probe:
        port: int = probe.getsockname()[1]
        return port


def serve(content: str, connections: int = 2048) -> None:
    """Run it on the port of the command line until told to end.

    Args:
        content: The directives that say what it answers.
        connections: Most that are open at once.
    """
    values = {
        "port": free_port(int(sys.argv[1])),
        "content": content,
        "connections": connections,
        "log": f'"{told.ACCESS_LOG}"' if told.ACCESS_LOG else "off",
        "ssl": " ssl" if told.CERTFILE else "",
        "certificate": CERTIFICATE.format(told.CERTFILE, told.KEYFILE) if told.CERTFILE else "",
        # Started by root, its worker would be somebody who may not read the files.
        "user": "user root;" if os.geteuid() == 0 else "",
    }
    with tempfile.TemporaryDirectory(prefix="hwebserver-nginx-") as folder:
        path = Path(folder, "nginx.conf")
        path.write_text(CONFIGURATION.format(**values))
        command = ["nginx", "-e", "stderr", "-p", folder, "-c", str(path)]
        with subprocess.Popen(command) as nginx:
            signal.signal(signal.SIGTERM, lambda *_: nginx.terminate())
            print(values["port"], flush=True)
            sys.exit(nginx.wait())
