"""Applications of others, mounted at a path: what the server asks of them.

What they need themselves (``asgi``, ``wsgi``) is imported when one is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    from ..exchange import Answer, SocketChannel
    from ..protocol.handshake import Handshake
    from .asgicall import Inlet
    from .lifespan import Lifespans
    from .request import Request


class PathAnswer:
    """An answer whose body is a file that is still to be opened.

    Args:
        answer: The status and the fields.
        path: The file.
    """

    __slots__ = ("answer", "path")

    def __init__(self, answer: Answer, path: str) -> None:
        self.answer = answer
        self.path = path


class Mount:
    """An application at a path.

    Args:
        application: The application.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application


class PlainMount(Mount):
    """One that is called on a worker, when the body of the request is there."""

    def respond(self, request: Request, depth: int) -> Optional[Answer]:
        """Answer a request; None: the response went out by hand.

        Args:
            request: The request.
            depth: How many segments of its path the application is mounted at.
        """
        raise NotImplementedError


class AsyncMount(Mount):
    """One that runs on the asyncio loop, takes the body as it arrives, and WebSockets too."""

    def inlet(self, has_body: bool) -> Inlet:
        """Return what an application receives.

        Args:
            has_body: Whether the request has a body.
        """
        raise NotImplementedError

    async def respond(
        self, request: Request, depth: int, inlet: Inlet, lifespans: Lifespans
    ) -> Union[Answer, PathAnswer]:
        """Answer a request.

        Args:
            request: The request.
            depth: How many segments of its path the application is mounted at.
            inlet: What the application receives.
            lifespans: The applications of the server.
        """
        raise NotImplementedError

    def session(
        self,
        request: Request,
        depth: int,
        handshake: Handshake,
        refusal: Answer,
        lifespans: Lifespans,
        dress: Callable[[Answer], Answer],
    ) -> Callable[[SocketChannel], Coroutine[Any, Any, None]]:
        """Return what runs a WebSocket with the application.

        Args:
            request: The request for the upgrade.
            depth: How many segments of its path the application is mounted at.
            handshake: What the client asks for.
            refusal: What is answered when the application closes before it has accepted.
            lifespans: The applications of the server.
            dress: Adds what the server adds to an answer.
        """
        raise NotImplementedError
