"""Echo on websockets, by asyncio."""

from __future__ import annotations

import asyncio

from listening import listen
from websockets.asyncio.server import ServerConnection, serve


async def echo(connection: ServerConnection) -> None:
    """Send back what comes."""
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    """Serve until the process is ended."""
    async with serve(echo, sock=listen(), compression=None, max_size=None):
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main())
