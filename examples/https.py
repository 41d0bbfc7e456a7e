"""An encrypted page, which says who is looking at it.

A certificate for this machine is made by openssl; nobody else has signed it, so browsers warn:

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 \
        -keyout key.pem -out certificate.pem
    python -m hwebserver examples/https.py --certfile certificate.pem --keyfile key.pem

Open the address it prints; or have curl trust the certificate:

    curl --cacert certificate.pem https://localhost:8008/

With HWEBSERVER_SSL_CLIENT_CA set to the certificate of an authority, only clients are let in that
show a certificate which it has signed. A certificate that is renewed is used without a restart.
"""

from html import escape

import hwebserver


@hwebserver.urlHandler("/", methods=["GET"])
def index(request):
    how = "over an encrypted connection" if request.isSecure() else "in plain text"
    return f"<h1>Hello, {escape(visitor(request))}!</h1><p>This page came {how}.</p>"


def visitor(request):
    """Return the name in the certificate of the client, if it has shown one."""
    certificate = request.clientCertificate() or {}
    for names in certificate.get("subject", ()):
        for kind, name in names:
            if kind == "commonName":
                return name
    return "stranger"


if __name__ == "__main__":
    hwebserver.run()
