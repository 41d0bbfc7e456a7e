"""A client that takes nothing for granted: it sends bytes and reads answers strictly."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable
from typing import NamedTuple

from support import connect

import hwebserver

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([ -~]*)\Z")
FIELD_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([!-~\x80-\xff](?:[\t -~\x80-\xff]*"
    rb"[!-~\x80-\xff])?)\Z"
)
DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} "
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT\Z"
)

PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n"


class Ended(Exception):
    """The connection ended before, or in, an answer; the argument is what came of it."""


class Answer(NamedTuple):
    """A response as it came; names of fields in lower case."""

    status: int
    fields: dict[str, list[str]]
    body: bytes
    to_the_end: bool

    def field(self, name: str) -> str | None:
        """Return the one value of a field, None if it is not there."""
        values = self.fields.get(name, [])
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def says_close(self) -> bool:
        return self.field("connection") == "close"


class Client:
    """One raw connection to a server."""

    def __init__(self, server: hwebserver.Server, port: str = "main") -> None:
        self.socket = connect(server, port)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self.reset = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a server that has hung up meanwhile is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def send_each(self, pieces: Iterable[bytes]) -> None:
        """Send every piece by itself."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                self.socket.sendall(piece)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer to a request with that method and check its form."""
        head = self._until(b"\r\n\r\n")
        status, fields = parse_head(head[:-4])
        body, to_the_end = self._body(method, status, fields)
        answer = Answer(status, fields, body, to_the_end)
        check(answer, method)
        return answer

    def answer_or_end(self, method: str = "GET") -> Answer | None:
        """Read one answer; return None if the connection ends instead."""
        if not self._buffer and not self._fill():
            return None
        return self.answer(method)

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        """Send bytes and read the answer."""
        self.send(data)
        return self.answer(method)

    def rest(self) -> bytes:
        """Return whatever comes before the end of the connection."""
        while self._fill():
            pass
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def check_open(self) -> None:
        """See that nothing more has come and that the connection still answers."""
        answer = self.ask(PROBE)
        assert (answer.status, answer.body) == (200, b"probe")
        assert not self._buffer

    def _fill(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            self.reset = True
            return False
        self._buffer += data
        return bool(data)

    def _until(self, mark: bytes) -> bytes:
        seen = 0
        while (end := self._buffer.find(mark, max(0, seen - len(mark)))) < 0:
            seen = len(self._buffer)
            if not self._fill():
                raise Ended(bytes(self._buffer))
        return self._take(end + len(mark))

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._fill():
                raise Ended(bytes(self._buffer))
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _body(self, method: str, status: int, fields: dict[str, list[str]]) -> tuple[bytes, bool]:
        """Read a body as RFC 9112 6.3 says; and whether only the end of the connection ends it."""
        if method == "HEAD" or status < 200 or status in (204, 304):
            return b"", False
        if "transfer-encoding" in fields:
            return self._chunks(), False
        if "content-length" in fields:
            return self._take(int(fields["content-length"][0])), False
        return self.rest(), True

    def _chunks(self) -> bytes:
        body = b""
        while True:
            line = self._until(b"\r\n")[:-2]
            assert re.match(rb"[0-9a-f]+\Z", line), line
            size = int(line, 16)
            data = self._take(size + 2)
            assert data.endswith(b"\r\n"), data
            if not size:
                return body
            body += data[:-2]


def parse_head(head: bytes) -> tuple[int, dict[str, list[str]]]:
    """Take a response head apart; fail if it is not exactly as RFC 9112 4 and 5 write it."""
    status_line, *lines = head.split(b"\r\n")
    match = STATUS_LINE.match(status_line)
    assert match, status_line
    fields: dict[str, list[str]] = {}
    for line in lines:
        field = FIELD_LINE.match(line)
        assert field, line
        fields.setdefault(field[1].decode().lower(), []).append(field[2].decode("latin-1"))
    return int(match[1]), fields


def check(answer: Answer, method: str) -> None:
    """Check what holds for every answer."""
    length, coding = answer.field("content-length"), answer.field("transfer-encoding")
    if answer.status < 200:
        assert not answer.fields  # 100 (Continue) has nothing to say
        return
    date = answer.field("date")
    assert date is not None  # RFC 9110 6.6.1, and errors too
    assert DATE.match(date), date
    assert length is None or coding is None  # RFC 9112 6.2
    assert coding in (None, "chunked")
    assert answer.field("connection") in (None, "close", "keep-alive")
    if answer.status == 204:
        assert (length, coding) == (None, None)  # RFC 9110 8.6, RFC 9112 6.1
    elif answer.status != 304:
        assert length is not None or coding is not None or answer.says_close
