"""What handlers give as a body that is made while it is sent: iterators, files, coroutines.

Whatever it is, the connection sees a source that returns pieces of bytes, none of them empty, and
that is closed when the body is over, however it ends. The original is closed with it where it can
be, so a generator's ``finally`` runs when the client leaves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, Optional, Protocol, cast

from ..exchange import AsyncSource, Source

#: Makes bytes of what an iterator yields.
Encode = Callable[[Any], bytes]

_BLOCK = 65536


def encode_piece(piece: Any) -> bytes:
    """Return a piece of a body as bytes; text is UTF-8.

    Raises:
        TypeError: it is neither text nor bytes.
    """
    if isinstance(piece, str):
        return piece.encode("utf-8")
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a piece of a body is text or bytes, not {type(piece).__name__}")


#: What can be iterated, and is meant as a whole.
_WHOLES = (str, bytes, bytearray, memoryview, dict, list, tuple, set, frozenset)


def is_stream(data: Any) -> bool:
    """Say whether data is to be sent piece by piece."""
    if isinstance(data, _WHOLES):
        return False
    return any(hasattr(data, name) for name in ("__iter__", "__next__", "read", "__aiter__"))


class Pieces:
    """An iterable, or a file, as a ``Source``.

    Args:
        data: An iterable of pieces, or something with a method ``read``.
        encode: Makes bytes of a piece.
    """

    def __init__(self, data: Any, encode: Encode = encode_piece) -> None:
        self._data = data
        self._encode = encode
        self._iterator: Optional[Iterator[Any]] = None

    def read(self) -> Optional[bytes]:
        """Return the next piece; see ``exchange.Source``."""
        if self._iterator is None:
            self._iterator = _iterate(self._data)
        while True:
            try:
                piece = next(self._iterator)
            except StopIteration:
                return None
            encoded = self._encode(piece)
            if encoded:
                return encoded

    def close(self) -> None:
        """Close the data, if it can be closed; a second call does nothing."""
        iterator, self._iterator = self._iterator, None
        data, self._data = self._data, ()
        try:
            if iterator is not None and iterator is not data:
                _close(iterator)
        finally:
            _close(data)


def _iterate(data: Any) -> Iterator[Any]:
    # A file also yields lines, which may be of any length.
    if hasattr(data, "read"):
        return _blocks(data)
    return iter(data) if hasattr(data, "__iter__") else cast(Iterator[Any], data)


def _close(one: Any) -> None:
    close = getattr(one, "close", None)
    if close is not None:
        close()


def _blocks(file: Any) -> Iterator[Any]:
    read: Callable[[], Any] = partial(file.read, _BLOCK)
    while True:
        block = read()
        if not block:
            return
        yield block


class AsyncPieces:
    """An async iterable as an ``AsyncSource``.

    Args:
        data: An async iterable of pieces.
        encode: Makes bytes of a piece.
    """

    def __init__(self, data: Any, encode: Encode = encode_piece) -> None:
        self._data = data
        self._encode = encode
        self._iterator: Optional[AsyncIterator[Any]] = None

    async def read(self) -> Optional[bytes]:
        """Return the next piece; see ``exchange.AsyncSource``."""
        if self._iterator is None:
            self._iterator = self._data.__aiter__()
        while True:
            try:
                piece = await self._iterator.__anext__()
            except StopAsyncIteration:
                return None
            encoded = self._encode(piece)
            if encoded:
                return encoded

    async def close(self) -> None:
        """Close the data, if it can be closed; a second call does nothing."""
        iterator, self._iterator = self._iterator, None
        data, self._data = self._data, ()
        try:
            if iterator is not None and iterator is not data:
                await _aclose(iterator)
        finally:
            await _aclose(data)


async def _aclose(one: Any) -> None:
    close = getattr(one, "aclose", None) or getattr(one, "close", None)
    if close is not None:
        closed = close()
        if hasattr(closed, "__await__"):
            await closed


class StreamEncoder(Protocol):
    """Encodes a stream as a whole."""

    def encode(self, piece: bytes) -> bytes:
        """Return the next piece, complete as far as it goes."""

    def end(self) -> bytes:
        """Return what comes behind the last piece."""


class Encoded:
    """A ``Source`` whose pieces are encoded once more.

    Args:
        source: What makes the pieces.
        encoder: Encodes them.
    """

    def __init__(self, source: Source, encoder: StreamEncoder) -> None:
        self._source = source
        self._encoder: Optional[StreamEncoder] = encoder

    def read(self) -> Optional[bytes]:
        """Return the next piece; see ``exchange.Source``."""
        if self._encoder is None:
            return None
        piece = self._source.read()
        if piece is not None:
            return self._encoder.encode(piece)
        encoder, self._encoder = self._encoder, None
        return encoder.end()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class AsyncEncoded:
    """The same for an ``AsyncSource``."""

    def __init__(self, source: AsyncSource, encoder: StreamEncoder) -> None:
        self._source = source
        self._encoder: Optional[StreamEncoder] = encoder

    async def read(self) -> Optional[bytes]:
        """Return the next piece; see ``exchange.AsyncSource``."""
        if self._encoder is None:
            return None
        piece = await self._source.read()
        if piece is not None:
            return self._encoder.encode(piece)
        encoder, self._encoder = self._encoder, None
        return encoder.end()

    async def close(self) -> None:
        """Close the source."""
        await self._source.close()
