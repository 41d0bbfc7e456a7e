"""One request of another ASGI server, and its answer.

The body is received into the sink that it has under ``run``, or passed on as it arrives. A task
listens meanwhile for the end of the client, which ends what coroutines do for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import HTTPError
from ..exchange import Answer, Deferred, FileBody, Later, OnMainThread, StreamBody, Upgrade
from ..protocol.http1 import RequestHead
from ..protocol.response import Framing, HeadWriter
from .application import Exchange
from .asgi_inside import Inside, Receive, Send, read_at
from .asgi_scope import bytes_of, connection_info, read_head
from .lifespan import Event

if TYPE_CHECKING:
    import asyncio

_BLOCK = 262144


class _Left(Exception):
    """The client has left."""


class Reply:
    """One request and its answer, and an ``exchange.Channel`` for one that is sent by hand.

    Args:
        inside: What is behind the application.
        scope: What the server tells of the request.
        receive: Gives the events of the server.
        send: Takes ours.
    """

    def __init__(self, inside: Inside, scope: Event, receive: Receive, send: Send) -> None:
        import asyncio

        self._inside = inside
        self._scope = scope
        self._receive = receive
        self._send_event = send
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._writer = HeadWriter("")
        self._head: Optional[RequestHead] = None
        self._exchange: Optional[Exchange] = None
        self._watch: Optional[asyncio.Task[None]] = None  # ends when the client leaves
        self._left = False
        self._status = self._sent = 0
        # Of a response that is sent by hand:
        self._framing: Optional[Framing] = None
        self._handed = 0  # bytes of its body that the handler has handed over
        self._last: Optional[asyncio.Task[None]] = None  # sends what a coroutine has handed over
        self._aborted = False

    async def run(self) -> None:
        """Serve the request.

        Raises:
            Exception: a response that has begun cannot be completed: the server is to cut it.
        """
        began = time.monotonic()
        self._open()
        try:
            answer = await self._find_answer()
            if answer is not None:
                await self._answer(answer)
        except _Left:
            pass
        finally:
            if self._watch is not None:
                self._watch.cancel()
            self._here.finish(self._status, self._sent, time.monotonic() - began)

    @property
    def _here(self) -> Exchange:
        if self._exchange is None:
            raise RuntimeError("the request has not been read")
        return self._exchange

    def _open(self) -> None:
        inside, info = self._inside, connection_info(self._scope)
        try:
            head = self._head = read_head(self._scope, inside.limits)
            if (head.content_length or 0) > inside.limits.body:
                raise HTTPError(
                    413, f"The body of a request is at most {inside.limits.body} bytes."
                )
            self._exchange = inside.application.open(head, info)
        except HTTPError as error:
            self._exchange = inside.application.refuse(error, self._head, info)

    # --- the request ---

    async def _find_answer(self) -> Optional[Answer]:
        """Return the answer; None: it went out by hand, or the client has left."""
        exchange, head = self._here, self._head
        if exchange.guard is not None:
            await self._inside.workers.run(exchange.admit)
        if exchange.refusal is not None or head is None:
            return exchange.refusal
        if head.has_body and exchange.queue is None:
            try:
                await self._store_body(exchange)
            except HTTPError as error:
                exchange.drop()
                info = connection_info(self._scope)
                self._exchange = self._inside.application.refuse(error, head, info)
                return self._exchange.refusal
        self._watch = self._loop.create_task(self._listen(exchange))
        answer = await self._inside.workers.run(exchange.respond, self)
        if isinstance(answer, (Deferred, OnMainThread)):
            answer = await self._await(exchange, answer)
        if isinstance(answer, Upgrade):
            message = "A WebSocket needs a server that upgrades connections."
            return exchange.failed(HTTPError(501, message))
        if answer is None:
            await self._end_by_hand()
        found: Optional[Answer] = answer
        return found

    async def _body(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Yield the pieces of the body, and whether each is the last.

        Raises:
            HTTPError: 413, there is too much of it.
        """
        size, more = 0, True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise _Left
            piece, more = event.get("body", b""), event.get("more_body", False)
            size += len(piece)
            if size > self._inside.limits.body:
                limit = self._inside.limits.body
                raise HTTPError(413, f"The body is over {limit} bytes.")
            yield piece, not more

    async def _store_body(self, exchange: Exchange) -> None:
        sink, size = exchange.sink, 0
        async for piece, _ in self._body():
            size += len(piece)
            if size <= sink.in_memory:
                sink.write(piece)
            else:
                await self._inside.workers.run(sink.write, piece)

    async def _listen(self, exchange: Exchange) -> None:
        """Pass the body on to a handler that takes it as it arrives; end when the client leaves."""
        import asyncio

        queue = exchange.queue
        try:
            if queue is not None:
                room = asyncio.Event()
                queue.tell = lambda: self._call(room.set)
                async for piece, last in self._body():
                    queue.put(piece, last)
                    while queue.full:
                        room.clear()
                        await room.wait()
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except (_Left, HTTPError):
            pass
        self._left = True
        if queue is not None:
            exchange.drop()

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # The loop is closed: nothing waits.

    async def _await(self, exchange: Exchange, later: Later) -> Optional[Answer]:
        result: Any = None
        error: Optional[BaseException] = None
        if isinstance(later, OnMainThread):
            coroutine = self._on_main_thread(later)
        else:
            coroutine = later.coroutine
        try:
            result = await self._while_here(coroutine)
        except _Left:
            raise
        except BaseException as raised:
            error = raised
        answer: Optional[Answer] = await self._inside.workers.run(
            exchange.conclude, self, result, error
        )
        return answer

    async def _on_main_thread(self, later: OnMainThread) -> Any:
        """Return what is returned on the main thread; this loop may run there itself."""
        import asyncio

        done = asyncio.Event()
        begin = partial(later.begin, lambda: self._call(done.set))
        here = threading.current_thread() is threading.main_thread()
        pending = begin() if here else await self._inside.workers.run(begin)
        try:
            while not pending.done:
                left = pending.deadline - time.monotonic()
                if left <= 0:
                    pending.expire()
                    continue
                waits = asyncio.wait_for(done.wait(), min(left, threading.TIMEOUT_MAX))
                with suppress(asyncio.TimeoutError):
                    await waits
        finally:
            pending.cancel()
            while not pending.done:  # It has begun, and uses the request.
                await done.wait()
        if pending.error is not None:
            raise pending.error
        return pending.result

    async def _while_here(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns, which is cancelled when the client leaves.

        Raises:
            _Left: the client has left.
        """
        import asyncio

        task = self._loop.create_task(coroutine)
        try:
            await self._settled(task)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        return task.result()

    async def _settled(self, task: asyncio.Task[Any], pause: float = 0.0) -> bool:
        """Wait for a task, but not for longer than a pause; return whether it is done.

        Raises:
            _Left: the client has left.
        """
        import asyncio

        watched = {task} if self._watch is None else {task, self._watch}
        await asyncio.wait(watched, timeout=pause or None, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and self._left:
            raise _Left
        return task.done()

    # --- the answer ---

    async def _answer(self, answer: Answer) -> None:
        try:
            framing = self._frame(answer)
        except (TypeError, ValueError) as error:
            await self._drop(answer)
            answer = self._here.unsendable(error)
            framing = self._frame(answer)
        body = answer.body
        if not framing.has_body:
            await self._drop(answer)
            await self._start(answer, framing)
            await self._send(b"", False)
        elif isinstance(body, bytes):
            await self._start(answer, framing)
            await self._send(body, False)
        elif isinstance(body, FileBody):
            await self._send_file(answer, framing, body)
        else:
            await self._send_stream(answer, framing, body)

    def _frame(self, answer: Answer, by_hand: bool = False) -> Framing:
        """Decide how the body of an answer is sent; see ``net.connection``.

        Raises:
            ValueError: its head cannot be sent.
        """
        status, fields, body, length, chunked, _ = answer
        if isinstance(body, FileBody):
            length = body.size
        elif isinstance(body, bytes) and not by_hand:
            length = len(body)
        method, minor = "GET", 1
        if self._head is not None:
            method, minor = self._head.method, self._head.minor
        return self._writer.head(status, fields, length, chunked, method, minor, False, "")[1]

    async def _start(self, answer: Answer, framing: Framing) -> None:
        lines = list(answer.fields)
        if framing.length is not None:
            lines.append(("content-length", str(framing.length)))
        if answer.status == 426:
            lines.append(("upgrade", "websocket"))  # RFC 9110 15.5.22
        if answer.close and self._scope.get("http_version", "1.1").startswith("1"):
            lines.append(("connection", "close"))
        self._status = int(answer.status)
        start = {"type": "http.response.start", "status": self._status, "headers": bytes_of(lines)}
        await self._send_event(start)

    async def _send(self, piece: bytes, more: bool) -> None:
        if self._left:
            raise _Left
        await self._send_event({"type": "http.response.body", "body": piece, "more_body": more})
        self._sent += len(piece)

    async def _drop(self, answer: Answer) -> None:
        if not isinstance(answer.body, bytes):
            await self._inside.workers.run(answer.body.close)

    async def _send_file(self, answer: Answer, framing: Framing, file: FileBody) -> None:
        run = self._inside.workers.run
        try:
            await self._start(answer, framing)
            for piece in file.pieces:
                if isinstance(piece, bytes):
                    await self._send(piece, True)
                    continue
                offset, end = piece.offset, piece.offset + piece.size
                while offset < end:
                    block = await run(read_at, file.descriptor, offset, min(end - offset, _BLOCK))
                    offset += len(block)
                    await self._send(block, True)
            await self._send(b"", False)
        finally:
            await run(file.close)

    async def _send_stream(self, answer: Answer, framing: Framing, body: StreamBody) -> None:
        """Send a body that is made meanwhile; what fails before its first piece is an error."""
        pieces = _measured(self._pieces(body), framing.length)
        complete = False
        try:
            first: Union[bytes, None] = b""
            if not (body.live or body.prompt):
                try:
                    first = await _next(pieces)
                except Exception as error:
                    if isinstance(error, _Left):
                        raise
                    await self._answer(self._here.failed(error))
                    return
            await self._start(answer, framing)
            await self._send_all(pieces, body.opening if body.live else first)
            complete = True
        finally:
            await pieces.aclose()
            if not complete:
                await self._inside.workers.run(body.leave)

    async def _send_all(self, pieces: AsyncIterator[bytes], first: Optional[bytes]) -> None:
        piece = first
        try:
            while piece is not None:
                await self._send(piece, True)
                piece = await _next(pieces)
        except (_Left, OSError):
            raise
        except Exception as error:
            await self._drop(self._here.failed(error, True))
            raise  # The server leaves the response unfinished, for all to see.
        await self._send(b"", False)

    async def _pieces(self, body: StreamBody) -> AsyncIterator[bytes]:
        """Yield what makes a body, and close it in the end."""
        if body.live and not body.asynchronous:
            async for piece in self._fed(body):
                yield piece
            return
        if body.asynchronous:
            async for piece in self._awaited_pieces(body):
                yield piece
            return
        run = self._inside.workers.run
        try:
            while True:
                piece = await run(body.source.read)
                if piece is None:
                    return
                yield piece
        finally:
            await run(body.close)

    async def _awaited_pieces(self, body: StreamBody) -> AsyncIterator[bytes]:
        """Yield what a coroutine makes, and heartbeats while it makes nothing."""
        import asyncio

        source = body.source
        reading: Optional[asyncio.Task[Optional[bytes]]] = None
        try:
            while True:
                reading = self._loop.create_task(source.read())
                while not await self._settled(reading, body.pause):
                    yield body.heartbeat
                piece = reading.result()
                if piece is None:
                    return
                yield piece
        finally:
            if reading is not None and not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
            await source.close()

    async def _fed(self, body: StreamBody) -> AsyncIterator[bytes]:
        """Yield what a thread of its own makes, and heartbeats while it makes nothing."""
        import asyncio

        news = asyncio.Event()
        feed = self._inside.start_stream(body, lambda: self._call(news.set))
        try:
            while True:
                data = feed.take()
                if data is None:
                    error = feed.take_error()
                    if error is not None:
                        raise error
                    return
                if data:
                    yield data
                    continue
                waits = self._loop.create_task(news.wait())
                try:
                    while not await self._settled(waits, body.pause):
                        yield body.heartbeat
                finally:
                    waits.cancel()
                news.clear()
        finally:
            feed.cancel()

    # --- a response that is sent by hand ---

    def start(self, answer: Answer) -> None:
        """Send a head; see ``exchange.Channel``."""
        self._framing = self._frame(answer, by_hand=True)
        self._wait_for(self._start(answer, self._framing))

    def write(self, data: bytes) -> None:
        """Send a piece of the body; see ``exchange.Channel``."""
        framing = self._framing
        if framing is None:
            raise ValueError("the head of the response has not been sent")
        if framing.length is not None and self._handed + len(data) > framing.length:
            raise ValueError(f"the body is longer than its Content-Length, {framing.length}")
        self._handed += len(data)
        if framing.has_body and data:
            self._wait_for(self._send(data, True))

    def abort(self) -> None:
        """Leave the response unfinished; see ``exchange.Channel``."""
        self._aborted = True

    def _wait_for(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Wait until something is sent; a coroutine cannot, so what it hands over waits instead."""
        import asyncio

        if threading.get_ident() == self._thread:
            self._last = self._loop.create_task(self._send_behind(self._last, coroutine))
            return
        try:
            asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except (_Left, OSError) as error:
            self._aborted = True
            raise ConnectionAbortedError("the client has left") from error

    async def _send_behind(
        self, before: Optional[asyncio.Task[None]], coroutine: Coroutine[Any, Any, None]
    ) -> None:
        if before is not None:
            await before
        try:
            await coroutine
        except (_Left, OSError):
            self._aborted = True

    async def _end_by_hand(self) -> None:
        """End a body; what is raised here has the server cut the response."""
        framing = self._framing
        if self._last is not None:
            await self._last
        if framing is None or self._left:
            return
        if self._aborted:
            raise RuntimeError("a response was left unfinished")
        if framing.has_body and framing.length not in (None, self._handed):
            raise RuntimeError(f"a handler sent {self._handed} bytes of a body of {framing.length}")
        await self._send(b"", False)


async def _measured(pieces: AsyncIterator[bytes], length: Optional[int]) -> Any:
    """Yield the pieces of a body as long as its length allows.

    Raises:
        ValueError: they are more or fewer than the head has promised.
    """
    total = 0
    try:
        async for piece in pieces:
            total += len(piece)
            if length is not None and total > length:
                raise ValueError("the body of a response is longer than its Content-Length")
            yield piece
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]
    if length not in (None, total):
        raise ValueError("the body of a response is shorter than its Content-Length")


async def _next(pieces: AsyncIterator[bytes]) -> Optional[bytes]:
    """Return the next piece; None: there is none."""
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return None
