"""Upload or download over one keep-alive connection, and print what time that took.

    loader.py upload PORT PATH BYTES COUNT
    loader.py download PORT PATH BYTES COUNT

A program of its own, so that it has a core of its own. It does as little as it can: it sends the
same block of noise again and again, and receives into the same buffer.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import time

BLOCK_BYTES = 1_000_000
TIMEOUT_SECONDS = 60.0
BOUNDARY = "----------------------------8d1f6d0c5b3e47a2"
BEFORE_FILE = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="note"\r\n\r\n'
    "A text beside the file.\r\n"
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="file"; filename="noise.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
BEHIND_FILE = f"\r\n--{BOUNDARY}--\r\n".encode()


class WrongAnswer(Exception):
    """The server did not answer as it should."""


class Loader:
    """A connection, and the block that is sent, or received into.

    Args:
        port: Where the server listens on 127.0.0.1.
        path: What is asked for.
        size: Bytes of the file.
    """

    def __init__(self, port: int, path: str, size: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._connection.connect()
        self._path = path
        self._size = size
        # Seeded: every server and every run gets the same bytes.
        self._block = memoryview(bytearray(random.Random(0).randbytes(BLOCK_BYTES)))

    def upload(self) -> None:
        """Upload a form of a text and a file; the answer must be the size of the file."""
        connection = self._connection
        connection.putrequest("POST", self._path)
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        length = len(BEFORE_FILE) + self._size + len(BEHIND_FILE)
        connection.putheader("Content-Length", str(length))
        connection.endheaders(BEFORE_FILE)
        for start in range(0, self._size, BLOCK_BYTES):
            connection.send(self._block[: self._size - start])
        connection.send(BEHIND_FILE)
        answer = self._response().read()
        if answer != b"%d" % self._size:
            raise WrongAnswer(f"the answer to {self._size} bytes was {answer[:80]!r}")

    def download(self) -> None:
        """Download a file and forget it; all of it must come, whether announced or not."""
        self._connection.request("GET", self._path)
        response = self._response()
        announced, received = response.length, 0
        while count := response.readinto(self._block):
            received += count
        if received != self._size or announced not in (received, None):
            raise WrongAnswer(f"{announced} bytes were announced, {received} came")

    def _response(self) -> http.client.HTTPResponse:
        response = self._connection.getresponse()
        if response.status != 200:
            raise WrongAnswer(f"{response.status} {response.read(80)!r}")
        if response.will_close:
            raise WrongAnswer("it does not keep the connection alive")
        return response


def main() -> int:
    """Transfer as often as told."""
    direction, port, path, size, count = sys.argv[1:]
    try:
        loader = Loader(int(port), path, int(size))
        transfer = {"upload": loader.upload, "download": loader.download}[direction]
        start = time.perf_counter()
        for _ in range(int(count)):
            transfer()
        seconds = time.perf_counter() - start
    except (OSError, http.client.HTTPException, WrongAnswer) as error:
        print(error)
        return 1
    print(json.dumps({"microseconds": int(seconds * 1e6)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
