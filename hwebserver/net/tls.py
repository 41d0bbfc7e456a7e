"""TLS: what the connections of a port are encrypted with, and one such connection.

OpenSSL keeps what it has read and not handed out yet, and a selector knows nothing of that. So a
``TLSTransport`` reads whole records: what it leaves is in the system's buffer and wakes a selector.
What it sends goes record by record too, since OpenSSL wants a record that the system did not take
offered again as it was: who sends on goes on at the byte where it stopped, so the next record
begins there as well and is the same.

Importing this imports ``ssl``: only what opens such a port does.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional, Union

from ..errors import OperationFailed
from .transport import BULK_SIZE, RECEIVE_SIZE, HandshakeFailed, Transport

logger = logging.getLogger("hwebserver.server")

#: Most bytes of one record, encrypted or not (RFC 8446 5.1).
_RECORD = 16384

#: Behind a record that is smaller than this one there is hardly another.
_SMALL_RECORD = 4096

#: Most bytes of a file that one call encrypts: other connections want their turn.
_FILE_TURN = 4 * BULK_SIZE

#: TLS 1.2 with forward secrecy and authenticated encryption alone; all of TLS 1.3 is like that.
#: Those with DHE are used when there are SSL_DH_PARAMS.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!PSK:!aNULL"

#: No RSA key below 2048 bits, no signature with SHA-1; LibreSSL knows no such word.
_STRENGTH = "" if "LibreSSL" in ssl.OPENSSL_VERSION else "@SECLEVEL=2:"

#: What OpenSSL says of a certificate, as opposed to its key.
_OF_CERTIFICATES = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")

#: How often the files are looked at, in seconds, while connections come.
_LOOK_PAUSE = 1.0

#: When and in which file something was found: another one is another certificate.
_Stamp = Optional[tuple[int, int, int]]


class TLSFiles(NamedTuple):
    """What a port is encrypted with; the settings of the same names describe it."""

    certificate: str
    key: Optional[str] = None
    password: Optional[str] = None
    dh_params: Optional[str] = None
    client_ca: Optional[str] = None
    verify_peer: bool = True

    @property
    def paths(self) -> dict[str, str]:
        """The files that are read, by their settings."""
        named = {
            "SSL_CERTIFICATE": self.certificate,
            "SSL_CERTIFICATE_KEY": self.key,
            "SSL_DH_PARAMS": self.dh_params,
            "SSL_CLIENT_CA": self.client_ca,
        }
        return {name: path for name, path in named.items() if path is not None}


def files_of(values: Mapping[str, Any]) -> TLSFiles:
    """Return what the settings of a port say that it is encrypted with."""
    return TLSFiles(
        values["SSL_CERTIFICATE"],
        values["SSL_CERTIFICATE_KEY"],
        values["SSL_CERTIFICATE_KEY_PASSWORD"],
        values["SSL_DH_PARAMS"],
        values["SSL_CLIENT_CA"],
        values["SSL_VERIFY_PEER"],
    )


# --- the context ---


def make_context(files: TLSFiles) -> ssl.SSLContext:
    """Read the files.

    Raises:
        OperationFailed: naming the setting, the file and the reason.
    """
    for name, path in files.paths.items():
        _check_file(name, path, *_MARKS[name])
    if files.key is None:
        mark, what = _MARKS["SSL_CERTIFICATE_KEY"]
        what += " too (SSL_CERTIFICATE_KEY is not set)"
        _check_file("SSL_CERTIFICATE", files.certificate, mark, what)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    context.set_ciphers(_STRENGTH + _CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, files)
    if files.dh_params is not None:
        try:
            context.load_dh_params(files.dh_params)
        except (OSError, ValueError) as error:
            raise _unusable("SSL_DH_PARAMS", files.dh_params, _reason(error)) from error
    if files.client_ca is not None:
        _load_client_ca(context, files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if files.verify_peer else ssl.CERT_OPTIONAL
    return context


#: What a file must hold, in the form of PEM.
_MARKS = {
    "SSL_CERTIFICATE": (b"CERTIFICATE-----", "a certificate"),
    "SSL_CERTIFICATE_KEY": (b"PRIVATE KEY-----", "a private key"),
    "SSL_DH_PARAMS": (b"DH PARAMETERS-----", "Diffie-Hellman parameters"),
    "SSL_CLIENT_CA": (b"CERTIFICATE-----", "a certificate"),
}


def _check_file(name: str, path: str, mark: bytes, what: str) -> None:
    """See that a file can be read and is of the right kind: OpenSSL does not say which was not."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OperationFailed(f"{name} {path!r} cannot be read: {reason}") from error
    if mark not in data:
        raise _unusable(name, path, f"it is no PEM file that holds {what}")


def _unusable(name: str, path: str, reason: str) -> OperationFailed:
    return OperationFailed(f"{name} {path!r} cannot be used: {reason}")


def _reason(error: Exception) -> str:
    """Return what OpenSSL says, without the place in its source."""
    reason = getattr(error, "reason", None)
    return reason.replace("_", " ").lower() if reason else str(error)


def _load_certificate(context: ssl.SSLContext, files: TLSFiles) -> None:
    """Load the certificate, its chain and its key; nobody is asked for a password."""
    name, path = "SSL_CERTIFICATE", files.certificate
    if files.key is not None:
        name, path = "SSL_CERTIFICATE_KEY", files.key
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        if files.password is None:
            reason = "the key is encrypted, and SSL_CERTIFICATE_KEY_PASSWORD is not set"
            raise _unusable(name, path, reason)
        return files.password

    try:
        context.load_cert_chain(files.certificate, files.key, password)
    except (OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            reason = f"the key is not that of SSL_CERTIFICATE {files.certificate!r}"
        elif asked:
            reason = "SSL_CERTIFICATE_KEY_PASSWORD does not open it"
        else:
            reason = _reason(error)
            if not _loads(files.certificate) or getattr(error, "reason", "") in _OF_CERTIFICATES:
                name, path = "SSL_CERTIFICATE", files.certificate
        raise _unusable(name, path, reason) from error


def _loads(certificate: str) -> bool:
    """Say whether OpenSSL can read a certificate, so that it must be the key that it cannot."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certificate)
    except (OSError, ValueError):
        return False
    return True


def _load_client_ca(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise _unusable("SSL_CLIENT_CA", path, _reason(error)) from error


# --- what the connections of a port share ---


class TLS:
    """What the connections of a port are encrypted with: the files as they are now.

    Args:
        files: The files.

    Raises:
        OperationFailed: one of them cannot be used.
    """

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._stamps = self._stat()  # before they are read: a change behind it is seen
        self._context = make_context(files)
        self._next_look = time.monotonic() + _LOOK_PAUSE
        self._reading = False

    @property
    def asks_for_certificate(self) -> bool:
        """Whether clients are asked for a certificate."""
        return self._files.client_ca is not None

    def wrap(self, transport: Transport, now: float) -> TLSTransport:
        """Return a transport for what has arrived at another one, which is of no use then.

        Args:
            transport: A plain one, of which nothing was read.
            now: The monotonic time.

        Raises:
            OSError: the connection is gone.
        """
        if now >= self._next_look and not self._reading:
            self._look(now)
        return TLSTransport(transport, self._context)

    # --- files that change ---

    def _stat(self) -> dict[str, _Stamp]:
        found: dict[str, _Stamp] = {}
        for path in self._files.paths.values():
            try:
                details = os.stat(path)
            except OSError:
                found[path] = None
            else:
                found[path] = (details.st_mtime_ns, details.st_size, details.st_ino)
        return found

    def _look(self, now: float) -> None:
        """See whether the files have changed; if so they are read beside the connections."""
        self._next_look = now + _LOOK_PAUSE
        stamps = self._stat()
        if stamps == self._stamps:
            return
        thread = threading.Thread(target=self._read_again, name="hwebserver-tls", daemon=True)
        self._reading = True
        try:
            thread.start()
        except RuntimeError:
            self._reading = False  # The system has no thread for it now; the next look tries again.
        else:
            self._stamps = stamps

    def _read_again(self) -> None:
        """Read the files; what cannot be used leaves everything as it was."""
        try:
            self._context = make_context(self._files)
        except OperationFailed as error:
            logger.warning("the certificate stays as it was: %s", error)
        except Exception:
            logger.exception("the certificate stays as it was")
        else:
            logger.info("SSL_CERTIFICATE %r was read again", self._files.certificate)
        finally:
            self._reading = False


class TLSTransport(Transport):
    """A connection that is encrypted; before it can be used its handshake has to be done.

    Two threads may use it at once, one that watches the client and one that sends for a coroutine;
    OpenSSL would not have that. The lock is held for calls that do not block.

    Args:
        transport: The plain one, whose socket it takes over.
        context: How it is encrypted.

    Raises:
        OSError: the connection is gone.
    """

    __slots__ = ("_done", "_lock", "_tls")

    def __init__(self, transport: Transport, context: ssl.SSLContext) -> None:
        tls = context.wrap_socket(
            transport._socket, server_side=True, do_handshake_on_connect=False
        )
        self._socket = tls
        self.received = self.sent = 0
        self._lock = threading.Lock()
        self._done = False
        # None: what comes is not decrypted any more, and nothing is sent: nothing ever goes plain.
        self._tls: Optional[ssl.SSLSocket] = tls

    def handshake(self) -> int:
        """Go on with the handshake; see ``Transport``."""
        if self._tls is None:
            raise ConnectionAbortedError("the handshake has failed")
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError) as error:
            raise ConnectionAbortedError("the client has left") from error
        except ssl.SSLError as error:
            if error.reason == "UNEXPECTED_EOF_WHILE_READING":  # Python 3.9 with OpenSSL 3
                raise ConnectionAbortedError("the client has left") from error
            raise HandshakeFailed(_reason(error)) from error
        self._done = True
        return 0

    def certificate(self) -> Optional[dict[str, Any]]:
        """Return the certificate of the client; see ``Transport``."""
        if self._tls is None:
            return None
        return dict(self._tls.getpeercert() or {}) or None

    def receive(self, most: int = RECEIVE_SIZE) -> Optional[bytes]:
        """Return what has arrived; see ``Transport``."""
        with self._lock:
            tls = self._tls
            return super().receive(most) if tls is None else self._receive_records(tls, most)

    def _receive_records(self, tls: ssl.SSLSocket, most: int) -> Optional[bytes]:
        pieces: list[bytes] = []
        left = most
        while left > 0:
            try:
                piece = tls.recv(_RECORD)
            except ssl.SSLWantReadError:
                break
            except OSError:
                # SSLWantWriteError is one: we are to answer a change of keys, and the client does
                # not read. To wait for it is to spin or to stall, so it is let go of.
                piece = b""
            if not piece:
                if pieces:
                    self._remember_end()
                    break
                return b""
            pieces.append(piece)
            left -= len(piece)
            if len(piece) < _SMALL_RECORD:
                break
        if not pieces:
            return None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.received += len(data)
        return data

    def _remember_end(self) -> None:
        """See that the end, which OpenSSL knows of, is found again by a selector."""
        try:
            socket.socket.shutdown(self._socket, socket.SHUT_RD)
        except OSError:
            pass  # It has gone already.

    def send(self, data: Union[bytes, memoryview], more: bool = False) -> int:
        """Send bytes and return how many were taken; see ``Transport``.

        What was not taken must be what is sent next, and no less of it.
        """
        sent, size = 0, len(data)
        view = memoryview(data)
        with self._lock:
            tls = self._tls
            if tls is None:
                raise ConnectionAbortedError("nothing more is sent")
            try:
                while sent < size:
                    sent += tls.send(view[sent : sent + _RECORD])
            except ssl.SSLWantWriteError:
                pass
            finally:
                self.sent += sent
        return sent

    def cork(self, on: bool) -> None:
        """Do nothing: records fill packets."""

    def send_file(self, descriptor: int, offset: int, size: int) -> int:
        """Send bytes of a file; see ``Transport``.

        A record that the system did not take is read again: it is the same unless the file has
        changed, and OpenSSL holds what it was.
        """
        sent = 0
        most = min(size, _FILE_TURN)
        while sent < most:
            data = _read(descriptor, offset + sent, min(size - sent, BULK_SIZE))
            if not data:
                break
            count = self.send(data)
            sent += count
            if count < len(data):
                return sent
        if not sent:
            raise EOFError("the file is shorter than when its sending began")
        return sent

    def take_leave(self) -> None:
        """Say that all has been sent (RFC 8446 6.1), if the system takes it now."""
        with self._lock:
            tls, self._tls = self._tls, None
            if tls is None or not self._done:
                return
            try:
                tls.unwrap()
            except (OSError, ValueError):
                pass  # It waits for what the other side says to it, or that has gone.

    def end_sending(self) -> None:
        """Tell the other side that nothing more comes; what it still sends is not decrypted."""
        self.take_leave()
        self._lay_bare()

    def _lay_bare(self) -> None:
        """Shut down writing, and from now on read only what is thrown away."""
        self._tls = None
        try:
            # Not that of ``SSLSocket``, behind which another thread would send in plain.
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
        except OSError:
            pass  # It has gone already.
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.fileno() >= 0:
            self._socket = socket.socket(fileno=self._socket.detach())
            self._socket.setblocking(False)

    def abort(self) -> None:
        """End the connection both ways; see ``Transport``."""
        try:
            # Another thread may be sending: see ``_lay_bare``.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            pass  # It has gone already.


def _read(descriptor: int, offset: int, count: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # Windows
    return os.read(descriptor, count)
